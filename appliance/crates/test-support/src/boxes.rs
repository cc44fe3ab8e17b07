//! ISO base media files (ISO/IEC 14496-12), read by other code than writes them: only as far as the tests look.

use std::collections::BTreeMap;

/// Of an initialisation segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// `mdhd` timescale: ticks per second.
    pub timescale: u32,
    /// `trex` default sample duration, in ticks.
    pub default_duration: u32,
    /// `trex` default sample flags.
    pub default_flags: u32,
    /// `ftyp` brands, the major one first.
    pub brands: Vec<String>,
    /// The coding of its one sample entry: `avc1`, `mp4a`.
    pub coding: String,
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it is decoded, in ticks.
    pub dts: u64,
    /// When it is shown, in ticks.
    pub pts: i64,
    /// Its length, in ticks.
    pub duration: u32,
    /// Whether its flags say that decoding can start here.
    pub sync: bool,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// One `moof` with its `mdat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// `mfhd` sequence number.
    pub sequence: u32,
    /// `tfdt`, in ticks.
    pub base_decode_time: u64,
    /// Its samples, in decoding order.
    pub samples: Vec<Sample>,
}

/// A media segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Types of the boxes at its top level, in order.
    pub top_level: Vec<String>,
    /// Its chunks.
    pub chunks: Vec<Chunk>,
}

impl Segment {
    /// All samples, in decoding order.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> + Clone {
        self.chunks.iter().flat_map(|chunk| &chunk.samples)
    }

    /// The first chunk's `tfdt`, in ticks.
    ///
    /// # Panics
    /// Where it has no chunk.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.chunks.first().expect("a segment has a chunk").base_decode_time
    }

    /// When the last sample ends, in ticks of decoding time.
    ///
    /// # Panics
    /// Where it has no sample.
    #[must_use]
    pub fn end(&self) -> u64 {
        let last = self.samples().last().expect("a segment has a sample");
        last.dts + u64::from(last.duration)
    }
}

/// Big-endian reading, each step bounded.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(count <= self.0.len(), "{count} bytes wanted, {} left", self.0.len());
        let (head, rest) = self.0.split_at(count);
        self.0 = rest;
        head
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    fn four_cc(&mut self) -> String {
        String::from_utf8_lossy(self.take(4)).into_owned()
    }

    /// `FullBox` version and flags.
    fn full(&mut self) -> (u8, u32) {
        let word = self.u32();
        (word.to_be_bytes()[0], word & 0x00ff_ffff)
    }
}

/// The boxes in `bytes`: type, offset of the box, body.
fn boxes(bytes: &[u8]) -> Vec<(String, usize, Bytes<'_>)> {
    let mut found = Vec::new();
    let mut left = Bytes(bytes);
    while !left.0.is_empty() {
        let offset = bytes.len() - left.0.len();
        let size = left.u32();
        let kind = left.four_cc();
        let body = match size {
            0 => left.0.len(),
            1 => usize::try_from(left.u64()).unwrap() - 16,
            size => usize::try_from(size).unwrap().checked_sub(8).expect("a box is at least its header"),
        };
        assert!(body <= left.0.len(), "box {kind} at {offset} is {body} bytes, {} are left", left.0.len());
        found.push((kind, offset, Bytes(left.take(body))));
    }
    found
}

/// The body of the box at a path.
fn find<'a>(bytes: &'a [u8], path: &[&str]) -> Option<Bytes<'a>> {
    let (first, rest) = path.split_first()?;
    let (_, _, body) = boxes(bytes).into_iter().find(|(kind, _, _)| kind == first)?;
    if rest.is_empty() { Some(body) } else { find(body.0, rest) }
}

/// Reads an initialisation segment of one track.
///
/// # Panics
/// Where it is not one.
#[must_use]
pub fn init(bytes: &[u8]) -> Init {
    let mut ftyp = find(bytes, &["ftyp"]).expect("an init segment has ftyp");
    let mut brands = vec![ftyp.four_cc()];
    ftyp.take(4);
    while !ftyp.0.is_empty() {
        brands.push(ftyp.four_cc());
    }
    let mut mdhd = find(bytes, &["moov", "trak", "mdia", "mdhd"]).expect("an init segment has mdhd");
    let (version, _) = mdhd.full();
    mdhd.take(if version == 1 { 16 } else { 8 });
    let timescale = mdhd.u32();
    let mut trex = find(bytes, &["moov", "mvex", "trex"]).expect("an init segment has trex");
    trex.full();
    trex.take(8);
    let default_duration = trex.u32();
    trex.u32();
    let default_flags = trex.u32();
    let mut stsd =
        find(bytes, &["moov", "trak", "mdia", "minf", "stbl", "stsd"]).expect("an init segment has stsd");
    stsd.full();
    assert_eq!(stsd.u32(), 1, "one sample entry");
    stsd.u32();
    Init { timescale, default_duration, default_flags, brands, coding: stsd.four_cc() }
}

