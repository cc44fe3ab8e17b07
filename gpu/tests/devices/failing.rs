//! Faults of simulated devices, and the answers to them.

use std::time::Duration;

use gpu::encode::EncodeError;
use gpu::nvml::Nvml;
use gpu::{Codec, Device, DeviceError, Encoder, Frame, FrameKind};

use crate::encoding::config;
use crate::pictures::size;
use crate::{on_simulated, run_simulated};

fn sound_encoder(device: &Device) -> Encoder {
    let mut config = config(Codec::H264, size(320, 180), 500_000);
    config.low_latency = true;
    config.patience = Duration::from_secs(2);
    Encoder::open(device, &config).unwrap()
}

/// Sends pictures until the encoder fails.
fn fails(device: &Device, encoder: &mut Encoder) -> EncodeError {
    let frame = Frame::black(device, size(320, 180)).unwrap();
    for tag in 0..200 {
        if let Err(error) = encoder.send(&frame, tag, FrameKind::Any) {
            return error;
        }
        loop {
            match encoder.receive() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return error,
            }
        }
    }
    panic!("nothing failed");
}

#[test]
fn an_old_driver_is_told_from_none() {
    let plan = "driver = \"470.57.02\"\n[[device]]\nmodel = \"t4\"\n";
    on_simulated("failing::an_old_driver_is_told_from_none", plan, || {
        let error = Device::open(0).unwrap_err();
        assert!(matches!(error, DeviceError::DriverTooOld { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("driver 470.57.02 is too old: 535 or newer is needed"), "{text}");
    });
}

#[test]
fn a_device_without_an_encoder_says_so_and_decodes() {
    let plan = "[[device]]\nmodel = \"h200\"\n";
    on_simulated("failing::a_device_without_an_encoder_says_so_and_decodes", plan, || {
        let device = Device::open(0).unwrap();
        let caps = device.caps();
        assert!(matches!(caps.encode, Err(EncodeError::NoEncoder)), "{:?}", caps.encode);
        assert!(!caps.decode.unwrap().is_empty());
    });
}

#[test]
fn no_device_at_all_is_an_error() {
    on_simulated("failing::no_device_at_all_is_an_error", "device = []\n", || {
        let error = Device::open(0).unwrap_err();
        assert!(matches!(error, DeviceError::Init(_) | DeviceError::Ordinal { .. }), "{error}");
    });
}

#[test]
fn the_limit_of_sessions_is_recognised_by_both_codes() {
    for (status, test) in [
        ("out-of-memory", "failing::the_limit_of_sessions_is_recognised_by_both_codes"),
        ("incompatible-client-key", "failing::the_limit_of_sessions_is_recognised_by_both_codes"),
    ] {
        let plan = format!("[[device]]\nmodel = \"geforce\"\nsession_cap = 2\ncap_status = \"{status}\"\n");
        on_simulated(test, &plan, || {
            let device = Device::open(0).unwrap();
            let _two = [sound_encoder(&device), sound_encoder(&device)];
            let error = Encoder::open(&device, &config(Codec::H264, size(320, 180), 500_000)).unwrap_err();
            assert!(matches!(error, EncodeError::SessionCap { .. }), "{error}");
            assert!(!error.is_device_lost());
        });
    }
}

#[test]
fn a_lost_device_is_told_from_a_failing_call() {
    let plan = "[[device]]\nmodel = \"l4\"\n[[device.fault]]\nkind = \"lost\"\nafter = 20\n";
    on_simulated("failing::a_lost_device_is_told_from_a_failing_call", plan, || {
        let device = Device::open(0).unwrap();
        let mut encoder = sound_encoder(&device);
        let error = fails(&device, &mut encoder);
        assert!(error.is_device_lost(), "{error}: {error:?}");
    });
}

#[test]
fn a_hung_encoder_is_given_up() {
    let plan = "[[device]]\nmodel = \"l4\"\n[[device.fault]]\nkind = \"hangs\"\nafter = 20\n";
    // What holds its memory is within the driver for ever: it is left, and told of as such.
    run_simulated("failing::a_hung_encoder_is_given_up", plan, || {
        let device = Device::open(0).unwrap();
        let mut encoder = sound_encoder(&device);
        let error = fails(&device, &mut encoder);
        assert_eq!(error.to_string(), "the encoder gave nothing for 2000 ms");
    });
}

#[test]
fn nvml_tells_of_sessions_and_faults() {
    let plan = "[[device]]\nmodel = \"l4\"\n[[device.fault]]\nkind = \"lost\"\nafter = 20\nxid = 79\n";
    on_simulated("failing::nvml_tells_of_sessions_and_faults", plan, || {
        let device = Device::open(0).unwrap();
        let nvml = Nvml::open().unwrap();
        assert!(nvml.driver_version().is_some());
        let uuid = &device.info().uuid;
        let xids = nvml.xids(uuid).unwrap();
        assert_eq!(xids.wait(Duration::from_millis(10)).unwrap(), None);
        let mut encoder = sound_encoder(&device);
        let sample = nvml.sample(uuid).unwrap();
        assert_eq!(sample.session_count, Some(1));
        assert!(sample.memory_total_bytes.is_some_and(|bytes| bytes > 1 << 30), "{sample:?}");
        assert!(sample.temperature_celsius.is_some() && sample.encoder_percent.is_some(), "{sample:?}");
        fails(&device, &mut encoder);
        match xids.wait(Duration::from_secs(5)) {
            Ok(xid) => assert_eq!(xid, Some(79)),
            Err(error) => panic!("{error}"),
        }
    });
}
