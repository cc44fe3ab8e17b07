//! Runs a worker for each engine that tells what its devices do, and keeps it running.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::watch;
use tracing::{debug, error, warn};
use worker_protocol::device::Reading;
use worker_protocol::{DeviceId, EngineKind, Inventory};

use super::metrics::Metrics;
use crate::config;
use crate::supervisor;
use crate::telemetry::chain;

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(2);
/// Without a reading for so long, the driver hangs.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long a monitor that ended is left alone: longer each time, up to the last.
const BACK_OFF: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(300)];
/// Longest last words of a monitor.
const MAX_WORDS_BYTES: u64 = 4096;
/// Longest line: 64 devices with all that is told of them are far under it.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Why a monitor is started again.
#[derive(Debug, thiserror::Error)]
enum MonitorError {
    /// No process.
    #[error("cannot be started")]
    Spawn(#[source] io::Error),
    /// Its output.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// Silence.
    #[error("said nothing for {} s: its driver hangs", TIMEOUT.as_secs())]
    Silent,
    /// It left.
    #[error("ended{0}")]
    Ended(String),
    /// A line that says something else.
    #[error("says what this rungd does not understand")]
    Content(#[source] serde_json::Error),
}

/// Watches the devices of an engine that were found, for as long as the daemon runs.
pub(super) async fn watch(
    engine: EngineKind,
    worker: config::Worker,
    devices: config::Devices,
    mut found: watch::Receiver<Option<Arc<Inventory>>>,
    metrics: Metrics,
) {
    let mut failures = 0;
    loop {
        let own = own(engine, found.borrow_and_update().as_deref());
        if own.is_empty() {
            if found.changed().await.is_err() {
                return;
            }
            continue;
        }
        let mut heard = false;
        let result = tokio::select! {
            result = listen(engine, &worker, &devices, |readings| {
                heard = true;
                for reading in readings {
                    if let Some(id) = own.iter().find(|id| id.address() == reading.id.address()) {
                        take(id, reading, &metrics);
                    }
                }
            }) => result,
            // A monitor looks at what was there when it began.
            others = others(engine, &own, &mut found) => match others {
                Ok(()) => {
                    let left = self::own(engine, found.borrow().as_deref());
                    own.iter().filter(|id| !left.contains(id)).for_each(|id| metrics.silent(id));
                    continue;
                }
                Err(_daemon_ends) => return,
            },
        };
        let Err(fault) = result;
        own.iter().for_each(|id| metrics.silent(id));
        failures = if heard { 0 } else { failures + 1 };
        let wait = BACK_OFF.get(failures).or(BACK_OFF.last()).copied().unwrap_or(TIMEOUT);
        warn!(%engine, error = %chain(&fault), again_in = ?wait, "device monitor fails");
        tokio::time::sleep(wait).await;
    }
}

/// The devices that an engine's monitor tells of.
fn own(engine: EngineKind, found: Option<&Inventory>) -> Vec<DeviceId> {
    // Both of NVIDIA's engines drive the same devices, which are watched once.
    let is_own = |id: &DeviceId| {
        id.engine() == engine || (engine == EngineKind::Nvidia && id.engine() == EngineKind::NvidiaDecode)
    };
    let devices = found.map_or(&[][..], |found| &found.devices);
    devices.iter().map(|device| device.id.clone()).filter(is_own).collect()
}

/// Waits until the devices are others than `now`.
async fn others(
    engine: EngineKind,
    now: &[DeviceId],
    found: &mut watch::Receiver<Option<Arc<Inventory>>>,
) -> Result<(), watch::error::RecvError> {
    found.wait_for(|found| own(engine, found.as_deref()) != now).await.map(drop)
}

fn take(id: &DeviceId, reading: &Reading, metrics: &Metrics) {
    for fault in &reading.faults {
        error!(device = %id, fault, "the driver reports a fault");
    }
    if let Some(problem) = &reading.problem {
        debug!(device = %id, problem, "device cannot be read");
    }
    metrics.show(id, reading);
}

async fn listen(
    engine: EngineKind,
    worker: &config::Worker,
    devices: &config::Devices,
    mut take: impl FnMut(&[Reading]),
) -> Result<std::convert::Infallible, MonitorError> {
    let mut command = supervisor::command(worker);
    command
        .arg("monitor")
        .arg(format!("--engine={engine}"))
        .arg(format!("--interval={}", INTERVAL.as_millis()));
    if engine == EngineKind::Vaapi {
        command.args(devices.render_nodes.iter().map(|node| format!("--render-node={}", node.display())));
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(MonitorError::Spawn)?;
    let Some(stdout) = child.stdout.take() else { return Err(MonitorError::Ended(String::new())) };
    let mut lines = BufReader::new(stdout);
    loop {
        let line = match tokio::time::timeout(TIMEOUT, next_line(&mut lines)).await {
            Ok(line) => line.map_err(MonitorError::Read)?,
            Err(_elapsed) => return Err(MonitorError::Silent),
        };
        if line.is_empty() {
            return Err(MonitorError::Ended(last_words(child.stderr.take()).await));
        }
        let readings: Vec<Reading> = serde_json::from_slice(&line).map_err(MonitorError::Content)?;
        take(&readings);
    }
}

/// What a monitor that has ended said last, behind a colon; nothing where it said nothing.
async fn last_words(stderr: Option<ChildStderr>) -> String {
    let Some(stderr) = stderr else { return String::new() };
    let mut words = Vec::new();
    // It has ended, or is about to; whoever else holds its pipe is not waited for.
    let _ = tokio::time::timeout(INTERVAL, stderr.take(MAX_WORDS_BYTES).read_to_end(&mut words)).await;
    let words = String::from_utf8_lossy(&words);
    words.lines().last().map(|line| format!(": {}", line.trim())).unwrap_or_default()
}

/// The next line; empty at the end.
async fn next_line(lines: &mut BufReader<ChildStdout>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    lines.take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await?;
    Ok(line)
}
