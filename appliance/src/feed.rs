//! Feeds: who may publish to them, and what becomes of what is published.
//!
//! A publish goes this way: ingest finds the feed by its key and claims it ([`Feeds::admit`]); the feed's task
//! ([`task`]) takes the media from the claim's bounded queue, hands it to the pure state machine of the presentation
//! ([`presentation`]), and does what that asks for: messages to the worker, chunks to the store. [`status`] is what the
//! outside may know of it.

mod meter;
pub mod metrics;
pub mod presentation;
pub mod source;
pub mod status;
pub mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::info;

use crate::config;
use crate::feed::source::Input;
use crate::feed::status::{FeedStatus, PublisherStatus};

/// Units waiting between a publisher's socket and its feed: about a second; behind it TCP holds the encoder back.
const INPUT_QUEUE: usize = 128;
/// KiB of them: a second and more of the highest bit rate that the configuration allows.
const INPUT_QUEUE_KIB: u32 = 32 * 1024;

/// Why a publish is refused. The text goes to the encoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No feed has this key.
    #[error("the stream key is not known here; check the key of your encoder's stream settings")]
    UnknownKey,
    /// The feed has a publisher.
    #[error("feed \"{feed}\" is being published to by {by} already; stop that encoder first")]
    Busy {
        /// The feed's name.
        feed: String,
        /// Address of the one who publishes.
        by: String,
    },
    /// The daemon is going down.
    #[error("the appliance is shutting down; try again in a moment")]
    Stopping,
}

impl Refusal {
    /// A word from a closed list, for a metric's label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::Busy { .. } => "busy",
            Self::Stopping => "stopping",
        }
    }
}

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

/// What a feed's task, its publishers and the API share.
#[derive(Debug)]
pub struct Feed {
    /// Its configuration: what the next presentation is made with.
    pub config: ArcSwap<config::Feed>,
    /// Its last published status.
    pub status: ArcSwap<FeedStatus>,
    publisher: Mutex<Option<PublisherStatus>>,
    /// Who was admitted, and waits for what is left of the publisher before to be put out.
    waiting: Mutex<Option<Publisher>>,
    joined: Notify,
}

impl Feed {
    fn new(config: &config::Feed) -> Self {
        Self {
            config: ArcSwap::from_pointee(config.clone()),
            status: ArcSwap::from_pointee(task::idle_status(config)),
            publisher: Mutex::new(None),
            waiting: Mutex::new(None),
            joined: Notify::new(),
        }
    }

    /// The publisher that waits, as soon as there is one that has not gone again.
    async fn next_publisher(&self) -> Publisher {
        loop {
            match self.take_waiting() {
                Some(publisher) if !publisher.dismiss.is_closed() => return publisher,
                _ => self.joined.notified().await,
            }
        }
    }

    fn take_waiting(&self) -> Option<Publisher> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn publisher(&self) -> MutexGuard<'_, Option<PublisherStatus>> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The feed's end of a publish.
#[derive(Debug)]
pub struct Publisher {
    /// Who it is.
    pub who: PublisherStatus,
    /// Its media; ends when the publisher has gone.
    pub inputs: mpsc::Receiver<Queued>,
    /// Ends the publish, with a sentence for the encoder.
    pub dismiss: watch::Sender<Option<String>>,
}

/// Media on its way from a publisher to its feed.
#[derive(Debug)]
pub struct Queued {
    /// The media.
    pub input: Input,
    _room: OwnedSemaphorePermit,
}

/// Ingest's end of a publish. Dropping it ends the publish and frees the feed.
#[derive(Debug)]
pub struct Claim {
    feed: Arc<Feed>,
    inputs: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    dismissed: watch::Receiver<Option<String>>,
}

impl Claim {
    /// The feed's public name.
    #[must_use]
    pub fn feed_name(&self) -> String {
        self.feed.config.load().name.clone()
    }

    /// Hands media to the feed; waits while its queue is full, so that the socket is not read meanwhile. False when the
    /// feed takes no more.
    pub async fn send(&self, input: Input) -> bool {
        let kib = input.payload_bytes().div_ceil(1024);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX).clamp(1, INPUT_QUEUE_KIB);
        let Ok(room) = self.room.clone().acquire_many_owned(kib).await else { return false };
        self.inputs.send(Queued { input, _room: room }).await.is_ok()
    }

    /// Waits until the feed ends the publish, and gives the sentence for the encoder.
    pub async fn dismissed(&mut self) -> String {
        let gone = || "the feed was closed".to_owned();
        match self.dismissed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_else(gone),
            Err(_) => gone(),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        *self.feed.publisher() = None;
    }
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
        drop(leaving);
        for config in feeds {
            match running.get(&config.name) {
                Some(entry) => entry.feed.config.store(Arc::new(config.clone())),
                None => {
                    running.insert(config.name.clone(), self.start_one(config));
                }
            }
        }
    }

    fn start_one(&self, config: &config::Feed) -> Entry {
        let feed = Arc::new(Feed::new(config));
        let removed = watch::Sender::new(false);
        let task = task::Task {
            feed: feed.clone(),
            parts: self.shared.parts.clone(),
            stopping: self.shared.stopping.subscribe(),
            removed: removed.subscribe(),
        };
        Entry { feed, task: tokio::spawn(task.run()), removed }
    }

    /// Claims the feed that `key` belongs to, for `who`.
    ///
    /// # Errors
    /// The refusal, to be sent before the publish is accepted.
    pub fn admit(&self, key: &[u8], who: PublisherStatus) -> Result<Claim, Refusal> {
        // Under the lock, so that a feed that stops finds whoever came before.
        let feeds = self.shared.feeds.read().unwrap_or_else(PoisonError::into_inner);
        if *self.shared.stopping.borrow() {
            return Err(Refusal::Stopping);
        }
        // Every hash of every feed is compared, so that time tells nothing of which one matched.
        let hash = config::KeyHash::of(key);
        let mut found = None;
        for entry in feeds.values() {
            for candidate in &entry.feed.config.load().key_hashes {
                if candidate.matches(&hash) {
                    found = Some(entry);
                }
            }
        }
        let entry = found.ok_or(Refusal::UnknownKey)?;
        let mut publisher = entry.feed.publisher();
        if let Some(by) = publisher.as_ref() {
            return Err(Refusal::Busy {
                feed: entry.feed.config.load().name.clone(),
                by: by.address.clone(),
            });
        }
        let (inputs, from_socket) = mpsc::channel(INPUT_QUEUE);
        let (dismiss, dismissed) = watch::channel(None);
        let joining = Publisher { who: who.clone(), inputs: from_socket, dismiss };
        // Nobody publishes, so one that still waits has gone again, and gives its place up.
        *entry.feed.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(joining);
        entry.feed.joined.notify_one();
        *publisher = Some(who);
        let room = Arc::new(Semaphore::new(usize::try_from(INPUT_QUEUE_KIB).unwrap_or(usize::MAX)));
        Ok(Claim { feed: entry.feed.clone(), inputs, room, dismissed })
    }

    /// Every feed's status, by name in order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<FeedStatus> {
        let feeds = self.shared.feeds.read().unwrap_or_else(PoisonError::into_inner);
        feeds.values().map(|entry| entry.feed.status.load().as_ref().clone()).collect()
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
