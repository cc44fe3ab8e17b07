//! NVENC: libnvidia-encode, loaded at run time.

mod settings;

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr;

use libloading::Library;
use nvidia_video_codec_sdk::sys::nvEncodeAPI as nv;

use super::cuda::Context;
use super::raw::Raw;
use crate::device::Codec;
use crate::error::NvencError;
use crate::frame::Size;

#[cfg(test)]
pub(in crate::ffi) use settings::BITS;
pub(crate) use settings::{MAX_LOOKAHEAD, Settings};

/// The driver's library.
const LIBRARY: &str = "libnvidia-encode.so.1";

/// The version of the API that this speaks; every driver since 535 does.
pub(crate) const VERSION: (u32, u32) = (nv::NVENCAPI_MAJOR_VERSION, nv::NVENCAPI_MINOR_VERSION);

/// Largest parameter sets: NV_MAX_SEQ_HDR_LEN of nvEncodeAPI.h.
const MAX_HEADER_BYTES: usize = 512;

/// A library that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is not there.
    #[error(
        "libnvidia-encode.so.1 cannot be loaded: the driver's video encoding library is not installed here"
    )]
    Missing,
    /// It is too old.
    #[error(
        "driver {} is too old to encode: 535 or newer is needed (it speaks version {}.{} of NVENC's API, not {}.{})",
        driver.as_deref().unwrap_or("of this machine"), found.0, found.1, needed.0, needed.1
    )]
    TooOld {
        /// The driver's version, where NVML tells it.
        driver: Option<String>,
        /// What it speaks.
        found: (u32, u32),
        /// What is needed.
        needed: (u32, u32),
    },
    /// It does not start.
    #[error("libnvidia-encode.so.1 does not start")]
    Start(#[source] NvencError),
}

type Handle = *mut c_void;
/// Functions that take a session and a structure or another handle. Statuses are numbers.
type Call<T> = unsafe extern "C" fn(Handle, *mut T) -> u32;

/// The functions used; in C they are the members of `NV_ENCODE_API_FUNCTION_LIST`.
struct Functions {
    open: unsafe extern "C" fn(*mut nv::NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, *mut Handle) -> u32,
    guid_count: Call<u32>,
    guids: unsafe extern "C" fn(Handle, *mut nv::GUID, u32, *mut u32) -> u32,
    caps: unsafe extern "C" fn(Handle, nv::GUID, *mut nv::NV_ENC_CAPS_PARAM, *mut i32) -> u32,
    preset: unsafe extern "C" fn(Handle, nv::GUID, nv::GUID, u32, *mut nv::NV_ENC_PRESET_CONFIG) -> u32,
    initialize: Call<nv::NV_ENC_INITIALIZE_PARAMS>,
    create_output: Call<nv::NV_ENC_CREATE_BITSTREAM_BUFFER>,
    destroy_output: Call<c_void>,
    encode: Call<nv::NV_ENC_PIC_PARAMS>,
    lock: Call<nv::NV_ENC_LOCK_BITSTREAM>,
    unlock: Call<c_void>,
    headers: Call<nv::NV_ENC_SEQUENCE_PARAM_PAYLOAD>,
    register: Call<nv::NV_ENC_REGISTER_RESOURCE>,
    unregister: Call<c_void>,
    map: Call<nv::NV_ENC_MAP_INPUT_RESOURCE>,
    unmap: Call<c_void>,
    reconfigure: Call<nv::NV_ENC_RECONFIGURE_PARAMS>,
    destroy: unsafe extern "C" fn(Handle) -> u32,
}

/// The library.
pub(crate) struct Nvenc {
    functions: Functions,
    /// Last: the functions are gone with it.
    _library: Library,
}

fn check(status: u32) -> Result<(), NvencError> {
    NvencError::of(status).map_or(Ok(()), Err)
}

