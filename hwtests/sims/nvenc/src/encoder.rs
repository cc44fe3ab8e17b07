//! Encode sessions: opened, initialised, reconfigured, destroyed; and the way into every call.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::CString;
use std::mem::offset_of;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    NV_ENC_CONFIG, NV_ENC_INITIALIZE_PARAMS, NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, NV_ENC_RECONFIGURE_PARAMS,
    NV_ENC_SEQUENCE_PARAM_PAYLOAD,
};
use sim_nvidia::cuda::{Cuda, DriverMemory};
use sim_nvidia::pointer::{Fields, Out};
use sim_nvidia::version;
use sim_state::plan::{CapStatus, Pictures};
use sim_state::{Codec, Counter, Device, Engine, Offence, OpenError, Session, SessionSize, State};

use crate::buffer::{Input, Output, Registered};
use crate::coder::Coder;
use crate::guid::{self, Bytes};
use crate::preset::Preset;
use crate::settings::Settings;
use crate::status::{
    Answer, DEVICE_NOT_EXIST, ENCODER_NOT_INITIALIZED, GENERIC, INCOMPATIBLE_CLIENT_KEY, INVALID_CALL,
    INVALID_DEVICE, INVALID_ENCODERDEVICE, INVALID_PARAM, INVALID_PTR, INVALID_VERSION, NOT_ENOUGH_BUFFER,
    OUT_OF_MEMORY, Status, UNSUPPORTED_DEVICE, UNSUPPORTED_PARAM, lost,
};
use crate::version::{Api, Structure, api_of};

/// The first handle; what is below is none of ours.
const FIRST_HANDLE: usize = 0x6e_0000;
/// `NV_ENC_DEVICE_TYPE_CUDA`.
const CUDA_DEVICE: u32 = 1;
/// Pictures whose memory a session holds on the device, for references and its own use.
const PICTURES_HELD: usize = 6;

/// The library as one process has it.
pub(crate) struct Library {
    pub(crate) state: &'static State,
    encoders: Mutex<HashMap<usize, Arc<Encoder>>>,
    handles: AtomicUsize,
}

/// An encode session.
pub(crate) struct Encoder {
    pub(crate) library: &'static Library,
    pub(crate) device: usize,
    pub(crate) context: usize,
    pub(crate) cuda: Cuda,
    pub(crate) api: Api,
    inner: Mutex<Inner>,
    /// Told when an output is ready.
    pub(crate) ready: Condvar,
    last_error: Mutex<CString>,
}

/// What changes in a session.
pub(crate) struct Inner {
    pub(crate) session: Session,
    pub(crate) settings: Option<Settings>,
    /// The largest pictures it can be reconfigured to.
    most: (u32, u32),
    pub(crate) coder: Option<Coder>,
    memory: Option<DriverMemory>,
    pub(crate) inputs: HashMap<usize, Input>,
    pub(crate) outputs: HashMap<usize, Output>,
    pub(crate) registered: HashMap<usize, Registered>,
    /// Mapped handles and what they are of.
    pub(crate) mapped: HashMap<usize, usize>,
    /// Outputs that wait for a coded picture, oldest first.
    pub(crate) waiting: VecDeque<usize>,
    /// Pictures within the coder, by number.
    pub(crate) inside: BTreeMap<u64, crate::picture::Submitted>,
    pub(crate) next_number: u64,
    pub(crate) coded: u32,
    /// The next picture begins the stream anew.
    pub(crate) fresh: bool,
    destroyed: bool,
}

impl Library {
    pub(crate) fn handle(&self) -> usize {
        FIRST_HANDLE + self.handles.fetch_add(1, Ordering::Relaxed) * 16
    }

    fn encoders(&self) -> MutexGuard<'_, HashMap<usize, Arc<Encoder>>> {
        self.encoders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn misuse(&self, sentence: &str) {
        self.state.violation("libnvidia-encode", Offence::Misuse, sentence);
    }

    /// The API version that the plan's driver speaks.
    pub(crate) fn api(&self) -> Api {
        version::of_branch(self.state.plan().driver.branch).nvenc
    }
}

/// The library of this process; none where its plan cannot be followed.
pub(crate) fn library() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    let load = || {
        let state = State::of_process()?;
        sim_nvidia::exit::at_exit(look_for_leaks);
        Some(Library { state, encoders: Mutex::default(), handles: AtomicUsize::new(0) })
    };
    LIBRARY.get_or_init(load).as_ref()
}

