//! The decoder: keeps pictures by slot, and maps them into device memory.

use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::{Arc, Mutex};

use ffmpeg_next::{format::Pixel, frame};
use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECAPS, CUVIDDECODECREATEINFO, CUVIDGETDECODESTATUS, CUVIDPICPARAMS, CUVIDPROCPARAMS,
    CUVIDRECONFIGUREDECODERINFO,
};
use sim_nvidia::cuda::DriverMemory;
use sim_nvidia::pointer::{Fields, Out};
use sim_state::plan::Pictures;
use sim_state::{Codec, Engine, Job, Offence, OpenError, Session, SessionSize};

use crate::library::{
    Answer, INVALID_HANDLE, INVALID_VALUE, Library, MAP_FAILED, NO_DEVICE, NOT_SUPPORTED, OUT_OF_MEMORY,
    Status, UNKNOWN, codec, enter, hold, lost,
};
use crate::slot::Picture;

/// Most surfaces of a decoder (NVDEC's own bound).
const MOST_SURFACES: usize = 32;
/// What a row of a mapped picture is a multiple of.
const PITCH: usize = 512;

/// A decoder.
pub(crate) struct Decoder {
    pub(crate) device: usize,
    context: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    session: Session,
    codec: Codec,
    most: (usize, usize),
    shape: Shape,
    slots: Vec<Option<Decoded>>,
    _surfaces: DriverMemory,
    outputs: Vec<DriverMemory>,
    /// Addresses mapped, and their slots.
    mapped: HashMap<u64, usize>,
}

/// What a mapped picture looks like.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Left, top, right, bottom of what is shown.
    area: [usize; 4],
    target: (usize, usize),
    /// Bytes of a sample: 1 for NV12, 2 for P016.
    sample: usize,
}

/// A picture in a slot.
struct Decoded {
    picture: Arc<Picture>,
    job: Arc<Job>,
}

impl Shape {
    fn pitch(self) -> usize {
        (self.target.0 * self.sample).next_multiple_of(PITCH)
    }

    fn bytes(self) -> usize {
        self.pitch() * (self.target.1 + self.target.1.div_ceil(2))
    }

    /// Writes a picture: the area, scaled to the target's size where that is another.
    fn write(self, frame: &frame::Video, to: &mut [u8]) {
        let pitch = self.pitch();
        let deep = frame.format() == Pixel::YUV420P10LE;
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        for plane in 0..3 {
            let half = usize::from(plane > 0);
            let (columns, rows) = (self.target.0.div_ceil(1 + half), self.target.1.div_ceil(1 + half));
            let (data, stride) = (frame.data(plane), frame.stride(plane));
            let (last_x, last_y) = (width.div_ceil(1 + half) - 1, height.div_ceil(1 + half) - 1);
            let [left, top, right, bottom] = self.area.map(|at| at >> half);
            let (wide, high) = ((right - left).max(1), (bottom - top).max(1));
            let start = if plane == 0 { 0 } else { pitch * self.target.1 };
            let step = 1 + half;
            let first = usize::from(plane == 2);
            for y in 0..rows {
                let from = &data[(top + y * high / rows).min(last_y) * stride..];
                let to = &mut to[start + y * pitch..start + (y + 1) * pitch];
                if plane == 0 && !deep && self.sample == 1 && wide == columns && left + columns <= last_x + 1
                {
                    to[..columns].copy_from_slice(&from[left..left + columns]);
                    continue;
                }
                for x in 0..columns {
                    let at = if wide == columns { left + x } else { left + x * wide / columns }.min(last_x);
                    // In the high bits of 16, as P016 has them.
                    let value = if deep {
                        u16::from_le_bytes([from[at * 2], from[at * 2 + 1]]) << 6
                    } else {
                        u16::from(from[at]) << 8
                    };
                    let place = x * step + first;
                    match self.sample {
                        1 => to[place] = value.to_be_bytes()[0],
                        _ => to[place * 2..place * 2 + 2].copy_from_slice(&value.to_le_bytes()),
                    }
                }
            }
        }
    }
}