impl Nvenc {
    /// Loads the library and checks that it speaks what we do.
    pub(crate) fn load() -> Result<Self, LoadError> {
        // SAFETY: the initialisers of the driver's library have no demands.
        let library = unsafe { Library::new(LIBRARY) }.map_err(|_| LoadError::Missing)?;
        // SAFETY: the type is the function's of nvEncodeAPI.h, with its status as the number it is in C.
        let version = unsafe {
            library.get::<unsafe extern "C" fn(*mut u32) -> u32>(b"NvEncodeAPIGetMaxSupportedVersion\0")
        };
        let mut found = 0;
        // SAFETY: it wants room for a number.
        let status = unsafe { version.map_err(|_| LoadError::Missing)?(&raw mut found) };
        check(status).map_err(LoadError::Start)?;
        // NVENCAPI_VERSION's form there: major in bits from 4 on, minor in the lowest four.
        let found = (found >> 4, found & 15);
        if found < VERSION {
            return Err(LoadError::TooOld { driver: crate::nvml::driver_version(), found, needed: VERSION });
        }
        // SAFETY: as above.
        let create = unsafe {
            library.get::<unsafe extern "C" fn(*mut nv::NV_ENCODE_API_FUNCTION_LIST) -> u32>(
                b"NvEncodeAPICreateInstance\0",
            )
        };
        let mut list = nv::NV_ENCODE_API_FUNCTION_LIST {
            version: nv::NV_ENCODE_API_FUNCTION_LIST_VER,
            ..Default::default()
        };
        // SAFETY: the list has its version set and is zero otherwise, as asked; its members are pointers, null or not.
        let status = unsafe { create.map_err(|_| LoadError::Missing)?(&raw mut list) };
        check(status).map_err(LoadError::Start)?;
        let functions = Functions::of(&list).ok_or(LoadError::Start(NvencError::Unimplemented))?;
        Ok(Self { functions, _library: library })
    }
}

impl Functions {
    /// None where one is missing.
    #[expect(clippy::missing_transmute_annotations, reason = "each target type stands in Functions")]
    fn of(list: &nv::NV_ENCODE_API_FUNCTION_LIST) -> Option<Self> {
        macro_rules! number {
            ($member:ident) => {{
                let function = list.$member?;
                // SAFETY: both are pointers to the same C function. Only results and values of enum types differ, which
                // are 32-bit numbers in C.
                unsafe { std::mem::transmute::<_, _>(function) }
            }};
        }
        Some(Self {
            open: number!(nvEncOpenEncodeSessionEx),
            guid_count: number!(nvEncGetEncodeGUIDCount),
            guids: number!(nvEncGetEncodeGUIDs),
            caps: number!(nvEncGetEncodeCaps),
            preset: number!(nvEncGetEncodePresetConfigEx),
            initialize: number!(nvEncInitializeEncoder),
            create_output: number!(nvEncCreateBitstreamBuffer),
            destroy_output: number!(nvEncDestroyBitstreamBuffer),
            encode: number!(nvEncEncodePicture),
            lock: number!(nvEncLockBitstream),
            unlock: number!(nvEncUnlockBitstream),
            headers: number!(nvEncGetSequenceParams),
            register: number!(nvEncRegisterResource),
            unregister: number!(nvEncUnregisterResource),
            map: number!(nvEncMapInputResource),
            unmap: number!(nvEncUnmapInputResource),
            reconfigure: number!(nvEncReconfigureEncoder),
            destroy: number!(nvEncDestroyEncoder),
        })
    }
}

const fn codec_guid(codec: Codec) -> nv::GUID {
    match codec {
        Codec::H264 => nv::NV_ENC_CODEC_H264_GUID,
        Codec::Hevc => nv::NV_ENC_CODEC_HEVC_GUID,
        Codec::Av1 => nv::NV_ENC_CODEC_AV1_GUID,
    }
}

