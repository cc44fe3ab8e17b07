//! Power cut at any instant: what was listed outlives it. These parts run within the virtual machine whose power
//! `tests/vm/power-cut.sh` cuts; what writes meanwhile is the child of [`crate::killed`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::killed::{FEED, STATE_DIR, becomes_a_recording, goes_on, listed, serves};
use crate::programme::{keep_all, open};

/// A file of all that was ever said outside of the machine; without it these tests do nothing.
const TOLD: &str = "RUNGD_TEST_POWER_CUT_TOLD";

/// The store's folder, and the run that wrote each number that was listed.
fn told() -> Option<(PathBuf, BTreeMap<u64, u64>)> {
    let told = std::fs::read_to_string(std::env::var_os(TOLD)?).unwrap();
    let mut runs = BTreeMap::new();
    for line in told.lines() {
        let (number, run) = listed(line).unwrap();
        let other = runs.insert(number, run);
        assert!(other.is_none_or(|other| other == run), "{number} was listed by run {other:?} and run {run}");
    }
    Some((std::env::var_os(STATE_DIR)?.into(), runs))
}

#[tokio::test]
async fn what_was_listed_is_served_after_a_power_cut() {
    let Some((state_dir, runs)) = told() else { return };
    let Some(last) = runs.keys().next_back().copied() else { return println!("\nserved 0 next 1") };
    let (store, _registry) = open(&keep_all(), &state_dir);
    let next = goes_on(&store, last, "after the cut");
    let window = store.live_window(&store.live(FEED).unwrap(), "").await.unwrap();
    for track in &window.tracks {
        let numbers: Vec<u64> = track.segments.iter().map(|segment| segment.number.0).collect();
        assert_eq!(numbers, (numbers[0]..next).collect::<Vec<_>>(), "one list, without a hole");
    }
    serves(&store, runs.iter().map(|(number, run)| (*number, *run)), "after the cut").await;
    println!("\nserved {} next {next}", runs.len());
    store.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn after_the_last_cut_it_becomes_a_recording() {
    let Some((state_dir, _)) = told() else { return };
    becomes_a_recording(&state_dir).await;
    println!("\nrecorded");
}
