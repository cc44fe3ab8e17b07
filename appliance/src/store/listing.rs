//! Lists what has waited for the archive long enough. A thread of its own, since the archive's may hang with the disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::view::PresentationView;
use crate::clock;

#[derive(Default)]
struct Due {
    /// By when, and by order of asking.
    views: BTreeMap<(Instant, u64), Weak<PresentationView>>,
    asked: u64,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    due: Mutex<Due>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The near end of the thread.
#[derive(Clone)]
pub(super) struct Listing {
    shared: Arc<Shared>,
}

impl Listing {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let listing = Self { shared: shared.clone() };
        thread::Builder::new().name("listing".to_owned()).spawn(move || run(&shared))?;
        Ok(listing)
    }

    /// Has `view` look at what it lists when that time has come.
    pub(super) fn look_at(&self, view: Weak<PresentationView>, when: Instant) {
        let mut due = self.shared.lock();
        due.asked += 1;
        let order = due.asked;
        due.views.insert((when, order), view);
        self.shared.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

fn run(shared: &Shared) {
    let mut due = shared.lock();
    while !due.stopped {
        let now = clock::now();
        let first = due.views.first_key_value().map(|((when, _), _)| *when);
        due = match first {
            Some(when) if when <= now => {
                let view = due.views.pop_first().and_then(|(_, view)| view.upgrade());
                drop(due);
                if let Some(view) = view {
                    view.list_what_is_due();
                }
                shared.lock()
            }
            Some(when) => {
                let pause = when.saturating_duration_since(now).max(Duration::from_millis(1));
                shared.changed.wait_timeout(due, pause).unwrap_or_else(PoisonError::into_inner).0
            }
            None => shared.changed.wait(due).unwrap_or_else(PoisonError::into_inner),
        };
    }
}
