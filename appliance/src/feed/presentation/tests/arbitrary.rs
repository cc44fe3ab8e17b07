//! Any inputs in any order: no panic, no action out of order, no memory without bound.

use bytes::Bytes;
use media::probe::Hints;
use media::{Latency, Size, SourceStamp, Track, VideoCodec};
use proptest::prelude::*;
use worker_protocol::{FromWorker, Report};

use super::driver::{BOTH, Driver, PLAIN, Ways};
use crate::config;
use crate::feed::source::Input;
use crate::supervisor::Death;

#[derive(Debug, Clone)]
enum Event {
    Input(Input),
    Worker(FromWorker, &'static [u8]),
    Wait(u64),
    Play(u64),
    Configure,
    Leave,
    Death,
}

fn stamp() -> impl Strategy<Value = SourceStamp> {
    (any::<u32>(), any::<u32>(), any::<i32>()).prop_map(|(millis, nanos, composition_millis)| SourceStamp {
        millis,
        nanos,
        composition_millis,
    })
}

fn input() -> impl Strategy<Value = Input> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60).prop_map(Bytes::from);
    let codec = || prop_oneof![Just(VideoCodec::H264), Just(VideoCodec::Hevc), Just(VideoCodec::Av1)];
    prop_oneof![
        1 => (any::<Option<f64>>(), any::<Option<bool>>(), any::<Option<bool>>()).prop_map(
            |(frame_rate, has_video, has_audio)| Input::Hints(Hints { frame_rate, has_video, has_audio })
        ),
        8 => (stamp(), any::<bool>(), bytes())
            .prop_map(|(stamp, key, payload)| Input::Video { stamp, key, payload }),
        8 => (stamp(), bytes()).prop_map(|(stamp, payload)| Input::Audio { stamp, payload }),
        1 => (codec(), bytes()).prop_map(|(codec, record)| Input::VideoConfiguration { codec, record }),
        1 => bytes().prop_map(Input::AudioConfiguration),
        1 => "[a-z]{0,40}".prop_map(|codec| Input::Unsupported { track: Track::Audio, codec }),
    ]
}

fn said() -> impl Strategy<Value = FromWorker> {
    let size = Size { width: 640, height: 360 };
    prop_oneof![
        1 => (0u8..5).prop_map(move |rung| FromWorker::RungOpened { rung, codec: VideoCodec::H264, size, captions: true }),
        4 => (0u8..5, prop_oneof![0u64..200, any::<u64>()], any::<bool>())
            .prop_map(|(rung, frame, key)| FromWorker::Picture { rung, frame, key }),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(units_in, pictures_decoded)| {
            FromWorker::Report(Report { units_in, pictures_decoded, ..Report::default() })
        }),
        1 => Just(FromWorker::Finished),
        1 => Just(FromWorker::Failed { reason: "so".to_owned() }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => input().prop_map(Event::Input),
        2 => said().prop_map(|message| Event::Worker(message, b"coded")),
        3 => (0u64..3_000).prop_map(Event::Wait),
        3 => (0u64..2_000).prop_map(Event::Play),
        2 => Just(Event::Configure),
        1 => Just(Event::Leave),
        1 => Just(Event::Death),
    ]
}

proptest! {
    #[test]
    fn nothing_panics_or_comes_out_of_order(
        events in prop::collection::vec(event(), 0..60),
        configured: bool,
        opens: bool,
        low_latency: bool,
        reorders: bool,
    ) {
        let latency = if low_latency { Latency::Low } else { Latency::Standard };
        let feed = config::Feed { latency, ..super::configuration::feed() };
        let mut driver = Driver::with(Ways { opens, reorders, ..PLAIN }, &feed, super::configuration::limits());
        if configured {
            driver.configure(BOTH);
            driver.play(BOTH, 1_500);
        }
        for event in events {
            match event {
                Event::Input(input) => driver.input(input),
                Event::Worker(message, payload) => driver.say(message, payload),
                Event::Wait(millis) => driver.wait(millis),
                Event::Play(millis) => driver.play(BOTH, millis),
                Event::Configure => driver.configure(BOTH),
                Event::Leave => driver.leave(),
                Event::Death => driver.kill_worker(&Death::Exited(3)),
            }
            let _ = (driver.presentation.facts(driver.now()), driver.presentation.is_ahead(driver.now()));
        }
        driver.log.check_aligned();
        driver.leave();
        driver.kill_worker(&Death::Finished);
        // Once it has a source and its end, it is over.
        prop_assert!(driver.log.closed);
    }
}
