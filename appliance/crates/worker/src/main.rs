//! `rungd-worker`: one feed on one device, in a process of its own: the map.
//!
//! ```text
//! fd 0 ═▶ link (reader) ─▶ pipeline: decode ─▶ pick ─▶ scale ─┬▶ rung 0: encode ─┬▶ link (writer) ═▶ fd 0
//!                                                             └▶ rung n: encode ─┘
//! ```
//!
//! - [`sandbox`]: what the process gives up before it reads a byte;
//! - [`run`]: starts the threads, waits for the first that ends, says why;
//! - [`link`]: the socket: bounded queues both ways; when they are full nothing is read, which the daemon feels;
//! - [`conversation`]: what the daemon says, in its order;
//! - [`engine`]: what a device must be able to do, and the adapters;
//! - [`pipeline`]: from source units to the grid's frames on every rung;
//! - [`slate`]: what is shown while the source is away;
//! - [`sound`]: sound of another format than its track's, in a process of its own;
//! - [`probe`]: what this machine's devices can do, as JSON;
//! - [`monitor`]: what they do, as they do it, as JSON;
//! - [`calibrate`]: how fast one of them is, as JSON;
//! - [`clock`]: the one file that reads the clock.
//!
//! Standard input is a connected Unix stream socket on which `worker-protocol` is spoken both ways; standard error is
//! for log lines. The environment may be empty.
#![forbid(unsafe_code)]

mod calibrate;
mod clock;
mod conversation;
mod engine;
mod link;
mod monitor;
mod pipeline;
mod probe;
mod run;
mod sandbox;
mod slate;
mod sound;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use worker_protocol::DeviceId;

use run::Work;

/// Decodes one feed once and encodes its rungs.
#[derive(Debug, Parser)]
#[command(name = "rungd-worker", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Transcode one feed, as the daemon says on the socket at standard input.
    Run {
        /// The device to do it on, as `probe` names it.
        #[arg(long, value_name = "DEVICE", default_value_t = DeviceId::software())]
        device: DeviceId,
    },
    /// Convert one feed's sound to the format of its track, as the daemon says on the socket at standard input.
    Sound,
    /// Print the devices and what they can do as JSON.
    Probe(probe::Arguments),
    /// Print what devices do, a line of JSON every interval, until told to stop.
    Monitor(monitor::Arguments),
    /// Measure how fast a device is, and print that as JSON.
    Calibrate(calibrate::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { device } => run::run(Work::Pictures(device)),
        Command::Sound => run::run(Work::Sound),
        Command::Probe(arguments) => probe::probe(&arguments),
        Command::Monitor(arguments) => monitor::monitor(&arguments),
        Command::Calibrate(arguments) => calibrate::calibrate(&arguments),
    }
}
