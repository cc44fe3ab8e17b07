//! Chunks: `styp`, `prft`, `moof` and the head of `mdat`, in front of payloads that are not touched.

use bytes::{BufMut, Bytes};
use media::{MediaTime, Timescale};
use mp4_atom::{Encode, Mfhd, Moof, Prft, ReferenceTime, Styp, Tfdt, Tfhd, Traf, Trun, TrunEntry};

use super::{Chunk, CmafError, TRACK_ID};

/// ISO/IEC 14496-12, 8.8.3.1: `sample_depends_on` = 2, on no other.
const SYNC_SAMPLE: u32 = 0x0200_0000;
/// Likewise: `sample_depends_on` = 1, on others; `sample_is_non_sync_sample`.
const NON_SYNC_SAMPLE: u32 = 0x0101_0000;
/// Size and type of a box.
const BOX_HEADER_BYTES: usize = 8;
/// Seconds from 1900, where NTP counts from, to 1970 (RFC 5905, figure 4).
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// One sample of a chunk, in decoding order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Ticks until the next sample is decoded.
    pub duration: u32,
    /// Ticks from decoding to showing; negative where a picture waits for others that are shown after it.
    pub composition_offset: i32,
    /// Whether decoding can start here.
    pub key: bool,
    /// The coded bytes.
    pub payload: Bytes,
}

/// A chunk to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// `mfhd`; grows from chunk to chunk.
    pub sequence_number: u32,
    /// When the first sample is decoded, in the track's timescale; not negative.
    pub start: MediaTime,
    /// Whether a segment begins here.
    pub begins_segment: bool,
    /// Wall time of presentation time zero, in milliseconds since 1970: writes a `prft`.
    pub zero_unix_millis: Option<u64>,
    /// The samples, at least one.
    pub samples: Vec<Sample>,
}

/// Writes a chunk (ISO/IEC 23000-19, 7.3.2.3).
///
/// # Errors
/// Where there is no sample or a value does not fit its field.
pub fn write_chunk(fragment: Fragment) -> Result<Chunk, CmafError> {
    let Fragment { sequence_number, start, begins_segment, zero_unix_millis, samples } = fragment;
    let independent = samples.first().ok_or(CmafError::Empty { start })?.key;
    let ticks = u64::try_from(start.ticks()).map_err(|_| field("tfdt", "start", start.ticks()))?;
    let payload_bytes: usize = samples.iter().map(|sample| sample.payload.len()).sum();
    let mdat_bytes = u32::try_from(BOX_HEADER_BYTES + payload_bytes)
        .map_err(|_| field("mdat", "size", i128::try_from(payload_bytes).unwrap_or(i128::MAX)))?;

    let mut head = Vec::with_capacity(256 + 16 * samples.len());
    if begins_segment {
        // One fragment is one segment. Not msix, since no sidx stands here; not cmfl, since more chunks follow.
        let compatible_brands = vec![b"msdh".into(), b"cmfs".into(), b"cmff".into()];
        let styp = Styp { major_brand: b"msdh".into(), minor_version: 0, compatible_brands };
        styp.encode(&mut head).map_err(|source| CmafError::Write { container: "styp", source })?;
    }
    if let Some(zero) = zero_unix_millis {
        let prft = Prft {
            reference_track_id: TRACK_ID,
            ntp_timestamp: ntp(zero, start),
            media_time: ticks,
            utc_time_semantics: ReferenceTime::RealTime,
        };
        prft.encode(&mut head).map_err(|source| CmafError::Write { container: "prft", source })?;
    }
    let moof = moof(sequence_number, ticks, &samples)?;
    write_moof(moof, &mut head)?;
    head.put_u32(mdat_bytes);
    head.put_slice(b"mdat");

    let duration: i64 = samples.iter().map(|sample| i64::from(sample.duration)).sum();
    let bytes = u64::try_from(head.len() + payload_bytes).unwrap_or(u64::MAX);
    let mut parts = Vec::with_capacity(1 + samples.len());
    parts.push(Bytes::from(head));
    parts.extend(samples.into_iter().map(|sample| sample.payload));
    Ok(Chunk { parts, start, duration: MediaTime::new(duration, start.scale()), independent, bytes })
}