extern "C" fn look_for_leaks() {
    let Some(library) = library() else { return };
    let there = |encoder: &&Arc<Encoder>| library.state.losses(encoder.device).0 == 0;
    let open = library.encoders().values().filter(there).count();
    if open > 0 {
        let sentence = format!("at the end of the process: {open} encode sessions");
        library.state.violation("libnvidia-encode", Offence::Leak, &sentence);
    }
}

/// Goes into a call on a session. Its device must be there.
pub(crate) fn enter(name: &str, handle: usize, call: impl FnOnce(&Encoder) -> Answer) -> u32 {
    enter_anyway(name, handle, |encoder| {
        encoder.library.state.there(encoder.device).map_err(lost)?;
        call(encoder)
    })
}

/// As [`enter`], for calls that clean up: they work on a lost device, too.
pub(crate) fn enter_anyway(name: &str, handle: usize, call: impl FnOnce(&Encoder) -> Answer) -> u32 {
    let Some(library) = library() else { return GENERIC.0 };
    let encoder = library.encoders().get(&handle).map(Arc::clone);
    let answer = match encoder {
        Some(encoder) => call(&encoder),
        None if handle == 0 => {
            library.misuse(&format!("{name} is given no encoder"));
            Err(INVALID_PTR)
        }
        None => {
            library.misuse(&format!("{name} is given {handle:#x}, which is no encoder, or no longer"));
            Err(INVALID_ENCODERDEVICE)
        }
    };
    library.state.trace(|| format!("{name}({handle:#x}) -> {}", answer.err().map_or(0, |status| status.0)));
    answer.err().map_or(0, |status| status.0)
}

impl Encoder {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn plan(&self) -> &Device {
        &self.library.state.plan().devices[self.device]
    }

    /// Refuses a call that is not against the rules, and says why where the client asks.
    pub(crate) fn refuse<T>(&self, status: Status, why: &str) -> Answer<T> {
        let text = CString::new(why.replace('\0', " ")).unwrap_or_default();
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = text;
        self.library.state.trace(|| format!("NVENC refuses with {}: {why}", status.0));
        Err(status)
    }

    /// Refuses a call that is against the rules.
    pub(crate) fn wrong<T>(&self, status: Status, sentence: &str) -> Answer<T> {
        self.library.misuse(sentence);
        self.refuse(status, sentence)
    }

    /// Checks a structure's version word.
    pub(crate) fn version<T>(&self, name: &str, fields: Fields<T>, structure: Structure) -> Answer {
        if fields.is_null() {
            return self.wrong(INVALID_PTR, &format!("{name} is given no {structure:?}"));
        }
        let (word, wanted) = (fields.get::<u32>(0), structure.word(self.api));
        if word == wanted {
            return Ok(());
        }
        self.wrong(
            INVALID_VERSION,
            &format!(
                "{name}: the version word of {structure:?} is {word:#x}, and {wanted:#x} in API {:?}",
                self.api
            ),
        )
    }

    /// The coding of a GUID, which the device must have.
    pub(crate) fn codec(&self, guid: Bytes) -> Answer<Codec> {
        match guid::codec(guid).filter(|codec| self.plan().encode.contains(codec)) {
            Some(codec) => Ok(codec),
            None => self.refuse(UNSUPPORTED_PARAM, "the device does not encode this coding"),
        }
    }

    /// The settings of an encoder that must be initialised.
    pub(crate) fn initialised(&self, name: &str, inner: &Inner) -> Answer<Settings> {
        match inner.settings {
            Some(settings) => Ok(settings),
            None => self
                .wrong(ENCODER_NOT_INITIALIZED, &format!("{name} is called before nvEncInitializeEncoder")),
        }
    }

