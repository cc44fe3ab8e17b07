//! Independent programs on what the packager writes: ffmpeg decodes it without an error, and gets the same pictures
//! and sound at the same times as from the source.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use media::ladder::RungRate;
use media::{AudioParams, Cadence, FrameRate, SegmentNumber, Size, VideoCodec};
use packager::{
    AudioGrid, AudioSegmenter, Chunk, Latency, LiveEdge, Packaged, Picture, TrackSpec, VideoSegmenter,
    Window, WindowSegment, WindowTrack, WindowTrackKind, dash, hls, init_segment,
};

const SIZE: Size = Size { width: 160, height: 90 };

/// Runs ffmpeg or ffprobe; it must succeed and complain of nothing.
fn tool(name: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(name).args(["-hide_banner", "-v", "error"]).args(arguments).output().unwrap_or_else(
            |error| panic!("these tests need {name} (Debian package ffmpeg) on the PATH: {error}"),
        );
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{name} {arguments:?}: {}\n{complaint}",
        output.status
    );
    String::from_utf8(output.stdout).expect("text")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

/// One MD5 of each decoded picture, in the order of showing.
fn picture_hashes(file: &Path) -> Vec<String> {
    let arguments = ["-xerror", "-err_detect", "explode", "-i", text(file), "-map", "0:v"];
    let listing =
        tool("ffmpeg", &[&arguments[..], &["-fps_mode", "passthrough", "-f", "framemd5", "-"]].concat());
    let hash = |line: &str| line.rsplit(',').next().map(|hash| hash.trim().to_owned());
    listing.lines().filter(|line| !line.starts_with('#')).filter_map(hash).collect()
}

fn sound_hash(file: &Path) -> String {
    tool("ffmpeg", &["-xerror", "-err_detect", "explode", "-i", text(file), "-map", "0:a", "-f", "md5", "-"])
}

fn probe(file: &Path, stream: &str, entries: &str) -> Vec<Vec<String>> {
    let arguments = ["-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0", text(file)];
    let fields = |line: &str| line.trim_end_matches(',').split(',').map(str::to_owned).collect();
    tool("ffprobe", &arguments).lines().filter(|line| !line.is_empty()).map(fields).collect()
}

/// A source with B-frames and closed GOPs, and what a worker would say of it.
struct Source {
    spec: TrackSpec,
    pictures: Vec<Picture>,
    hashes: Vec<String>,
}

/// Encodes `pictures` pictures; `step` is the distance of grid frames from one to the next.
fn encode(folder: &Path, rate: FrameRate, step: u64, gop: u32, pictures: u32, first_frame: u64) -> Source {
    let file = folder.join("source.mp4");
    let lavfi = format!("testsrc2=size={SIZE}:rate={rate}");
    let x264 =
        format!("keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=3:b-adapt=0:b-pyramid=normal");
    let (frames, path) = (pictures.to_string(), text(&file));
    let input = ["-f", "lavfi", "-i", &lavfi, "-frames:v", &frames, "-pix_fmt", "yuv420p", "-c:v", "libx264"];
    tool("ffmpeg", &[&input[..], &["-preset", "fast", "-x264-params", &x264, "-y", path]].concat());

    let bytes = Bytes::from(fs::read(&file).unwrap());
    let at = bytes.windows(4).position(|w| w == b"avcC").expect("an avcC");
    let length = usize::try_from(u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap())).unwrap();
    let spec = TrackSpec::video(VideoCodec::H264, bytes.slice(at + 4..at - 4 + length), SIZE, rate);

    let base: Vec<u64> =
        probe(&file, "v", "stream=time_base")[0][0].split('/').map(|n| n.parse().unwrap()).collect();
    let packets = probe(&file, "v", "packet=pts,size,pos,flags");
    let pictures: Vec<_> = packets
        .iter()
        .map(|packet| {
            let [pts, size, position] = [0, 1, 2].map(|i: usize| packet[i].parse::<u64>().unwrap());
            let ticks = pts * base[0] * u64::from(rate.numerator());
            let frame = ticks / (base[1] * u64::from(rate.denominator()));
            let (start, size) = (usize::try_from(position).unwrap(), usize::try_from(size).unwrap());
            let payload = bytes.slice(start..start + size);
            Picture { frame: first_frame + frame * step, key: packet[3].starts_with('K'), payload }
        })
        .collect();
    let reordered = pictures.windows(2).any(|pair| pair[1].frame < pair[0].frame);
    assert!(reordered, "the source has B-frames");
    Source { spec, pictures, hashes: picture_hashes(&file) }
}

