//! From source units to the grid's frames on every rung.
//!
//! One thread decodes once, asks the picker which grid frame each picture stands for, and scales; each rung encodes on
//! a thread of its own behind a short queue of shared frames. What is put out is decided by the presentation's
//! timeline alone: every grid frame once, an IDR picture where a segment begins, and where a rung does.
//!
//! `FillTo` leaves the decoder alone: it repeats the last picture that came out. Up to a few pictures that are still
//! within (for reordering) are too late then. Draining them would reset the decoder, which then needs a key frame: a
//! source that merely stalled, and goes on in the middle of a group of pictures, would stay frozen until its next one.

mod counters;
mod plan;
mod rung;
mod slate;

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use media::{Cadence, FramePicker, Latency, MediaTime, Rung, Size, Timescale, VideoCodec};
use worker_protocol::{FromWorker, Job, ToWorker};

use crate::clock;
use crate::conversation::{self, OrderError};
use crate::engine::{Decode, Decoded, Engine, EngineError, Wish};
use crate::link::{Closed, Incoming, Outbox};
use counters::{Counters, Reporter};
use rung::{Out, RungThread, Task};
use slate::Slate;

/// Units in a row without any picture after which a source is given up: ten seconds at 30 a second, longer than any
/// sane distance of key frames.
const MAX_UNITS_WITHOUT_PICTURE: u64 = 300;
/// Most rungs of a job: indexes are one byte, and a device with more than these wants two workers.
const MAX_RUNGS: usize = 32;

/// Why a pipeline ends before its work is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipelineError {
    /// The daemon breaks the protocol.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A job without rungs or with too many.
    #[error("job with {0} rungs; 1 to {MAX_RUNGS} are possible")]
    Rungs(usize),
    /// A rung's size cannot be encoded.
    #[error("rung {rung} of {size}: both sides must be even and at least 2")]
    RungSize {
        /// Its name.
        rung: String,
        /// Its size.
        size: Size,
    },
    /// The source never decodes.
    #[error(
        "no picture could be decoded from the last {units} units of the source ({errors} decoder errors so far)"
    )]
    Undecodable {
        /// Units since the last picture.
        units: u64,
        /// Errors of the decoder since the start.
        errors: u64,
    },
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A rung's encoder.
    #[error("rung {rung}")]
    Rung {
        /// Its name.
        rung: String,
        /// What failed.
        #[source]
        source: EngineError,
    },
    /// A thread could not be started.
    #[error("cannot start thread {name}")]
    Thread {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A thread panicked: a bug of ours.
    #[error("thread {name} panicked: {what}")]
    Panic {
        /// Its name.
        name: String,
        /// What it said.
        what: String,
    },
    /// The link has ended; it says why.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl PipelineError {
    /// Whether the daemon is at fault.
    pub(crate) const fn is_protocol(&self) -> bool {
        matches!(self, Self::Order(_) | Self::Rungs(_) | Self::RungSize { .. })
    }
}

/// Does one job, from `Hello` to `Finished`, on the engine that `open` opens.
///
/// An encoder that fails raises the alarm on its own thread, since this one may be waiting for a source that is silent.
///
/// # Errors
/// Where the daemon breaks the protocol, the link ends, or the engine fails; [`PipelineError::Closed`] after an alarm.
pub(crate) fn run<E: Engine>(
    open: impl FnOnce() -> Result<E, EngineError>,
    inbox: &Receiver<Incoming>,
    outbox: &Outbox,
    alarm: &Alarm,
) -> Result<(), PipelineError> {
    let (job, slate) = match conversation::greet(inbox)?? {
        (ToWorker::Start(job), slate) => (job, slate),
        (other, _) => return Err(OrderError::of(&other, "Start").into()),
    };
    let mut pipeline = Pipeline::start(open()?, &job, &slate, outbox, alarm)?;
    drop(slate);
    loop {
        let (message, payload) = conversation::next(inbox)?;
        match message {
            ToWorker::VideoConfiguration { codec } => pipeline.configure(codec, payload)?,
            ToWorker::Video { pts_ticks, .. } => pipeline.take_unit(&payload, pts_ticks)?,
            ToWorker::FillTo { frame, slate_from } => pipeline.fill_to(frame, slate_from)?,
            ToWorker::Finish => return pipeline.finish(outbox),
            other @ (ToWorker::Hello { .. }
            | ToWorker::Start(_)
            | ToWorker::StartSound(_)
            | ToWorker::SoundConfiguration
            | ToWorker::Sound { .. }) => {
                return Err(OrderError::of(&other, "media").into());
            }
        }
    }
}

/// Where an encoder's thread that fails says why, at once.
#[derive(Clone)]
pub(crate) struct Alarm(pub(crate) Arc<dyn Fn(PipelineError) + Send + Sync>);

/// The source as it is configured now.
struct Source<D> {
    codec: VideoCodec,
    configuration: Bytes,
    decoder: D,
}

