//! NVIDIA GPUs: decode on NVDEC, scale with CUDA, encode on NVENC, telemetry from NVML.
//!
//! - [`scale`]: any picture to 8-bit 4:2:0 BT.709 limited range, fitted into a size. Its kernels ([`scale::kernel`]:
//!   names, argument lists, PTX) have twins on the CPU ([`scale::reference`]) that give the same bits.

pub mod scale;
