//! Who may publish to a feed, and both ends of a publish.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::Ended;
use super::presentation::{QUARANTINE, Role, SourceId};
use super::source::Input;
use super::status::{FeedStatus, PublisherStatus};
use super::task;
use crate::config::{self, Takeover};
use crate::devices::NoDevice;

/// Units waiting between a publisher's socket and its feed: about a second; behind it TCP holds the encoder back.
const INPUT_QUEUE: usize = 128;
/// KiB of them: a second and more of the highest bit rate that the configuration allows.
const INPUT_QUEUE_KIB: u32 = 32 * 1024;

/// Operators who may ask for an end at once. They are answered within milliseconds.
const END_REQUESTS: usize = 8;

/// Why a publish is refused. The text goes to the encoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No feed has this key.
    #[error("the stream key is not known here; check the key of your encoder's stream settings")]
    UnknownKey,
    /// The feed has a publisher with another key.
    #[error(
        "feed \"{feed}\" is being published to by {by} with another of its keys; stop that encoder first"
    )]
    OtherKey {
        /// The feed's name.
        feed: String,
        /// Address of the one who publishes.
        by: String,
    },
    /// The feed has a publisher.
    #[error("feed \"{feed}\" is being published to by {by} already; stop that encoder first")]
    Busy {
        /// The feed's name.
        feed: String,
        /// Address of the one who publishes.
        by: String,
    },
    /// The feed kills its workers.
    #[error("feed \"{feed}\" is in quarantine for {seconds} s more: {reason}")]
    Quarantined {
        /// The feed's name.
        feed: String,
        /// How much longer, in seconds.
        seconds: u64,
        /// Why.
        reason: String,
    },
    /// There is nothing to transcode it on.
    #[error("feed \"{feed}\" cannot be taken: {why}")]
    NoDevice {
        /// The feed's name.
        feed: String,
        /// What lacks.
        why: NoDevice,
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
            Self::Busy { .. } | Self::OtherKey { .. } => "busy",
            Self::Quarantined { .. } => "quarantined",
            Self::NoDevice { .. } => "no_device",
            Self::Stopping => "stopping",
        }
    }
}

/// What a feed's task, its publishers and the API share.
#[derive(Debug)]
pub struct Feed {
    /// Its configuration: what the next presentation is made with.
    pub config: ArcSwap<config::Feed>,
    /// Its last published status.
    pub status: ArcSwap<FeedStatus>,
    admitted: Mutex<Admitted>,
    joined: Notify,
    /// Where the programme that is there hears its operator; none where there is no programme.
    operator: Mutex<Option<mpsc::Sender<EndRequest>>>,
}

/// An operator who wants the programme ended; told once it has, with its presentation, if it had begun.
pub(super) type EndRequest = oneshot::Sender<Option<Ended>>;

/// Who publishes to a feed: at most one with each role.
#[derive(Debug, Default)]
struct Admitted {
    publishers: Vec<Slot>,
    /// Who the feed has not looked at yet; bounded, since it is at most one for each slot.
    waiting: VecDeque<Publisher>,
    next_id: SourceId,
    quarantine: Option<(Instant, String)>,
}

#[derive(Debug)]
struct Slot {
    id: SourceId,
    role: Role,
    key: config::KeyHash,
    address: String,
    dismiss: watch::Sender<Option<String>>,
}

/// The feed's end of a publish.
#[derive(Debug)]
pub struct Publisher {
    /// Names it within its feed.
    pub id: SourceId,
    /// What its key makes it.
    pub role: Role,
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

/// Ingest's end of a publish. Dropping it ends the publish and frees its place.
#[derive(Debug)]
pub struct Claim {
    feed: Arc<Feed>,
    id: SourceId,
    inputs: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    dismissed: watch::Receiver<Option<String>>,
}

impl Feed {
    pub(super) fn new(config: &config::Feed) -> Self {
        Self {
            config: ArcSwap::from_pointee(config.clone()),
            status: ArcSwap::from_pointee(task::idle_status(config)),
            admitted: Mutex::default(),
            joined: Notify::new(),
            operator: Mutex::default(),
        }
    }

    fn admitted(&self) -> MutexGuard<'_, Admitted> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A programme is there, and hears its operator from here on.
    pub(super) fn hear_operator(&self) -> mpsc::Receiver<EndRequest> {
        let (operator, hears) = mpsc::channel(END_REQUESTS);
        *self.operator.lock().unwrap_or_else(PoisonError::into_inner) = Some(operator);
        hears
    }

