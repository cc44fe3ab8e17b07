use std::fs;
use std::time::Duration;

use appliance::store::{FeedName, PresentationId};
use media::SegmentNumber;
use test_support::wait::poll;

use crate::programme::{begin, keep_all, metric, open, segment, write};

const ID: &str = "20261121T031500.000Z";
const DEADLINE: Duration = Duration::from_secs(20);

/// A file stands where the feed's folder should be: nothing can be written, for root neither.
#[tokio::test]
async fn an_archive_that_cannot_be_written_leaves_live_alone_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let (store, registry) = open(&keep_all(), folder.path());
    let obstacle = folder.path().join("archive/studio-a");
    fs::write(&obstacle, b"in the way").unwrap();

    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(20));
    let other = begin(&store, "studio-b", ID, Duration::from_secs(20));
    write(&presentation, 1..=3);
    write(&other, 1..=3);
    let view = store.live("studio-a").unwrap();
    assert_eq!(view.listed(), Some((SegmentNumber(1), SegmentNumber(3))));
    assert_eq!(
        view.segment(0, SegmentNumber(2)).await.unwrap().complete().unwrap().parts.concat(),
        segment(0, 2)
    );
    let degraded = poll(DEADLINE, || store.archive_health()?.degraded).expect("the archive says so");
    assert!(degraded.contains("studio-a") && degraded.contains("init.mp4"), "{degraded}");
    store.show_health();
    assert_eq!(metric(&registry, "rungd_store_archive_degraded"), 1.0);
    assert!(metric(&registry, "rungd_store_archive_failures_total") >= 1.0);
    // The other feed is not held up by it.
    assert!(
        poll(DEADLINE, || (metric(&registry, "rungd_store_archive_writes_total") >= 6.0).then_some(()))
            .is_some()
    );

    fs::remove_file(&obstacle).unwrap();
    let healed = || store.archive_health().filter(|health| health.degraded.is_none() && health.waiting == 0);
    let health = poll(DEADLINE, healed).expect("the archive heals");
    assert_eq!(health.lost, 0, "what waited was still in memory");
    presentation.end(1_795_230_910_000);
    store.shutdown(DEADLINE).await;
    let replay = store
        .replay(&FeedName::new("studio-a").unwrap(), &PresentationId::new(ID).unwrap())
        .await
        .unwrap()
        .expect("a recording");
    let window = store.replay_window(&replay, "").await.unwrap().unwrap();
    assert_eq!(window.tracks[0].segments.len(), 3);
}

#[tokio::test]
async fn what_leaves_the_window_unwritten_is_counted_and_holds_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (store, registry) = open(&keep_all(), folder.path());
    let obstacle = folder.path().join("archive/studio-a");
    fs::write(&obstacle, b"in the way").unwrap();
    let presentation = begin(&store, "studio-a", ID, Duration::from_secs(4));
    write(&presentation, 1..=100);
    let view = store.live("studio-a").unwrap();
    assert!(view.memory_bytes() < 1000, "{} bytes", view.memory_bytes());
    fs::remove_file(&obstacle).unwrap();
    assert!(poll(DEADLINE, || (store.archive_health()?.waiting == 0).then_some(())).is_some());
    let lost = store.archive_health().unwrap().lost;
    assert_eq!(lost, 2 * 95, "all but the two listed and the three of grace, on two tracks");
    assert_eq!(metric(&registry, "rungd_store_archive_segments_lost_total"), 190.0);
    presentation.end(1_795_230_910_000);
    store.shutdown(DEADLINE).await;
    let replay = store
        .replay(&FeedName::new("studio-a").unwrap(), &PresentationId::new(ID).unwrap())
        .await
        .unwrap()
        .expect("a recording");
    let window = store.replay_window(&replay, "").await.unwrap().unwrap();
    let numbers: Vec<u64> = window.tracks[1].segments.iter().map(|segment| segment.number.0).collect();
    assert_eq!(numbers, [96, 97, 98, 99, 100]);
    let listed = store.presentations(None).await.unwrap();
    assert_eq!(listed[0].duration_millis, 10_000, "what was never kept does not count");
}
