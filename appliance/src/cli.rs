//! The commands, and the one mapping from what went wrong to an exit code.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | it failed while running: cannot listen, not running, cannot be reached |
//! | 2 | the configuration or the command line is at fault; nothing was started or changed |

mod check;
mod devices;
mod end;
mod keys;
mod status;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::{self, AppError};
use crate::config::file::DEFAULT_PATH;
use crate::config::key::StreamKeyError;
use crate::config::{Config, ConfigFaults};
use crate::telemetry::{self, TelemetryError};

pub use devices::DevicesError;
pub use end::EndError;
pub use status::StatusError;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "rungd",
    version,
    about = "A live transcoding appliance: RTMPS feeds in, DASH and HLS ladders out",
    after_help = "Exit codes: 0 done; 1 failed while running; 2 configuration or command line at fault.",
    propagate_version = true,
    arg_required_else_help = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the appliance until it is told to stop
    Serve(ConfigArgument),
    /// List all that is wrong with a configuration, or what it would run
    CheckConfig(ConfigArgument),
    /// Show the feeds of the running appliance and what goes out of them
    Status(status::Arguments),
    /// List the devices of this machine, and why one cannot be used
    Devices(devices::DevicesArguments),
    /// Measure how fast the devices are, and keep the result
    Calibrate(devices::CalibrateArguments),
    /// End the programme of a feed: its manifest turns static, its encoder is sent away
    End(end::Arguments),
    /// Make a stream key for an encoder, and the line that lets it in
    Keys(keys::Arguments),
}

/// Which configuration.
#[derive(Debug, Args)]
struct ConfigArgument {
    /// The configuration; conf.d/*.toml beside it is read too
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is at fault.
    #[error(transparent)]
    Config(#[from] ConfigFaults),
    /// Logs or metrics could not be set up.
    #[error("cannot set up logging")]
    Telemetry(#[from] TelemetryError),
    /// The async runtime could not be set up.
    #[error("cannot start threads")]
    Runtime(#[source] io::Error),
    /// The daemon stopped other than by request.
    #[error("cannot go on serving")]
    Serve(#[from] AppError),
    /// The running daemon could not be asked.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Devices could not be measured.
    #[error(transparent)]
    Devices(#[from] DevicesError),
    /// A programme was not ended.
    #[error("cannot end the programme")]
    End(#[from] EndError),
    /// A stream key is refused.
    #[error("no usable stream key")]
    Key(#[from] StreamKeyError),
    /// The terminal or pipe does not take the answer, or does not give the key.
    #[error("cannot read standard input or write standard output")]
    Stream(#[source] io::Error),
}

impl CliError {
    /// The exit code for it: see the module's table.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) | Self::Key(_) => 2,
            // A configuration that check-config takes cannot lead here but by a slip of ours.
            Self::Telemetry(_)
            | Self::Runtime(_)
            | Self::Serve(_)
            | Self::Status(_)
            | Self::Devices(_)
            | Self::End(_)
            | Self::Stream(_) => 1,
        })
    }
}

/// Parses the command line and runs the command. Faults of the command line itself end the process here, with code 2.
///
/// # Errors
/// Where the command fails.
pub fn run() -> Result<(), CliError> {
    match CommandLine::parse().command {
        Command::Serve(ConfigArgument { config }) => serve(config),
        Command::CheckConfig(ConfigArgument { config }) => check::run(&config),
        Command::Status(arguments) => status::run(&arguments),
        Command::Devices(arguments) => devices::list(&arguments),
        Command::Calibrate(arguments) => devices::calibrate(&arguments),
        Command::End(arguments) => end::run(&arguments),
        Command::Keys(arguments) => keys::run(arguments),
    }
}

/// Prints an error and everything that caused it, once, to standard error.
pub fn print_chain(error: &dyn Error) {
    let mut text = format!("rungd: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    eprintln!("{text}");
}

fn serve(path: PathBuf) -> Result<(), CliError> {
    let config = Config::load_to_serve(&path)?;
    telemetry::init_logging(&config.log)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)?;
    let served = runtime.block_on(app::serve(config, path));
    // What is still asked of a disk that hangs never ends, and is nothing that anybody waits for any more.
    runtime.shutdown_background();
    Ok(served?)
}
