//! Shows the state of a simulation, and bends it: `sim-report PLAN [lose DEVICE XID | restore DEVICE]`.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use sim_state::{Plan, State};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sim-report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let [plan, rest @ ..] = arguments else {
        return Err("usage: sim-report PLAN [lose DEVICE XID | restore DEVICE]".into());
    };
    let state = State::open(Plan::read(Path::new(plan))?)?;
    let device = |text: &str| -> Result<usize, Box<dyn Error>> {
        let number: usize = text.parse()?;
        let count = state.plan().devices.len();
        if number < count { Ok(number) } else { Err(format!("device {number} of {count}").into()) }
    };
    match rest {
        [] => {}
        ["lose", number, xid] => state.lose(device(number)?, xid.parse()?),
        ["restore", number] => state.restore(device(number)?),
        _ => return Err(format!("unknown command \"{}\"", rest.join(" ")).into()),
    }
    Ok(serde_json::to_string_pretty(&state.report())?)
}
