//! Which engines there are, and a process for each.

use std::path::Path;

use hwtests::Simulation;
use hwtests::conformance::nvidia::Nvidia;
use hwtests::conformance::software::Software;
use hwtests::conformance::stream::Fixtures;
use hwtests::conformance::vaapi::Vaapi;
use hwtests::conformance::{Engine, Failure, PATIENCE, chain, known_failure};
use sim_state::Offence;
use vaapi::EntryPoint;

/// Set for a process that is to run one check on one device.
const INNER: &str = "HWTESTS_DEVICE";
/// The folder of what ffmpeg has made for it, or is still to make.
const FIXTURES: &str = "HWTESTS_FIXTURES";

/// What is run on a device.
pub(crate) type Body = fn(&dyn Engine, &Fixtures) -> Result<(), Failure>;

/// Simulated devices: a name, its driver's kind, and its plan.
const SIMULATED: [(&str, Driver, &str); 4] = [
    ("sim-intel", Driver::LowPower, "intel"),
    ("sim-intel-uhd", Driver::Full, "intel-uhd"),
    ("sim-amd", Driver::Full, "amd"),
    ("sim-l4", Driver::Nvidia, "l4"),
];

/// How a device is reached.
#[derive(Clone, Copy)]
enum Driver {
    LowPower,
    Full,
    Nvidia,
}

fn open(driver: Driver, node: &Path) -> Result<Box<dyn Engine>, Failure> {
    Ok(match driver {
        Driver::LowPower => Box::new(Vaapi::open(node, EntryPoint::LowPower)?),
        Driver::Full => Box::new(Vaapi::open(node, EntryPoint::Full)?),
        Driver::Nvidia => Box::new(Nvidia::open(0)?),
    })
}

fn required(what: &str) -> bool {
    std::env::var("HWTESTS_REQUIRE").is_ok_and(|list| list.split(',').any(|word| word.trim() == what))
}

/// Runs a check here, on a device that is open.
fn run(check: &str, engine: &dyn Engine, fixtures: &Fixtures, body: Body) {
    let name = engine.name();
    if let Some(reason) = known_failure(&name, check) {
        println!("{check} is known to fail on {name}: {reason}");
        return;
    }
    if let Err(failure) = body(engine, fixtures) {
        panic!("{check} on {name}: {}", chain(&*failure));
    }
}

/// In a process for one device: runs the check there, and answers true.
fn inner(check: &str, body: Body) -> bool {
    let Ok(device) = std::env::var(INNER) else { return false };
    let (_, driver, _) = SIMULATED.iter().find(|(name, ..)| *name == device).expect("one of them");
    let engine = open(*driver, Path::new("/dev/null"))
        .unwrap_or_else(|failure| panic!("{device}: {}", chain(&*failure)));
    let folder = std::env::var_os(FIXTURES).expect("whoever sets the one sets the other");
    run(check, &*engine, &Fixtures::at(Path::new(&folder)), body);
    true
}

/// Runs a test on every device; the check is named as the test is, without its module.
pub(crate) fn on_each(test: &str, body: Body) {
    let check = test.rsplit("::").next().unwrap_or(test);
    if inner(check, body) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fixtures = Fixtures::at(folder.path());
    run(check, &Software::open(), &fixtures, body);
    for (device, driver, model) in SIMULATED {
        in_its_own_process(test, device, driver, &Simulation::of(model, ""), folder.path());
    }
    on_real_ones(check, &fixtures, body);
}

/// Runs a test on every simulated device, with more in its table of the plan.
pub(crate) fn on_simulated(test: &str, more: &str, body: Body) {
    if inner(test, body) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (device, driver, model) in SIMULATED {
        in_its_own_process(test, device, driver, &Simulation::of(model, more), folder.path());
    }
}

/// As [`on_simulated`], where the engine is patient for no more than a second, and what a hanging device has is not given
/// back.
pub(crate) fn on_hanging(test: &str, more: &str, body: Body) {
    if inner(test, body) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (device, driver, model) in SIMULATED {
        let simulation = Simulation::of(model, more);
        again(test, device, driver, &simulation, folder.path(), &[(PATIENCE, "1000")]);
        // NVIDIA's drivers tell at the process's end of what was left to them.
        let misuse = |(offence, _): &(Offence, String)| *offence == Offence::Misuse;
        let misused: Vec<_> = simulation.state().violations().into_iter().filter(misuse).collect();
        assert!(misused.is_empty(), "{device}: what hangs is not left as it is: {misused:#?}");
    }
}

/// Runs a test on one simulated NVIDIA device, of a plan of its own.
pub(crate) fn on_nvidia(test: &str, plan: &str, body: Body) {
    if inner(test, body) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    in_its_own_process(test, "sim-l4", Driver::Nvidia, &Simulation::new(plan), folder.path());
}

/// Once more, as a process that finds the simulated drivers, which must find nothing to complain of.
fn in_its_own_process(test: &str, device: &str, driver: Driver, simulation: &Simulation, fixtures: &Path) {
    again(test, device, driver, simulation, fixtures, &[]);
    simulation.assert_clean();
}

/// Once more, as a process that finds the simulated drivers, with more variables.
fn again(
    test: &str,
    device: &str,
    driver: Driver,
    simulation: &Simulation,
    fixtures: &Path,
    more: &[(&str, &str)],
) {
    let this = std::env::current_exe().expect("a running program");
    let this = this.to_str().expect("a path of text");
    let mut command = match driver {
        Driver::Nvidia => simulation.nvidia(this),
        _ => simulation.va(this),
    };
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INNER, device)
        .env(FIXTURES, fixtures)
        .envs(more.iter().copied())
        .output()
        .expect("it runs again");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{device}:\n{said}");
    assert!(said.contains("1 passed"), "{device}: the check did not run:\n{said}");
    println!("{said}");
}

pub(crate) fn on_real_ones(check: &str, fixtures: &Fixtures, body: Body) {
    let mut found = 0;
    for node in vaapi::Node::list(Path::new("/")).unwrap_or_default() {
        match open(Driver::LowPower, &node.path) {
            Ok(engine) => {
                found += 1;
                println!("{check} on {}", engine.name());
                run(check, &*engine, fixtures, body);
            }
            Err(failure) => println!("{}: {}", node.path.display(), chain(&*failure)),
        }
    }
    assert!(found > 0 || !required("vaapi"), "HWTESTS_REQUIRE has vaapi, and none is there");
    match gpu::Device::list() {
        Ok(devices) => {
            assert!(
                !devices.is_empty() || !required("nvidia"),
                "HWTESTS_REQUIRE has nvidia, and none is there"
            );
            for device in devices {
                let engine = Nvidia::open(device.ordinal).expect("a listed device opens");
                println!("{check} on {}", engine.name());
                run(check, &engine, fixtures, body);
            }
        }
        Err(error) => assert!(!required("nvidia"), "HWTESTS_REQUIRE has nvidia: {}", chain(&error)),
    }
}
