//! A simulated `libcuda.so.1`.
//!
//! Device memory is host memory behind addresses that the host cannot reach: who forgets a copy crashes, as on a real
//! machine. Addresses and handles are never used twice, so whatever is used after its end is found. Everything is done
//! by the time a call returns, streams included. Kernels are those of the crate `gpu`, recognised by their PTX, and run
//! by their twins on the CPU.
//!
//! What the real driver answers is answered; what the real driver leaves undefined is an error and a violation in the
//! state ([`sim_state::State::violation`]). Functions that nobody here needs exist, and answer
//! `CUDA_ERROR_NOT_SUPPORTED`.

mod context;
mod copy;
mod device;
mod driver;
mod error_text;
mod kernel;
mod leak;
mod memory;
mod module;
mod status;
mod stream;
mod stub;
mod table;
