//! Pictures in (`nvEncEncodePicture`), coded pictures out (`nvEncLockBitstream`).

use std::mem::offset_of;
use std::time::Duration;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{NV_ENC_LOCK_BITSTREAM, NV_ENC_PIC_PARAMS, NV_ENC_STAT};
use sim_nvidia::pointer::Fields;
use sim_state::{Counter, Engine, Job};

use crate::buffer::{Filled, Output};
use crate::coder::{Coded, Failed, Picture, PictureType};
use crate::encoder::{Encoder, Inner, enter, enter_anyway};
use crate::status::{
    Answer, GENERIC, INVALID_CALL, INVALID_ENCODERDEVICE, INVALID_PARAM, INVALID_PTR, LOCK_BUSY,
    NEED_MORE_INPUT, RESOURCE_NOT_MAPPED, lost,
};
use crate::version::Structure;

/// `NV_ENC_PIC_FLAG_*`.
const FORCE_INTRA: u32 = 1;
const FORCE_IDR: u32 = 2;
const OUTPUT_PARAMETER_SETS: u32 = 4;
const END_OF_STREAM: u32 = 8;
/// `NV_ENC_PIC_STRUCT_FRAME`.
const FRAME: u32 = 1;
/// How often one who waits for a picture that is not given yet looks whether the device is still there.
const CHECK: Duration = Duration::from_millis(50);

/// A picture within the coder.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) input: usize,
    timestamp: u64,
    duration: u64,
    job: Job,
}

impl Inner {
    /// Puts coded pictures into the outputs that wait, in order.
    pub(crate) fn deliver(&mut self, encoder: &Encoder, coded: Vec<Coded>) {
        for mut coded in coded {
            let Some(mut submitted) = self.inside.remove(&coded.number) else { continue };
            submitted.job.software_done(encoder.library.state);
            if submitted.job.corrupt() {
                let half = coded.bytes.len() / 2;
                coded.bytes[half..].iter_mut().for_each(|byte| *byte ^= 0x5a);
            }
            if coded.kind == PictureType::Idr {
                encoder.library.state.count(encoder.device, Counter::IdrFrames, 1);
            }
            let frame_index = self.coded;
            self.coded += 1;
            let filled = Filled {
                coded,
                timestamp: submitted.timestamp,
                duration: submitted.duration,
                frame_index,
                job: submitted.job,
            };
            if let Some(output) = self.waiting.pop_front().and_then(|handle| self.outputs.get_mut(&handle)) {
                *output = Output::Ready(Box::new(filled));
            }
        }
        encoder.ready.notify_all();
    }
}

