//! The publishers that a programme listens to.

use std::task::Poll;

use tokio::sync::mpsc::{self, error::TryRecvError};

use super::presentation::SourceId;
use super::source::Input;
use super::status::PublisherStatus;
use super::{Publisher, Queued};

/// The publishers that a programme listens to: few, since a feed admits one with each role.
#[derive(Default)]
pub(super) struct Publishers {
    all: Vec<Publisher>,
    /// Which of them is looked at first, in turn, so that none keeps the others waiting.
    turn: usize,
}

impl Publishers {
    pub(super) fn join(&mut self, publisher: Publisher) {
        self.all.push(publisher);
    }

    /// What the next of them sent, or that it has gone; never of the one that is held back. Cancel safe.
    pub(super) async fn next(&mut self, held_back: Option<SourceId>) -> (SourceId, Option<Input>) {
        std::future::poll_fn(|context| self.first(held_back, |inputs| inputs.poll_recv(context))).await
    }

    /// As [`Self::next`], where something has come already.
    pub(super) fn already(&mut self, held_back: Option<SourceId>) -> Option<(SourceId, Option<Input>)> {
        let come = self.first(held_back, |inputs| match inputs.try_recv() {
            Ok(queued) => Poll::Ready(Some(queued)),
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
            Err(TryRecvError::Empty) => Poll::Pending,
        });
        match come {
            Poll::Ready(come) => Some(come),
            Poll::Pending => None,
        }
    }

    /// Asks one after the other, and ends with the first that has something.
    fn first(
        &mut self,
        held_back: Option<SourceId>,
        mut ask: impl FnMut(&mut mpsc::Receiver<Queued>) -> Poll<Option<Queued>>,
    ) -> Poll<(SourceId, Option<Input>)> {
        self.turn = self.turn.wrapping_add(1);
        let count = self.all.len();
        for offset in 0..count {
            let Some(publisher) = self.all.get_mut(self.turn.wrapping_add(offset) % count) else {
                continue;
            };
            if held_back == Some(publisher.id) {
                continue;
            }
            if let Poll::Ready(queued) = ask(&mut publisher.inputs) {
                return Poll::Ready((publisher.id, queued.map(|Queued { input, .. }| input)));
            }
        }
        Poll::Pending
    }

    /// One has gone, or is not listened to any more. What it has queued is dropped, which frees it if it waits for room.
    pub(super) fn remove(&mut self, id: SourceId) -> Option<Publisher> {
        let index = self.all.iter().position(|publisher| publisher.id == id)?;
        Some(self.all.swap_remove(index))
    }

    /// Sends one away, with a sentence for the encoder.
    pub(super) fn dismiss(&mut self, id: SourceId, why: &str) -> Option<Publisher> {
        self.remove(id).inspect(|publisher| tell(publisher, why))
    }

    /// Sends them all away.
    pub(super) fn dismiss_all(&mut self, why: &str) {
        for publisher in self.all.drain(..) {
            tell(&publisher, why);
        }
    }

    /// Who is on air; else who is there.
    pub(super) fn who(&self, on_air: Option<SourceId>) -> Option<&PublisherStatus> {
        let publisher = self.all.iter().find(|publisher| Some(publisher.id) == on_air);
        publisher.or(self.all.first()).map(|publisher| &publisher.who)
    }
}

/// Who has been told why already is not told again.
fn tell(publisher: &Publisher, why: &str) {
    publisher.dismiss.send_if_modified(|reason| {
        let untold = reason.is_none();
        if untold {
            *reason = Some(why.to_owned());
        }
        untold
    });
}