/// Chunks in order, and the segments they make.
#[derive(Default)]
struct Written {
    segments: Vec<WindowSegment>,
    chunks: Vec<(SegmentNumber, Chunk)>,
}

impl Written {
    fn take(&mut self, out: Vec<Packaged>) {
        for packaged in out {
            match packaged {
                Packaged::Chunk { segment, chunk } => self.chunks.push((segment, chunk)),
                Packaged::SegmentEnd { segment: number, start, duration } => {
                    let bytes = self
                        .chunks
                        .iter()
                        .filter(|(of, _)| *of == number)
                        .map(|(_, chunk)| chunk.bytes)
                        .sum();
                    self.segments.push(WindowSegment { number, start, duration, bytes });
                }
            }
        }
    }

    fn bytes_of(&self, segment: SegmentNumber) -> Vec<u8> {
        let chunks = self.chunks.iter().filter(|(of, _)| *of == segment);
        chunks.flat_map(|(_, chunk)| &chunk.parts).flat_map(|part| part.to_vec()).collect()
    }

    /// Init segment and all chunks in one file.
    fn save(&self, spec: &TrackSpec, file: &Path) {
        let mut bytes = init_segment(spec).unwrap().to_vec();
        for segment in &self.segments {
            bytes.extend(self.bytes_of(segment.number));
        }
        fs::write(file, bytes).unwrap();
    }

    /// As a web server would have it: `init.mp4` and `{number}.m4s`.
    fn serve(&self, spec: &TrackSpec, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("init.mp4"), init_segment(spec).unwrap()).unwrap();
        for segment in &self.segments {
            fs::write(folder.join(format!("{}.m4s", segment.number)), self.bytes_of(segment.number)).unwrap();
        }
    }

    /// `tfdt` of each segment, read from its bytes.
    fn decode_times(&self) -> Vec<u64> {
        let tfdt = |segment: &WindowSegment| {
            let bytes = self.bytes_of(segment.number);
            let at = bytes.windows(4).position(|w| w == b"tfdt").expect("a tfdt");
            assert_eq!(bytes[at + 4], 1, "version");
            u64::from_be_bytes(bytes[at + 8..at + 16].try_into().unwrap())
        };
        self.segments.iter().map(tfdt).collect()
    }
}

fn package(source: &Source, cadence: Cadence, rate: RungRate, first: SegmentNumber) -> Written {
    let mut segmenter = VideoSegmenter::new(cadence, rate, first).with_producer_time(1_795_230_900_250);
    let mut written = Written::default();
    for picture in &source.pictures {
        written.take(segmenter.push(picture.clone()).unwrap());
    }
    written.take(segmenter.finish().unwrap());
    written
}

/// Packages `pictures` pictures from segment `first` on, and lets ffmpeg have a look.
fn pictures_survive(rate: (u32, u32), rung: RungRate, first: SegmentNumber, pictures: u32) {
    let folder = tempfile::tempdir().unwrap();
    let grid = FrameRate::new(rate.0, rate.1).unwrap();
    let cadence = Cadence::new(grid, Duration::from_secs(1), Duration::from_millis(250));
    let (own, step) = match rung {
        RungRate::Full => (grid, 1),
        RungRate::Half => (grid.half(), 2),
    };
    let gop = cadence.frames_per_segment() / u32::try_from(step).unwrap();
    let source = encode(folder.path(), own, step, gop, pictures, cadence.first_frame(first));
    let written = package(&source, cadence, rung, first);
    let file = folder.path().join("packaged.mp4");
    written.save(&source.spec, &file);

    assert_eq!(picture_hashes(&file), source.hashes);
    let mut expected: Vec<_> =
        source.pictures.iter().map(|p| cadence.time_of(p.frame).ticks().to_string()).collect();
    expected.sort_by_key(|ticks| ticks.parse::<i64>().unwrap());
    let shown: Vec<_> = probe(&file, "v", "frame=pts").into_iter().map(|fields| fields[0].clone()).collect();
    assert_eq!(shown, expected, "pictures are shown on the grid");

    let starts: Vec<_> = written.segments.iter().map(|s| u64::try_from(s.start.ticks()).unwrap()).collect();
    assert_eq!(written.decode_times(), starts);
    assert_eq!(starts[0], u64::try_from(cadence.segment_start(first).ticks()).unwrap());
    let stream = &probe(&file, "v", "stream=codec_tag_string,width,height,sample_aspect_ratio,time_base")[0];
    assert_eq!(stream.join(" "), "avc1 160 90 1:1 1/90000");
    if rung == RungRate::Full {
        let rate = &probe(&file, "v", "stream=r_frame_rate")[0][0];
        assert_eq!(
            rate.trim_end_matches("/1"),
            own.to_string(),
            "decoding times are even enough to tell the rate"
        );
    }
}

