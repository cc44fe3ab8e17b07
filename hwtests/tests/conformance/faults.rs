//! Each fault of a plan reaches the engine's caller as an error of its kind: never as a panic, never as silence. What is no
//! error of the device's, as a picture that took long, is none of the engine's.
//!
//! A decoder or a processor that hangs for ever holds its caller for ever: the worker is ended by the daemon then.

use std::time::{Duration, Instant};

use hwtests::conformance::nvidia::Nvidia;
use hwtests::conformance::stream::Fixtures;
use hwtests::conformance::{
    Codec, Coded, Engine, Failure, Fault, Job, Picture, chain, decode_all, encode_all,
};

use crate::devices::{on_hanging, on_nvidia, on_simulated};

/// H.264, small.
const JOB: Job = Job { codec: Codec::H264, width: 320, height: 180, bit_rate: 400_000 };
/// Pictures of each try.
const COUNT: usize = 10;

fn encoded(engine: &dyn Engine, fixtures: &Fixtures) -> Result<Vec<Coded>, Failure> {
    let pictures = fixtures.natural(8, 320, 180, COUNT);
    let mut encoder = engine.encoder(JOB)?;
    encode_all(&mut *encoder, &pictures, |at| at == 0)
}

fn decoded(engine: &dyn Engine, fixtures: &Fixtures) -> Result<Vec<Picture>, Failure> {
    let stream = fixtures.stream(Codec::H264, 8, 320, 180, COUNT);
    let mut decoder = engine.decoder(Codec::H264, &stream.configuration)?;
    decode_all(&mut *decoder, &stream.units)
}

fn scaled(engine: &dyn Engine, fixtures: &Fixtures) -> Result<Vec<Picture>, Failure> {
    let pictures = fixtures.natural(8, 320, 180, COUNT);
    pictures.iter().map(|picture| engine.scale(picture, 160, 90)).collect()
}

/// Fails unless it failed for this reason.
fn is<T>(fault: Fault, done: Result<Vec<T>, Failure>) -> Result<(), Failure> {
    let Err(failure) = done else { return Err("it goes on as if nothing were".into()) };
    println!("{}", chain(&*failure));
    match Fault::of(&*failure) {
        Some(found) if found == fault => Ok(()),
        found => Err(format!("{found:?} for {fault:?}: {}", chain(&*failure)).into()),
    }
}

/// Fails unless as many came out as went in.
fn is_whole<T>(done: Result<Vec<T>, Failure>) -> Result<Vec<T>, Failure> {
    let all = done?;
    if all.len() == COUNT { Ok(all) } else { Err(format!("{} pictures of {COUNT}", all.len()).into()) }
}

/// As [`is`], of a device that is gone, which NVML tells of where it is NVIDIA's.
fn is_lost<T>(engine: &dyn Engine, work: impl FnOnce() -> Result<Vec<T>, Failure>) -> Result<(), Failure> {
    if !engine.name().contains("NVIDIA") {
        return is(Fault::Lost, work());
    }
    let nvml = gpu::nvml::Nvml::open()?;
    let device = gpu::Device::list()?.into_iter().next().ok_or("a device")?;
    let xids = nvml.xids(&device.uuid)?;
    is(Fault::Lost, work())?;
    match xids.wait(Duration::from_secs(5))? {
        // "GPU has fallen off the bus".
        Some(79) => Ok(()),
        other => Err(format!("Xid {other:?}").into()),
    }
}

/// Fails unless it took so long, and went well.
#[allow(clippy::disallowed_methods, reason = "a bound on time is what is tested")]
fn takes<T>(least: Duration, work: impl FnOnce() -> Result<Vec<T>, Failure>) -> Result<Vec<T>, Failure> {
    let begun = Instant::now();
    let done = is_whole(work())?;
    let taken = begun.elapsed();
    if taken >= least { Ok(done) } else { Err(format!("it took {taken:?}, and not {least:?}").into()) }
}

/// A picture that hangs for 300 ms, and three that take 200 times as long as they should.
fn slow(engine: &str) -> String {
    format!(
        "{engine}_mpx_s = 100\n\
         [[device.fault]]\nkind = \"hangs\"\nengine = \"{engine}\"\nafter = 3\ntimes = 1\nms = 300\n\
         [[device.fault]]\nkind = \"slows\"\nengine = \"{engine}\"\nafter = 4\ntimes = 3\nfactor = 200\n"
    )
}

#[test]
fn an_encoder_does_not_open() {
    let fault = "[[device.fault]]\nkind = \"open-fails\"\nengine = \"encode\"";
    on_simulated("faults::an_encoder_does_not_open", fault, |engine, fixtures| {
        is(Fault::Refused, encoded(engine, fixtures))
    });
}

#[test]
fn a_decoder_does_not_open() {
    let fault = "[[device.fault]]\nkind = \"open-fails\"\nengine = \"decode\"";
    on_simulated("faults::a_decoder_does_not_open", fault, |engine, fixtures| {
        is(Fault::Refused, decoded(engine, fixtures))
    });
}

#[test]
fn as_many_sessions_are_open_as_may_be() {
    let fault = "[[device.fault]]\nkind = \"cap-reached\"";
    on_simulated("faults::as_many_sessions_are_open_as_may_be", fault, |engine, fixtures| {
        is(Fault::Cap, encoded(engine, fixtures))
    });
}

#[test]
fn the_cap_is_known_as_old_drivers_tell_it() {
    let plan = "[[device]]\nmodel = \"geforce\"\nsession_cap = 1\ncap_status = \"out-of-memory\"\n";
    on_nvidia("faults::the_cap_is_known_as_old_drivers_tell_it", plan, |engine, fixtures| {
        let _first = engine.encoder(JOB)?;
        is(Fault::Cap, encoded(engine, fixtures))
    });
}

