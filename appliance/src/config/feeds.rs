//! Feeds, as the file has them, with their defaults and the rules that hold between their values.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use media::{Cadence, FrameRate, Ladder};

use super::key::KeyHash;
use super::quantity::{choice, duration, frame_rate, text, written};
use super::tree::{Broken, Section, Value};
use super::{BackupReturn, Feed, Latency, Takeover, devices, ladders};

/// Most feeds of one appliance: twice what the largest box encodes.
const MAX_FEEDS: usize = 64;
/// Longest feed name; it stands in URLs and file names.
const MAX_FEED_NAME: usize = 64;
/// Keys of one feed: one in use, one coming, and some for spare encoders.
const MAX_KEYS: usize = 16;
/// Longest window out of memory alone: 4.5 GB for a ladder of 10 Mbit/s.
const MAX_MEMORY: Duration = Duration::from_secs(3600);
/// Longest window with an archive: a day, which is 43,200 segments of 2 s a track in a manifest's reach.
const MAX_WINDOW: Duration = Duration::from_secs(86_400);
/// Segments that players want at least: they start three from the end (RFC 8216, 6.3.3).
const LEAST_SEGMENTS: u32 = 3;
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
/// Longest target latency: who wants more is better served by standard latency.
const MAX_TARGET_LATENCY: Duration = Duration::from_secs(10);
/// The target latency in chunks at least: one is shown while the next one comes.
const LEAST_TARGET_CHUNKS: u32 = 2;
/// By default: as many chunks as an HLS player is to keep behind the edge (RFC 8216bis, 4.4.3.8), and some time for
/// encoding and the way.
const DEFAULT_TARGET_CHUNKS: u32 = 3;
const DEFAULT_TARGET_BEYOND: Duration = Duration::from_millis(300);
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// Largest slate picture read: photographs of the largest size that encoders take are under it.
const MAX_SLATE_BYTES: u64 = 16_000_000;
/// W3C PNG, section 5.2.
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Start of image, and the first byte of the marker that follows (ITU-T T.81, B.1.1.3 and table B.1).
const JPEG_SIGNATURE: &[u8] = b"\xff\xd8\xff";
const TAKEOVERS: [(&str, Takeover); 2] = [("same-key", Takeover::SameKey), ("never", Takeover::Never)];
const BACKUP_RETURNS: [(&str, BackupReturn); 2] =
    [("at-once", BackupReturn::AtOnce), ("when-backup-ends", BackupReturn::WhenBackupEnds)];
const LATENCIES: [(&str, Latency); 2] = [("standard", Latency::Standard), ("low", Latency::Low)];

/// A key that is given out.
struct Taken {
    hash: KeyHash,
    /// What a fault calls it.
    name: String,
}

/// All feeds.
pub(super) fn read_all(
    top: &mut Section<'_>,
    ladders: &BTreeMap<String, Option<Ladder>>,
    archived: bool,
) -> Vec<Feed> {
    let mut sections = top.named("feed");
    if sections.len() > MAX_FEEDS {
        top.fault(
            "feed",
            Broken::secret(format!("has {} feeds, allowed are up to {MAX_FEEDS}", sections.len())),
        );
        sections.truncate(MAX_FEEDS);
    }
    let public: Vec<(KeyHash, String)> =
        sections.iter().map(|(name, _)| (KeyHash::of(name.as_bytes()), name.clone())).collect();
    let mut taken = Vec::new();
    let mut feeds = Vec::with_capacity(sections.len());
    for (name, mut section) in sections {
        if let Err(rule) = ladders::check_name(&name, MAX_FEED_NAME) {
            section.fault_whole(format!("the name {rule}"));
        }
        if !section.has("keys") {
            section.fault(
                "keys",
                format!("missing: 1 to {MAX_KEYS} hashes of stream keys, as \"rungd keys\" prints them"),
            );
        }
        let own = keys(&mut section, "keys", 1, &name, &public, &mut taken);
        let backup = keys(&mut section, "backup_keys", 0, &name, &public, &mut taken);
        let feed = feed(&mut section, name, (own, backup), ladders, archived);
        section.finish();
        feeds.extend(feed);
    }
    feeds
}

