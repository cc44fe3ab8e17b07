//! A made-up programme: two tracks whose bytes say where they belong.

use std::path::Path;
use std::time::Duration;

use appliance::config;
use appliance::store::{
    FeedName, Media, NewPresentation, NewTrack, Presentation, PresentationId, Store, TrackName,
};
use bytes::Bytes;
use media::{Cadence, FrameRate, MediaTime, SegmentNumber, Size, Timescale};
use packager::cmaf::Chunk;
use packager::window::WindowTrackKind;
use prometheus::Registry;
use tempfile::TempDir;
use test_support::wait::wait_closely;
use test_support::wait_until;

/// Names of the tracks.
pub(crate) const TRACKS: [&str; 2] = ["360p", "audio"];
/// Length of a segment.
pub(crate) const SEGMENT: Duration = Duration::from_secs(2);

/// An archive that keeps everything.
pub(crate) fn keep_all() -> config::Archive {
    config::Archive { enabled: true, max_age: None, max_bytes: None }
}

/// A folder for a store, in memory where the system keeps files there: a disk that others use may take longer to sync than
/// numbers wait for it, and these tests write hours in a moment. For those that are not of what syncing takes.
pub(crate) fn folder_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn open(archive: &config::Archive, state_dir: &Path) -> (Store, Registry) {
    let registry = Registry::new();
    let store = Store::open(archive, state_dir, &registry).unwrap();
    (store, registry)
}

pub(crate) fn begin(store: &Store, feed: &str, id: &str, window: Duration) -> Presentation {
    begin_with_memory(store, feed, id, window, window)
}

pub(crate) fn begin_with_memory(
    store: &Store,
    feed: &str,
    id: &str,
    window: Duration,
    memory: Duration,
) -> Presentation {
    let track = |name: &str, kind: WindowTrackKind, timescale: u32| NewTrack {
        name: name.to_owned(),
        kind,
        codecs: "avc1.64001e".to_owned(),
        timescale: Timescale::new(timescale).unwrap(),
        init: Bytes::from(format!("init of {name}")),
        nominal_bit_rate: 1000,
    };
    let size = Size { width: 640, height: 360 };
    let video = WindowTrackKind::Video { size, frame_rate: FrameRate::PAL, captions: false };
    let audio = WindowTrackKind::Audio { sample_rate: 48_000, channels: 2 };
    let new = NewPresentation {
        feed: feed.to_owned(),
        title: format!("Programme of {feed}"),
        id: id.to_owned(),
        availability_start_unix_millis: 1_795_230_900_000,
        cadence: Cadence::new(FrameRate::PAL, SEGMENT, Duration::from_millis(500)),
        window,
        memory,
        target_latency: None,
        resume: b"how to go on".to_vec(),
        tracks: vec![track(TRACKS[0], video, 90_000), track(TRACKS[1], audio, 48_000)],
    };
    store.begin(new).unwrap()
}

/// A presentation of so many tracks of pictures.
pub(crate) fn begin_ladder(store: &Store, feed: &str, id: &str, tracks: usize) -> Presentation {
    let size = Size { width: 640, height: 360 };
    let track = |index: usize| NewTrack {
        name: format!("rung-{index}"),
        kind: WindowTrackKind::Video { size, frame_rate: FrameRate::PAL, captions: false },
        codecs: "avc1.64001e".to_owned(),
        timescale: Timescale::VIDEO,
        init: Bytes::from_static(b"init"),
        nominal_bit_rate: 1000,
    };
    let new = NewPresentation {
        feed: feed.to_owned(),
        title: String::new(),
        id: id.to_owned(),
        availability_start_unix_millis: 1_795_230_900_000,
        cadence: Cadence::new(FrameRate::PAL, SEGMENT, Duration::from_millis(500)),
        window: Duration::from_secs(60),
        memory: Duration::from_secs(60),
        target_latency: None,
        resume: Vec::new(),
        tracks: (0..tracks).map(track).collect(),
    };
    store.begin(new).unwrap()
}

pub(crate) fn push_bytes(presentation: &Presentation, track: usize, number: u64, bytes: Bytes) {
    let chunk = Chunk {
        bytes: u64::try_from(bytes.len()).unwrap(),
        parts: vec![bytes],
        start: MediaTime::ZERO,
        duration: MediaTime::from_millis(2000),
        independent: true,
    };
    presentation.push(track, SegmentNumber(number), chunk);
}

