//! A presentation on its grid: source units become presentation times, pictures and audio frames become segments.

mod attach;
mod conversion;
mod ending;
mod from_worker;
mod gap;
mod left_out;
mod pictures;
mod replace;
mod resume;
mod sound;
mod workers;

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::gop::{GopBounds, GopBuffer};
use media::probe::Source;
use media::timeline::{Placed, SourceStamp, Timeline, TimelineConfig, Track};
use media::{
    AccessUnit, AudioParams, Cadence, FrameRate, Latency, MediaTime, Rung, SegmentNumber, Timescale,
    VideoCodec, VideoParams,
};
use packager::segmenter::Packaged;
use worker_protocol::{Report, ToWorker};

use super::note::Settings;
use super::probing::{Held, Ready};
use super::watch::{Finding, Watch};
use super::{Action, STALL, STALL_LOW};
use crate::clock::Now;
use crate::config::{self, RuleAction};
use crate::feed::meter::Meter;
use crate::feed::source::Input;
use conversion::Conversion;
use gap::Gap;
use left_out::LeftOut;
use pictures::{Pictures, RungState, Start};
use sound::Sound;
use workers::Workers;

pub use resume::Continuation;

/// How far the source may run ahead of wall time before it is held back. Encoders send in bursts of a GOP at most.
const MAX_LEAD: Duration = Duration::from_secs(2);
/// Chunks and segment ends held while encoders open. Opening takes well under a second; this is a minute of both.
const MAX_HELD_PACKAGES: usize = 4096;
/// Bytes of them: a minute of 8 Mbit/s.
const MAX_HELD_BYTES: u64 = 64 * 1024 * 1024;
/// How far the worker's pictures may be behind wall time before it is told to fill: longer than a decoder and encoders
/// hold pictures back. A source whose pictures do not decode would else leave a hole until it is given up.
const MAX_LAG: Duration = Duration::from_secs(3);
/// A source whose sound changes sooner again is sent away.
const SOUND_LASTS: Duration = Duration::from_secs(10);
/// What is kept of the source for a new worker: ten seconds of 24 Mbit/s, and three times a usual group of pictures.
const GOP_BOUNDS: GopBounds = GopBounds { bytes: 32 * 1024 * 1024, duration: Duration::from_secs(30) };

/// What is known of a source on air.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What the probe found.
    pub source: Source,
    /// The rungs, resolved.
    pub rungs: Vec<Rung>,
    /// Over the last seconds, in bits per second.
    pub source_bit_rate: u64,
    /// Each rung's, likewise.
    pub rung_bit_rates: Vec<u64>,
    /// Between the last two key frames.
    pub key_frame_interval: Duration,
    /// Jumps of the source's stamps that were bridged.
    pub timestamp_jumps: u64,
    /// Silent audio frames put in.
    pub silence_frames: u64,
    /// Pictures that came, a second; none while that is not known.
    pub pictures_per_second: Option<f64>,
    /// How irregularly the source's units arrive.
    pub jitter: Duration,
    /// How fast the source's clock runs against ours, in parts per million; none until it is known.
    pub drift_ppm: Option<f64>,
    /// Whether its sound is being converted.
    pub sound_converted: bool,
    /// Damaged frames of sound that was converted.
    pub sound_decode_errors: u64,
    /// Whether there is a source.
    pub attached: bool,
    /// The grid's rate.
    pub frame_rate: FrameRate,
    /// Whether the store has it.
    pub begun: bool,
}

