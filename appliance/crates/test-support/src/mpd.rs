//! What a DASH manifest says (ISO/IEC 23009-1), as a player would read it.

use std::time::Duration;

use roxmltree::{Document, Node};

use crate::boxes;
use crate::http;

/// A manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// As it came.
    pub text: String,
    /// `MPD@type` is `dynamic`.
    pub dynamic: bool,
    /// `MPD@availabilityStartTime`, as written.
    pub availability_start: Option<String>,
    /// Number of periods.
    pub periods: usize,
    /// Every representation of the first period.
    pub tracks: Vec<Track>,
}

/// One representation.
#[derive(Debug, Clone)]
pub struct Track {
    /// `@id`.
    pub id: String,
    /// `video` or `audio`.
    pub content: String,
    /// `@bandwidth`, in bits per second.
    pub bandwidth: u64,
    /// `@codecs`.
    pub codecs: String,
    /// `@width` and `@height`, in pixels.
    pub size: Option<(u32, u32)>,
    /// `@frameRate`, as written.
    pub frame_rate: Option<String>,
    /// `SegmentTemplate@timescale`: ticks per second.
    pub timescale: u64,
    /// Where its initialisation segment is.
    pub init_url: String,
    /// The segments listed.
    pub segments: Vec<ListedSegment>,
}

/// One segment of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSegment {
    /// `$Number$`.
    pub number: u64,
    /// When it begins, in ticks.
    pub start: u64,
    /// Its length, in ticks.
    pub duration: u64,
    /// Where it is.
    pub url: String,
}

impl Track {
    /// From the first listed segment's start to the last one's end.
    ///
    /// # Panics
    /// Where it lists none.
    #[must_use]
    pub fn listed(&self) -> Duration {
        let (first, last) = (self.segments.first().unwrap(), self.segments.last().unwrap());
        Duration::from_millis((last.start + last.duration - first.start) * 1000 / self.timescale)
    }

    /// Its initialisation segment, fetched and read.
    #[must_use]
    pub fn init(&self) -> (Vec<u8>, boxes::Init) {
        let bytes = http::body(&self.init_url);
        let init = boxes::init(&bytes);
        (bytes, init)
    }

    /// All listed segments, fetched and read, with their initialisation segment before them.
    #[must_use]
    pub fn fetch(&self) -> Fetched {
        let (mut bytes, init) = self.init();
        let mut segments = Vec::new();
        for listed in &self.segments {
            let body = http::body(&listed.url);
            segments.push((listed.clone(), boxes::segment(&init, &body)));
            bytes.extend_from_slice(&body);
        }
        Fetched { bytes, init, segments }
    }
}

/// A track as far as it was listed.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Initialisation segment and media segments, one behind the other: a file that ffmpeg plays.
    pub bytes: Vec<u8>,
    /// What the initialisation segment says.
    pub init: boxes::Init,
    /// What the manifest and the segments say.
    pub segments: Vec<(ListedSegment, boxes::Segment)>,
}

impl Manifest {
    /// Fetches and reads a manifest; none where there is none yet.
    #[must_use]
    pub fn fetch(url: &str) -> Option<Self> {
        let answer = http::request("GET", url, &[]).ok()?;
        (answer.status == 200).then(|| Self::read(&answer.text(), url))
    }

    /// Reads a manifest that lies at `url`.
    ///
    /// # Panics
    /// Where it is not a manifest of one period with segment templates.
    #[must_use]
    pub fn read(text: &str, url: &str) -> Self {
        let document = Document::parse(text).unwrap_or_else(|e| panic!("the MPD is not XML ({e}):\n{text}"));
        let mpd = document.root_element();
        let periods = children(mpd, "Period").count();
        let mut tracks = Vec::new();
        let base = join(url, &base_url(mpd));
        for period in children(mpd, "Period").take(1) {
            let base = join(&base, &base_url(period));
            for set in children(period, "AdaptationSet") {
                let base = join(&base, &base_url(set));
                for representation in children(set, "Representation") {
                    tracks.push(track(set, representation, &join(&base, &base_url(representation))));
                }
            }
        }
        Self {
            text: text.to_owned(),
            dynamic: mpd.attribute("type") == Some("dynamic"),
            availability_start: mpd.attribute("availabilityStartTime").map(str::to_owned),
            periods,
            tracks,
        }
    }

    /// The video representations, as listed.
    pub fn video(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter(|track| track.content == "video")
    }

    /// The audio representations.
    pub fn audio(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter(|track| track.content == "audio")
    }

    /// The fewest segments that any representation lists.
    #[must_use]
    pub fn fewest_segments(&self) -> usize {
        self.tracks.iter().map(|track| track.segments.len()).min().unwrap_or(0)
    }
}

fn children<'a>(node: Node<'a, 'a>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.has_tag_name(name) || child.tag_name().name() == name)
}

