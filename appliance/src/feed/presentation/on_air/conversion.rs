//! What becomes of the source's sound: it stands in its track as it came, or is converted to what the track is, or there
//! is silence.
//!
//! A worker of its own converts, from when its source goes on air to when that leaves. Pictures never wait for it: what it
//! does not put out in time is silence, as where a source sends none, and one that dies or is behind is replaced. Where a
//! source follows whose sound fits, its frames wait for the last ones of the worker, for a moment.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::probe::Source;
use media::{AudioParams, MediaTime, Timescale};
use worker_protocol::{FromWorker, SoundJob, SoundReport, ToWorker};

use super::OnAir;
use crate::clock::Now;
use crate::feed::presentation::Action;
use crate::feed::presentation::watch::Finding;
use crate::supervisor::Death;

/// How far a worker may be behind its source: beyond it, silence stands where its frames belong.
const LATE: Duration = Duration::from_secs(1);
/// How long it may be so far behind: longer than it takes to start and to catch up with a group of pictures' sound.
const PATIENCE: Duration = Duration::from_secs(3);
/// Sound that is out already is converted as well, for so long before what is not: decoder, resampler and encoder begin
/// with it.
const RUN_UP: MediaTime = MediaTime::from_millis(-100);
/// How far ahead of its source a worker's frames may be: what is beyond is no conversion of what it was sent.
const MAX_LEAD: Duration = Duration::from_secs(1);
/// Longest frame of a worker: 6144 bits for each of 6 channels (ISO/IEC 14496-3, 4.5.3.1), with room.
const MAX_FRAME_BYTES: usize = 8 * 1024;
/// How long the second worker waits, and each further one twice as long, up to the bound.
const BACK_OFF: Duration = Duration::from_millis(250);
const MAX_BACK_OFF: Duration = Duration::from_secs(30);
/// A worker that lived so long did not die of what it was given at its beginning.
const STEADY: Duration = Duration::from_secs(60);
/// How long a worker that was told of its source's end may take for its last frames: they are three, and done in
/// milliseconds. It is shorter than a silence that is filled in low latency.
const LAST_FRAMES: Duration = Duration::from_millis(300);
/// Most frames that wait for those: over ten seconds at 48 kHz.
const MAX_BEHIND: usize = 512;
/// Bits a second of each channel, in proportion to the sample rate below 48 kHz, and of all together: what libavcodec's
/// encoder is transparent with.
const BIT_RATE_OF_CHANNEL: u32 = 64_000;
const LEAST_BIT_RATE_OF_CHANNEL: u32 = 16_000;
const MOST_BIT_RATE: u32 = 320_000;

/// What becomes of the source's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AsItCame,
    Converted,
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    None,
    Running {
        since: Instant,
    },
    /// It was told of its source's end.
    Leaving {
        until: Instant,
    },
    /// The next one is started then.
    Due(Instant),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Conversion {
    way: Way,
    /// The source's configuration record.
    record: Bytes,
    worker: Worker,
    /// Workers that died one soon after the other.
    deaths: u32,
    /// Whether nothing has come of the worker yet.
    fresh: bool,
    /// Up to where the worker was given sound, and has put some out; none before it was given any.
    reach: Option<(MediaTime, MediaTime)>,
    late_since: Option<Instant>,
    /// Sound of a source that fits, behind the worker's last frames.
    behind: VecDeque<(MediaTime, Bytes)>,
    report: SoundReport,
    /// Errors that workers before this one counted.
    errors_before: u64,
}

impl Conversion {
    pub(super) const fn new() -> Self {
        Self {
            way: Way::AsItCame,
            record: Bytes::new(),
            worker: Worker::None,
            deaths: 0,
            fresh: true,
            reach: None,
            late_since: None,
            behind: VecDeque::new(),
            report: SoundReport { frames_in: 0, frames_out: 0, decode_errors: 0 },
            errors_before: 0,
        }
    }

    /// Whether sound is converted now.
    pub(super) fn is_converting(&self) -> bool {
        self.way == Way::Converted && matches!(self.worker, Worker::Running { .. })
    }

