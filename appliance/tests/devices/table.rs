//! The table that `rungd devices` prints.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use test_support::Simulation;
use test_support::rungd::binary;

use crate::{configuration, devices, printed};

/// The lines of one device, or of one thing that cannot be used.
fn lines<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let mut lines = table.lines().skip_while(|line| !line.starts_with(first));
    let first = lines.next().unwrap_or_else(|| panic!("no {first} in\n{table}"));
    std::iter::once(first).chain(lines.take_while(|line| line.starts_with("  "))).collect()
}

#[test]
fn a_device_is_told_of_in_words() {
    let simulation = Simulation::new("nvidia", "driver = \"550.54.14\"\n[[device]]\nmodel = \"l4\"\n");
    let (_folder, config) = configuration(&simulation.sections());
    let table = devices(&config, &[]);
    assert_eq!(lines(&table, "software").len(), 5, "{table}");
    let [id, name, driver, decodes, encodes] = lines(&table, "nvidia:")[..] else { panic!("{table}") };
    assert!(id.starts_with("nvidia:0000:"), "{table}");
    assert_eq!(name, "  name     Simulated NVIDIA L4, 23.0 GiB (simulated)");
    assert_eq!(driver, "  driver   NVIDIA 550.54.14");
    assert_eq!(
        decodes,
        "  decodes  H.264 (up to 4096x4096, 4 engines), HEVC (up to 10 bits, up to 4096x4096, 4 engines), \
         AV1 (up to 10 bits, up to 4096x4096, 4 engines)"
    );
    assert_eq!(
        encodes,
        "  encodes  H.264 (up to 4096x4096, 2 engines), HEVC (up to 4096x4096, 2 engines), \
         AV1 (up to 4096x4096, 2 engines)"
    );
    assert_eq!(lines(&table, "vaapi").len(), 1, "{table}");
}

#[test]
fn a_driver_that_is_too_old_is_said_to_be() {
    let simulation = Simulation::new("nvidia", "driver = \"470.57.02\"\n[[device]]\nmodel = \"t4\"\n");
    let (_folder, config) = configuration(&simulation.sections());
    let table = devices(&config, &[]);
    let [line] = lines(&table, "nvidia")[..] else { panic!("{table}") };
    let said = "nvidia (driver) cannot be used: driver 470.57.02 is too old: 535 or newer is needed";
    assert!(line.starts_with(said), "{table}");
}

#[test]
fn simulated_devices_are_refused_unless_they_are_wanted() {
    let simulation = Simulation::new("nvidia", "[[device]]\nmodel = \"t4\"\n");
    let sections = simulation.sections().replace("allow_simulated = true", "allow_simulated = false");
    let (_folder, config) = configuration(&sections);
    let table = devices(&config, &[]);
    let [line] = lines(&table, "nvidia")[..] else { panic!("{table}") };
    assert!(
        line.contains("\"Simulated Tesla T4\" is simulated, for tests: allow_simulated = true"),
        "{table}"
    );
}

/// A user who may not open the node hears whose group has to take them in.
#[test]
fn a_node_of_another_group_names_the_group() {
    /// `nobody` and `video` of Debian's /etc/passwd and /etc/group (base-passwd).
    const NOBODY: u32 = 65_534;
    const VIDEO: u32 = 44;
    let folder = tempfile::Builder::new().prefix("rungd-devices-").tempdir().unwrap();
    let node = folder.path().join("renderD128");
    std::fs::write(&node, "").unwrap();
    let sections = format!("[devices]\nrender_nodes = [\"{}\"]\n", node.display());
    let (config_folder, config) = configuration(&sections);
    let mut command = Command::new(binary("rungd"));
    let is_root = nix::unistd::geteuid().is_root();
    let group = if is_root {
        // The programs may stand where nobody may look, so they come along.
        for program in ["rungd", "rungd-worker"] {
            std::fs::copy(binary(program), folder.path().join(program)).unwrap();
        }
        let open = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(folder.path(), 0o755);
        open(config_folder.path(), 0o755);
        open(&config_folder.path().join("state"), 0o777);
        let text = std::fs::read_to_string(&config).unwrap();
        let [from, to] = [&binary("rungd-worker"), &folder.path().join("rungd-worker")]
            .map(|path| path.display().to_string());
        std::fs::write(&config, text.replace(&from, &to)).unwrap();
        chown(&node, Some(0), Some(VIDEO)).unwrap();
        open(&node, 0o660);
        command = Command::new(folder.path().join("rungd"));
        command.uid(NOBODY).gid(NOBODY);
        "video".to_owned()
    } else {
        // Ours, and for our group alone.
        std::fs::set_permissions(&node, Permissions::from_mode(0o060)).unwrap();
        String::new()
    };
    let table = printed(command.args(["devices", "--config"]).arg(&config));
    let [line] = lines(&table, "vaapi")[..] else { panic!("{table}") };
    assert!(line.contains("cannot be used: render node "), "{table}");
    assert!(line.contains(&format!("add it to group {group}")), "{table}");
    if is_root {
        assert!(
            line.contains("not accessible to user nobody: add it to group video (usermod -aG video nobody)")
        );
    }
}
