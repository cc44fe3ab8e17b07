//! A small client in C, which does right or wrong as it is told.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use hwtests::Simulation;
use hwtests::simulation::run;
use tempfile::TempDir;

fn program() -> PathBuf {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let build = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = hwtests::root().join("hwtests/tests/nvidia/client.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Werror", "-o"]).arg(folder.path().join("client")).arg(source);
        run(compiler.arg("-ldl"));
        folder
    };
    BUILT.get_or_init(build).path().join("client")
}

/// Runs the client, and answers what it printed.
pub(crate) fn client(simulation: &Simulation, arguments: &[&str]) -> String {
    let program = program();
    let mut command = simulation.nvidia(program.to_str().expect("a path of text"));
    String::from_utf8(run(command.args(arguments)).stdout).expect("text")
}
