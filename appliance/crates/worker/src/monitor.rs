//! What devices do while feeds are encoded on them: one line of JSON an interval, on standard output.
//!
//! It ends when nobody reads any more. A driver that hangs hangs this process alone: its reader notices that no line
//! comes.

mod nvidia;
mod vaapi;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use worker_protocol::device::Reading;

/// What to watch.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The engine whose devices are watched
    #[arg(long, value_enum)]
    engine: Family,
    /// Watch this render node, and those named likewise, instead of all in /dev/dri
    #[arg(long = "render-node", value_name = "PATH")]
    render_nodes: Vec<PathBuf>,
    /// Time between two lines, in milliseconds
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    interval: u64,
}

/// Engines with devices that can be watched. The CPU is watched by everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Family {
    Nvidia,
    Vaapi,
}

/// Prints readings until nobody reads them.
pub(crate) fn monitor(arguments: &Arguments) -> ExitCode {
    let interval = Duration::from_millis(arguments.interval);
    let watched = match arguments.engine {
        Family::Nvidia => nvidia::watch(interval, put_out),
        Family::Vaapi => vaapi::watch(&arguments.render_nodes, interval, put_out),
    };
    match watched {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("rungd-worker: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// One line; false where nobody reads any more.
fn put_out(readings: &[Reading]) -> bool {
    let mut out = io::stdout().lock();
    let written = serde_json::to_writer(&mut out, readings)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    written.is_ok()
}
