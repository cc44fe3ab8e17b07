//! A viewer who takes everything that is listed, as soon as it is, and forgets nothing.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use test_support::mpd::{Fetched, ListedSegment};
use test_support::{Manifest, Stopwatch, boxes, http};

/// Between two looks at the manifests; players look less often.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The length of segments of the feed in low latency, in milliseconds.
const LOW_LATENCY_SEGMENT_MILLIS: u64 = 2_000;

/// What a viewer was given.
#[derive(Debug, Default)]
struct Seen {
    /// What should not have been.
    faults: Vec<String>,
    availability_start: Option<String>,
    tracks: BTreeMap<String, Track>,
    /// Every URL that was fetched, with what came.
    fetched: BTreeMap<String, Vec<u8>>,
    /// What was asked for because it was due, not because it was listed.
    asked_by_clock: BTreeSet<String>,
    /// Requests that failed while the daemon was known to be down.
    excused: u64,
}

#[derive(Debug, Default)]
struct Track {
    timescale: u64,
    init: Vec<u8>,
    segments: BTreeMap<u64, (ListedSegment, Vec<u8>)>,
    /// When each was first seen listed, in milliseconds since the viewer came, and by how many the viewer itself was late to
    /// look.
    listed_at: BTreeMap<u64, (u128, u128)>,
    /// What the last manifest listed.
    range: Option<(u64, u64)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Viewer {
    feed: String,
    seen: Arc<Mutex<Seen>>,
    leave: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// When a viewer was made to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lateness {
    /// The segment.
    pub(crate) number: u64,
    /// How much later than the promptest one, in milliseconds.
    pub(crate) late_millis: u128,
}

struct Loop {
    base: String,
    feed: String,
    seen: Arc<Mutex<Seen>>,
    down: Arc<AtomicBool>,
    since: Stopwatch,
    /// When it last saw what is listed.
    looked: Cell<Duration>,
    /// What it meant to pause for since then, and what it waited for the daemon.
    meant: Cell<Duration>,
}

impl Viewer {
    /// Comes to watch `feed`, which must list something by now; `down` says when the daemon is known to be down.
    pub(crate) fn new(base: &str, feed: &str, down: &Arc<AtomicBool>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let leave = Arc::new(AtomicBool::new(false));
        let looking = Loop {
            base: base.to_owned(),
            feed: feed.to_owned(),
            seen: seen.clone(),
            down: down.clone(),
            since: Stopwatch::start(),
            looked: Cell::default(),
            meant: Cell::default(),
        };
        let thread = {
            let leave = leave.clone();
            std::thread::spawn(move || {
                while !leave.load(Ordering::SeqCst) {
                    looking.look();
                    Stopwatch::start().reach(LOOK_EVERY);
                    looking.meant.set(looking.meant.get() + LOOK_EVERY);
                }
            })
        };
        Self { feed: feed.to_owned(), seen, leave, thread: Some(thread) }
    }

    /// The last segment that was listed; zero before the first.
    pub(crate) fn last_listed(&self) -> u64 {
        let seen = self.seen.lock().unwrap();
        seen.tracks.values().filter_map(|track| track.range).map(|(_, last)| last).min().unwrap_or(0)
    }

    /// Milliseconds since it came, and what it complains of so far.
    ///
    /// # Panics
    /// Where it does.
    pub(crate) fn assert_content(&self) {
        let seen = self.seen.lock().unwrap();
        assert!(seen.faults.is_empty(), "{}: {:#?}", self.feed, seen.faults);
    }

    /// How late each segment of the first track was listed, against the promptest. For how long a busy machine kept the viewer
    /// itself from looking is taken off; for how long the daemon kept it waiting is not.
    pub(crate) fn lateness(&self) -> Vec<Lateness> {
        let seen = self.seen.lock().unwrap();
        let Some(track) = seen.tracks.values().find(|track| !track.listed_at.is_empty()) else {
            return Vec::new();
        };
        let offsets: Vec<(u64, i128, u128)> = track
            .listed_at
            .iter()
            // What was listed when the viewer came is no measure.
            .filter(|(_, (at, _))| *at > 1_000)
            .filter_map(|(number, (at, own))| {
                let (listed, _) = track.segments.get(number)?;
                let end = u128::from(listed.start + listed.duration) * 1000 / u128::from(track.timescale);
                Some((*number, i128::try_from(*at).unwrap() - i128::try_from(end).unwrap(), *own))
            })
            .collect();
        let promptest = offsets.iter().map(|(_, offset, _)| *offset).min().unwrap_or(0);
        let late = |(number, offset, own)| {
            let seen_late = u128::try_from(offset - promptest).unwrap();
            Lateness { number, late_millis: seen_late.saturating_sub(own) }
        };
        offsets.into_iter().map(late).collect()
    }

