//! A simulated VA-API driver: what libva loads as `sim_drv_video.so` (`LIBVA_DRIVER_NAME=sim`).
//!
//! - [`calls`]: libva's table of calls, and what each does with objects.
//! - [`objects`]: configs, surfaces, contexts, buffers, images; numbers are never used twice.
//! - [`device`]: what the devices of the plan can do: Intel's Arc and UHD 630, AMD's through Mesa.
//! - [`decode`]: pictures by libavcodec, from parameter sets that are rebuilt from the client's parameters.
//! - [`encode`]: pictures by x264 and x265, under slice headers that are the client's.
//! - [`process`]: scaling, conversion of colours, deinterlacing.
//! - [`h264`], [`hevc`], [`bits`]: the syntax of both.
//!
//! The plan, speeds, faults and the record of violations are `sim-state`'s, shared with NVIDIA's simulated drivers.
//!
//! The client's structures are read as va.h says they are laid out. What a real device would take without a word and
//! turn into a wrong picture is a violation here, with a sentence: parameters that disagree with the slice they come
//! with, references that were overwritten or never decoded, an object used after its end, whatever is left at the end.

mod bits;
mod buffer;
mod calls;
mod client;
mod context;
mod decode;
mod device;
mod driver;
mod encode;
mod ffi;
mod frames;
mod h264;
mod hevc;
mod image;
mod objects;
mod process;
mod status;
mod surface;

pub use calls::__vaDriverInit_1_0;
