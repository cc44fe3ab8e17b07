//! A clock, a source and a worker around one presentation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::ladder::RungRate;
use media::{
    AudioParams, Cadence, FramePicker, Latency, MediaTime, SegmentNumber, SourceStamp, Timescale, VideoCodec,
};
use worker_protocol::{FromWorker, Job, Report, ToWorker};

use super::configuration::{feed, limits};
use super::log::Log;
use super::sound_worker::{SoundWays, SoundWorker};
use crate::clock::Now;
use crate::config;
use crate::feed::presentation::{Action, Continuation, Presentation, Role, SourceId};
use crate::feed::source::Input;
use crate::supervisor::Death;

/// `-f lavfi -i testsrc2=s=1920x1080:r=30000/1001 -c:v libx264 -preset ultrafast -pix_fmt yuv420p`
const AVC_1080P2997: &[u8] = &[
    0x01, 0x42, 0xc0, 0x28, 0xff, 0xe1, 0x00, 0x17, 0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f,
    0x97, 0x01, 0x10, 0x00, 0x00, 0x3e, 0x90, 0x00, 0x0e, 0xa6, 0x00, 0xf1, 0x83, 0x2a, 0x01, 0x00, 0x04,
    0x68, 0xce, 0x0f, 0xc8,
];
/// `testsrc2=s=720x576:r=25 -vf setsar=16/11 -flags +ilme+ildct -x264opts tff=1`
pub(super) const AVC_576I25: &[u8] = &[
    0x01, 0x4d, 0x40, 0x1e, 0xff, 0xe1, 0x00, 0x18, 0x67, 0x4d, 0x40, 0x1e, 0xf4, 0x05, 0xa1, 0x26, 0xc1,
    0x04, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x7c, 0x50, 0xaa, 0x80, 0x01, 0x00,
    0x04, 0x68, 0xde, 0x0f, 0xc8,
];
/// AAC-LC, 48 kHz, stereo (ISO/IEC 14496-3, 1.6.2.1).
const AAC_48K_STEREO: &[u8] = &[0x11, 0x90];
const TICK_MILLIS: u64 = 100;
/// What the store takes of a gap.
const SEGMENTS_PER_TICK: u64 = 4;
/// The publisher that a driver begins with.
const SOURCE: SourceId = 0;
/// One picture of 30000/1001 and one audio frame, in microseconds.
const PICTURE_MICROS: u64 = 33_367;
const AUDIO_MICROS: u64 = 21_333;
/// Two seconds, as encoders are told.
const PICTURES_PER_KEY: u64 = 60;

/// What a source sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tracks {
    pub(super) video: bool,
    pub(super) audio: bool,
}

pub(super) const BOTH: Tracks = Tracks { video: true, audio: true };
pub(super) const VIDEO: Tracks = Tracks { video: true, audio: false };
pub(super) const AUDIO: Tracks = Tracks { video: false, audio: true };

/// How the worker behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) opens: bool,
    pub(super) decodes: bool,
    /// Whether encoders put pictures out in the order of B-frames.
    pub(super) reorders: bool,
    /// Frames that an encoder looks ahead.
    pub(super) lookahead: usize,
    /// Frames that each rung is behind the one before it.
    pub(super) lag: usize,
    /// Whether it puts out what is left when it is told to.
    pub(super) finishes: bool,
}

pub(super) const PLAIN: Ways =
    Ways { opens: true, decodes: true, reorders: true, lookahead: 5, lag: 0, finishes: true };

#[derive(Debug, Default)]
struct Encoder {
    ahead: VecDeque<u64>,
    group: Vec<u64>,
}

/// A worker made of the real picker and of encoders that only reorder.
#[derive(Debug)]
struct Worker {
    ways: Ways,
    job: Job,
    picker: FramePicker,
    encoders: Vec<Encoder>,
    report: Report,
    says: VecDeque<(FromWorker, Bytes)>,
}

impl Worker {
    fn new(job: Job, ways: Ways) -> Self {
        let mut says = VecDeque::new();
        for (index, rung) in job.rungs.iter().enumerate().filter(|_| ways.opens) {
            let rung_index = u8::try_from(index).unwrap();
            let opened = FromWorker::RungOpened {
                rung: rung_index,
                codec: VideoCodec::H264,
                size: rung.rung.size,
                captions: true,
            };
            says.push_back((opened, Bytes::from_static(AVC_1080P2997)));
        }
        Self {
            ways,
            picker: FramePicker::new(job.cadence, job.rungs.iter().map(|r| r.first_frame).min().unwrap_or(0)),
            encoders: job.rungs.iter().map(|_| Encoder::default()).collect(),
            report: Report::default(),
            says,
            job,
        }
    }