    /// Stops looking, and gives what was seen of every track, after asking for all of it once more.
    ///
    /// # Panics
    /// Where it complains of anything, or anything that was listed is not there any more or another.
    pub(crate) fn leave(mut self) -> Watched {
        self.leave.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        self.assert_content();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        for (url, body) in &seen.fetched {
            let answer = http::get(url);
            assert_eq!(answer.status, 200, "{url} was listed and answered once");
            assert!(answer.body == *body, "{url} has changed");
        }
        let tracks = seen
            .tracks
            .into_iter()
            .map(|(name, track)| {
                let init = boxes::init(&track.init);
                let mut bytes = track.init.clone();
                let mut segments = Vec::new();
                for (listed, body) in track.segments.into_values() {
                    segments.push((listed, boxes::segment(&init, &body)));
                    bytes.extend_from_slice(&body);
                }
                (name, Fetched { bytes, init, segments })
            })
            .collect();
        Watched { tracks, excused: seen.excused, objects: seen.fetched.len() }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::SeqCst);
    }
}

/// All that a viewer saw.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) tracks: BTreeMap<String, Fetched>,
    /// Requests that failed while the daemon was down.
    pub(crate) excused: u64,
    /// How many URLs were fetched.
    pub(crate) objects: usize,
}

impl Loop {
    fn fault(&self, fault: String) {
        self.seen.lock().unwrap().faults.push(format!("at {:?}: {fault}", self.since.elapsed()));
    }

    /// A body, unless the request fails, for which only the daemon's absence is an excuse; one that is about to go says
    /// so by 503.
    fn get(&self, url: &str) -> Option<Vec<u8>> {
        let down_before = self.down.load(Ordering::SeqCst);
        let since = Stopwatch::start();
        let answer = http::request("GET", url, &[]);
        self.meant.set(self.meant.get() + since.elapsed());
        let excused = down_before || self.down.load(Ordering::SeqCst);
        match answer {
            Ok(answer) if answer.status == 200 => return Some(answer.body),
            Ok(answer) if excused && answer.status == 503 && answer.header("retry-after").is_some() => {
                self.seen.lock().unwrap().excused += 1;
            }
            Ok(answer) => self.fault(format!("{url}: {} {}", answer.status, answer.text())),
            Err(_) if excused => self.seen.lock().unwrap().excused += 1,
            Err(error) => self.fault(error),
        }
        None
    }

    fn look(&self) {
        let url = format!("{}/live/{}/manifest.mpd", self.base, self.feed);
        let Some(body) = self.get(&url) else { return };
        let manifest = Manifest::read(&String::from_utf8_lossy(&body), &url);
        let now = self.since.elapsed();
        if manifest.tracks.iter().all(|track| track.segments.is_empty()) {
            return self.look_by_clock(&manifest);
        }
        self.compare(&manifest, now);
        for track in &manifest.tracks {
            let init = self.once(&track.init_url);
            let missing: Vec<ListedSegment> = {
                let mut seen = self.seen.lock().unwrap();
                let known = seen.tracks.entry(track.id.clone()).or_default();
                known.timescale = track.timescale;
                if let Some(init) = init {
                    known.init = init;
                }
                let missing = track.segments.iter().filter(|s| !known.segments.contains_key(&s.number));
                missing.cloned().collect()
            };
            for listed in missing {
                if let Some(body) = self.once(&listed.url) {
                    let mut seen = self.seen.lock().unwrap();
                    let known = seen.tracks.entry(track.id.clone()).or_default();
                    known.segments.insert(listed.number, (listed, body));
                }
            }
            self.look_at_playlist(&track.id);
        }
    }

    /// Low latency: DASH players reckon by the clock what there is, HLS players are told.
    fn look_by_clock(&self, manifest: &Manifest) {
        let mut listed = manifest.clone();
        for track in &mut listed.tracks {
            let url = format!("{}/live/{}/{}/index.m3u8", self.base, self.feed, track.id);
            let Some(body) = self.get(&url) else { return };
            let named: Vec<String> = String::from_utf8_lossy(&body)
                .lines()
                .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
                .map(|line| resolve(&url, line))
                .collect();
            let Some(init) = self.once(&track.init_url) else { return };
            let init_read = boxes::init(&init);
            track.timescale = u64::from(init_read.timescale);
            for url in named {
                let number = url.rsplit('/').next().and_then(|name| name.strip_suffix(".m4s")).unwrap();
                let number: u64 = number.parse().unwrap();
                let known = {
                    let mut seen = self.seen.lock().unwrap();
                    let known = seen.tracks.entry(track.id.clone()).or_default();
                    known.timescale = track.timescale;
                    known.init.clone_from(&init);
                    known.segments.get(&number).map(|(listed, _)| listed.clone())
                };
                if let Some(known) = known {
                    track.segments.push(known);
                    continue;
                }
                let Some(body) = self.once(&url) else { return };
                let segment = boxes::segment(&init_read, &body);
                let (start, duration) = (segment.start(), segment.end() - segment.start());
                let segment = ListedSegment { number, start, duration, url };
                track.segments.push(segment.clone());
                let mut seen = self.seen.lock().unwrap();
                let known = seen.tracks.entry(track.id.clone()).or_default();
                known.segments.insert(number, (segment, body));
            }
        }
        self.compare(&listed, self.since.elapsed());
        let start = manifest.availability_start.as_deref().map(unix_millis).unwrap_or_default();
        let due = now_unix_millis().saturating_sub(start) / LOW_LATENCY_SEGMENT_MILLIS;
        for track in manifest.tracks.iter().filter(|_| due > 0) {
            let url = track.init_url.replace("init.mp4", &format!("{due}.m4s"));
            // It has to be there. What it holds is settled once a playlist names it: until every track has it whole, a
            // daemon that dies or stops takes it along, which is why caches are not told that it is immutable.
            if self.seen.lock().unwrap().asked_by_clock.insert(url.clone()) {
                let _ = self.get(&url);
            }
        }
    }

