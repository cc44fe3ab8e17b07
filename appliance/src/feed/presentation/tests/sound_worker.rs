//! A worker for sound that the test makes up: it counts as a real one does, and codes nothing.

use std::collections::VecDeque;

use bytes::Bytes;
use media::{AudioParams, MediaTime, Timescale};
use worker_protocol::{FromWorker, SoundJob, SoundReport, ToWorker};

use crate::supervisor::Death;

/// What it puts out.
pub(super) const CONVERTED: &[u8] = b"converted";
/// Frames that its encoder holds.
const WITHIN: i64 = 2;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SoundWays {
    /// So long after what it hears.
    Works { latency_millis: u64 },
    /// It hears, and says nothing.
    Hangs,
    /// It ends as soon as it has begun.
    Dies,
    /// It says what nobody sent.
    Wild(i64),
}

/// What it says, or why it ends.
pub(super) type Said = Result<(FromWorker, Bytes), Death>;

/// See the module.
#[derive(Debug)]
pub(super) struct SoundWorker {
    ways: SoundWays,
    track: AudioParams,
    /// How long a frame of the source is, in samples of the track.
    source_frame: Option<i64>,
    /// The next frame, in samples.
    next: Option<i64>,
    heard_to: i64,
    /// Each with when it does.
    says: VecDeque<(u64, Said)>,
}

impl SoundWorker {
    pub(super) fn new(ways: SoundWays, job: &SoundJob, track: Bytes) -> Self {
        let track = AudioParams::parse(track).unwrap();
        assert!(SoundJob::fits(&track) && job.bit_rate >= 16_000);
        let mut says = VecDeque::new();
        if ways == SoundWays::Dies {
            says.push_back((0, Err(Death::Signalled(11))));
        }
        Self { ways, track, source_frame: None, next: None, heard_to: 0, says }
    }

    pub(super) fn hear(&mut self, now_micros: u64, message: &ToWorker, payload: &Bytes) {
        match message {
            ToWorker::SoundConfiguration => {
                let source = AudioParams::parse(payload.clone()).unwrap();
                assert!(!source.decodes_alike(&self.track), "it could have passed through");
                let samples = source.samples_per_frame * self.track.sample_rate / source.sample_rate;
                self.source_frame = Some(i64::from(samples));
            }
            ToWorker::Sound { pts_ticks } => {
                let long = self.source_frame.expect("sound comes behind its record");
                let scale = Timescale::new(self.track.sample_rate).unwrap();
                let at = MediaTime::new(*pts_ticks, Timescale::VIDEO).ticks_at(scale);
                let next = *self.next.get_or_insert(at.div_euclid(1024) * 1024);
                if at - next > 8 * 1024 {
                    self.next = Some(at.div_euclid(1024) * 1024);
                }
                self.heard_to = at + long;
                self.put_out(now_micros, self.heard_to - WITHIN * 1024);
            }
            ToWorker::Finish => {
                self.put_out(now_micros, self.heard_to);
                let report = SoundReport { decode_errors: 1, ..SoundReport::default() };
                self.say(now_micros, FromWorker::SoundReport(report), &[]);
                self.say(now_micros, FromWorker::Finished, &[]);
            }
            other => panic!("{other:?} for a worker for sound"),
        }
    }

    fn put_out(&mut self, now_micros: u64, to: i64) {
        let Some(mut next) = self.next else { return };
        while next < to {
            self.say(now_micros, FromWorker::ConvertedSound { position: next }, CONVERTED);
            next += 1024;
        }
        self.next = Some(next);
    }

    fn say(&mut self, now_micros: u64, message: FromWorker, payload: &'static [u8]) {
        let (at, message) = match (self.ways, message) {
            (SoundWays::Works { latency_millis }, message) => (now_micros + latency_millis * 1000, message),
            (SoundWays::Wild(by), FromWorker::ConvertedSound { position }) => {
                (now_micros, FromWorker::ConvertedSound { position: position.saturating_add(by) })
            }
            _ => return,
        };
        self.says.push_back((at, Ok((message, Bytes::from_static(payload)))));
    }

    /// The next that it has said by then.
    pub(super) fn said_by(&mut self, now_micros: u64) -> Option<Said> {
        self.says.front().filter(|(at, _)| *at <= now_micros)?;
        self.says.pop_front().map(|(_, said)| said)
    }
}
