//! What pictures come in and coded pictures go out by: input buffers, registered device memory, bitstream buffers.

use std::mem::offset_of;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    NV_ENC_CREATE_BITSTREAM_BUFFER, NV_ENC_CREATE_INPUT_BUFFER, NV_ENC_LOCK_INPUT_BUFFER,
    NV_ENC_MAP_INPUT_RESOURCE, NV_ENC_REGISTER_RESOURCE,
};
use sim_nvidia::cuda::View;
use sim_nvidia::pointer::Fields;
use sim_state::{Counter, Job, Memory};

use crate::caps::P010;
use crate::coder::Coded;
use crate::encoder::{Encoder, Inner, enter, enter_anyway};
use crate::status::{
    Answer, INVALID_CALL, INVALID_PARAM, LOCK_BUSY, MAP_FAILED, OUT_OF_MEMORY, RESOURCE_NOT_MAPPED,
    RESOURCE_NOT_REGISTERED, RESOURCE_REGISTER_FAILED, UNSUPPORTED_PARAM,
};
use crate::version::Structure;

/// What a row of an input buffer is a multiple of.
const PITCH: usize = 256;
/// `NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR`.
const CUDA_POINTER: u32 = 1;

/// A picture's shape in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) format: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pitch: usize,
}

impl Shape {
    /// Bytes of all planes.
    pub(crate) fn bytes(self) -> usize {
        let rows = usize::try_from(self.height).unwrap_or(0);
        self.pitch * rows + self.pitch * rows.div_ceil(2)
    }

    fn least_pitch(format: u32, width: u32) -> usize {
        usize::try_from(width).unwrap_or(usize::MAX) * if format == P010 { 2 } else { 1 }
    }
}

/// An input buffer of the session's own, which the client writes to through a lock.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) shape: Shape,
    pub(crate) bytes: Vec<u8>,
    pub(crate) locked: bool,
    _memory: Memory,
}

/// Device memory that the client registered.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) shape: Shape,
    pub(crate) view: View,
    mapped: Option<usize>,
}

/// A bitstream buffer.
#[derive(Debug)]
pub(crate) enum Output {
    /// Nothing is in it.
    Empty,
    /// A picture was given for it.
    Waiting,
    /// A coded picture is in it, as soon as the engine is done.
    Ready(Box<Filled>),
    /// Somebody waits for the engine to lock it.
    Locking,
    /// The client reads it.
    Locked(Box<Filled>),
}

/// What is in a bitstream buffer.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) coded: Coded,
    pub(crate) timestamp: u64,
    pub(crate) duration: u64,
    pub(crate) frame_index: u32,
    pub(crate) job: Job,
}

impl Inner {
    /// Whether the picture in `input` is not coded yet.
    fn in_use(&self, input: usize) -> bool {
        self.inside.values().any(|submitted| submitted.input == input)
    }
}

impl Encoder {
    /// The shape of an input; its format must be one of the coding's.
    fn shape(&self, inner: &Inner, name: &str, format: u32, size: (u32, u32), pitch: usize) -> Answer<Shape> {
        let settings = self.initialised(name, inner)?;
        if !crate::caps::formats(self.plan(), settings.codec).contains(&format) {
            return self.refuse(UNSUPPORTED_PARAM, &format!("{name}: pictures of format {format:#x}"));
        }
        let least = Shape::least_pitch(format, size.0);
        if pitch < least {
            return self.wrong(INVALID_PARAM, &format!("{name}: a pitch of {pitch} bytes, at least {least}"));
        }
        Ok(Shape { format, width: size.0, height: size.1, pitch })
    }

    fn create_input(&self, params: Fields<NV_ENC_CREATE_INPUT_BUFFER>) -> Answer {
        let name = "nvEncCreateInputBuffer";
        self.version(name, params, Structure::CreateInput)?;
        let format = params.get::<u32>(offset_of!(NV_ENC_CREATE_INPUT_BUFFER, bufferFmt));
        let width = params.get::<u32>(offset_of!(NV_ENC_CREATE_INPUT_BUFFER, width));
        let height = params.get::<u32>(offset_of!(NV_ENC_CREATE_INPUT_BUFFER, height));
        let mut inner = self.inner();
        let pitch = Shape::least_pitch(format, width).next_multiple_of(PITCH);
        let shape = self.shape(&inner, name, format, (width, height), pitch)?;
        let bytes = u64::try_from(shape.bytes()).unwrap_or(u64::MAX);
        let Ok(memory) = Memory::take(self.library.state, self.device, bytes) else {
            return self.refuse(OUT_OF_MEMORY, "no device memory for an input buffer");
        };
        let handle = self.library.handle();
        let input = Input { shape, bytes: vec![0; shape.bytes()], locked: false, _memory: memory };
        inner.inputs.insert(handle, input);
        params.set(offset_of!(NV_ENC_CREATE_INPUT_BUFFER, inputBuffer), handle);
        Ok(())
    }

