//! Every fault of a plan reaches a client of libva's with the status that it has there.

use hwtests::Simulation;
use hwtests::pictures::FFMPEG;

use crate::client::client;

fn with(fault: &str) -> Simulation {
    Simulation::of("amd", &format!("[[device.fault]]\n{fault}"))
}

/// How long the client says that it took.
fn milliseconds(said: &str) -> u64 {
    said.trim().rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn a_session_does_not_open() {
    let simulation = with("kind = \"open-fails\"\nengine = \"encode\"\ntimes = 1");
    assert_eq!(
        client(&simulation, &["encode", "1"]),
        "vaCreateContext 1\n",
        "VA_STATUS_ERROR_OPERATION_FAILED"
    );
    assert!(client(&simulation, &["encode", "1"]).starts_with("frames 1 "), "the second opens");
    let simulation = with("kind = \"open-fails\"\nengine = \"encode\"\nstatus = 2");
    assert_eq!(client(&simulation, &["encode", "1"]), "vaCreateContext 2\n");
}

#[test]
fn the_device_is_lost() {
    let simulation = with("kind = \"lost\"\nengine = \"encode\"\nafter = 3");
    let said = client(&simulation, &["encode", "9"]);
    assert!(said.starts_with("vaEndPicture 1\nframes 4 "), "the fourth picture's end fails: {said}");
    assert_eq!(
        client(&simulation, &["encode", "1"]),
        "vaInitialize 34\n",
        "VA_STATUS_ERROR_HW_BUSY for whoever comes"
    );
    simulation.state().restore(0);
    assert!(client(&simulation, &["encode", "1"]).starts_with("frames 1 "));
}

#[test]
fn a_job_hangs() {
    // So much longer than the client waits that it finds the job hanging however late it is served.
    // Not every driver waits no longer than it is told: AMD's here does not.
    let fault = "[[device.fault]]\nkind = \"hangs\"\nengine = \"encode\"\ntimes = 1\nms = 4000";
    let said = client(&Simulation::of("intel-uhd", fault), &["timeout"]);
    assert_eq!(said, "vaSyncSurface2 38\nready 0\nvaSyncSurface 0\n", "VA_STATUS_ERROR_TIMEDOUT, then done");
    let simulation = with("kind = \"hangs\"\nengine = \"encode\"\nafter = 2\ntimes = 1\nms = 400");
    assert!(milliseconds(&client(&simulation, &["encode", "4"])) >= 400);
}

#[test]
fn an_engine_has_a_speed_and_slows() {
    // A picture is 76,800 pixels: 10 ms at 7.68 Mpx/s, and the engine does one after the other.
    let simulation = Simulation::of("amd", "encode_mpx_s = 7");
    assert!(milliseconds(&client(&simulation, &["encode", "20"])) >= 200);
    let fault = "encode_mpx_s = 700\n[[device.fault]]\nkind = \"slows\"\nengine = \"encode\"\nfactor = 200";
    assert!(milliseconds(&client(&Simulation::of("amd", fault), &["encode", "20"])) >= 400);
}

#[test]
fn what_comes_out_is_damaged() {
    let simulation = with("kind = \"corrupts\"\nengine = \"encode\"\nafter = 5\ntimes = 1");
    let file = simulation.file("coded.h264");
    client(&simulation, &["encode", "10", file.to_str().unwrap()]);
    let output = std::process::Command::new(FFMPEG)
        .args(["-v", "error", "-i"])
        .arg(&file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    assert!(!output.stderr.is_empty(), "a decoder complains");
    simulation.assert_clean();
}

#[test]
fn device_memory_runs_out() {
    let simulation = with("kind = \"out-of-memory\"\ntimes = 1");
    assert_eq!(
        client(&simulation, &["encode", "1"]),
        "vaCreateSurfaces 2\n",
        "VA_STATUS_ERROR_ALLOCATION_FAILED"
    );
    let simulation = Simulation::of("amd", "memory_mib = 0");
    assert_eq!(client(&simulation, &["encode", "1"]), "vaCreateSurfaces 2\n");
}

#[test]
fn sessions_have_a_cap() {
    let simulation = Simulation::of("amd", "session_cap = 0");
    assert_eq!(
        client(&simulation, &["encode", "1"]),
        "vaCreateContext 11\n",
        "VA_STATUS_ERROR_MAX_NUM_EXCEEDED"
    );
}

#[test]
fn a_bit_rate_changes_within_a_second() {
    let simulation = Simulation::of("amd", "");
    let said = client(&simulation, &["rate-step"]);
    let bytes: Vec<f64> = said.trim().split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
    // Seconds of 30 pictures, at 300 kbit/s and then at 1200.
    let kbits = |second: usize| bytes[second] * 8.0 / 1000.0;
    assert!(kbits(1) < 450.0, "{said}");
    assert!(kbits(2) > 700.0 && (1020.0..1380.0).contains(&kbits(3)), "it is there after one second: {said}");
    assert_eq!(simulation.report().devices[0].counters["Reconfigurations"], 1);
    simulation.assert_clean();
}
