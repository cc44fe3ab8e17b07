//! Each fault of a plan reaches the engine's caller as an error with a sentence: never as a panic, never as silence.

use hwtests::conformance::stream::Fixtures;
use hwtests::conformance::{Codec, Engine, Failure, Job, chain, encode_all};

use crate::devices::on_simulated;

/// H.264, small.
const JOB: Job = Job { codec: Codec::H264, width: 320, height: 180, bit_rate: 400_000 };

/// What the engine says when it is to encode ten pictures; `None` where it does.
fn complaint(engine: &dyn Engine, fixtures: &Fixtures) -> Option<String> {
    let pictures = fixtures.natural(8, 320, 180, 10);
    // Every one of these devices encodes it, though one that opens no session cannot be asked.
    let done = engine.encoder(JOB).and_then(|mut encoder| encode_all(&mut *encoder, &pictures, |at| at == 0));
    done.err().map(|failure| chain(&*failure))
}

/// Fails unless the engine complains, of a thing that the complaint names.
fn complains_of(engine: &dyn Engine, fixtures: &Fixtures, words: &[&str]) -> Result<(), Failure> {
    let said = complaint(engine, fixtures).ok_or("it goes on as if nothing were")?;
    println!("{said}");
    if words.iter().any(|word| said.to_lowercase().contains(word)) {
        return Ok(());
    }
    Err(format!("none of {words:?} is in: {said}").into())
}

#[test]
fn a_session_does_not_open() {
    let fault = "kind = \"open-fails\"\nengine = \"encode\"";
    on_simulated("faults::a_session_does_not_open", fault, |engine, fixtures| {
        complains_of(engine, fixtures, &["session", "context", "open"])
    });
}

#[test]
fn the_device_is_lost() {
    let fault = "kind = \"lost\"\nengine = \"encode\"\nafter = 4";
    on_simulated("faults::the_device_is_lost", fault, |engine, fixtures| {
        complains_of(engine, fixtures, &["lost", "fail", "bus", "device", "operation"])
    });
}

#[test]
fn what_comes_out_damaged_is_no_error_of_the_engine() {
    let fault = "kind = \"corrupts\"\nengine = \"encode\"\nafter = 2\ntimes = 1";
    on_simulated("faults::what_comes_out_damaged_is_no_error_of_the_engine", fault, |engine, fixtures| {
        complaint(engine, fixtures).map_or(Ok(()), |said| Err(said.into()))
    });
}

#[test]
fn a_slow_device_is_waited_for() {
    let fault = "kind = \"slows\"\nengine = \"encode\"\ntimes = 3\nfactor = 20";
    on_simulated("faults::a_slow_device_is_waited_for", fault, |engine, fixtures| {
        complaint(engine, fixtures).map_or(Ok(()), |said| Err(said.into()))
    });
}

#[test]
fn device_memory_runs_out() {
    let fault = "kind = \"out-of-memory\"";
    on_simulated("faults::device_memory_runs_out", fault, |engine, fixtures| {
        complains_of(engine, fixtures, &["memory", "alloc"])
    });
}