fn caps(library: &Library, caps: Fields<CUVIDDECODECAPS>) -> Answer {
    let (_, device) = library.current("cuvidGetDecoderCaps")?;
    let plan = &library.state.plan().devices[device];
    let codec = codec(caps.get(offset_of!(CUVIDDECODECAPS, eCodecType)));
    let chroma = caps.get::<u32>(offset_of!(CUVIDDECODECAPS, eChromaFormat));
    let deeper = caps.get::<u32>(offset_of!(CUVIDDECODECAPS, nBitDepthMinus8));
    let able = |codec: &Codec| match deeper {
        0 => plan.decode.contains(codec),
        2 => plan.decode_10bit.contains(codec),
        _ => false,
    };
    let supported = chroma == 1 && codec.as_ref().is_some_and(able);
    caps.clear_from(offset_of!(CUVIDDECODECAPS, reserved1));
    if supported {
        caps.set(offset_of!(CUVIDDECODECAPS, bIsSupported), 1_u8);
        let units = u8::try_from(plan.units(Engine::Decode)).unwrap_or(u8::MAX);
        caps.set(offset_of!(CUVIDDECODECAPS, nNumNVDECs), units);
        // NV12, and P016 of deeper pictures.
        caps.set(offset_of!(CUVIDDECODECAPS, nOutputFormatMask), if deeper == 0 { 1_u16 } else { 3 });
        caps.set(offset_of!(CUVIDDECODECAPS, nMaxWidth), plan.max_width);
        caps.set(offset_of!(CUVIDDECODECAPS, nMaxHeight), plan.max_height);
        caps.set(offset_of!(CUVIDDECODECAPS, nMaxMBCount), plan.max_width / 16 * (plan.max_height / 16));
        caps.set(offset_of!(CUVIDDECODECAPS, nMinWidth), 48_u16);
        caps.set(offset_of!(CUVIDDECODECAPS, nMinHeight), 16_u16);
    }
    Ok(())
}

fn create(library: &'static Library, out: Out<usize>, info: Fields<CUVIDDECODECREATEINFO>) -> Answer {
    let name = "cuvidCreateDecoder";
    let (context, device) = library.current(name)?;
    let plan = &library.state.plan().devices[device];
    let get = |offset| usize::try_from(info.get::<u64>(offset)).unwrap_or(0);
    let word = |offset| info.get::<u32>(offset);
    let codec =
        codec(word(offset_of!(CUVIDDECODECREATEINFO, CodecType))).filter(|codec| plan.decode.contains(codec));
    let codec = codec.ok_or(NOT_SUPPORTED)?;
    let deep = match get(offset_of!(CUVIDDECODECREATEINFO, bitDepthMinus8)) {
        0 => false,
        2 if plan.decode_10bit.contains(&codec) => true,
        _ => return Err(NOT_SUPPORTED),
    };
    let sample = match word(offset_of!(CUVIDDECODECREATEINFO, OutputFormat)) {
        0 => 1,
        1 if deep => 2,
        _ => {
            return library.wrong(
                INVALID_VALUE,
                "cuvidCreateDecoder is asked for an output format that its caps have not",
            );
        }
    };
    let size =
        (get(offset_of!(CUVIDDECODECREATEINFO, ulWidth)), get(offset_of!(CUVIDDECODECREATEINFO, ulHeight)));
    let most = (
        get(offset_of!(CUVIDDECODECREATEINFO, ulMaxWidth)).max(size.0),
        get(offset_of!(CUVIDDECODECREATEINFO, ulMaxHeight)).max(size.1),
    );
    if word(offset_of!(CUVIDDECODECREATEINFO, ChromaFormat)) != 1
        || most.0 > plan.max_width as usize
        || most.1 > plan.max_height as usize
    {
        return Err(NOT_SUPPORTED);
    }
    let surfaces = get(offset_of!(CUVIDDECODECREATEINFO, ulNumDecodeSurfaces));
    let outputs = get(offset_of!(CUVIDDECODECREATEINFO, ulNumOutputSurfaces));
    if !(1..=MOST_SURFACES).contains(&surfaces) || !(1..=64).contains(&outputs) || size.0 < 48 || size.1 < 16
    {
        let text = format!("{name} is asked for {surfaces} and {outputs} surfaces of {size:?}");
        return library.wrong(INVALID_VALUE, &text);
    }
    let target = (
        get(offset_of!(CUVIDDECODECREATEINFO, ulTargetWidth)),
        get(offset_of!(CUVIDDECODECREATEINFO, ulTargetHeight)),
    );
    let area = area(info, offset_of!(CUVIDDECODECREATEINFO, display_area), size);
    let shape = Shape { area, target, sample };
    if target.0 == 0
        || target.1 == 0
        || target.0 > plan.max_width as usize
        || target.1 > plan.max_height as usize
    {
        return library.wrong(INVALID_VALUE, &format!("{name} is given a target of {target:?}"));
    }
    let session = Session::open(library.state, device, Engine::Decode).map_err(|error| match error {
        OpenError::Lost(gone) => lost(gone),
        OpenError::Planned(status) => Status(status.unwrap_or(999)),
        OpenError::Cap(_) => NO_DEVICE,
    })?;
    let wide = |value: usize| u32::try_from(value).unwrap_or(0);
    session.set_size(SessionSize { codec, width: wide(size.0), height: wide(size.1) });
    let memory = |bytes| library.cuda.allocate(context, bytes).map_err(|_| OUT_OF_MEMORY);
    let picture = most.0 * most.1 * 3 / 2 * sample;
    let inner = Inner {
        session,
        codec,
        most,
        shape,
        slots: (0..surfaces).map(|_| None).collect(),
        _surfaces: memory(picture * surfaces)?,
        outputs: (0..outputs).map(|_| output(library, context, shape)).collect::<Answer<_>>()?,
        mapped: HashMap::new(),
    };
    let handle = library.handle();
    hold(&library.decoders).insert(handle, Arc::new(Decoder { device, context, inner: Mutex::new(inner) }));
    if out.put(handle) { Ok(()) } else { Err(INVALID_VALUE) }
}

