use dash_mpd_core::{AdaptationSet, MPD, SegmentTemplate};
use media::{MediaTime, Timescale};
use proptest::prelude::*;

use super::*;
use crate::window::Latency;
use crate::window::sample;

fn read(window: &Window) -> MPD {
    let xml = mpd(window).unwrap();
    dash_mpd_core::parse(&xml).unwrap_or_else(|error| panic!("{error}\n{xml}"))
}

fn template_of(set: &AdaptationSet, representation: usize) -> &SegmentTemplate {
    set.representations[representation].SegmentTemplate.as_ref().unwrap()
}

/// Start and duration of each segment as a player works them out.
fn times(template: &SegmentTemplate) -> Vec<(u64, u64, u64)> {
    let mut out = Vec::new();
    let mut at = 0;
    for s in &template.SegmentTimeline.as_ref().unwrap().segments {
        at = s.t.unwrap_or(at);
        for _ in 0..=s.r.unwrap_or(0) {
            let number = template.startNumber.unwrap() + u64::try_from(out.len()).unwrap();
            out.push((number, at, s.d));
            at += s.d;
        }
    }
    out
}

#[test]
fn a_live_manifest_says_all_that_a_player_asks() {
    let window = sample::window(true, 5, 35);
    let mpd = read(&window);
    assert_eq!(mpd.mpdtype.as_deref(), Some("dynamic"));
    assert_eq!(mpd.availabilityStartTime.unwrap().timestamp_millis(), 1_795_230_900_250);
    assert_eq!(mpd.publishTime.unwrap().timestamp_millis(), 1_795_230_950_000);
    assert_eq!(mpd.minimumUpdatePeriod, Some(Duration::from_millis(2002)));
    assert_eq!(mpd.timeShiftBufferDepth, Some(Duration::from_secs(60)));
    assert_eq!(mpd.suggestedPresentationDelay, Some(Duration::from_millis(6006)));
    assert_eq!(mpd.mediaPresentationDuration, None);
    assert_eq!(mpd.UTCTiming[0].schemeIdUri, "urn:mpeg:dash:utc:http-iso:2014");
    assert_eq!(mpd.UTCTiming[0].value.as_deref(), Some("/time"));
    let longest = window.tracks[2].segments.iter().map(|s| s.duration.to_duration()).max();
    assert_eq!(mpd.maxSegmentDuration, longest, "an audio segment is the longest");

    let sets = &mpd.periods[0].adaptations;
    assert_eq!(sets.len(), 2);
    let (video, audio) = (&sets[0], &sets[1]);
    assert_eq!((video.contentType.as_deref(), video.mimeType.as_deref()), (Some("video"), Some("video/mp4")));
    assert_eq!((video.maxWidth, video.maxHeight), (Some(1280), Some(720)));
    assert_eq!(video.par.as_deref(), Some("16:9"));
    assert_eq!((video.segmentAlignment, video.startWithSAP), (Some(true), Some(1)));
    let rung = &video.representations[1];
    assert_eq!(rung.id.as_deref(), Some("480p"));
    assert_eq!((rung.width, rung.height, rung.bandwidth), (Some(854), Some(480), Some(1_000_000)));
    assert_eq!(rung.frameRate.as_deref(), Some("15000/1001"));
    assert_eq!((rung.sar.as_deref(), rung.codecs.as_deref()), (Some("1:1"), Some("avc1.64001f")));
    let sound = &audio.representations[0];
    assert_eq!(sound.audioSamplingRate.as_deref(), Some("44100"));
    assert_eq!(sound.AudioChannelConfiguration[0].value.as_deref(), Some("2"));
    let template = template_of(audio, 0);
    assert_eq!(template.media.as_deref(), Some("20261121T031500Z/$RepresentationID$/$Number$.m4s"));
    assert_eq!(template.initialization.as_deref(), Some("20261121T031500Z/$RepresentationID$/init.mp4"));
}

