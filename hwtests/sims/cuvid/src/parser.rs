//! The parser: packets in, callbacks out.

use std::collections::{BTreeMap, VecDeque};
use std::mem::offset_of;
use std::sync::{Arc, Mutex};

use nvidia_video_codec_sdk::sys::cuviddec::CUVIDPICPARAMS;
use nvidia_video_codec_sdk::sys::nvcuvid::{
    CUVIDEOFORMAT, CUVIDPARSERDISPINFO, CUVIDPARSERPARAMS, CUVIDSOURCEDATAPACKET,
};
use sim_nvidia::pointer::{Fields, Out};
use sim_state::Codec;
use sim_state::plan::Pictures;

use crate::library::{
    Answer, INVALID_HANDLE, INVALID_VALUE, Library, NOT_SUPPORTED, Status, UNKNOWN, codec, enter, hold,
};
use crate::slot::{Picture, Slots};
use crate::software::{Avcodec, Sequence, Software};

/// `CUVID_PKT_*`.
const END_OF_STREAM: u64 = 1;
const TIMESTAMP: u64 = 2;
const DISCONTINUITY: u64 = 4;

type Callback = extern "C" fn(usize, usize) -> i32;

/// A parser.
pub(crate) struct Parser {
    codec: Codec,
    user: usize,
    sequence_callback: Option<Callback>,
    decode_callback: Option<Callback>,
    display_callback: Option<Callback>,
    delay: usize,
    surfaces: usize,
    software: Option<Software>,
    sequence: Option<Sequence>,
    /// Parameter sets that came without a picture.
    headers: Vec<u8>,
    next: i64,
    slots: Slots,
    /// Pictures within libavcodec by number: their slot, timestamp, and what is in it.
    inside: BTreeMap<i64, (usize, i64, Arc<Picture>)>,
    /// Pictures to display.
    queue: VecDeque<(usize, i64, bool, bool)>,
}

impl Parser {
    fn parse(&mut self, library: &Library, packet: Fields<CUVIDSOURCEDATAPACKET>) -> Answer {
        let flags = packet.get::<u64>(offset_of!(CUVIDSOURCEDATAPACKET, flags));
        let length = packet.get::<u64>(offset_of!(CUVIDSOURCEDATAPACKET, payload_size));
        let payload = packet.place::<u8>(offset_of!(CUVIDSOURCEDATAPACKET, payload));
        let length = usize::try_from(length).map_err(|_| INVALID_VALUE)?;
        let timestamp = packet.get::<i64>(offset_of!(CUVIDSOURCEDATAPACKET, timestamp));
        let timestamp = if flags & TIMESTAMP == 0 { 0 } else { timestamp };
        if flags & DISCONTINUITY != 0 {
            self.drain(library)?;
        }
        if length > 0 {
            if payload.is_null() {
                return Err(INVALID_VALUE);
            }
            // SAFETY: nvcuvid.h: payload_size bytes at payload, through the call.
            let bytes = unsafe { std::slice::from_raw_parts(payload.as_ptr(), length) };
            let mut unit = std::mem::take(&mut self.headers);
            unit.extend_from_slice(bytes);
            if has_picture(self.codec, bytes) {
                self.unit(library, &unit, timestamp)?;
            } else {
                self.headers = unit;
            }
        }
        if flags & END_OF_STREAM != 0 {
            self.drain(library)?;
        }
        Ok(())
    }

    /// An access unit with a picture.
    fn unit(&mut self, library: &Library, unit: &[u8], timestamp: i64) -> Answer {
        // Another decoder looks first where the sequence may change, so that the pictures of the one before come out
        // before it is told.
        let flat = library.state.plan().pictures == Pictures::Flat;
        if self.sequence.is_some() && !flat && has_headers(self.codec, unit) {
            let mut probe = Avcodec::open(self.codec).ok_or(UNKNOWN)?;
            probe.send(unit, 0);
            let shape =
                |sequence: &Sequence| (sequence.width, sequence.height, sequence.chroma, sequence.depth);
            if probe.sequence().is_some_and(|new| self.sequence.is_some_and(|old| shape(&new) != shape(&old)))
            {
                self.drain(library)?;
                self.sequence = None;
            }
        }
        let number = self.next;
        self.next += 1;
        if self.software.is_none() {
            self.software = Software::begin(self.codec, unit, flat);
        }
        // A sequence has not begun.
        let Some(software) = &mut self.software else { return Ok(()) };
        let device = library.cuda.current().and_then(|context| library.cuda.device_of(context));
        let cpu = device.map(|device| library.state.driver_cpu(device));
        software.send(unit, number, timestamp);
        drop(cpu);
        let Some(mut sequence) = software.sequence() else {
            // Nothing can be decoded before a sequence begins.
            return Ok(());
        };
        if self.sequence.is_none() {
            sequence.progressive = !Avcodec::begins_interlaced(self.codec, unit);
            self.sequence = Some(sequence);
            self.tell(&sequence)?;
        }
        let picture = Arc::<Picture>::default();
        let mut slot = self.slots.take(Arc::clone(&picture));
        if slot.is_none() {
            // Pictures that will never come out (damage, leading pictures) give theirs up, the oldest first.
            if let Some((_, (old, ..))) = self.inside.pop_first() {
                self.slots.done(old);
            }
            slot = self.slots.take(Arc::clone(&picture));
        }
        let slot = slot.ok_or(UNKNOWN)?;
        self.inside.insert(number, (slot, timestamp, Arc::clone(&picture)));
        self.decode(library, unit, &sequence, slot, picture)?;
        self.display(library, false)
    }