/// A presentation on its grid.
#[derive(Debug)]
pub(super) struct OnAir {
    zero: Zero,
    cadence: Cadence,
    source: Source,
    timeline: Timeline,
    video: Option<Pictures>,
    audio: Option<Sound>,
    begun: bool,
    held: Vec<(usize, Packaged)>,
    held_bytes: u64,
    input_meter: Meter,
    watch: Watch,
    warning: Option<String>,
    feed: String,
    title: String,
    latency: Latency,
    /// Whether there is a source.
    attached: bool,
    /// What becomes of its sound.
    conversion: Conversion,
    /// What of it has no place.
    left_out: LeftOut,
    /// When the source last said that its sound is another one.
    sound_changed: Option<Instant>,
    /// When its first unit came.
    since: Instant,
    /// Whether closed captions came with its first pictures; what begins later is passed on, and not announced.
    captions: bool,
    /// Why the source is to be sent away.
    dismissal: Option<String>,
    workers: Workers,
    /// When the next worker is started, if there is none.
    replace_at: Option<Instant>,
    /// Time that the daemon was away for, and that nothing stands in yet.
    gap: Option<Gap>,
    /// What a later daemon must be set to as well, to go on with it.
    settings: Settings,
    /// Whether the source is held to be what kills workers.
    poisoned: bool,
    finishing: bool,
    /// Whether that is with a worker that was started for it.
    finishes_again: bool,
    /// Whether a later daemon is to go on with it.
    suspended: bool,
    problem: Option<String>,
}

/// Presentation time zero, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Zero {
    /// Wall time of it, in milliseconds since 1970.
    unix_millis: u64,
    /// When this daemon took the presentation up, and how old that was then. The monotonic clock may be younger than it.
    taken_up: Instant,
    age: Duration,
}

impl Zero {
    const fn at(now: Now) -> Self {
        Self { unix_millis: now.unix_millis, taken_up: now.instant, age: Duration::ZERO }
    }
}

impl OnAir {
    /// Puts a probed source on air: its grid, its rungs and its first units. Fails with a sentence for the encoder.
    pub(super) fn start(
        config: &config::Feed,
        limits: config::SourceLimits,
        ready: Ready,
    ) -> Result<(Self, Vec<Action>), String> {
        let Ready { source, zero, held, announced: _ } = ready;
        let frame_rate = config.frame_rate.unwrap_or(source.frame_rate);
        let cadence = Cadence::new(frame_rate, config.segment_duration, config.chunk_duration);
        let start = Start::new(config, SegmentNumber::FIRST, zero.unix_millis);
        let mut actions = Vec::new();
        let video = match &source.video {
            Some(params) => {
                let rungs = config
                    .ladder
                    .resolve(params.size, params.sample_aspect_ratio, frame_rate)
                    .map_err(|fault| fault.to_string())?;
                let mut gop = GopBuffer::new(GOP_BOUNDS);
                gop.configuration(params.codec, params.configuration.clone());
                Some(Pictures {
                    rungs: rungs.into_iter().map(|rung| RungState::new(rung, cadence, start)).collect(),
                    codec: params.codec,
                    configuration: params.configuration.clone(),
                    ..Pictures::new(gop)
                })
            }
            None => None,
        };
        let audio = match &source.audio {
            Some(params) => {
                let track = video.as_ref().map_or(0, |video| video.rungs.len());
                Some(Sound::new(params, cadence, track, video.is_some(), start)?)
            }
            None => None,
        };
        if video.is_none() && audio.is_none() {
            return Err("the stream has neither video nor audio".to_owned());
        }
        let measured = config.frame_rate.is_none().then_some(source.frame_rate);
        let mut this = Self::assemble(config, limits, (Zero::at(zero), cadence), source, (video, audio));
        this.attached = true;
        this.captions = this.source.video.as_ref().is_some_and(|params| {
            held.iter().any(|held| match &held.input {
                Input::Video { payload, .. } => params.has_captions(payload),
                _ => false,
            })
        });
        this.start_worker(&mut actions);
        this.begin_if_open(&mut actions);
        for finding in this.watch.source(zero.instant, &this.source, measured) {
            this.heed(finding, &mut actions);
        }
        for Held { at, input } in held {
            actions.extend(this.input(at, input));
        }
        Ok((this, actions))
    }