    fn destroy_input(&self, handle: usize) -> Answer {
        let mut inner = self.inner();
        if inner.inputs.get(&handle).is_some_and(|input| input.locked) {
            return self.wrong(INVALID_CALL, "nvEncDestroyInputBuffer on a locked buffer");
        }
        match inner.inputs.remove(&handle) {
            Some(_) => Ok(()),
            None => self.wrong(INVALID_PARAM, "nvEncDestroyInputBuffer is given what is no input buffer"),
        }
    }

    fn lock_input(&self, params: Fields<NV_ENC_LOCK_INPUT_BUFFER>) -> Answer {
        self.version("nvEncLockInputBuffer", params, Structure::LockInput)?;
        let handle = params.get::<usize>(offset_of!(NV_ENC_LOCK_INPUT_BUFFER, inputBuffer));
        let mut inner = self.inner();
        let busy = inner.in_use(handle);
        let Some(input) = inner.inputs.get_mut(&handle) else {
            return self.wrong(INVALID_PARAM, "nvEncLockInputBuffer is given what is no input buffer");
        };
        if input.locked {
            return self.wrong(INVALID_CALL, "nvEncLockInputBuffer on a buffer that is locked");
        }
        if busy {
            return self.wrong(LOCK_BUSY, "nvEncLockInputBuffer on a buffer whose picture is not coded yet");
        }
        input.locked = true;
        let address = input.bytes.as_mut_ptr().expose_provenance();
        params.set(offset_of!(NV_ENC_LOCK_INPUT_BUFFER, bufferDataPtr), address);
        params
            .set(offset_of!(NV_ENC_LOCK_INPUT_BUFFER, pitch), u32::try_from(input.shape.pitch).unwrap_or(0));
        Ok(())
    }

    fn unlock_input(&self, handle: usize) -> Answer {
        let mut inner = self.inner();
        let Some(input) = inner.inputs.get_mut(&handle).filter(|input| input.locked) else {
            return self.wrong(INVALID_CALL, "nvEncUnlockInputBuffer on what is no locked input buffer");
        };
        input.locked = false;
        let bytes = u64::try_from(input.bytes.len()).unwrap_or(0);
        self.library.state.count(self.device, Counter::HostToDeviceCopies, 1);
        self.library.state.count(self.device, Counter::HostToDeviceBytes, bytes);
        Ok(())
    }

    fn register(&self, params: Fields<NV_ENC_REGISTER_RESOURCE>) -> Answer {
        let name = "nvEncRegisterResource";
        self.version(name, params, Structure::RegisterResource)?;
        if params.get::<u32>(offset_of!(NV_ENC_REGISTER_RESOURCE, resourceType)) != CUDA_POINTER {
            return self.refuse(UNSUPPORTED_PARAM, "resources that are not CUDADEVICEPTR");
        }
        let get = |offset| params.get::<u32>(offset);
        let size = (
            get(offset_of!(NV_ENC_REGISTER_RESOURCE, width)),
            get(offset_of!(NV_ENC_REGISTER_RESOURCE, height)),
        );
        let pitch = usize::try_from(get(offset_of!(NV_ENC_REGISTER_RESOURCE, pitch))).unwrap_or(0);
        let format = get(offset_of!(NV_ENC_REGISTER_RESOURCE, bufferFormat));
        let mut inner = self.inner();
        let shape = self.shape(&inner, name, format, size, pitch)?;
        let address = params.get::<u64>(offset_of!(NV_ENC_REGISTER_RESOURCE, resourceToRegister));
        let Ok(view) = self.cuda.lend(self.context, address, shape.bytes()) else {
            return self.refuse(
                RESOURCE_REGISTER_FAILED,
                &format!("{address:#x} is not device memory for {shape:?}"),
            );
        };
        let handle = self.library.handle();
        inner.registered.insert(handle, Registered { shape, view, mapped: None });
        params.set(offset_of!(NV_ENC_REGISTER_RESOURCE, registeredResource), handle);
        Ok(())
    }

    fn unregister(&self, handle: usize) -> Answer {
        let mut inner = self.inner();
        if inner.registered.get(&handle).is_some_and(|registered| registered.mapped.is_some()) {
            return self.wrong(INVALID_CALL, "nvEncUnregisterResource on a mapped resource");
        }
        match inner.registered.remove(&handle) {
            Some(_) => Ok(()),
            None => {
                self.wrong(RESOURCE_NOT_REGISTERED, "nvEncUnregisterResource is given what is not registered")
            }
        }
    }