fn base_url(node: Node<'_, '_>) -> String {
    node.children()
        .find(|child| child.tag_name().name() == "BaseURL")
        .and_then(|child| child.text())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// `reference` as seen from `base` (RFC 3986, 5.3, as far as our manifests go).
fn join(base: &str, reference: &str) -> String {
    if reference.contains("://") {
        return reference.to_owned();
    }
    let authority_end = base.find("://").map_or(0, |i| i + 3);
    let path_start = base[authority_end..].find('/').map_or(base.len(), |i| authority_end + i);
    if reference.starts_with('/') {
        return format!("{}{reference}", &base[..path_start]);
    }
    let folder_end = base.rfind('/').map_or(base.len(), |i| i + 1);
    if reference.is_empty() { base.to_owned() } else { format!("{}{reference}", &base[..folder_end]) }
}

fn track<'a>(set: Node<'a, 'a>, representation: Node<'a, 'a>, base: &str) -> Track {
    let either = |name: &str| representation.attribute(name).or_else(|| set.attribute(name));
    let id = representation.attribute("id").expect("a Representation has an id").to_owned();
    let content = either("contentType")
        .or_else(|| either("mimeType").and_then(|mime| mime.split('/').next()))
        .expect("a representation says what it is")
        .to_owned();
    let bandwidth: u64 =
        representation.attribute("bandwidth").expect("a Representation has a bandwidth").parse().unwrap();
    let template = children(representation, "SegmentTemplate")
        .next()
        .or_else(|| children(set, "SegmentTemplate").next())
        .expect("a SegmentTemplate");
    let number = |name: &str| template.attribute(name).map(|v| v.parse::<u64>().unwrap());
    let timescale = number("timescale").unwrap_or(1);
    let fill = |template: &str, n: u64, time: u64| {
        let filled = template
            .replace("$RepresentationID$", &id)
            .replace("$Bandwidth$", &bandwidth.to_string())
            .replace("$Number$", &n.to_string())
            .replace("$Time$", &time.to_string());
        assert!(!filled.contains('$'), "an identifier that the test does not know: {template}");
        join(base, &filled)
    };
    let media = template.attribute("media").expect("SegmentTemplate@media");
    let mut segments = Vec::new();
    let mut n = number("startNumber").unwrap_or(1);
    let mut time = 0;
    for timeline in children(template, "SegmentTimeline") {
        for s in children(timeline, "S") {
            let value = |name: &str| s.attribute(name).map(|v| v.parse::<u64>().unwrap());
            time = value("t").unwrap_or(time);
            n = value("n").unwrap_or(n);
            let duration = value("d").expect("S@d");
            for _ in 0..=value("r").unwrap_or(0) {
                segments.push(ListedSegment { number: n, start: time, duration, url: fill(media, n, time) });
                n += 1;
                time += duration;
            }
        }
    }
    let pixels = |name: &str| either(name).map(|v| v.parse::<u32>().unwrap());
    Track {
        content,
        bandwidth,
        codecs: either("codecs").expect("a representation names its codecs").to_owned(),
        size: pixels("width").zip(pixels("height")),
        frame_rate: either("frameRate").map(str::to_owned),
        timescale,
        init_url: fill(template.attribute("initialization").expect("@initialization"), 0, 0),
        segments,
        id: id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_against_the_manifest() {
        let base = "http://127.0.0.1:80/live/a/manifest.mpd";
        assert_eq!(join(base, "360p/1.m4s"), "http://127.0.0.1:80/live/a/360p/1.m4s");
        assert_eq!(join(base, "/x/1.m4s"), "http://127.0.0.1:80/x/1.m4s");
        assert_eq!(join(base, ""), base);
        assert_eq!(join(base, "http://b/c"), "http://b/c");
    }

    #[test]
    fn a_timeline_is_unrolled() {
        let text = r#"<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic"><Period><AdaptationSet
            contentType="video"><SegmentTemplate timescale="90000" startNumber="7" media="$RepresentationID$/$Number$.m4s"
            initialization="$RepresentationID$/init.mp4"><SegmentTimeline><S t="90" d="10" r="1"/><S d="5"/>
            </SegmentTimeline></SegmentTemplate><Representation id="v" bandwidth="9" codecs="avc1.42c00a"/>
            </AdaptationSet></Period></MPD>"#;
        let manifest = Manifest::read(text, "http://h/live/f/manifest.mpd");
        let got: Vec<_> =
            manifest.tracks[0].segments.iter().map(|s| (s.number, s.start, s.duration)).collect();
        assert_eq!(got, [(7, 90, 10), (8, 100, 10), (9, 110, 5)]);
        assert_eq!(manifest.tracks[0].segments[1].url, "http://h/live/f/v/8.m4s");
        assert_eq!(manifest.tracks[0].init_url, "http://h/live/f/v/init.mp4");
        assert!(manifest.dynamic);
    }
}