/// The list `key` of at least `least` key hashes: none of them that of a feed's name, none given out twice.
fn keys(
    section: &mut Section<'_>,
    key: &'static str,
    least: usize,
    feed: &str,
    public: &[(KeyHash, String)],
    taken: &mut Vec<Taken>,
) -> Vec<KeyHash> {
    let hash = |value: &Value| match value {
        Value::String(text) => text.parse::<KeyHash>().map_err(|error| Broken::secret(error.to_string())),
        other => Err(Broken::secret(format!("is {}, not the hash of a stream key in quotes", other.kind()))),
    };
    let hashes = section.list(key, least..=MAX_KEYS, "key hashes", hash).unwrap_or_default();
    if !section.sound(&[key]) {
        return hashes;
    }
    let kind = if key == "keys" { "key" } else { "backup key" };
    for (index, hash) in hashes.iter().enumerate() {
        if let Some((_, name)) = public.iter().find(|(name, _)| name == hash) {
            let rule = format!("is the hash of the feed name \"{name}\", which stands in every viewer's URL");
            section.fault_item(key, index, Broken::secret(rule));
        }
        match taken.iter().find(|other| other.hash == *hash) {
            Some(Taken { name, .. }) => {
                let rule = format!("is {name} already; a key belongs to one feed, once");
                section.fault_item(key, index, Broken::secret(rule));
            }
            None => {
                let name = format!("the {kind} of feed \"{feed}\"");
                taken.push(Taken { hash: hash.clone(), name: format!("{name} at {key}[{index}]") });
            }
        }
    }
    hashes
}

fn feed(
    section: &mut Section<'_>,
    name: String,
    (key_hashes, backup_key_hashes): (Vec<KeyHash>, Vec<KeyHash>),
    ladders: &BTreeMap<String, Option<Ladder>>,
    archived: bool,
) -> Option<Feed> {
    let title = section.get("title", text(120)).unwrap_or_else(|| name.clone());
    let takeover = section.get("takeover", choice(&TAKEOVERS));
    let backup_return = section.get("backup_return", choice(&BACKUP_RETURNS));
    let ladder = ladders::of_feed(section, ladders);
    let frame_rate: Option<FrameRate> = section.get("frame_rate", frame_rate);
    let segments = Duration::from_secs(1)..=Duration::from_secs(10);
    let segment_duration = section.get("segment", duration(segments)).unwrap_or(Duration::from_secs(2));
    let chunks = Duration::from_millis(100)..=Duration::from_secs(10);
    let chunk_duration = section.get("chunk", duration(chunks)).unwrap_or(Duration::from_millis(500));
    if section.sound(&["segment", "chunk"]) && chunk_duration > segment_duration {
        let rule = format!("is longer than a segment, which is {}", written(segment_duration));
        section.fault("chunk", rule);
    }
    let latency = section.get("latency", choice(&LATENCIES));
    let target_latency = target_latency(section, chunk_duration);
    let (window, memory) = depth(section, segment_duration, archived);
    let grace = grace(section, window, archived);
    let slate = slate(section);
    let device = section.get("device", devices::wish);
    if let Some(rate) = frame_rate.filter(|_| section.sound(&["segment", "chunk"])) {
        let real = Cadence::new(rate, segment_duration, chunk_duration).segment_duration().to_duration();
        if real > segment_duration * 3 / 2 {
            let rule = format!(
                "makes segments of {} where {} is aimed at: segments hold a whole number of frames and of 90 kHz ticks; \
                 use a standard rate",
                written(real),
                written(segment_duration)
            );
            section.fault("frame_rate", rule);
        }
    }
    let ladder = ladder?;
    Some(Feed {
        name,
        title,
        key_hashes,
        backup_key_hashes,
        takeover: takeover.unwrap_or_default(),
        backup_return: backup_return.unwrap_or_default(),
        ladder,
        frame_rate,
        segment_duration,
        chunk_duration,
        window,
        memory,
        latency: latency.unwrap_or_default(),
        target_latency,
        grace,
        slate,
        device: device.unwrap_or_default(),
    })
}

