//! The `rungd` command.

use std::process::ExitCode;

use appliance::cli;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::print_chain(&error);
            error.exit_code()
        }
    }
}
