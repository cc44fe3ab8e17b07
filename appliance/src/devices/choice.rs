//! Which device a feed gets.

use std::collections::BTreeMap;

use media::VideoCodec;
use worker_protocol::device::DeviceReport;
use worker_protocol::{DeviceId, EngineKind, Inventory};

use crate::config::DeviceWish;

/// No device suits a feed. The text goes to the encoder and the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no device for device = \"{wish}\": {why}; see `rungd devices`")]
pub struct NoDevice {
    /// As the configuration has it.
    wish: String,
    /// What is wrong with the devices that would suit.
    why: String,
}

/// The device for `wish`: of those that suit it the one with least to do. `busy` is in luma samples a second.
///
/// Left to itself, a device with an encoder of its own goes before one that only decodes, and that before the CPU.
///
/// # Errors
/// Where none suits.
pub fn choose(
    inventory: &Inventory,
    wish: &DeviceWish,
    busy: &BTreeMap<DeviceId, u64>,
) -> Result<DeviceId, NoDevice> {
    let encodes =
        |device: &&DeviceReport| device.encode.iter().any(|ability| ability.codec == VideoCodec::H264);
    let order =
        |device: &&DeviceReport| (rank(&device.id), busy.get(&device.id).copied().unwrap_or_default());
    let suiting = inventory.devices.iter().filter(|device| suits(wish, &device.id));
    match suiting.clone().filter(encodes).min_by_key(order) {
        Some(device) => Ok(device.id.clone()),
        None => Err(NoDevice { wish: name(wish), why: why_not(inventory, wish, suiting) }),
    }
}

fn name(wish: &DeviceWish) -> String {
    match wish {
        DeviceWish::Auto => "auto".to_owned(),
        DeviceWish::Engine(engine) => engine.to_string(),
        DeviceWish::Device(id) => id.to_string(),
    }
}

/// Whether a device that suits `wish`, and would go before the one that [`choose`] gives, encodes nothing: it may have
/// been looked at in a bad moment.
#[must_use]
pub fn would_rather(inventory: &Inventory, wish: &DeviceWish, chosen: &DeviceId) -> bool {
    let encodes_nothing = |device: &DeviceReport| device.encode.is_empty();
    inventory
        .devices
        .iter()
        .filter(|device| suits(wish, &device.id))
        .any(|device| encodes_nothing(device) && rank(&device.id) < rank(chosen))
}

pub(super) fn suits(wish: &DeviceWish, id: &DeviceId) -> bool {
    match wish {
        DeviceWish::Auto => true,
        DeviceWish::Engine(engine) => id.engine() == *engine,
        DeviceWish::Device(wanted) => id == wanted,
    }
}

/// The place of a device among those that suit, lowest first.
const fn rank(id: &DeviceId) -> u8 {
    match id.engine() {
        EngineKind::Nvidia | EngineKind::Vaapi => 0,
        EngineKind::NvidiaDecode => 1,
        EngineKind::Software => 2,
    }
}

