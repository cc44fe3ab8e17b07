use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn params(sample_rate: u32, channel_configuration: u8, samples_per_frame: u32) -> AudioParams {
    AudioParams {
        configuration: Bytes::new(),
        object_type: 2,
        sample_rate,
        channels: channel_configuration,
        channel_configuration,
        samples_per_frame,
    }
}

fn line() -> AudioLine {
    AudioLine::new(&params(48_000, 2, 1024), 0).unwrap()
}

/// Gives the line `count` frames stamped in milliseconds by `stamp(nominal milliseconds, number)`.
fn run(line: &mut AudioLine, count: i64, stamp: impl Fn(i64, i64) -> i64) -> Vec<LineFrame> {
    let (rate, per_frame) = (i64::from(line.scale.get()), i64::from(line.samples_per_frame));
    (0..count)
        .flat_map(|k| line.frame(MediaTime::from_millis(stamp(k * per_frame * 1000 / rate, k)), Bytes::new()))
        .collect()
}

#[test]
fn follows_the_sample_count_through_jitter() {
    for (rate, per_frame) in [(48_000, 1024), (44_100, 1024), (48_000, 960), (22_050, 1024), (24_000, 1024)] {
        let mut line = AudioLine::new(&params(rate, 2, per_frame), 0).unwrap();
        let out = run(&mut line, 20_000, |millis, k| {
            millis + [0, 7, -9, 20, -20, 3][usize::try_from(k % 6).unwrap()]
        });
        assert_eq!(out.len(), 20_000);
        assert_eq!((line.counters().silent, line.counters().dropped), (0, 0), "{rate} {per_frame}");
    }
}

#[test]
fn frames_before_zero_are_dropped_and_a_late_start_is_silence() {
    let mut line = line();
    assert!(line.frame(MediaTime::from_millis(-30), Bytes::new()).is_empty());
    let out = line.frame(MediaTime::from_millis(-8), Bytes::from_static(b"a"));
    assert_eq!(out, [LineFrame { index: 0, payload: Bytes::from_static(b"a"), silence: false }]);

    let mut line = self::line();
    let out = line.frame(MediaTime::from_millis(100), Bytes::new());
    let silent: Vec<bool> = out.iter().map(|frame| frame.silence).collect();
    // 100 ms is 4.7 frames of 21.3 ms.
    assert_eq!(silent, [true, true, true, true, true, false]);
}

#[test]
fn another_source_finds_its_place_to_half_a_frame() {
    for late in [-500, -20, 0, 20, 300, 1_024, 3_000] {
        let mut line = line();
        run(&mut line, 100, |millis, _| millis);
        line.find_place_anew();
        let at = 100 * 1_024 + late;
        let out: Vec<_> = (0..5)
            .flat_map(|k| line.frame(MediaTime::new(at + k * 1_024, line.scale), Bytes::from_static(b"new")))
            .collect();
        let first = out.iter().find(|frame| !frame.silence).unwrap();
        let off = line.time_of(first.index).ticks() - at;
        assert!(off.abs() <= 512 && out.first().unwrap().index == 100, "{late}: {off} samples off, {out:?}");
    }
    // One that begins before what is out loses the frames that overlap.
    let mut line = line();
    run(&mut line, 100, |millis, _| millis);
    line.find_place_anew();
    let frame = |line: &mut AudioLine, index: i64| {
        line.frame(MediaTime::new(index * 1_024, line.scale), Bytes::from_static(b"new"))
    };
    assert!(frame(&mut line, 98).is_empty() && frame(&mut line, 99).is_empty());
    assert_eq!(frame(&mut line, 100).first().map(|frame| frame.index), Some(100));
}

#[test]
fn gaps_and_overlaps_are_corrected_at_once() {
    let mut line = line();
    run(&mut line, 100, |millis, _| millis);
    let at = line.time_of(100).plus(MediaTime::from_millis(500));
    let out = line.frame(at, Bytes::new());
    assert_eq!(out.len(), 24);
    assert_eq!(line.next_index(), 124);
    // Half a second back again: dropped until the time that is open.
    let dropped = (0..40).take_while(|k| line.frame(line.time_of(100 + k), Bytes::new()).is_empty()).count();
    assert!((22..=24).contains(&dropped), "{dropped}");
}

