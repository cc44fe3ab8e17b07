//! `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).

use super::ParamsError;
use super::bits::BitReader;

const RECORD: &str = "AudioSpecificConfig";
/// Table 1.18; indexes 13 and 14 are reserved, 15 escapes to 24 bits.
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// `syncExtensionType` before backward-compatible SBR, and before parametric stereo behind it (table 1.15).
const SYNC_SBR: u32 = 0x2b7;
const SYNC_PS: u32 = 0x548;
/// Audio object types (table 1.17).
const AAC_LC: u32 = 2;
const SBR: u32 = 5;
const PS: u32 = 29;
/// [`AAC_LC`] as parameters have it.
pub(super) const OBJECT_TYPE_AAC_LC: u8 = 2;
/// The bounds of escaped sample rates: the ends of table 1.18.
const SAMPLE_RATE_BOUNDS: std::ops::RangeInclusive<u32> = 7_350..=96_000;

/// What the record says, before it is put into [`super::AudioParams`].
pub(super) struct Fields {
    pub(super) object_type: u8,
    pub(super) sample_rate: u32,
    pub(super) channels: u8,
    pub(super) channel_configuration: u8,
    pub(super) samples_per_frame: u32,
}

pub(super) fn parse(data: &[u8]) -> Result<Fields, ParamsError> {
    let r = &mut BitReader::new(RECORD, data);
    let mut core = audio_object_type(r)?;
    let sample_rate = sampling_frequency(r, "samplingFrequencyIndex")?;
    let channel_configuration = r.byte(4, "channelConfiguration")?;
    let (mut sbr, mut ps) = (core == SBR || core == PS, core == PS);
    let explicit = sbr;
    if explicit {
        sampling_frequency(r, "extensionSamplingFrequencyIndex")?;
        core = audio_object_type(r)?;
    }
    if core != AAC_LC {
        return Err(ParamsError::Unsupported {
            record: RECORD,
            field: "audioObjectType",
            value: u64::from(core),
            supported: "2 (AAC-LC), with or without SBR (5) and PS (29)",
        });
    }
    // GASpecificConfig (4.4.1).
    let samples_per_frame = if r.flag("frameLengthFlag")? { 960 } else { 1024 };
    if r.flag("dependsOnCoreCoder")? {
        r.skip(14, "coreCoderDelay")?;
    }
    let extension = r.flag("extensionFlag")?;
    let channels = match channel_configuration {
        0 => program_config_element(r)?,
        // Table 1.19.
        n @ 1..=6 => n,
        7 | 12 | 14 => 8,
        11 => 7,
        n => {
            return Err(ParamsError::Unsupported {
                record: RECORD,
                field: "channelConfiguration",
                value: u64::from(n),
                supported: "0 to 7, 11, 12 and 14",
            });
        }
    };
    if extension {
        r.flag("extensionFlag3")?;
    }
    if !explicit && r.remaining_bits() >= 16 {
        // What follows is an offer to newer decoders; where it breaks off, older ones play on.
        (sbr, ps) = backward_compatible(r).unwrap_or((false, false));
    }
    Ok(Fields {
        object_type: match (sbr, ps) {
            (_, true) => 29,
            (true, false) => 5,
            (false, false) => OBJECT_TYPE_AAC_LC,
        },
        sample_rate,
        channels: if ps && channels == 1 { 2 } else { channels },
        channel_configuration,
        samples_per_frame,
    })
}

fn audio_object_type(r: &mut BitReader<'_>) -> Result<u32, ParamsError> {
    Ok(match r.bits(5, "audioObjectType")? {
        31 => 32 + r.bits(6, "audioObjectTypeExt")?,
        value => value,
    })
}

fn sampling_frequency(r: &mut BitReader<'_>, field: &'static str) -> Result<u32, ParamsError> {
    let index = r.bits(4, field)?;
    if index == 15 {
        let rate = r.bits(24, "samplingFrequency")?;
        return match SAMPLE_RATE_BOUNDS.contains(&rate) {
            true => Ok(rate),
            false => Err(r.value("samplingFrequency", u64::from(rate), "7350 to 96000")),
        };
    }
    let rate = usize::try_from(index).ok().and_then(|index| SAMPLE_RATES.get(index));
    rate.copied().ok_or_else(|| r.value(field, u64::from(index), "0 to 12, or 15"))
}

/// 4.4.1.1: the channels it lists, coupling channels apart.
fn program_config_element(r: &mut BitReader<'_>) -> Result<u8, ParamsError> {
    r.skip(10, "element_instance_tag")?;
    let front = r.byte(4, "num_front_channel_elements")?;
    let side = r.byte(4, "num_side_channel_elements")?;
    let back = r.byte(4, "num_back_channel_elements")?;
    let lfe = r.byte(2, "num_lfe_channel_elements")?;
    let assoc_data = r.byte(3, "num_assoc_data_elements")?;
    let coupling = r.byte(4, "num_valid_cc_elements")?;
    for (flag, bits) in
        [("mono_mixdown_present", 4), ("stereo_mixdown_present", 4), ("matrix_mixdown_idx_present", 3)]
    {
        if r.flag(flag)? {
            r.skip(bits, flag)?;
        }
    }
    let mut channels = lfe;
    for _ in 0..front + side + back {
        channels += if r.flag("element_is_cpe")? { 2 } else { 1 };
        r.skip(4, "element_tag_select")?;
    }
    r.skip(4 * usize::from(lfe), "lfe_element_tag_select")?;
    r.skip(4 * usize::from(assoc_data), "assoc_data_element_tag_select")?;
    r.skip(5 * usize::from(coupling), "valid_cc_element_tag_select")?;
    r.align();
    let comment = usize::from(r.byte(8, "comment_field_bytes")?);
    r.skip(8 * comment, "comment_field_data")?;
    match channels {
        0 => Err(r.value("num_front_channel_elements", 0, "at least one channel")),
        n => Ok(n),
    }
}

/// The tail of 1.6.2.1: whether SBR is there, and PS.
fn backward_compatible(r: &mut BitReader<'_>) -> Result<(bool, bool), ParamsError> {
    if r.bits(11, "syncExtensionType")? != SYNC_SBR || audio_object_type(r)? != SBR {
        return Ok((false, false));
    }
    if !r.flag("sbrPresentFlag")? {
        return Ok((false, false));
    }
    sampling_frequency(r, "extensionSamplingFrequencyIndex")?;
    let ps =
        r.remaining_bits() >= 12 && r.bits(11, "syncExtensionType")? == SYNC_PS && r.flag("psPresentFlag")?;
    Ok((true, ps))
}