/// What may be asked of a codec's encoder; the numbers of `NV_ENC_CAPS`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cap {
    MaxBFrames = 0,
    WidthMax = 16,
    HeightMax = 17,
    DynamicBitRate = 20,
    CustomVbv = 26,
    MacroblocksPerSecond = 32,
    Lookahead = 37,
    TenBit = 39,
    BFrameReferences = 43,
    WidthMin = 45,
    HeightMin = 46,
    Engines = 49,
}

/// Where a session writes a coded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output(Handle);
// SAFETY: a handle that the submitting thread and the locking one both use (see Session).
unsafe impl Send for Output {}

/// Memory of a picture that a session knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resource(Handle);
// SAFETY: a handle; only the thread that holds the encoder uses it.
unsafe impl Send for Resource {}

/// A picture that a session may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapped {
    handle: Handle,
    format: u32,
}
// SAFETY: as Resource.
unsafe impl Send for Mapped {}

/// A coded picture.
pub(crate) struct Locked {
    pub(crate) data: Vec<u8>,
    pub(crate) timestamp: u64,
    pub(crate) key: bool,
}

/// An encode session.
///
/// Two threads use it at once: one submits pictures, and makes all other calls; another one locks and unlocks outputs.
/// That is the threading model of the NVENC programming guide.
pub(crate) struct Session {
    nvenc: &'static Nvenc,
    handle: Handle,
    context: Context,
}

// SAFETY: see above; the handle is tied to no thread.
unsafe impl Send for Session {}
// SAFETY: see above: what may not run beside each other takes `&mut self` in Encoder, the only user.
unsafe impl Sync for Session {}

impl Session {
    /// Opens a session.
    pub(crate) fn open(nvenc: &'static Nvenc, context: &Context) -> Result<Self, NvencError> {
        context.bind().map_err(|_| NvencError::InvalidDevice)?;
        type P = nv::NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS;
        let mut parameters = Raw::<P>::zeroed();
        parameters.set(offset_of!(P, version), nv::NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER);
        parameters.set(offset_of!(P, deviceType), nv::NV_ENC_DEVICE_TYPE::NV_ENC_DEVICE_TYPE_CUDA as u32);
        parameters.set(offset_of!(P, device), context.as_raw());
        parameters.set(offset_of!(P, apiVersion), nv::NVENCAPI_VERSION);
        // Destroyed by drop where it is not null, which it may be or not after a failure.
        let mut session = Self { nvenc, handle: ptr::null_mut(), context: context.clone() };
        // SAFETY: the structure is whole, the context alive as long as the session.
        check(unsafe { (nvenc.functions.open)(parameters.as_mut_ptr(), &raw mut session.handle) })?;
        Ok(session)
    }

    fn bind(&self) -> Result<(), NvencError> {
        self.context.bind().map_err(|_| NvencError::DeviceNotExist)
    }

    /// The codecs that the device encodes.
    pub(crate) fn codecs(&self) -> Result<Vec<Codec>, NvencError> {
        self.bind()?;
        let mut count = 0;
        // SAFETY: the session is open; room for a number.
        check(unsafe { (self.nvenc.functions.guid_count)(self.handle, &raw mut count) })?;
        // No driver has more; one that says so is wrong.
        let size = count.min(64);
        let mut guids = vec![nv::GUID::default(); usize::try_from(size).unwrap_or(0)];
        // SAFETY: the session is open; the array has `size` members.
        check(unsafe {
            (self.nvenc.functions.guids)(self.handle, guids.as_mut_ptr(), size, &raw mut count)
        })?;
        Ok(Codec::ALL.into_iter().filter(|codec| guids.contains(&codec_guid(*codec))).collect())
    }

