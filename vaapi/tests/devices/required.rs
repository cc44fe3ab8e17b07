//! What `HWTESTS_REQUIRE` asks for has to be there.

use test_support::again::{again, passes};

use crate::{INNER, on_devices};

/// Set for a process that runs the test as where a device is asked for, or is not.
const AGAIN: &str = "VAAPI_TESTS_AGAIN";

#[test]
fn a_device_that_is_asked_for_and_not_there_is_a_failure() {
    let test = "required::a_device_that_is_asked_for_and_not_there_is_a_failure";
    if std::env::var_os(AGAIN).is_some() {
        on_devices(test, |_| {});
        return;
    }
    let run = |asked: &str| {
        let mut command = again(test);
        // Where the machine has a node, there is no driver for it.
        command.env("LIBVA_DRIVERS_PATH", "/nonexistent").env("LIBVA_DRIVER_NAME", "nonexistent");
        passes(command.env(AGAIN, "1").env("HWTESTS_REQUIRE", asked).env_remove(INNER))
    };
    let (passed, said) = run("nvidia");
    assert!(passed, "{said}");
    let (passed, said) = run("nvidia,vaapi");
    assert!(!passed && said.contains("HWTESTS_REQUIRE has vaapi"), "{said}");
}
