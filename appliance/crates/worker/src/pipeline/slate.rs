//! The slate's frames, made when they are first shown.

use bytes::Bytes;
use media::Size;
use worker_protocol::{FromWorker, Job};

use crate::engine::{Engine, EngineError};
use crate::link::{Closed, Outbox};
use crate::run::chain;
use crate::slate::card;

/// The slate of one job.
pub(super) struct Slate<F> {
    title: String,
    /// The operator's picture.
    still: Option<F>,
    /// By rung, for as long as the job lasts: a slate returns.
    frames: Vec<Option<F>>,
}

impl<F: Clone> Slate<F> {
    /// Decodes the operator's picture, if there is one, and says so where that fails.
    pub(super) fn new<E: Engine<Frame = F>>(
        engine: &mut E,
        job: &Job,
        file: &Bytes,
        outbox: &Outbox,
    ) -> Result<Self, Closed> {
        let mut still = None;
        if job.slate && !file.is_empty() {
            let widest = job.rungs.iter().map(|job| job.rung.size.width).max().unwrap_or(2);
            let highest = job.rungs.iter().map(|job| job.rung.size.height).max().unwrap_or(2);
            match engine.still(file, Size { width: widest, height: highest }) {
                Ok(frame) => still = Some(frame),
                Err(error) => {
                    let text = format!("{}; the built-in card takes its place", chain(&error));
                    outbox.send(FromWorker::Warning { text }, Bytes::new())?;
                }
            }
        }
        Ok(Self { title: job.title.clone(), still, frames: vec![None; job.rungs.len()] })
    }

    /// The slate of rung `index`, which has pictures of `size`.
    pub(super) fn frame<E: Engine<Frame = F>>(
        &mut self,
        engine: &mut E,
        index: usize,
        size: Size,
    ) -> Result<F, EngineError> {
        if let Some(Some(ready)) = self.frames.get(index) {
            return Ok(ready.clone());
        }
        let frame = match &self.still {
            Some(still) => engine.scale(still, size)?,
            None => match card(&self.title, size) {
                Some(planes) => engine.drawn(&planes)?,
                None => engine.black(size)?,
            },
        };
        if let Some(slot) = self.frames.get_mut(index) {
            *slot = Some(frame.clone());
        }
        Ok(frame)
    }
}
