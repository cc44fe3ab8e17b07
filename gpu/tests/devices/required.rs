//! What `HWTESTS_REQUIRE` asks for has to be there.

use test_support::Simulation;
use test_support::again::{again, passes};

use crate::{INNER, on_devices};

/// Set for a process that runs the test as where a device is asked for, or is not.
const AGAIN: &str = "GPU_TESTS_AGAIN";

#[test]
fn a_device_that_is_asked_for_and_not_there_is_a_failure() {
    let test = "required::a_device_that_is_asked_for_and_not_there_is_a_failure";
    if std::env::var_os(AGAIN).is_some() {
        on_devices(test, |_| {});
        return;
    }
    // A driver without a device: what the machine itself has does not matter.
    let none = Simulation::new("nvidia", "device = []");
    let run = |asked: &str| {
        let mut command = again(test);
        command.envs(none.environment()).env(AGAIN, "1").env_remove(INNER);
        passes(command.env("HWTESTS_REQUIRE", asked))
    };
    let (passed, said) = run("");
    assert!(passed && said.contains("skipped on a real device"), "{said}");
    let (passed, said) = run("vaapi, nvidia");
    assert!(
        !passed && said.contains("HWTESTS_REQUIRE has nvidia: the NVIDIA driver does not start"),
        "{said}"
    );
}