#[test]
fn drift_is_corrected_a_frame_at_a_time_and_stays_in_sync() {
    for ppm in [300, -300] {
        let mut line = line();
        let mut worst = 0;
        for k in 0..60_000i64 {
            let samples = k * 1024;
            let micros = (samples * 1_000_000 / 48_000) * (1_000_000 + ppm) / 1_000_000;
            let millis = micros / 1000 + [0, 3, -3][usize::try_from(k % 3).unwrap()];
            for frame in line.frame(MediaTime::from_millis(millis), Bytes::new()) {
                let heard = line.time_of(frame.index).ticks() * 1_000_000 / 48_000;
                worst = worst.max(if frame.silence { 0 } else { (heard - micros).abs() });
            }
        }
        // 21 minutes of 300 ppm are 384 ms: 18 frames of 21.3 ms.
        let AudioLineCounters { silent, repeated, dropped, .. } = line.counters();
        let (one, other) = if ppm > 0 { (repeated, dropped) } else { (dropped, repeated) };
        assert_eq!(silent, 0, "{ppm} ppm");
        assert!((16..=19).contains(&one), "{ppm} ppm: {one}");
        assert_eq!(other, 0, "{ppm} ppm");
        assert!(worst < 40_000, "{ppm} ppm: sound {worst} us from the picture");
    }
}

/// What a line puts out for 500 s of 200 ppm whose frames are quiet where `is_quiet(number)`: the numbers of the frames
/// before which one was put in or left out.
fn corrected_at(params: &AudioParams, ppm: i64, is_quiet: impl Fn(i64) -> bool) -> (AudioLine, Vec<i64>) {
    let mut line = AudioLine::new(params, 0).unwrap();
    let (loud, quiet) = (Bytes::from(vec![1; 400]), Bytes::from(vec![2; 100]));
    let rate = i64::from(params.sample_rate);
    let mut corrected = Vec::new();
    for k in 0..500 * rate / 1024 {
        let millis = (k * 1024 * 1_000_000 / rate) * (1_000_000 + ppm) / 1_000_000_000;
        let payload = if is_quiet(k) { quiet.clone() } else { loud.clone() };
        let out = line.frame(MediaTime::from_millis(millis), payload);
        if out.len() != 1 {
            corrected.push(k);
        }
    }
    (line, corrected)
}

#[test]
fn drift_is_corrected_at_quiet_frames_where_there_are_any() {
    for ppm in [200, -200] {
        // A pause of three frames every ten seconds.
        let is_quiet = |k: i64| k % 470 < 3;
        let (_, corrected) = corrected_at(&params(48_000, 2, 1024), ppm, is_quiet);
        assert_eq!(corrected.len(), 4, "{corrected:?}");
        assert!(corrected.iter().all(|&k| is_quiet(k)), "{corrected:?}");
        // And all the same where there are none.
        let (_, corrected) = corrected_at(&params(48_000, 2, 1024), ppm, |_| false);
        assert!((3..=4).contains(&corrected.len()), "{corrected:?}");
    }
}

#[test]
fn what_is_put_in_is_the_frame_before_where_frames_stand_alone() {
    let (line, _) = corrected_at(&params(44_100, 2, 1024), 200, |_| false);
    assert_eq!((line.counters().silent, line.counters().repeated), (0, 4));
    let he_aac = AudioParams { object_type: 5, ..params(24_000, 2, 1024) };
    for params in [he_aac, params(24_000, 2, 1024)] {
        let (line, _) = corrected_at(&params, 200, |_| false);
        assert_eq!((line.counters().silent, line.counters().repeated), (2, 0));
    }
    // A gap is silence in any case.
    let mut line = line;
    let next = line.time_of(line.next_index()).plus(MediaTime::from_millis(500));
    assert!(line.frame(next, Bytes::new()).iter().rev().skip(1).all(|frame| frame.silence));
}

/// A feed that nobody publishes to for half a minute, ticked every 100 ms; then another line goes on where the first
/// ended, as after a restart, for a publisher with another phase.
#[test]
fn a_grace_period_is_filled_and_a_new_line_goes_on() {
    for rate in [48_000, 44_100] {
        let mut line = AudioLine::new(&params(rate, 2, 1024), 0).unwrap();
        run(&mut line, 500, |millis, _| millis);
        let mut due = 500;
        for millis in (10_000..=40_000).step_by(100) {
            let time = MediaTime::from_millis(millis);
            for frame in line.fill_to(time) {
                assert_eq!((frame.index, frame.silence), (due, true));
                due += 1;
            }
            let end = line.time_of(line.next_index());
            let behind = time.minus(end).ticks_at(line.scale);
            assert!((0..1024).contains(&behind) || end > time && due == 500, "{rate}: {behind} at {millis}");
        }

        let mut next = AudioLine::new(&params(rate, 2, 1024), due).unwrap();
        // The old session's last words are out of time; the first of the new may leave a gap.
        assert!(next.frame(MediaTime::from_millis(39_000), Bytes::new()).is_empty());
        let out = next.frame(MediaTime::from_millis(40_055), Bytes::from_static(b"x"));
        assert_eq!(out.first().map(|frame| frame.index), Some(due));
        let last = out.last().unwrap();
        assert_eq!((&last.payload[..], last.silence), (&b"x"[..], false));
        let off = next.time_of(last.index).ticks_at(Timescale::MILLIS) - 40_055;
        assert!(off.abs() <= 12, "{rate}: {off}");
    }
}

