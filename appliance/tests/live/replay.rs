//! A presentation that has ended is a replay: from its first segment, at once, and after the daemon's restart.

use std::time::Duration;

use serde_json::Value;
use test_support::{Ffmpeg, Manifest, Rungd, Setup, http, wait_until};

use crate::output;

/// The presentations of a feed as `/api/v1/presentations` lists them.
pub(crate) fn presentations(rungd: &Rungd, feed: &str) -> Vec<Value> {
    let answer = http::get(&rungd.url("/api/v1/presentations")).json();
    let list = answer.as_array().or_else(|| answer["presentations"].as_array()).expect("a list").clone();
    list.into_iter().filter(|presentation| presentation["feed"] == feed).collect()
}

/// Waits for a feed's only presentation to be archived to its end, and gives its id.
pub(crate) fn ended_presentation(rungd: &Rungd, feed: &str) -> String {
    wait_until(Duration::from_secs(60), "the presentation to be a replay", || {
        let list = presentations(rungd, feed);
        let id = list.first()?["id"].as_str()?.to_owned();
        let manifest = Manifest::fetch(&rungd.url(&format!("/replay/{feed}/{id}/manifest.mpd")))?;
        (!manifest.dynamic).then_some(id)
    })
}

#[test]
fn a_replay_has_everything_and_survives_a_restart() {
    // A window far shorter than the programme: the replay comes from the disk.
    let feed = test_support::FeedSetup::new("studio-r").line("window = \"4s\"");
    let mut rungd = Setup::default().feed(feed).start();
    let mut publisher =
        Ffmpeg::new().lasting(Duration::from_secs(12)).publish(&rungd.rtmp_url("studio-r"), rungd.folder());
    let live = rungd.wait_for_segments("studio-r", 3);
    assert!(publisher.wait(Duration::from_secs(30)).success(), "{}", publisher.log());
    let id = ended_presentation(&rungd, "studio-r");
    let path = format!("/replay/studio-r/{id}/manifest.mpd");
    let replay = Manifest::fetch(&rungd.url(&path)).unwrap();
    assert!(!replay.dynamic, "{}", replay.text);
    let before = output::check(&rungd, &replay);
    for track in &replay.tracks {
        assert_eq!(track.segments.first().unwrap().number, 1, "{}", track.id);
        let length = track.listed();
        let programme = Duration::from_secs(11)..Duration::from_millis(13_500);
        assert!(programme.contains(&length), "{}: {length:?} of 12 s", track.id);
    }
    // The live URL has turned into the same, in place, as far as its window goes.
    let in_place = Manifest::fetch(&rungd.mpd_url("studio-r")).unwrap();
    assert!(!in_place.dynamic, "{}", in_place.text);
    assert!(in_place.fewest_segments() >= 2);
    drop(live);

    assert!(rungd.stop().success(), "{}", rungd.log());
    let rungd = rungd.start_again();
    let replay = Manifest::fetch(&rungd.url(&path)).expect("the replay is there after a restart");
    let after = output::check(&rungd, &replay);
    for (name, track) in &before {
        assert!(track.bytes == after[name].bytes, "{name} is not what it was before the restart");
    }
    assert_eq!(presentations(&rungd, "studio-r").len(), 1);
}
