//! The thread that media passes through.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The runtime of one thread that feeds, publishers on air and the links of workers share.
///
/// A unit of media is passed on three times; where tasks are spread over threads each of these wakes another one, for
/// less work than waking takes. 64 feeds are about half of what one core can do. What may take long, such as TLS
/// handshakes and viewers, is elsewhere.
#[derive(Debug)]
pub(crate) struct MediaThread {
    handle: Handle,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl MediaThread {
    /// Starts it.
    ///
    /// # Errors
    /// Where there is no thread or no event loop to be had.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let _ = runtime.block_on(stopped);
            // A picture for the slate may be asked of a disk that hangs.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("media".to_owned()).spawn(run)?;
        Ok(Self { handle, thread: Some((stop, thread)) })
    }

    /// Where tasks are started on it.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Ends its tasks, wherever they are.
impl Drop for MediaThread {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}