#[test]
fn pictures_at_25_with_a_partial_last_segment() {
    pictures_survive((25, 1), RungRate::Full, SegmentNumber::FIRST, 110);
}

#[test]
fn pictures_at_29_97_after_a_restart() {
    pictures_survive((30_000, 1001), RungRate::Full, SegmentNumber(4711), 90);
}

#[test]
fn pictures_at_59_94_whose_durations_differ() {
    pictures_survive((60_000, 1001), RungRate::Full, SegmentNumber(2), 180);
}

#[test]
fn pictures_of_a_half_rate_rung() {
    pictures_survive((30, 1), RungRate::Half, SegmentNumber(3), 45);
    pictures_survive((60_000, 1001), RungRate::Half, SegmentNumber(3), 90);
}

/// A source of AAC frames, and its `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1) made from the ADTS headers.
fn encode_sound(folder: &Path, rate: u32, channels: u8) -> (TrackSpec, Vec<Bytes>, String) {
    let file = folder.join("source.aac");
    let input =
        format!("aevalsrc={}:s={rate}:d=3", vec!["0.1*random(0)+0.2*sin(880*t)"; channels.into()].join("|"));
    let (hertz, count) = (rate.to_string(), channels.to_string());
    let encode = ["-f", "lavfi", "-i", &input, "-c:a", "aac", "-b:a", "96k", "-ar", &hertz, "-ac", &count];
    tool("ffmpeg", &[&encode[..], &["-f", "adts", "-y", text(&file)]].concat());
    let bytes = Bytes::from(fs::read(&file).unwrap());
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header = &bytes[at..at + 7];
        assert_eq!((header[0], header[1] & 0xf1), (0xff, 0xf1), "ADTS without a checksum at {at}");
        let length =
            usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5] >> 5);
        frames.push(bytes.slice(at + 7..at + length));
        at += length;
    }
    let index = bytes[2] >> 2 & 15;
    let configuration = Bytes::from(vec![2 << 3 | index >> 1, index << 7 | channels << 3]);
    let params = AudioParams {
        configuration,
        object_type: 2,
        sample_rate: rate,
        channels,
        channel_configuration: channels,
        samples_per_frame: 1024,
    };
    (TrackSpec::audio(params).unwrap(), frames, sound_hash(&file))
}

fn package_sound(frames: &[Bytes], cadence: Cadence, rate: u32, first: SegmentNumber) -> Written {
    let mut segmenter = AudioSegmenter::new(AudioGrid::new(cadence, rate, 1024).unwrap(), first);
    let mut written = Written::default();
    for payload in frames {
        written.take(segmenter.push(segmenter.next_frame(), payload.clone()).unwrap());
    }
    written.take(segmenter.finish().unwrap());
    written
}