#[test]
fn captions_are_announced_where_there_are_any() {
    let mut window = sample::window(true, 5, 35);
    assert!(!mpd(&window).unwrap().contains("Accessibility"));
    sample::with_captions(&mut window);
    let text = mpd(&window).unwrap();
    let line = r#"<Accessibility schemeIdUri="urn:scte:dash:cc:cea-608:2015" value="CC1=und"/>"#;
    assert_eq!(text.matches(line).count(), 1, "{text}");
    let [captions, role] = [line, "<Role "].map(|part| text.find(part).unwrap());
    assert!(captions < role, "the order of the schema (ISO/IEC 23009-1, 5.3.3.3)");
}

#[test]
fn nobody_begins_within_the_first_second() {
    // Where a player begins, from the manifest of a presentation that lists that many segments: the end of what is
    // listed, less the delay.
    let begins = |segments: u64| {
        let window = sample::window(true, 1, 1 + segments);
        let listed = window.tracks.iter().filter_map(|track| track.segments.last());
        let end = listed.map(|last| last.start.plus(last.duration).to_duration()).max().unwrap();
        let delay = read(&window).suggestedPresentationDelay.unwrap();
        (delay, end.saturating_sub(delay))
    };
    let usual = Duration::from_millis(6006);
    for segments in 1..=2 {
        assert_eq!(begins(segments), (usual, Duration::ZERO));
    }
    let (delay, start) = begins(3);
    assert_eq!(start, Duration::ZERO);
    assert!(delay > usual && delay < usual + Duration::from_millis(1100), "{delay:?}");
    for segments in 4..=6 {
        let (delay, start) = begins(segments);
        assert_eq!(delay, usual, "{segments} segments");
        assert!(start > Duration::from_secs(1), "{segments} segments: {start:?}");
    }
}

#[test]
fn every_time_is_that_of_its_segment() {
    let window = sample::window(true, 5, 35);
    let mpd = read(&window);
    let sets = &mpd.periods[0].adaptations;
    let templates = [template_of(&sets[0], 0), template_of(&sets[0], 1), template_of(&sets[1], 0)];
    for (track, template) in window.tracks.iter().zip(templates) {
        assert_eq!(template.timescale, Some(u64::from(track.timescale.get())));
        let ticks = |time: MediaTime| u64::try_from(time.ticks()).unwrap();
        let listed = track.segments.iter().map(|s| (s.number.0, ticks(s.start), ticks(s.duration)));
        assert_eq!(times(template), listed.collect::<Vec<_>>());
    }
    let lengths: std::collections::BTreeSet<_> = times(templates[2]).iter().map(|s| s.2).collect();
    assert_eq!(lengths.len(), 2, "audio segments differ by a frame");
    assert_eq!(
        templates[0].SegmentTimeline.as_ref().unwrap().segments.len(),
        1,
        "equal segments share an entry"
    );
}

#[test]
fn an_ended_presentation_is_static() {
    let mut window = sample::window(false, 1, 4);
    window.media_base = String::new();
    let mpd = read(&window);
    assert_eq!(mpd.mpdtype.as_deref(), Some("static"));
    let last = window.tracks[2].segments[2];
    assert_eq!(mpd.mediaPresentationDuration, Some(last.start.plus(last.duration).to_duration()));
    assert!(mpd.availabilityStartTime.is_none() && mpd.publishTime.is_none() && mpd.UTCTiming.is_empty());
    assert!(mpd.minimumUpdatePeriod.is_none() && mpd.timeShiftBufferDepth.is_none());
    assert!(mpd.suggestedPresentationDelay.is_none());
    let template = template_of(&mpd.periods[0].adaptations[0], 0);
    assert_eq!(template.media.as_deref(), Some("$RepresentationID$/$Number$.m4s"));
}

