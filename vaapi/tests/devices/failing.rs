//! Faults of devices, and the answers to them.

use std::path::Path;
use std::time::Duration;

use test_support::Simulation;
use test_support::again::{again, passes};
use vaapi::encode::EncodeError;
use vaapi::{Codec, Device, Encoder, Frame, FrameKind, Node, Size};

use crate::annex_b;
use crate::encoding::{config, open};
use crate::{AMD, ARC, INNER, on_simulated, run_simulated};

const SIZE: Size = Size { width: 320, height: 180 };

/// A driver that cannot wait for a time, and says nothing of its surfaces.
const MUTE: &str = "[[device]]\nmodel = \"amd\"\nsurface_status = false\n";

/// Sends pictures until the encoder fails.
fn fails(device: &Device, encoder: &mut Encoder) -> EncodeError {
    let frame = Frame::black(device, SIZE).unwrap();
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
fn a_lost_device_is_an_error() {
    let plan = format!("{ARC}[[device.fault]]\nkind = \"lost\"\nafter = 20\n");
    run_simulated("failing::a_lost_device_is_an_error", &plan, || {
        let device = crate::simulated();
        let mut encoder = open(&device, &config(Codec::H264, SIZE));
        let error = fails(&device, &mut encoder);
        let EncodeError::Encode { source, .. } = &error else { panic!("{}", annex_b::chain(&error)) };
        assert!(source.status.is_device_lost(), "{}", annex_b::chain(&error));
    });
}

/// A device hangs; what it had stays with it.
fn hangs(test: &str, model: &str) {
    // Of as many pictures as can be under way; they end, so that whoever waits for them fails here, and not never.
    let fault = "[[device.fault]]\nkind = \"hangs\"\nafter = 20\ntimes = 8\nms = 4000\n";
    let plan = format!("{model}{fault}");
    let simulation = run_simulated(test, &plan, || {
        let device = crate::simulated();
        let mut config = config(Codec::H264, SIZE);
        config.patience = Duration::from_millis(700);
        let mut encoder = open(&device, &config);
        let error = fails(&device, &mut encoder);
        assert_eq!(error.to_string(), "the encoder gave nothing for 700 ms");
    });
    let Some(report) = simulation.map(|simulation| simulation.report()) else { return };
    assert_eq!(report["violations"], 0, "what hangs is not left as it is: {}", report["sentences"]);
}

#[test]
fn a_hung_encoder_is_given_up() {
    hangs("failing::a_hung_encoder_is_given_up", ARC);
}

/// An older driver cannot wait for a time.
#[test]
fn a_hung_encoder_of_an_older_driver_is_given_up() {
    hangs("failing::a_hung_encoder_of_an_older_driver_is_given_up", AMD);
}

/// One that does not say either whether a picture is done, as while its device is reset.
#[test]
fn a_hung_encoder_that_tells_nothing_is_given_up() {
    hangs("failing::a_hung_encoder_that_tells_nothing_is_given_up", MUTE);
}

/// A hang that ends within the patience is none.
#[test]
fn a_pause_is_waited_for() {
    let plan = format!("{ARC}[[device.fault]]\nkind = \"hangs\"\nafter = 5\ntimes = 1\nms = 300\n");
    on_simulated("failing::a_pause_is_waited_for", &plan, |device| {
        let frame = Frame::black(device, SIZE).unwrap();
        let mut encoder = open(device, &config(Codec::H264, SIZE));
        let mut coded = 0;
        for tag in 0..12 {
            encoder.send(&frame, tag, FrameKind::Any).unwrap();
            while encoder.receive().unwrap().is_some() {
                coded += 1;
            }
        }
        encoder.finish();
        while encoder.receive().unwrap().is_some() {
            coded += 1;
        }
        assert_eq!(coded, 12);
    });
}

#[test]
fn an_encoder_that_does_not_open_says_why() {
    let plan = format!("{ARC}[[device.fault]]\nkind = \"open-fails\"\nengine = \"encode\"\ntimes = 1\n");
    on_simulated("failing::an_encoder_that_does_not_open_says_why", &plan, |device| {
        let config = config(Codec::H264, SIZE);
        let Err(error) = Encoder::open(device, &config) else { panic!("it opened") };
        assert!(matches!(error, EncodeError::Open { .. }), "{}", annex_b::chain(&error));
        // The next one does.
        open(device, &config);
    });
}

#[test]
fn many_encoders_open_and_close() {
    on_simulated("failing::many_encoders_open_and_close", ARC, |device| {
        let frame = Frame::black(device, SIZE).unwrap();
        for _ in 0..50 {
            let mut encoder = open(device, &config(Codec::H264, SIZE));
            encoder.send(&frame, 1, FrameKind::Any).unwrap();
        }
    });
}

/// Opens `/dev/null` where the preload lets it pass for a render node, and there is no driver.
#[test]
fn a_missing_driver_is_a_sentence() {
    let test = "failing::a_missing_driver_is_a_sentence";
    if std::env::var_os(INNER).is_some() {
        let node = Node::at(Path::new("/"), Path::new("/dev/null"));
        let error = Device::open(&node).unwrap_err().to_string();
        assert!(error.starts_with("no VA-API driver works on /dev/null: install "), "{error}");
        assert!(error.contains("libva said: "), "{error}");
        return;
    }
    let mut command = again(test);
    command.envs(Simulation::new("vaapi", ARC).environment());
    command.env("LIBVA_DRIVERS_PATH", "/nonexistent").env("LIBVA_DRIVER_NAME", "nonexistent");
    let (passed, said) = passes(command.env(INNER, "1"));
    assert!(passed, "{said}");
}

#[test]
fn a_file_that_is_no_node_is_a_sentence() {
    let node = Node::at(Path::new("/"), Path::new("/dev/zero"));
    if std::env::var_os("LD_PRELOAD").is_none() {
        let error = Device::open(&node).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero is not a DRM render node");
    }
}