    fn hear(&mut self, message: &ToWorker) {
        if !self.ways.opens {
            return;
        }
        match message {
            ToWorker::Video { pts_ticks, .. } => {
                self.report.units_in += 1;
                if self.ways.decodes {
                    self.report.pictures_decoded += 1;
                    let pick = self.picker.picture(MediaTime::new(*pts_ticks, Timescale::VIDEO));
                    pick.repeat_previous.chain(pick.this).for_each(|frame| self.encode(frame));
                }
                if self.report.units_in.is_multiple_of(30) {
                    self.says.push_back((FromWorker::Report(self.report.clone()), Bytes::new()));
                }
            }
            ToWorker::FillTo { frame, .. } => loop {
                let range = self.picker.fill_to(*frame);
                if range.is_empty() {
                    break;
                }
                range.for_each(|frame| self.encode(frame));
            },
            ToWorker::Finish if !self.ways.finishes => {}
            ToWorker::Finish => {
                for index in 0..self.encoders.len() {
                    while let Some(frame) = self.encoders[index].ahead.pop_front() {
                        self.code(index, frame);
                    }
                    self.flush(index);
                }
                self.says.push_back((FromWorker::Finished, Bytes::new()));
            }
            ToWorker::Hello { .. } | ToWorker::Start(_) | ToWorker::VideoConfiguration { .. } => {}
            ToWorker::StartSound(_) | ToWorker::SoundConfiguration | ToWorker::Sound { .. } => {
                panic!("{message:?} for a worker for pictures")
            }
        }
    }

    fn encode(&mut self, frame: u64) {
        for index in 0..self.encoders.len() {
            if self.job.rungs[index].rung.rate == RungRate::Half && !frame.is_multiple_of(2) {
                continue;
            }
            if frame < self.job.rungs[index].first_frame {
                continue;
            }
            self.encoders[index].ahead.push_back(frame);
            if self.encoders[index].ahead.len() > self.ways.lookahead + index * self.ways.lag {
                let frame = self.encoders[index].ahead.pop_front().unwrap();
                self.code(index, frame);
            }
        }
    }

    fn code(&mut self, index: usize, frame: u64) {
        if self.job.cadence.begins_segment(frame) || frame == self.job.rungs[index].first_frame {
            self.flush(index);
            return self.say(index, frame, true);
        }
        if !self.ways.reorders {
            return self.say(index, frame, false);
        }
        self.encoders[index].group.push(frame);
        if self.encoders[index].group.len() == 3 {
            self.flush(index);
        }
    }

    /// The last picture of a group is coded first.
    fn flush(&mut self, index: usize) {
        let group = std::mem::take(&mut self.encoders[index].group);
        let Some((last, before)) = group.split_last() else { return };
        self.say(index, *last, false);
        before.iter().for_each(|frame| self.say(index, *frame, false));
    }

    fn say(&mut self, index: usize, frame: u64, key: bool) {
        let picture = FromWorker::Picture { rung: u8::try_from(index).unwrap(), frame, key };
        self.says.push_back((picture, Bytes::from_static(b"coded")));
    }
}

/// One presentation and all around it.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) presentation: Presentation,
    pub(super) log: Log,
    pub(super) fills: Vec<u64>,
    pub(super) configurations: usize,
    /// The first frame that was to show the slate.
    pub(super) slate_from: Option<u64>,
    pub(super) workers: usize,
    /// The first frames that the last worker was given.
    pub(super) first_frames: Vec<u64>,
    /// The publisher that sends.
    pub(super) source: SourceId,
    /// How workers for sound behave from now on, and how many were started.
    pub(super) sound_ways: SoundWays,
    pub(super) sound_workers: usize,
    ways: Ways,
    worker: Option<Worker>,
    /// Whether it is being heard out.
    hears: bool,
    sound_worker: Option<SoundWorker>,
    origin: Instant,
    now_micros: u64,
    next_tick_millis: u64,
    /// The source's own clock, in microseconds, and when its next units are due on it.
    source_micros: u64,
    next_picture: u64,
    next_audio: u64,
    /// How long a frame of the source's sound is.
    audio_micros: u64,
    pictures: u64,
    /// How many pictures there are from one key frame to the next.
    pub(super) pictures_per_key: u64,
    /// When the last picture that the worker was given is shown.
    pub(super) last_shown: MediaTime,
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
fn origin() -> Instant {
    Instant::now()
}

