//! Publishers that return.

use super::*;

/// A publisher of pictures every `frame` milliseconds and AAC at 48 kHz, whose stamps begin at `base` with its first
/// key frame, which is the first unit but for `audio_first` milliseconds of sound.
#[derive(Debug, Clone, Copy)]
struct Publisher {
    base: i64,
    frame: i64,
    audio_first: i64,
    composition: i32,
}

const PLAIN: Publisher = Publisher { base: 0, frame: 40, audio_first: 0, composition: 0 };

impl Publisher {
    /// Its units in order: track, milliseconds since its first key frame.
    fn units(self, length: i64) -> Vec<(Track, i64)> {
        let video = (0..).map(|k| k * self.frame).take_while(|&t| t < length).map(|t| (Track::Video, t));
        let audio = (0..)
            .map(|k| k * 1024 / 48 - self.audio_first)
            .take_while(|&t| t < length)
            .map(|t| (Track::Audio, t));
        let mut units: Vec<_> = video.chain(audio).collect();
        units.sort_by_key(|&(track, at)| (at, track == Track::Audio));
        units
    }

    fn stamp(self, at: i64, track: Track) -> SourceStamp {
        let composition_millis = if track == Track::Video { self.composition } else { 0 };
        SourceStamp { composition_millis, ..stamp(self.base + at) }
    }

    /// Publishes from `came` on for `length`, its first key frame shown at `shown`; what becomes of its units.
    fn publish(
        self,
        timeline: &mut Timeline,
        came: i64,
        shown: i64,
        length: i64,
    ) -> Vec<(Track, i64, Placed)> {
        timeline.anchor(at(came), self.stamp(0, Track::Video), MediaTime::from_millis(shown));
        let place = |(track, unit)| {
            let now = at(came + i64::max(unit, 0));
            (track, unit, timeline.place(now, track, self.stamp(unit, track)))
        };
        self.units(length).into_iter().map(place).collect()
    }
}

/// A presentation of 10 s, then filled to 14.8 s while nobody publishes.
fn interrupted() -> Timeline {
    let mut timeline = timeline();
    let before = Publisher { base: 5_000_000, ..PLAIN }.publish(&mut timeline, 0, 0, 10_000);
    assert!(before.iter().all(|(_, _, placed)| placed.event.is_none()));
    for filled in (11_000..=14_800).step_by(40) {
        timeline.filled_to(MediaTime::from_millis(filled));
    }
    timeline
}

#[test]
fn with_any_base_and_frame_rate_goes_on_at_the_free_time() {
    let bases = [0, 5_010_000, 5_004_000, 4_000_000_000, (1 << 32) - 200, 900];
    for (base, (frame, composition)) in
        bases.into_iter().zip([(40, 0), (20, 80), (33, 40)].into_iter().cycle())
    {
        let publisher = Publisher { base, frame, composition, ..PLAIN };
        let mut timeline = interrupted();
        timeline.set_nominal(at(frame), Duration::from_nanos(21_333_333));
        let mut late = 0;
        for (track, unit, placed) in publisher.publish(&mut timeline, 15_000, 14_800, 8_000) {
            // The key frame, not its decoding, stands at the anchor: sound of the same stamp is heard so much before.
            let lag = if track == Track::Audio { i64::from(composition) } else { 0 };
            let shown = 14_800 + unit - lag;
            assert_eq!(placed.pts.ticks_at(Timescale::MILLIS), shown, "{publisher:?}");
            let too_late = (shown < 14_800).then(|| TimelineEvent::TooLate(at(14_800 - shown)));
            assert_eq!(placed.event, too_late, "{publisher:?} {track:?} {unit}");
            late += u64::from(too_late.is_some());
        }
        let counters = timeline.counters();
        assert_eq!(
            (counters.jumps, counters.lateness_jumps, counters.too_late),
            (0, 0, late),
            "{publisher:?}"
        );
    }
}