fn why_not<'a>(
    inventory: &Inventory,
    wish: &DeviceWish,
    suiting: impl Iterator<Item = &'a DeviceReport>,
) -> String {
    let mut there = false;
    let mut problems = Vec::new();
    for device in suiting {
        there = true;
        problems.extend(device.problems.iter().map(String::as_str));
    }
    if there {
        return match problems.is_empty() {
            true => "it encodes no H.264".to_owned(),
            false => format!("it encodes no H.264: {}", problems.join("; ")),
        };
    }
    let engine = match wish {
        DeviceWish::Auto => None,
        DeviceWish::Engine(engine) => Some(*engine),
        DeviceWish::Device(id) => Some(id.engine()),
    };
    // Both drive NVIDIA's devices, and only one looks for them.
    let same = |other: EngineKind| {
        let family = |kind| if kind == EngineKind::NvidiaDecode { EngineKind::Nvidia } else { kind };
        engine.is_none_or(|engine| family(engine) == family(other))
    };
    let mut reasons: Vec<_> =
        inventory.unusable.iter().filter(|missing| same(missing.engine)).map(|m| m.reason.as_str()).collect();
    reasons.dedup();
    match reasons.is_empty() {
        true => "there is none here".to_owned(),
        false => reasons.join("; "),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use worker_protocol::device::{Ability, Unusable};

    use super::*;

    pub(crate) fn inventory(ids: &[&str]) -> Inventory {
        let h264 =
            || vec![Ability { codec: VideoCodec::H264, bit_depth: 8, max_size: None, notes: Vec::new() }];
        let device = |id: &&str| DeviceReport {
            id: id.parse().unwrap(),
            name: "a device".to_owned(),
            driver: "a driver 1.0".to_owned(),
            simulated: false,
            cores: None,
            memory_bytes: None,
            numa_node: None,
            decode: h264(),
            encode: h264(),
            problems: Vec::new(),
        };
        Inventory { devices: ids.iter().map(device).collect(), unusable: Vec::new() }
    }

    fn chosen(inventory: &Inventory, wish: &DeviceWish) -> String {
        choose(inventory, wish, &BTreeMap::new()).unwrap().to_string()
    }

    #[test]
    fn an_encoder_of_its_own_goes_before_the_cpu() {
        let all = inventory(&["software", "nvidia-decode:0000:03:00.0", "vaapi:0000:00:02.0"]);
        assert_eq!(chosen(&all, &DeviceWish::Auto), "vaapi:0000:00:02.0");
        let decoder = inventory(&["software", "nvidia-decode:0000:03:00.0"]);
        assert_eq!(chosen(&decoder, &DeviceWish::Auto), "nvidia-decode:0000:03:00.0");
        assert_eq!(chosen(&all, &DeviceWish::Engine(EngineKind::Software)), "software");
        let exactly = DeviceWish::Device("nvidia-decode:0000:03:00.0".parse().unwrap());
        assert_eq!(chosen(&all, &exactly), "nvidia-decode:0000:03:00.0");
    }

    #[test]
    fn a_device_that_encodes_nothing_is_not_chosen() {
        let mut found = inventory(&["software", "vaapi:0000:00:02.0"]);
        found.devices[1].encode.clear();
        assert_eq!(chosen(&found, &DeviceWish::Auto), "software");
        let refused = choose(&found, &DeviceWish::Engine(EngineKind::Vaapi), &BTreeMap::new()).unwrap_err();
        assert!(refused.to_string().contains("encodes no H.264"), "{refused}");
        let auto = choose(&found, &DeviceWish::Auto, &BTreeMap::new()).unwrap();
        assert!(would_rather(&found, &DeviceWish::Auto, &auto));
        assert!(!would_rather(&found, &DeviceWish::Engine(EngineKind::Software), &auto));

        found.devices[1].problems.push("no further encode session".to_owned());
        let refused = choose(&found, &DeviceWish::Engine(EngineKind::Vaapi), &BTreeMap::new()).unwrap_err();
        assert!(refused.to_string().contains("no further encode session"), "{refused}");
    }

    #[test]
    fn who_wants_what_is_not_there_hears_why() {
        let mut found = inventory(&["software"]);
        let reason = "driver 470.57 is too old: 535 or newer".to_owned();
        found.unusable.push(Unusable { engine: EngineKind::Nvidia, what: None, reason });
        let refused =
            choose(&found, &DeviceWish::Engine(EngineKind::NvidiaDecode), &BTreeMap::new()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "no device for device = \"nvidia-decode\": driver 470.57 is too old: 535 or newer; see `rungd devices`"
        );
        let refused = choose(&found, &DeviceWish::Engine(EngineKind::Vaapi), &BTreeMap::new()).unwrap_err();
        assert!(refused.to_string().contains("there is none here"), "{refused}");
    }
}
