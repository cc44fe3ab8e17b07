use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::VideoCodec;

fn picture(width: u32, height: u32, rate: Option<(u32, u32)>) -> VideoParams {
    VideoParams {
        codec: VideoCodec::H264,
        configuration: Bytes::new(),
        size: Size { width, height },
        sample_aspect_ratio: (1, 1),
        frame_rate: rate.and_then(|(n, d)| FrameRate::new(n, d)),
        interlaced: false,
        bit_depth: 8,
    }
}

fn sound(channels: u8) -> AudioParams {
    AudioParams {
        configuration: Bytes::new(),
        object_type: 2,
        sample_rate: 48_000,
        channels,
        channel_configuration: channels,
        samples_per_frame: 1024,
    }
}

fn probe() -> SourceProbe {
    SourceProbe::new(ProbeConfig::default())
}

const BOTH: Hints = Hints { frame_rate: None, has_video: Some(true), has_audio: Some(true) };
const VIDEO_ONLY: Hints = Hints { frame_rate: None, has_video: Some(true), has_audio: Some(false) };

/// Pictures of `n/d` a second with millisecond stamps, in real time, until there is a verdict: it, and when.
fn watch(probe: &mut SourceProbe, (n, d): (u64, u64), composition: impl Fn(u64) -> i32) -> (Verdict, u64) {
    for k in 0.. {
        let millis = k * 1000 * d / n;
        let now = Duration::from_millis(millis);
        let stamp = SourceStamp {
            millis: u32::try_from(millis).unwrap().wrapping_sub(200),
            nanos: 0,
            composition_millis: composition(k),
        };
        probe.unit(now, Track::Video, stamp);
        let verdict = probe.verdict(now);
        if verdict != Verdict::NeedMore || millis > 20_000 {
            return (verdict, millis);
        }
    }
    unreachable!()
}

