//! Contexts: made and destroyed.

use std::ffi::c_int;

use sim_state::plan::Codec as PlanCodec;
use sim_state::{Counter, Engine, OpenError, Session, SessionSize};

use crate::calls::call;
use crate::client::{count, give, list};
use crate::context::{Context, Work};
use crate::decode::Decoder;
use crate::device::{Codec, Purpose};
use crate::driver::{Driver, lost};
use crate::encode::Encoder;
use crate::ffi::{self, VAConfigID, VAContextID, VADriverContextP, VADriverVTable, VAStatus, VASurfaceID};
use crate::status::{Answer, Refusal, misuse, no};

pub(super) fn fill(table: &mut VADriverVTable) {
    table.vaCreateContext = Some(create);
    table.vaDestroyContext = Some(destroy);
}

extern "C" fn create(
    context: VADriverContextP,
    config: VAConfigID,
    width: c_int,
    height: c_int,
    _flag: c_int,
    targets: *mut VASurfaceID,
    number: c_int,
    id: *mut VAContextID,
) -> VAStatus {
    call(context, "vaCreateContext", |driver| {
        let targets = list(targets, count(number, "num_render_targets")?, "render_targets")?;
        let size = |value: c_int| u32::try_from(value).unwrap_or(0);
        make(driver, config, size(width), size(height), targets, id)
    })
}

fn make(
    driver: &'static Driver,
    config: u32,
    width: u32,
    height: u32,
    targets: Vec<u32>,
    id: *mut VAContextID,
) -> Answer<()> {
    driver.there()?;
    let config = *driver.objects().configs.get(config)?;
    // A processor's context has no size of its own; clients say 0 by 0, or anything.
    if config.purpose != Purpose::Process {
        if width == 0 || height == 0 {
            let sentence = format!("a context of {width}x{height}");
            return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
        }
        if width > driver.device.max_width || height > driver.device.max_height {
            return Err(no(ffi::VA_STATUS_ERROR_RESOLUTION_NOT_SUPPORTED));
        }
    }
    let open = |engine, codec| -> Answer<Option<Session>> {
        let session = Session::open(driver.state, driver.number, engine).map_err(refused)?;
        let codec = match codec {
            Codec::H264 => PlanCodec::H264,
            Codec::Hevc => PlanCodec::Hevc,
        };
        session.set_size(SessionSize { codec, width, height });
        Ok(Some(session))
    };
    // The device may take its time to open; other calls go on meanwhile.
    let (session, work) = match config.purpose {
        Purpose::Decode(codec) => {
            (open(Engine::Decode, codec)?, Work::Decode(Box::new(Decoder::new(codec, config.profile)?)))
        }
        Purpose::Encode(codec) => (
            open(Engine::Encode, codec)?,
            Work::Encode(Box::new(Encoder::new(codec, &config, driver.is_flat()))),
        ),
        Purpose::Process => (None, Work::Process),
    };
    let mut guard = driver.objects();
    let objects = &mut *guard;
    for &target in &targets {
        let surface = objects.surfaces.get(target)?;
        let format = surface.pixels.layout.rt_format();
        if matches!(config.purpose, Purpose::Decode(_)) && config.rt_format & format == 0 {
            let sentence = format!(
                "render target {target:#x} has format {format:#x}, and the config has {:#x}",
                config.rt_format
            );
            return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_SURFACE, sentence));
        }
    }
    let own = objects.contexts.insert(Context {
        config,
        width,
        height,
        targets: targets.clone(),
        picture: None,
        work,
        session,
        last: None,
    });
    if matches!(config.purpose, Purpose::Decode(_)) {
        for target in targets {
            objects.surfaces.get_mut(target)?.bound_to = Some(own);
        }
    }
    give(id, own, "context")
}

fn refused(error: OpenError) -> Refusal {
    match error {
        OpenError::Lost(gone) => lost(gone),
        OpenError::Planned(status) => no(status.unwrap_or(ffi::VA_STATUS_ERROR_OPERATION_FAILED)),
        OpenError::Cap(_) => no(ffi::VA_STATUS_ERROR_MAX_NUM_EXCEEDED),
    }
}

extern "C" fn destroy(context: VADriverContextP, id: VAContextID) -> VAStatus {
    call(context, "vaDestroyContext", |driver| {
        let mut guard = driver.objects();
        let objects = &mut *guard;
        let gone = objects.contexts.remove(id)?;
        driver.note_hanging("vaDestroyContext", gone.last.as_ref());
        for target in &gone.targets {
            if let Ok(surface) = objects.surfaces.get_mut(*target)
                && surface.bound_to == Some(id)
            {
                surface.bound_to = None;
            }
        }
        if let Some(picture) = &gone.picture {
            if let Ok(surface) = objects.surfaces.get_mut(picture.target) {
                surface.in_picture = surface.in_picture.filter(|context| *context != id);
                surface.encoded_in.retain(|context| *context != id);
            }
            let sentence = format!("context {id:#x} is destroyed between vaBeginPicture and vaEndPicture");
            return Err(misuse(ffi::VA_STATUS_ERROR_OPERATION_FAILED, sentence));
        }
        driver.state.trace(|| {
            format!("frames so far: {}", driver.state.counted(driver.number, Counter::FramesEncoded))
        });
        Ok(())
    })
}
