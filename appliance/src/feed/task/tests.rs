use std::fs;

use media::{Cadence, FrameRate, Timescale};
use packager::window::WindowTrackKind;
use prometheus::Registry;
use test_support::Stopwatch;
use test_support::wait::until;

use super::*;
use crate::devices;
use crate::store::NewTrack;

const DEADLINE: Duration = Duration::from_secs(30);

/// The task of one feed with a grace time, and its store in a folder.
fn task(folder: &std::path::Path) -> Task {
    let key = config::KeyHash::of(b"a key");
    let text = format!(
        "state_dir = \"state\"\n[ingest]\nrtmp = [\"127.0.0.1:0\"]\nrtmps = []\n[worker]\nprogram = \"/bin/true\"\n\
         [feed.studio-a]\nkeys = [\"{key}\"]\ngrace = \"30s\"\n"
    );
    let path = folder.join("rungd.toml");
    fs::write(&path, text).unwrap();
    let config = config::Config::load(&path).unwrap();
    let registry = Registry::new();
    let parts = Parts {
        store: Store::open(&config.archive, &config.state_dir, &registry).unwrap(),
        worker: config.worker.clone(),
        devices: Devices::known(devices::choice::tests::inventory(&["software"])),
        limits: config.ingest.limits.clone(),
        media: tokio::runtime::Handle::current(),
        metrics: metrics::Metrics::register(&registry).unwrap(),
        worker_metrics: supervisor::metrics::Metrics::register(&registry).unwrap(),
    };
    let told = || watch::Sender::new(false).subscribe();
    let feed = Arc::new(Feed::new(&config.feeds[0]));
    Task { feed, parts, stopping: told(), removed: told(), slate: SlateFile::default() }
}

/// A programme that viewers see.
async fn begun(task: &Task, id: &str) -> Programme {
    let config = task.feed.config.load_full();
    let presentation = Presentation::new(config.clone(), task.parts.limits.clone());
    let mut programme = task.programme(config, presentation).await;
    let new = NewPresentation {
        feed: "studio-a".to_owned(),
        title: String::new(),
        id: id.to_owned(),
        availability_start_unix_millis: 0,
        cadence: Cadence::new(FrameRate::PAL, Duration::from_secs(2), Duration::from_secs(1)),
        window: Duration::from_secs(60),
        memory: Duration::from_secs(60),
        target_latency: None,
        resume: Vec::new(),
        tracks: vec![NewTrack {
            name: "audio".to_owned(),
            kind: WindowTrackKind::Audio { sample_rate: 48_000, channels: 2 },
            codecs: "mp4a.40.2".to_owned(),
            timescale: Timescale::MILLIS,
            init: Bytes::from_static(b"init"),
            nominal_bit_rate: 1000,
        }],
    };
    programme.recording = Some(task.parts.store.begin(new).unwrap());
    programme.id = Some(id.to_owned());
    programme
}

/// The disk is in trouble when the first two begin, and is not any more when the third does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_archived_is_treated_so() {
    let folder = tempfile::tempdir().unwrap();
    // A folder where a file is to be, for root too.
    let obstacle = folder.path().join("state/catalogue.lock");
    fs::create_dir_all(&obstacle).unwrap();
    let task = task(folder.path());
    let store = &task.parts.store;
    assert!(!store.is_archiving() && store.archive_health().is_some());
    let mut without = begun(&task, "20261121T010000.000Z").await;
    let asked = task.feed.ask_to_end().unwrap();
    without.stop();
    assert!(!without.suspending, "it cannot be gone on with");
    let since = Stopwatch::start();
    without.close();
    let ended = asked.await.unwrap();
    assert_eq!(ended, Some(Ended { presentation: "20261121T010000.000Z".to_owned(), archived: false }));
    assert!(since.elapsed() < ANSWER_TIMEOUT, "nobody waits for a disk that has nothing of it");

    let mut taken_in = begun(&task, "20261121T013000.000Z").await;
    fs::remove_dir(&obstacle).unwrap();
    let view = taken_in.recording.as_ref().unwrap().view().clone();
    until(DEADLINE, "it to be taken in", async || view.is_archived().then_some(())).await;
    taken_in.stop();
    assert!(taken_in.suspending, "the next daemon finds it");

    let mut kept = begun(&task, "20261121T020000.000Z").await;
    kept.stop();
    assert!(kept.suspending);
    let kept = begun(&task, "20261121T030000.000Z").await;
    let asked = task.feed.ask_to_end().unwrap();
    kept.close();
    let ended = asked.await.unwrap();
    assert_eq!(ended, Some(Ended { presentation: "20261121T030000.000Z".to_owned(), archived: true }));
}