    fn read_settings(&self, name: &str, params: Fields<NV_ENC_INITIALIZE_PARAMS>) -> Answer<Settings> {
        let given = params.follow::<NV_ENC_CONFIG>(offset_of!(NV_ENC_INITIALIZE_PARAMS, encodeConfig));
        // Room for the preset's configuration, where the client has none of its own.
        let mut preset_config = vec![0_u64; size_of::<NV_ENC_CONFIG>() / 8 + 1];
        let config = if given.is_null() {
            let codec = self.codec(params.get(offset_of!(NV_ENC_INITIALIZE_PARAMS, encodeGUID)))?;
            let tuning = params.get(offset_of!(NV_ENC_INITIALIZE_PARAMS, tuningInfo));
            let preset = Preset::of(params.get(offset_of!(NV_ENC_INITIALIZE_PARAMS, presetGUID)), tuning);
            let Some(preset) = preset else {
                return self.refuse(UNSUPPORTED_PARAM, "the preset is none of P1 to P7, or has no tuning");
            };
            let own = Fields::of(&mut preset_config);
            preset.fill(own, codec, crate::caps::most_b_frames(self.plan(), codec));
            own
        } else {
            self.version(name, given, Structure::Config)?;
            given
        };
        match Settings::read(params, config, self.api, self.plan()) {
            Ok(settings) => {
                let flat = self.library.state.plan().pictures == Pictures::Flat;
                Ok(Settings { flat, ..settings })
            }
            Err((status, why)) => self.refuse(status, &why),
        }
    }

    fn initialise(&self, params: Fields<NV_ENC_INITIALIZE_PARAMS>) -> Answer {
        self.version("nvEncInitializeEncoder", params, Structure::Initialize)?;
        if self.inner().settings.is_some() {
            return self.wrong(INVALID_CALL, "nvEncInitializeEncoder is called twice");
        }
        let settings = self.read_settings("nvEncInitializeEncoder", params)?;
        self.library.state.trace(|| {
            let (preset, tuning) =
                (settings.preset.level, params.get::<u32>(offset_of!(NV_ENC_INITIALIZE_PARAMS, tuningInfo)));
            format!("NVENC initialises {:?}, preset P{preset}, tuning {tuning}", settings.codec)
        });
        let most = |offset, least: u32| params.get::<u32>(offset).max(least);
        let most_width = most(offset_of!(NV_ENC_INITIALIZE_PARAMS, maxEncodeWidth), settings.width);
        let most_height = most(offset_of!(NV_ENC_INITIALIZE_PARAMS, maxEncodeHeight), settings.height);
        let picture =
            usize::try_from(most_width).unwrap_or(0) * usize::try_from(most_height).unwrap_or(0) * 3 / 2;
        let Ok(memory) = self.cuda.allocate(self.context, picture * PICTURES_HELD) else {
            return self.refuse(OUT_OF_MEMORY, "no device memory for the session's pictures");
        };
        let coder = match Coder::open(&settings) {
            Ok(coder) => coder,
            Err(failed) => return self.refuse(INVALID_PARAM, &failed.0),
        };
        let mut inner = self.inner();
        inner.session.set_size(SessionSize {
            codec: settings.codec,
            width: settings.width,
            height: settings.height,
        });
        inner.settings = Some(settings);
        inner.most = (most_width, most_height);
        inner.memory = Some(memory);
        inner.coder = Some(coder);
        Ok(())
    }

    fn reconfigure(&self, params: Fields<NV_ENC_RECONFIGURE_PARAMS>) -> Answer {
        self.version("nvEncReconfigureEncoder", params, Structure::Reconfigure)?;
        let init = params
            .inner::<NV_ENC_INITIALIZE_PARAMS>(offset_of!(NV_ENC_RECONFIGURE_PARAMS, reInitEncodeParams));
        self.version("nvEncReconfigureEncoder", init, Structure::Initialize)?;
        let mut inner = self.inner();
        let before = self.initialised("nvEncReconfigureEncoder", &inner)?;
        let settings = self.read_settings("nvEncReconfigureEncoder", init)?;
        if settings.width > inner.most.0 || settings.height > inner.most.1 {
            let most = inner.most;
            return self.refuse(
                INVALID_PARAM,
                &format!(
                    "{}x{} is over maxEncodeWidth and maxEncodeHeight {most:?}",
                    settings.width, settings.height
                ),
            );
        }
        if (settings.codec, settings.ten_bit, settings.profile)
            != (before.codec, before.ten_bit, before.profile)
        {
            return self.refuse(INVALID_PARAM, "coding, profile and bit depth cannot be reconfigured");
        }
        // The bits stand behind the initialisation's parameters, which from 12.2 on are 8 bytes shorter.
        let shorter = if self.api >= (12, 2) { 8 } else { 0 };
        let flags = params.get::<u32>(offset_of!(NV_ENC_RECONFIGURE_PARAMS, _bitfield_1) - shorter);
        let (reset, idr) = (flags & 1 == 1, flags & 2 == 2);
        let resized = (settings.width, settings.height) != (before.width, before.height);
        if resized && !idr {
            return self.refuse(INVALID_PARAM, "a change of size without forceIDR");
        }
        let only_rate = Settings { rate: before.rate, ..settings } == before;
        let done =
            only_rate && !reset && inner.coder.as_mut().is_some_and(|coder| coder.set_rate(settings.rate));
        if !done && settings != before || reset {
            // What the software cannot change while it runs begins anew, with an IDR picture.
            inner.restart_with(self, settings)?;
        }
        inner.settings = Some(settings);
        inner.fresh |= idr;
        inner.session.set_size(SessionSize {
            codec: settings.codec,
            width: settings.width,
            height: settings.height,
        });
        self.library.state.count(self.device, Counter::Reconfigurations, 1);
        Ok(())
    }

