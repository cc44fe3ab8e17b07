//! A source whose clock is a little fast or slow keeps its latency and its lip sync for days: the timeline, the frame
//! picker and the audio line together, fed with every unit of simulated days.
//!
//! `DRIFT_DAYS` says how many days; two where it is not set. Five days:
//! `DRIFT_DAYS=5 cargo test --release -p media --test drift_over_days`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use bytes::Bytes;
use media::{
    AudioLine, AudioParams, Cadence, FramePicker, FrameRate, MediaTime, SourceStamp, Timeline,
    TimelineConfig, Timescale, Track,
};

const NANOS: i64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;
/// The first stamp: three hours before they wrap.
const BASE_MILLIS: i64 = (1 << 32) - 3 * 3_600_000;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// One connection: what is sent arrives later, and in order.
enum Network {
    /// 30 ms and up to 20 ms more; every minute or so nothing for up to 600 ms, and then all at once; every ten minutes
    /// a queue of 300 ms for half a minute.
    Usual { stalled_until: i64, next_stall: i64, congested_until: i64, next_congestion: i64 },
    /// Each unit up to 600 ms late, whatever the others are.
    Wild,
    /// A minute in, every unit is 300 ms later, for good.
    Rerouted,
}

struct Path {
    network: Network,
    random: Random,
    last: i64,
}

impl Path {
    fn usual(seed: u64) -> Self {
        let network = Network::Usual {
            stalled_until: 0,
            next_stall: 20 * NANOS,
            congested_until: 0,
            next_congestion: 600 * NANOS,
        };
        Self::new(network, seed)
    }

    const fn new(network: Network, seed: u64) -> Self {
        Self { network, random: Random(seed), last: 0 }
    }

    fn arrival(&mut self, sent: i64) -> i64 {
        let random = &mut self.random;
        let arrival = match &mut self.network {
            Network::Usual { stalled_until, next_stall, congested_until, next_congestion } => {
                if sent >= *next_stall {
                    *stalled_until = sent + random.below(600 * MILLI);
                    *next_stall = sent + 20 * NANOS + random.below(60 * NANOS);
                }
                if sent >= *next_congestion {
                    *congested_until = sent + 30 * NANOS;
                    *next_congestion = sent + 300 * NANOS + random.below(600 * NANOS);
                }
                let queue = if sent < *congested_until { 300 * MILLI } else { 0 };
                (sent + 30 * MILLI + queue + random.below(20 * MILLI)).max(*stalled_until)
            }
            Network::Wild => sent + random.below(600 * MILLI),
            Network::Rerouted => {
                let route = if sent > 60 * NANOS { 300 * MILLI } else { 0 };
                sent + 30 * MILLI + route + random.below(5 * MILLI)
            }
        };
        self.last = self.last.max(arrival);
        self.last
    }
}

struct Simulation {
    rate: (u32, u32),
    sample_rate: u32,
    ppm: i64,
    length: Duration,
    path: Path,
}

#[derive(Debug)]
struct Outcome {
    /// Grid frames repeated, pictures dropped.
    repeated: u64,
    dropped: u64,
    /// Audio frames put in, left out.
    put_in: u64,
    left_out: u64,
    corrections: u64,
    events: u64,
    /// How much later than at first a picture is shown after it was captured, in nanoseconds: least and most.
    latency: (i64, i64),
    /// Greatest distance of sound and picture, in nanoseconds.
    lip_sync: i64,
    ppm: Option<f64>,
}

/// `count / rate` seconds, in nanoseconds, without a wider integer: this runs tens of millions of times.
fn seconds(count: i64, rate: i64) -> i64 {
    count / rate * NANOS + count % rate * NANOS / rate
}

fn nanos(time: MediaTime) -> i64 {
    seconds(time.ticks(), i64::from(time.scale().get()))
}