    /// Damaged frames of sources that were concealed.
    pub(super) const fn decode_errors(&self) -> u64 {
        self.errors_before.saturating_add(self.report.decode_errors)
    }

    /// Whether the source's sound is of no use.
    pub(super) fn is_silent(&self) -> bool {
        self.way == Way::Silent
    }

    /// Up to where the source's sound has been read, where it is converted.
    pub(super) fn read_to(&self) -> Option<MediaTime> {
        self.reach.map(|(fed, _)| fed).filter(|_| self.way == Way::Converted)
    }

    fn judge_lateness(&mut self, now: Instant) {
        let late = |(fed, out): (MediaTime, MediaTime)| fed.minus(out) > ticks(LATE);
        match self.reach.is_some_and(late) {
            true => {
                self.late_since.get_or_insert(now);
            }
            false => self.late_since = None,
        }
    }

    fn worker_gone(&mut self) {
        self.errors_before = self.decode_errors();
        self.report = SoundReport::default();
        self.reach = None;
        self.late_since = None;
        self.worker = Worker::None;
    }
}

impl OnAir {
    /// What becomes of a source's sound.
    fn way_of(&self, source: &Source) -> Way {
        match (&self.audio, &source.audio) {
            (Some(audio), Some(params)) if !audio.params.decodes_alike(params) => {
                if SoundJob::fits(&audio.params) { Way::Converted } else { Way::Silent }
            }
            _ => Way::AsItCame,
        }
    }

    /// Whether a source's sound is to be heard.
    pub(super) fn is_heard(&self, source: &Source) -> bool {
        self.way_of(source) != Way::Silent
    }

    /// Another source is put on air.
    pub(super) fn choose_sound(&mut self, now: Now, source: &Source, actions: &mut Vec<Action>) {
        self.release_behind(actions);
        let way = self.way_of(source);
        self.conversion.way = way;
        let formats = self.audio.as_ref().map(|audio| described(&audio.params)).zip(source.audio.as_ref());
        let Some((track, params)) = formats.filter(|_| way != Way::AsItCame) else {
            return self.end_conversion(now, actions);
        };
        let differs =
            format!("the encoder's sound is {} where the programme's is {track}", described(params));
        if way == Way::Silent {
            let text =
                format!("{differs}, which is not encoded here: there is silence until the next programme");
            self.heed(Finding::Warn { rule: "audio_format", text }, actions);
            return self.end_conversion(now, actions);
        }
        let text = format!("{differs}: it is converted");
        self.heed(Finding::Warn { rule: "audio_converted", text }, actions);
        self.conversion.record = params.configuration.clone();
        self.conversion.deaths = 0;
        self.start_conversion(now.instant, actions);
    }

    /// Starts a worker in the place of any that there is.
    fn start_conversion(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(audio) = &self.audio else { return };
        let job = SoundJob { feed: self.feed.clone(), bit_rate: bit_rate(&audio.params) };
        actions.push(Action::StartSound(job, audio.params.configuration.clone()));
        actions.push(Action::ToSound(ToWorker::SoundConfiguration, self.conversion.record.clone()));
        self.conversion.worker_gone();
        self.conversion.worker = Worker::Running { since: now };
        self.conversion.fresh = true;
    }

    /// The source whose sound was converted has gone, or another one has taken its place.
    pub(super) fn end_conversion(&mut self, now: Now, actions: &mut Vec<Action>) {
        match self.conversion.worker {
            Worker::Running { .. } => {
                actions.push(Action::ToSound(ToWorker::Finish, Bytes::new()));
                self.conversion.worker = Worker::Leaving { until: now.instant + LAST_FRAMES };
            }
            Worker::Due(_) => self.conversion.worker = Worker::None,
            Worker::None | Worker::Leaving { .. } => {}
        }
    }

    /// The programme ends. The last frames of the worker come before the last pictures do; where there are none, silence
    /// does.
    pub(super) fn finish_conversion(&self, actions: &mut Vec<Action>) {
        if matches!(self.conversion.worker, Worker::Running { .. }) {
            actions.push(Action::ToSound(ToWorker::Finish, Bytes::new()));
        }
    }