    /// What a manifest may not do: begin anew, go back, leave something out.
    fn compare(&self, manifest: &Manifest, now: Duration) {
        let own = now.saturating_sub(self.looked.replace(now)).saturating_sub(self.meant.take());
        let seen_at = (now.as_millis(), own.as_millis());
        let mut faults = Vec::new();
        let mut seen = self.seen.lock().unwrap();
        let start = manifest.availability_start.clone();
        if seen.availability_start.is_none() {
            seen.availability_start.clone_from(&start);
        }
        if seen.availability_start != start {
            faults.push(format!("availabilityStartTime {start:?} after {:?}", seen.availability_start));
        }
        if !manifest.dynamic {
            faults.push("the manifest is static".to_owned());
        }
        for track in &manifest.tracks {
            let known = seen.tracks.entry(track.id.clone()).or_default();
            let numbers: Vec<u64> = track.segments.iter().map(|segment| segment.number).collect();
            if numbers.windows(2).any(|pair| pair[1] != pair[0] + 1) {
                faults.push(format!("{} lists {numbers:?}", track.id));
            }
            let contiguous = |pair: &[ListedSegment]| pair[0].start + pair[0].duration == pair[1].start;
            if !track.segments.windows(2).all(contiguous) {
                faults.push(format!("{} lists times with a step", track.id));
            }
            let range = numbers.first().copied().zip(numbers.last().copied());
            if let Some((first, last)) = known.range
                && range.is_none_or(|(first_now, last_now)| first_now < first || last_now < last)
            {
                faults.push(format!("{} lists {range:?} after {first} to {last}", track.id));
            }
            known.range = range.or(known.range);
            for number in numbers {
                known.listed_at.entry(number).or_insert(seen_at);
            }
        }
        drop(seen);
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    fn look_at_playlist(&self, track: &str) {
        let url = format!("{}/live/{}/{track}/index.m3u8", self.base, self.feed);
        let Some(body) = self.get(&url) else { return };
        let text = String::from_utf8_lossy(&body).into_owned();
        let mut named = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            named.insert(resolve(&url, line));
        }
        if text.contains("#EXT-X-ENDLIST") || text.contains("#EXT-X-DISCONTINUITY\n") {
            self.fault(format!("{url} ends, or breaks off:\n{text}"));
        }
        for url in named {
            let _ = self.once(&url);
        }
    }

    /// A body, which is fetched once.
    fn once(&self, url: &str) -> Option<Vec<u8>> {
        if let Some(body) = self.seen.lock().unwrap().fetched.get(url) {
            return Some(body.clone());
        }
        let body = self.get(url)?;
        self.seen.lock().unwrap().fetched.insert(url.to_owned(), body.clone());
        Some(body)
    }
}

#[expect(clippy::disallowed_methods, reason = "a viewer reckons by the clock what there is")]
fn now_unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Of a time as manifests write it: `2026-11-21T03:15:00.123Z`.
fn unix_millis(rfc3339: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| rfc3339[range].parse::<u64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since March of the year 0, in which leap days are last (Howard Hinnant, chrono-compatible date algorithms).
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    seconds * 1000 + number(20..23)
}

#[test]
fn times_are_read() {
    assert_eq!(unix_millis("2026-11-21T03:15:00.123Z"), 1_795_230_900_123);
}

/// A reference in a playlist, as far as ours go (RFC 3986, 5.3).
fn resolve(base: &str, reference: &str) -> String {
    if reference.contains("://") {
        return reference.to_owned();
    }
    let authority = base.find("://").map_or(0, |at| at + 3);
    let path = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    if reference.starts_with('/') {
        return format!("{}{reference}", &base[..path]);
    }
    let (mut folder, mut rest) = (&base[..base.rfind('/').unwrap()], reference);
    while let Some(up) = rest.strip_prefix("../") {
        folder = &folder[..folder.rfind('/').unwrap()];
        rest = up;
    }
    format!("{folder}/{rest}")
}