impl Driver {
    pub(super) fn new(ways: Ways) -> Self {
        Self::with(ways, &feed(), limits())
    }

    /// A feed that waits 30 s for its publisher, with the worker that its latency asks for.
    pub(super) fn patient(latency: Latency) -> Self {
        let feed = config::Feed { grace: Duration::from_secs(30), latency, ..feed() };
        let ways = match latency {
            Latency::Standard => PLAIN,
            Latency::Low => Ways { reorders: false, lookahead: 0, ..PLAIN },
        };
        Self::with(ways, &feed, limits())
    }

    pub(super) fn with(ways: Ways, feed: &config::Feed, limits: config::SourceLimits) -> Self {
        let mut presentation = Presentation::new(Arc::new(feed.clone()), limits);
        presentation.source_joined(SOURCE, Role::Primary);
        Self {
            presentation,
            log: Log::default(),
            fills: Vec::new(),
            configurations: 0,
            slate_from: None,
            workers: 0,
            first_frames: Vec::new(),
            source: SOURCE,
            sound_ways: SoundWays::Works { latency_millis: 60 },
            sound_workers: 0,
            ways,
            worker: None,
            hears: false,
            sound_worker: None,
            origin: origin(),
            now_micros: 0,
            next_tick_millis: 0,
            source_micros: 5_000_000,
            next_picture: 5_000_000,
            next_audio: 5_000_000,
            audio_micros: AUDIO_MICROS,
            pictures: 0,
            pictures_per_key: PICTURES_PER_KEY,
            last_shown: MediaTime::ZERO,
        }
    }

    pub(super) fn now(&self) -> Now {
        let since = Duration::from_micros(self.now_micros);
        Now { instant: self.origin + since, unix_millis: 1_800_000_000_000 + self.now_micros / 1000 }
    }

    pub(super) fn cadence(&self) -> Cadence {
        self.log.cadence()
    }

