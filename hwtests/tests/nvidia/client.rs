//! Small clients in C, which do right or wrong as they are told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use hwtests::Simulation;
use hwtests::simulation::run;
use tempfile::TempDir;

/// The folder of the programs.
fn programs() -> PathBuf {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let build = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for program in ["client", "decoder"] {
            let source = hwtests::root().join(format!("hwtests/tests/nvidia/{program}.c"));
            let mut compiler = Command::new("cc");
            compiler.args(["-O1", "-Wall", "-Werror", "-o"]).arg(folder.path().join(program)).arg(source);
            run(compiler.arg("-ldl"));
        }
        folder
    };
    BUILT.get_or_init(build).path().to_owned()
}

fn command(simulation: &Simulation, program: &str) -> Command {
    let program = programs().join(program);
    simulation.nvidia(program.to_str().expect("a path of text"))
}

/// Runs the client of NVENC, and answers what it printed.
pub(crate) fn client(simulation: &Simulation, arguments: &[&str]) -> String {
    String::from_utf8(run(command(simulation, "client").args(arguments)).stdout).expect("text")
}

/// Runs the client of NVDEC on a stream, and answers what it printed.
pub(crate) fn decoder(simulation: &Simulation, what: &str, stream: &Path) -> String {
    String::from_utf8(run(command(simulation, "decoder").arg(what).arg(stream)).stdout).expect("text")
}