impl Encoder {
    fn encode(&self, params: Fields<NV_ENC_PIC_PARAMS>) -> Answer {
        let name = "nvEncEncodePicture";
        self.version(name, params, Structure::Picture)?;
        let mut guard = self.inner();
        let inner = &mut *guard;
        let settings = self.initialised(name, inner)?;
        let flags = params.get::<u32>(offset_of!(NV_ENC_PIC_PARAMS, encodePicFlags));
        if flags & END_OF_STREAM != 0 {
            return self.end(inner);
        }
        let input = params.get::<usize>(offset_of!(NV_ENC_PIC_PARAMS, inputBuffer));
        let output = params.get::<usize>(offset_of!(NV_ENC_PIC_PARAMS, outputBitstream));
        if params.get::<usize>(offset_of!(NV_ENC_PIC_PARAMS, completionEvent)) != 0 {
            return self.wrong(INVALID_PARAM, "nvEncEncodePicture is given a completion event");
        }
        if params.get::<u32>(offset_of!(NV_ENC_PIC_PARAMS, pictureStruct)) != FRAME {
            return self.wrong(INVALID_PARAM, "nvEncEncodePicture is given a picture that is no whole frame");
        }
        match inner.outputs.get(&output) {
            Some(Output::Empty) => {}
            Some(_) => {
                return self
                    .wrong(INVALID_PARAM, "nvEncEncodePicture is given a bitstream buffer that is in use");
            }
            None => {
                return self.wrong(INVALID_PTR, "nvEncEncodePicture is given what is no bitstream buffer");
            }
        }
        let own = inner.inputs.get(&input);
        let mapped = inner.mapped.get(&input).and_then(|registered| inner.registered.get(registered));
        let (shape, bytes) = match (own, mapped) {
            (Some(own), _) if own.locked => {
                return self.wrong(INVALID_CALL, "nvEncEncodePicture is given a locked input buffer");
            }
            (Some(own), _) => (own.shape, own.bytes.as_slice()),
            (None, Some(mapped)) => (mapped.shape, mapped.view.bytes()),
            (None, None) if inner.registered.contains_key(&input) => {
                return self
                    .wrong(RESOURCE_NOT_MAPPED, "nvEncEncodePicture is given a resource that is not mapped");
            }
            (None, None) => return self.wrong(INVALID_PTR, "nvEncEncodePicture is given what is no input"),
        };
        if params.get::<u32>(offset_of!(NV_ENC_PIC_PARAMS, bufferFmt)) != shape.format {
            return self.wrong(INVALID_PARAM, "nvEncEncodePicture is told another format than the input has");
        }
        if shape.width < settings.width || shape.height < settings.height {
            return self.wrong(INVALID_PARAM, "nvEncEncodePicture is given a smaller picture than it codes");
        }
        let state = self.library.state;
        let pixels = u64::from(settings.width) * u64::from(settings.height);
        let job = state.begin(self.device, Engine::Encode, pixels).map_err(lost)?;
        let number = inner.next_number;
        let picture = Picture {
            format: shape.format,
            pitch: shape.pitch,
            rows: usize::try_from(shape.height).unwrap_or(0),
            bytes,
        };
        let Some(coder) = &mut inner.coder else { return Err(GENERIC) };
        let cpu = state.driver_cpu(self.device);
        let idr = flags & (FORCE_IDR | FORCE_INTRA) != 0 || inner.fresh;
        let coded = match coder.send(picture, number, idr, flags & OUTPUT_PARAMETER_SETS != 0) {
            Ok(coded) => coded,
            Err(Failed(why)) => return self.refuse(GENERIC, &why),
        };
        drop(cpu);
        inner.fresh = false;
        inner.next_number += 1;
        let submitted = Submitted {
            input,
            timestamp: params.get(offset_of!(NV_ENC_PIC_PARAMS, inputTimeStamp)),
            duration: params.get(offset_of!(NV_ENC_PIC_PARAMS, inputDuration)),
            job,
        };
        inner.inside.insert(number, submitted);
        inner.outputs.insert(output, Output::Waiting);
        inner.waiting.push_back(output);
        let some = !coded.is_empty();
        inner.deliver(self, coded);
        if some {
            Ok(())
        } else {
            self.refuse(NEED_MORE_INPUT, "pictures are reordered: more input is needed")
        }
    }

    /// The end of the stream: everything comes out. What is given afterwards begins a new one.
    fn end(&self, inner: &mut Inner) -> Answer {
        let cpu = self.library.state.driver_cpu(self.device);
        if inner.inside.is_empty() {
            return Ok(());
        }
        let Some(settings) = inner.settings else { return Err(GENERIC) };
        inner.restart_with(self, settings)?;
        drop(cpu);
        Ok(())
    }

