//! The grid is the source's true rate, though RTMP's stamps are in whole milliseconds; and irregular sources are put on
//! a regular grid.

use test_support::{FeedSetup, Ffmpeg, Setup};

use crate::output;

/// Publishes at a rate; gives the rate that the manifest names and the samples of each segment.
fn grid(feed: &str, picture: &str, options: &str) -> (String, Vec<usize>) {
    let setup = FeedSetup::new(feed).rung("90p", "160x90", "80k").line("segment = \"2s\"");
    let mut rungd = Setup::default().feed(setup).start();
    let _publisher = Ffmpeg::new()
        .picture(picture)
        .video_encoder(&format!("-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p {options}"))
        .publish(&rungd.rtmp_url(feed), rungd.folder());
    let manifest = rungd.wait_for_segments(feed, 3);
    let tracks = output::check(&rungd, &manifest);
    let track = manifest.video().next().unwrap();
    let got = &tracks[&track.id];
    output::assert_moving(got);
    let ticks = u64::from(got.init.timescale);
    for (listed, segment) in &got.segments {
        let rate = track.frame_rate.as_deref().unwrap();
        let (n, d) = rate.split_once('/').unwrap_or((rate, "1"));
        let (n, d): (u64, u64) = (n.parse().unwrap(), d.parse().unwrap());
        let mut times: Vec<_> = segment.samples().map(|sample| u64::try_from(sample.pts).unwrap()).collect();
        times.sort_unstable();
        for (index, time) in times.iter().enumerate() {
            let expected = segment.start() + u64::try_from(index).unwrap() * ticks * d / n;
            assert!(
                time.abs_diff(expected) <= 1,
                "segment {}, frame {index}: {time}, not {expected}",
                listed.number
            );
        }
    }
    let counts = got.segments.iter().map(|(_, segment)| segment.samples().count()).collect();
    (track.frame_rate.clone().unwrap(), counts)
}

fn all(counts: &[usize], wanted: usize) -> bool {
    !counts.is_empty() && counts.iter().all(|count| *count == wanted)
}

#[test]
fn of_29_97() {
    let (rate, counts) = grid("r2997", "testsrc2=size=160x90:rate=30000/1001", "-g 60");
    assert_eq!(rate, "30000/1001");
    assert!(all(&counts, 60), "{counts:?}");
}

#[test]
fn of_59_94() {
    let (rate, counts) = grid("r5994", "testsrc2=size=160x90:rate=60000/1001", "-g 120");
    assert_eq!(rate, "60000/1001");
    assert!(all(&counts, 120), "{counts:?}");
}

#[test]
fn of_23_976() {
    let (rate, counts) = grid("r23976", "testsrc2=size=160x90:rate=24000/1001", "-g 48");
    assert_eq!(rate, "24000/1001");
    assert!(all(&counts, 48), "{counts:?}");
}

/// Every third picture of 30 is missing at the source: 20 a second, unevenly.
#[test]
fn of_an_irregular_source() {
    let picture = "testsrc2=size=160x90:rate=30,select='mod(n,3)'";
    let (rate, counts) = grid("vfr", picture, "-fps_mode passthrough -g 40");
    assert!(counts.iter().all(|count| *count == counts[0] && count % 2 == 0), "{rate}: {counts:?}");
}