#[test]
fn silence_of_the_source_is_filled_and_the_next_frame_finds_its_place() {
    let mut line = line();
    run(&mut line, 10, |millis, _| millis);
    assert_eq!(line.fill_to(MediaTime::from_millis(1_000)).len(), 36);
    assert!(line.fill_to(MediaTime::from_millis(1_000)).is_empty());
    assert!(line.frame(MediaTime::from_millis(900), Bytes::new()).is_empty());
    let out = line.frame(MediaTime::from_millis(1_990), Bytes::new());
    assert_eq!(out.last().map(|frame| (frame.index, frame.silence)), Some((93, false)));
    // An hour is filled in parts.
    assert_eq!(line.fill_to(MediaTime::from_millis(3_600_000)).len(), 469);
}

#[test]
fn says_what_it_cannot_be_silent_for() {
    let error = AudioLine::new(&params(48_000, 0, 1024), 0).unwrap_err().to_string();
    assert_eq!(
        error,
        "no silence can be written for channelConfiguration 0; supported: 1 to 7, 11, 12 and 14"
    );
}

/// Frames as ADTS (ISO/IEC 13818-7, 6.2) at 48 kHz.
fn adts(channel_configuration: u8, frames: usize) -> Vec<u8> {
    let frame = silence::frame(channel_configuration).unwrap();
    let length = frame.len() + 7;
    let byte = |value: usize| u8::try_from(value & 0xff).unwrap();
    let header = [
        0xff,
        0xf1,
        0x40 | 3 << 2 | channel_configuration >> 2,
        (channel_configuration & 3) << 6 | byte(length >> 11),
        byte(length >> 3),
        byte(length << 5) | 0x1f,
        0xfc,
    ];
    std::iter::repeat_n([&header[..], &frame].concat(), frames).flatten().collect()
}

/// libavcodec is the judge: it must take the frames without a word and give zeros.
#[test]
fn ffmpeg_decodes_silence_to_zeros() {
    for (configuration, channels) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 8)] {
        let mut ffmpeg = Command::new("ffmpeg")
            .args(["-v", "warning", "-xerror", "-f", "aac", "-i", "-", "-f", "s16le", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A dozen frames fit a pipe's buffer, so this cannot block.
        ffmpeg.stdin.take().unwrap().write_all(&adts(configuration, 12)).unwrap();
        let output = ffmpeg.wait_with_output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint: Vec<&str> =
            complaint.lines().filter(|line| !line.contains("Estimating duration")).collect();
        assert!(output.status.success() && complaint.is_empty(), "{configuration}: {complaint:?}");
        // The decoder may hold its first frame back.
        let samples = output.stdout.len() / 2 / channels;
        assert!((11 * 1024..=12 * 1024).contains(&samples), "{configuration}: {samples}");
        assert!(output.stdout.iter().all(|&byte| byte == 0), "{configuration}: not silent");
    }
}

proptest! {
    #[test]
    fn every_index_comes_once_in_order(
        first in 0u64..1_000_000,
        rate in prop::sample::select(vec![7_350u32, 22_050, 44_100, 48_000, 96_000]),
        inputs in prop::collection::vec((0u8..20, any::<i64>(), -300i64..2_000), 0..200),
    ) {
        let mut line = AudioLine::new(&params(rate, 2, 1024), first).unwrap();
        let mut due = first;
        let mut millis = line.time_of(first).ticks_at(Timescale::MILLIS);
        for (kind, wild, step) in inputs {
            let out = match kind {
                0 => line.frame(MediaTime::from_millis(wild), Bytes::new()),
                1 => line.fill_to(MediaTime::from_millis(wild)),
                2 => line.fill_to(MediaTime::from_millis(millis + step)),
                _ => {
                    millis += if kind < 6 { step } else { 21 };
                    line.frame(MediaTime::from_millis(millis), Bytes::new())
                }
            };
            prop_assert!(out.len() <= usize::try_from(line.max_fill()).unwrap() + 1);
            for frame in out {
                prop_assert_eq!(frame.index, due);
                due += 1;
            }
            prop_assert_eq!(line.next_index(), due);
        }
    }
}