    /// The programme is over.
    pub(super) fn forget_operator(&self) {
        *self.operator.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Asks the programme to end; none where there is none, or where too many ask.
    pub(super) fn ask_to_end(&self) -> Option<oneshot::Receiver<Option<Ended>>> {
        let operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (request, answer) = oneshot::channel();
        operator.try_send(request).ok().map(|()| answer)
    }

    /// The publisher that waits, as soon as there is one that has not gone again. Cancel safe.
    pub(super) async fn next_publisher(&self) -> Publisher {
        loop {
            match self.take_waiting() {
                Some(publisher) if !publisher.dismiss.is_closed() => return publisher,
                Some(_) => {}
                None => self.joined.notified().await,
            }
        }
    }

    pub(super) fn take_waiting(&self) -> Option<Publisher> {
        self.admitted().waiting.pop_front()
    }

    /// Takes no publisher for a while.
    pub(super) fn quarantine(&self, now: Instant, reason: String) {
        self.admitted().quarantine = Some((now + QUARANTINE, reason));
    }

    /// Lets a publisher in, if the feed takes one. An encoder with the same key that still holds the place is sent away,
    /// where the policy has it so: most often it is the same encoder, whose old connection hangs. One with another key of
    /// the feed is another encoder, and keeps it.
    pub(super) fn admit(
        self: &Arc<Self>,
        now: Instant,
        (role, key): (Role, config::KeyHash),
        who: PublisherStatus,
    ) -> Result<Claim, Refusal> {
        let config = self.config.load_full();
        let mut admitted = self.admitted();
        if let Some((until, reason)) = &admitted.quarantine {
            if *until > now {
                let seconds = until.saturating_duration_since(now).as_secs();
                return Err(Refusal::Quarantined {
                    feed: config.name.clone(),
                    seconds,
                    reason: reason.clone(),
                });
            }
            admitted.quarantine = None;
        }
        if let Some(slot) = admitted.publishers.iter().find(|slot| slot.role == role) {
            let (feed, by) = (config.name.clone(), slot.address.clone());
            match config.takeover {
                Takeover::Never => return Err(Refusal::Busy { feed, by }),
                // A key that was taken out of the configuration keeps nobody out.
                Takeover::SameKey if slot.key != key && is_known(&config, &slot.key) => {
                    return Err(Refusal::OtherKey { feed, by });
                }
                Takeover::SameKey => {}
            }
        }
        for slot in admitted.publishers.extract_if(.., |slot| slot.role == role) {
            let whose = if slot.key == key { "the same key" } else { "a new key" };
            let reason = format!("an encoder with {whose} took over, from {}", who.address);
            slot.dismiss.send_replace(Some(reason));
        }
        let id = admitted.next_id;
        admitted.next_id += 1;
        let (inputs, from_socket) = mpsc::channel(INPUT_QUEUE);
        let (dismiss, dismissed) = watch::channel(None);
        admitted.publishers.push(Slot {
            id,
            role,
            key,
            address: who.address.clone(),
            dismiss: dismiss.clone(),
        });
        // One that still waits with this role has gone again or was sent away, and gives its place up.
        admitted.waiting.retain(|waiting| waiting.role != role);
        admitted.waiting.push_back(Publisher { id, role, who, inputs: from_socket, dismiss });
        drop(admitted);
        self.joined.notify_one();
        let room = Arc::new(Semaphore::new(usize::try_from(INPUT_QUEUE_KIB).unwrap_or(usize::MAX)));
        Ok(Claim { feed: self.clone(), id, inputs, room, dismissed })
    }
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
        let mut admitted = self.feed.admitted();
        admitted.publishers.retain(|slot| slot.id != self.id);
        // Its media ends with it; one that nobody looked at has left nothing to look at.
        admitted.waiting.retain(|waiting| waiting.id != self.id);
    }
}

/// Whether a feed has this key, in either role.
fn is_known(config: &config::Feed, key: &config::KeyHash) -> bool {
    config.key_hashes.iter().chain(&config.backup_key_hashes).any(|hash| hash == key)
}

/// The feed that a key belongs to, with its role and hash. Every hash of every feed is compared, so that time tells nothing of which matched.
pub(super) fn find<'a>(
    feeds: &'a BTreeMap<String, super::Entry>,
    key: &[u8],
) -> Option<(&'a Arc<Feed>, (Role, config::KeyHash))> {
    let hash = config::KeyHash::of(key);
    let mut found = None;
    for entry in feeds.values() {
        let config = entry.feed.config.load();
        let primary = config.key_hashes.iter().map(|hash| (hash, Role::Primary));
        let backup = config.backup_key_hashes.iter().map(|hash| (hash, Role::Backup));
        for (candidate, role) in primary.chain(backup) {
            if candidate.matches(&hash) {
                found = Some((&entry.feed, (role, hash.clone())));
            }
        }
    }
    found
}
