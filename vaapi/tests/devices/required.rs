//! What `HWTESTS_REQUIRE` asks for has to be there.

use std::process::Command;

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
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            // Where the machine has a node, there is no driver for it.
            .env("LIBVA_DRIVERS_PATH", "/nonexistent")
            .env("LIBVA_DRIVER_NAME", "nonexistent")
            .env(AGAIN, "1")
            .env("HWTESTS_REQUIRE", asked)
            .env_remove(INNER)
            .output()
            .unwrap();
        let said =
            [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        (output.status.success(), said)
    };
    let (passed, said) = run("nvidia");
    assert!(passed, "{said}");
    let (passed, said) = run("nvidia,vaapi");
    assert!(!passed && said.contains("HWTESTS_REQUIRE has vaapi"), "{said}");
}
