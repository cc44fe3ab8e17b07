//! The state machine under a source, a clock and a worker that the test makes up.

mod arbitrary;
mod captions;
mod configuration;
mod deaths;
mod driver;
mod ends;
mod late_tracks;
mod log;
mod outlasting;
mod refusals;
mod resumed;
mod returns;
mod sound;
mod sound_worker;
