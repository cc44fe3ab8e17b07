//! Runs a worker for each engine that looks what devices there are.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use worker_protocol::device::{Calibration, Unusable};
use worker_protocol::{DeviceId, EngineKind, Inventory};

use crate::config;
use crate::supervisor;
use crate::telemetry::chain;

/// How long an engine may look: opening every device of a large box takes a few seconds, a hung driver for ever.
pub const TIMEOUT: Duration = Duration::from_secs(20);
/// How long measuring one device may take.
const CALIBRATION_TIMEOUT: Duration = Duration::from_secs(600);
/// Largest answer: 64 devices with all that can be said of them are far under it.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// Longest last words of a worker that fails.
const MAX_WORDS_BYTES: u64 = 4096;

/// The engines that look for devices of their own. [`EngineKind::Nvidia`] finds those of
/// [`EngineKind::NvidiaDecode`] too.
const LOOKING: [EngineKind; 3] = [EngineKind::Software, EngineKind::Nvidia, EngineKind::Vaapi];

/// A question to a worker that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No process.
    #[error("{program} cannot be started")]
    Spawn {
        /// What was to be run.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// Its answer broke off.
    #[error("its answer cannot be read")]
    Read(#[source] io::Error),
    /// No answer in time.
    #[error("it did not answer within {} s, so its driver hangs: look at dmesg, and restart the machine", .0.as_secs())]
    Timeout(Duration),
    /// It failed.
    #[error("it ended with {status}{words}")]
    Failed {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said last, behind a colon; empty where it said nothing.
        words: String,
    },
    /// The answer is none.
    #[error("its answer is not what this rungd asked for: install rungd and rungd-worker from one build")]
    Content(#[source] serde_json::Error),
}

/// All devices, from all engines at once, each of which has `timeout`. What fails is listed as unusable.
pub async fn look(worker: &config::Worker, devices: &config::Devices, timeout: Duration) -> Inventory {
    let looks = LOOKING.map(|engine| async move {
        let mut arguments = vec!["probe".to_owned(), format!("--engine={engine}")];
        if engine == EngineKind::Vaapi {
            arguments
                .extend(devices.render_nodes.iter().map(|node| format!("--render-node={}", node.display())));
        }
        ask(worker, &arguments, timeout).await.unwrap_or_else(|fault: AskError| Inventory {
            devices: Vec::new(),
            unusable: vec![Unusable {
                engine,
                what: Some(format!("rungd-worker probe --engine={engine}")),
                reason: chain(&fault),
            }],
        })
    });
    let mut all = Inventory::default();
    let [software, nvidia, vaapi] = looks;
    let (software, nvidia, vaapi) = tokio::join!(software, nvidia, vaapi);
    for found in [software, nvidia, vaapi] {
        all.join(found);
    }
    admit(all, devices.allow_simulated)
}

/// Leaves out what calls itself simulated, unless it is wanted.
fn admit(mut all: Inventory, allow_simulated: bool) -> Inventory {
    if allow_simulated {
        return all;
    }
    let refused: Vec<_> = all.devices.extract_if(.., |device| device.simulated).collect();
    all.unusable.extend(refused.into_iter().map(|device| Unusable {
        engine: device.id.engine(),
        what: Some(device.id.address().to_owned()),
        reason: format!(
            "\"{}\" is simulated, for tests: allow_simulated = true in [devices] would allow it",
            device.name
        ),
    }));
    all
}

/// Measures one device.
///
/// # Errors
/// Where the worker cannot be run, fails, or takes too long.
pub async fn calibrate(worker: &config::Worker, id: &DeviceId) -> Result<Calibration, AskError> {
    let arguments = ["calibrate".to_owned(), format!("--device={id}")];
    ask(worker, &arguments, CALIBRATION_TIMEOUT).await
}

async fn ask<T: DeserializeOwned>(
    worker: &config::Worker,
    arguments: &[String],
    timeout: Duration,
) -> Result<T, AskError> {
    let spawn = |source| AskError::Spawn { program: worker.program.display().to_string(), source };
    let mut child =
        supervisor::command(worker).args(arguments).stdout(Stdio::piped()).spawn().map_err(spawn)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let answer = async {
        let (mut answer, mut words) = (Vec::new(), Vec::new());
        let read = async {
            match stdout {
                Some(pipe) => pipe.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await.map(drop),
                None => Ok(()),
            }
        };
        let listen = async {
            let Some(mut pipe) = stderr else { return };
            // Beyond the bound it is read and forgotten, so that nobody waits in a full pipe.
            let _ = (&mut pipe).take(MAX_WORDS_BYTES).read_to_end(&mut words).await;
            let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
        };
        let (read, ()) = tokio::join!(read, listen);
        read.map_err(AskError::Read)?;
        let status = child.wait().await.map_err(AskError::Read)?;
        if !status.success() {
            let last = String::from_utf8_lossy(&words).lines().last().unwrap_or_default().trim().to_owned();
            let words = if last.is_empty() { last } else { format!(": {last}") };
            return Err(AskError::Failed { status, words });
        }
        serde_json::from_slice(&answer).map_err(AskError::Content)
    };
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(AskError::Timeout(timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::choice::tests::inventory;

    #[test]
    fn a_simulated_device_is_refused_unless_it_is_wanted() {
        let mut found = inventory(&["software", "nvidia:0000:01:00.0"]);
        found.devices[1].simulated = true;
        assert_eq!(admit(found.clone(), true), found);
        let refused = admit(found, false);
        assert_eq!(refused.devices.len(), 1);
        assert_eq!(refused.unusable[0].what.as_deref(), Some("0000:01:00.0"));
        assert!(refused.unusable[0].reason.contains("simulated"), "{refused:?}");
    }
}
