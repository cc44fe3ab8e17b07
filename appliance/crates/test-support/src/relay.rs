//! The line between an encoder and the daemon, which can be cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

/// Passes TCP connections on to an address.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    lines: Arc<Mutex<Vec<Line>>>,
}

#[derive(Debug)]
struct Line {
    near: TcpStream,
    far: TcpStream,
    damage: Arc<Damage>,
}

/// What befalls what an encoder sends.
#[derive(Debug, Default)]
struct Damage {
    swallows: AtomicBool,
    garbles: AtomicBool,
}

impl Relay {
    /// Listens on a free port; what comes there goes to `to`.
    ///
    /// # Panics
    /// Where it cannot listen.
    #[must_use]
    pub fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        // It ends with the test's process: nothing is lost by a thread that waits for a connection.
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(line) = connect(near, to) else { continue };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { address, lines }
    }

    /// From now on nothing comes out of the connections there are, their end neither: they stay open, as where the network
    /// behind them is gone.
    pub fn swallow(&self) {
        self.lines().iter().for_each(|line| line.damage.swallows.store(true, Ordering::SeqCst));
    }

    /// Changes a byte of what comes next over the connections there are.
    pub fn garble(&self) {
        self.lines().iter().for_each(|line| line.damage.garbles.store(true, Ordering::SeqCst));
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts all connections there are: both ends see a reset, as where a router in between has forgotten them.
    ///
    /// # Panics
    /// Where there is none, or the system does not let it.
    pub fn reset(&self) {
        let lines = std::mem::take(&mut *self.lines());
        assert!(!lines.is_empty(), "there is no connection to cut");
        let sockets = || lines.iter().flat_map(|line| [&line.near, &line.far]);
        for socket in sockets() {
            // A socket that does not linger is closed with a reset, whatever it still holds (socket(7)).
            setsockopt(socket, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
        }
        for socket in sockets() {
            // The threads hold copies: they end by this, and the last copy closes.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }
}

fn connect(near: TcpStream, to: SocketAddr) -> io::Result<Line> {
    let far = TcpStream::connect(to)?;
    let damage = Arc::new(Damage::default());
    for (from, to, damage) in [(&near, &far, Arc::clone(&damage)), (&far, &near, Arc::default())] {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || pass(from, to, &damage));
    }
    Ok(Line { near, far, damage })
}

/// Until `from` ends: then `to` has no more to come either, unless the line is cut or swallows.
fn pass(mut from: TcpStream, mut to: TcpStream, damage: &Damage) {
    let mut piece = vec![0; 65_536];
    loop {
        match from.read(&mut piece) {
            Ok(got) if got > 0 => {
                let piece = &mut piece[..got];
                if damage.garbles.swap(false, Ordering::SeqCst) {
                    piece[got / 2] ^= 0xff;
                }
                if !damage.swallows.load(Ordering::SeqCst) && to.write_all(piece).is_err() {
                    return;
                }
            }
            _ => break,
        }
    }
    let cut = getsockopt(&to, sockopt::Linger).is_ok_and(|linger| linger.l_onoff != 0);
    if !cut && !damage.swallows.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Write);
    }
}
