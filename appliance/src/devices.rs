//! Devices: what this machine has to transcode on, and which of it a feed gets.
//!
//! Drivers are code of others that may hang or crash, so the daemon loads none: [`probe`] runs a worker process an
//! engine and reads what it found, and [`monitor`] one that tells what they do; [`speeds`] keeps what was measured. [`choice`] is pure.

pub mod choice;
pub mod metrics;
mod monitor;
pub mod probe;
pub mod speeds;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{info, warn};
use worker_protocol::{DeviceId, EngineKind, Inventory};

use crate::config::{self, DeviceWish};

pub use choice::NoDevice;
pub use metrics::Metrics;

/// Time between two looks at the devices: each opens sessions on all of them, and whoever is refused a device asks for
/// one.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The devices of this machine while the daemon runs.
#[derive(Debug, Clone)]
pub struct Devices {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// None until every probe has answered or was given up.
    found: watch::Sender<Option<Arc<Inventory>>>,
    /// Luma samples a second that run on each device now.
    busy: Mutex<BTreeMap<DeviceId, u64>>,
    /// Somebody wants the devices to be looked at again.
    wanted: Notify,
    metrics: Option<Metrics>,
}

impl Shared {
    fn busy(&self) -> MutexGuard<'_, BTreeMap<DeviceId, u64>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a probe found is what there is from now on. Feeds keep what they have.
    fn take(&self, inventory: Inventory, metrics: &Metrics) {
        let known = self.found.borrow().clone();
        if known.as_deref() == Some(&inventory) {
            return;
        }
        report(&inventory, known.as_deref());
        metrics.found(&inventory, known.as_deref());
        for (id, load) in self.busy().iter().filter(|(id, _)| inventory.device(id).is_some()) {
            metrics.load(id, *load);
        }
        self.found.send_replace(Some(Arc::new(inventory)));
    }

    fn show(&self, id: &DeviceId, load: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.load(id, load);
        }
    }
}

impl Devices {
    /// Begins to look for devices; [`Self::ready`] tells when that is done. They are looked at again where a feed finds
    /// none, or not the best, and at [`Self::look_again`].
    #[must_use]
    pub fn look(worker: config::Worker, config: config::Devices, metrics: Metrics) -> Self {
        let this = Self::of(None, Some(metrics.clone()));
        for engine in [EngineKind::Nvidia, EngineKind::Vaapi] {
            let found = this.shared.found.subscribe();
            let watch = monitor::watch(engine, worker.clone(), config.clone(), found, metrics.clone());
            tokio::spawn(watch);
        }
        let shared = this.shared.clone();
        tokio::spawn(async move {
            loop {
                let inventory = probe::look(&worker, &config, probe::TIMEOUT).await;
                shared.take(inventory, &metrics);
                tokio::time::sleep(LOOK_AGAIN).await;
                shared.wanted.notified().await;
            }
        });
        this
    }

    /// Has the devices looked at again soon; a probe may have met them in a bad moment.
    pub fn look_again(&self) {
        self.shared.wanted.notify_one();
    }

    /// These devices, which somebody has looked for already.
    #[must_use]
    pub fn known(found: Inventory) -> Self {
        Self::of(Some(found), None)
    }

