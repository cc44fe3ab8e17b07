//! The state as several libraries and processes see it.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sim_state::plan::CapStatus;
use sim_state::{
    Codec, Counter, Engine, Lost, Memory, Offence, OpenError, PLAN_VARIABLE, Plan, Session, SessionSize,
    State,
};
use test_support::wait::{Stopwatch, poll};

/// A plan file, and its state beside it.
fn plan(text: &str) -> (tempfile::TempDir, Plan) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.toml");
    std::fs::write(&path, text).expect("the plan is written");
    let plan = Plan::read(&path).expect("a sound plan");
    (folder, plan)
}

/// A driver's view: a library that stays loaded.
fn join(plan: &Plan) -> &'static State {
    Box::leak(Box::new(State::join(plan.clone()).expect("it joins")))
}

fn open(state: &'static State, device: usize) -> Result<Session, OpenError> {
    Session::open(state, device, Engine::Encode)
}

#[test]
fn the_cap_of_sessions_is_the_systems() {
    let (_folder, plan) = plan(
        "[[device]]\nmodel = \"geforce\"\nsession_cap = 3\ncap_status = \"out-of-memory\"\n\
         [[device]]\nmodel = \"geforce\"\nsession_cap = 3\n[[device]]\nmodel = \"l4\"\n",
    );
    let (one, other) = (join(&plan), join(&plan));
    let held = [open(one, 0), open(one, 1), open(other, 0)].map(|session| session.expect("under the cap"));
    assert_eq!(open(other, 0).expect_err("over the cap"), OpenError::Cap(CapStatus::OutOfMemory));
    assert_eq!(open(other, 1).expect_err("over the cap"), OpenError::Cap(CapStatus::IncompatibleClientKey));
    let _uncapped = open(other, 2).expect("an L4 has no cap");
    drop(held);
    let _again = open(other, 0).expect("there is room again");
    assert_eq!(one.counted(0, Counter::OpensRefused), 1);
}

#[test]
fn what_a_dead_process_held_is_free_again() {
    if let Ok(path) = std::env::var("SHARED_STATE_CHILD") {
        let state = join(&Plan::read(Path::new(&path)).expect("a sound plan"));
        std::mem::forget(open(state, 0).expect("a session"));
        std::mem::forget(Memory::take(state, 0, 1 << 20).expect("memory"));
        std::process::abort();
    }
    let (folder, plan) = plan("[[device]]\nmodel = \"geforce\"\nsession_cap = 1\n");
    let status = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "what_a_dead_process_held_is_free_again"])
        .env("SHARED_STATE_CHILD", folder.path().join("plan.toml"))
        .output()
        .expect("it runs")
        .status;
    assert!(!status.success(), "the child aborts");
    let looking = State::open(plan.clone()).expect("it opens");
    assert_eq!(looking.counted(0, Counter::EncodeOpens), 1, "the child had its session");
    assert_eq!(looking.memory_used(0), 0);
    assert_eq!(looking.counted(0, Counter::SessionsAbandoned), 1);
    let _session = open(join(&plan), 0).expect("its session is free again");
}

#[test]
fn a_live_process_keeps_what_it_holds_and_is_seen() {
    let (_folder, plan) = plan("[[device]]\nmodel = \"l4\"\nmemory_mib = 4\n");
    let (one, other) = (join(&plan), join(&plan));
    let session = open(one, 0).expect("a session");
    session.set_size(SessionSize { codec: Codec::Hevc, width: 1920, height: 1080 });
    session.frame(1_000_000);
    let memory = Memory::take(one, 0, 3 << 20).expect("memory");
    assert!(Memory::take(other, 0, 2 << 20).is_err(), "4 MiB are 4 MiB for all processes");
    let seen = other.sessions_on(0, Engine::Encode);
    assert_eq!((seen[0].pid, seen[0].codec, seen[0].width), (std::process::id(), Some(Codec::Hevc), 1920));
    assert_eq!((seen[0].frames, seen[0].latency_us), (1, 1000));
    assert_eq!(other.memory_by_process(0), [(std::process::id(), memory.bytes())]);
}

#[test]
fn an_engine_takes_its_time_and_is_busy_meanwhile() {
    // 1 Mpx at 10 Mpx/s: 100 ms on one unit.
    let (_folder, plan) = plan("[[device]]\nmodel = \"l4\"\nencode_units = 2\nencode_mpx_s = 10\n");
    let (one, other) = (join(&plan), join(&plan));
    let work = || {
        let since = Stopwatch::start();
        let jobs: Vec<_> = [one, other, one]
            .iter()
            .map(|state| state.begin(0, Engine::Encode, 1_000_000).expect("sound"))
            .collect();
        let at_once = jobs[0].is_done();
        assert!(!at_once || since.elapsed() >= Duration::from_millis(100), "a job takes its time");
        let _ = jobs[2].wait(one).expect("sound");
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(200), "the third waits for one of two units: {took:?}");
        assert!(jobs[0].is_done() && jobs[1].is_done());
    };
    work();
    assert_eq!(one.busy_ns(0, Engine::Encode), 300_000_000);
    // A utilisation is told of whole slices of 125 ms, and the last of them is under way: it is there for most of a second,
    // in which this thread has to be served. Where it was not, there is work once more.
    let look = || {
        let percent = other.utilisation_percent(0, Engine::Encode);
        assert!(percent <= 16, "300 ms of two units' second are {percent} %");
        (percent >= 10).then_some(percent)
    };
    let seen = (0..10).find_map(|_| {
        // Longer than work stays in sight.
        poll(Duration::from_millis(1500), look).or_else(|| {
            work();
            None
        })
    });
    println!("{} %", seen.expect("the work shows"));
}

