//! Init segments: `ftyp` and `moov`.

use bytes::Bytes;
use media::{AudioParams, Size, VideoCodec};
use mp4_atom::{
    Atom, Audio, Av01, Av1c, Avc1, Avcc, Codec, Dinf, Dref, Encode, Ftyp, Hdlr, Hvc1, Hvcc, Mdhd, Mdia, Minf,
    Moov, Mp4a, Mvex, Mvhd, Pasp, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds},
};

use super::{CmafError, TRACK_ID};
use crate::track::{TrackMedia, TrackSpec};

/// The init segment of a track (ISO/IEC 23000-19, 7.3.1): what a player needs before the first chunk.
///
/// # Errors
/// Where the configuration record is malformed or a value does not fit its field.
pub fn init_segment(track: &TrackSpec) -> Result<Bytes, CmafError> {
    let mut out = Vec::with_capacity(1024);
    let ftyp = Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        // cmf2 promises what the segmenters keep: no edit list, signed composition offsets, and no defaults in `trex`
        // (23000-19, 7.2 and 7.7). Media profile brands promise more than is known here, so none is given.
        compatible_brands: vec![b"iso6".into(), b"cmfc".into(), b"cmf2".into()],
    };
    ftyp.encode(&mut out).map_err(|source| CmafError::Write { container: "ftyp", source })?;
    moov(track)?.encode(&mut out).map_err(|source| CmafError::Write { container: "moov", source })?;
    Ok(out.into())
}

fn moov(track: &TrackSpec) -> Result<Moov, CmafError> {
    let timescale = track.timescale.get();
    let (codec, tkhd, handler, vmhd, smhd) = match &track.media {
        TrackMedia::Video { codec, configuration, size, .. } => {
            let (width, height) = entry_size(*size)?;
            let tkhd = Tkhd { width: width.into(), height: height.into(), ..Tkhd::default() };
            (sample_entry(*codec, configuration, width, height)?, tkhd, *b"vide", Some(Vmhd::default()), None)
        }
        TrackMedia::Audio(params) => {
            let tkhd = Tkhd { volume: 1.into(), alternate_group: 1, ..Tkhd::default() };
            (audio_entry(params)?, tkhd, *b"soun", None, Some(Smhd::default()))
        }
    };
    let stbl = Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() };
    let dinf = Dinf { dref: Dref { entries: vec![Url::default().into()] } };
    Ok(Moov {
        mvhd: Mvhd {
            timescale,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: TRACK_ID + 1,
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex { track_id: TRACK_ID, default_sample_description_index: 1, ..Trex::default() }],
        }),
        trak: vec![Trak {
            tkhd: Tkhd { track_id: TRACK_ID, enabled: true, in_movie: true, ..tkhd },
            mdia: Mdia {
                mdhd: Mdhd { timescale, language: "und".to_owned(), ..Mdhd::default() },
                hdlr: Hdlr { handler: handler.into(), name: "rungd".to_owned() },
                minf: Minf { vmhd, smhd, dinf, stbl, ..Minf::default() },
            },
            ..Trak::default()
        }],
        ..Moov::default()
    })
}

fn entry_size(size: Size) -> Result<(u16, u16), CmafError> {
    match (u16::try_from(size.width), u16::try_from(size.height)) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => Err(CmafError::PictureSize { size }),
    }
}

/// The visual sample entry. Records are parsed and written again, which checks them whole.
fn sample_entry(
    codec: VideoCodec,
    configuration: &Bytes,
    width: u16,
    height: u16,
) -> Result<Codec, CmafError> {
    let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let pasp = Some(Pasp { h_spacing: 1, v_spacing: 1 });
    let malformed = |source| CmafError::Configuration { codec, bytes: configuration.len(), source };
    let mut record = configuration.as_ref();
    Ok(match codec {
        VideoCodec::H264 => {
            let avcc = Avcc::decode_body(&mut record).map_err(malformed)?;
            Avc1 { visual, avcc, pasp, ..Avc1::default() }.into()
        }
        VideoCodec::Hevc => {
            let hvcc = Hvcc::decode_body(&mut record).map_err(malformed)?;
            Hvc1 { visual, hvcc, pasp, ..Hvc1::default() }.into()
        }
        VideoCodec::Av1 => {
            let av1c = Av1c::decode_body(&mut record).map_err(malformed)?;
            Av01 { visual, av1c, pasp, ..Av01::default() }.into()
        }
    })
}

/// The AAC sample entry (ISO/IEC 14496-14, 5.6). The `AudioSpecificConfig` goes in as it came, so that 5.1, program
/// config elements and HE-AAC signalling stay what the encoder said.
fn audio_entry(params: &AudioParams) -> Result<Codec, CmafError> {
    if params.configuration.is_empty() {
        return Err(CmafError::NoAudioConfiguration);
    }
    let dec_specific = DecoderSpecific { raw: params.configuration.to_vec(), ..DecoderSpecific::default() };
    Ok(Mp4a {
        audio: Audio {
            data_reference_index: 1,
            channel_count: params.channels.into(),
            sample_size: 16,
            // The field holds 16 bits of hertz; a higher rate is written as zero, and the esds says it.
            sample_rate: u16::try_from(params.sample_rate).unwrap_or(0).into(),
        },
        esds: Esds {
            es_desc: EsDescriptor {
                // ISO/IEC 14496-14, 3.1.2: zero in a file, where the track has its own identifier.
                es_id: 0,
                dec_config: DecoderConfig {
                    // ISO/IEC 14496-1, 7.2.6.6: audio of ISO/IEC 14496-3; an audio stream.
                    object_type_indication: 0x40,
                    stream_type: 5,
                    dec_specific: Some(dec_specific),
                    ..DecoderConfig::default()
                },
                ..EsDescriptor::default()
            },
        },
        btrt: None,
        taic: None,
    }
    .into())
}