    fn of(found: Option<Inventory>, metrics: Option<Metrics>) -> Self {
        let shared = Shared {
            found: watch::Sender::new(found.map(Arc::new)),
            busy: Mutex::default(),
            wanted: Notify::new(),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits until it is known what there is: a driver that hangs takes [`probe::TIMEOUT`].
    pub async fn ready(&self) {
        // The sender lives as long as this.
        let _ = self.shared.found.subscribe().wait_for(Option::is_some).await;
    }

    /// What was found; nothing yet while it is looked for.
    #[must_use]
    pub fn inventory(&self) -> Option<Arc<Inventory>> {
        self.shared.found.borrow().clone()
    }

    /// Takes the device that suits `wish` for a ladder of `load` luma samples a second. Where there is none, or a better
    /// one encodes nothing, the devices are looked at again, for the next who asks. `before`, which was used before, goes
    /// first where it is there and suits.
    ///
    /// # Errors
    /// Where no device suits, with what is wrong with those that would.
    pub fn take(&self, wish: &DeviceWish, before: Option<&DeviceId>, load: u64) -> Result<Share, NoDevice> {
        let inventory = self.inventory().unwrap_or_default();
        let mut busy = self.shared.busy();
        let chosen = choice::choose(&inventory, wish, &busy);
        if chosen.as_ref().map_or(true, |id| choice::would_rather(&inventory, wish, id)) {
            self.look_again();
        }
        let again = before.cloned().filter(|id| choice::suits(wish, id)).map(DeviceWish::Device);
        let again = again.and_then(|wish| choice::choose(&inventory, &wish, &busy).ok());
        let id = again.map_or(chosen, Ok)?;
        let entry = busy.entry(id.clone()).or_default();
        *entry = entry.saturating_add(load);
        self.shared.show(&id, *entry);
        Ok(Share { shared: self.shared.clone(), id, load })
    }

    /// Whether a device suits `wish` at all; as long as devices are looked for, nobody knows.
    ///
    /// # Errors
    /// Where none does, with what is wrong with those that would.
    pub fn check(&self, wish: &DeviceWish) -> Result<(), NoDevice> {
        let Some(inventory) = self.inventory() else { return Ok(()) };
        let chosen = choice::choose(&inventory, wish, &BTreeMap::new());
        if chosen.is_err() {
            // For the next who asks.
            self.look_again();
        }
        chosen.map(drop)
    }

    /// Luma samples a second that run on each device now.
    #[must_use]
    pub fn busy(&self) -> BTreeMap<DeviceId, u64> {
        self.shared.busy().clone()
    }
}

/// A device that a feed has, until it is dropped.
#[derive(Debug)]
pub struct Share {
    shared: Arc<Shared>,
    id: DeviceId,
    load: u64,
}

impl Share {
    /// The device.
    #[must_use]
    pub const fn id(&self) -> &DeviceId {
        &self.id
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut busy = self.shared.busy();
        if let Some(entry) = busy.get_mut(&self.id) {
            *entry = entry.saturating_sub(self.load);
            self.shared.show(&self.id, *entry);
        }
    }
}

/// Tells of what was not known already.
fn report(inventory: &Inventory, known: Option<&Inventory>) {
    let (devices, unusable) = known.map_or((&[][..], &[][..]), |known| (&known.devices, &known.unusable));
    for device in inventory.devices.iter().filter(|device| !devices.contains(device)) {
        info!(device = %device.id, name = device.name, driver = device.driver, "device found");
        for problem in &device.problems {
            warn!(device = %device.id, problem, "device works in part");
        }
    }
    for gone in devices.iter().filter(|device| inventory.device(&device.id).is_none()) {
        warn!(device = %gone.id, name = gone.name, "device is there no more");
    }
    for missing in inventory.unusable.iter().filter(|missing| !unusable.contains(missing)) {
        // A machine without a GPU is nothing to warn of; a GPU that was found and cannot be used is.
        match &missing.what {
            Some(what) => {
                warn!(engine = %missing.engine, what, reason = missing.reason, "device cannot be used")
            }
            None => info!(engine = %missing.engine, reason = missing.reason, "no device of this engine"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_spread_over_equal_devices_and_give_them_back() {
        let found = choice::tests::inventory(&["nvidia:0000:01:00.0", "nvidia:0000:02:00.0", "software"]);
        let devices = Devices::known(found);
        let wish = DeviceWish::Engine(EngineKind::Nvidia);
        let first = devices.take(&wish, None, 100).unwrap();
        let second = devices.take(&wish, None, 10).unwrap();
        assert_ne!(first.id(), second.id());
        assert_eq!(devices.take(&wish, None, 10).unwrap().id(), second.id());
        drop(first);
        assert_eq!(devices.take(&wish, None, 10).unwrap().id().address(), "0000:01:00.0");
    }

    /// Other devices have other parameter sets, and a programme that is gone on with needs the same.
    #[test]
    fn what_was_used_before_is_used_again_where_it_is_there_and_allowed() {
        let found = choice::tests::inventory(&["nvidia:0000:01:00.0", "vaapi:0000:02:00.0", "software"]);
        let devices = Devices::known(found);
        let taken = |wish: &DeviceWish, before: &str| {
            devices.take(wish, Some(&before.parse().unwrap()), 10).unwrap().id().to_string()
        };
        for before in ["nvidia:0000:01:00.0", "vaapi:0000:02:00.0", "software"] {
            assert_eq!(taken(&DeviceWish::Auto, before), before);
        }
        assert_eq!(taken(&DeviceWish::Auto, "vaapi:0000:09:00.0"), "nvidia:0000:01:00.0");
        assert_eq!(taken(&DeviceWish::Engine(EngineKind::Nvidia), "software"), "nvidia:0000:01:00.0");
    }
}