/// The picture in force, and what has been scaled of it so far.
struct Picture<F> {
    source: F,
    /// By rung.
    scaled: Vec<Option<F>>,
}

struct Pipeline<E: Engine> {
    engine: E,
    cadence: Cadence,
    picker: FramePicker,
    source: Option<Source<E::Decoder>>,
    /// Luma samples a second of the largest rung.
    load: u64,
    picture: Option<Picture<E::Frame>>,
    slate: Slate<E::Frame>,
    /// Whether the slate is in force in the picture's place.
    showing_slate: bool,
    /// Whether anything was put out.
    begun: bool,
    latency: Latency,
    rungs: Vec<RungThread<E::Frame>>,
    /// By rung: the rung it is scaled from, if not from the source.
    parents: Vec<Option<usize>>,
    counters: Arc<Counters>,
    reporter: Reporter,
    units_without_picture: u64,
    /// Errors of decoders that are closed.
    errors_before: u64,
}

impl<E: Engine> Pipeline<E> {
    /// Opens every rung's encoder and says so.
    fn start(
        mut engine: E,
        job: &Job,
        slate: &Bytes,
        outbox: &Outbox,
        alarm: &Alarm,
    ) -> Result<Self, PipelineError> {
        if job.rungs.is_empty() || job.rungs.len() > MAX_RUNGS {
            return Err(PipelineError::Rungs(job.rungs.len()));
        }
        let odd = |size: Size| {
            size.width < 2
                || size.height < 2
                || !size.width.is_multiple_of(2)
                || !size.height.is_multiple_of(2)
        };
        let resolved: Vec<Rung> = job.rungs.iter().map(|rung| rung.rung.clone()).collect();
        if let Some(rung) = resolved.iter().find(|rung| odd(rung.size)) {
            return Err(PipelineError::RungSize { rung: rung.name.clone(), size: rung.size });
        }
        let counters = Arc::new(Counters::new(job.rungs.len()));
        let mut rungs = Vec::with_capacity(job.rungs.len());
        for (index, rung) in job.rungs.iter().enumerate() {
            let index = u8::try_from(index).map_err(|_| PipelineError::Rungs(job.rungs.len()))?;
            let out = Out { outbox, alarm, counters: &counters };
            rungs.push(RungThread::start(&mut engine, job, index, rung, &out)?);
        }
        let fastest =
            resolved.iter().map(|rung| rung.size.samples_per_second(job.cadence.frame_rate())).max();
        let first_frame = job.rungs.iter().map(|rung| rung.first_frame).min().unwrap_or_default();
        // Not before the encoders are open: the daemon waits for that.
        let slate = Slate::new(&mut engine, job, slate, outbox)?;
        Ok(Self {
            engine,
            cadence: job.cadence,
            picker: FramePicker::new(job.cadence, first_frame),
            source: None,
            load: fastest.unwrap_or_default(),
            picture: None,
            slate,
            showing_slate: false,
            begun: false,
            latency: job.latency,
            rungs,
            parents: plan::parents(&resolved),
            reporter: Reporter::start(&counters, outbox)?,
            counters,
            units_without_picture: 0,
            errors_before: 0,
        })
    }

    /// Takes over a new configuration record; what the old decoder still holds is put out first.
    fn configure(&mut self, codec: VideoCodec, configuration: Bytes) -> Result<(), PipelineError> {
        // A source that connects again sends the same record again; its first unit is a key frame, which is enough.
        if self.source.as_ref().is_some_and(|s| s.codec == codec && s.configuration == configuration) {
            return Ok(());
        }
        self.drain_decoder()?;
        let decoder = self.engine.decoder(codec, &configuration, self.load, self.latency)?;
        self.source = Some(Source { codec, configuration, decoder });
        Ok(())
    }

    fn take_unit(&mut self, unit: &[u8], pts_ticks: i64) -> Result<(), PipelineError> {
        let Some(source) = &mut self.source else {
            return Err(OrderError::Order { got: "Video", due: "VideoConfiguration" }.into());
        };
        Counters::add(&self.counters.units_in, 1);
        self.units_without_picture += 1;
        source.decoder.send(unit, pts_ticks)?;
        self.take_pictures()?;
        let errors = self.count_errors();
        if self.units_without_picture >= MAX_UNITS_WITHOUT_PICTURE {
            return Err(PipelineError::Undecodable { units: self.units_without_picture, errors });
        }
        Ok(())
    }

    fn count_errors(&self) -> u64 {
        let now = self.source.as_ref().map_or(0, |source| source.decoder.errors());
        let errors = self.errors_before.saturating_add(now);
        Counters::set(&self.counters.decode_errors, errors);
        errors
    }

    fn take_pictures(&mut self) -> Result<(), PipelineError> {
        while let Some(source) = &mut self.source {
            let Some(decoded) = source.decoder.receive()? else { return Ok(()) };
            self.take_picture(decoded)?;
        }
        Ok(())
    }