    /// What the driver answers; none where it does not know the question.
    pub(crate) fn cap(&self, codec: Codec, cap: Cap) -> Option<u32> {
        type P = nv::NV_ENC_CAPS_PARAM;
        self.bind().ok()?;
        let mut question = Raw::<P>::zeroed();
        question.set(offset_of!(P, version), nv::NV_ENC_CAPS_PARAM_VER);
        question.set(offset_of!(P, capsToQuery), cap as u32);
        let mut answer = 0;
        // SAFETY: the session is open, the structure whole; room for a number.
        let status = unsafe {
            (self.nvenc.functions.caps)(
                self.handle,
                codec_guid(codec),
                question.as_mut_ptr(),
                &raw mut answer,
            )
        };
        check(status).ok()?;
        u32::try_from(answer).ok()
    }

    /// The configuration of a preset.
    fn preset(
        &self,
        codec: Codec,
        preset: nv::GUID,
        tuning: u32,
    ) -> Result<Raw<nv::NV_ENC_CONFIG>, NvencError> {
        type P = nv::NV_ENC_PRESET_CONFIG;
        self.bind()?;
        let mut config = Raw::<P>::zeroed();
        config.set(offset_of!(P, version), nv::NV_ENC_PRESET_CONFIG_VER);
        config.set(offset_of!(P, presetCfg.version), nv::NV_ENC_CONFIG_VER);
        // SAFETY: the session is open, the structure has its versions set and is zero otherwise, as asked.
        check(unsafe {
            (self.nvenc.functions.preset)(self.handle, codec_guid(codec), preset, tuning, config.as_mut_ptr())
        })?;
        Ok(config.copy_out(offset_of!(P, presetCfg)))
    }

    /// Makes the session an encoder. Once.
    pub(crate) fn initialize(&self, settings: &mut Settings) -> Result<(), NvencError> {
        self.bind()?;
        let parameters = settings.parameters();
        // SAFETY: the session is open; the structure is whole, and points at a configuration that lives as long.
        check(unsafe { (self.nvenc.functions.initialize)(self.handle, parameters) })
    }

    /// Changes what may be changed without a reset.
    pub(crate) fn reconfigure(&self, settings: &mut Settings) -> Result<(), NvencError> {
        self.bind()?;
        let mut parameters = settings.reconfiguration();
        // SAFETY: the session is initialised; the structure is whole, and points at a configuration that lives as long.
        check(unsafe { (self.nvenc.functions.reconfigure)(self.handle, parameters.as_mut_ptr()) })
    }

    /// The parameter sets in Annex B form, or AV1's sequence header as an OBU.
    pub(crate) fn headers(&self) -> Result<Vec<u8>, NvencError> {
        type P = nv::NV_ENC_SEQUENCE_PARAM_PAYLOAD;
        self.bind()?;
        let mut buffer = vec![0u8; MAX_HEADER_BYTES];
        let mut length = 0u32;
        let length_at = &raw mut length;
        let mut payload = Raw::<P>::zeroed();
        payload.set(offset_of!(P, version), nv::NV_ENC_SEQUENCE_PARAM_PAYLOAD_VER);
        payload.set(offset_of!(P, inBufferSize), u32::try_from(MAX_HEADER_BYTES).unwrap_or(0));
        payload.set(offset_of!(P, spsppsBuffer), buffer.as_mut_ptr());
        payload.set(offset_of!(P, outSPSPPSPayloadSize), length_at);
        // SAFETY: the session is initialised; the buffer has the size given, and there is room for its length.
        check(unsafe { (self.nvenc.functions.headers)(self.handle, payload.as_mut_ptr()) })?;
        buffer.truncate(usize::try_from(length).unwrap_or(0));
        Ok(buffer)
    }

    /// Room for a coded picture.
    pub(crate) fn create_output(&self) -> Result<Output, NvencError> {
        type P = nv::NV_ENC_CREATE_BITSTREAM_BUFFER;
        self.bind()?;
        let mut parameters = Raw::<P>::zeroed();
        parameters.set(offset_of!(P, version), nv::NV_ENC_CREATE_BITSTREAM_BUFFER_VER);
        // SAFETY: the session is initialised, the structure whole.
        check(unsafe { (self.nvenc.functions.create_output)(self.handle, parameters.as_mut_ptr()) })?;
        Ok(Output(parameters.get(offset_of!(P, bitstreamBuffer))))
    }

