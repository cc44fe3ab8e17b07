//! The line between an encoder and the daemon, which can be cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
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

    /// Cuts all connections there are: both ends see a reset, as where a router in between has forgotten them.
    ///
    /// # Panics
    /// Where there is none, or the system does not let it.
    pub fn reset(&self) {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
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
    for (from, to) in [(&near, &far), (&far, &near)] {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || pass(from, to));
    }
    Ok(Line { near, far })
}

/// Until `from` ends: then `to` has no more to come either, unless the line is cut.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; 65_536];
    loop {
        match from.read(&mut piece) {
            Ok(got) if got > 0 => {
                if to.write_all(&piece[..got]).is_err() {
                    return;
                }
            }
            _ => break,
        }
    }
    let cut = getsockopt(&to, sockopt::Linger).is_ok_and(|linger| linger.l_onoff != 0);
    if !cut {
        let _ = to.shutdown(Shutdown::Write);
    }
}