    /// The sequence callback.
    fn tell(&mut self, sequence: &Sequence) -> Answer {
        let mut memory = [0_u64; size_of::<CUVIDEOFORMAT>() / 8 + 1];
        let format = Fields::<CUVIDEOFORMAT>::of(&mut memory);
        let align = |value: u32| value.next_multiple_of(16);
        let delay = u32::try_from(self.delay).unwrap_or(0);
        let surfaces = u8::try_from((sequence.held + delay + 4).min(28)).unwrap_or(28);
        let rate = if sequence.frame_rate.0 == 0 { (25, 1) } else { sequence.frame_rate };
        let number = match self.codec {
            Codec::H264 => 4_u32,
            Codec::Hevc => 8,
            Codec::Av1 => 11,
        };
        format.set(offset_of!(CUVIDEOFORMAT, codec), number);
        format.set(offset_of!(CUVIDEOFORMAT, frame_rate.numerator), rate.0);
        format.set(offset_of!(CUVIDEOFORMAT, frame_rate.denominator), rate.1);
        format.set(offset_of!(CUVIDEOFORMAT, progressive_sequence), u8::from(sequence.progressive));
        format.set(offset_of!(CUVIDEOFORMAT, bit_depth_luma_minus8), sequence.depth - 8);
        format.set(offset_of!(CUVIDEOFORMAT, bit_depth_chroma_minus8), sequence.depth - 8);
        format.set(offset_of!(CUVIDEOFORMAT, min_num_decode_surfaces), surfaces);
        format.set(offset_of!(CUVIDEOFORMAT, coded_width), align(sequence.width));
        format.set(offset_of!(CUVIDEOFORMAT, coded_height), align(sequence.height));
        format.set(offset_of!(CUVIDEOFORMAT, display_area.right), sequence.width);
        format.set(offset_of!(CUVIDEOFORMAT, display_area.bottom), sequence.height);
        format.set(offset_of!(CUVIDEOFORMAT, chroma_format), sequence.chroma);
        let aspect = if sequence.aspect.0 == 0 || sequence.aspect.1 == 0 { (1, 1) } else { sequence.aspect };
        let (x, y) = (sequence.width.saturating_mul(aspect.0), sequence.height.saturating_mul(aspect.1));
        let divisor = (1..=x.min(y)).rev().take(4096).find(|d| x % d == 0 && y % d == 0).unwrap_or(1);
        format.set(offset_of!(CUVIDEOFORMAT, display_aspect_ratio.x), x / divisor);
        format.set(offset_of!(CUVIDEOFORMAT, display_aspect_ratio.y), y / divisor);
        // video_format "unspecified" (5) in the low three bits, then the range.
        let flags = 5 | u8::from(sequence.full_range) << 3;
        format.set(offset_of!(CUVIDEOFORMAT, video_signal_description._bitfield_1), flags);
        format.set(offset_of!(CUVIDEOFORMAT, video_signal_description.color_primaries), sequence.primaries);
        format.set(
            offset_of!(CUVIDEOFORMAT, video_signal_description.transfer_characteristics),
            sequence.transfer,
        );
        format.set(offset_of!(CUVIDEOFORMAT, video_signal_description.matrix_coefficients), sequence.matrix);
        let answer = self.sequence_callback.map_or(1, |callback| callback(self.user, format.address()));
        match usize::try_from(answer) {
            Err(_) | Ok(0) => Err(UNKNOWN),
            Ok(1) => {
                self.slots.resize(self.surfaces);
                Ok(())
            }
            // nvcuvid.h: above 1 it is the number of surfaces that the parser may use from now on.
            Ok(surfaces) => {
                self.surfaces = surfaces;
                self.slots.resize(surfaces);
                Ok(())
            }
        }
    }