    fn take_picture(&mut self, decoded: Decoded<E::Frame>) -> Result<(), PipelineError> {
        self.units_without_picture = 0;
        Counters::add(&self.counters.pictures_decoded, 1);
        self.counters.set_source(E::size(&decoded.frame), decoded.deinterlaced);
        let pick = self.picker.picture(MediaTime::new(decoded.tag, Timescale::VIDEO));
        let picture = Picture { source: decoded.frame, scaled: vec![None; self.rungs.len()] };
        if self.begun {
            for frame in pick.repeat_previous {
                self.put_out(frame, true)?;
            }
            if let Some(frame) = pick.this {
                self.picture = Some(picture);
                self.showing_slate = false;
                self.put_out(frame, false)?;
            }
        } else {
            // Where nothing was shown before, the first picture is better than black; and where a worker takes over, the
            // last of the pictures that its predecessor has shown is what a silent source leaves on.
            self.picture = Some(picture);
            for (repeats, frame) in pick.repeat_previous.chain(pick.this).enumerate() {
                self.put_out(frame, repeats > 0)?;
            }
        }
        if pick.this.is_none() {
            Counters::add(&self.counters.pictures_dropped, 1);
        }
        Ok(())
    }

    /// Frame by frame, each waiting for room in the encoders' queues: nothing grows with the length of a silence.
    fn fill_to(&mut self, frame: u64, slate_from: u64) -> Result<(), PipelineError> {
        loop {
            let range = self.picker.fill_to(frame);
            if range.is_empty() {
                return Ok(());
            }
            for frame in range {
                self.showing_slate |= frame >= slate_from;
                if self.picture.is_none() && !self.showing_slate {
                    let largest = self.rungs.iter().map(|rung| rung.size).max_by_key(|s| (s.width, s.height));
                    let source = self.engine.black(largest.unwrap_or(Size { width: 2, height: 2 }))?;
                    self.picture = Some(Picture { source, scaled: vec![None; self.rungs.len()] });
                }
                self.put_out(frame, true)?;
            }
        }
    }

    /// Gives the picture in force, or the slate, to every rung that has grid frame `frame`.
    fn put_out(&mut self, frame: u64, repeated: bool) -> Result<(), PipelineError> {
        if repeated {
            Counters::add(&self.counters.frames_repeated, 1);
        }
        self.begun = true;
        let begins_segment = self.cadence.begins_segment(frame);
        for index in 0..self.rungs.len() {
            let Some(rung) = self.rungs.get(index).filter(|rung| rung.has(frame)) else { continue };
            let wish = Wish { idr: begins_segment || frame == rung.first_frame, repeated };
            let size = rung.size;
            let scaled = if self.showing_slate {
                self.slate.frame(&mut self.engine, index, size)?
            } else {
                self.scaled(index, size)?
            };
            let task = Task { frame: scaled, tag: frame, wish, entered: clock::now() };
            let sent = self.rungs.get_mut(index).is_none_or(|rung| rung.send(task));
            if !sent {
                return Err(Closed.into());
            }
        }
        Ok(())
    }

    /// The picture in force at the size of a rung, scaled when it is first asked for; black where there is none.
    fn scaled(&mut self, index: usize, size: Size) -> Result<E::Frame, PipelineError> {
        if let Some(ready) = self.picture.as_ref().and_then(|p| p.scaled.get(index)?.clone()) {
            return Ok(ready);
        }
        // Parents are larger rungs, so this ends.
        let parent = self.parents.get(index).copied().flatten();
        let parent = match parent.and_then(|parent| Some((parent, self.rungs.get(parent)?.size))) {
            Some((parent, size)) => Some(self.scaled(parent, size)?),
            None => None,
        };
        let Some(picture) = &mut self.picture else { return Ok(self.engine.black(size)?) };
        let scaled = self.engine.scale(parent.as_ref().unwrap_or(&picture.source), size)?;
        if let Some(slot) = picture.scaled.get_mut(index) {
            *slot = Some(scaled.clone());
        }
        Ok(scaled)
    }

    fn drain_decoder(&mut self) -> Result<(), PipelineError> {
        if let Some(source) = &mut self.source {
            source.decoder.finish();
        }
        self.take_pictures()?;
        self.errors_before = self.count_errors();
        self.source = None;
        Ok(())
    }

    /// Puts out what is left, and says so.
    fn finish(mut self, outbox: &Outbox) -> Result<(), PipelineError> {
        self.drain_decoder()?;
        // All are told before any is waited for.
        for rung in &mut self.rungs {
            rung.finish();
        }
        let Self { engine, picture, slate, rungs, reporter, counters, .. } = self;
        for rung in rungs {
            rung.join()?;
        }
        reporter.stop()?;
        outbox.send(FromWorker::Report(counters.report()), Bytes::new())?;
        // The last word ends the process: by then the driver has everything back.
        drop((picture, slate, engine));
        Ok(outbox.send(FromWorker::Finished, Bytes::new())?)
    }
}

#[cfg(test)]
mod tests;
