//! Where there is no driver, everything is an error with a sentence, and nothing was linked.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use gpu::nvml::Nvml;
use gpu::{Device, DeviceError};

/// The sentences of an error and what is below it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(&format!(": {error}"));
        next = error.source();
    }
    text
}

#[test]
fn a_machine_without_a_driver_says_so() {
    if let Ok(devices) = Device::list() {
        println!("skipped: there are devices here: {devices:?}");
        return;
    }
    let error = Device::open(0).unwrap_err();
    let text = chain(&error);
    assert!(matches!(error, DeviceError::NoDriver | DeviceError::Init(_)), "{text}");
    assert!(text.len() > 40, "{text}");
    println!("{text}");
    if let Err(error) = Nvml::open() {
        println!("{}", chain(&error));
    }
}

#[test]
fn no_library_of_the_driver_is_linked() {
    let this = std::env::current_exe().unwrap();
    let output = Command::new("ldd").arg(Path::new(&this)).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("libc.so"), "{text}");
    for library in ["cuda", "nvidia", "nvcuvid"] {
        assert!(!text.contains(library), "{text}");
    }
}
