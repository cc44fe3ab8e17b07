//! vaBeginPicture, vaRenderPicture, vaEndPicture.

use std::ffi::c_int;
use std::sync::Arc;

use sim_state::{Counter, Engine, Job};

use crate::calls::call;
use crate::client::{count, list};
use crate::context::{Context, Picture, Work};
use crate::device::Purpose;
use crate::driver::{Driver, lost};
use crate::encode::Happened;
use crate::ffi::{self, VABufferID, VAContextID, VADriverContextP, VADriverVTable, VAStatus, VASurfaceID};
use crate::objects::Objects;
use crate::process;
use crate::status::{Answer, misuse};

pub(super) fn fill(table: &mut VADriverVTable) {
    table.vaBeginPicture = Some(begin);
    table.vaRenderPicture = Some(render);
    table.vaEndPicture = Some(end);
}

extern "C" fn begin(context: VADriverContextP, own: VAContextID, target: VASurfaceID) -> VAStatus {
    call(context, "vaBeginPicture", |driver| {
        driver.there()?;
        let mut guard = driver.objects();
        let Objects { contexts, surfaces, .. } = &mut *guard;
        let context = contexts.get_mut(own)?;
        if context.picture.is_some() {
            let sentence = format!("context {own:#x} has a picture open: vaEndPicture comes first");
            return Err(misuse(ffi::VA_STATUS_ERROR_OPERATION_FAILED, sentence));
        }
        let surface = surfaces.get_mut(target)?;
        check_target(context, own, target, surface)?;
        match context.config.purpose {
            Purpose::Encode(_) => surface.encoded_in.push(own),
            Purpose::Decode(_) | Purpose::Process => surface.in_picture = Some(own),
        }
        context.picture = Some(Picture { target, parts: Vec::new() });
        Ok(())
    })
}

fn check_target(context: &Context, own: u32, target: u32, surface: &crate::surface::Surface) -> Answer<()> {
    let refuse = |sentence: String| Err(misuse(ffi::VA_STATUS_ERROR_INVALID_SURFACE, sentence));
    if let Some(other) = surface.in_picture {
        return refuse(format!("surface {target:#x} is in an open picture of context {other:#x}"));
    }
    if !matches!(context.config.purpose, Purpose::Encode(_))
        && let Some(other) = surface.encoded_in.first()
    {
        return refuse(format!("surface {target:#x} is written while context {other:#x} encodes it"));
    }
    let format = surface.pixels.layout.rt_format();
    if context.config.rt_format & format == 0 {
        let wanted = context.config.rt_format;
        return refuse(format!("surface {target:#x} has format {format:#x}, and the config has {wanted:#x}"));
    }
    let (width, height) = (surface.pixels.width, surface.pixels.height);
    let too_small = width < context.width as usize || height < context.height as usize;
    match context.config.purpose {
        Purpose::Decode(_) => {
            if surface.bound_to.is_some_and(|bound| bound != own) {
                return refuse(format!(
                    "surface {target:#x} is a render target of another context than {own:#x}"
                ));
            }
            if !context.targets.is_empty() && !context.targets.contains(&target) {
                return refuse(format!(
                    "surface {target:#x} is none of the render targets of context {own:#x}"
                ));
            }
            if too_small {
                let (w, h) = (context.width, context.height);
                return refuse(format!(
                    "surface {target:#x} of {width}x{height} is to hold pictures of {w}x{h}"
                ));
            }
        }
        Purpose::Encode(_) if surface.content == crate::surface::Content::Nothing => {
            return refuse(format!("surface {target:#x} is to be encoded, and nothing was ever put in it"));
        }
        _ => {}
    }
    if surface.derived > 0 && matches!(context.config.purpose, Purpose::Decode(_)) {
        return refuse(format!(
            "surface {target:#x} is to be decoded into while an image derived from it lives"
        ));
    }
    Ok(())
}