impl Simulation {
    fn run(self) -> Outcome {
        let Self { rate: (n, d), sample_rate, ppm, length, mut path } = self;
        let rate = FrameRate::new(n, d).unwrap();
        let cadence = Cadence::new(rate, Duration::from_secs(2), Duration::from_millis(500));
        let audio = AudioParams {
            configuration: Bytes::new(),
            object_type: 2,
            sample_rate,
            channels: 2,
            channel_configuration: 2,
            samples_per_frame: 1024,
        };
        let mut timeline = Timeline::new(TimelineConfig {
            video_frame: cadence.frame_duration(),
            audio_frame: Duration::from_secs(1024) / sample_rate,
            ..TimelineConfig::default()
        });
        let mut picker = FramePicker::new(cadence, 0);
        let mut line = AudioLine::new(&audio, 0).unwrap();
        // Four seconds of talk, one of pause.
        let payloads = [300, 300, 300, 300, 60].map(|size| Bytes::from(vec![0; size]));

        // Both by the source's clock, of which this is the wall's time.
        let wall = |source: i64| source - source * ppm / (1_000_000 + ppm);
        let (n, d) = (i64::from(n), i64::from(d));
        let picture_at = |k: i64| seconds(k * d, n);
        let sound_at = |k: i64| seconds(k * 1024, i64::from(sample_rate));
        let end = i64::try_from(length.as_nanos()).unwrap();
        let (mut pictures, mut sounds) = (0i64, 0i64);
        let mut events = 0;
        let mut first = None;
        let mut latency = (0, 0);
        let mut lip_sync = 0;
        let mut off: (Option<i64>, Option<i64>) = (None, None);
        loop {
            let (picture, sound) = (picture_at(pictures), sound_at(sounds));
            let source = picture.min(sound);
            let captured = wall(source);
            if captured > end {
                break;
            }
            let now = Duration::from_nanos(u64::try_from(path.arrival(captured)).unwrap());
            // Encoders round to the nearest millisecond, and the low 32 bits are what RTMP has.
            let millis = u32::try_from(((source + MILLI / 2) / MILLI + BASE_MILLIS) & 0xffff_ffff).unwrap();
            let stamp = SourceStamp { millis, ..SourceStamp::default() };
            if picture <= sound {
                pictures += 1;
                let placed = timeline.place(now, Track::Video, stamp);
                events += u64::from(placed.event.is_some());
                let late = nanos(placed.pts) - captured;
                let since_first = late - *first.get_or_insert(late);
                latency = (latency.0.min(since_first), latency.1.max(since_first));
                if let Some(frame) = picker.picture(placed.pts).this {
                    off.0 = Some(nanos(cadence.time_of(frame)) - captured);
                }
            } else {
                let payload = &payloads[usize::try_from(sounds / 47 % 5).unwrap()];
                sounds += 1;
                let placed = timeline.place(now, Track::Audio, stamp);
                events += u64::from(placed.event.is_some());
                if let Some(frame) = line.frame(placed.pts, payload.clone()).last() {
                    off.1 = Some(nanos(line.time_of(frame.index)) - captured);
                }
            }
            if let (Some(shown), Some(heard)) = off {
                lip_sync = lip_sync.max((shown - heard).abs());
            }
        }
        let wraps = if end > 4 * 3600 * NANOS { 2 } else { timeline.counters().wraps };
        assert_eq!(timeline.counters().wraps, wraps);
        Outcome {
            repeated: picker.counters().repeated,
            dropped: picker.counters().dropped,
            put_in: line.counters().silent + line.counters().repeated,
            left_out: line.counters().dropped,
            corrections: timeline.counters().drift_corrections,
            events,
            latency,
            lip_sync,
            ppm: timeline.drift_ppm(),
        }
    }
}

fn days() -> Duration {
    let days: f64 =
        std::env::var("DRIFT_DAYS").map_or(2.0, |days| days.parse().expect("DRIFT_DAYS: a number"));
    Duration::from_secs_f64(days * 86_400.0)
}

fn days_of(rate: (u32, u32), sample_rate: u32, ppm: i64) {
    let length = days();
    let outcome = Simulation { rate, sample_rate, ppm, length, path: Path::usual(7) }.run();
    println!("{rate:?} {sample_rate} {ppm} ppm, {length:?}: {outcome:?}");
    let frame = NANOS * i64::from(rate.1) / i64::from(rate.0);
    assert_eq!(outcome.events, 0);
    assert!(outcome.latency.0 >= -frame && outcome.latency.1 <= frame, "{outcome:?}");
    assert!(outcome.lip_sync < 40 * MILLI, "{outcome:?}");
    let measured = outcome.ppm.unwrap();
    assert!((measured - f64::from(i32::try_from(ppm).unwrap())).abs() < 5.0, "{outcome:?}");

    // What the drift comes to; the first and the last may stand either side of the end.
    let drifted = length.as_secs_f64() * f64::from(i32::try_from(ppm.abs()).unwrap()) / 1e6;
    let check = |counted: u64, frame: f64| {
        let (counted, expected) = (f64::from(u32::try_from(counted).unwrap()), drifted / frame);
        assert!((counted - expected).abs() <= (expected * 0.01).max(2.0), "{expected}: {outcome:?}");
    };
    let (pictures, sounds) = match ppm > 0 {
        true => (outcome.dropped, outcome.left_out),
        false => (outcome.repeated, outcome.put_in),
    };
    check(pictures, f64::from(rate.1) / f64::from(rate.0));
    check(sounds, 1024.0 / f64::from(sample_rate));
    // None the other way: nothing chases anything.
    assert_eq!(outcome.repeated + outcome.dropped, pictures, "{outcome:?}");
    assert_eq!(outcome.put_in + outcome.left_out, sounds, "{outcome:?}");
}

