use std::time::Duration;

use appliance::config;
use test_support::wait::poll;

use crate::programme::{begin, keep_all, metric, open, segment, write};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_oldest_recordings_go_when_there_are_too_many_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let ids = ["20261121T010000.000Z", "20261121T020000.000Z", "20261121T030000.000Z"];
    {
        let (store, _registry) = open(&keep_all(), folder.path());
        for (id, end) in ids.into_iter().zip(1..) {
            let presentation = begin(&store, "studio-a", id, Duration::from_secs(60));
            write(&presentation, 1..=5);
            presentation.end(1_795_230_910_000 + end);
        }
        store.shutdown(DEADLINE).await;
    }
    let size: usize = (1..=5).map(|number| segment(0, number).len() + segment(1, number).len()).sum();
    let max_bytes = Some(u64::try_from(2 * size).unwrap());
    let (store, registry) = open(&config::Archive { max_bytes, ..keep_all() }, folder.path());
    let expired = || metric(&registry, "rungd_store_archive_presentations_expired_total") >= 1.0;
    assert!(poll(DEADLINE, || expired().then_some(())).is_some());
    let left: Vec<String> =
        store.presentations(None).await.unwrap().into_iter().map(|info| info.id).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!left.contains(&ids[0].to_owned()), "{left:?}");
    assert!(!folder.path().join("archive/studio-a").join(ids[0]).exists());
    assert!(folder.path().join("archive/studio-a").join(ids[1]).exists());
}

#[tokio::test]
async fn recordings_go_when_they_are_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let max_age = Some(Duration::from_secs(3600));
    let (store, registry) = open(&config::Archive { max_age, ..keep_all() }, folder.path());
    let old = begin(&store, "studio-a", "20200101T000000.000Z", Duration::from_secs(60));
    write(&old, 1..=2);
    old.end(1_577_836_800_000);
    let new = begin(&store, "studio-b", "20261121T030000.000Z", Duration::from_secs(60));
    write(&new, 1..=2);
    // What is too old is looked for after each beginning, once all that was asked for before it is done.
    let expired = || metric(&registry, "rungd_store_archive_presentations_expired_total") >= 1.0;
    assert!(poll(DEADLINE, || expired().then_some(())).is_some());
    let left: Vec<String> =
        store.presentations(Some("studio-a")).await.unwrap().into_iter().map(|info| info.id).collect();
    // It is still on its live URL, out of memory, but no longer a recording.
    assert_eq!(left, ["20200101T000000.000Z"]);
    assert!(!folder.path().join("archive/studio-a").exists());
}