    fn map(&self, params: Fields<NV_ENC_MAP_INPUT_RESOURCE>) -> Answer {
        self.version("nvEncMapInputResource", params, Structure::MapInput)?;
        let handle = params.get::<usize>(offset_of!(NV_ENC_MAP_INPUT_RESOURCE, registeredResource));
        let mapped = self.library.handle();
        let mut inner = self.inner();
        let Some(registered) = inner.registered.get_mut(&handle) else {
            return self
                .wrong(RESOURCE_NOT_REGISTERED, "nvEncMapInputResource is given what is not registered");
        };
        if registered.mapped.is_some() {
            return self.wrong(MAP_FAILED, "nvEncMapInputResource on a mapped resource");
        }
        registered.mapped = Some(mapped);
        let format = registered.shape.format;
        inner.mapped.insert(mapped, handle);
        params.set(offset_of!(NV_ENC_MAP_INPUT_RESOURCE, mappedResource), mapped);
        params.set(offset_of!(NV_ENC_MAP_INPUT_RESOURCE, mappedBufferFmt), format);
        Ok(())
    }

    fn unmap(&self, handle: usize) -> Answer {
        let mut inner = self.inner();
        let there = self.library.state.there(self.device).is_ok();
        if inner.in_use(handle) && there {
            return self.wrong(INVALID_CALL, "nvEncUnmapInputResource on a picture that is not coded yet");
        }
        let Some(registered) = inner.mapped.remove(&handle) else {
            return self.wrong(RESOURCE_NOT_MAPPED, "nvEncUnmapInputResource is given what is not mapped");
        };
        if let Some(registered) = inner.registered.get_mut(&registered) {
            registered.mapped = None;
        }
        Ok(())
    }

    fn create_bitstream(&self, params: Fields<NV_ENC_CREATE_BITSTREAM_BUFFER>) -> Answer {
        self.version("nvEncCreateBitstreamBuffer", params, Structure::CreateBitstream)?;
        let mut inner = self.inner();
        self.initialised("nvEncCreateBitstreamBuffer", &inner)?;
        let handle = self.library.handle();
        inner.outputs.insert(handle, Output::Empty);
        params.set(offset_of!(NV_ENC_CREATE_BITSTREAM_BUFFER, bitstreamBuffer), handle);
        Ok(())
    }

    fn destroy_bitstream(&self, handle: usize) -> Answer {
        let mut inner = self.inner();
        let there = self.library.state.there(self.device).is_ok();
        match inner.outputs.remove(&handle) {
            Some(Output::Locked(_) | Output::Locking) if there => {
                self.wrong(INVALID_CALL, "nvEncDestroyBitstreamBuffer on a locked buffer")
            }
            Some(_) => {
                inner.waiting.retain(|waiting| *waiting != handle);
                Ok(())
            }
            None => {
                self.wrong(INVALID_PARAM, "nvEncDestroyBitstreamBuffer is given what is no bitstream buffer")
            }
        }
    }
}

pub(crate) extern "C" fn create_input(encoder: usize, params: Fields<NV_ENC_CREATE_INPUT_BUFFER>) -> u32 {
    enter("nvEncCreateInputBuffer", encoder, |encoder| encoder.create_input(params))
}

pub(crate) extern "C" fn destroy_input(encoder: usize, handle: usize) -> u32 {
    enter_anyway("nvEncDestroyInputBuffer", encoder, |encoder| encoder.destroy_input(handle))
}

pub(crate) extern "C" fn lock_input(encoder: usize, params: Fields<NV_ENC_LOCK_INPUT_BUFFER>) -> u32 {
    enter("nvEncLockInputBuffer", encoder, |encoder| encoder.lock_input(params))
}

pub(crate) extern "C" fn unlock_input(encoder: usize, handle: usize) -> u32 {
    enter_anyway("nvEncUnlockInputBuffer", encoder, |encoder| encoder.unlock_input(handle))
}

pub(crate) extern "C" fn register(encoder: usize, params: Fields<NV_ENC_REGISTER_RESOURCE>) -> u32 {
    enter("nvEncRegisterResource", encoder, |encoder| encoder.register(params))
}

pub(crate) extern "C" fn unregister(encoder: usize, handle: usize) -> u32 {
    enter_anyway("nvEncUnregisterResource", encoder, |encoder| encoder.unregister(handle))
}

pub(crate) extern "C" fn map(encoder: usize, params: Fields<NV_ENC_MAP_INPUT_RESOURCE>) -> u32 {
    enter("nvEncMapInputResource", encoder, |encoder| encoder.map(params))
}

pub(crate) extern "C" fn unmap(encoder: usize, handle: usize) -> u32 {
    enter_anyway("nvEncUnmapInputResource", encoder, |encoder| encoder.unmap(handle))
}

pub(crate) extern "C" fn create_bitstream(
    encoder: usize,
    params: Fields<NV_ENC_CREATE_BITSTREAM_BUFFER>,
) -> u32 {
    enter("nvEncCreateBitstreamBuffer", encoder, |encoder| encoder.create_bitstream(params))
}

pub(crate) extern "C" fn destroy_bitstream(encoder: usize, handle: usize) -> u32 {
    enter_anyway("nvEncDestroyBitstreamBuffer", encoder, |encoder| encoder.destroy_bitstream(handle))
}
