//! Nodes of captured trees, and what is said where something is missing.

use std::os::unix::fs::symlink;

use super::*;

fn tree(root: &Path, name: &str, driver: &str, address: &str, id: (&str, &str)) {
    let device = root.join("sys/devices/pci0000:00").join(address);
    fs::create_dir_all(&device).unwrap();
    fs::write(device.join("vendor"), format!("{}\n", id.0)).unwrap();
    fs::write(device.join("device"), format!("{}\n", id.1)).unwrap();
    fs::write(device.join("numa_node"), "-1\n").unwrap();
    let drivers = root.join("sys/bus/pci/drivers").join(driver);
    fs::create_dir_all(&drivers).unwrap();
    symlink(&drivers, device.join("driver")).unwrap();
    let class = root.join("sys/class/drm").join(name);
    fs::create_dir_all(&class).unwrap();
    symlink(&device, class.join("device")).unwrap();
    fs::create_dir_all(root.join("dev/dri")).unwrap();
    fs::write(root.join("dev/dri").join(name), "").unwrap();
}

#[test]
fn nodes_are_listed_by_number_with_what_the_kernel_says() {
    let root = tempfile::tempdir().unwrap();
    tree(root.path(), "renderD1000", "amdgpu", "0000:03:00.0", ("0x1002", "0x73bf"));
    tree(root.path(), "renderD128", "i915", "0000:00:02.0", ("0x8086", "0x4c8a"));
    fs::write(root.path().join("dev/dri/card0"), "").unwrap();
    let nodes = Node::list(root.path()).unwrap();
    let found: Vec<_> = nodes
        .iter()
        .map(|n| (n.kernel_driver.as_deref().unwrap(), n.pci_address.as_deref().unwrap(), n.pci_id.unwrap()))
        .collect();
    assert_eq!(
        found,
        [("i915", "0000:00:02.0", (0x8086, 0x4c8a)), ("amdgpu", "0000:03:00.0", (0x1002, 0x73bf))]
    );
    assert_eq!(nodes[0].numa_node, None);
    assert!(nodes[0].driver_packages().contains("intel-media-va-driver"));
    assert!(nodes[1].driver_packages().contains("mesa-va-drivers"));
}

#[test]
fn a_machine_without_a_gpu_has_no_nodes() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Node::list(root.path()).unwrap(), []);
}

#[test]
fn a_missing_node_is_a_sentence() {
    let node = Node {
        path: "/nonexistent/renderD128".into(),
        kernel_driver: None,
        pci_address: None,
        pci_id: None,
        numa_node: None,
    };
    let error = Device::open(&node).unwrap_err().to_string();
    assert!(error.starts_with("there is no render node /nonexistent/renderD128: "), "{error}");
}