    fn lock(&self, params: Fields<NV_ENC_LOCK_BITSTREAM>) -> Answer {
        let name = "nvEncLockBitstream";
        self.version(name, params, Structure::LockBitstream)?;
        let handle = params.get::<usize>(offset_of!(NV_ENC_LOCK_BITSTREAM, outputBitstream));
        let no_wait = params.get::<u32>(offset_of!(NV_ENC_LOCK_BITSTREAM, _bitfield_1)) & 1 == 1;
        let state = self.library.state;
        let mut inner = self.inner();
        self.initialised(name, &inner)?;
        let filled = loop {
            let Some(output) = inner.outputs.get_mut(&handle) else {
                return self.wrong(INVALID_PTR, "nvEncLockBitstream is given what is no bitstream buffer");
            };
            match std::mem::replace(output, Output::Locking) {
                Output::Ready(filled) if no_wait && !filled.job.is_done() => {
                    *output = Output::Ready(filled);
                    return self.refuse(LOCK_BUSY, "the engine is not done with the picture");
                }
                Output::Ready(filled) => break filled,
                Output::Waiting => {
                    *output = Output::Waiting;
                    if no_wait {
                        return self.refuse(LOCK_BUSY, "more input is needed for the picture");
                    }
                    inner = self
                        .ready
                        .wait_timeout(inner, CHECK)
                        .map_or_else(|poison| poison.into_inner().0, |got| got.0);
                    if inner.is_destroyed() {
                        return self.wrong(
                            INVALID_ENCODERDEVICE,
                            "nvEncDestroyEncoder while a bitstream is being locked",
                        );
                    }
                    state.there(self.device).map_err(lost)?;
                }
                other => {
                    let empty = matches!(other, Output::Empty);
                    *output = other;
                    let what = if empty { "that nothing was coded into" } else { "that is locked" };
                    return self
                        .wrong(INVALID_CALL, &format!("nvEncLockBitstream on a bitstream buffer {what}"));
                }
            }
        };
        drop(inner);
        let waited = filled.job.wait(state);
        let mut inner = self.inner();
        let took = match waited {
            Ok(took) => took,
            Err(gone) => {
                inner.outputs.entry(handle).and_modify(|output| *output = Output::Empty);
                return Err(lost(gone));
            }
        };
        inner.session.frame(took);
        let set = |offset, value: u32| params.set(offset, value);
        let bytes = &filled.coded.bytes;
        params.set(offset_of!(NV_ENC_LOCK_BITSTREAM, bitstreamBufferPtr), bytes.as_ptr().expose_provenance());
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, bitstreamSizeInBytes), u32::try_from(bytes.len()).unwrap_or(0));
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, hwEncodeStatus), 0);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, frameIdx), filled.frame_index);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, numSlices), 1);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, pictureType), filled.coded.kind as u32);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, pictureStruct), FRAME);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, frameAvgQP), filled.coded.qp);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, frameSatd), 0);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, ltrFrameIdx), 0);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, ltrFrameBitmap), 0);
        set(offset_of!(NV_ENC_LOCK_BITSTREAM, temporalId), 0);
        params.set(offset_of!(NV_ENC_LOCK_BITSTREAM, outputTimeStamp), filled.timestamp);
        params.set(offset_of!(NV_ENC_LOCK_BITSTREAM, outputDuration), filled.duration);
        match inner.outputs.get_mut(&handle) {
            Some(output) => *output = Output::Locked(filled),
            None => return self.wrong(INVALID_CALL, "nvEncDestroyBitstreamBuffer while it is being locked"),
        }
        Ok(())
    }

    fn unlock(&self, handle: usize) -> Answer {
        let mut inner = self.inner();
        match inner.outputs.get_mut(&handle) {
            Some(output) if matches!(output, Output::Locked(_)) => {
                if let Output::Locked(filled) = std::mem::replace(output, Output::Empty) {
                    self.library.state.trace(|| format!("coded picture {} was read", filled.coded.number));
                }
                Ok(())
            }
            Some(_) => {
                self.wrong(INVALID_CALL, "nvEncUnlockBitstream on a bitstream buffer that is not locked")
            }
            None => self.wrong(INVALID_PTR, "nvEncUnlockBitstream is given what is no bitstream buffer"),
        }
    }
}

pub(crate) extern "C" fn encode(encoder: usize, params: Fields<NV_ENC_PIC_PARAMS>) -> u32 {
    enter("nvEncEncodePicture", encoder, |encoder| encoder.encode(params))
}

pub(crate) extern "C" fn lock(encoder: usize, params: Fields<NV_ENC_LOCK_BITSTREAM>) -> u32 {
    enter("nvEncLockBitstream", encoder, |encoder| encoder.lock(params))
}

pub(crate) extern "C" fn unlock(encoder: usize, handle: usize) -> u32 {
    enter_anyway("nvEncUnlockBitstream", encoder, |encoder| encoder.unlock(handle))
}

pub(crate) extern "C" fn statistics(encoder: usize, params: Fields<NV_ENC_STAT>) -> u32 {
    enter("nvEncGetEncodeStats", encoder, |encoder| {
        encoder.version("nvEncGetEncodeStats", params, Structure::Statistics)?;
        Err(crate::status::UNIMPLEMENTED)
    })
}