fn field(container: &'static str, field: &'static str, value: impl Into<i128>) -> CmafError {
    CmafError::Field { container, field, value: value.into() }
}

fn moof(sequence_number: u32, start: u64, samples: &[Sample]) -> Result<Moof, CmafError> {
    // A duration or flags that all samples share stand once, in tfhd; the first sample may have flags of its own
    // (mp4-atom writes them as first_sample_flags where no later sample has any).
    let default_duration = same(samples.iter().map(|sample| sample.duration));
    let default_flags = match samples.iter().skip(1).any(|sample| !sample.key) {
        true => NON_SYNC_SAMPLE,
        false => samples.first().map_or(NON_SYNC_SAMPLE, flags),
    };
    let reordered = samples.iter().any(|sample| sample.composition_offset != 0);
    let entry = |sample: &Sample| -> Result<TrunEntry, CmafError> {
        let size = u32::try_from(sample.payload.len()).map_err(|_| {
            field("trun", "sample size", i128::try_from(sample.payload.len()).unwrap_or(i128::MAX))
        })?;
        Ok(TrunEntry {
            duration: default_duration.is_none().then_some(sample.duration),
            size: Some(size),
            flags: (flags(sample) != default_flags).then_some(flags(sample)),
            cts: reordered.then(|| sample.composition_offset.into()),
        })
    };
    let mut entries = samples.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    if entries.iter().skip(1).any(|entry| entry.flags.is_some()) {
        // Where one has to be spelled out, all have to: mp4-atom would write the others as zero.
        for (entry, sample) in entries.iter_mut().zip(samples) {
            entry.flags = Some(flags(sample));
        }
    }
    Ok(Moof {
        mfhd: Mfhd { sequence_number },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: TRACK_ID,
                default_sample_duration: default_duration,
                default_sample_flags: Some(default_flags),
                default_base_is_moof: true,
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt { base_media_decode_time: start }),
            trun: vec![Trun { data_offset: Some(0), samples: entries.into() }],
            ..Traf::default()
        }],
    })
}

/// Writes the moof twice, the second time with the offset of the first sample, which is known from its length.
fn write_moof(mut moof: Moof, out: &mut Vec<u8>) -> Result<(), CmafError> {
    let write = |moof: &Moof, out: &mut Vec<u8>| {
        moof.encode(out).map_err(|source| CmafError::Write { container: "moof", source })
    };
    let before = out.len();
    write(&moof, out)?;
    let offset = out.len() - before + BOX_HEADER_BYTES;
    out.truncate(before);
    let offset = i32::try_from(offset)
        .map_err(|_| field("trun", "data offset", i128::try_from(offset).unwrap_or(i128::MAX)))?;
    for trun in moof.traf.iter_mut().flat_map(|traf| &mut traf.trun) {
        trun.data_offset = Some(offset);
    }
    write(&moof, out)
}

const fn flags(sample: &Sample) -> u32 {
    if sample.key { SYNC_SAMPLE } else { NON_SYNC_SAMPLE }
}

fn same(mut values: impl Iterator<Item = u32>) -> Option<u32> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// The wall time of `time` as an NTP time stamp: seconds since 1900 and a 32-bit fraction, in its era (RFC 5905, 6).
fn ntp(zero_unix_millis: u64, time: MediaTime) -> u64 {
    let millis = u64::try_from(time.ticks_at(Timescale::MILLIS)).unwrap_or(0);
    let unix_millis = zero_unix_millis.saturating_add(millis);
    let seconds = (unix_millis / 1000 + NTP_TO_UNIX_SECONDS) & u64::from(u32::MAX);
    let fraction = ((unix_millis % 1000) << 32) / 1000;
    seconds << 32 | fraction
}