fn rate_of(verdict: Verdict) -> String {
    match verdict {
        Verdict::Ready(source) => source.frame_rate.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_declared_rate_that_is_borne_out_is_believed_at_once() {
    for (n, d) in [(25, 1), (30_000, 1001), (60_000, 1001), (30, 1), (24_000, 1001), (15, 1)] {
        let mut probe = probe();
        probe.hints(Duration::ZERO, VIDEO_ONLY);
        probe.video(Duration::ZERO, picture(1920, 1080, Some((n, d))));
        let (verdict, millis) = watch(&mut probe, (u64::from(n), u64::from(d)), |_| 0);
        assert_eq!(rate_of(verdict), FrameRate::new(n, d).unwrap().to_string());
        assert!(millis <= 500, "{n}/{d} after {millis} ms");
    }
}

#[test]
fn metadata_serves_where_timing_information_lies() {
    let mut probe = probe();
    probe.hints(Duration::ZERO, Hints { frame_rate: Some(29.97), ..VIDEO_ONLY });
    probe.video(Duration::ZERO, picture(1280, 720, Some((50, 1))));
    let (verdict, millis) = watch(&mut probe, (30_000, 1001), |_| 0);
    assert_eq!(rate_of(verdict), "30000/1001");
    assert!(millis <= 500);
}

#[test]
fn timing_information_in_fields_is_understood() {
    for (vui, real) in [((60_000, 1001), (30_000, 1001)), ((25, 2), (25, 1))] {
        let mut probe = probe();
        probe.hints(Duration::ZERO, VIDEO_ONLY);
        probe.video(Duration::ZERO, picture(1920, 1080, Some(vui)));
        let (verdict, _) = watch(&mut probe, (u64::from(real.0), u64::from(real.1)), |_| 0);
        assert_eq!(rate_of(verdict), FrameRate::new(real.0, real.1).unwrap().to_string());
    }
}

#[test]
fn an_undeclared_rate_is_measured_in_a_second_whatever_the_order_of_pictures() {
    let reordered = |k: u64| [80, 120, 40, 0][usize::try_from(k % 4).unwrap()];
    for (n, d) in
        [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1), (17, 1)]
    {
        for b_frames in [false, true] {
            let mut probe = probe();
            probe.hints(Duration::ZERO, VIDEO_ONLY);
            probe.video(Duration::ZERO, picture(1280, 720, None));
            let composition = |k| if b_frames { reordered(k) } else { 0 };
            let (verdict, millis) = watch(&mut probe, (u64::from(n), u64::from(d)), composition);
            assert_eq!(rate_of(verdict), FrameRate::new(n, d).unwrap().to_string(), "{n}/{d}");
            assert!((1000..1100).contains(&millis), "{n}/{d} after {millis} ms");
        }
    }
}

#[test]
fn lost_pictures_do_not_change_the_measure() {
    let mut probe = probe();
    probe.hints(Duration::ZERO, VIDEO_ONLY);
    probe.video(Duration::ZERO, picture(1280, 720, None));
    for k in (0..60u32).filter(|k| k % 7 != 3) {
        probe.unit(Duration::ZERO, Track::Video, SourceStamp { millis: k * 20, ..SourceStamp::default() });
    }
    assert_eq!(rate_of(probe.verdict(Duration::from_secs(1))), "50");
}

#[test]
fn stamps_that_stand_still_end_with_what_is_declared() {
    let mut probe = probe();
    probe.hints(Duration::ZERO, VIDEO_ONLY);
    probe.video(Duration::ZERO, picture(1280, 720, Some((50, 1))));
    for _ in 0..100 {
        probe.unit(Duration::ZERO, Track::Video, SourceStamp::default());
    }
    assert_eq!(probe.verdict(Duration::from_secs(1)), Verdict::NeedMore);
    assert_eq!(rate_of(probe.verdict(Duration::from_secs(2))), "50");
}

#[test]
fn the_other_track_is_waited_for_unless_metadata_denies_it() {
    let with_audio = |hints| {
        let mut probe = probe();
        probe.hints(Duration::ZERO, hints);
        probe.audio(Duration::ZERO, sound(2));
        for k in 0..200u32 {
            let now = Duration::from_millis(u64::from(k) * 21);
            probe.unit(now, Track::Audio, SourceStamp { millis: k * 21, ..SourceStamp::default() });
            match probe.verdict(now) {
                Verdict::Ready(source) => {
                    assert!(source.video.is_none() && source.audio.is_some());
                    assert_eq!(source.frame_rate, FrameRate::PAL);
                    return now.as_millis();
                }
                verdict => assert_eq!(verdict, Verdict::NeedMore),
            }
        }
        panic!("no verdict");
    };
    assert_eq!(with_audio(Hints { has_video: Some(false), has_audio: Some(true), ..Hints::default() }), 0);
    assert!((1000..1050).contains(&with_audio(Hints::default())));
    assert!((1000..1050).contains(&with_audio(BOTH)));

    // Video without the sound that metadata claims.
    let mut probe = probe();
    probe.hints(Duration::ZERO, BOTH);
    probe.video(Duration::ZERO, picture(1280, 720, Some((25, 1))));
    let (verdict, millis) = watch(&mut probe, (25, 1), |_| 0);
    assert_eq!(rate_of(verdict), "25");
    assert_eq!(millis, 1000);
}

#[test]
fn the_configured_rate_needs_no_measure() {
    let mut probe =
        SourceProbe::new(ProbeConfig { frame_rate: FrameRate::new(50, 1), ..ProbeConfig::default() });
    probe.hints(Duration::ZERO, VIDEO_ONLY);
    probe.video(Duration::ZERO, picture(1280, 720, None));
    let (verdict, millis) = watch(&mut probe, (25, 1), |_| 0);
    assert_eq!((rate_of(verdict), millis), ("50".to_owned(), 0));
}

/// A publisher that returns to a grid: nothing is measured, so what is waited for is one unit of each track. Encoders
/// send both records first, and then sound and picture in either order, the sound at most a few frames late.
#[test]
fn a_returning_publisher_is_ready_at_once() {
    for (hints, audio_delay, composition, picture_rate) in [
        (Some(BOTH), 0u64, 0, None),
        (None, 100, 80, None),
        (None, 250, 0, Some((60, 1))),
        (Some(Hints { frame_rate: Some(24.0), ..BOTH }), 0, 0, Some((24, 1))),
    ] {
        let mut probe =
            SourceProbe::new(ProbeConfig { frame_rate: FrameRate::new(50, 1), ..ProbeConfig::default() });
        if let Some(hints) = hints {
            probe.hints(Duration::ZERO, hints);
        }
        probe.video(Duration::ZERO, picture(1920, 1080, picture_rate));
        probe.audio(Duration::ZERO, sound(2));
        let mut ready = None;
        for millis in 0..2_000u32 {
            let now = Duration::from_millis(u64::from(millis));
            let stamp =
                |composition_millis| SourceStamp { millis: 900 + millis, nanos: 0, composition_millis };
            if millis % 40 == 0 {
                probe.unit(now, Track::Video, stamp(composition));
            }
            if millis % 21 == 0 && u64::from(millis) >= audio_delay {
                probe.unit(now, Track::Audio, stamp(0));
            }
            if let Verdict::Ready(source) = probe.verdict(now) {
                assert!(source.video.is_some() && source.audio.is_some());
                assert_eq!(source.frame_rate.to_string(), "50");
                ready = Some(u64::from(millis));
                break;
            }
        }
        assert!(ready.is_some_and(|ready| ready <= audio_delay + 21), "{ready:?} for {audio_delay}");
        assert!(ready < Some(300), "{ready:?}");
    }
}

#[test]
fn a_track_there_is_no_use_for_is_not_waited_for() {
    let at_once = |wants_video, wants_audio, first: Track| {
        let config = ProbeConfig {
            wants_video,
            wants_audio,
            frame_rate: FrameRate::new(50, 1),
            ..ProbeConfig::default()
        };
        let mut probe = SourceProbe::new(config);
        probe.video(Duration::ZERO, picture(1920, 1080, None));
        probe.audio(Duration::ZERO, sound(2));
        probe.unit(Duration::ZERO, first, SourceStamp::default());
        probe.verdict(Duration::ZERO)
    };
    assert!(matches!(at_once(true, false, Track::Video), Verdict::Ready(Source { video: Some(_), .. })));
    assert!(matches!(at_once(false, true, Track::Audio), Verdict::Ready(Source { audio: Some(_), .. })));
    assert_eq!(at_once(true, false, Track::Audio), Verdict::NeedMore);
    assert_eq!(at_once(false, true, Track::Video), Verdict::NeedMore);
    assert_eq!(at_once(true, true, Track::Video), Verdict::NeedMore);
}

#[test]
fn refusals_name_value_and_bound() {
    let refusal = |tell: &dyn Fn(&mut SourceProbe)| {
        let mut probe = probe();
        tell(&mut probe);
        match probe.verdict(Duration::from_secs(20)) {
            Verdict::Refuse(refusal) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let zero = Duration::ZERO;
    assert_eq!(
        refusal(&|probe| probe.video(zero, picture(4096, 2160, None))),
        "picture of 4096x2160 is over the bound of 3840x2160"
    );
    assert_eq!(
        refusal(&|probe| probe.video(zero, picture(64, 8, None))),
        "picture of 64x8 is under the bound of 16x16"
    );
    assert_eq!(refusal(&|probe| probe.audio(zero, sound(12))), "12 audio channels are over the bound of 8");
    assert_eq!(
        refusal(&|probe| probe.audio(zero, sound(0))),
        "audio with channelConfiguration 0 is not supported; supported: 1 to 7, 11, 12 and 14"
    );
    assert_eq!(
        refusal(&|probe| probe.unsupported(Track::Video, "vp6\u{7}")),
        "video codec vp6 is not supported; supported: H.264, HEVC and AV1"
    );
    assert_eq!(refusal(&|probe| probe.hints(zero, BOTH)), "no media within 10 s");
    assert_eq!(refusal(&|probe| probe.video(zero, picture(640, 360, None))), "no pictures within 10 s");
    let fast = |probe: &mut SourceProbe| {
        probe.video(zero, picture(640, 360, Some((120, 1))));
        watch(probe, (120, 1), |_| 0);
    };
    assert_eq!(refusal(&fast), "120.00 frames per second are over the bound of 60");
}

proptest! {
    /// Whatever comes, there is a verdict in the end, and none of it panics.
    #[test]
    fn ends(
        inputs in prop::collection::vec((0u8..8, any::<u32>(), any::<i32>(), 0u64..300), 1..200),
        hint: f64,
    ) {
        let mut probe = probe();
        let mut now = Duration::ZERO;
        for (kind, millis, composition_millis, wait) in inputs {
            now += Duration::from_millis(wait);
            match kind {
                0 => probe.hints(now, Hints { frame_rate: Some(hint), ..Hints::default() }),
                1 => probe.video(now, picture(millis % 5000, 720, None)),
                2 => probe.audio(now, sound((millis % 20).try_into().unwrap())),
                3..6 => probe.unit(now, Track::Video, SourceStamp { millis, nanos: millis, composition_millis }),
                _ => probe.unit(now, Track::Audio, SourceStamp { millis, nanos: 0, composition_millis }),
            }
            let _ = probe.verdict(now);
        }
        prop_assert!(probe.verdict(now + Duration::from_secs(10)) != Verdict::NeedMore);
    }
}
