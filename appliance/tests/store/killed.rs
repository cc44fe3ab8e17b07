//! kill -9 at any instant: what was listed is served, and the presentation goes on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use appliance::store::{Presentation, Store};
use bytes::Bytes;
use media::{MediaTime, SegmentNumber};
use packager::cmaf::Chunk;
use test_support::Stopwatch;

use crate::programme::{SEGMENT, TRACKS, begin_with_memory, fetch, keep_all, metric, numbers, open, soon};

pub(crate) const FEED: &str = "studio-a";
const ID: &str = "20261121T031500.000Z";
/// Where the child finds its store; without it the test that is the child does nothing.
pub(crate) const STATE_DIR: &str = "RUNGD_TEST_KILLED_STATE_DIR";
const KILLS: u64 = 24;
/// For a seed of one's own.
const SEED: &str = "RUNGD_TEST_SEED";
const WINDOW: Duration = Duration::from_secs(400);
const MEMORY: Duration = Duration::from_secs(10);

/// What run `run` writes as a segment: some hundred kilobytes that no other segment of no other run is.
fn bytes(run: u64, track: usize, number: u64) -> Bytes {
    let mut state = run << 40 ^ number << 8 ^ u64::try_from(track).unwrap();
    let word = std::iter::repeat_with(|| split_mix(&mut state).to_le_bytes());
    word.take(4096 * (track + 1)).flatten().collect::<Vec<_>>().into()
}

/// SplitMix64: numbers that look random, the same for the same seed.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn write(presentation: &Presentation, run: u64, number: u64) {
    // Halves of both tracks interleave, as those of a real feed do.
    for half in 0..2 {
        for track in 0..TRACKS.len() {
            let all = bytes(run, track, number);
            let part = if half == 0 { all.slice(..all.len() / 2) } else { all.slice(all.len() / 2..) };
            let length = u64::try_from(part.len()).unwrap();
            let (start, duration) = (MediaTime::ZERO, MediaTime::from_millis(1000));
            let chunk = Chunk { parts: vec![part], start, duration, independent: half == 0, bytes: length };
            presentation.push(track, SegmentNumber(number), chunk);
        }
    }
    for track in 0..TRACKS.len() {
        let start = MediaTime::from_millis(i64::try_from((number - 1) * 2000).unwrap());
        presentation.complete(track, SegmentNumber(number), start, MediaTime::from_millis(2000));
    }
}

/// The daemon that is killed: goes on with what the one before left, and says what it lists.
#[test]
fn the_child_that_is_killed() {
    let Some(state_dir) = std::env::var_os(STATE_DIR).map(PathBuf::from) else { return };
    let (store, registry) = open(&keep_all(), &state_dir);
    let interrupted = store.interrupted(FEED);
    let run: u64 = interrupted.as_ref().map_or(1, |interrupted| {
        let run = std::str::from_utf8(&interrupted.resume).unwrap().parse::<u64>();
        run.map_or(1, |run| run + 1)
    });
    let next = interrupted.as_ref().map_or(1, |interrupted| interrupted.next_segment.0);
    let presentation = match interrupted {
        Some(interrupted) => store.resume(interrupted).unwrap(),
        None => begin_with_memory(&store, FEED, ID, WINDOW, MEMORY),
    };
    presentation.note_resume(run.to_string().into_bytes());
    let mut out = std::io::stdout().lock();
    // The test's own name stands on the line that has been begun.
    writeln!(out).unwrap();
    let mut said = next - 1;
    for number in next.. {
        write(&presentation, run, number);
        // Two may be under way at once.
        soon("one of the last two to be listed", || {
            let (_, last) = presentation.view().listed().unwrap_or((SegmentNumber(0), SegmentNumber(0)));
            // Where this machine is too slow to keep what it lists within the wait, it says so, and promises nothing.
            if metric(&registry, "rungd_store_listed_unprotected_total") > 0.0 {
                writeln!(out, "degraded").unwrap();
                out.flush().unwrap();
                Stopwatch::start().reach(Duration::from_secs(60));
                std::process::exit(0);
            }
            while said < last.0 {
                said += 1;
                writeln!(out, "listed {said} {run}").unwrap();
            }
            out.flush().unwrap();
            said + 1 >= number
        });
    }
}

fn spawn(state_dir: &Path) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::the_child_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(STATE_DIR, state_dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    child.unwrap()
}

