//! Telemetry: what NVML tells of a device.

/// The driver's version, `550.54.14`; none where NVML cannot be asked.
#[must_use]
pub fn driver_version() -> Option<String> {
    let nvml = nvml_wrapper::Nvml::init().ok()?;
    nvml.sys_driver_version().ok()
}
