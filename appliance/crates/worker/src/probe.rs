//! What this machine's devices can do, as JSON.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use software::{Codec, Device};

/// One device.
#[derive(Debug, Serialize)]
struct DeviceReport {
    /// `software`.
    kind: &'static str,
    /// What it is built of.
    name: String,
    /// CPUs it may use.
    cores: usize,
    /// Formats whose decoders opened.
    decode: Vec<&'static str>,
    /// Formats whose encoders opened.
    encode: Vec<&'static str>,
}

fn names(codecs: &[Codec]) -> Vec<&'static str> {
    let name = |codec: &Codec| match codec {
        Codec::H264 => "h264",
        Codec::Hevc => "hevc",
        Codec::Av1 => "av1",
    };
    codecs.iter().map(name).collect()
}

/// Prints the list of devices.
pub(crate) fn probe() -> ExitCode {
    let device = Device::open();
    let caps = device.caps();
    let report = [DeviceReport {
        kind: "software",
        name: device.name(),
        cores: device.cores(),
        decode: names(&caps.decode),
        encode: names(&caps.encode),
    }];
    let mut out = io::stdout().lock();
    let written = serde_json::to_writer_pretty(&mut out, &report)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rungd-worker: cannot write the report: {error}");
            ExitCode::FAILURE
        }
    }
}