    /// The decode callback.
    fn decode(
        &self,
        library: &Library,
        unit: &[u8],
        sequence: &Sequence,
        slot: usize,
        picture: Arc<Picture>,
    ) -> Answer {
        let mut memory = [0_u64; size_of::<CUVIDPICPARAMS>() / 8 + 1];
        let params = Fields::<CUVIDPICPARAMS>::of(&mut memory);
        let token = u64::try_from(library.handle()).unwrap_or(0);
        hold(&library.pictures).insert(token, picture);
        params.set(offset_of!(CUVIDPICPARAMS, PicWidthInMbs), sequence.width.div_ceil(16));
        params.set(offset_of!(CUVIDPICPARAMS, FrameHeightInMbs), sequence.height.div_ceil(16));
        params.set(offset_of!(CUVIDPICPARAMS, CurrPicIdx), u32::try_from(slot).unwrap_or(0));
        params.set(offset_of!(CUVIDPICPARAMS, nBitstreamDataLen), u32::try_from(unit.len()).unwrap_or(0));
        params.set(offset_of!(CUVIDPICPARAMS, pBitstreamData), unit.as_ptr().expose_provenance());
        params.set(offset_of!(CUVIDPICPARAMS, nNumSlices), 1_u32);
        params.set(offset_of!(CUVIDPICPARAMS, ref_pic_flag), 1_u32);
        params.set(offset_of!(CUVIDPICPARAMS, Reserved), token);
        let answer = self.decode_callback.map_or(1, |callback| callback(self.user, params.address()));
        hold(&library.pictures).remove(&token);
        if answer > 0 { Ok(()) } else { Err(UNKNOWN) }
    }

    /// Takes what libavcodec gives out, and displays what has waited long enough, or all.
    fn display(&mut self, library: &Library, all: bool) -> Answer {
        let Some(software) = &mut self.software else { return Ok(()) };
        while let Some((number, frame)) = software.receive() {
            let Some((slot, timestamp, picture)) = self.inside.remove(&number) else { continue };
            let interlaced = frame.as_ref().is_some_and(|frame| frame.is_interlaced());
            let top_first = frame.as_ref().is_some_and(|frame| frame.is_top_first());
            *hold(&picture.frame) = frame;
            self.queue.push_back((slot, timestamp, interlaced, top_first));
        }
        while self.queue.len() > if all { 0 } else { self.delay } {
            let Some((slot, timestamp, interlaced, top_first)) = self.queue.pop_front() else { break };
            let mut memory = [0_u64; size_of::<CUVIDPARSERDISPINFO>() / 8 + 1];
            let info = Fields::<CUVIDPARSERDISPINFO>::of(&mut memory);
            info.set(offset_of!(CUVIDPARSERDISPINFO, picture_index), u32::try_from(slot).unwrap_or(0));
            info.set(offset_of!(CUVIDPARSERDISPINFO, progressive_frame), u32::from(!interlaced));
            info.set(offset_of!(CUVIDPARSERDISPINFO, top_field_first), u32::from(top_first || !interlaced));
            info.set(offset_of!(CUVIDPARSERDISPINFO, timestamp), timestamp);
            library.state.trace(|| format!("parser displays slot {slot} at {timestamp}"));
            let answer = self.display_callback.map_or(1, |callback| callback(self.user, info.address()));
            self.slots.done(slot);
            if answer <= 0 {
                return Err(UNKNOWN);
            }
        }
        Ok(())
    }

    /// Everything comes out; what follows begins anew.
    fn drain(&mut self, library: &Library) -> Answer {
        if let Some(software) = &mut self.software {
            software.finish();
        }
        let done = self.display(library, true);
        for (slot, ..) in std::mem::take(&mut self.inside).into_values() {
            self.slots.done(slot);
        }
        self.software = None;
        done
    }
}

/// The types of the NAL units or OBUs of an access unit.
fn types(codec: Codec, unit: &[u8]) -> Vec<u8> {
    if codec == Codec::Av1 {
        return av1_types(unit);
    }
    let starts = unit.windows(4).filter(|window| window[..3] == [0, 0, 1]);
    let kind = |header: u8| if codec == Codec::H264 { header & 0x1f } else { header >> 1 & 0x3f };
    starts.map(|window| kind(window[3])).collect()
}

