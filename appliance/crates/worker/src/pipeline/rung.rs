//! One rung: its encoder, on a thread of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::ladder::RungRate;
use media::{Size, VideoCodec};
use worker_protocol::{FromWorker, Job, RungJob};

use super::counters::{Counters, RungCounters};
use super::{Alarm, PipelineError};
use crate::clock;
use crate::engine::{Encode, Engine, EngineError, Wish};
use crate::link::{Closed, Outbox};
use crate::run::panic_text;

/// Frames that wait for an encoder: enough that it never waits for a picture to be decoded; more would only cost memory.
const QUEUE_FRAMES: usize = 2;
/// What rungs are coded in.
const CODEC: VideoCodec = VideoCodec::H264;

/// One frame to encode.
pub(super) struct Task<F> {
    /// At the rung's size.
    pub(super) frame: F,
    /// The grid frame.
    pub(super) tag: u64,
    /// How it is to be coded.
    pub(super) wish: Wish,
    /// When it was ready.
    pub(super) entered: Instant,
}

/// What ends an encoder's thread before its queue does.
enum RungError {
    Engine(EngineError),
    Closed,
}

impl From<EngineError> for RungError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Closed> for RungError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Where what comes of a rung goes.
pub(super) struct Out<'a> {
    pub(super) outbox: &'a Outbox,
    pub(super) alarm: &'a Alarm,
    pub(super) counters: &'a Arc<Counters>,
}

/// The thread of one rung, seen from the pipeline.
pub(super) struct RungThread<F> {
    pub(super) size: Size,
    rate: RungRate,
    /// The first grid frame it shows.
    pub(super) first_frame: u64,
    index: u8,
    queue: Option<SyncSender<Task<F>>>,
    counters: Arc<Counters>,
    thread: JoinHandle<Result<(), Closed>>,
}

impl<F: Send + 'static> RungThread<F> {
    /// Opens the encoder, announces it and starts its thread.
    pub(super) fn start<E: Engine<Frame = F>>(
        engine: &mut E,
        job: &Job,
        index: u8,
        rung_job: &RungJob,
        out: &Out<'_>,
    ) -> Result<Self, PipelineError> {
        let rung = &rung_job.rung;
        let grid = job.cadence.frame_rate();
        let all = job.rungs.iter().map(|r| r.rung.samples_per_second(grid)).sum();
        let encoder = engine.encoder(CODEC, rung, rung.frame_rate(grid), all, job.latency)?;
        let captions = E::Encoder::CAPTIONS && rung.rate == RungRate::Full;
        let opened = FromWorker::RungOpened { rung: index, codec: CODEC, size: rung.size, captions };
        out.outbox.send(opened, encoder.configuration())?;
        let (queue, tasks) = mpsc::sync_channel(QUEUE_FRAMES);
        let (outbox, counters, alarm) = (out.outbox.clone(), Arc::clone(out.counters), out.alarm.clone());
        // Linux shows 15 bytes of it.
        let name = format!("rung-{}", rung.name);
        let rung_name = rung.name.clone();
        let body = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| encode(index, encoder, &tasks, &outbox, &counters)));
            let error = match ended {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(RungError::Closed)) => return Err(Closed),
                Ok(Err(RungError::Engine(source))) => PipelineError::Rung { rung: rung_name, source },
                Err(panic) => {
                    PipelineError::Panic { name: format!("rung-{rung_name}"), what: panic_text(&*panic) }
                }
            };
            // Before the queue closes, so that the pipeline does not find it closed for no reason.
            (alarm.0)(error);
            drop(tasks);
            Err(Closed)
        };
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(body)
            .map_err(|source| PipelineError::Thread { name, source })?;
        Ok(Self {
            size: rung.size,
            rate: rung.rate,
            first_frame: match rung.rate {
                RungRate::Full => rung_job.first_frame,
                RungRate::Half => rung_job.first_frame.next_multiple_of(2),
            },
            index,
            queue: Some(queue),
            counters: Arc::clone(out.counters),
            thread,
        })
    }

    /// Whether the rung shows grid frame `frame`.
    pub(super) fn has(&self, frame: u64) -> bool {
        frame >= self.first_frame && (self.rate == RungRate::Full || frame.is_multiple_of(2))
    }

    /// Queues a frame; waits while the queue is full. False where the thread has ended.
    pub(super) fn send(&mut self, task: Task<F>) -> bool {
        if let Some(counters) = self.counters.rungs.get(usize::from(self.index)) {
            counters.queue_depth.fetch_add(1, Ordering::Relaxed);
        }
        self.queue.as_ref().is_some_and(|queue| queue.send(task).is_ok())
    }

    /// Nothing more will be queued.
    pub(super) fn finish(&mut self) {
        self.queue = None;
    }

    /// Waits until all is put out; [`Closed`] where the link is, or after an alarm.
    pub(super) fn join(mut self) -> Result<(), PipelineError> {
        self.finish();
        // Panics are caught within.
        Ok(self.thread.join().unwrap_or(Err(Closed))?)
    }
}

/// The body of the thread.
fn encode<C: Encode>(
    index: u8,
    mut encoder: C,
    tasks: &Receiver<Task<C::Frame>>,
    outbox: &Outbox,
    counters: &Counters,
) -> Result<(), RungError> {
    let fallback = RungCounters::default();
    let counters = counters.rungs.get(usize::from(index)).unwrap_or(&fallback);
    // When each frame within entered, oldest first.
    let mut inside: VecDeque<(u64, Instant)> = VecDeque::new();
    loop {
        let task = tasks.recv().ok();
        let begun = clock::now();
        match &task {
            Some(task) => {
                counters.queue_depth.fetch_sub(1, Ordering::Relaxed);
                Counters::add(&counters.frames_in, 1);
                Counters::add(&counters.frames_repeated, u64::from(task.wish.repeated));
                inside.push_back((task.tag, task.entered));
                encoder.send(&task.frame, task.tag, task.wish)?;
            }
            None => encoder.finish(),
        }
        let last = task.is_none();
        // The frame goes back to its pool before the socket is waited for.
        drop(task);
        let mut busy = begun;
        loop {
            let coded = encoder.receive()?;
            let now = clock::now();
            Counters::add(&counters.busy_micros, micros(now.saturating_duration_since(busy)));
            let Some(coded) = coded else { break };
            if let Some(at) = inside.iter().position(|(tag, _)| *tag == coded.tag)
                && let Some((_, entered)) = inside.remove(at)
            {
                counters.latency(now.saturating_duration_since(entered));
            }
            Counters::add(&counters.pictures_out, 1);
            Counters::add(&counters.bytes_out, u64::try_from(coded.payload.len()).unwrap_or(u64::MAX));
            let picture = FromWorker::Picture { rung: index, frame: coded.tag, key: coded.key };
            let payload: Bytes = coded.payload;
            outbox.send(picture, payload)?;
            busy = clock::now();
        }
        if last {
            return Ok(());
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