    /// One without a source, of which nothing is begun.
    fn assemble(
        config: &config::Feed,
        limits: config::SourceLimits,
        (zero, cadence): (Zero, Cadence),
        source: Source,
        (video, audio): (Option<Pictures>, Option<Sound>),
    ) -> Self {
        let audio_frame =
            audio.as_ref().map_or(TimelineConfig::default().audio_frame, |audio| audio.frame_duration);
        let timeline = Timeline::new(TimelineConfig {
            video_frame: cadence.frame_duration(),
            audio_frame,
            ..TimelineConfig::default()
        });
        Self {
            zero,
            cadence,
            source,
            timeline,
            video,
            audio,
            begun: false,
            captions: false,
            held: Vec::new(),
            held_bytes: 0,
            input_meter: Meter::default(),
            watch: Watch::new(limits),
            warning: None,
            feed: config.name.clone(),
            title: config.title.clone(),
            latency: config.latency,
            attached: false,
            conversion: Conversion::new(),
            left_out: LeftOut::default(),
            sound_changed: None,
            since: zero.taken_up,
            dismissal: None,
            workers: Workers::default(),
            replace_at: None,
            gap: None,
            settings: Settings::of(config),
            poisoned: false,
            finishing: false,
            finishes_again: false,
            suspended: false,
            problem: None,
        }
    }

    pub(super) const fn frame_rate(&self) -> FrameRate {
        self.cadence.frame_rate()
    }

    pub(super) const fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Why the source is to be sent away, told once.
    pub(super) fn take_dismissal(&mut self) -> Option<String> {
        self.dismissal.take()
    }

    /// Wall time since presentation time zero.
    fn elapsed(&self, now: Now) -> Duration {
        self.zero.age.saturating_add(now.instant.saturating_duration_since(self.zero.taken_up))
    }

    pub(super) fn input(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.finishing {
            return actions;
        }
        match input {
            Input::Video { .. } if self.video.is_none() => {
                self.tell_of_late_track(now, Track::Video, &mut actions);
            }
            Input::Audio { .. } if self.audio.is_none() => {
                self.tell_of_late_track(now, Track::Audio, &mut actions);
            }
            Input::Video { stamp, key, payload } => {
                self.source_picture(now, stamp, key, payload, &mut actions)
            }
            Input::Audio { stamp, payload } => self.source_audio(now, stamp, payload, &mut actions),
            Input::VideoConfiguration { codec, record } => {
                self.video_configuration(now, codec, record, &mut actions);
            }
            Input::AudioConfiguration(record) => self.audio_configuration(now, record, &mut actions),
            Input::Hints(_) | Input::Unsupported { .. } => {}
        }
        actions
    }

    fn source_picture(
        &mut self,
        now: Now,
        stamp: SourceStamp,
        key: bool,
        payload: Bytes,
        actions: &mut Vec<Action>,
    ) {
        let elapsed = self.elapsed(now);
        let Some(video) = &mut self.video else { return };
        self.input_meter.add(now.instant, payload.len());
        let Placed { dts, pts, event } = self.timeline.place(elapsed, Track::Video, stamp);
        let shown_to = pts.plus(MediaTime::from_duration(self.cadence.frame_duration(), Timescale::VIDEO));
        video.head = video.head.max(shown_to);
        video.read = video.read.max(dts);
        video.source_end = video.source_end.max(shown_to);
        let findings = [
            self.watch.unit(now.instant, payload.len()),
            self.watch.picture(now.instant, dts, key),
            self.watch.stamp(now.instant, event),
        ];
        let unit = AccessUnit { dts, pts, key, payload };
        video.gop.push(unit.clone());
        actions.push(unit_to_worker(unit));
        findings.into_iter().flatten().for_each(|finding| self.heed(finding, actions));
    }

    fn heed(&mut self, finding: Finding, actions: &mut Vec<Action>) {
        match finding {
            Finding::Broken { rule, action, text } => {
                match action {
                    RuleAction::Accept => {}
                    RuleAction::Warn => self.warning = Some(text.clone()),
                    RuleAction::Refuse => self.send_away(text.clone()),
                }
                actions.push(Action::Rule { rule, action, text });
            }
            Finding::Warn { rule, text } => {
                self.warning = Some(text.clone());
                actions.push(Action::Warn { rule, text });
            }
        }
    }