/// Retention has taken what was before: what is left plays from its first picture, for as long as it is.
#[test]
fn a_recording_without_its_beginning_begins_with_what_is_left() {
    let mut window = sample::window(false, 5, 9);
    let first = window.tracks[0].segments[0];
    window.origin = first.start;
    let mpd = read(&window);
    let last = window.tracks[2].segments[3];
    let end = last.start.plus(last.duration).to_duration();
    assert_eq!(mpd.mediaPresentationDuration, Some(end - first.start.to_duration()));
    let sets = &mpd.periods[0].adaptations;
    let templates = [template_of(&sets[0], 0), template_of(&sets[0], 1), template_of(&sets[1], 0)];
    for (track, template) in window.tracks.iter().zip(templates) {
        let ticks = u64::try_from(first.start.ticks_at(track.timescale)).unwrap();
        assert_eq!(template.presentationTimeOffset, Some(ticks));
        let sample = u64::from(track.timescale.get());
        assert!(times(template)[0].1.abs_diff(ticks) < sample / 20, "it begins at the Period's beginning");
    }
    window.origin = MediaTime::ZERO;
    assert_eq!(template_of(&read(&window).periods[0].adaptations[0], 0).presentationTimeOffset, None);
}

#[test]
fn sound_alone_and_pictures_alone() {
    let mut window = sample::window(true, 1, 3);
    let sound = window.tracks.split_off(2);
    let pictures = read(&window);
    assert_eq!(pictures.periods[0].adaptations.len(), 1);
    window.tracks = sound;
    assert_eq!(read(&window).periods[0].adaptations[0].contentType.as_deref(), Some("audio"));
    window.tracks.clear();
    assert!(matches!(mpd(&window), Err(DashError::NoTracks)));
}

#[test]
fn what_cannot_be_listed_is_named() {
    let mut window = sample::window(true, 1, 4);
    window.tracks[1].segments.remove(1);
    assert_eq!(mpd(&window).unwrap_err().to_string(), "track 480p lists segment 3 where 2 should be");
    window.tracks[1].segments.clear();
    assert_eq!(mpd(&window).unwrap_err().to_string(), "track 480p lists no segments");
    let mut window = sample::window(true, 1, 4);
    window.tracks[0].segments[0].start = MediaTime::new(-1, Timescale::VIDEO);
    assert!(matches!(mpd(&window), Err(DashError::Times { .. })));
}

#[test]
fn a_time_that_does_not_follow_is_written_out() {
    let mut window = sample::window(true, 1, 4);
    let gap = MediaTime::new(90, Timescale::VIDEO);
    window.tracks[0].segments[2].start = window.tracks[0].segments[2].start.plus(gap);
    let mpd = read(&window);
    assert_eq!(times(template_of(&mpd.periods[0].adaptations[0], 0))[2], (3, 2 * 180_180 + 90, 180_180));
}

#[test]
fn durations_are_exact() {
    assert_eq!(xs_duration(Duration::ZERO), "PT0S");
    assert_eq!(xs_duration(Duration::from_secs(100)), "PT100S");
    assert_eq!(xs_duration(Duration::from_millis(2002)), "PT2.002S");
    assert_eq!(xs_duration(Duration::new(1, 1)), "PT1.000000001S");
}

#[test]
fn an_aspect_ratio_stands_where_all_rungs_have_it() {
    let sizes = |list: &[(u32, u32)]| {
        picture_aspect_ratio(list.iter().map(|&(width, height)| Size { width, height }))
    };
    assert_eq!(sizes(&[(1920, 1080), (854, 480), (426, 240)]).as_deref(), Some("16:9"));
    assert_eq!(sizes(&[(1920, 1080), (640, 480)]), None);
    assert_eq!(sizes(&[(720, 576)]).as_deref(), Some("5:4"));
}

proptest! {
    #[test]
    fn any_title_comes_back(title in "\\PC*|[<>&\"'\\]\\[!-]{0,20}|.{0,20}") {
        let mut window = sample::window(true, 1, 3);
        window.title.clone_from(&title);
        let mpd = read(&window);
        let told = mpd.ProgramInformation[0].Title.as_ref().and_then(|title| title.content.clone()).unwrap_or_default();
        // Readers trim white space and make one line end of every kind.
        let plain = |text: &str| xml_text(text).replace("\r\n", "\n").replace('\r', "\n").trim().to_owned();
        prop_assert_eq!(plain(&told), plain(&title));
    }
}

/// The same window in low latency, with chunks of half a second nearly.
fn low() -> Window {
    let mut window = sample::window(true, 5, 35);
    window.latency = Latency::low(&sample::cadence(), Duration::from_secs(2));
    window
}

