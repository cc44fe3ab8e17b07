//! Ladders and their rungs, as the file has them, with the defaults of what it leaves out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use media::ladder::RungRate;
use media::{Ladder, Rung, Size};

use super::quantity::{bit_rate, boolean, duration, size, string, word};
use super::tree::{Broken, Section, Value};

/// The name of the ladder that feeds have which name none.
pub(super) const DEFAULT_LADDER: &str = "default";

/// Most rungs of a ladder: what a worker's `Job` is sized for.
pub(super) const MAX_RUNGS: usize = 16;
/// Longest rung name; it stands in URLs.
const MAX_RUNG_NAME: usize = 32;
/// The track of sound has this name in URLs.
const AUDIO_TRACK: &str = "audio";
/// From a picture that still has something on it to the largest of H.264 level 6.2 (ITU-T H.264, table A-1).
const WIDTHS: RangeInclusive<u32> = 32..=8192;
/// Likewise.
const HEIGHTS: RangeInclusive<u32> = 32..=4320;
/// From a thumbnail to contribution quality in 2160p.
const BIT_RATES: RangeInclusive<u64> = 20_000..=100_000_000;
/// Up to twice the highest mean.
const MAX_MAX_BIT_RATE: u64 = 200_000_000;
/// Under 200 ms a key frame does not fit; over 10 s the cap means nothing to a player's buffer.
const BUFFERS: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);
/// Three quarters of a 2 s segment: a segment can then never be much over its share, and key frames keep their quality.
const DEFAULT_BUFFER: Duration = Duration::from_millis(1500);

/// `x264_preset_names` of x264.h.
const PRESETS: &[&str] = &[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];
/// `x264_tune_names` of x264.h.
const TUNES: &[&str] =
    &["film", "animation", "grain", "stillimage", "psnr", "ssim", "fastdecode", "zerolatency"];
/// Of `x264_profile_names` those for 8-bit 4:2:0, which is all that rungs are.
const PROFILES: &[&str] = &["baseline", "main", "high"];
const DEFAULT_PRESET: &str = "veryfast";
const DEFAULT_PROFILE: &str = "high";

/// How the encoder of a rung is set where the rung itself does not say.
#[derive(Debug, Clone)]
struct EncoderDefaults {
    preset: String,
    tune: Option<String>,
    profile: String,
}

impl Default for EncoderDefaults {
    fn default() -> Self {
        Self { preset: DEFAULT_PRESET.to_owned(), tune: None, profile: DEFAULT_PROFILE.to_owned() }
    }
}

/// The ladder of feeds that name none, where the file defines no `[ladder.default]`: the usual sizes of a 16:9 ladder
/// with the bit rates that Apple's HLS authoring specification (appendix) gives for H.264, rounded.
fn built_in() -> Ladder {
    let defaults = EncoderDefaults::default();
    let rung = |name: &str, width, height, bit_rate| {
        rung_of(
            name.to_owned(),
            Size { width, height },
            bit_rate,
            mean_to_max(bit_rate),
            DEFAULT_BUFFER,
            &defaults,
        )
    };
    let rungs = vec![
        rung("1080p", 1920, 1080, 5_000_000),
        rung("720p", 1280, 720, 2_800_000),
        rung("480p", 854, 480, 1_200_000),
        rung("360p", 640, 360, 700_000),
    ];
    Ladder { rungs }
}

/// The ladders of the file by name. A faulty one is there as `None`, so that naming it is no second fault.
pub(super) fn read_all(top: &mut Section<'_>) -> BTreeMap<String, Option<Ladder>> {
    let mut ladders = BTreeMap::from([(DEFAULT_LADDER.to_owned(), Some(built_in()))]);
    for (name, mut section) in top.named("ladder") {
        if let Err(rule) = check_name(&name, MAX_RUNG_NAME) {
            section.fault_whole(format!("the name {rule}"));
        }
        let fallback = encoder(&mut section, &EncoderDefaults::default());
        if !section.has("rungs") {
            section.fault("rungs", format!("missing: a list of 1 to {MAX_RUNGS} rungs"));
        }
        let ladder = rungs(&mut section, "rungs", &fallback);
        section.finish();
        ladders.insert(name, ladder);
    }
    ladders
}

/// The ladder of a feed: by name, or written out in the feed itself.
pub(super) fn of_feed(feed: &mut Section<'_>, ladders: &BTreeMap<String, Option<Ladder>>) -> Option<Ladder> {
    if feed.is_list("ladder") {
        return rungs(feed, "ladder", &EncoderDefaults::default());
    }
    let named = |value: &Value| {
        let name = string(value, "the name of a ladder, or a list of rungs,")?;
        let known = || ladders.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        ladders
            .get(name)
            .ok_or_else(|| Broken::from(format!("is no ladder of this configuration, which has {}", known())))
    };
    match feed.has("ladder") {
        true => feed.get("ladder", named)?.clone(),
        false => {
            // Asked for all the same, so that the key counts as known.
            let _absent = feed.get("ladder", named);
            ladders.get(DEFAULT_LADDER)?.clone()
        }
    }
}