#[test]
fn opening_takes_its_time_one_after_the_other() {
    let (_folder, plan) = plan("[[device]]\nmodel = \"l4\"\nopen_delay_ms = 40\n");
    let state = join(&plan);
    let since = Stopwatch::start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| open(state, 0).expect("a session"));
        }
    });
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(160), "four opens of 40 ms took {took:?}");
}

#[test]
fn each_fault_comes_when_it_is_due() {
    let (_folder, plan) = plan(
        "[[device]]\nmodel = \"l4\"\n\
         [[device.fault]]\nkind = \"open-fails\"\nengine = \"encode\"\nafter = 1\ntimes = 1\nstatus = 8\n\
         [[device.fault]]\nkind = \"corrupts\"\nafter = 1\ntimes = 2\n\
         [[device.fault]]\nkind = \"hangs\"\nengine = \"decode\"\nms = 60\ntimes = 1\n\
         [[device.fault]]\nkind = \"slows\"\nengine = \"scale\"\nfactor = 3\n\
         [[device.fault]]\nkind = \"lost\"\nafter = 5\nxid = 31\n\
         [[device.fault]]\nkind = \"out-of-memory\"\nafter = 1\ntimes = 1\n",
    );
    let state = join(&plan);
    let _first = open(state, 0).expect("the first is sound");
    assert_eq!(open(state, 0).expect_err("the second is not"), OpenError::Planned(Some(8)));
    let _third = open(state, 0).expect("it was to fail once");

    let corrupt: Vec<bool> =
        (0..5).map(|_| state.begin(0, Engine::Encode, 1).expect("not lost yet").corrupt()).collect();
    assert_eq!(corrupt, [false, true, true, false, false]);

    let since = Stopwatch::start();
    let hanging = state.begin(0, Engine::Decode, 1).expect("sound");
    let at_once = hanging.is_done();
    assert!(!at_once || since.elapsed() >= Duration::from_millis(60), "it hangs");
    assert!(hanging.wait(state).expect("it comes back") >= 60_000_000);

    let _memory = Memory::take(state, 0, 1).expect("the first is sound");
    assert!(Memory::take(state, 0, 1).is_err());
    let _memory = Memory::take(state, 0, 1).expect("it was to fail once");

    assert_eq!(state.begin(0, Engine::Encode, 1).expect_err("lost with the sixth frame"), Lost { xid: 31 });
    assert_eq!(join(&plan).there(0), Err(Lost { xid: 31 }), "for every process");
    assert_eq!(state.losses(0), (1, 31));
    state.restore(0);
    assert_eq!(state.there(0), Ok(()));
    assert_eq!(state.losses(0), (1, 31), "a loss stays in the log");
}

#[test]
fn a_job_that_hangs_for_ever_ends_with_the_device() {
    let (_folder, plan) = plan("[[device]]\nmodel = \"l4\"\n[[device.fault]]\nkind = \"hangs\"\n");
    let (state, other) = (join(&plan), State::open(plan.clone()).expect("it opens"));
    let job = state.begin(0, Engine::Encode, 1).expect("sound");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| job.wait(state));
        let ends = poll(Duration::from_millis(50), || waiting.is_finished().then_some(()));
        assert_eq!(ends, None, "without a fault it takes no time");
        other.lose(0, 79);
        assert_eq!(waiting.join().expect("it ends"), Err(Lost { xid: 79 }));
    });
}

#[test]
fn violations_are_kept_in_order_and_counted_beyond_their_room() {
    let (_folder, plan) = plan("");
    let (one, other) = (join(&plan), State::open(plan.clone()).expect("it opens"));
    one.violation("nvenc", Offence::Misuse, "a first thing");
    one.violation("cuda", Offence::Leak, &"ö".repeat(400));
    for _ in 0..100 {
        one.violation("nvenc", Offence::Misuse, "again");
    }
    let seen = other.violations();
    assert_eq!(seen[0], (Offence::Misuse, "nvenc: a first thing".into()));
    assert_eq!(seen[1].0, Offence::Leak);
    assert!(seen[1].1.starts_with("cuda: ö") && seen[1].1.len() <= 256);
    assert_eq!((other.violation_count(), seen.len()), (102, 64));
}

#[test]
fn the_report_program_shows_the_state_and_takes_a_device_away() {
    let (folder, plan) = plan("[[device]]\nmodel = \"h200\"\n");
    let state = join(&plan);
    let report = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sim-report"))
            .arg(folder.path().join("plan.toml"))
            .args(arguments)
            .env_remove(PLAN_VARIABLE)
            .output()
            .expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (sound, text) = report(&["lose", "0", "79"]);
    assert!(sound && text.contains("Simulated NVIDIA H200") && text.contains("\"lost\": 79"), "{text}");
    assert_eq!(state.there(0), Err(Lost { xid: 79 }));
    assert!(report(&["restore", "0"]).0);
    assert_eq!(state.there(0), Ok(()));
    assert!(!report(&["lose", "1", "79"]).0, "there is no device 1");
}
