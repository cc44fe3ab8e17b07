//! A simulated `libnvidia-ml.so.1`: what the simulated devices do, told as NVML tells it (nvml.h).
//!
//! Sessions, utilisation, memory and losses are those of the shared state. Clocks, temperature and power follow from
//! utilisation, plausibly; nothing is to be learnt from them.

mod device;
mod event;
mod library;
mod system;