/// Reads a media segment of the track that `init` describes.
///
/// # Panics
/// Where it is not one.
#[must_use]
pub fn segment(init: &Init, bytes: &[u8]) -> Segment {
    let mut chunks = Vec::new();
    let mut top_level = Vec::new();
    for (kind, offset, body) in boxes(bytes) {
        if kind == "moof" {
            chunks.push(chunk(init, bytes, offset, body));
        }
        top_level.push(kind);
    }
    assert!(!chunks.is_empty(), "a segment of {} bytes has no moof: {top_level:?}", bytes.len());
    Segment { top_level, chunks }
}

fn chunk(init: &Init, file: &[u8], moof_offset: usize, moof: Bytes<'_>) -> Chunk {
    let mut mfhd = find(moof.0, &["mfhd"]).expect("a moof has mfhd");
    mfhd.full();
    let sequence = mfhd.u32();
    let traf: BTreeMap<_, _> = {
        let traf = find(moof.0, &["traf"]).expect("a moof has traf");
        boxes(traf.0).into_iter().map(|(kind, _, body)| (kind, body)).collect()
    };
    let mut tfhd = *traf.get("tfhd").expect("a traf has tfhd");
    let (_, flags) = tfhd.full();
    // CMAF (ISO/IEC 23000-19, 7.5.16) wants default-base-is-moof.
    assert_eq!(
        flags & 0x02_0001,
        0x02_0000,
        "tfhd flags {flags:#x}: default-base-is-moof, no base-data-offset"
    );
    tfhd.u32();
    let mut optional = |bit: u32| (flags & bit != 0).then(|| tfhd.u32());
    optional(0x2);
    let default_duration = optional(0x8).unwrap_or(init.default_duration);
    let default_size = optional(0x10).unwrap_or(0);
    let default_flags = optional(0x20).unwrap_or(init.default_flags);

    let mut tfdt = *traf.get("tfdt").expect("a traf has tfdt");
    let (version, _) = tfdt.full();
    let base_decode_time = if version == 1 { tfdt.u64() } else { u64::from(tfdt.u32()) };

    let mut trun = *traf.get("trun").expect("a traf has trun");
    let (version, flags) = trun.full();
    let count = trun.u32();
    assert_ne!(flags & 0x1, 0, "trun has a data offset");
    let mut position = moof_offset + usize::try_from(trun.u32()).unwrap();
    let first_flags = (flags & 0x4 != 0).then(|| trun.u32());
    let mut dts = base_decode_time;
    let mut samples = Vec::new();
    for index in 0..count {
        let mut optional = |bit: u32| (flags & bit != 0).then(|| trun.u32());
        let duration = optional(0x100).unwrap_or(default_duration);
        let size = usize::try_from(optional(0x200).unwrap_or(default_size)).unwrap();
        let own_flags = optional(0x400);
        let offset = optional(0x800).unwrap_or(0);
        let offset = if version == 0 {
            i64::from(offset)
        } else {
            i64::from(i32::from_be_bytes(offset.to_be_bytes()))
        };
        let flags = own_flags.or(first_flags.filter(|_| index == 0)).unwrap_or(default_flags);
        let data = file.get(position..position + size).expect("a sample lies in its segment").to_vec();
        position += size;
        // sample_is_non_sync_sample (8.8.3.1).
        let sync = flags & 0x1_0000 == 0;
        samples.push(Sample { dts, pts: i64::try_from(dts).unwrap() + offset, duration, sync, data });
        dts += u64::from(duration);
    }
    Chunk { sequence, base_decode_time, samples }
}

/// Types of the NAL units in an H.264 sample with four-byte lengths (ISO/IEC 14496-15, 5.3.2).
///
/// # Panics
/// Where the lengths do not add up.
#[must_use]
pub fn h264_nal_types(sample: &[u8]) -> Vec<u8> {
    let mut left = Bytes(sample);
    let mut types = Vec::new();
    while !left.0.is_empty() {
        let length = usize::try_from(left.u32()).unwrap();
        let unit = left.take(length);
        types.push(unit.first().expect("a NAL unit has a header") & 0x1f);
    }
    types
}
