//! Product words of rungd, shared by the daemon, its crates and the worker.
//!
//! Nothing here does I/O or reads a clock. The reading order:
//!
//! - [`time`]: [`MediaTime`], a count of ticks that knows its rate; rescaling is written once, here;
//! - [`frame_rate`]: [`FrameRate`], an exact ratio, and the standard rates a feed is snapped to;
//! - [`cadence`]: [`Cadence`], where frames stand and where segments begin, decided before encoding;
//! - [`access_unit`]: one coded picture or audio frame with its times;
//! - [`params`]: what parameter sets say of a feed (codec, size, profile, sample rate);
//! - [`ladder`]: rungs, and what becomes of them for a given source;
//! - [`latency`]: how far behind the source viewers play;
//! - [`timeline`]: source time stamps to presentation time, with its policy for wraps and jumps;
//! - [`picker`]: decoded pictures to grid frames;
//! - [`audio_line`]: AAC frames to a line counted by samples;
//! - [`probe`]: what a source is, from its first units;
//! - [`gop`]: what a decoder that comes in the middle needs to go on.
#![forbid(unsafe_code)]

pub mod access_unit;
pub mod audio_line;
pub mod cadence;
pub mod frame_rate;
pub mod gop;
pub mod ladder;
pub mod latency;
pub mod params;
pub mod picker;
pub mod probe;
pub mod time;
pub mod timeline;

pub use access_unit::AccessUnit;
pub use audio_line::{AudioLine, LineFrame};
pub use cadence::{Cadence, SegmentNumber};
pub use frame_rate::FrameRate;
pub use gop::{GopBounds, GopBuffer};
pub use ladder::{Ladder, LadderError, Rung, RungRate, Size};
pub use latency::Latency;
pub use params::{AudioParams, ParamsError, VideoCodec, VideoParams};
pub use picker::{FramePicker, Pick};
pub use probe::{Hints, ProbeConfig, Refusal, Source, SourceProbe, Verdict};
pub use time::{MediaTime, Timescale};
pub use timeline::{Arrival, Placed, SourceStamp, Timeline, TimelineConfig, TimelineEvent, Track};