/// The two chunks that every segment is made of.
pub(crate) fn chunks(track: usize, number: u64) -> [Bytes; 2] {
    ["first", "second"]
        .map(|half| Bytes::from(format!("{half} half of segment {number} of {}. ", TRACKS[track])))
}

/// All of a segment.
pub(crate) fn segment(track: usize, number: u64) -> Vec<u8> {
    chunks(track, number).concat()
}

pub(crate) fn push(presentation: &Presentation, track: usize, number: u64, half: usize) {
    let bytes = chunks(track, number)[half].clone();
    let chunk = Chunk {
        bytes: u64::try_from(bytes.len()).unwrap(),
        parts: vec![bytes],
        start: MediaTime::ZERO,
        duration: MediaTime::from_millis(1000),
        independent: half == 0,
    };
    presentation.push(track, SegmentNumber(number), chunk);
}

pub(crate) fn complete(presentation: &Presentation, track: usize, number: u64) {
    let start = MediaTime::from_millis(i64::try_from((number - 1) * 2000).unwrap());
    presentation.complete(track, SegmentNumber(number), start, MediaTime::from_millis(2000));
}

/// Writes whole segments of both tracks, and waits for each number to be listed.
pub(crate) fn write(presentation: &Presentation, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        write_only(presentation, number);
        let view = presentation.view();
        let listed = || view.listed().is_some_and(|(_, last)| last.0 >= number);
        soon("the number to be listed", || listed() || !view.is_live());
    }
}

/// As [`write`], without waiting.
pub(crate) fn write_only(presentation: &Presentation, number: u64) {
    for track in 0..TRACKS.len() {
        push(presentation, track, number, 0);
        push(presentation, track, number, 1);
        complete(presentation, track, number);
    }
}

/// Waits for what takes milliseconds.
pub(crate) fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    wait_closely(Duration::from_secs(20), what, || condition().then_some(()));
}

/// As [`write`], but waits for the disk after each number, as real time would.
pub(crate) fn write_and_archive(
    store: &Store,
    presentation: &Presentation,
    numbers: impl IntoIterator<Item = u64>,
) {
    for number in numbers {
        write(presentation, [number]);
        wait_until(Duration::from_secs(20), "the archive to have written all", || {
            (store.archive_health()?.waiting == 0).then_some(())
        });
    }
}

/// A segment as a viewer gets it, or an initialization segment.
pub(crate) async fn fetch(
    store: &Store,
    feed: &str,
    id: &str,
    track: usize,
    number: Option<u64>,
) -> Option<Vec<u8>> {
    let (feed, id) = (FeedName::new(feed).unwrap(), PresentationId::new(id).unwrap());
    let track = TrackName::new(TRACKS[track]).unwrap();
    let number = number.map(SegmentNumber);
    let view = store.live(feed.as_str()).filter(|view| *view.id() == id);
    let in_memory = match view {
        Some(view) => view.media(&track, number).await.ok(),
        None => None,
    };
    let media = match in_memory {
        Some((media, _)) => media,
        None => store.archived(&feed, &id, &track, number).await.unwrap()?.0,
    };
    match media {
        Media::Init(bytes) => Some(bytes.to_vec()),
        Media::Segment(segment) => Some(segment.complete()?.parts.concat()),
        Media::Stored(stored) => {
            let length = stored.bytes();
            Some(tokio::task::spawn_blocking(move || stored.read(0..length)).await.unwrap().unwrap().to_vec())
        }
    }
}

/// What the recording lists.
pub(crate) async fn numbers(store: &Store, feed: &str, id: &str) -> Vec<u64> {
    let (feed, id) = (FeedName::new(feed).unwrap(), PresentationId::new(id).unwrap());
    let Some(replay) = store.replay(&feed, &id).await.unwrap() else { return Vec::new() };
    let window = store.replay_window(&replay, "").await.unwrap().unwrap();
    window.tracks[0].segments.iter().map(|segment| segment.number.0).collect()
}

/// The value of a metric, summed over its labels; zero where it was never moved.
pub(crate) fn metric(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    family.map_or(0.0, |family| {
        family
            .get_metric()
            .iter()
            .map(|metric| metric.get_gauge().get_value() + metric.get_counter().get_value())
            .sum()
    })
}