#[test]
fn a_fast_source_of_29_97_and_48_khz() {
    days_of((30_000, 1001), 48_000, 200);
}

#[test]
fn a_slow_source_of_29_97_and_48_khz() {
    days_of((30_000, 1001), 48_000, -200);
}

#[test]
fn a_fast_source_of_25_and_44_1_khz() {
    days_of((25, 1), 44_100, 200);
}

#[test]
fn a_slow_source_of_25_and_44_1_khz() {
    days_of((25, 1), 44_100, -200);
}

fn hours_of(hours: u64, ppm: i64, network: Network) -> Outcome {
    let length = Duration::from_secs(hours * 3600);
    Simulation { rate: (25, 1), sample_rate: 48_000, ppm, length, path: Path::new(network, 11) }.run()
}

#[test]
fn the_fastest_drift_that_is_corrected() {
    for ppm in [500, -500] {
        let outcome = Simulation {
            rate: (25, 1),
            sample_rate: 48_000,
            ppm,
            length: Duration::from_secs(2 * 3600),
            path: Path::usual(3),
        }
        .run();
        assert!(outcome.latency.0 >= -60 * MILLI && outcome.latency.1 <= 60 * MILLI, "{outcome:?}");
        assert!(outcome.lip_sync < 40 * MILLI, "{outcome:?}");
    }
}

#[test]
fn jitter_alone_corrects_nothing() {
    let usual = Simulation {
        rate: (25, 1),
        sample_rate: 48_000,
        ppm: 0,
        length: Duration::from_secs(2 * 3600),
        path: Path::usual(5),
    }
    .run();
    for outcome in [usual, hours_of(2, 0, Network::Wild)] {
        assert_eq!((outcome.corrections, outcome.events), (0, 0), "{outcome:?}");
        assert_eq!((outcome.repeated, outcome.dropped, outcome.put_in, outcome.left_out), (0, 0, 0, 0));
    }
}

#[test]
fn drift_is_found_in_wild_jitter_too() {
    for ppm in [200, -200] {
        let outcome = hours_of(3, ppm, Network::Wild);
        assert!(outcome.latency.0 >= -150 * MILLI && outcome.latency.1 <= 150 * MILLI, "{outcome:?}");
        assert!(outcome.lip_sync < 40 * MILLI, "{outcome:?}");
    }
}

#[test]
fn a_longer_way_is_made_up_for_slowly() {
    let outcome = hours_of(1, 0, Network::Rerouted);
    assert_eq!(outcome.events, 0);
    // Units arrive 300 ms later for good; the same lead means showing them so much later.
    assert!((270 * MILLI..=310 * MILLI).contains(&outcome.latency.1), "{outcome:?}");
    assert!(outcome.lip_sync < 40 * MILLI, "{outcome:?}");
    assert_eq!(outcome.dropped, 0);
}

/// What is proven is the correction's doing.
#[test]
fn without_correction_latency_runs_away() {
    let mut timeline = Timeline::new(TimelineConfig { max_drift_ppm: 0, ..TimelineConfig::default() });
    let mut last = 0;
    for second in 0..36_000u32 {
        let millis = second * 1000 + second / 5;
        let now = Duration::from_secs(u64::from(second));
        let placed = timeline.place(now, Track::Audio, SourceStamp { millis, ..SourceStamp::default() });
        last = placed.pts.ticks_at(Timescale::MILLIS) - i64::from(second) * 1000;
    }
    assert_eq!(timeline.counters().drift_corrections, 0);
    assert_eq!(last, 7_199);
}