#[test]
fn sound_of_every_layout_and_rate() {
    let cadence = Cadence::new(FrameRate::PAL, Duration::from_secs(1), Duration::from_millis(250));
    for (rate, channels, layout) in [
        (48_000, 1, "mono"),
        (44_100, 2, "stereo"),
        (48_000, 2, "stereo"),
        (44_100, 1, "mono"),
        (48_000, 6, "5.1"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (spec, frames, hash) = encode_sound(folder.path(), rate, channels);
        let first = SegmentNumber(7);
        let written = package_sound(&frames, cadence, rate, first);
        let file = folder.path().join("packaged.mp4");
        written.save(&spec, &file);
        assert_eq!(sound_hash(&file), hash, "{rate} Hz {layout}");
        let stream =
            probe(&file, "a", "stream=codec_tag_string,sample_rate,channels,channel_layout,time_base");
        assert_eq!(stream[0].join(" "), format!("mp4a {rate} {channels} {layout} 1/{rate}"));
        let begin = AudioGrid::new(cadence, rate, 1024).unwrap().first_frame(first);
        let expected: Vec<_> = (begin..).take(frames.len()).map(|frame| (frame * 1024).to_string()).collect();
        let told: Vec<_> =
            probe(&file, "a", "packet=pts").into_iter().map(|fields| fields[0].clone()).collect();
        assert_eq!(told, expected);
        let starts: Vec<_> =
            written.segments.iter().map(|s| u64::try_from(s.start.ticks()).unwrap()).collect();
        assert_eq!(written.decode_times(), starts);
    }
}

/// Two rungs and sound in a folder, as a finished presentation is served.
#[test]
fn ffmpeg_plays_the_mpd_and_the_playlists() {
    let folder = tempfile::tempdir().unwrap();
    let grid = FrameRate::new(30_000, 1001).unwrap();
    let cadence = Cadence::new(grid, Duration::from_secs(1), Duration::from_millis(250));
    let first = SegmentNumber::FIRST;
    let full = encode(folder.path(), grid, 1, cadence.frames_per_segment(), 90, 0);
    let half = encode(folder.path(), grid.half(), 2, cadence.frames_per_segment() / 2, 45, 0);
    let (sound, frames, _) = encode_sound(folder.path(), 44_100, 2);

    let track = |name: &str, spec: &TrackSpec, written: &Written, kind: WindowTrackKind| {
        written.serve(spec, &folder.path().join("media").join(name));
        WindowTrack {
            name: name.to_owned(),
            codecs: spec.codecs_string().unwrap(),
            peak_bit_rate: 300_000,
            mean_bit_rate: 200_000,
            timescale: spec.timescale,
            kind,
            segments: written.segments.clone(),
            edge: LiveEdge::default(),
        }
    };
    let video = |frame_rate| WindowTrackKind::Video { size: SIZE, frame_rate, captions: true };
    let audio = WindowTrackKind::Audio { sample_rate: 44_100, channels: 2 };
    let window = Window {
        title: "a <hostile> & \"quoted\" title ]]> \u{1}".to_owned(),
        availability_start_unix_millis: 1_795_230_900_250,
        published_unix_millis: 1_795_230_910_250,
        live: false,
        segment_duration: cadence.segment_duration().to_duration(),
        latency: Latency::Standard,
        time_shift: Duration::from_secs(60),
        time_url: "/time".to_owned(),
        origin: media::MediaTime::ZERO,
        media_base: "media/".to_owned(),
        tracks: vec![
            track("full", &full.spec, &package(&full, cadence, RungRate::Full, first), video(grid)),
            track("half", &half.spec, &package(&half, cadence, RungRate::Half, first), video(grid.half())),
            track("audio", &sound, &package_sound(&frames, cadence, 44_100, first), audio),
        ],
    };
    let manifest = folder.path().join("manifest.mpd");
    fs::write(&manifest, dash::mpd(&window).unwrap()).unwrap();
    let master = folder.path().join("master.m3u8");
    fs::write(&master, hls::master(&window).unwrap()).unwrap();
    for (index, track) in window.tracks.iter().enumerate() {
        let place = folder.path().join(&track.name);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("index.m3u8"), hls::media(&window, index).unwrap()).unwrap();
    }

    for index in [&manifest, &master] {
        let count = |stream| {
            let listing = [
                "-xerror",
                "-i",
                text(index),
                "-map",
                stream,
                "-fps_mode",
                "passthrough",
                "-f",
                "framemd5",
                "-",
            ];
            let out = tool("ffmpeg", &listing);
            out.lines().filter(|line| !line.starts_with('#')).count()
        };
        let name = index.file_name().unwrap().to_str().unwrap();
        let mut rungs = [count("0:v:0"), count("0:v:1")];
        rungs.sort_unstable();
        assert_eq!(rungs, [45, 90], "{name}");
        assert_eq!(count("0:a:0"), frames.len(), "{name}");
    }
}