/// Room for a mapped picture, which is the client's only while one is.
fn output(library: &Library, context: usize, shape: Shape) -> Answer<DriverMemory> {
    let memory = library.cuda.allocate(context, shape.bytes()).map_err(|_| OUT_OF_MEMORY)?;
    memory.show(false);
    Ok(memory)
}

/// A rectangle of shorts: left, top, right, bottom. All zero is the whole picture.
fn area<T>(info: Fields<T>, offset: usize, size: (usize, usize)) -> [usize; 4] {
    let read = [0, 2, 4, 6].map(|at| usize::try_from(info.get::<i16>(offset + at)).unwrap_or(0));
    if read[2] > read[0] && read[3] > read[1] { read } else { [0, 0, size.0, size.1] }
}

fn find(library: &Library, name: &str, handle: usize) -> Answer<Arc<Decoder>> {
    let found = hold(&library.decoders).get(&handle).map(Arc::clone);
    found.map_or_else(
        || library.wrong(INVALID_HANDLE, &format!("{name} is given what is no decoder, or no longer")),
        Ok,
    )
}

fn decode(library: &Library, handle: usize, params: Fields<CUVIDPICPARAMS>) -> Answer {
    let decoder = find(library, "cuvidDecodePicture", handle)?;
    library.current("cuvidDecodePicture")?;
    let slot =
        usize::try_from(params.get::<u32>(offset_of!(CUVIDPICPARAMS, CurrPicIdx))).unwrap_or(usize::MAX);
    let picture =
        hold(&library.pictures).get(&params.get::<u64>(offset_of!(CUVIDPICPARAMS, Reserved))).map(Arc::clone);
    let Some(picture) = picture else {
        library.state.trace(|| "a picture that the client parsed itself".into());
        return Err(NOT_SUPPORTED);
    };
    let mut inner = hold(&decoder.inner);
    if slot >= inner.slots.len() {
        let text = format!("cuvidDecodePicture into surface {slot} of {}", inner.slots.len());
        return library.wrong(INVALID_VALUE, &text);
    }
    if inner.mapped.values().any(|mapped| *mapped == slot) {
        return library
            .wrong(INVALID_VALUE, &format!("cuvidDecodePicture into surface {slot}, which is mapped"));
    }
    let pixels = u64::try_from(inner.most.0 * inner.most.1).unwrap_or(0);
    let mut job = library.state.begin(decoder.device, Engine::Decode, pixels).map_err(lost)?;
    job.software_done(library.state);
    inner.slots[slot] = Some(Decoded { picture, job: Arc::new(job) });
    Ok(())
}

