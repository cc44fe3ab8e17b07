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
        // cmf2 promises what the segmenters keep: no edit list, version 1 of `trun`, and no defaults in `trex`
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

#[cfg(test)]
mod tests {
    use media::FrameRate;
    use mp4_atom::Decode;
    use proptest::prelude::*;

    use super::*;

    fn read(track: &TrackSpec) -> (Ftyp, Moov) {
        let bytes = init_segment(track).unwrap();
        let mut rest = bytes.as_ref();
        let boxes = (Ftyp::decode(&mut rest).unwrap(), Moov::decode(&mut rest).unwrap());
        assert!(rest.is_empty());
        boxes
    }

    fn aac(configuration: &'static [u8], object_type: u8, sample_rate: u32, channels: u8) -> TrackSpec {
        TrackSpec::audio(AudioParams {
            configuration: Bytes::from_static(configuration),
            object_type,
            sample_rate,
            channels,
            channel_configuration: channels,
            samples_per_frame: 1024,
        })
        .unwrap()
    }

    #[test]
    fn an_audio_specific_config_goes_in_as_it_came() {
        // HE-AAC at 24 kHz with explicit SBR to 48 kHz; AAC-LC 5.1; AAC-LC with a program config element.
        let he_aac: &[u8] = &[0x2b, 0x11, 0x88, 0x00];
        let surround: &[u8] = &[0x11, 0xb0];
        let element: &[u8] = &[0x11, 0x80, 0x04, 0xc8, 0x44, 0x00, 0x20, 0x00, 0xc4, 0x0c, 0x00];
        for (configuration, object_type, rate, channels) in
            [(he_aac, 5, 24_000, 2), (surround, 2, 48_000, 6), (element, 2, 96_000, 6)]
        {
            let (ftyp, moov) = read(&aac(configuration, object_type, rate, channels));
            assert!(ftyp.compatible_brands.contains(&b"cmfc".into()));
            let trak = &moov.trak[0];
            assert!(trak.edts.is_none() && moov.mvex.is_some());
            assert_eq!(trak.mdia.mdhd.timescale, rate);
            let [Codec::Mp4a(entry)] = trak.mdia.minf.stbl.stsd.codecs.as_slice() else { panic!("{trak:?}") };
            let config = &entry.esds.es_desc.dec_config;
            assert_eq!((config.object_type_indication, config.stream_type), (0x40, 5));
            assert_eq!(config.dec_specific.as_ref().unwrap().raw, configuration);
            assert_eq!(entry.audio.channel_count, u16::from(channels));
            assert_eq!(entry.audio.sample_rate.integer(), u16::try_from(rate).unwrap_or(0));
        }
        assert!(matches!(init_segment(&aac(&[], 2, 48_000, 2)), Err(CmafError::NoAudioConfiguration)));
    }

    fn video(codec: VideoCodec, record: &[u8], width: u32) -> TrackSpec {
        TrackSpec::video(codec, Bytes::copy_from_slice(record), Size { width, height: 360 }, FrameRate::PAL)
    }

    const AVCC: &[u8] = &[1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 2, 0x68, 0xce];

    #[test]
    fn a_configuration_record_goes_in_as_it_came() {
        let bytes = init_segment(&video(VideoCodec::H264, AVCC, 640)).unwrap();
        assert!(bytes.windows(AVCC.len()).any(|window| window == AVCC));
        let (_, moov) = read(&video(VideoCodec::H264, AVCC, 640));
        let [Codec::Avc1(entry)] = moov.trak[0].mdia.minf.stbl.stsd.codecs.as_slice() else {
            panic!("{moov:?}")
        };
        assert_eq!((entry.visual.width, entry.visual.height), (640, 360));
        assert_eq!(entry.pasp, Some(Pasp { h_spacing: 1, v_spacing: 1 }));
    }

    #[test]
    fn a_bad_record_or_size_is_refused() {
        let cut = init_segment(&video(VideoCodec::H264, &AVCC[..9], 640)).unwrap_err();
        assert_eq!(cut.to_string(), "H.264 configuration record of 9 bytes is malformed");
        let wide = init_segment(&video(VideoCodec::H264, AVCC, 70_000)).unwrap_err();
        assert_eq!(wide.to_string(), "picture size 70000x360 is over 65535 in one direction");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(record in proptest::collection::vec(any::<u8>(), 0..60)) {
            for codec in [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1] {
                let _ = init_segment(&video(codec, &record, 640));
            }
        }
    }
}