    pub(crate) fn destroy_output(&self, output: Output) -> Result<(), NvencError> {
        self.bind()?;
        // SAFETY: the output is of this session, by the way Encoder keeps them, and nobody uses it any more.
        check(unsafe { (self.nvenc.functions.destroy_output)(self.handle, output.0) })
    }

    /// Makes an NV12 picture of the device known. Its memory must stay until it is unregistered.
    pub(crate) fn register(&self, address: u64, pitch: u32, size: Size) -> Result<Resource, NvencError> {
        type P = nv::NV_ENC_REGISTER_RESOURCE;
        self.bind()?;
        let mut parameters = Raw::<P>::zeroed();
        parameters.set(offset_of!(P, version), nv::NV_ENC_REGISTER_RESOURCE_VER);
        let kind = nv::NV_ENC_INPUT_RESOURCE_TYPE::NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR;
        parameters.set(offset_of!(P, resourceType), kind as u32);
        parameters.set(offset_of!(P, width), size.width);
        parameters.set(offset_of!(P, height), size.height);
        parameters.set(offset_of!(P, pitch), pitch);
        // A CUdeviceptr in the place of a pointer.
        parameters.set(offset_of!(P, resourceToRegister), address);
        parameters.set(offset_of!(P, bufferFormat), settings::NV12);
        parameters.set(offset_of!(P, bufferUsage), nv::NV_ENC_BUFFER_USAGE::NV_ENC_INPUT_IMAGE as u32);
        // SAFETY: the session is initialised, the structure whole; the memory is kept by the caller.
        check(unsafe { (self.nvenc.functions.register)(self.handle, parameters.as_mut_ptr()) })?;
        Ok(Resource(parameters.get(offset_of!(P, registeredResource))))
    }

    pub(crate) fn unregister(&self, resource: Resource) -> Result<(), NvencError> {
        self.bind()?;
        // SAFETY: as destroy_output.
        check(unsafe { (self.nvenc.functions.unregister)(self.handle, resource.0) })
    }

    pub(crate) fn map(&self, resource: Resource) -> Result<Mapped, NvencError> {
        type P = nv::NV_ENC_MAP_INPUT_RESOURCE;
        self.bind()?;
        let mut parameters = Raw::<P>::zeroed();
        parameters.set(offset_of!(P, version), nv::NV_ENC_MAP_INPUT_RESOURCE_VER);
        parameters.set(offset_of!(P, registeredResource), resource.0);
        // SAFETY: the session is initialised, the structure whole, the resource registered.
        check(unsafe { (self.nvenc.functions.map)(self.handle, parameters.as_mut_ptr()) })?;
        Ok(Mapped {
            handle: parameters.get(offset_of!(P, mappedResource)),
            format: parameters.get(offset_of!(P, mappedBufferFmt)),
        })
    }

    pub(crate) fn unmap(&self, mapped: Mapped) -> Result<(), NvencError> {
        self.bind()?;
        // SAFETY: as destroy_output.
        check(unsafe { (self.nvenc.functions.unmap)(self.handle, mapped.handle) })
    }

