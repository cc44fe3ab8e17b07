//! DRM usage statistics: `/proc/PID/fdinfo` (Linux `Documentation/gpu/drm-usage-stats.rst`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Engine;

/// Longest file that is read; the drivers in use write under 2 KiB.
const MAX_FILE: usize = 64 * 1024;

/// How much an engine was used by one client since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Time in use, of so many engines of the kind (i915, amdgpu).
    Time {
        /// Of all engines of the kind together.
        busy: Duration,
        /// How many there are.
        engines: u32,
    },
    /// Cycles in use, of the device's cycles (xe).
    Cycles {
        /// Of all engines of the kind together.
        busy: u64,
        /// Of one engine.
        total: u64,
        /// How many there are.
        engines: u32,
    },
}

impl Usage {
    /// The part that was in use since `before`, from 0 to 1; none where it cannot be said.
    #[must_use]
    pub fn since(self, before: Self, elapsed: Duration) -> Option<f64> {
        let (busy, whole, engines) = match (self, before) {
            (Self::Time { busy, engines }, Self::Time { busy: earlier, .. }) => {
                (busy.checked_sub(earlier)?.as_secs_f64(), elapsed.as_secs_f64(), engines)
            }
            (
                Self::Cycles { busy, total, engines },
                Self::Cycles { busy: earlier, total: earlier_total, .. },
            ) => (float(busy.checked_sub(earlier)?), float(total.checked_sub(earlier_total)?), engines),
            _ => return None,
        };
        (whole > 0.0).then(|| (busy / whole / f64::from(engines.max(1))).clamp(0.0, 1.0))
    }
}

/// Differences of cycles, which are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a ratio of two is asked for")]
const fn float(value: u64) -> f64 {
    value as f64
}

/// One opened device of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The process.
    pub pid: u32,
    /// The device: its PCI address, or the path that it was opened by where the driver does not say.
    pub device: String,
    /// `drm-client-id`, unique on the device.
    pub id: u64,
    /// What it used, by engine.
    pub engines: BTreeMap<Engine, Usage>,
    /// Device memory in use, in bytes: local memory where the device has its own, otherwise system memory.
    pub memory_bytes: Option<u64>,
}

impl Client {
    /// How much it used an engine.
    #[must_use]
    pub fn usage(&self, engine: Engine) -> Option<Usage> {
        self.engines.get(&engine).copied()
    }
}

/// The clients of the device at a PCI address; of any device where that is not known.
pub(super) fn list(root: &Path, pci_address: Option<&str>) -> Vec<Client> {
    let mut seen = BTreeSet::new();
    let mut clients = Vec::new();
    let folders = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let mut pids: Vec<u32> = folders.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        let process = root.join("proc").join(pid.to_string());
        // Other users' processes may not be looked at, and processes end.
        let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        for descriptor in descriptors {
            let node = fs::read_link(descriptor.path()).ok().filter(|to| to.starts_with("/dev/dri"));
            let Some(node) = node else { continue };
            let Ok(text) = fs::read_to_string(process.join("fdinfo").join(descriptor.file_name())) else {
                continue;
            };
            let text = text.get(..MAX_FILE).unwrap_or(&text);
            let Some((address, client)) = parse(pid, text, &node) else { continue };
            let other = pci_address.zip(address).is_some_and(|(wanted, found)| wanted != found);
            // Descriptors that were passed on, or doubled, are of the same client.
            if !other && seen.insert((client.device.clone(), client.id)) {
                clients.push(client);
            }
        }
    }
    clients
}

/// A client, and the address of its device where that is said; none where it is not a DRM file.
fn parse<'a>(pid: u32, text: &'a str, node: &Path) -> Option<(Option<&'a str>, Client)> {
    let lines =
        || text.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key, value.trim()));
    let find = |wanted: &str| lines().find(|(key, _)| *key == wanted).map(|(_, value)| value);
    let number = |value: &str| value.split_whitespace().next()?.parse::<u64>().ok();
    let id = number(find("drm-client-id")?)?;
    let mut engines = BTreeMap::new();
    let capacity = |key: &str| -> u32 {
        let found = find(&format!("drm-engine-capacity-{key}")).and_then(number);
        found.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1)
    };
    for (key, value) in lines() {
        if let Some(key) = key.strip_prefix("drm-engine-")
            && let Some((engine, nanoseconds)) = Engine::of(key).zip(number(value))
        {
            let busy = Duration::from_nanos(nanoseconds);
            let usage = engines.entry(engine).or_insert(Usage::Time { busy: Duration::ZERO, engines: 0 });
            if let Usage::Time { busy: sum, engines } = usage {
                // AMD's two rings of an encoder are two keys.
                *sum = sum.saturating_add(busy);
                *engines = engines.saturating_add(capacity(key));
            }
        } else if let Some(key) = key.strip_prefix("drm-cycles-")
            && let Some((engine, busy)) = Engine::of(key).zip(number(value))
            && let Some(total) = find(&format!("drm-total-cycles-{key}")).and_then(number)
        {
            engines.insert(engine, Usage::Cycles { busy, total, engines: capacity(key) });
        }
    }
    let memory = |kind: &str| {
        let regions = lines().filter(|(key, _)| {
            key.strip_prefix(kind).is_some_and(|region| {
                region.starts_with("vram") || region.starts_with("local") || region == "system"
            })
        });
        let local = |key: &str| !key.ends_with("system");
        let (mut device, mut system) = (None, None);
        for (key, value) in regions {
            let sum = if local(key) { &mut device } else { &mut system };
            *sum = Some(sum.unwrap_or(0u64).saturating_add(bytes(value)?));
        }
        device.or(system)
    };
    let memory_bytes = memory("drm-resident-").or_else(|| memory("drm-memory-"));
    let address = find("drm-pdev");
    let device = address.map_or_else(|| node.display().to_string(), str::to_owned);
    Some((address, Client { pid, device, id, engines, memory_bytes }))
}

/// `N`, `N KiB` or `N MiB`.
fn bytes(value: &str) -> Option<u64> {
    let mut words = value.split_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    match words.next() {
        None => Some(number),
        Some("KiB" | "kB") => number.checked_mul(1 << 10),
        Some("MiB") => number.checked_mul(1 << 20),
        Some(_) => None,
    }
}
