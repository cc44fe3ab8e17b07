//! Trees as i915, xe and amdgpu have them.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// A tree with a device whose render node is `renderD128`.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(driver: &str, address: &str) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        let device = tree.device(address);
        fs::create_dir_all(device.join("drm/card1")).unwrap();
        let drivers = tree.path().join("sys/bus/pci/drivers").join(driver);
        fs::create_dir_all(&drivers).unwrap();
        symlink(drivers, device.join("driver")).unwrap();
        tree.write("dev/dri/renderD128", "");
        let class = tree.path().join("sys/class/drm/renderD128");
        fs::create_dir_all(&class).unwrap();
        symlink(device, class.join("device")).unwrap();
        tree
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn device(&self, address: &str) -> PathBuf {
        self.path().join("sys/devices/pci0000:00").join(address)
    }

    fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A descriptor of a process.
    fn descriptor(&self, pid: u32, number: u32, to: &str, text: &str) {
        let process = self.path().join(format!("proc/{pid}"));
        fs::create_dir_all(process.join("fd")).unwrap();
        symlink(to, process.join(format!("fd/{number}"))).unwrap();
        self.write(format!("proc/{pid}/fdinfo/{number}"), text);
    }

    fn telemetry(&self) -> Telemetry {
        let nodes = Node::list(self.path()).unwrap();
        Telemetry::new(self.path(), &nodes[0])
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn near(found: Option<f64>, wanted: f64) {
    assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-9), "{found:?}, not {wanted}");
}

#[test]
fn i915_says_time_and_one_client_counts_once() {
    let tree = Tree::new("i915", "0000:00:02.0");
    let text = |video: u64| {
        format!(
            "pos:\t0\nflags:\t02100002\ndrm-driver:\ti915\ndrm-pdev:\t0000:00:02.0\ndrm-client-id:\t7\n\
             drm-engine-render:\t9288864723 ns\ndrm-engine-video:\t{video} ns\ndrm-engine-capacity-video:\t2\n\
             drm-engine-video-enhance:\t0 ns\ndrm-total-system0:\t1 MiB\ndrm-resident-system:\t512 KiB\n"
        )
    };
    tree.descriptor(100, 4, "/dev/dri/renderD128", &text(1_000_000_000));
    tree.descriptor(100, 9, "/dev/dri/renderD128", &text(1_000_000_000));
    tree.descriptor(100, 5, "/dev/null", "pos:\t0\n");
    tree.descriptor(
        101,
        3,
        "/dev/dri/renderD129",
        "drm-driver:\ti915\ndrm-pdev:\t0000:03:00.0\ndrm-client-id:\t8\n",
    );
    let device = "sys/devices/pci0000:00/0000:00:02.0";
    tree.write(format!("{device}/drm/card1/gt/gt0/rps_act_freq_mhz"), "300\n");
    tree.write(format!("{device}/drm/card1/gt/gt1/rps_act_freq_mhz"), "1100\n");
    tree.write(format!("{device}/drm/card1/gt/gt1/rps_max_freq_mhz"), "1300\n");
    tree.write(format!("{device}/drm/card1/gt/gt1/throttle_reason_status"), "1\n");
    tree.write(format!("{device}/drm/card1/error"), "No error state collected\n");
    tree.write(format!("{device}/hwmon/hwmon3/energy1_input"), "123456789\n");
    tree.write("sys/kernel/debug/dri/1/i915_engine_info", "vcs0\n\tReset count: 2 (global 5)\n");
    let before = tree.telemetry().read();
    let [client] = before.clients.as_slice() else { panic!("one client, not {:?}", before.clients) };
    assert_eq!((client.pid, client.id, client.memory_bytes), (100, 7, Some(512 << 10)));
    assert_eq!(
        before.sensors,
        Sensors {
            frequency_mhz: Some(1100),
            max_frequency_mhz: Some(1300),
            throttled: Some(true),
            energy_microjoules: Some(123_456_789),
            resets: Some(5),
            ..Sensors::default()
        }
    );
    tree.write("proc/100/fdinfo/4", &text(1_500_000_000));
    tree.write("proc/100/fdinfo/9", &text(1_500_000_000));
    tree.write(format!("{device}/drm/card1/error"), "GPU HANG: ecode 12:4:0\n");
    let after = tree.telemetry().read();
    near(after.utilisation(&before, Engine::Video, SECOND), 0.25);
    near(after.utilisation(&before, Engine::VideoEnhance, SECOND), 0.0);
    assert_eq!(after.utilisation(&before, Engine::Decode, SECOND), None);
    assert_eq!(after.sensors.recorded_hangs, 1);
}

