//! Every fault of a plan reaches a client of NVENC with the vendor's status.

use hwtests::Simulation;
use hwtests::pictures::{FFMPEG, checksums, present_day_ffmpeg};

use crate::client::client;

fn with(fault: &str) -> Simulation {
    Simulation::of("l4", &format!("[[device.fault]]\n{fault}"))
}

fn milliseconds(said: &str) -> u64 {
    said.trim().rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn a_session_does_not_open() {
    let simulation = with("kind = \"open-fails\"\nengine = \"encode\"\ntimes = 1\nstatus = 8");
    assert_eq!(client(&simulation, &[]), "api.nvEncOpenEncodeSessionEx 8\n");
    assert!(client(&simulation, &[]).starts_with("frames 4 "), "the second opens");
}

#[test]
fn the_cap_is_told_as_old_and_new_drivers_tell_it() {
    let key = with("kind = \"cap-reached\"\ntimes = 1");
    assert_eq!(client(&key, &[]), "api.nvEncOpenEncodeSessionEx 21\n");
    let memory = Simulation::of("geforce", "session_cap = 0\ncap_status = \"out-of-memory\"");
    assert_eq!(client(&memory, &[]), "api.nvEncOpenEncodeSessionEx 10\n");
}

#[test]
fn a_device_without_an_encoder_says_so() {
    assert_eq!(client(&Simulation::of("h200", ""), &[]), "api.nvEncOpenEncodeSessionEx 2\n");
}

#[test]
fn a_lost_device_is_lost_to_everybody() {
    let simulation = with("kind = \"lost\"\nafter = 3\nxid = 79");
    let said = client(&simulation, &["", "9"]);
    assert!(said.starts_with("api.nvEncEncodePicture 5\nframes 3 "), "NV_ENC_ERR_DEVICE_NOT_EXIST: {said}");
    assert_eq!(client(&simulation, &[]), "cuCtxCreate 999\n", "CUDA_ERROR_UNKNOWN for whoever comes");
    assert_eq!(simulation.state().losses(0), (1, 79));
    simulation.assert_clean();
    simulation.state().restore(0);
    assert!(client(&simulation, &[]).starts_with("frames 4 "));
}

#[test]
fn an_encode_hangs_slows_and_keeps_its_speed() {
    let simulation = with("kind = \"hangs\"\nafter = 1\ntimes = 1\nms = 300");
    assert!(milliseconds(&client(&simulation, &[])) >= 300);
    // A picture is 76,800 pixels: 10 ms at 7.68 Mpx/s.
    assert!(milliseconds(&client(&Simulation::of("l4", "encode_mpx_s = 7"), &["", "20"])) >= 200);
    let slow = "encode_mpx_s = 700\n[[device.fault]]\nkind = \"slows\"\nfactor = 200";
    assert!(milliseconds(&client(&Simulation::of("l4", slow), &["", "20"])) >= 400);
}

#[test]
fn memory_runs_out() {
    let simulation = with("kind = \"out-of-memory\"\ntimes = 1");
    assert_eq!(client(&simulation, &[]), "cuMemAlloc 2\n");
    // The client's own allocation, then the session's.
    let simulation = with("kind = \"out-of-memory\"\nafter = 1\ntimes = 1");
    assert_eq!(client(&simulation, &[]), "api.nvEncInitializeEncoder 10\n");
    let simulation = Simulation::of("l4", "memory_mib = 0");
    assert_eq!(client(&simulation, &[]), "cuMemAlloc 2\n");
}

#[test]
fn corrupt_output_is_corrupt_from_its_first_picture_on() {
    let coded = |simulation: &Simulation| {
        let file = simulation.file("coded.mkv");
        let mut command = simulation.nvidia(FFMPEG);
        command.args(["-v", "error", "-i"]).arg(hwtests::natural_clip());
        command.args(["-an", "-frames:v", "20", "-c:v", "h264_nvenc", "-bf", "0"]).arg(&file);
        hwtests::simulation::run(&mut command);
        checksums(&file, "yuv420p")
    };
    let corrupt = coded(&with("kind = \"corrupts\"\nafter = 10\ntimes = 3"));
    let sound = coded(&Simulation::of("l4", ""));
    assert_eq!(sound.iter().zip(&corrupt).position(|(a, b)| a != b), Some(10));
}

#[test]
fn an_old_driver_is_too_old_and_says_which_it_is() {
    let simulation = Simulation::new("driver = \"535.183.01\"\n[[device]]\nmodel = \"l4\"\n");
    assert!(client(&simulation, &[]).starts_with("frames 4 "), "it speaks 11.1, too");
    let mut command = simulation.nvidia(&present_day_ffmpeg());
    command.args(["-v", "error", "-i"]).arg(hwtests::natural_clip());
    command.args(["-an", "-frames:v", "5", "-c:v", "h264_nvenc", "-f", "null", "-"]);
    let output = command.output().expect("ffmpeg runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Found: 12.1"), "{said}");
}

#[test]
fn without_nvidia_devices_there_is_none() {
    assert_eq!(client(&Simulation::of("intel", ""), &[]), "cuInit 100\n", "CUDA_ERROR_NO_DEVICE");
}
