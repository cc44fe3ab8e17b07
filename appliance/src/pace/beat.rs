//! The beat: one timer of the kernel for all that is looked at on one runtime.
//!
//! A runtime's own timers are coarse where they are not near: one that lies beyond the present 64 ms wakes its thread once
//! where its 64 ms begin, and again when it is due, and each of them is put in and taken out on its own. The beat is a
//! timer of the kernel, which wakes the thread once for all that wait for it, and only while somebody does.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};

use super::PACE;

/// The beats of the runtimes that have one.
static BEATS: Mutex<Option<HashMap<Id, Weak<Beat>>>> = Mutex::new(None);

/// What one runtime's turns share.
#[derive(Debug, Default)]
struct Beat {
    /// How many there have been.
    count: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Who is woken, and at which beat; a place for each turn there is.
    places: Vec<Option<(u64, Waker)>>,
    /// Places of turns that are gone.
    free: Vec<usize>,
    /// What makes the beats, where it waits for somebody to want one.
    resting: Option<Waker>,
}

impl Waiting {
    fn take_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        })
    }
}

impl Beat {
    /// That of the runtime that this is called on.
    fn here() -> Arc<Self> {
        let runtime = Handle::current();
        let mut beats = BEATS.lock().unwrap_or_else(PoisonError::into_inner);
        let beats = beats.get_or_insert_default();
        if let Some(beat) = beats.get(&runtime.id()).and_then(Weak::upgrade) {
            return beat;
        }
        beats.retain(|_, beat| beat.strong_count() > 0);
        let beat = Arc::new(Self::default());
        beats.insert(runtime.id(), Arc::downgrade(&beat));
        runtime.spawn(beat.clone().keep_up());
        beat
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Beats while anybody waits, for as long as the runtime is there.
    async fn keep_up(self: Arc<Self>) {
        let timer = Timer::new().ok();
        let mut woken = Vec::new();
        loop {
            self.wanted().await;
            loop {
                match &timer {
                    Some(timer) if timer.pass(PACE).await.is_ok() => {}
                    // No descriptor is left for it: then at the cost of the runtime's own.
                    _ => tokio::time::sleep(PACE).await,
                }
                if !self.wake(&mut woken) {
                    break;
                }
            }
        }
    }

    /// Ready once somebody waits.
    async fn wanted(&self) {
        std::future::poll_fn(|context| {
            let mut waiting = self.waiting();
            if waiting.places.iter().any(Option::is_some) {
                return Poll::Ready(());
            }
            waiting.resting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The next beat. False where nobody waited for it or for a later one.
    fn wake(&self, woken: &mut Vec<Waker>) -> bool {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut wanted = false;
        {
            let mut waiting = self.waiting();
            for place in &mut waiting.places {
                wanted |= place.is_some();
                woken.extend(place.take_if(|(due, _)| *due <= count).map(|(_, waker)| waker));
            }
        }
        woken.drain(..).for_each(Waker::wake);
        wanted
    }
}

/// One that waits for beats of the runtime that it was made on.
#[derive(Debug)]
pub(super) struct Turn {
    beat: Arc<Beat>,
    place: usize,
    /// The beat that it waits for; one that has been where it does not wait.
    due: u64,
}

impl Turn {
    /// It is due at once.
    pub(super) fn new() -> Self {
        Self::at(Beat::here())
    }

    fn at(beat: Arc<Beat>) -> Self {
        let place = beat.waiting().take_place();
        Self { beat, place, due: 0 }
    }

    /// From here on it is due after so many beats.
    pub(super) fn wait_for(&mut self, beats: u64) {
        self.due = self.beat.count.load(Ordering::Relaxed).saturating_add(beats);
    }

    /// Ready once it is due.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.beat.waiting();
        if self.beat.count.load(Ordering::Relaxed) >= self.due {
            return Poll::Ready(());
        }
        if let Some(place) = waiting.places.get_mut(self.place) {
            match place {
                Some((due, waker)) if waker.will_wake(context.waker()) => *due = self.due,
                place => *place = Some((self.due, context.waker().clone())),
            }
        }
        let resting = waiting.resting.take();
        drop(waiting);
        resting.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.beat.waiting();
        if let Some(place) = waiting.places.get_mut(self.place) {
            *place = None;
        }
        waiting.free.push(self.place);
    }
}

/// Beats, some of which are its own.
#[derive(Debug)]
pub(crate) struct Interval {
    turn: Turn,
    every: u64,
}

impl Interval {
    /// The next beat is its first, and from then on every so many are.
    pub(super) fn new(every: u64) -> Self {
        let mut turn = Turn::new();
        turn.wait_for(1);
        Self { turn, every }
    }

    /// Waits for its next. Cancel safe.
    pub(crate) async fn tick(&mut self) {
        std::future::poll_fn(|context| {
            ready!(self.turn.poll(context));
            self.turn.wait_for(self.every);
            Poll::Ready(())
        })
        .await;
    }
}

/// A timer of the kernel in the runtime's event loop (timerfd_create(2)).
#[derive(Debug)]
struct Timer(AsyncFd<Descriptor>);

#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    #[expect(
        deprecated,
        reason = "what follows it is unsafe, for types that may lie of a descriptor; this one owns it"
    )]
    fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self(AsyncFd::with_interest(Descriptor(timer), Interest::READABLE)?))
    }

    /// Waits for so long. One that is set anew forgets that it had run out, so it is not read.
    async fn pass(&self, time: Duration) -> io::Result<()> {
        let once = Expiration::OneShot(TimeSpec::from_duration(time));
        self.0.get_ref().0.set(once, TimerSetTimeFlags::empty())?;
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
