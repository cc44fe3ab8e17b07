use std::sync::atomic::AtomicU32;
use std::task::Wake;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::clock;

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    /// How often since the last time that this was asked.
    fn times(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

#[test]
fn each_is_woken_once_and_at_its_beat() {
    let beat = Arc::new(Beat::default());
    let woken = [Arc::<Woken>::default(), Arc::default()];
    let wakers = woken.clone().map(Waker::from);
    let mut turns = [Turn::at(beat.clone()), Turn::at(beat.clone())];
    assert!(!beat.wake(&mut Vec::new()), "nobody waits");
    assert!(turns[0].poll(&mut Context::from_waker(&wakers[0])).is_ready());

    for (turn, beats) in turns.iter_mut().zip([1, 3]) {
        turn.wait_for(beats);
    }
    let mut poll = |which: usize| turns[which].poll(&mut Context::from_waker(&wakers[which]));
    for which in [0, 1, 1, 0] {
        assert!(poll(which).is_pending());
    }
    assert!(beat.wake(&mut Vec::new()));
    assert_eq!([woken[0].times(), woken[1].times()], [1, 0]);
    assert!(poll(0).is_ready());
    assert!(poll(1).is_pending());
    assert!(beat.wake(&mut Vec::new()), "the other one waits for a later beat");
    assert!(beat.wake(&mut Vec::new()));
    assert_eq!([woken[0].times(), woken[1].times()], [0, 1]);
    assert!(poll(1).is_ready());
    assert!(!beat.wake(&mut Vec::new()), "nobody waits any more");
}

#[test]
fn who_is_gone_is_not_woken_and_leaves_its_place() {
    let beat = Arc::new(Beat::default());
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    for _ in 0..3 {
        let mut turn = Turn::at(beat.clone());
        turn.wait_for(1);
        assert!(turn.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(!beat.wake(&mut Vec::new()));
    assert_eq!(woken.times(), 0);
    assert_eq!(beat.waiting().places.len(), 1);
}

#[test]
fn who_waits_first_sets_it_going() {
    let beat = Arc::new(Beat::default());
    let (woken, other) = (Arc::<Woken>::default(), Arc::<Woken>::default());
    let (waker, others) = (Waker::from(woken.clone()), Waker::from(other.clone()));
    let mut wanted = std::pin::pin!(beat.wanted());
    assert!(wanted.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let mut turn = Turn::at(beat.clone());
    turn.wait_for(1);
    assert!(turn.poll(&mut Context::from_waker(&others)).is_pending());
    assert_eq!((woken.times(), other.times()), (1, 0));
    assert!(wanted.poll(&mut Context::from_waker(&waker)).is_ready());
}

/// The kernel's timer keeps the pace, and goes on after a rest.
#[tokio::test]
async fn beats_are_one_pace_apart() {
    for _ in 0..2 {
        let since = clock::now();
        let mut interval = Interval::new(2);
        let ticks = async {
            for _ in 0..4 {
                interval.tick().await;
            }
        };
        timeout(Duration::from_secs(20), ticks).await.unwrap();
        // One beat to the first, and two to each of the others.
        assert!(clock::now().saturating_duration_since(since) >= PACE * 6);
        let beat = interval.turn.beat.clone();
        drop(interval);
        let rests = async || beat.waiting().resting.is_some().then_some(());
        test_support::wait::until(Duration::from_secs(20), "a rest", rests).await;
    }
}