#[test]
fn low_latency_gives_a_rule_for_all_segments() {
    let window = low();
    let mpd = read(&window);
    assert_eq!(mpd.minimumUpdatePeriod, Some(Duration::from_millis(4004)));
    assert!(mpd.minBufferTime.unwrap() <= Duration::from_millis(1001));
    let chunk = 15.0 * 1001.0 / 30_000.0;
    for set in &mpd.periods[0].adaptations {
        for rung in 0..set.representations.len() {
            let template = template_of(set, rung);
            assert!(template.SegmentTimeline.is_none());
            assert_eq!((template.startNumber, template.presentationTimeOffset), (Some(1), None));
            assert_eq!(template.availabilityTimeComplete, Some(false));
            // Exactly the length of a segment, on whatever clock.
            let seconds = template.duration.unwrap() / 90_000.0;
            assert_eq!(template.timescale, Some(90_000));
            assert!((seconds - 2.002).abs() < 1e-9, "{seconds}");
            let early = template.availabilityTimeOffset.unwrap();
            let frame = if set.contentType.as_deref() == Some("audio") { 1024.0 / 44_100.0 } else { 0.0 };
            let exact = seconds - chunk - frame;
            assert!(early <= exact && early > exact - 0.001, "{early}, {exact}");
        }
    }
}

/// A player's own reckoning (ISO/IEC 23009-1, 5.3.9.5.3) against where the segments are.
#[test]
fn low_latency_segments_stand_where_the_rule_says() {
    let window = low();
    let mpd = read(&window);
    let sets = &mpd.periods[0].adaptations;
    let templates = [template_of(&sets[0], 0), template_of(&sets[0], 1), template_of(&sets[1], 0)];
    for (track, template) in window.tracks.iter().zip(templates) {
        // Both in ticks of the template's clock times those of the track's, exactly.
        let (scale, of_template) =
            (i128::from(track.timescale.get()), i128::from(template.timescale.unwrap()));
        let frame = if track.name == "audio" { 1024 * of_template } else { 1 };
        for segment in &track.segments {
            let before = i128::from(segment.number.0 - template.startNumber.unwrap());
            let nominal = before * i128::from(window.segment_ticks()) * scale;
            let late = i128::from(segment.start.ticks()) * of_template - nominal;
            assert!((0..frame).contains(&late), "{} {}: {late}", track.name, segment.number);
        }
    }
}

#[test]
fn low_latency_says_how_far_behind_to_be() {
    let window = low();
    let mpd = read(&window);
    let [description] = mpd.ServiceDescription.as_slice() else { panic!("{:?}", mpd.ServiceDescription) };
    let latency = &description.Latency[0];
    assert_eq!((latency.target, latency.min, latency.max), (Some(2000.0), Some(1000.0), Some(6004.0)));
    // Shaka Player would be behind by both.
    assert_eq!(mpd.suggestedPresentationDelay, None);
    let rate = &description.PlaybackRate[0];
    assert!(rate.min.is_some_and(|min| min < 1.0) && rate.max.is_some_and(|max| max > 1.0));
    for set in &mpd.periods[0].adaptations {
        let [time] = set.ProducerReferenceTime.as_slice() else { panic!("{set:?}") };
        assert_eq!((time.id.as_deref(), time.inband), (Some("0"), Some(true)));
        assert_eq!(latency.referenceId.as_deref(), time.id.as_deref());
        assert_eq!(time.prtType.as_deref(), Some("captured"));
        assert_eq!((time.wallClockTime, time.presentationTime), (mpd.availabilityStartTime, Some(0)));
        assert_eq!(time.UTCTiming.as_ref(), mpd.UTCTiming.first());
    }
}

#[test]
fn low_latency_can_begin_before_a_segment_is_whole() {
    let mut window = low();
    for track in &mut window.tracks {
        track.segments.clear();
    }
    assert_eq!(read(&window).periods[0].adaptations.len(), 2);
}