#[test]
fn the_device_is_lost_as_it_encodes() {
    let fault = "[[device.fault]]\nkind = \"lost\"\nengine = \"encode\"\nafter = 4";
    on_simulated("faults::the_device_is_lost_as_it_encodes", fault, |engine, fixtures| {
        is_lost(engine, || encoded(engine, fixtures))
    });
}

#[test]
fn the_device_is_lost_as_it_decodes() {
    let fault = "[[device.fault]]\nkind = \"lost\"\nengine = \"decode\"\nafter = 4";
    on_simulated("faults::the_device_is_lost_as_it_decodes", fault, |engine, fixtures| {
        is_lost(engine, || decoded(engine, fixtures))
    });
}

#[test]
fn the_device_is_lost_as_it_scales() {
    let fault = "[[device.fault]]\nkind = \"lost\"\nengine = \"scale\"\nafter = 4";
    on_simulated("faults::the_device_is_lost_as_it_scales", fault, |engine, fixtures| {
        is_lost(engine, || scaled(engine, fixtures))
    });
}

#[test]
fn an_encoder_hangs() {
    let fault = "[[device.fault]]\nkind = \"hangs\"\nengine = \"encode\"\nafter = 4";
    on_hanging("faults::an_encoder_hangs", fault, |engine, fixtures| {
        is(Fault::Stuck, encoded(engine, fixtures))
    });
}

#[test]
fn a_slow_encoder_is_waited_for() {
    on_simulated("faults::a_slow_encoder_is_waited_for", &slow("encode"), |engine, fixtures| {
        takes(Duration::from_millis(600), || encoded(engine, fixtures)).map(drop)
    });
}

#[test]
fn a_slow_decoder_is_waited_for() {
    on_simulated("faults::a_slow_decoder_is_waited_for", &slow("decode"), |engine, fixtures| {
        // A device that decodes several at once has the slow ones within the time of the hanging one.
        let pictures = takes(Duration::from_millis(300), || decoded(engine, fixtures))?;
        let right = fixtures.stream(Codec::H264, 8, 320, 180, COUNT).decoded();
        if pictures == right { Ok(()) } else { Err("other pictures come out".into()) }
    });
}

#[test]
fn a_slow_processor_is_waited_for() {
    on_simulated("faults::a_slow_processor_is_waited_for", &slow("scale"), |engine, fixtures| {
        takes(Duration::from_millis(350), || scaled(engine, fixtures)).map(drop)
    });
}

#[test]
fn what_an_encoder_damages_is_no_error_of_the_engine() {
    let fault = "[[device.fault]]\nkind = \"corrupts\"\nengine = \"encode\"\nafter = 2\ntimes = 1";
    on_simulated("faults::what_an_encoder_damages_is_no_error_of_the_engine", fault, |engine, fixtures| {
        is_whole(encoded(engine, fixtures)).map(drop)
    });
}

#[test]
fn what_a_decoder_damages_is_no_error_of_the_engine() {
    let fault = "[[device.fault]]\nkind = \"corrupts\"\nengine = \"decode\"\nafter = 4\ntimes = 1";
    on_simulated("faults::what_a_decoder_damages_is_no_error_of_the_engine", fault, |engine, fixtures| {
        let pictures = is_whole(decoded(engine, fixtures))?;
        let right = fixtures.stream(Codec::H264, 8, 320, 180, COUNT).decoded();
        let differ = pictures.iter().zip(&right).filter(|(own, right)| own != right).count();
        if (1..COUNT).contains(&differ) { Ok(()) } else { Err(format!("{differ} pictures differ").into()) }
    });
}

#[test]
fn memory_runs_out_for_an_encoder() {
    let fault = "[[device.fault]]\nkind = \"out-of-memory\"";
    on_simulated("faults::memory_runs_out_for_an_encoder", fault, |engine, fixtures| {
        // NVENC has one status for both, on older drivers.
        let fault = if engine.name().contains("NVIDIA") { Fault::Cap } else { Fault::Memory };
        is(fault, encoded(engine, fixtures))
    });
}

#[test]
fn memory_runs_out_for_a_decoder() {
    let fault = "[[device.fault]]\nkind = \"out-of-memory\"";
    on_simulated("faults::memory_runs_out_for_a_decoder", fault, |engine, fixtures| {
        is(Fault::Memory, decoded(engine, fixtures))
    });
}

#[test]
fn memory_runs_out_for_a_processor() {
    let fault = "[[device.fault]]\nkind = \"out-of-memory\"\nafter = 2";
    on_simulated("faults::memory_runs_out_for_a_processor", fault, |engine, fixtures| {
        is(Fault::Memory, scaled(engine, fixtures))
    });
}

#[test]
fn a_driver_is_too_old() {
    /// Set for the process that opens the device, which no check can run on.
    const OPENS: &str = "HWTESTS_OPENS";
    let test = "faults::a_driver_is_too_old";
    if std::env::var_os(OPENS).is_some() {
        let failure = Nvidia::open(0).err().expect("an old driver is refused");
        println!("{}", chain(&*failure));
        assert_eq!(Fault::of(&*failure), Some(Fault::OldDriver), "{}", chain(&*failure));
        return;
    }
    let simulation = hwtests::Simulation::new("driver = \"470.57.02\"\n[[device]]\nmodel = \"t4\"\n");
    let this = std::env::current_exe().expect("a running program");
    let mut command = simulation.nvidia(this.to_str().expect("a path of text"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(OPENS, "1");
    let output = hwtests::simulation::run(&mut command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("driver 470.57.02 is too old: 535 or newer"), "{said}");
}