    /// Gives the encoder a picture. Whether outputs can be locked now: this one's, and those of all before.
    pub(crate) fn encode(
        &self,
        picture: Mapped,
        (size, pitch): (Size, u32),
        output: Output,
        timestamp: u64,
        idr: bool,
    ) -> Result<bool, NvencError> {
        type P = nv::NV_ENC_PIC_PARAMS;
        let mut parameters = Raw::<P>::zeroed();
        parameters.set(offset_of!(P, version), nv::NV_ENC_PIC_PARAMS_VER);
        parameters.set(offset_of!(P, inputWidth), size.width);
        parameters.set(offset_of!(P, inputHeight), size.height);
        parameters.set(offset_of!(P, inputPitch), pitch);
        let flags = if idr { nv::NV_ENC_PIC_FLAGS::NV_ENC_PIC_FLAG_FORCEIDR as u32 } else { 0 };
        parameters.set(offset_of!(P, encodePicFlags), flags);
        parameters.set(offset_of!(P, inputTimeStamp), timestamp);
        parameters.set(offset_of!(P, inputDuration), 1u64);
        parameters.set(offset_of!(P, inputBuffer), picture.handle);
        parameters.set(offset_of!(P, outputBitstream), output.0);
        parameters.set(offset_of!(P, bufferFmt), picture.format);
        parameters.set(offset_of!(P, pictureStruct), nv::NV_ENC_PIC_STRUCT::NV_ENC_PIC_STRUCT_FRAME as u32);
        self.submit(parameters)
    }

    /// Nothing more will be given: all outputs can be locked after this.
    pub(crate) fn end(&self) -> Result<(), NvencError> {
        type P = nv::NV_ENC_PIC_PARAMS;
        let mut parameters = Raw::<P>::zeroed();
        parameters.set(offset_of!(P, version), nv::NV_ENC_PIC_PARAMS_VER);
        let flags = nv::NV_ENC_PIC_FLAGS::NV_ENC_PIC_FLAG_EOS as u32;
        parameters.set(offset_of!(P, encodePicFlags), flags);
        self.submit(parameters).map(|_| ())
    }

    fn submit(&self, mut parameters: Raw<nv::NV_ENC_PIC_PARAMS>) -> Result<bool, NvencError> {
        self.bind()?;
        // SAFETY: the session is initialised, the structure whole; input and output are of this session and stay until
        // the output was locked, by the way Encoder keeps them.
        match check(unsafe { (self.nvenc.functions.encode)(self.handle, parameters.as_mut_ptr()) }) {
            Ok(()) => Ok(true),
            Err(NvencError::NeedMoreInput) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for a coded picture and copies it out.
    pub(crate) fn lock(&self, output: Output) -> Result<Locked, NvencError> {
        type P = nv::NV_ENC_LOCK_BITSTREAM;
        self.bind()?;
        let mut parameters = Raw::<P>::zeroed();
        parameters.set(offset_of!(P, version), nv::NV_ENC_LOCK_BITSTREAM_VER);
        parameters.set(offset_of!(P, outputBitstream), output.0);
        // SAFETY: the session is initialised, the structure whole, the output one that was submitted.
        check(unsafe { (self.nvenc.functions.lock)(self.handle, parameters.as_mut_ptr()) })?;
        let length: u32 = parameters.get(offset_of!(P, bitstreamSizeInBytes));
        let start: *mut u8 = parameters.get(offset_of!(P, bitstreamBufferPtr));
        let kind: u32 = parameters.get(offset_of!(P, pictureType));
        let data = match usize::try_from(length) {
            Ok(length) if !start.is_null() && length > 0 => {
                // SAFETY: the driver gave this many bytes at this address, which stay until the output is unlocked.
                unsafe { std::slice::from_raw_parts(start, length) }.to_vec()
            }
            _ => Vec::new(),
        };
        let timestamp = parameters.get(offset_of!(P, outputTimeStamp));
        // SAFETY: locked above.
        check(unsafe { (self.nvenc.functions.unlock)(self.handle, output.0) })?;
        Ok(Locked { data, timestamp, key: kind == nv::NV_ENC_PIC_TYPE::NV_ENC_PIC_TYPE_IDR as u32 })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.handle.is_null() && self.context.bind().is_ok() {
            // SAFETY: opened by open, destroyed here alone. What it says changes nothing.
            let _ = unsafe { (self.nvenc.functions.destroy)(self.handle) };
        }
    }
}