#[test]
fn sound_before_the_first_key_frame_is_too_late_and_moves_nothing() {
    for audio_first in [10, 300, 1_500] {
        let publisher = Publisher { audio_first, base: 70_000, ..PLAIN };
        let mut timeline = interrupted();
        for (track, unit, placed) in publisher.publish(&mut timeline, 15_000, 14_800, 5_000) {
            assert_eq!(placed.pts.ticks_at(Timescale::MILLIS), 14_800 + unit, "{track:?}");
            let too_late = matches!(placed.event, Some(TimelineEvent::TooLate(_)));
            assert_eq!((too_late, placed.event.is_some()), (unit < 0, unit < 0), "{track:?} {placed:?}");
        }
        assert_eq!(timeline.counters().lateness_jumps + timeline.counters().jumps, 0);
    }
}

#[test]
fn sound_that_comes_well_after_the_key_frame_keeps_its_stamp() {
    let mut timeline = interrupted();
    timeline.anchor(at(15_000), stamp(0), MediaTime::from_millis(14_800));
    for k in 0..50 {
        timeline.place(at(15_000 + k * 40), Track::Video, stamp(k * 40));
    }
    // The first sound, 700 ms into the picture, arrives 1.3 s late; what it says of its time is what counts.
    let placed = timeline.place(at(17_000), Track::Audio, stamp(700));
    assert_eq!((placed.pts, placed.event), (MediaTime::from_millis(15_500), None));
}

/// Sound 150 ms before the picture in the session before, 100 ms behind it in this one, by their stamps.
#[test]
fn the_relation_of_sound_and_picture_is_the_new_sources() {
    let mut timeline = timeline();
    for (session, skew) in [(0i64, -150), (1, 100)] {
        let (came, base) = (session * 20_000, 1_000 + session * 900_000);
        rejoin(&mut timeline, came, base);
        let mut placed = (0, 0);
        for unit in units(10_000) {
            let now = at(came + unit.captured);
            match unit.track {
                Track::Video => {
                    placed.0 = placed_millis(timeline.place(now, Track::Video, stamp(base + unit.captured)))
                        - unit.captured;
                }
                Track::Audio => {
                    let stamp = stamp(base + unit.captured + skew);
                    placed.1 = placed_millis(timeline.place(now, Track::Audio, stamp)) - unit.captured;
                }
            }
        }
        assert_eq!(placed.1 - placed.0, skew, "session {session}");
    }
    assert_eq!(timeline.counters().jumps, 0);
}

/// What comes for times that are out is dropped by whoever counts frames, and latency stays what it was.
#[test]
fn a_takeover_from_a_source_that_has_got_ahead_does_not_begin_behind_what_that_gave() {
    let mut timeline = timeline();
    for unit in units(10_000) {
        // The last two seconds come at once.
        timeline.place(at(unit.captured.min(8_000)), unit.track, stamp(unit.captured));
    }
    let held: Vec<_> = (0..20).map(|k| arrival(8_000 + k * 40, Track::Video, 77_000 + k * 40)).collect();
    timeline.rejoin(&held, &grid());
    let placed = timeline.place(at(8_000), Track::Video, stamp(77_000));
    assert_eq!((placed_millis(placed), placed.event), (10_000 - 40, None));
}

/// A source that was caught up when it came: its first unit arrives 400 ms late, all others on time.
fn ahead_by_400_ms(timeline: &mut Timeline) {
    for unit in units(100_000) {
        timeline.place(at(i64::max(unit.captured, 400)), unit.track, stamp(unit.captured));
    }
    let lead = timeline.steady_lead().unwrap().ticks_at(Timescale::MILLIS);
    assert!((-5..=5).contains(&lead), "{lead}");
}

fn arrival(came: i64, track: Track, stamped: i64) -> Arrival {
    Arrival { at: at(came), track, stamp: stamp(stamped) }
}

/// A publisher returns that has sent no more than its key frame.
fn rejoin(timeline: &mut Timeline, came: i64, base: i64) {
    timeline.rejoin(&[arrival(came, Track::Video, base)], &grid());
}

#[test]
fn a_return_has_the_latency_of_before() {
    // Filled up to a second ago, or, for whatever reason, for longer than the source was away.
    for filled in [119_000, 121_000] {
        let mut timeline = timeline();
        ahead_by_400_ms(&mut timeline);
        timeline.filled_to(MediaTime::from_millis(filled));
        rejoin(&mut timeline, 120_000, 5);
        let back = placed_millis(timeline.place(at(120_000), Track::Video, stamp(5)));
        assert!((119_980..=120_020).contains(&back), "{back}");
    }
}

