//! vainfo, libva's own tool, lists what each simulated device can do.

use hwtests::Simulation;
use hwtests::simulation::run;

/// What vainfo says of the only device.
fn vainfo(simulation: &Simulation) -> String {
    let output = run(simulation.va("vainfo").args(["--display", "drm", "--device", "/dev/null"]));
    // Columns are padded with blanks.
    String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|line| line.replace([' ', '\t'], "") + "\n")
        .collect()
}

#[test]
fn an_arc_has_low_power_encoders_only() {
    let simulation = Simulation::of("intel", "");
    let listed = vainfo(&simulation);
    for line in [
        "VAProfileNone:VAEntrypointVideoProc",
        "VAProfileH264High:VAEntrypointVLD",
        "VAProfileH264High:VAEntrypointEncSliceLP",
        "VAProfileHEVCMain10:VAEntrypointVLD",
        "VAProfileHEVCMain10:VAEntrypointEncSliceLP",
    ] {
        assert!(listed.contains(&format!("{line}\n")), "{line} is missing from:\n{listed}");
    }
    assert!(!listed.contains("EncSlice\n"), "{listed}");
    assert!(listed.contains("SimulatedVA-APIdriver"), "it says what it is: {listed}");
    simulation.assert_clean();
}

#[test]
fn an_older_device_has_both_kinds_of_encoders() {
    let simulation = Simulation::of("intel-uhd", "");
    let listed = vainfo(&simulation);
    assert!(listed.contains("VAProfileH264Main:VAEntrypointEncSlice\n"), "{listed}");
    assert!(listed.contains("VAProfileH264Main:VAEntrypointEncSliceLP\n"), "{listed}");
    assert!(listed.contains("VAProfileHEVCMain:VAEntrypointEncSlice\n"), "{listed}");
    assert!(!listed.contains("VAProfileHEVCMain:VAEntrypointEncSliceLP\n"), "{listed}");
}

#[test]
fn a_plan_says_what_a_device_lacks() {
    let simulation = Simulation::of("amd", "encode = [\"h264\"]\ndecode = [\"hevc\"]\ndecode_10bit = []");
    let listed = vainfo(&simulation);
    assert!(listed.contains("VAProfileH264High:VAEntrypointEncSlice\n"), "{listed}");
    assert!(listed.contains("VAProfileHEVCMain:VAEntrypointVLD\n"), "{listed}");
    assert!(!listed.contains("VAProfileH264High:VAEntrypointVLD"), "{listed}");
    assert!(!listed.contains("HEVCMain10"), "{listed}");
}

#[test]
fn nodes_stand_for_the_devices_of_the_plan() {
    let simulation = Simulation::new(
        "[[device]]\nmodel = \"l4\"\n[[device]]\nmodel = \"intel\"\n[[device]]\nmodel = \"amd\"\n",
    );
    let name = |node: &str| {
        let output = run(simulation.va("vainfo").args(["--display", "drm", "--device", node]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(name("/dev/null").contains("iHD"));
    assert!(name("/dev/zero").contains("radeonsi"));
    let refused =
        simulation.va("vainfo").args(["--display", "drm", "--device", "/dev/full"]).output().unwrap();
    assert!(!refused.status.success(), "the plan has no third VA-API device");
}

#[test]
fn a_plan_that_is_none_leaves_no_device() {
    let simulation = Simulation::of("intel", "");
    std::fs::write(simulation.file("plan.toml"), "[[device]]\nmodel = \"inlet\"\n").unwrap();
    let output =
        simulation.va("vainfo").args(["--display", "drm", "--device", "/dev/null"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("inlet"), "the driver says why: {said}");
}