/// A name that stands in URLs: `a-z 0-9 - _`, beginning with a letter or digit.
pub(super) fn check_name(name: &str, longest: usize) -> Result<(), String> {
    let charset = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    match charset && !name.starts_with(['-', '_']) && (1..=longest).contains(&name.len()) {
        true => Ok(()),
        false => Err(format!("must be 1 to {longest} of a-z 0-9 - _, beginning with a letter or digit")),
    }
}

fn rungs(section: &mut Section<'_>, key: &'static str, fallback: &EncoderDefaults) -> Option<Ladder> {
    let tables = section.tables(key, 1..=MAX_RUNGS, "rungs")?;
    let count = tables.len();
    let mut names = BTreeSet::new();
    let rungs: Vec<Rung> = tables.into_iter().filter_map(|table| rung(table, fallback, &mut names)).collect();
    (rungs.len() == count).then_some(Ladder { rungs })
}

fn rung(mut section: Section<'_>, fallback: &EncoderDefaults, names: &mut BTreeSet<String>) -> Option<Rung> {
    if !section.is_table() {
        return None;
    }
    let name = section.require("name", "a name for the rung, such as \"720p\"", |value| {
        let name = string(value, "a name")?;
        check_name(name, MAX_RUNG_NAME)?;
        match name {
            AUDIO_TRACK => Err("is the name of the sound track".into()),
            name if !names.insert(name.to_owned()) => {
                Err("is the name of another rung of this ladder".into())
            }
            name => Ok(name.to_owned()),
        }
    });
    let size = section.require("size", "the largest size, such as \"1280x720\"", size(WIDTHS, HEIGHTS));
    let rate = section.get("frame_rate", word(&["full", "half"]));
    let mean = section.require("bit_rate", "the mean bit rate, such as \"3M\"", bit_rate(BIT_RATES));
    let least_max = mean.unwrap_or(*BIT_RATES.start());
    let max = section.get("max_bit_rate", bit_rate(least_max..=MAX_MAX_BIT_RATE));
    let buffer = section.get("buffer", duration(BUFFERS)).unwrap_or(DEFAULT_BUFFER);
    let encoder = encoder(&mut section, fallback);
    let upscale = section.get("upscale", boolean).unwrap_or(false);
    let sound = section.sound(&[
        "name",
        "size",
        "frame_rate",
        "bit_rate",
        "max_bit_rate",
        "buffer",
        "preset",
        "tune",
        "profile",
        "upscale",
    ]);
    section.finish();
    let mean = u32::try_from(mean?).ok()?;
    let max = max.map_or_else(|| Some(mean_to_max(mean)), |max| u32::try_from(max).ok())?;
    let rung = rung_of(name?, size?, mean, max, buffer, &encoder);
    let rate = if rate.as_deref() == Some("half") { RungRate::Half } else { RungRate::Full };
    sound.then_some(Rung { rate, upscale, ..rung })
}

fn encoder(section: &mut Section<'_>, fallback: &EncoderDefaults) -> EncoderDefaults {
    EncoderDefaults {
        preset: section.get("preset", word(PRESETS)).unwrap_or_else(|| fallback.preset.clone()),
        tune: match section.get("tune", tune) {
            Some(tune) => tune,
            None => fallback.tune.clone(),
        },
        profile: section.get("profile", word(PROFILES)).unwrap_or_else(|| fallback.profile.clone()),
    }
}

fn tune(value: &Value) -> Result<Option<String>, Broken> {
    match string(value, "a word")? {
        "none" => Ok(None),
        _ => word(TUNES)(value).map(Some),
    }
}

fn rung_of(
    name: String,
    size: Size,
    bit_rate: u32,
    max_bit_rate: u32,
    buffer: Duration,
    encoder: &EncoderDefaults,
) -> Rung {
    let buffer_bits = u128::from(max_bit_rate) * buffer.as_millis() / 1000;
    Rung {
        name,
        size,
        rate: RungRate::Full,
        bit_rate,
        max_bit_rate,
        buffer_bits: u32::try_from(buffer_bits).unwrap_or(u32::MAX),
        preset: encoder.preset.clone(),
        tune: encoder.tune.clone(),
        profile: encoder.profile.clone(),
        upscale: false,
    }
}

/// 1.2 times the mean: within the 1.25 that Apple's HLS authoring specification (1.28) allows a live stream's peak
/// over the declared rate, and close enough to constant that a network which carries the mean carries the peak.
fn mean_to_max(bit_rate: u32) -> u32 {
    bit_rate.saturating_add(bit_rate / 5)
}