fn map(library: &Library, handle: usize, slot: i32, out: Out<u64>, pitch: Out<u32>) -> Answer {
    let name = "cuvidMapVideoFrame";
    let decoder = find(library, name, handle)?;
    library.current(name)?;
    let slot = usize::try_from(slot).unwrap_or(usize::MAX);
    let inner = hold(&decoder.inner);
    let Some(decoded) = inner.slots.get(slot).and_then(Option::as_ref) else {
        return library
            .wrong(INVALID_VALUE, &format!("{name} of surface {slot}, in which nothing is decoded"));
    };
    if inner.mapped.values().any(|mapped| *mapped == slot) {
        return library.wrong(MAP_FAILED, &format!("{name} of surface {slot}, which is mapped"));
    }
    let (picture, job) = (Arc::clone(&decoded.picture), Arc::clone(&decoded.job));
    drop(inner);
    let took = job.wait(library.state).map_err(lost)?;
    let frame = hold(&picture.frame);
    let flat = library.state.plan().pictures == Pictures::Flat;
    if frame.is_none() && !flat {
        return library
            .wrong(INVALID_VALUE, &format!("{name} of surface {slot} before the parser displayed it"));
    }
    let mut inner = hold(&decoder.inner);
    let output = inner.outputs.iter().find(|output| !inner.mapped.contains_key(&output.address()));
    let Some(output) = output else {
        let text = format!("{name}: all {} output surfaces are mapped", inner.outputs.len());
        return library.wrong(MAP_FAILED, &text);
    };
    let (shape, address) = (inner.shape, output.address());
    output.show(true);
    let mut view = library.cuda.lend(decoder.context, address, shape.bytes()).map_err(Status)?;
    let cpu = library.state.driver_cpu(decoder.device);
    if let Some(frame) = frame.as_ref() {
        shape.write(frame, view.bytes_mut());
    }
    if job.corrupt() {
        view.bytes_mut().iter_mut().skip(7).step_by(13).for_each(|byte| *byte ^= 0x5a);
    }
    drop(cpu);
    inner.mapped.insert(address, slot);
    inner.session.frame(took);
    *hold(&picture.mapped) = true;
    pitch.put(u32::try_from(shape.pitch()).unwrap_or(0));
    if out.put(address) { Ok(()) } else { Err(INVALID_VALUE) }
}

fn unmap(library: &Library, handle: usize, address: u64) -> Answer {
    let decoder = find(library, "cuvidUnmapVideoFrame", handle)?;
    let mut inner = hold(&decoder.inner);
    match inner.mapped.remove(&address) {
        Some(_) => {
            inner.outputs.iter().filter(|output| output.address() == address).for_each(|o| o.show(false));
            Ok(())
        }
        None => library
            .wrong(INVALID_VALUE, &format!("cuvidUnmapVideoFrame of {address:#x}, which is not mapped")),
    }
}

fn reconfigure(library: &Library, handle: usize, info: Fields<CUVIDRECONFIGUREDECODERINFO>) -> Answer {
    let name = "cuvidReconfigureDecoder";
    let decoder = find(library, name, handle)?;
    library.current(name)?;
    let get = |offset| usize::try_from(info.get::<u32>(offset)).unwrap_or(0);
    let mut inner = hold(&decoder.inner);
    let size = (
        get(offset_of!(CUVIDRECONFIGUREDECODERINFO, ulWidth)),
        get(offset_of!(CUVIDRECONFIGUREDECODERINFO, ulHeight)),
    );
    if size.0 > inner.most.0 || size.1 > inner.most.1 {
        let text = format!("{name} to {size:?}, over the {:?} that it was made for", inner.most);
        return library.wrong(INVALID_VALUE, &text);
    }
    let surfaces = get(offset_of!(CUVIDRECONFIGUREDECODERINFO, ulNumDecodeSurfaces));
    if !inner.mapped.is_empty() || !(1..=MOST_SURFACES).contains(&surfaces) {
        let text = format!("{name} to {surfaces} surfaces with {} pictures mapped", inner.mapped.len());
        return library.wrong(INVALID_VALUE, &text);
    }
    let target = (
        get(offset_of!(CUVIDRECONFIGUREDECODERINFO, ulTargetWidth)),
        get(offset_of!(CUVIDRECONFIGUREDECODERINFO, ulTargetHeight)),
    );
    let shape = Shape {
        area: area(info, offset_of!(CUVIDRECONFIGUREDECODERINFO, display_area), size),
        target,
        sample: inner.shape.sample,
    };
    let made = inner.outputs.iter().map(|_| output(library, decoder.context, shape));
    inner.outputs = made.collect::<Answer<_>>()?;
    inner.shape = shape;
    inner.slots = (0..surfaces).map(|_| None).collect();
    let wide = |value: usize| u32::try_from(value).unwrap_or(0);
    inner.session.set_size(SessionSize { codec: inner.codec, width: wide(size.0), height: wide(size.1) });
    Ok(())
}

