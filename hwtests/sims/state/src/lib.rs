//! What the simulated drivers share, between libraries and between processes.
//!
//! - [`plan`]: which devices there are, how fast, and what is to go wrong on them. A TOML file, named by the environment
//!   variable [`PLAN_VARIABLE`]; without it there are a device like an L4 and one
//!   of Intel's, sound and as fast as the software inside.
//! - [`State`]: a file mapped by every process that loaded a driver, as the hardware is one thing that all processes
//!   see: sessions, memory, the engines' time, counters, and the violations of the driver's rules.
//! - [`rate_control`]: for the software inside, where its own does not do what a driver must.
//! - [`Report`]: the state as plain data, for tests and for the program `sim-report`.
//!
//! A driver calls [`State::of_process`] once; a test calls [`State::open`] on its plan and looks at
//! [`State::report`]. Nothing here knows CUDA or VA-API: devices have engines ([`Engine`]), engines do jobs of so many
//! pixels, and jobs meet the plan's faults ([`plan::Fault`]).

mod clock;
mod engine;
mod faults;
mod layout;
mod locks;
mod memory;
pub mod plan;
pub mod rate_control;
mod report;
mod session;
mod state;
mod violation;

pub use clock::Nanoseconds;
pub use engine::{CpuTime, Job};
pub use faults::Lost;
pub use layout::{Counter, Engine};
pub use memory::{Memory, OutOfMemory};
pub use plan::{Codec, Device, Kind, Plan, PlanError};
pub use report::{DeviceReport, Report, SessionReport};
pub use session::{OpenError, Session, SessionSize};
pub use state::{State, StateError};
pub use violation::Offence;

/// Names the plan file. Unset or empty: [`Plan::default`].
pub const PLAN_VARIABLE: &str = "RUNGD_SIM_PLAN";
