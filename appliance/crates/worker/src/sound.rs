//! One feed's sound, from what its source sends to what its track is: decoded, resampled, remixed and encoded again.
//!
//! One thread does all of it; a second of stereo takes some milliseconds.

mod converter;

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::AudioParams;
use media::params::ParamsError;
use worker_protocol::{FromWorker, SoundJob, ToWorker};

use crate::clock;
use crate::conversation::{self, OrderError};
use crate::link::{Closed, Incoming, Outbox};
use converter::{Converted, Converter};

/// How often counters are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Why sound cannot be converted, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    /// The daemon breaks the protocol.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A configuration record that is none.
    #[error("the {whose} AudioSpecificConfig cannot be read")]
    Record {
        /// The track's or the source's, or what the encoder says of itself.
        whose: &'static str,
        /// Why not.
        #[source]
        source: ParamsError,
    },
    /// A track of a kind that is not encoded.
    #[error(
        "a track of object type {object_type}, channelConfiguration {channel_configuration} and {samples_per_frame} \
         samples a frame is not encoded; 2, 1 to 6 and 1024 are"
    )]
    Track {
        /// Its audio object type.
        object_type: u8,
        /// Its `channelConfiguration`.
        channel_configuration: u8,
        /// Samples of its frames.
        samples_per_frame: u32,
    },
    /// libavcodec's encoder says of itself that it puts out something else than it was asked for.
    #[error("the encoder puts out {0}, which is not what the track is")]
    Other(String),
    /// The libraries.
    #[error(transparent)]
    Library(#[from] software::sound::SoundError),
    /// The link has ended; it says why.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl ConvertError {
    /// Whether the daemon is at fault.
    pub(crate) const fn is_protocol(&self) -> bool {
        matches!(self, Self::Order(_))
    }
}

/// Converts one feed's sound, from `Hello` to `Finished`.
///
/// # Errors
/// Where the daemon breaks the protocol, the link ends, or the libraries fail.
pub(crate) fn run(inbox: &Receiver<Incoming>, outbox: &Outbox) -> Result<(), ConvertError> {
    let (SoundJob { bit_rate, .. }, track) = match conversation::greet(inbox)?? {
        (ToWorker::StartSound(job), track) => (job, track),
        (other, _) => return Err(OrderError::of(&other, "StartSound").into()),
    };
    let track =
        AudioParams::parse(track).map_err(|source| ConvertError::Record { whose: "track's", source })?;
    let mut converter = Converter::new(&track, bit_rate)?;
    outbox.send(FromWorker::SoundOpened, Bytes::new())?;
    let mut reported = clock::now();
    loop {
        let (message, payload) = conversation::next(inbox)?;
        match message {
            ToWorker::SoundConfiguration => converter.configure(&payload)?,
            ToWorker::Sound { pts_ticks } => {
                put_out(converter.push(&payload, pts_ticks)?, outbox)?;
                if is_due(&mut reported) {
                    outbox.send(FromWorker::SoundReport(converter.report()), Bytes::new())?;
                }
            }
            ToWorker::Finish => {
                put_out(converter.finish()?, outbox)?;
                outbox.send(FromWorker::SoundReport(converter.report()), Bytes::new())?;
                outbox.send(FromWorker::Finished, Bytes::new())?;
                return Ok(());
            }
            other @ (ToWorker::Hello { .. }
            | ToWorker::Start(_)
            | ToWorker::VideoConfiguration { .. }
            | ToWorker::Video { .. }
            | ToWorker::FillTo { .. }
            | ToWorker::StartSound(_)) => {
                return Err(OrderError::of(&other, "sound").into());
            }
        }
    }
}

fn put_out(frames: Vec<Converted>, outbox: &Outbox) -> Result<(), Closed> {
    for Converted { position, data } in frames {
        outbox.send(FromWorker::ConvertedSound { position }, data)?;
    }
    Ok(())
}

fn is_due(reported: &mut Instant) -> bool {
    let now = clock::now();
    let due = now.saturating_duration_since(*reported) >= REPORT_INTERVAL;
    if due {
        *reported = now;
    }
    due
}
