//! How busy a device is, from the kernel: DRM usage statistics of processes, and what drivers say in sysfs.