/// What a child said: the run that wrote each number.
pub(crate) fn listed(line: &str) -> Option<(u64, u64)> {
    let mut words = line.strip_prefix("listed ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[tokio::test]
async fn every_number_that_was_listed_is_served_after_kill_9() {
    let clock = u64::from(std::process::id()).wrapping_mul(0x5851_f42d_4c95_7f2d);
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(clock);
    println!("{SEED}={seed}");
    let mut random = seed;
    let folder = tempfile::tempdir().unwrap();
    let mut said: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut before, mut next_before) = (0, 0_u64);
    let mut openings = Vec::new();
    for kill in 0..KILLS {
        let mut child = spawn(folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // From its first word on, somewhere in the next 80 milliseconds; now and then before that.
        let begins = !split_mix(&mut random).is_multiple_of(8) || said.is_empty();
        if begins {
            let first = lines.by_ref().take_while(|line| line != "degraded").find_map(|line| listed(&line));
            said.extend(first);
        }
        let pause = Duration::from_micros(split_mix(&mut random) % 80_000);
        Stopwatch::start().reach(pause);
        child.kill().unwrap();
        for (number, run) in lines.filter_map(|line| listed(&line)) {
            assert!(said.insert(number, run).is_none_or(|other| other == run), "{number} was listed twice");
        }
        child.wait().unwrap();

        let since = Stopwatch::start();
        let (store, _registry) = open(&keep_all(), folder.path());
        openings.push(since.elapsed());
        let Some(last) = said.keys().next_back().copied() else { continue };
        let when = format!("kill {kill}");
        let next = goes_on(&store, last, &when);
        // It may have been killed between listing and saying so, and so may the one before; two are under way at once.
        let begun_behind = last.max(next_before.saturating_sub(1));
        assert!(next <= begun_behind + 3, "{when}: next is {next}, {begun_behind} was there before");
        assert!(next > before);
        // All of the last run's, and some of those before.
        let since_before = said.range(before..).map(|(number, run)| (*number, *run));
        let older = said.iter().step_by(17).map(|(number, run)| (*number, *run));
        serves(&store, since_before.chain(older), &when).await;
        (before, next_before) = (last, next);
        store.shutdown(Duration::from_secs(5)).await;
    }
    openings.sort();
    println!("{KILLS} kills, {} numbers listed, slowest opening {:?}", said.len(), openings.last());
    // Two of them may have met with a busy machine.
    assert!(openings[openings.len() - 3] < Duration::from_secs(2), "{openings:?}");

    becomes_a_recording(folder.path()).await;
}

/// What was interrupted is served as it was and can be gone on with behind `last`, which was listed. Gives the number that
/// comes next.
pub(crate) fn goes_on(store: &Store, last: u64, when: &str) -> u64 {
    let interrupted = store.interrupted(FEED).expect("it can be gone on with");
    assert_eq!(interrupted.availability_start_unix_millis, 1_795_230_900_000);
    assert_eq!(interrupted.id.as_str(), ID);
    let next = interrupted.next_segment.0;
    assert!(next > last, "{when}: next is {next}, and {last} was listed");
    assert_eq!(interrupted.last_end, MediaTime::from_millis(i64::try_from(2000 * (next - 1)).unwrap()));
    let view = store.live(FEED).unwrap();
    assert!(view.is_live());
    assert_eq!(view.listed().unwrap().1, SegmentNumber(next - 1), "one list, without a hole");
    assert_eq!(view.window("").tracks[1].segments.last().unwrap().number, SegmentNumber(next - 1));
    next
}

/// These numbers are served on every track, as these runs wrote them.
pub(crate) async fn serves(store: &Store, said: impl Iterator<Item = (u64, u64)>, when: &str) {
    for (number, run) in said {
        for track in 0..TRACKS.len() {
            let found = fetch(store, FEED, ID, track, Some(number)).await;
            assert!(
                found.is_some_and(|found| found == bytes(run, track, number)),
                "{when}: segment {number} of track {track} was listed by run {run}"
            );
        }
    }
}

/// Nobody goes on with it: it is a recording of all that was ever listed.
pub(crate) async fn becomes_a_recording(state_dir: &Path) {
    let (store, _registry) = open(&keep_all(), state_dir);
    let interrupted = store.interrupted(FEED).unwrap();
    assert!(store.close_interrupted(FEED, interrupted.last_end_unix_millis()));
    let view = store.live(FEED).unwrap();
    soon("it to be settled", || view.is_settled());
    let window = store.live_window(&view, "").await.unwrap();
    assert!(!window.live);
    let all: Vec<u64> = (1..interrupted.next_segment.0).collect();
    let in_window = usize::try_from(WINDOW.as_secs() / SEGMENT.as_secs()).unwrap();
    let listed: Vec<u64> = window.tracks[0].segments.iter().map(|segment| segment.number.0).collect();
    assert!(all.ends_with(&listed) && listed.len() >= all.len().min(in_window), "{listed:?}");
    assert_eq!(numbers(&store, FEED, ID).await, all);
}