    fn sequence_parameters(&self, payload: Fields<NV_ENC_SEQUENCE_PARAM_PAYLOAD>) -> Answer {
        self.version("nvEncGetSequenceParams", payload, Structure::SequenceParams)?;
        let settings = self.initialised("nvEncGetSequenceParams", &self.inner())?;
        let bytes = match Coder::parameter_sets(&settings) {
            Ok(bytes) => bytes,
            Err(failed) => return self.refuse(GENERIC, &failed.0),
        };
        let room = payload.get::<u32>(offset_of!(NV_ENC_SEQUENCE_PARAM_PAYLOAD, inBufferSize));
        if bytes.len() > usize::try_from(room).unwrap_or(0) {
            return self.refuse(
                NOT_ENOUGH_BUFFER,
                &format!("{} bytes of parameter sets, {room} of room", bytes.len()),
            );
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let to = payload.place::<u8>(offset_of!(NV_ENC_SEQUENCE_PARAM_PAYLOAD, spsppsBuffer));
        let size = payload.place::<u32>(offset_of!(NV_ENC_SEQUENCE_PARAM_PAYLOAD, outSPSPPSPayloadSize));
        if to.put_all(bytes) && size.put(length) { Ok(()) } else { Err(INVALID_PTR) }
    }

    fn destroy(&self, handle: usize) -> Answer {
        let Some(encoder) = self.library.encoders().remove(&handle) else {
            return Err(INVALID_ENCODERDEVICE);
        };
        let mut inner = encoder.inner();
        inner.destroyed = true;
        let left = [
            (inner.inputs.len(), "input buffers"),
            (inner.outputs.len(), "bitstream buffers"),
            (inner.mapped.len(), "mapped resources"),
            (inner.registered.len(), "registered resources"),
        ];
        let there = self.library.state.there(self.device).is_ok();
        for (count, what) in left.iter().filter(|(count, _)| *count > 0 && there) {
            let sentence = format!("nvEncDestroyEncoder with {count} {what} left in the session");
            self.library.state.violation("libnvidia-encode", Offence::Leak, &sentence);
        }
        inner.coder = None;
        inner.memory = None;
        inner.registered.clear();
        drop(inner);
        encoder.ready.notify_all();
        Ok(())
    }
}

impl Inner {
    /// Finishes what is within the coder, and goes on with another one.
    pub(crate) fn restart_with(&mut self, encoder: &Encoder, settings: Settings) -> Answer {
        if let Some(coder) = &mut self.coder
            && let Ok(coded) = coder.finish()
        {
            self.deliver(encoder, coded);
        }
        match Coder::open(&settings) {
            Ok(coder) => self.coder = Some(coder),
            Err(failed) => return encoder.refuse(INVALID_PARAM, &failed.0),
        }
        self.fresh = true;
        Ok(())
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.destroyed
    }
}

fn open_session(
    library: &'static Library,
    params: Fields<NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS>,
    out: Out<usize>,
) -> Answer {
    let wrong = |status, sentence: &str| {
        library.misuse(sentence);
        Err(status)
    };
    out.put(0);
    if params.is_null() || out.is_null() {
        return wrong(
            INVALID_PTR,
            "nvEncOpenEncodeSessionEx is given no parameters, or no place for its answer",
        );
    }
    let version = params.get::<u32>(0);
    let api = api_of(params.get(offset_of!(NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, apiVersion)));
    if api > library.api() || api < (11, 1) {
        // A newer client is the driver's age and no misuse.
        return Err(INVALID_VERSION);
    }
    if version != Structure::OpenSession.word(api) {
        return wrong(
            INVALID_VERSION,
            &format!("nvEncOpenEncodeSessionEx: a version word of {version:#x} in API {api:?}"),
        );
    }
    if params.get::<u32>(offset_of!(NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, deviceType)) != CUDA_DEVICE {
        return Err(UNSUPPORTED_DEVICE);
    }
    let context = params.get::<usize>(offset_of!(NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, device));
    let cuda = Cuda::loaded();
    let Some((cuda, device)) = cuda.and_then(|cuda| Some((cuda, cuda.device_of(context)?))) else {
        return wrong(
            INVALID_DEVICE,
            "nvEncOpenEncodeSessionEx is given what is no CUDA context, or no longer",
        );
    };
    if library.state.plan().devices[device].encode.is_empty() {
        return Err(UNSUPPORTED_DEVICE);
    }
    let session = Session::open(library.state, device, Engine::Encode).map_err(|error| match error {
        OpenError::Lost(_) => DEVICE_NOT_EXIST,
        OpenError::Planned(status) => status.map_or(GENERIC, Status),
        OpenError::Cap(CapStatus::OutOfMemory) => OUT_OF_MEMORY,
        OpenError::Cap(CapStatus::IncompatibleClientKey) => INCOMPATIBLE_CLIENT_KEY,
    })?;
    let inner = Inner {
        session,
        settings: None,
        most: (0, 0),
        coder: None,
        memory: None,
        inputs: HashMap::new(),
        outputs: HashMap::new(),
        registered: HashMap::new(),
        mapped: HashMap::new(),
        waiting: VecDeque::new(),
        inside: BTreeMap::new(),
        next_number: 0,
        coded: 0,
        fresh: false,
        destroyed: false,
    };
    let encoder = Encoder {
        library,
        device,
        context,
        cuda,
        api,
        inner: Mutex::new(inner),
        ready: Condvar::new(),
        last_error: Mutex::default(),
    };
    let handle = library.handle();
    library.encoders().insert(handle, Arc::new(encoder));
    out.put(handle);
    Ok(())
}

pub(crate) extern "C" fn open(params: Fields<NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS>, out: Out<usize>) -> u32 {
    let Some(library) = library() else { return GENERIC.0 };
    let answer = open_session(library, params, out);
    library
        .state
        .trace(|| format!("nvEncOpenEncodeSessionEx -> {}", answer.err().map_or(0, |status| status.0)));
    answer.err().map_or(0, |status| status.0)
}

pub(crate) extern "C" fn initialize(handle: usize, params: Fields<NV_ENC_INITIALIZE_PARAMS>) -> u32 {
    enter("nvEncInitializeEncoder", handle, |encoder| encoder.initialise(params))
}

pub(crate) extern "C" fn reconfigure(handle: usize, params: Fields<NV_ENC_RECONFIGURE_PARAMS>) -> u32 {
    enter("nvEncReconfigureEncoder", handle, |encoder| encoder.reconfigure(params))
}

pub(crate) extern "C" fn sequence_params(
    handle: usize,
    payload: Fields<NV_ENC_SEQUENCE_PARAM_PAYLOAD>,
) -> u32 {
    enter("nvEncGetSequenceParams", handle, |encoder| encoder.sequence_parameters(payload))
}

pub(crate) extern "C" fn set_io_streams(handle: usize, _input: usize, _output: usize) -> u32 {
    enter("nvEncSetIOCudaStreams", handle, |_| Ok(()))
}

pub(crate) extern "C" fn destroy(handle: usize) -> u32 {
    enter_anyway("nvEncDestroyEncoder", handle, |encoder| encoder.destroy(handle))
}

/// `nvEncGetLastErrorString`. The text stays until the next error of the session.
pub(crate) extern "C" fn last_error(handle: usize) -> *const std::ffi::c_char {
    let encoder = library().and_then(|library| library.encoders().get(&handle).map(Arc::clone));
    match encoder {
        Some(encoder) => encoder.last_error.lock().unwrap_or_else(PoisonError::into_inner).as_ptr(),
        None => c"".as_ptr(),
    }
}