/// The types of OBUs (AV1 specification, 5.3).
fn av1_types(unit: &[u8]) -> Vec<u8> {
    let (mut at, mut types) = (0, Vec::new());
    while let Some(header) = unit.get(at) {
        types.push(header >> 3 & 0xf);
        at += if header & 4 == 0 { 1 } else { 2 };
        if header & 2 == 0 {
            break;
        }
        let mut size = 0_usize;
        for shift in (0..56).step_by(7) {
            let Some(byte) = unit.get(at) else { return types };
            at += 1;
            size |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        at = at.saturating_add(size);
    }
    types
}

fn has_picture(codec: Codec, unit: &[u8]) -> bool {
    types(codec, unit).into_iter().any(|kind| match codec {
        Codec::H264 => (1..=5).contains(&kind),
        Codec::Hevc => kind < 32,
        // Frame header, frame.
        Codec::Av1 => kind == 3 || kind == 6,
    })
}

fn has_headers(codec: Codec, unit: &[u8]) -> bool {
    types(codec, unit).into_iter().any(|kind| match codec {
        Codec::H264 => kind == 7,
        Codec::Hevc => kind == 33,
        Codec::Av1 => kind == 1,
    })
}

fn create(library: &Library, out: Out<usize>, params: Fields<CUVIDPARSERPARAMS>) -> Answer {
    let number = params.get::<u32>(offset_of!(CUVIDPARSERPARAMS, CodecType));
    let codec = codec(number).ok_or(NOT_SUPPORTED)?;
    let callback = |offset| {
        let address = params.get::<usize>(offset);
        // SAFETY: null becomes none; nvcuvid.h: a function of the user's data and a structure, answering an int.
        unsafe {
            std::mem::transmute::<*const (), Option<Callback>>(std::ptr::with_exposed_provenance(address))
        }
    };
    let get = |offset| usize::try_from(params.get::<u32>(offset)).unwrap_or(0);
    let surfaces = get(offset_of!(CUVIDPARSERPARAMS, ulMaxNumDecodeSurfaces));
    if surfaces == 0 {
        return library.wrong(INVALID_VALUE, "cuvidCreateVideoParser is given no decode surfaces");
    }
    let parser = Parser {
        codec,
        user: params.get(offset_of!(CUVIDPARSERPARAMS, pUserData)),
        sequence_callback: callback(offset_of!(CUVIDPARSERPARAMS, pfnSequenceCallback)),
        decode_callback: callback(offset_of!(CUVIDPARSERPARAMS, pfnDecodePicture)),
        display_callback: callback(offset_of!(CUVIDPARSERPARAMS, pfnDisplayPicture)),
        delay: get(offset_of!(CUVIDPARSERPARAMS, ulMaxDisplayDelay)),
        surfaces,
        software: None,
        sequence: None,
        headers: Vec::new(),
        next: 0,
        slots: Slots::default(),
        inside: BTreeMap::new(),
        queue: VecDeque::new(),
    };
    let handle = library.handle();
    hold(&library.parsers).insert(handle, Arc::new(Mutex::new(parser)));
    if out.put(handle) { Ok(()) } else { Err(INVALID_VALUE) }
}

fn find(library: &Library, name: &str, handle: usize) -> Answer<Arc<Mutex<Parser>>> {
    let found = hold(&library.parsers).get(&handle).map(Arc::clone);
    found.map_or_else(
        || library.wrong(INVALID_HANDLE, &format!("{name} is given what is no parser, or no longer")),
        Ok::<_, Status>,
    )
}

/// `cuvidCreateVideoParser` of nvcuvid.h.
// SAFETY: the name is libnvcuvid's, and this is libnvcuvid.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "nvcuvid.h names it")]
pub(crate) extern "C" fn cuvidCreateVideoParser(out: Out<usize>, params: Fields<CUVIDPARSERPARAMS>) -> u32 {
    enter("cuvidCreateVideoParser", |library| create(library, out, params))
}

/// `cuvidParseVideoData` of nvcuvid.h.
// SAFETY: the name is libnvcuvid's, and this is libnvcuvid.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "nvcuvid.h names it")]
pub(crate) extern "C" fn cuvidParseVideoData(parser: usize, packet: Fields<CUVIDSOURCEDATAPACKET>) -> u32 {
    enter("cuvidParseVideoData", |library| {
        let parser = find(library, "cuvidParseVideoData", parser)?;
        hold(&parser).parse(library, packet)
    })
}

/// `cuvidDestroyVideoParser` of nvcuvid.h.
// SAFETY: the name is libnvcuvid's, and this is libnvcuvid.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "nvcuvid.h names it")]
pub(crate) extern "C" fn cuvidDestroyVideoParser(parser: usize) -> u32 {
    enter("cuvidDestroyVideoParser", |library| {
        find(library, "cuvidDestroyVideoParser", parser)?;
        hold(&library.parsers).remove(&parser);
        Ok(())
    })
}
