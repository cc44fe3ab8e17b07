//! Annex B streams to samples with lengths, and back to what ffmpeg reads.

use vaapi::Codec;

/// Access units of a stream, each a list of NAL units; they begin with access unit delimiters.
pub(crate) fn units(stream: &[u8], codec: Codec) -> Vec<Vec<Vec<u8>>> {
    let mut units: Vec<Vec<Vec<u8>>> = Vec::new();
    for nal in nals(stream) {
        let delimiter = match codec {
            Codec::H264 => nal.first().is_some_and(|byte| byte & 0x1f == 9),
            Codec::Hevc => nal.first().is_some_and(|byte| byte >> 1 & 0x3f == 35),
        };
        if delimiter || units.is_empty() {
            units.push(Vec::new());
        }
        units.last_mut().expect("not empty").push(nal.to_vec());
    }
    units
}

/// NAL units between start codes.
pub(crate) fn nals(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(found) = stream.get(at..).and_then(|rest| rest.windows(3).position(|w| w == [0, 0, 1])) {
        starts.push(at + found + 3);
        at += found + 3;
    }
    let ends = starts.iter().skip(1).map(|start| start - 3).chain([stream.len()]);
    let trimmed = |nal: &'_ [u8]| nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    starts.iter().zip(ends).map(|(start, end)| &stream[*start..end]).map(|nal| &nal[..trimmed(nal)]).collect()
}

/// A sample with 4-byte lengths.
pub(crate) fn sample(unit: &[Vec<u8>]) -> Vec<u8> {
    let length = |nal: &Vec<u8>| u32::try_from(nal.len()).expect("short").to_be_bytes();
    unit.iter().flat_map(|nal| [length(nal).to_vec(), nal.clone()].concat()).collect()
}

/// A configuration record of the stream's first parameter sets.
pub(crate) fn record(units: &[Vec<Vec<u8>>], codec: Codec) -> Vec<u8> {
    let find = |kind: u8| -> Vec<u8> {
        let of_kind = |nal: &&Vec<u8>| match codec {
            Codec::H264 => nal[0] & 0x1f == kind,
            Codec::Hevc => nal[0] >> 1 & 0x3f == kind,
        };
        units.iter().flatten().find(of_kind).unwrap_or_else(|| panic!("no NAL unit of type {kind}")).clone()
    };
    let length = |nal: &[u8]| u16::try_from(nal.len()).expect("short").to_be_bytes().to_vec();
    match codec {
        Codec::H264 => {
            let (sps, pps) = (find(7), find(8));
            let head = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1];
            [head, length(&sps), sps, vec![1], length(&pps), pps].concat()
        }
        Codec::Hevc => {
            let mut record = vec![1];
            record.resize(21, 0);
            record.extend([0xff, 3]);
            for kind in [32, 33, 34] {
                let nal = find(kind);
                record.extend([kind, 0, 1]);
                record.extend(length(&nal));
                record.extend(nal);
            }
            record
        }
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

/// NAL units of a sample with 4-byte lengths.
pub(crate) fn split(mut sample: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let Some((length, rest)) = sample.split_first_chunk::<4>() {
        let (unit, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).expect("fits"));
        units.push(unit);
        sample = rest;
    }
    units
}

/// The parameter sets of a configuration record.
pub(crate) fn sets(record: &[u8], codec: Codec) -> Vec<Vec<u8>> {
    let mut at = if codec == Codec::H264 { 5 } else { 23 };
    let take = |at: &mut usize| {
        let length = usize::from(u16::from_be_bytes([record[*at], record[*at + 1]]));
        *at += 2 + length;
        record[*at - length..*at].to_vec()
    };
    let mut sets = Vec::new();
    match codec {
        Codec::H264 => {
            for mask in [0x1f, 0xff] {
                let count = record[at] & mask;
                at += 1;
                sets.extend((0..count).map(|_| take(&mut at)));
            }
        }
        Codec::Hevc => {
            for _ in 0..record[22] {
                let count = u16::from_be_bytes([record[at + 1], record[at + 2]]);
                at += 3;
                sets.extend((0..count).map(|_| take(&mut at)));
            }
        }
    }
    sets
}