#[test]
fn xe_says_cycles() {
    let tree = Tree::new("xe", "0000:03:00.0");
    let text = |busy: u64, total: u64| {
        format!(
            "drm-driver:\txe\ndrm-client-id:\t42\ndrm-pdev:\t0000:03:00.0\ndrm-cycles-rcs:\t100\n\
             drm-total-cycles-rcs:\t{total}\ndrm-cycles-vcs:\t{busy}\ndrm-total-cycles-vcs:\t{total}\n\
             drm-engine-capacity-vcs:\t2\ndrm-cycles-vecs:\t7\ndrm-resident-vram0:\t23992 KiB\n\
             drm-resident-system:\t1 MiB\n"
        )
    };
    tree.descriptor(77, 3, "/dev/dri/renderD128", &text(1000, 10_000));
    let device = "sys/devices/pci0000:00/0000:03:00.0";
    tree.write(format!("{device}/tile0/gt0/freq0/act_freq"), "300\n");
    tree.write(format!("{device}/tile0/gt1/freq0/act_freq"), "1200\n");
    tree.write(format!("{device}/tile0/gt1/freq0/max_freq"), "1400\n");
    tree.write(format!("{device}/tile0/gt1/freq0/throttle/status"), "0\n");
    tree.write(format!("{device}/hwmon/hwmon5/temp2_input"), "51000\n");
    let dump = tree.path().join("sys/class/devcoredump/devcd3");
    fs::create_dir_all(&dump).unwrap();
    symlink("../../../devices/pci0000:00/0000:03:00.0", dump.join("failing_device")).unwrap();
    let before = tree.telemetry().read();
    assert_eq!(before.clients[0].memory_bytes, Some(23992 << 10), "its own memory, not the system's");
    assert_eq!(before.clients[0].usage(Engine::VideoEnhance), None, "cycles of nothing");
    assert_eq!(
        before.sensors,
        Sensors {
            frequency_mhz: Some(1200),
            max_frequency_mhz: Some(1400),
            throttled: Some(false),
            temperature_millidegrees: Some(51_000),
            recorded_hangs: 1,
            ..Sensors::default()
        }
    );
    tree.write("proc/77/fdinfo/3", &text(2000, 12_000));
    near(tree.telemetry().read().utilisation(&before, Engine::Video, SECOND), 0.25);
}

#[test]
fn amdgpu_has_encoder_and_decoder_apart() {
    let tree = Tree::new("amdgpu", "0000:75:00.0");
    let text = |encode: u64| {
        format!(
            "drm-driver:\tamdgpu\ndrm-client-id:\t7568\ndrm-pdev:\t0000:75:00.0\ndrm-memory-vram:\t12 KiB\n\
             drm-engine-gfx:\t1 ns\ndrm-engine-dec:\t500000000 ns\ndrm-engine-enc:\t{encode} ns\n\
             drm-engine-enc_1:\t0 ns\n"
        )
    };
    tree.descriptor(5, 3, "/dev/dri/renderD128", &text(0));
    let device = "sys/devices/pci0000:00/0000:75:00.0";
    tree.write(format!("{device}/gpu_busy_percent"), "17\n");
    tree.write(format!("{device}/mem_info_vram_used"), "1048576\n");
    tree.write(format!("{device}/mem_info_vram_total"), "8589934592\n");
    tree.write(format!("{device}/pp_dpm_sclk"), "0: 500Mhz\n1: 2575Mhz *\n");
    tree.write(format!("{device}/hwmon/hwmon2/power1_average"), "27350000\n");
    tree.write(format!("{device}/hwmon/hwmon2/temp1_input"), "41000\n");
    tree.write(format!("{device}/hwmon/hwmon2/freq1_input"), "2411000000\n");
    let before = tree.telemetry().read();
    assert_eq!(
        before.sensors,
        Sensors {
            frequency_mhz: Some(2411),
            max_frequency_mhz: Some(2575),
            power_milliwatts: Some(27_350),
            temperature_millidegrees: Some(41_000),
            busy_percent: Some(17),
            memory_bytes: Some((1 << 20, 8 << 30)),
            ..Sensors::default()
        }
    );
    tree.write("proc/5/fdinfo/3", &text(1_000_000_000));
    let after = tree.telemetry().read();
    near(after.utilisation(&before, Engine::Encode, SECOND), 0.5);
    near(after.utilisation(&before, Engine::Decode, SECOND), 0.0);
}

#[test]
fn a_bare_tree_reads_as_nothing() {
    let tree = Tree::new("vgem", "vgem");
    tree.descriptor(1, 1, "/dev/dri/renderD128", "drm-client-id:\tx\ngarbage\n: :\ndrm-engine-video:\n");
    assert_eq!(tree.telemetry().read(), Reading::default());
}

/// Client numbers are a device's own. Where neither the node has an address nor the driver says one, two devices have each
/// a client 7.
#[test]
fn clients_of_two_devices_without_an_address_are_two() {
    let tree = Tree::new("i915", "0000:00:02.0");
    let text = |video: u64| format!("drm-client-id:\t7\ndrm-engine-video:\t{video} ns\n");
    let telemetry = || {
        let node = Node { pci_address: None, ..Node::list(tree.path()).unwrap().remove(0) };
        Telemetry::new(tree.path(), &node)
    };
    let (first, second) = ("/dev/dri/renderD128", "/dev/dri/renderD129");
    tree.descriptor(100, 4, first, &text(0));
    tree.descriptor(100, 5, second, &text(500_000_000));
    tree.descriptor(100, 6, second, &text(500_000_000));
    let before = telemetry().read();
    assert_eq!(before.clients.len(), 2, "{before:?}");
    tree.write("proc/100/fdinfo/4", &text(250_000_000));
    let after = telemetry().read();
    near(after.utilisation(&before, Engine::Video, SECOND), 0.25);
}