/// What players are told to keep to with low latency.
fn target_latency(section: &mut Section<'_>, chunk: Duration) -> Duration {
    let given = section.get("target_latency", duration(Duration::from_millis(200)..=MAX_TARGET_LATENCY));
    let default = chunk.saturating_mul(DEFAULT_TARGET_CHUNKS).saturating_add(DEFAULT_TARGET_BEYOND);
    let target = given.unwrap_or(default);
    if given.is_some() && section.sound(&["chunk"]) && target < chunk * LEAST_TARGET_CHUNKS {
        let rule = format!(
            "is under {LEAST_TARGET_CHUNKS} chunks of {}: players would run dry between two of them",
            written(chunk)
        );
        section.fault("target_latency", rule);
    }
    target
}

/// `window`, and how much of it is kept in memory.
fn depth(section: &mut Section<'_>, segment: Duration, archived: bool) -> (Duration, Duration) {
    let least = Duration::from_secs(3);
    let window = section.get("window", duration(least..=MAX_WINDOW)).unwrap_or(DEFAULT_WINDOW);
    let memory = section.get("memory", duration(least..=MAX_MEMORY));
    let players_stall = |segment| {
        format!("is under {LEAST_SEGMENTS} segments of {}, with which players stall", written(segment))
    };
    if section.sound(&["segment", "window"]) && window < segment * LEAST_SEGMENTS {
        section.fault("window", players_stall(segment));
    }
    if !archived && section.sound(&["window"]) && window > MAX_MEMORY {
        let most = written(MAX_MEMORY);
        section.fault(
            "window",
            format!("is over {most}, the most without an archive: it is all kept in memory"),
        );
    }
    if let Some(memory) = memory.filter(|_| section.sound(&["segment", "window"])) {
        if memory > window {
            section.fault("memory", format!("is longer than the window, which is {}", written(window)));
        } else if memory < segment * LEAST_SEGMENTS {
            section.fault("memory", players_stall(segment));
        }
    }
    match archived {
        true => (window, memory.unwrap_or(DEFAULT_WINDOW).min(window)),
        false => (window, window),
    }
}

/// Without an archive a presentation is what its window holds: a longer grace would go on with the slate alone.
fn grace(section: &mut Section<'_>, window: Duration, archived: bool) -> Duration {
    let given = section.get("grace", duration(Duration::ZERO..=Duration::from_secs(3600)));
    match given {
        Some(grace) if !archived && grace > window && section.sound(&["window"]) => {
            let rule = format!(
                "is longer than the window of {}, and there is no archive: nothing but the slate would be left",
                written(window)
            );
            section.fault("grace", rule);
            grace
        }
        Some(grace) => grace,
        None if archived => DEFAULT_GRACE,
        None => DEFAULT_GRACE.min(window),
    }
}

/// The operator's slate, where it is a picture by its looks. Whether it can be decoded is for a worker to find out:
/// nothing here parses pictures.
fn slate(section: &mut Section<'_>) -> Option<PathBuf> {
    let path = section.path("slate")?;
    let unreadable = |error| format!("cannot be read: {}: {error}", path.display());
    // Opening what is no file, such as a pipe, could wait for ever.
    let length = match fs::metadata(&path) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => {
            section.fault("slate", format!("cannot be read: {} is no file", path.display()));
            return None;
        }
        Err(error) => {
            section.fault("slate", unreadable(error));
            return None;
        }
    };
    let mut start = Vec::with_capacity(PNG_SIGNATURE.len());
    let most = u64::try_from(PNG_SIGNATURE.len()).unwrap_or(u64::MAX);
    if let Err(error) = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut start)) {
        section.fault("slate", unreadable(error));
        return None;
    }
    let doubt = if length > MAX_SLATE_BYTES {
        format!("has {length} bytes, allowed are up to {MAX_SLATE_BYTES}")
    } else if !start.starts_with(PNG_SIGNATURE) && !start.starts_with(JPEG_SIGNATURE) {
        "is neither PNG nor JPEG".to_owned()
    } else {
        return Some(path);
    };
    section.warn("slate", format!("{doubt}; the built-in card is shown instead"));
    None
}