fn destroy(library: &Library, handle: usize) -> Answer {
    let decoder = find(library, "cuvidDestroyDecoder", handle)?;
    hold(&library.decoders).remove(&handle);
    let mapped = hold(&decoder.inner).mapped.len();
    if mapped > 0 && library.state.there(decoder.device).is_ok() {
        let sentence = format!("cuvidDestroyDecoder with {mapped} pictures mapped");
        library.state.violation("libnvcuvid", Offence::Leak, &sentence);
    }
    Ok(())
}

fn status(library: &Library, handle: usize, slot: i32, out: Fields<CUVIDGETDECODESTATUS>) -> Answer {
    let decoder = find(library, "cuvidGetDecodeStatus", handle)?;
    library.state.there(decoder.device).map_err(lost)?;
    let inner = hold(&decoder.inner);
    let slot = usize::try_from(slot).unwrap_or(usize::MAX);
    let decoded = inner.slots.get(slot).and_then(Option::as_ref).ok_or(INVALID_VALUE)?;
    // cuvidDecodeStatus: in progress, success, error concealed.
    let word = match (decoded.job.is_done(), decoded.job.corrupt()) {
        (false, _) => 1_u32,
        (true, false) => 2,
        (true, true) => 9,
    };
    out.set(offset_of!(CUVIDGETDECODESTATUS, decodeStatus), word);
    Ok(())
}

macro_rules! entries {
    ($(fn $name:ident($library:ident $(, $argument:ident: $type:ty)*) $body:block)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of cuviddec.h.")]
        // SAFETY: the name is libnvcuvid's, and this is libnvcuvid.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "cuviddec.h names it")]
        pub(crate) extern "C" fn $name($($argument: $type),*) -> u32 {
            enter(stringify!($name), |$library| $body)
        }
    )*};
}

entries! {
    fn cuvidGetDecoderCaps(library, info: Fields<CUVIDDECODECAPS>) {
        caps(library, info)
    }
    fn cuvidCreateDecoder(library, out: Out<usize>, info: Fields<CUVIDDECODECREATEINFO>) {
        create(library, out, info)
    }
    fn cuvidDestroyDecoder(library, decoder: usize) {
        destroy(library, decoder)
    }
    fn cuvidDecodePicture(library, decoder: usize, params: Fields<CUVIDPICPARAMS>) {
        decode(library, decoder, params)
    }
    fn cuvidGetDecodeStatus(library, decoder: usize, slot: i32, out: Fields<CUVIDGETDECODESTATUS>) {
        status(library, decoder, slot, out)
    }
    fn cuvidReconfigureDecoder(library, decoder: usize, info: Fields<CUVIDRECONFIGUREDECODERINFO>) {
        reconfigure(library, decoder, info)
    }
    fn cuvidMapVideoFrame64(
        library,
        decoder: usize,
        slot: i32,
        address: Out<u64>,
        pitch: Out<u32>,
        _params: Fields<CUVIDPROCPARAMS>
    ) {
        map(library, decoder, slot, address, pitch)
    }
    fn cuvidUnmapVideoFrame64(library, decoder: usize, address: u64) {
        unmap(library, decoder, address)
    }
    fn cuvidCtxLockCreate(library, out: Out<usize>, context: usize) {
        if library.cuda.device_of(context).is_none() {
            return library.wrong(crate::library::INVALID_CONTEXT, "cuvidCtxLockCreate is given what is no context");
        }
        let handle = library.handle();
        hold(&library.locks).insert(handle, context);
        if out.put(handle) { Ok(()) } else { Err(UNKNOWN) }
    }
    fn cuvidCtxLockDestroy(library, lock: usize) {
        match hold(&library.locks).remove(&lock) {
            Some(_) => Ok(()),
            None => library.wrong(INVALID_HANDLE, "cuvidCtxLockDestroy is given what is no lock"),
        }
    }
    fn cuvidCtxLock(library, lock: usize, _flags: u32) {
        let context = hold(&library.locks).get(&lock).copied();
        match context {
            Some(context) => {
                library.cuda.push(context);
                Ok(())
            }
            None => library.wrong(INVALID_HANDLE, "cuvidCtxLock is given what is no lock"),
        }
    }
    fn cuvidCtxUnlock(library, lock: usize, _flags: u32) {
        if !hold(&library.locks).contains_key(&lock) {
            return library.wrong(INVALID_HANDLE, "cuvidCtxUnlock is given what is no lock");
        }
        library.cuda.pop();
        Ok(())
    }
}