    /// A frame of the source, heard at `at`.
    pub(super) fn place_sound(&mut self, now: Now, at: MediaTime, payload: Bytes, actions: &mut Vec<Action>) {
        let Some(audio) = &self.audio else { return };
        // What is before it is out already: a source that is put on air brings its last group of pictures along.
        let (free_from, ends) = (audio.free_from(), at.plus(ticks(audio.frame_duration)));
        match (self.conversion.way, self.conversion.worker) {
            (Way::AsItCame, Worker::Leaving { .. }) if ends <= free_from => {}
            (Way::AsItCame, Worker::Leaving { .. }) => {
                if self.conversion.behind.len() >= MAX_BEHIND {
                    self.release_behind(actions);
                }
                self.conversion.behind.push_back((at, payload));
            }
            (Way::AsItCame, _) => self.place_as_it_came(at, payload, actions),
            (Way::Converted, Worker::Running { .. }) if at.minus(free_from) < RUN_UP => {}
            (Way::Converted, Worker::Running { .. }) => {
                let (fed, out) = self.conversion.reach.unwrap_or((at, at));
                self.conversion.reach = Some((fed.max(at), out));
                self.conversion.judge_lateness(now.instant);
                let message = ToWorker::Sound { pts_ticks: at.ticks_at(Timescale::VIDEO) };
                actions.push(Action::ToSound(message, payload));
            }
            (Way::Converted | Way::Silent, _) => {}
        }
    }

    fn place_as_it_came(&mut self, at: MediaTime, payload: Bytes, actions: &mut Vec<Action>) {
        let Some(audio) = &mut self.audio else { return };
        audio.head = audio.head.max(at);
        let packaged = audio.place(at, payload);
        self.keep_audio(packaged, actions);
    }

    /// Nothing more comes of a worker: what waited for it takes its place.
    pub(super) fn release_behind(&mut self, actions: &mut Vec<Action>) {
        let behind = std::mem::take(&mut self.conversion.behind);
        if let Some(audio) = self.audio.as_mut().filter(|_| !behind.is_empty()) {
            audio.find_place_anew();
        }
        behind.into_iter().for_each(|(at, payload)| self.place_as_it_came(at, payload, actions));
    }

    /// Takes what the worker for sound said.
    pub(in super::super) fn sound_worker(
        &mut self,
        now: Now,
        message: FromWorker,
        payload: Bytes,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if !matches!(self.conversion.worker, Worker::Running { .. } | Worker::Leaving { .. }) {
            return actions;
        }
        match message {
            FromWorker::ConvertedSound { position } => self.converted(now, position, payload, &mut actions),
            FromWorker::SoundReport(report) => self.conversion.report = report,
            FromWorker::Finished => self.sound_worker_gone(now, &Death::Finished, &mut actions),
            FromWorker::Warning { text } => {
                self.heed(Finding::Warn { rule: "sound_worker", text }, &mut actions);
            }
            FromWorker::Hello { .. }
            | FromWorker::RungOpened { .. }
            | FromWorker::Picture { .. }
            | FromWorker::Report(_)
            | FromWorker::SoundOpened
            | FromWorker::Failed { .. } => {}
        }
        actions
    }

    fn converted(&mut self, now: Now, position: i64, payload: Bytes, actions: &mut Vec<Action>) {
        let (Some(audio), Some((fed, out))) = (&mut self.audio, self.conversion.reach) else { return };
        let at = MediaTime::new(position, audio.spec.timescale);
        // Who breaks into the worker gets no further than to what is heard now.
        let sane = at.minus(fed) <= ticks(MAX_LEAD) && (1..=MAX_FRAME_BYTES).contains(&payload.len());
        if !sane {
            let fault = format!("{} bytes of sound for {at}, where its source is at {fed}", payload.len());
            return self.give_up_sound_worker(now, Death::Protocol(fault), actions);
        }
        self.conversion.reach = Some((fed, out.max(at)));
        self.conversion.judge_lateness(now.instant);
        if std::mem::take(&mut self.conversion.fresh) {
            audio.find_place_anew();
        }
        audio.head = audio.head.max(at);
        let packaged = audio.place(at, payload);
        self.keep_audio(packaged, actions);
    }

