//! Records as x264, x265 and SVT-AV1 wrote them (ffmpeg 5.1 of Debian 12), and sweeps over what nobody wrote.
//!
//! Each record's recipe stands beside it; `ffprobe` names the same values.

use proptest::prelude::*;

use super::nal::{Contents, NalUnits};
use super::*;

/// `-f lavfi -i testsrc2=s=1920x1080:r=30000/1001 -c:v libx264 -preset ultrafast -pix_fmt yuv420p`
const AVC_1080P2997: &str = "0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8";
/// `testsrc2=s=720x576:r=25 -vf setsar=16/11 -flags +ilme+ildct -x264opts tff=1`
const AVC_576I25: &str = "014d401effe10018674d401ef405a126c104000003000400000300c87c50aa8001000468de0fc8";
/// `testsrc2=s=1280x720:r=50 -pix_fmt yuv422p10le -profile:v high422`
const AVC_720P50_422_10: &str =
    "017a0020ffe1001a677a0020b6cd9405005bb011000003000100000300640f18319601000668ebe3cb22c0fefafa00";
/// `testsrc2=s=1918x1078:r=60000/1001 -c:v libx265 -x265-params hrd=1:... -pix_fmt yuv420p10le`; its SEI taken out.
const HEVC_1078P5994_10: &str = "0102200000009000000000007bf000fcfdfafa00000f03200001001840010c01ffff02200000030090000003000003007b959809210001003742010102200000030090000003000003007ba003c08010e754d96566924caf01680800001f480007530300a4c3f0000989680004c4b44022000100074401c172b46240";
/// `testsrc2=s=642x362:r=24000/1001 -c:v libsvtav1 -preset 12`
const AV1_362P: &str = "81010c000a0b0000000cc5036900be0010";

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> =
        hex.bytes().map(|c| u8::try_from(char::from(c).to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn rate(n: u32, d: u32) -> Option<FrameRate> {
    FrameRate::new(n, d)
}

#[test]
fn reads_what_x264_writes() {
    let params = VideoParams::from_avcc(bytes(AVC_1080P2997)).unwrap();
    assert_eq!(params.size, Size { width: 1920, height: 1080 });
    assert_eq!((params.sample_aspect_ratio, params.interlaced, params.bit_depth), ((1, 1), false, 8));
    assert_eq!(params.frame_rate, rate(30_000, 1001));
    assert_eq!(params.length_bytes(), 4);

    let params = VideoParams::from_avcc(bytes(AVC_576I25)).unwrap();
    assert_eq!(params.size, Size { width: 720, height: 576 });
    assert_eq!(params.display_size(), Size { width: 1047, height: 576 });
    assert_eq!((params.sample_aspect_ratio, params.interlaced), ((16, 11), true));
    assert_eq!(params.frame_rate, rate(25, 1));

    let params = VideoParams::from_avcc(bytes(AVC_720P50_422_10)).unwrap();
    assert_eq!((params.size, params.bit_depth), (Size { width: 1280, height: 720 }, 10));
    assert_eq!(params.frame_rate, rate(50, 1));
}

#[test]
fn reads_what_x265_and_svt_av1_write() {
    let params = VideoParams::from_hvcc(bytes(HEVC_1078P5994_10)).unwrap();
    assert_eq!((params.size, params.bit_depth), (Size { width: 1918, height: 1078 }, 10));
    assert_eq!((params.frame_rate, params.interlaced), (rate(60_000, 1001), false));

    let params = VideoParams::from_av1c(bytes(AV1_362P)).unwrap();
    assert_eq!((params.size, params.bit_depth), (Size { width: 642, height: 362 }, 8));
}

#[test]
fn errors_name_record_field_value_and_bound() {
    let error = |codec, hex: &str| VideoParams::parse(codec, bytes(hex)).unwrap_err().to_string();
    assert_eq!(error(VideoCodec::H264, ""), "avcC of 0 bytes ends before or within configurationVersion");
    assert_eq!(error(VideoCodec::H264, "0242c028ffe0"), "avcC is of version 2, not 1");
    assert_eq!(error(VideoCodec::H264, "0142c028ffe000"), "avcC holds no sequence parameter set");
    assert_eq!(error(VideoCodec::H264, "0142c028fee000"), "lengthSizeMinusOne of avcC is 2, not 0, 1 or 3");
    assert_eq!(error(VideoCodec::Av1, "81010c00"), "av1C holds no sequence header OBU");
    let long = Bytes::from(vec![1; MAX_RECORD_BYTES + 1]);
    assert_eq!(
        VideoParams::from_hvcc(long).unwrap_err().to_string(),
        "hvcC of 65537 bytes is over the bound of 65536"
    );
}

#[test]
fn a_time_base_is_no_frame_rate() {
    assert_eq!(declared_rate(1000, 1), None);
    assert_eq!(declared_rate(0, 1), None);
    assert_eq!(declared_rate(1, 0), None);
    assert_eq!(declared_rate(5994, 200), rate(30_000, 1001));
    assert_eq!(declared_rate(u64::from(u32::MAX), 2 * u64::from(u32::MAX)), rate(1, 2));
}

fn audio(hex: &str) -> AudioParams {
    AudioParams::parse(bytes(hex)).unwrap()
}

#[test]
fn reads_audio_specific_configs() {
    let lc = audio("1190");
    assert_eq!((lc.object_type, lc.sample_rate, lc.channels, lc.samples_per_frame), (2, 48_000, 2, 1024));
    // ffmpeg's own LC, with the backward-compatible note that there is no SBR.
    let lc = audio("121056e500");
    assert_eq!((lc.object_type, lc.sample_rate, lc.channels), (2, 44_100, 2));
    // HE-AAC, backward-compatible: 24 kHz core; and hierarchical.
    let he = audio("131056e598");
    assert_eq!((he.object_type, he.sample_rate, he.channels), (5, 24_000, 2));
    let he = audio("2b118800");
    assert_eq!((he.object_type, he.sample_rate, he.channels), (5, 24_000, 2));
    // HE-AAC v2, hierarchical: mono core, stereo out.
    let ps = audio("eb098800");
    assert_eq!((ps.object_type, ps.sample_rate, ps.channels, ps.channel_configuration), (29, 24_000, 2, 1));
    // 960 samples, 7.1, an escaped rate.
    assert_eq!(audio("1194").samples_per_frame, 960);
    assert_eq!((audio("11b8").channels, audio("11b0").channels), (8, 6));
    assert_eq!(audio("178052d010").sample_rate, 42_400);
}

#[test]
fn sound_decodes_alike_where_records_say_the_same() {
    let lc = audio("1190");
    assert!(lc.is_aac_lc() && lc.decodes_alike(&lc));
    // As libavcodec writes it: there is no SBR.
    assert!(lc.decodes_alike(&audio("119056e500")) && audio("119056e500").decodes_alike(&lc));
    for (what, other) in
        [("44.1 kHz", "1210"), ("mono", "1188"), ("960 samples", "1194"), ("HE-AAC", "2b118800")]
    {
        assert!(!lc.decodes_alike(&audio(other)), "{what}");
    }
    assert!(!audio("2b118800").is_aac_lc());
    assert!(!audio("131056e59d4880").decodes_alike(&audio("1310")), "SBR beside it");
}

#[test]
fn refuses_audio_that_is_not_aac_lc_at_heart() {
    let error = |hex| AudioParams::parse(bytes(hex)).unwrap_err().to_string();
    assert_eq!(
        error("0990"),
        "audioObjectType 1 of AudioSpecificConfig is not supported; supported: 2 (AAC-LC), with or without SBR (5) and PS (29)"
    );
    assert_eq!(error("1690"), "samplingFrequencyIndex of AudioSpecificConfig is 13, not 0 to 12, or 15");
    assert_eq!(error("11"), "AudioSpecificConfig of 1 bytes ends before or within samplingFrequencyIndex");
}

#[test]
fn counts_the_channels_of_a_program_config_element() {
    // LC, 48 kHz, channelConfiguration 0; PCE: two front elements (SCE, CPE), one back CPE, one LFE.
    let mut bits = "00010".to_owned() + "0011" + "0000" + "000";
    bits += &("0000".to_owned() + "01" + "0011" + "0010" + "0000" + "0001" + "01" + "000" + "0000" + "000");
    bits += &("0".to_owned() + "0000" + "1" + "0000" + "1" + "0001" + "0000");
    while !bits.len().is_multiple_of(8) {
        bits.push('0');
    }
    bits += "00000000";
    let record: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap())
        .collect();
    let params = AudioParams::parse(record.into()).unwrap();
    assert_eq!((params.channels, params.channel_configuration), (6, 0));
}

#[test]
fn sees_through_a_lying_key_flag() {
    let params = VideoParams::from_avcc(bytes(AVC_1080P2997)).unwrap();
    let sps = h264::record(&params.configuration).unwrap().sps[0].to_vec();
    let unit = |nals: &[&[u8]]| {
        nals.iter()
            .flat_map(|nal| [&u32::try_from(nal.len()).unwrap().to_be_bytes()[..], nal].concat())
            .collect::<Vec<u8>>()
    };
    let idr = params.inspect(&unit(&[&sps, &[0x65, 0x88]])).unwrap();
    assert_eq!(idr, Contents { key: true, picture: true, ..Contents::default() });
    let not_idr = params.inspect(&unit(&[&[0x41, 0x9a]])).unwrap();
    assert_eq!(not_idr, Contents { picture: true, ..Contents::default() });
    let recovery =
        params.inspect(&unit(&[&[0x06, 0x05, 0x01, 0xff, 0x06, 0x01, 0x84, 0x80], &[0x41, 0x9a]])).unwrap();
    assert!(recovery.recovery_point && !recovery.key);
    let mut other = sps.clone();
    other[3] = 30;
    assert!(params.inspect(&unit(&[&other, &[0x65, 0x88]])).unwrap().changes_parameters);
    let error = params.inspect(&[0, 0, 0, 9, 1]).unwrap_err().to_string();
    assert_eq!(error, "nal unit of 9 bytes at byte 0 reaches beyond its access unit of 5 bytes");
}

#[test]
fn captions_are_found_in_h264_and_hevc() {
    let message = b"\x04\x0d\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x20\x80";
    // Behind another message, and of another provider.
    let second = [&b"\x05\x02ab"[..], message].concat();
    let other = b"\x04\x0d\xb5\x00\x3bGA94\x03\x41\xff\xfc\x94\x20\x80";
    let unit = |header: &[u8], message: &[u8]| {
        let nal = [header, message].concat();
        [&u32::try_from(nal.len()).unwrap().to_be_bytes()[..], &nal].concat()
    };
    let avc = VideoParams::from_avcc(bytes(AVC_1080P2997)).unwrap();
    let hevc = VideoParams::from_hvcc(bytes(HEVC_1078P5994_10)).unwrap();
    for (params, header) in [(&avc, &[0x06][..]), (&hevc, &[0x4e, 0x01])] {
        assert!(params.has_captions(&unit(header, message)));
        assert!(params.has_captions(&unit(header, &second)));
        assert!(!params.has_captions(&unit(header, other)));
        assert!(!params.has_captions(&unit(&[0x41], message)));
        let mut cut = unit(header, message);
        cut.truncate(12);
        assert!(!params.has_captions(&cut), "the NAL unit reaches beyond its access unit");
    }
}

#[test]
fn length_fields_are_as_short_as_the_record_says() {
    let short = Bytes::from_static(&[0, 2, 0x65, 0x88, 0, 1, 0x06]);
    let mut record = bytes(AVC_1080P2997).to_vec();
    record[4] = 0xfd;
    let params = VideoParams::from_avcc(record.into()).unwrap();
    assert_eq!(params.length_bytes(), 2);
    let units: Vec<&[u8]> = NalUnits::new(&short, 2).map(Result::unwrap).collect();
    assert_eq!(units, [&[0x65, 0x88][..], &[0x06]]);
    assert!(params.inspect(&short).unwrap().key);
}

/// Twelve pictures with a key frame every five, as `ffmpeg -c:v encoder` writes them in `format`.
fn encoded(encoder: &[&str], format: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=192x128:r=25",
            "-frames:v",
            "12",
            "-g",
            "5",
            "-c:v",
        ])
        .args(encoder)
        .args(format)
        .arg("-")
        .env("SVT_LOG", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Access units of an Annex B stream with access unit delimiters, with length fields of 4 bytes.
fn access_units(stream: &[u8], is_delimiter: impl Fn(u8) -> bool) -> Vec<Vec<u8>> {
    let starts: Vec<usize> = (3..stream.len()).filter(|&at| stream[at - 3..at] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).map(|next| next - 3).chain([stream.len()]);
    let mut units: Vec<Vec<u8>> = Vec::new();
    for (&start, end) in starts.iter().zip(ends) {
        if is_delimiter(stream[start]) {
            units.push(Vec::new());
        }
        let unit = units.last_mut().unwrap();
        unit.extend(u32::try_from(end - start).unwrap().to_be_bytes());
        unit.extend(&stream[start..end]);
    }
    units
}

#[test]
fn finds_the_key_frames_of_real_streams() {
    let keys = |params: &VideoParams, units: &[Vec<u8>]| -> Vec<usize> {
        assert_eq!(units.len(), 12);
        let contents: Vec<Contents> = units.iter().map(|unit| params.inspect(unit).unwrap()).collect();
        assert!(contents.iter().all(|contents| contents.picture));
        (0..12).filter(|&k| contents[k].key).collect()
    };
    let x264 = ["libx264", "-bf", "0", "-sc_threshold", "0"];
    let stream = encoded(&x264, &["-bsf:v", "h264_metadata=aud=insert", "-f", "h264"]);
    let params = VideoParams::from_avcc(bytes(AVC_1080P2997)).unwrap();
    assert_eq!(keys(&params, &access_units(&stream, |byte| byte & 0x1f == 9)), [0, 5, 10]);

    let x265 = ["libx265", "-x265-params", "log-level=none:bframes=0:scenecut=0:min-keyint=5"];
    let stream = encoded(&x265, &["-bsf:v", "hevc_metadata=aud=insert", "-f", "hevc"]);
    let params = VideoParams::from_hvcc(bytes(HEVC_1078P5994_10)).unwrap();
    assert_eq!(keys(&params, &access_units(&stream, |byte| byte >> 1 & 0x3f == 35)), [0, 5, 10]);

    // IVF: 32 bytes of header, then 12 before each temporal unit, the first 4 its length.
    let stream = encoded(&["libaom-av1", "-cpu-used", "8", "-lag-in-frames", "0"], &["-f", "ivf"]);
    let (mut rest, mut units) = (&stream[32..], Vec::new());
    while let Some((header, behind)) = rest.split_at_checked(12) {
        let (unit, behind) =
            behind.split_at(usize::try_from(u32::from_le_bytes(header[..4].try_into().unwrap())).unwrap());
        units.push(unit.to_vec());
        rest = behind;
    }
    let params = VideoParams::from_av1c(bytes(AV1_362P)).unwrap();
    assert_eq!(keys(&params, &units), [0, 5, 10]);
    assert!(params.inspect(&units[0]).unwrap().changes_parameters);
}

/// The rarer parts of parameter sets, as encoders write them.
#[test]
fn reads_real_parameter_sets_of_many_shapes() {
    let nals = |stream: &[u8]| -> Vec<Vec<u8>> {
        access_units(stream, |_| true).into_iter().map(|unit| unit[4..].to_vec()).collect()
    };
    let size = Size { width: 192, height: 128 };
    for (options, interlaced, bit_depth) in [
        ("cqm=jvt", false, 8),
        ("nal-hrd=cbr:vbv-maxrate=500:vbv-bufsize=500:bitrate=500:pic-struct=1", false, 8),
        ("tff=1:cqm=jvt", true, 8),
        ("fake-interlaced=1", true, 8),
        ("output-csp=i444:cqm=jvt", false, 8),
        (
            "colorprim=bt709:transfer=bt709:colormatrix=bt709:fullrange=on:overscan=show:videoformat=pal",
            false,
            8,
        ),
    ] {
        let pixels = if options.contains("i444") { "yuv444p" } else { "yuv420p" };
        let stream = encoded(&["libx264", "-x264-params", options, "-pix_fmt", pixels], &["-f", "h264"]);
        let sps = nals(&stream).into_iter().find(|nal| nal[0] & 0x1f == 7).unwrap();
        let params = h264::sps(&sps).unwrap();
        assert_eq!((params.size, params.frame_rate), (size, rate(25, 1)), "{options}");
        assert_eq!((params.interlaced, params.bit_depth), (interlaced, bit_depth), "{options}");
    }
    for (options, pixels, bit_depth) in [
        ("scaling-list=default:temporal-layers=1", "yuv420p", 8),
        ("hrd=1:vbv-maxrate=500:vbv-bufsize=500:bframes=4:b-pyramid=1:ref=5", "yuv420p10le", 10),
        (
            "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:chromaloc=2:overscan=show",
            "yuv422p12le",
            12,
        ),
        ("sar=1:rect=1:amp=1:multi-pass-opt-rps=1", "yuv444p", 8),
    ] {
        let options = format!("log-level=none:{options}");
        let stream = encoded(&["libx265", "-x265-params", &options, "-pix_fmt", pixels], &["-f", "hevc"]);
        let sps = nals(&stream).into_iter().find(|nal| nal[0] >> 1 & 0x3f == 33).unwrap();
        let params = hevc::sps(&sps).unwrap();
        assert_eq!(
            (params.size, params.frame_rate, params.bit_depth),
            (size, rate(25, 1), bit_depth),
            "{options}"
        );
    }
}

/// Every cut and every single-bit change of real records, which reaches far more fields than random bytes do.
#[test]
fn survives_cuts_and_flipped_bits() {
    for record in [AVC_1080P2997, AVC_576I25, AVC_720P50_422_10, HEVC_1078P5994_10, AV1_362P] {
        let record = bytes(record);
        for end in 0..record.len() {
            fuzz::video_record(&record[..end]);
        }
        for bit in 0..record.len() * 8 {
            let mut damaged = record.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fuzz::video_record(&damaged);
        }
    }
}

proptest! {
    #[test]
    fn survives_anything(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::video_record(&data);
        fuzz::audio_record(&data);
        for (codec, hex) in [
            (VideoCodec::H264, AVC_1080P2997),
            (VideoCodec::Hevc, HEVC_1078P5994_10),
            (VideoCodec::Av1, AV1_362P),
        ] {
            fuzz::access_unit(&VideoParams::parse(codec, bytes(hex)).unwrap(), &data);
        }
    }

    /// Real records with a few bytes overwritten and a noisy tail.
    #[test]
    fn survives_damaged_records(
        which in 0usize..5,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut data = bytes([AVC_1080P2997, AVC_576I25, AVC_720P50_422_10, HEVC_1078P5994_10, AV1_362P][which]).to_vec();
        for (at, byte) in edits {
            let at = at.index(data.len());
            data[at] = byte;
        }
        data.extend(tail);
        fuzz::video_record(&data);
    }
}
