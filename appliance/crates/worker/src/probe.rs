//! What this machine's devices can do, as JSON: what was opened, not what a driver says of itself.
//!
//! Each engine looks for its own devices. One that hangs in its driver hangs the process, so whoever asks runs one
//! process an engine, with a deadline.

pub(crate) mod nvidia;
mod pictures;
mod software;
pub(crate) mod vaapi;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use worker_protocol::device::Ability;
use worker_protocol::{EngineKind, Inventory};

use pictures::Picture;

/// What to look for.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Look for this engine's devices alone
    #[arg(long, value_enum)]
    engine: Option<Family>,
    /// Look at this render node, and at those named likewise, instead of all in /dev/dri
    #[arg(long = "render-node", value_name = "PATH")]
    render_nodes: Vec<PathBuf>,
}

/// Engines that share a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Family {
    Software,
    Nvidia,
    Vaapi,
}

impl Family {
    const ALL: [Self; 3] = [Self::Software, Self::Nvidia, Self::Vaapi];

    fn look(self, arguments: &Arguments) -> Inventory {
        match self {
            Self::Software => software::look(),
            Self::Nvidia => nvidia::look(),
            Self::Vaapi => vaapi::look(&arguments.render_nodes),
        }
    }
}

/// What the code that drives `engine` finds, on these render nodes if it is VA-API.
pub(crate) fn look(engine: EngineKind, render_nodes: &[PathBuf]) -> Inventory {
    match engine {
        EngineKind::Software => software::look(),
        EngineKind::Nvidia | EngineKind::NvidiaDecode => nvidia::look(),
        EngineKind::Vaapi => vaapi::look(render_nodes),
    }
}

/// Prints the devices.
pub(crate) fn probe(arguments: &Arguments) -> ExitCode {
    let mut inventory = Inventory::default();
    for family in Family::ALL {
        if arguments.engine.is_none_or(|wanted| wanted == family) {
            inventory.join(family.look(arguments));
        }
    }
    print(&inventory)
}

/// Prints what was asked for on standard output.
pub(crate) fn print<T: Serialize>(answer: &T) -> ExitCode {
    let mut out = io::stdout().lock();
    let written = serde_json::to_writer_pretty(&mut out, answer)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rungd-worker: cannot write the answer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is decoded of what a driver offers, with its name for each format: one line a format, with the last of its depths
/// of which a picture came out.
fn decoders<C>(
    offered: impl Iterator<Item = (Ability, C)>,
    decode: impl Fn(C, &Picture) -> Result<(), String>,
    problems: &mut Vec<String>,
) -> Vec<Ability> {
    let mut abilities: Vec<Ability> = Vec::new();
    for (ability, name) in offered {
        let Some(picture) = pictures::of(ability.codec, ability.bit_depth) else { continue };
        if let Err(problem) = decode(name, picture) {
            let (codec, depth) = (ability.codec.name(), ability.bit_depth);
            problems.push(format!("{codec} of {depth} bits does not decode: {problem}"));
            continue;
        }
        match abilities.iter_mut().find(|known| known.codec == ability.codec) {
            Some(known) => *known = ability,
            None => abilities.push(ability),
        }
    }
    abilities
}