    /// The process of the worker for sound has ended.
    pub(in super::super) fn sound_worker_ended(&mut self, now: Now, death: &Death) -> Vec<Action> {
        let mut actions = Vec::new();
        self.sound_worker_gone(now, death, &mut actions);
        actions
    }

    fn give_up_sound_worker(&mut self, now: Now, death: Death, actions: &mut Vec<Action>) {
        actions.push(Action::StopSound(death.clone()));
        self.sound_worker_gone(now, &death, actions);
    }

    fn sound_worker_gone(&mut self, now: Now, death: &Death, actions: &mut Vec<Action>) {
        match self.conversion.worker {
            Worker::Running { since } => {
                self.conversion.worker_gone();
                if self.finishing {
                    return;
                }
                if now.instant.saturating_duration_since(since) >= STEADY {
                    self.conversion.deaths = 0;
                }
                let waited = BACK_OFF.saturating_mul(2u32.saturating_pow(self.conversion.deaths.min(16)));
                self.conversion.deaths = self.conversion.deaths.saturating_add(1);
                self.conversion.worker = Worker::Due(now.instant + waited.min(MAX_BACK_OFF));
                let text = format!("{death}; there is silence until another one converts the sound");
                self.heed(Finding::Warn { rule: "sound_worker", text }, actions);
            }
            Worker::Leaving { .. } => {
                self.conversion.worker_gone();
                self.release_behind(actions);
            }
            Worker::None | Worker::Due(_) => {}
        }
    }

    /// Lets time pass for the worker for sound.
    pub(super) fn tick_sound(&mut self, now: Now, actions: &mut Vec<Action>) {
        // What a source brings along came before its worker was there.
        let late = |since: Instant| {
            self.conversion.late_since.is_some_and(|late| late.max(since) + PATIENCE <= now.instant)
        };
        match self.conversion.worker {
            Worker::Due(at) if at <= now.instant => self.start_conversion(now.instant, actions),
            Worker::Leaving { until } if until <= now.instant => {
                self.give_up_sound_worker(now, Death::FinishTimeout(LAST_FRAMES), actions);
            }
            Worker::Running { since } if late(since) => {
                self.give_up_sound_worker(now, Death::Hung(PATIENCE), actions);
            }
            _ => {}
        }
    }
}

fn ticks(duration: Duration) -> MediaTime {
    MediaTime::from_duration(duration, Timescale::VIDEO)
}

/// The mean of what is to come out.
fn bit_rate(track: &AudioParams) -> u32 {
    let of_channel = u64::from(BIT_RATE_OF_CHANNEL) * u64::from(track.sample_rate) / 48_000;
    let of_channel = u32::try_from(of_channel).unwrap_or(u32::MAX);
    let of_channel = of_channel.clamp(LEAST_BIT_RATE_OF_CHANNEL, BIT_RATE_OF_CHANNEL);
    of_channel.saturating_mul(u32::from(track.channels.max(1))).min(MOST_BIT_RATE)
}

/// As an operator knows it.
fn described(params: &AudioParams) -> String {
    let kind = match params.object_type {
        2 => "AAC-LC",
        5 => "HE-AAC",
        29 => "HE-AAC v2",
        _ => "AAC",
    };
    let (rate, channels) = (params.sample_rate, params.channels);
    let plural = if channels == 1 { "" } else { "s" };
    format!("{kind} of {rate} Hz and {channels} channel{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(sample_rate: u32, channels: u8) -> AudioParams {
        AudioParams {
            configuration: Bytes::new(),
            object_type: 2,
            sample_rate,
            channels,
            channel_configuration: channels,
            samples_per_frame: 1024,
        }
    }

    #[test]
    fn bit_rates_go_by_channels_and_sample_rate_within_bounds() {
        let rates = [(48_000, 1), (48_000, 2), (48_000, 6), (96_000, 2), (24_000, 2), (7_350, 1)]
            .map(|(rate, channels)| bit_rate(&params(rate, channels)));
        assert_eq!(rates, [64_000, 128_000, 320_000, 128_000, 64_000, 16_000]);
    }
}