    fn source_audio(&mut self, now: Now, stamp: SourceStamp, payload: Bytes, actions: &mut Vec<Action>) {
        let elapsed = self.elapsed(now);
        // Without its record nobody can tell what it is.
        if self.audio.is_none() || self.source.audio.is_none() || self.conversion.is_silent() {
            return;
        }
        self.input_meter.add(now.instant, payload.len());
        let placed = self.timeline.place(elapsed, Track::Audio, stamp);
        if self.video.is_none() {
            self.watch.arrivals.unit(now.instant, placed.pts);
        }
        let findings =
            [self.watch.unit(now.instant, payload.len()), self.watch.stamp(now.instant, placed.event)];
        self.place_sound(now, placed.pts, payload, actions);
        findings.into_iter().flatten().for_each(|finding| self.heed(finding, actions));
    }

    /// New parameter sets mid-stream, as after a change of size: the rungs keep theirs, the worker fits the picture in.
    fn video_configuration(&mut self, now: Now, codec: VideoCodec, record: Bytes, actions: &mut Vec<Action>) {
        let Some(video) = &mut self.video else { return };
        // Many encoders repeat it with every key frame.
        if video.codec == codec && video.configuration == record {
            return;
        }
        match VideoParams::parse(codec, record.clone()) {
            Ok(params) => {
                video.codec = codec;
                video.configuration = record.clone();
                video.gop.configuration(codec, record.clone());
                actions.push(Action::ToWorker(ToWorker::VideoConfiguration { codec }, record));
                if let Some(finding) = self.watch.parameters(now.instant, &params) {
                    self.heed(finding, actions);
                }
            }
            Err(fault) => {
                self.send_away(format!("the {} configuration record cannot be read: {fault}", codec.name()));
            }
        }
    }

    /// A new `AudioSpecificConfig` mid-stream: many encoders repeat the same one, and a source whose sound begins late says
    /// now what it is. Another one is what another encoder would bring: it is converted where it has to be.
    fn audio_configuration(&mut self, now: Now, record: Bytes, actions: &mut Vec<Action>) {
        let known = self.source.audio.as_ref();
        if known.is_some_and(|params| params.configuration == record) {
            return;
        }
        let params = match AudioParams::parse(record) {
            Ok(params) => params,
            Err(fault) => {
                return self.send_away(format!("the AAC configuration record cannot be read: {fault}"));
            }
        };
        if known.is_some() {
            // Each change may cost a process.
            let last = self.sound_changed.replace(now.instant);
            if last.is_some_and(|last| now.instant.saturating_duration_since(last) < SOUND_LASTS) {
                return self.send_away(format!(
                    "the audio format changed twice within {SOUND_LASTS:?}; stop and publish again"
                ));
            }
        }
        let source = Source { audio: Some(params), ..self.source.clone() };
        let (picture, sound) = attach::frame_lengths(&source, self.cadence.frame_rate());
        self.timeline.set_nominal(picture, sound);
        self.choose_sound(now, &source, actions);
        // Where there is no track for it, that is told when it comes.
        self.source = source;
    }

    fn keep_audio(&mut self, packaged: Result<Vec<Packaged>, String>, actions: &mut Vec<Action>) {
        let Some(audio) = &self.audio else { return };
        let track = audio.track;
        match packaged {
            Ok(packages) => packages.into_iter().for_each(|package| self.keep(track, package, actions)),
            Err(fault) => self.give_up(fault, actions),
        }
    }

    fn keep(&mut self, track: usize, package: Packaged, actions: &mut Vec<Action>) {
        if self.begun {
            return actions.push(Action::Keep(track, package));
        }
        if let Packaged::Chunk { chunk, .. } = &package {
            self.held_bytes = self.held_bytes.saturating_add(chunk.bytes);
        }
        if self.held.len() >= MAX_HELD_PACKAGES || self.held_bytes > MAX_HELD_BYTES {
            return self.give_up("the encoders did not open in time".to_owned(), actions);
        }
        self.held.push((track, package));
    }

    /// Sends the publisher away for what it sent. The programme goes on for the grace time.
    fn send_away(&mut self, reason: String) {
        self.problem.get_or_insert_with(|| reason.clone());
        self.dismissal.get_or_insert(reason);
    }