#[test]
fn low_latency_ends_in_the_same_addressing() {
    let mut window = Window { latency: low().latency, ..sample::window(false, 1, 8) };
    let ended = read(&window);
    assert_eq!(ended.mpdtype.as_deref(), Some("static"));
    // Sound ends later, by less than a frame.
    let seven = Duration::from_millis(7 * 2002);
    assert!(end(&window) > seven);
    assert_eq!(ended.mediaPresentationDuration, Some(seven));
    assert!(ended.ServiceDescription.is_empty() && ended.UTCTiming.is_empty());
    for set in &ended.periods[0].adaptations {
        let template = template_of(set, 0);
        assert_eq!((template.startNumber, template.duration), (Some(1), Some(180_180.0)));
        assert!(template.availabilityTimeOffset.is_none() && template.availabilityTimeComplete.is_none());
        assert!(set.ProducerReferenceTime.is_empty());
    }
    // Cut short.
    for track in &mut window.tracks {
        let last = track.segments.last_mut().unwrap();
        last.duration = MediaTime::new(i64::from(track.timescale.get()), track.timescale);
    }
    let told = read(&window).mediaPresentationDuration.unwrap();
    assert!(told > Duration::from_millis(6 * 2002 + 1000) && told < Duration::from_millis(6 * 2002 + 1024));
}

#[test]
fn low_latency_without_its_beginning_ends_in_a_list() {
    let ended = Window { live: false, ..low() };
    let standard = Window { latency: Latency::Standard, ..ended.clone() };
    assert_eq!(mpd(&ended).unwrap(), mpd(&standard).unwrap());
}

#[test]
fn a_low_latency_manifest_in_full() {
    let mut window = low();
    window.tracks.remove(1);
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019" type="dynamic" availabilityStartTime="2026-11-21T03:15:00.250Z" publishTime="2026-11-21T03:15:50.000Z" minimumUpdatePeriod="PT4.004S" minBufferTime="PT1.001S" timeShiftBufferDepth="PT60S" maxSegmentDuration="PT2.020136054S">
 <ProgramInformation>
  <Title>Studio A</Title>
 </ProgramInformation>
 <ServiceDescription id="0">
  <Latency referenceId="0" target="2000" max="6004" min="1000"/>
  <PlaybackRate max="1.04" min="0.96"/>
 </ServiceDescription>
 <Period id="0" start="PT0S">
  <AdaptationSet id="0" contentType="video" mimeType="video/mp4" lang="und" segmentAlignment="true" startWithSAP="1" maxWidth="1280" maxHeight="720" maxFrameRate="30000/1001" par="16:9">
   <ProducerReferenceTime id="0" inband="true" type="captured" wallClockTime="2026-11-21T03:15:00.250Z" presentationTime="0">
    <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="/time"/>
   </ProducerReferenceTime>
   <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
   <Representation id="720p" bandwidth="3000000" codecs="avc1.64001f" width="1280" height="720" frameRate="30000/1001" sar="1:1">
    <SegmentTemplate timescale="90000" initialization="20261121T031500Z/$RepresentationID$/init.mp4" media="20261121T031500Z/$RepresentationID$/$Number$.m4s" startNumber="1" duration="180180" availabilityTimeOffset="1.501" availabilityTimeComplete="false"/>
   </Representation>
  </AdaptationSet>
  <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
   <ProducerReferenceTime id="0" inband="true" type="captured" wallClockTime="2026-11-21T03:15:00.250Z" presentationTime="0">
    <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="/time"/>
   </ProducerReferenceTime>
   <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
   <Representation id="audio" bandwidth="130000" codecs="mp4a.40.2" audioSamplingRate="44100">
    <AudioChannelConfiguration schemeIdUri="urn:mpeg:mpegB:cicp:ChannelConfiguration" value="2"/>
    <SegmentTemplate timescale="90000" initialization="20261121T031500Z/$RepresentationID$/init.mp4" media="20261121T031500Z/$RepresentationID$/$Number$.m4s" startNumber="1" duration="180180" availabilityTimeOffset="1.478" availabilityTimeComplete="false"/>
   </Representation>
  </AdaptationSet>
 </Period>
 <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="/time"/>
</MPD>
"#;
    assert_eq!(mpd(&window).unwrap(), expected);
}