/// Of a source that stood by, all of the last group of pictures is held; the newest of it is what is shown next.
#[test]
fn whatever_is_held_of_a_source_its_newest_unit_is_due_now() {
    for (group, filled, composition) in
        [(1_000, 0, 0), (10_000, 0, 80), (10_000, 118_500, 0), (19_000, 119_500, 40)]
    {
        let mut timeline = timeline();
        ahead_by_400_ms(&mut timeline);
        if filled > 0 {
            timeline.filled_to(MediaTime::from_millis(filled));
        }
        let mut held: Vec<(Unit, Arrival)> = Vec::new();
        for unit in units(group + 1) {
            // Some are held up in the network with all behind them, the last among them.
            let delay = if unit.captured % 7 == 0 || unit.captured > group - 200 { 150 } else { 0 };
            let composition_millis = if unit.track == Track::Video { composition } else { 0 };
            let stamp = SourceStamp { composition_millis, ..stamp(9_000_000 + unit.captured) };
            let came = at(120_000 - group + unit.captured + delay);
            let came = held.last().map_or(came, |(_, before)| before.at.max(came));
            held.push((unit, Arrival { at: came, track: unit.track, stamp }));
        }
        let arrivals: Vec<_> = held.iter().map(|(_, arrival)| *arrival).collect();
        timeline.rejoin(&arrivals, &grid());
        for (unit, Arrival { at, track, stamp }) in held {
            let due = 120_000 - group + unit.captured;
            let placed = placed_millis(timeline.place(at, track, stamp));
            assert!(
                (placed - due).abs() <= 21,
                "{group} {filled}: {unit:?} stands at {placed}, and is due at {due}"
            );
        }
        assert_eq!((timeline.counters().jumps, timeline.counters().lateness_jumps), (0, 0));
    }
}

#[test]
fn sessions_in_a_row_have_one_latency() {
    // The first is over before its lead is known for sure; and so is every other.
    let mut timeline = timeline();
    let mut leads = Vec::new();
    for session in 0..20i64 {
        let (wall, base) = (session * 20_003, session * 1_000_000);
        // Every session has a few units that come sooner than any it began with.
        let came = |k| wall + k * 40 + if k > 60 && k % 50 == 0 { 0 } else { 30 };
        let held: Vec<_> = (0..50).map(|k| arrival(came(k), Track::Video, base + k * 40)).collect();
        if session > 0 {
            timeline.rejoin(&held, &grid());
        }
        for k in 0..490 {
            let placed = timeline.place(at(came(k)), Track::Video, stamp(base + k * 40));
            assert_eq!(placed.event, None);
            leads.extend((k == 489).then(|| placed_millis(placed) - wall - k * 40));
        }
    }
    // The second is aligned by what was best of the first, and all later ones as it was.
    let (least, most) = (leads.iter().min().unwrap(), leads.iter().max().unwrap());
    assert!(most - least <= 60, "{leads:?}");
}

/// Latency that came to be, as by a source of which the first unit came late, is worked off slowly.
#[test]
fn latency_that_a_jump_added_is_worked_off() {
    let mut timeline = timeline();
    ahead_by_400_ms(&mut timeline);
    let returned = 110_000;
    timeline.anchor(at(returned), stamp(0), MediaTime::from_millis(returned + 1_000));
    let mut ahead = i64::MAX;
    for unit in units(1_500_000) {
        let placed = timeline.place(at(returned + unit.captured), unit.track, stamp(unit.captured));
        assert!(placed.event.is_none(), "{placed:?}");
        let now_ahead = placed_millis(placed) - returned - unit.captured;
        assert!((now_ahead - ahead).abs() <= 1 || ahead == i64::MAX, "a step from {ahead} to {now_ahead}");
        ahead = now_ahead;
    }
    assert!((-20..=20).contains(&ahead), "{ahead}");
    let corrections = timeline.counters().drift_corrections;
    assert!((125..150).contains(&corrections), "{corrections}");
}