extern "C" fn render(
    context: VADriverContextP,
    own: VAContextID,
    buffers: *mut VABufferID,
    number: c_int,
) -> VAStatus {
    call(context, "vaRenderPicture", |driver| {
        let ids = list(buffers, count(number, "num_buffers")?, "buffers")?;
        let mut guard = driver.objects();
        let objects = &mut *guard;
        let context = objects.contexts.get_mut(own)?;
        for id in ids {
            context.render(own, id, objects.buffers.get(id)?)?;
        }
        Ok(())
    })
}

extern "C" fn end(context: VADriverContextP, own: VAContextID) -> VAStatus {
    call(context, "vaEndPicture", |driver| {
        let mut guard = driver.objects();
        let objects = &mut *guard;
        let context = objects.contexts.get_mut(own)?;
        let Some(picture) = context.picture.take() else {
            let sentence = format!("vaEndPicture on context {own:#x} before vaBeginPicture");
            return Err(misuse(ffi::VA_STATUS_ERROR_OPERATION_FAILED, sentence));
        };
        let target = objects.surfaces.get_mut(picture.target)?;
        target.in_picture = target.in_picture.filter(|context| *context != own);
        target.encoded_in.retain(|context| *context != own);
        work(driver, objects, own, &picture)
    })
}

fn work(driver: &Driver, objects: &mut Objects, own: u32, picture: &Picture) -> Answer<()> {
    let Objects { contexts, surfaces, buffers, .. } = objects;
    let context = contexts.get_mut(own)?;
    let engine = match context.config.purpose {
        Purpose::Decode(_) => Engine::Decode,
        Purpose::Encode(_) => Engine::Encode,
        Purpose::Process => Engine::Scale,
    };
    let pixels = {
        let target = &surfaces.get(picture.target)?.pixels;
        u64::try_from(target.width * target.height).unwrap_or(u64::MAX)
    };
    let mut job = driver.state.begin(driver.number, engine, pixels).map_err(lost)?;
    let flat = driver.is_flat();
    let mut notes = Vec::new();
    let own_target = |()| (vec![picture.target], Happened::default());
    let outcome = match &mut context.work {
        Work::Decode(decoder) => decoder.decode(own, picture, surfaces, flat, &mut notes).map(own_target),
        Work::Encode(encoder) => encoder.encode(own, picture, surfaces, buffers, job.corrupt(), &mut notes),
        Work::Process => process::run(picture, surfaces, buffers, flat, &mut notes).map(own_target),
    };
    for note in notes {
        driver.misuse(&format!("vaEndPicture: {note}"));
    }
    let (touched, happened) = outcome?;
    for (counter, happened) in
        [(Counter::IdrFrames, happened.idr), (Counter::Reconfigurations, happened.rate_changed)]
    {
        driver.state.count(driver.number, counter, happened.into());
    }
    if job.corrupt() && engine != Engine::Encode {
        damage(&mut surfaces.get_mut(picture.target)?.pixels.bytes);
    }
    job.software_done(driver.state);
    let job = Arc::new(job);
    for id in touched {
        let surface = surfaces.get_mut(id)?;
        surface.job = Some(Arc::clone(&job));
        surface.synced = false;
    }
    context.last = Some(Arc::clone(&job));
    finish(buffers, picture, &job, context);
    Ok(())
}

/// Hands the work on to whoever waits for its coded buffer.
fn finish(
    buffers: &mut crate::objects::Table<crate::buffer::Buffer>,
    picture: &Picture,
    job: &Arc<Job>,
    context: &Context,
) {
    if let Work::Encode(encoder) = &context.work
        && let Some(id) = encoder.coded_buffer(picture)
        && let Ok(buffer) = buffers.get_mut(id)
        && let crate::buffer::Memory::Coded(coded) = &mut buffer.memory
    {
        coded.job = Some(Arc::clone(job));
    }
    if let Some(session) = &context.session {
        session.frame(0);
    }
}

/// What a fault of the plan does to a picture: stripes of inverted samples.
fn damage(bytes: &mut [u8]) {
    for stripe in bytes.chunks_mut(4096).step_by(3) {
        stripe.iter_mut().for_each(|sample| *sample = !*sample);
    }
}
