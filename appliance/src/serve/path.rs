//! Paths of media, parsed strictly: what is not one of these never gets further than this file.

use media::SegmentNumber;

use crate::store::{FeedName, PresentationId, TrackName};

/// What a path below `/live/` or `/replay/` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MediaPath {
    pub(super) feed: FeedName,
    /// Which presentation; the one on the live URL where none is named.
    pub(super) presentation: Option<PresentationId>,
    pub(super) wanted: Wanted,
}

/// What of a presentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Manifest(Manifest),
    Init(TrackName),
    Segment(TrackName, SegmentNumber),
    /// A chunk of a segment by itself, counted from zero: a partial segment of HLS.
    Part(TrackName, SegmentNumber, u32),
}

/// One of the texts that list segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Manifest {
    /// The MPD.
    Mpd,
    /// The HLS master playlist.
    Master,
    /// The HLS media playlist of a track.
    Playlist(TrackName),
}

impl MediaPath {
    /// Parses what follows `/live/`: `{feed}/manifest.mpd`, `{feed}/master.m3u8`, `{feed}/{track}/{file}`, and
    /// `{feed}/{presentation}/{track}/{init.mp4, number.m4s or number.part.m4s}`. Names hold nothing that would be percent-encoded, so
    /// a path with an escape is none of these.
    pub(super) fn live(path: &str) -> Option<Self> {
        let mut names = path.split('/');
        let (feed, second) = (FeedName::new(names.next()?).ok()?, names.next()?);
        let (third, fourth) = (names.next(), names.next());
        if names.next().is_some() {
            return None;
        }
        let (presentation, wanted) = match (third, fourth) {
            (None, _) => (None, Wanted::of_presentation(second)?),
            (Some(file), None) => (None, Wanted::of_track(second, file)?),
            (Some(track), Some(file)) => {
                let wanted = Wanted::of_track(track, file)?;
                if matches!(wanted, Wanted::Manifest(_)) {
                    return None;
                }
                (Some(PresentationId::new(second).ok()?), wanted)
            }
        };
        Some(Self { feed, presentation, wanted })
    }

    /// Parses what follows `/replay/`: `{feed}/{presentation}/` and then as [`Self::live`].
    pub(super) fn replay(path: &str) -> Option<Self> {
        let mut names = path.split('/');
        let feed = FeedName::new(names.next()?).ok()?;
        let presentation = Some(PresentationId::new(names.next()?).ok()?);
        let wanted = match (names.next()?, names.next(), names.next()) {
            (file, None, _) => Wanted::of_presentation(file)?,
            (track, Some(file), None) => Wanted::of_track(track, file)?,
            (_, Some(_), Some(_)) => return None,
        };
        Some(Self { feed, presentation, wanted })
    }
}

impl Wanted {
    fn of_presentation(file: &str) -> Option<Self> {
        match file {
            "manifest.mpd" => Some(Self::Manifest(Manifest::Mpd)),
            "master.m3u8" => Some(Self::Manifest(Manifest::Master)),
            _ => None,
        }
    }

    fn of_track(track: &str, file: &str) -> Option<Self> {
        let track = TrackName::new(track).ok()?;
        match file {
            "index.m3u8" => Some(Self::Manifest(Manifest::Playlist(track))),
            "init.mp4" => Some(Self::Init(track)),
            _ => match file.strip_suffix(".m4s")?.split_once('.') {
                Some((segment, part)) => Some(Self::Part(track, number(segment)?, index(part)?)),
                None => Some(Self::Segment(track, number(file.strip_suffix(".m4s")?)?)),
            },
        }
    }
}

/// A number as the manifests write it: decimal, no sign, no leading zero. One URL a segment, so that caches hold one
/// copy.
fn number(text: &str) -> Option<SegmentNumber> {
    text.parse().ok().filter(|_| is_plain(text) && text != "0").map(SegmentNumber)
}

/// Likewise, from zero.
fn index(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| is_plain(text))
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(track: &str, number: u64) -> Wanted {
        Wanted::Segment(TrackName::new(track).unwrap(), SegmentNumber(number))
    }

    #[test]
    fn live_paths() {
        let parsed =
            |path: &str| MediaPath::live(path).map(|path| (path.presentation.is_some(), path.wanted));
        assert_eq!(parsed("a/manifest.mpd"), Some((false, Wanted::Manifest(Manifest::Mpd))));
        assert_eq!(parsed("a/master.m3u8"), Some((false, Wanted::Manifest(Manifest::Master))));
        assert_eq!(parsed("a/360p/7.m4s"), Some((false, segment("360p", 7))));
        assert_eq!(parsed("a/20261121T031500.123Z/360p/7.m4s"), Some((true, segment("360p", 7))));
        let part = |number, part| Wanted::Part(TrackName::new("360p").unwrap(), SegmentNumber(number), part);
        assert_eq!(parsed("a/360p/7.0.m4s"), Some((false, part(7, 0))));
        assert_eq!(parsed("a/20261121T031500.123Z/360p/7.12.m4s"), Some((true, part(7, 12))));
        assert_eq!(parsed("a/20261121T031500.123Z/360p/index.m3u8"), None);
        assert_eq!(parsed("a/20261121T031500.123Z/manifest.mpd"), None);
    }

    #[test]
    fn replay_paths() {
        let parsed = |path: &str| MediaPath::replay(path).map(|path| path.wanted);
        assert_eq!(parsed("a/2026/manifest.mpd"), Some(Wanted::Manifest(Manifest::Mpd)));
        assert_eq!(parsed("a/2026/audio/init.mp4"), Some(Wanted::Init(TrackName::new("audio").unwrap())));
        assert_eq!(parsed("a/2026/audio/18446744073709551615.m4s"), Some(segment("audio", u64::MAX)));
        assert_eq!(parsed("a/manifest.mpd"), None);
    }

    #[test]
    fn odd_paths_are_none() {
        for path in [
            "",
            "/",
            "a",
            "a/",
            "a//manifest.mpd",
            "a/manifest.mpd/",
            "../a/manifest.mpd",
            "a/../manifest.mpd",
            "a/%2e%2e/1.m4s",
            "a/360p/..",
            "a/360p/.m4s",
            "a/360p/0.m4s",
            "a/360p/01.m4s",
            "a/360p/+1.m4s",
            "a/360p/-1.m4s",
            "a/360p/18446744073709551616.m4s",
            "a/360p/1.m4s%00",
            "a/360p/1.00.m4s",
            "a/360p/1.01.m4s",
            "a/360p/1.-1.m4s",
            "a/360p/1..m4s",
            "a/360p/.1.m4s",
            "a/360p/0.1.m4s",
            "a/360p/1.1.1.m4s",
            "a/360p/1.4294967296.m4s",
            "a/360p/1.M4S",
            "a/2026/360p/1.m4s/x",
            "A/manifest.mpd",
        ] {
            assert_eq!(MediaPath::live(path), None, "{path}");
            assert_eq!(MediaPath::replay(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_parses_is_plain(path in "[a-z0-9./%\\\\:T\\PC]{0,60}") {
            for parsed in [MediaPath::live(&path), MediaPath::replay(&path)].into_iter().flatten() {
                prop_assert!(!path.contains("..") || parsed.presentation.is_some());
                prop_assert!(!path.contains(['%', '\\', ':']));
            }
        }
    }
}
