//! Feeds: who may publish to them, and what becomes of what is published.
//!
//! A publish goes this way: ingest finds the feed by its key and claims it ([`admission`]); the feed's task
//! ([`task`]) takes the media from the claim's bounded queue, hands it to the pure state machine of the presentation
//! ([`presentation`]), and does what that asks for: messages to the worker, chunks to the store. [`status`] is what the
//! outside may know of it. What an earlier daemon left on air is gone on with first ([`resume`]).

mod admission;
mod meter;
pub mod metrics;
pub mod presentation;
mod publishers;
pub mod resume;
pub mod source;
pub mod status;
pub mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;

use crate::config;
use crate::feed::status::{FeedStatus, PublisherStatus};

pub use admission::{Claim, Feed, Publisher, Queued, Refusal};

/// How long an operator who ends a programme waits for it: longer than a worker needs to put out what is left.
const END_TIMEOUT: Duration = Duration::from_secs(12);

/// All feeds.
#[derive(Debug, Clone)]
pub struct Feeds {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    feeds: RwLock<BTreeMap<String, Entry>>,
    /// Tasks of feeds that were removed, until they have put out what was left.
    leaving: Mutex<Vec<(String, JoinHandle<()>)>>,
    parts: task::Parts,
    stopping: watch::Sender<bool>,
}

#[derive(Debug)]
struct Entry {
    feed: Arc<Feed>,
    task: JoinHandle<()>,
    removed: watch::Sender<bool>,
}

/// What became of an operator's wish to end a programme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// There is no such feed.
    NoFeed,
    /// Nothing is on air.
    Idle,
    /// It has ended. With its presentation, if anybody could have seen it.
    Ended(Option<Ended>),
    /// It is ending: what is left is still being put out.
    Ending,
}

/// What an operator ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The presentation's id.
    pub presentation: String,
    /// Whether there is a recording of it.
    pub archived: bool,
}

impl Feeds {
    /// Starts the tasks of the configured feeds.
    #[must_use]
    pub fn start(feeds: &[config::Feed], parts: task::Parts) -> Self {
        let shared = Shared {
            feeds: RwLock::default(),
            leaving: Mutex::default(),
            parts,
            stopping: watch::Sender::new(false),
        };
        let this = Self { shared: Arc::new(shared) };
        this.apply(feeds);
        this
    }

    /// Brings the running feeds to a new configuration: new ones start, absent ones end, changed ones take effect with
    /// their next presentation (keys at once).
    pub fn apply(&self, feeds: &[config::Feed]) {
        let mut running = self.shared.feeds.write().unwrap_or_else(PoisonError::into_inner);
        let removed = running.extract_if(.., |name, _| !feeds.iter().any(|feed| feed.name == *name));
        let mut leaving = self.shared.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|(_, task)| !task.is_finished());
        for (name, entry) in removed {
            info!(feed = name, "feed removed");
            entry.removed.send_replace(true);
            leaving.push((name, entry.task));
        }
        for config in feeds {
            match running.get(&config.name) {
                Some(entry) => entry.feed.config.store(Arc::new(config.clone())),
                None => {
                    let before = leaving.iter().position(|(name, _)| *name == config.name);
                    let before = before.map(|at| leaving.swap_remove(at).1);
                    running.insert(config.name.clone(), self.start_one(config, before));
                }
            }
        }
    }

    /// `before` is the task of a feed of that name that was removed: its place in the store and its metrics are free once it
    /// has ended.
    fn start_one(&self, config: &config::Feed, before: Option<JoinHandle<()>>) -> Entry {
        let feed = Arc::new(Feed::new(config));
        let removed = watch::Sender::new(false);
        let task = task::Task {
            feed: feed.clone(),
            parts: self.shared.parts.clone(),
            stopping: self.shared.stopping.subscribe(),
            removed: removed.subscribe(),
            slate: task::SlateFile::default(),
        };
        let name = config.name.clone();
        let task = self.shared.parts.media.spawn(async move {
            if let Some(before) = before {
                finished(&name, before).await;
            }
            task.run().await;
        });
        Entry { feed, task, removed }
    }

    /// Claims the feed that `key` belongs to, for `who`.
    ///
    /// # Errors
    /// The refusal, to be sent before the publish is accepted.
    pub fn admit(&self, now: Instant, key: &[u8], who: PublisherStatus) -> Result<Claim, Refusal> {
        // Under the lock, so that a feed that stops finds whoever came before.
        let feeds = self.shared.feeds.read().unwrap_or_else(PoisonError::into_inner);
        if *self.shared.stopping.borrow() {
            return Err(Refusal::Stopping);
        }
        let (feed, role_and_key) = admission::find(&feeds, key).ok_or(Refusal::UnknownKey)?;
        let config = feed.config.load();
        // An encoder that is refused tells why; one that is let in and then closed tries again for ever.
        self.shared
            .parts
            .devices
            .check(&config.device)
            .map_err(|why| Refusal::NoDevice { feed: config.name.clone(), why })?;
        feed.admit(now, role_and_key, who)
    }

    /// Whether every publish is being ended, because the daemon stops.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.shared.stopping.borrow()
    }

    /// Where feeds run, and their publishers should.
    pub(crate) fn media(&self) -> &tokio::runtime::Handle {
        &self.shared.parts.media
    }

    /// Every feed's status, by name in order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<FeedStatus> {
        let feeds = self.shared.feeds.read().unwrap_or_else(PoisonError::into_inner);
        feeds.values().map(|entry| entry.feed.status.load().as_ref().clone()).collect()
    }

    /// Ends the programme of a feed, as its operator wants it: its publishers are sent away, what is left is put out, and its
    /// manifest turns static. Gives up waiting for that after a while.
    pub async fn end(&self, name: &str) -> End {
        let feed = {
            let feeds = self.shared.feeds.read().unwrap_or_else(PoisonError::into_inner);
            feeds.get(name).map(|entry| entry.feed.clone())
        };
        let Some(feed) = feed else { return End::NoFeed };
        let Some(ended) = feed.ask_to_end() else { return End::Idle };
        match tokio::time::timeout(END_TIMEOUT, ended).await {
            Ok(Ok(presentation)) => End::Ended(presentation),
            // It ended by itself meanwhile.
            Ok(Err(_)) => End::Idle,
            Err(_) => End::Ending,
        }
    }

    /// Ends every publish, and waits until what is left is put out and the presentations are closed.
    pub async fn stop(&self) {
        let (running, leaving) = {
            let mut running = self.shared.feeds.write().unwrap_or_else(PoisonError::into_inner);
            self.shared.stopping.send_replace(true);
            let mut leaving = self.shared.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut *running), std::mem::take(&mut *leaving))
        };
        for (name, entry) in running {
            finished(&name, entry.task).await;
        }
        for (name, task) in leaving {
            finished(&name, task).await;
        }
    }
}

async fn finished(feed: &str, task: JoinHandle<()>) {
    if let Err(fault) = task.await {
        tracing::error!(feed, %fault, "feed task failed");
    }
}

#[cfg(test)]
mod tests;