    /// Whether the state machine lives: every action is noted, and the worker is heard out.
    pub(super) fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.log.note(&action);
            match action {
                Action::StartWorker(job) => {
                    assert!(self.worker.is_none(), "a second worker");
                    self.workers += 1;
                    self.first_frames = job.rungs.iter().map(|rung| rung.first_frame).collect();
                    self.worker = Some(Worker::new(job, self.ways));
                }
                Action::ToWorker(message, _) => {
                    match &message {
                        ToWorker::FillTo { frame, slate_from } => {
                            self.fills.push(*frame);
                            if slate_from < frame {
                                self.slate_from.get_or_insert(*slate_from);
                            }
                        }
                        ToWorker::VideoConfiguration { .. } => self.configurations += 1,
                        ToWorker::Video { pts_ticks, .. } => {
                            self.last_shown = MediaTime::new(*pts_ticks, Timescale::VIDEO);
                        }
                        _ => {}
                    }
                    if let Some(worker) = &mut self.worker {
                        worker.hear(&message);
                    }
                }
                Action::StartSound(job, track) => {
                    self.sound_workers += 1;
                    self.sound_worker = Some(SoundWorker::new(self.sound_ways, &job, track));
                }
                Action::ToSound(message, payload) => {
                    let now = self.now_micros;
                    if let Some(worker) = &mut self.sound_worker {
                        worker.hear(now, &message, &payload);
                    }
                }
                Action::StopSound(_) => self.sound_worker = None,
                Action::Begin(opening) => self.log.opening = Some(opening),
                _ => {}
            }
        }
        self.hear_sound_worker();
        // What the worker says comes behind all that was asked for. Whoever hears it out already goes on with it: it may be
        // more than the stack takes.
        if std::mem::replace(&mut self.hears, true) {
            return;
        }
        while let Some((message, payload)) = self.worker.as_mut().and_then(|worker| worker.says.pop_front()) {
            let last_word = matches!(message, FromWorker::Finished);
            let actions = self.presentation.worker(self.now(), message, payload);
            self.act(actions);
            if last_word && !self.log.closed {
                self.kill_worker(&Death::Finished);
            }
        }
        self.hears = false;
    }

    /// What the worker for sound has said by now.
    fn hear_sound_worker(&mut self) {
        while let Some(said) = self.sound_worker.as_mut().and_then(|worker| worker.said_by(self.now_micros)) {
            match said {
                Ok((message, payload)) => self.say_of_sound(message, payload),
                Err(death) => self.kill_sound_worker(&death),
            }
        }
    }

    pub(super) fn say_of_sound(&mut self, message: FromWorker, payload: Bytes) {
        if self.log.closed {
            return;
        }
        let actions = self.presentation.sound_worker(self.now(), message, payload);
        self.act(actions);
    }

    pub(super) fn kill_sound_worker(&mut self, death: &Death) {
        self.sound_worker = None;
        let actions = self.presentation.sound_worker_ended(self.now(), death);
        self.act(actions);
    }

    pub(super) fn input(&mut self, input: Input) {
        let actions = self.presentation.input(self.now(), self.source, input);
        self.act(actions);
    }

    pub(super) fn say(&mut self, message: FromWorker, payload: &'static [u8]) {
        let actions = self.presentation.worker(self.now(), message, Bytes::from_static(payload));
        self.act(actions);
    }

    /// The records that encoders begin with.
    pub(super) fn configure(&mut self, tracks: Tracks) {
        if tracks.video {
            self.input(Input::VideoConfiguration {
                codec: VideoCodec::H264,
                record: Bytes::from_static(AVC_1080P2997),
            });
        }
        if tracks.audio {
            self.configure_sound(AAC_48K_STEREO);
        }
    }

    /// Time passes; the source is silent.
    pub(super) fn wait(&mut self, millis: u64) {
        self.until(self.now_micros + millis * 1000);
    }

    fn until(&mut self, micros: u64) {
        while self.next_tick_millis * 1000 <= micros {
            self.now_micros = self.now_micros.max(self.next_tick_millis * 1000);
            self.next_tick_millis += TICK_MILLIS;
            self.hear_sound_worker();
            let actions = self.presentation.tick(self.now());
            self.act(actions);
            if self.presentation.is_filling() {
                let actions = self.presentation.fill_gap(self.now(), SEGMENTS_PER_TICK);
                self.act(actions);
            }
        }
        self.now_micros = self.now_micros.max(micros);
    }

    /// The source's clock jumps, without any time having passed.
    pub(super) fn jump(&mut self, millis: i64) {
        let jumped = |micros: u64| micros.saturating_add_signed(millis * 1000);
        self.source_micros = jumped(self.source_micros);
        self.next_picture = jumped(self.next_picture);
        self.next_audio = jumped(self.next_audio);
    }

    /// The source sends for so long, in real time unless it runs ahead.
    pub(super) fn play(&mut self, tracks: Tracks, millis: u64) {
        self.send(tracks, millis, 100);
    }

    /// Likewise, at `percent` of real time. A source that is ahead is not read.
    pub(super) fn send(&mut self, tracks: Tracks, millis: u64, percent: u64) {
        let end = self.source_micros + millis * 1000;
        self.next_picture = self.next_picture.max(self.source_micros);
        self.next_audio = self.next_audio.max(self.source_micros);
        while self.next_picture.min(self.next_audio) < end {
            let picture = self.next_picture <= self.next_audio;
            let due = self.next_picture.min(self.next_audio);
            let wait = due.saturating_sub(self.source_micros) * 100 / percent.max(1);
            self.source_micros = self.source_micros.max(due);
            self.until(self.now_micros + wait);
            while self.presentation.is_ahead(self.now()) {
                self.wait(TICK_MILLIS);
            }
            let stamp = stamp(due);
            if picture {
                self.next_picture += PICTURE_MICROS;
                if tracks.video {
                    self.picture(stamp, self.pictures.is_multiple_of(self.pictures_per_key));
                }
            } else {
                self.next_audio += self.audio_micros;
                if tracks.audio {
                    self.audio(stamp);
                }
            }
        }
        let rest = end.saturating_sub(self.source_micros) * 100 / percent.max(1);
        self.until(self.now_micros + rest);
        self.source_micros = end;
    }

    /// The source sends pictures and sound that all bear the same stamp.
    pub(super) fn stand_still(&mut self, count: u64) {
        let stamp = stamp(self.source_micros);
        for _ in 0..count {
            self.picture(stamp, self.pictures.is_multiple_of(self.pictures_per_key));
            self.audio(stamp);
            self.wait(33);
        }
    }

    pub(super) fn picture(&mut self, stamp: SourceStamp, key: bool) {
        self.pictures += 1;
        self.input(Input::Video { stamp, key, payload: Bytes::from_static(b"picture") });
    }

    fn audio(&mut self, stamp: SourceStamp) {
        self.input(Input::Audio { stamp, payload: Bytes::from_static(b"sound") });
    }

    /// Another record of the sound.
    pub(super) fn configure_sound(&mut self, record: &'static [u8]) {
        if let Ok(params) = AudioParams::parse(Bytes::from_static(record)) {
            let samples = u64::from(params.samples_per_frame);
            self.audio_micros = samples * 1_000_000 / u64::from(params.sample_rate);
        }
        self.input(Input::AudioConfiguration(Bytes::from_static(record)));
    }

    /// One of several publishers sends for so long.
    pub(super) fn play_of(&mut self, id: SourceId, tracks: Tracks, millis: u64) {
        self.source = id;
        self.play(tracks, millis);
    }

    /// One of several publishers sends what it had for so long, beside another one that took the time for it.
    pub(super) fn play_of_at_once(&mut self, id: SourceId, tracks: Tracks, millis: u64) {
        let (source, picture, audio, count) =
            (self.source_micros, self.next_picture, self.next_audio, self.pictures);
        self.jump(-i64::try_from(millis).unwrap());
        self.source = id;
        self.send(tracks, millis, 1_000_000);
        (self.source_micros, self.next_picture, self.next_audio, self.pictures) =
            (source, picture, audio, count);
    }

    pub(super) fn leave(&mut self) {
        let actions = self.presentation.source_gone(self.now(), self.source);
        self.act(actions);
    }

    /// Another publisher comes, with its own clock.
    pub(super) fn join(&mut self, id: SourceId, role: Role) {
        self.presentation.source_joined(id, role);
        self.source = id;
        self.pictures = 0;
    }

    /// The publisher leaves, and another one with the same kind of key comes `away` milliseconds later.
    pub(super) fn come_back(&mut self, away: u64) {
        let next = self.source + 1;
        self.leave();
        self.wait(away);
        self.join(next, Role::Primary);
    }

    pub(super) fn kill_worker(&mut self, death: &Death) {
        self.worker = None;
        let actions = self.presentation.worker_ended(self.now(), death);
        self.act(actions);
    }

    /// Workers that start from now on behave like this.
    pub(super) fn set_ways(&mut self, ways: Ways) {
        self.ways = ways;
    }

    /// The daemon stops, for a later one to go on.
    pub(super) fn suspend(&mut self) {
        let actions = self.presentation.suspend(self.now());
        self.act(actions);
    }

    /// The daemon dies with its workers, and another one goes on after so long. Its publishers are gone.
    pub(super) fn kill_daemon(&mut self, feed: &config::Feed, away_millis: u64) {
        self.worker = None;
        self.sound_worker = None;
        self.now_micros += away_millis * 1000;
        self.next_tick_millis = self.now_micros.div_ceil(1000).next_multiple_of(TICK_MILLIS);
        let note = self.log.note.clone().expect("a note of how to go on");
        let (availability_start_unix_millis, cadence) =
            (self.log.opening.as_ref().unwrap().availability_start_unix_millis, self.log.cadence());
        let next_segment = SegmentNumber(self.log.listed() + 1);
        self.log.cut_off();
        let end = availability_start_unix_millis
            + u64::try_from(cadence.segment_start(next_segment).to_duration().as_millis()).unwrap();
        let silent = note.silent_at(end);
        let from = Continuation { note, availability_start_unix_millis, cadence, next_segment };
        let now = self.now();
        let resumed = Presentation::resume(Arc::new(feed.clone()), limits(), now, silent, from);
        let (presentation, actions) = resumed.expect("a presentation that can be gone on with");
        self.presentation = presentation;
        self.act(actions);
    }

    /// Wall time since the source's first unit, roughly.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_micros(self.now_micros)
    }
}

fn stamp(micros: u64) -> SourceStamp {
    let millis = u32::try_from(micros / 1000 % (1 << 32)).unwrap();
    SourceStamp { millis, nanos: 0, composition_millis: 0 }
}