    /// Sends the publisher away, and ends the programme with what there is.
    fn give_up(&mut self, reason: String, actions: &mut Vec<Action>) {
        self.send_away(reason);
        if !self.finishing {
            self.begin_to_finish(actions);
        }
    }

    pub(super) fn tick(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.finishing {
            return actions;
        }
        if self.replace_at.is_some_and(|at| at <= now.instant) {
            self.replace_at = None;
            self.start_worker(&mut actions);
        }
        if self.gap.is_some() {
            return actions;
        }
        self.tick_sound(now, &mut actions);
        let elapsed = MediaTime::from_duration(self.elapsed(now), Timescale::VIDEO);
        let before = |by: Duration| elapsed.minus(MediaTime::from_duration(by, Timescale::VIDEO));
        let due = before(match self.latency {
            Latency::Standard => STALL,
            Latency::Low => STALL_LOW,
        });
        if let Some(video) = &mut self.video {
            // What a silent source lacks is filled at once; what a worker that is fed lacks, after a while.
            let lacking = self.cadence.frame_at(before(MAX_LAG));
            let mut fill = None;
            if video.head < due {
                video.head = due;
                video.filled = self.cadence.frame_at(due);
                self.timeline.filled_to(due);
                fill = Some(self.cadence.frame_at(video.slate_time()));
            } else if self.begun && video.frames_out() < lacking && video.filled < lacking {
                video.filled = lacking;
                fill = Some(u64::MAX);
            }
            if let Some(slate_from) = fill {
                actions.push(Action::ToWorker(
                    ToWorker::FillTo { frame: video.filled, slate_from },
                    Bytes::new(),
                ));
            }
        }
        if let Some(audio) = &mut self.audio
            && audio.head < due
        {
            audio.head = due;
            self.timeline.filled_to(due);
            let packaged = audio.fill_to(due);
            self.keep_audio(packaged, &mut actions);
        }
        actions
    }

    pub(super) fn is_ahead(&self, now: Now) -> bool {
        let bound = MediaTime::from_duration(self.elapsed(now) + MAX_LEAD, Timescale::VIDEO);
        let head = |time: Option<MediaTime>| time.is_some_and(|time| time > bound);
        head(self.video.as_ref().map(|video| video.read))
            || head(self.audio.as_ref().map(|audio| audio.head))
            || head(self.conversion.read_to())
    }

    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    pub(super) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    pub(super) fn report(&self) -> Option<&Report> {
        self.video.as_ref()?.report.as_ref()
    }

    pub(super) fn facts(&mut self, now: Now) -> Facts {
        let mut facts = Facts {
            source: self.source.clone(),
            rungs: Vec::new(),
            source_bit_rate: self.input_meter.bits_per_second(now.instant),
            rung_bit_rates: Vec::new(),
            key_frame_interval: self.watch.key_frame_interval(),
            timestamp_jumps: self.timeline.counters().jumps,
            silence_frames: self.audio.as_ref().map_or(0, |audio| audio.silent_frames()),
            pictures_per_second: self.watch.arrivals.per_second(now.instant).filter(|_| self.video.is_some()),
            jitter: self.watch.arrivals.jitter(),
            drift_ppm: self.timeline.drift_ppm(),
            sound_converted: self.conversion.is_converting(),
            sound_decode_errors: self.conversion.decode_errors(),
            attached: self.attached,
            frame_rate: self.cadence.frame_rate(),
            begun: self.begun,
        };
        if let Some(video) = &mut self.video {
            for state in &mut video.rungs {
                facts.rungs.push(state.rung.clone());
                facts.rung_bit_rates.push(state.meter.bits_per_second(now.instant));
            }
        }
        facts
    }
}

fn unit_to_worker(unit: AccessUnit) -> Action {
    let message = ToWorker::Video {
        dts_ticks: unit.dts.ticks_at(Timescale::VIDEO),
        pts_ticks: unit.pts.ticks_at(Timescale::VIDEO),
        key: unit.key,
    };
    Action::ToWorker(message, unit.payload)
}
