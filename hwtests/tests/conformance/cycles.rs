//! Sessions that come and go, and what a process holds after many of them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use hwtests::conformance::stream::Fixtures;
use hwtests::conformance::{Engine, Failure, Job, decode_all, encode_all};
use test_support::wait;

use crate::devices::on_each;

/// Cycles that are looked at, and cycles before them: whatever a process keeps, it has then.
const CYCLES: usize = 200;
const WARM: usize = 40;
/// What the process may hold more after the cycles than before, in KiB: less than the 8437 of a picture (320x180) for each of
/// the hundred that are used. The libraries inside the simulated drivers come to 3500 by themselves.
const MOST_KIB: u64 = 6144;
/// For the kernel to take a thread that has been joined off the process's list: it wakes who joins before it does that.
const UNLISTED: Duration = Duration::from_secs(5);

/// What this process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    threads: usize,
    resident_kib: u64,
}

fn held() -> Result<Held, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let count = |folder: &str| fs::read_dir(folder).map(Iterator::count);
    Ok(Held {
        descriptors: count("/proc/self/fd")?,
        threads: count("/proc/self/task")?,
        resident_kib: resident.trim().trim_end_matches(" kB").parse()?,
    })
}

/// Runs cycles, and fails where the process holds more after them than before.
fn cycle(what: &str, mut once: impl FnMut(usize) -> Result<(), Failure>) -> Result<(), Failure> {
    for number in 0..WARM {
        once(number)?;
    }
    let before = held()?;
    for number in 0..CYCLES {
        once(number)?;
    }
    let more = |after: &Held| {
        after.descriptors > before.descriptors + 1
            || after.threads > before.threads
            || after.resident_kib > before.resident_kib + MOST_KIB
    };
    let back = wait::poll(UNLISTED, || held().ok().filter(|after| !more(after)));
    let after = back.map_or_else(held, Ok)?;
    println!("{what}: {before:?}, then {after:?}");
    if more(&after) {
        Err(format!("{what}: {before:?}, and {after:?} after {CYCLES} cycles").into())
    } else {
        Ok(())
    }
}

fn encoders(engine: &dyn Engine, fixtures: &Fixtures) -> Result<(), Failure> {
    let picture = &fixtures.natural(8, 320, 180, 1)[0];
    for codec in engine.encodes() {
        cycle(&format!("encoders of {codec:?}"), |number| {
            let mut encoder = engine.encoder(Job { codec, width: 320, height: 180, bit_rate: 400_000 })?;
            // Every other one is used: what a session holds, it mostly holds from its first picture on.
            if !number.is_multiple_of(2) {
                encode_all(&mut *encoder, std::slice::from_ref(picture), |_| true)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn decoders(engine: &dyn Engine, fixtures: &Fixtures) -> Result<(), Failure> {
    for (codec, depth) in engine.decodes() {
        let stream = fixtures.stream(codec, depth, 320, 180, 3);
        cycle(&format!("decoders of {codec:?} with {depth} bits"), |number| {
            let mut decoder = engine.decoder(codec, &stream.configuration)?;
            // Half give all, some are left with pictures inside, some are only opened.
            match number % 4 {
                0 => Ok(()),
                2 => decoder.send(&stream.units[0]),
                _ => decode_all(&mut *decoder, &stream.units).map(drop),
            }
        })?;
    }
    Ok(())
}

#[test]
fn two_hundred_sessions_leave_nothing_behind() {
    /// Set for a process that runs no other test: what it holds is what sessions have left.
    const ALONE: &str = "HWTESTS_ALONE";
    let test = "cycles::two_hundred_sessions_leave_nothing_behind";
    if std::env::var_os(ALONE).is_some() {
        on_each(test, |engine, fixtures| {
            encoders(engine, fixtures)?;
            decoders(engine, fixtures)
        });
        return;
    }
    let mut again = Command::new(std::env::current_exe().expect("a running program"));
    again.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    let output = again.output().expect("it runs again");
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    println!("{said}");
}
