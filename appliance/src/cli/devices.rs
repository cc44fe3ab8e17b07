//! `rungd devices` and `rungd calibrate`: what this machine has to transcode on, and how fast it is.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use media::VideoCodec;
use worker_protocol::device::{Ability, Calibration, DeviceReport, Step};
use worker_protocol::{DeviceId, Inventory};

use super::CliError;
use crate::config::file::DEFAULT_PATH;
use crate::config::{self, Config};
use crate::devices::probe::{self, AskError};
use crate::devices::speeds;

#[derive(Debug, Args)]
pub(super) struct DevicesArguments {
    /// The configuration, which says where the worker is and what its drivers are told
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CalibrateArguments {
    /// The configuration, which says where the worker is and where results are kept
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Measure these, as rungd devices names them, instead of all
    #[arg(value_name = "DEVICE")]
    devices: Vec<DeviceId>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// Why devices could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    /// There is no such device.
    #[error("there is no device {0} that can be used; `rungd devices` lists what there is, and why not")]
    Unknown(DeviceId),
    /// The worker did not measure it.
    #[error("device {id} could not be measured")]
    Calibrate {
        /// The device.
        id: DeviceId,
        /// Why not.
        source: AskError,
    },
    /// The results could not be kept.
    #[error(transparent)]
    Keep(#[from] speeds::SpeedsError),
}

pub(super) fn list(arguments: &DevicesArguments) -> Result<(), CliError> {
    let config = Config::load(&arguments.config)?;
    let found = block_on(probe::look(&config.worker, &config.devices, probe::TIMEOUT))?;
    let measured = speeds::read(&config.state_dir);
    let text = match arguments.json {
        true => json(&found)?,
        false => table(&found, &measured),
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(CliError::Stream)
}

pub(super) fn calibrate(arguments: &CalibrateArguments) -> Result<(), CliError> {
    let config = Config::load(&arguments.config)?;
    let found = block_on(probe::look(&config.worker, &config.devices, probe::TIMEOUT))?;
    let mut wanted = arguments.devices.clone();
    if wanted.is_empty() {
        wanted = found.devices.iter().map(|device| device.id.clone()).collect();
    }
    if let Some(unknown) = wanted.iter().find(|id| found.device(id).is_none()) {
        return Err(DevicesError::Unknown(unknown.clone()).into());
    }
    let mut measured = Vec::new();
    for id in wanted {
        eprintln!("measuring {id}; each measurement takes some seconds");
        measured.push(measure(&config, &id)?);
    }
    let text = match arguments.json {
        true => json(&measured)?,
        false => measured.iter().map(speed_table).collect::<Vec<_>>().join("\n"),
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(CliError::Stream)
}

fn measure(config: &config::Config, id: &DeviceId) -> Result<Calibration, CliError> {
    let measured = block_on(probe::calibrate(&config.worker, id))?;
    let measured = measured.map_err(|source| DevicesError::Calibrate { id: id.clone(), source })?;
    // After each, so that what was measured is kept where the next one fails.
    speeds::keep(&config.state_dir, &measured).map_err(DevicesError::Keep)?;
    Ok(measured)
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    Ok(runtime.block_on(work))
}

fn json<T: serde::Serialize>(answer: &T) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(answer);
    text.map(|text| text + "\n").map_err(|error| CliError::Stream(error.into()))
}

/// What is there, device by device, and what is not, with the reason.
fn table(found: &Inventory, measured: &[Calibration]) -> String {
    let mut out = String::new();
    let mut line = |what: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{what:<11}{value}");
    };
    for device in &found.devices {
        line(&device.id.to_string(), "");
        line("  name", &name(device));
        line("  driver", &device.driver);
        line("  decodes", &abilities(&device.decode));
        line("  encodes", &abilities(&device.encode));
        if let Some(measured) = measured.iter().find(|measured| speeds::holds(measured, device)) {
            for speeds in speeds_of(measured) {
                line("  speed", &speeds);
            }
        }
        for problem in &device.problems {
            line("  problem", problem);
        }
    }
    if found.devices.is_empty() {
        line("no device can be used", "");
    }
    for missing in &found.unusable {
        let what = match &missing.what {
            Some(what) => format!("{} ({what}) cannot be used: ", missing.engine),
            None => format!("{}: ", missing.engine),
        };
        line(&format!("{what}{}", missing.reason), "");
    }
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn name(device: &DeviceReport) -> String {
    let mut name = device.name.clone();
    let mut add = |text: String| name.push_str(&text);
    if let Some(cores) = device.cores {
        add(format!(", {cores} CPUs"));
    }
    if let Some(memory) = device.memory_bytes {
        add(format!(", {:.1} GiB", gibibytes(memory)));
    }
    if let Some(node) = device.numa_node {
        add(format!(", NUMA node {node}"));
    }
    if device.simulated {
        add(" (simulated)".to_owned());
    }
    name
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn abilities(abilities: &[Ability]) -> String {
    if abilities.is_empty() {
        return "nothing".to_owned();
    }
    let one = |ability: &Ability| {
        let mut facts = Vec::new();
        if ability.bit_depth > 8 {
            facts.push(format!("up to {} bits", ability.bit_depth));
        }
        facts.extend(ability.max_size.map(|size| format!("up to {size}")));
        facts.extend(ability.notes.iter().cloned());
        match facts.is_empty() {
            true => ability.codec.name().to_owned(),
            false => format!("{} ({})", ability.codec.name(), facts.join(", ")),
        }
    };
    abilities.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// For each format that was measured, how fast it is decoded, and encoded at each preset.
fn speeds_of(measured: &Calibration) -> Vec<String> {
    let of = |codec: VideoCodec| {
        let of_codec = |step| measured.speeds.iter().filter(move |s| (s.step, s.codec) == (step, codec));
        let mut facts = Vec::new();
        if let Some(speed) = of_codec(Step::Decode).next() {
            facts.push(format!("decodes {:.0} Mpx/s", speed.megasamples_per_second));
        }
        let presets: Vec<String> = of_codec(Step::Encode)
            .map(|speed| format!("{:.0} at {}", speed.megasamples_per_second, speed.preset))
            .collect();
        if !presets.is_empty() {
            facts.push(format!("encodes {} (Mpx/s)", presets.join(", ")));
        }
        (!facts.is_empty()).then(|| format!("{}: {}", codec.name(), facts.join("; ")))
    };
    [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1].into_iter().filter_map(of).collect()
}

fn speed_table(measured: &Calibration) -> String {
    let mut out = format!("{} ({})\n", measured.id, measured.name);
    for speed in &measured.speeds {
        let step = if speed.step == Step::Decode { "decodes" } else { "encodes" };
        let sessions = if speed.sessions == 1 { "session" } else { "sessions" };
        let codec = speed.codec.name();
        let (preset, sessions_at_once) = (&speed.preset, speed.sessions);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "  {step} {codec:<6} {preset:<10} {:>8.0} Mpx/s with {sessions_at_once} {sessions}",
            speed.megasamples_per_second
        );
    }
    for problem in &measured.problems {
        let _ = writeln!(out, "  problem {problem}");
    }
    out
}

#[cfg(test)]
mod tests {
    use worker_protocol::device::{Speed, Unusable};

    use super::*;
    use crate::devices::choice::tests::inventory;

    #[test]
    fn what_cannot_be_used_stands_there_with_its_reason() {
        let mut found = inventory(&["software"]);
        found.devices[0].name = "AMD EPYC".to_owned();
        found.devices[0].cores = Some(2);
        found.unusable.push(Unusable {
            engine: worker_protocol::EngineKind::Vaapi,
            what: Some("/dev/dri/renderD128".to_owned()),
            reason: "render node not readable by user rungd: add it to group render".to_owned(),
        });
        assert_eq!(
            table(&found, &[]),
            "software\n  name     AMD EPYC, 2 CPUs\n  driver   a driver 1.0\n  decodes  H.264\n  encodes  H.264\n\
             vaapi (/dev/dri/renderD128) cannot be used: render node not readable by user rungd: add it to group render\n"
        );
    }

    #[test]
    fn a_speed_that_is_missing_says_why() {
        let device = inventory(&["software"]).devices.remove(0);
        let measured = Calibration {
            id: device.id,
            name: device.name,
            driver: device.driver,
            speeds: Vec::new(),
            problems: vec!["decoding AV1 is not measured: no picture came".to_owned()],
        };
        let text = speed_table(&measured);
        assert!(text.ends_with("\n  problem decoding AV1 is not measured: no picture came\n"), "{text}");
    }

    #[test]
    fn what_was_measured_stands_there_for_each_format_and_preset() {
        let found = inventory(&["vaapi:0000:00:02.0"]);
        let device = &found.devices[0];
        let speed = |step, codec, preset: &str, megasamples_per_second| Speed {
            step,
            codec,
            preset: preset.to_owned(),
            megasamples_per_second,
            sessions: 2,
        };
        let measured = Calibration {
            id: device.id.clone(),
            name: device.name.clone(),
            driver: device.driver.clone(),
            problems: Vec::new(),
            speeds: vec![
                speed(Step::Decode, VideoCodec::H264, "", 812.4),
                speed(Step::Decode, VideoCodec::Av1, "", 300.0),
                speed(Step::Encode, VideoCodec::H264, "ultrafast", 500.0),
                speed(Step::Encode, VideoCodec::H264, "slow", 250.6),
                speed(Step::Encode, VideoCodec::Hevc, "slow", 99.0),
            ],
        };
        let speeds = "  speed    H.264: decodes 812 Mpx/s; encodes 500 at ultrafast, 251 at slow (Mpx/s)\n  \
             speed    HEVC: encodes 99 at slow (Mpx/s)\n  speed    AV1: decodes 300 Mpx/s\n";
        let text = table(&found, std::slice::from_ref(&measured));
        assert!(text.contains(speeds), "{text}");
        // One of another driver does not hold.
        let other = Calibration { driver: "a driver 1.1".to_owned(), ..measured };
        assert!(!table(&found, &[other]).contains("speed"));
    }
}
