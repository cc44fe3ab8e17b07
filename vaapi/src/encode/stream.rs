//! What drivers put out: NAL units behind start codes, with parameter sets and without, to what is passed on.

use crate::device::Codec;

/// What is in a coded picture.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The NAL units to be passed on, with 4-byte lengths.
    pub(super) data: Vec<u8>,
    /// Parameter sets, in order.
    pub(super) sets: Vec<Vec<u8>>,
    /// Whether it is an IDR picture.
    pub(super) key: bool,
    /// Whether there is any slice.
    pub(super) slices: bool,
}

/// What becomes of a NAL unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Slice,
    Key,
    Set,
    /// Supplemental information.
    Kept,
    /// Delimiters, ends and filler, which samples of ISO/IEC 14496-15 do without.
    Dropped,
}

/// ITU-T H.264, table 7-1, and H.265, table 7-1.
fn kind(codec: Codec, unit: &[u8]) -> Kind {
    let header = unit.first().copied().unwrap_or(0);
    match codec {
        Codec::H264 => match header & 0x1f {
            1 => Kind::Slice,
            5 => Kind::Key,
            7 | 8 => Kind::Set,
            9..=12 => Kind::Dropped,
            _ => Kind::Kept,
        },
        Codec::Hevc => match header >> 1 & 0x3f {
            19 | 20 => Kind::Key,
            0..=31 => Kind::Slice,
            32..=34 => Kind::Set,
            35..=38 => Kind::Dropped,
            _ => Kind::Kept,
        },
    }
}

/// Takes a coded picture apart.
pub(super) fn parse(codec: Codec, coded: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    for unit in units(coded) {
        let kind = kind(codec, unit);
        parsed.key |= kind == Kind::Key;
        parsed.slices |= matches!(kind, Kind::Slice | Kind::Key);
        match kind {
            Kind::Set => parsed.sets.push(unit.to_vec()),
            Kind::Dropped => {}
            Kind::Slice | Kind::Key | Kind::Kept => {
                let length = u32::try_from(unit.len()).unwrap_or(u32::MAX);
                parsed.data.extend_from_slice(&length.to_be_bytes());
                parsed.data.extend_from_slice(unit);
            }
        }
    }
    parsed
}

/// NAL units between start codes, without the zeros that may stand behind them (ITU-T H.264, annex B).
fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(data).map(|(_, behind)| behind);
    std::iter::from_fn(move || {
        let data = rest?;
        let (unit, behind) = match start_code(data) {
            Some((unit, behind)) => (unit, Some(behind)),
            None => (data, None),
        };
        rest = behind;
        let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(unit.get(..end).unwrap_or_default())
    })
    .filter(|unit| !unit.is_empty())
}

/// What stands before the next start code, and what behind it.
fn start_code(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        // The one at its end is rarer than the zeros at its beginning.
        let one = from + data.get(from..)?.iter().position(|byte| *byte == 1)?;
        let before = data.get(..one)?;
        if let [unit @ .., 0, 0] = before {
            return Some((unit, data.get(one + 1..)?));
        }
        from = one + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_go_apart_and_delimiters_go() {
        let coded = [
            &[0, 0, 0, 1, 9, 0xf0][..],
            &[0, 0, 0, 1, 0x67, 100, 0],
            &[0, 0, 1, 0x68, 1],
            &[0, 0, 1, 6, 5, 1, 0x80],
            &[0, 0, 1, 0x65, 0, 0, 3, 1, 7],
            &[0, 0, 1, 12, 0xff, 0xff, 0x80],
        ]
        .concat();
        let parsed = parse(Codec::H264, &coded);
        assert_eq!(parsed.sets, [vec![0x67, 100], vec![0x68, 1]]);
        assert_eq!(parsed.data, [0, 0, 0, 4, 6, 5, 1, 0x80, 0, 0, 0, 6, 0x65, 0, 0, 3, 1, 7]);
        assert!(parsed.key && parsed.slices);
        assert_eq!(parse(Codec::H264, &[1, 2, 3]), Parsed::default());
        assert!(!parse(Codec::Hevc, &[0, 0, 1, 2, 1, 9]).key);
    }
}
