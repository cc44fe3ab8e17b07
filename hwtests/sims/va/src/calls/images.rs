//! Images, and the subpictures that the device has none of.

use std::ffi::{c_float, c_int, c_uchar, c_uint};

use sim_state::Counter;

use crate::buffer::{Buffer, Memory};
use crate::calls::call;
use crate::client::{count, give, list_mut, take};
use crate::driver::Driver;
use crate::ffi::{
    self, VADriverContextP, VADriverVTable, VAImage, VAImageFormat, VAImageID, VAStatus, VASubpictureID,
    VASurfaceID,
};
use crate::image::{self, Image};
use crate::objects::Objects;
use crate::status::{Answer, code, misuse, no};
use crate::surface::{Content, Layout, Pixels};

pub(super) fn fill(table: &mut VADriverVTable) {
    table.vaQueryImageFormats = Some(query_formats);
    table.vaCreateImage = Some(create);
    table.vaDeriveImage = Some(derive);
    table.vaDestroyImage = Some(destroy);
    table.vaSetImagePalette = Some(set_palette);
    table.vaGetImage = Some(get);
    table.vaPutImage = Some(put);
    table.vaQuerySubpictureFormats = Some(query_subpicture_formats);
    table.vaCreateSubpicture = Some(create_subpicture);
    table.vaDestroySubpicture = Some(destroy_subpicture);
    table.vaSetSubpictureImage = Some(set_subpicture_image);
    table.vaSetSubpictureChromakey = Some(set_subpicture_chromakey);
    table.vaSetSubpictureGlobalAlpha = Some(set_subpicture_alpha);
    table.vaAssociateSubpicture = Some(associate_subpicture);
    table.vaDeassociateSubpicture = Some(deassociate_subpicture);
}

extern "C" fn query_formats(
    context: VADriverContextP,
    to: *mut VAImageFormat,
    number: *mut c_int,
) -> VAStatus {
    call(context, "vaQueryImageFormats", |_| {
        let formats = image::formats();
        list_mut(to, formats.len(), "format_list")?.copy_from_slice(&formats);
        give(number, c_int::try_from(formats.len()).unwrap_or(0), "num_formats")
    })
}

extern "C" fn create(
    context: VADriverContextP,
    format: *mut VAImageFormat,
    width: c_int,
    height: c_int,
    to: *mut VAImage,
) -> VAStatus {
    call(context, "vaCreateImage", |driver| {
        let fourcc = take(format, "format")?.fourcc;
        let layout = Layout::from_fourcc(fourcc).ok_or(no(ffi::VA_STATUS_ERROR_INVALID_IMAGE_FORMAT))?;
        let (width, height) = (count(width, "width")?, count(height, "height")?);
        let limit = [driver.device.max_width as usize, driver.device.max_height as usize];
        if width == 0 || height == 0 || width > limit[0] || height > limit[1] {
            let sentence =
                format!("an image of {width}x{height}, up to {}x{} are possible", limit[0], limit[1]);
            return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
        }
        let pixels = Pixels::new(layout, width, height);
        let mut objects = driver.objects();
        let description = insert(&mut objects, &pixels, Memory::Own(pixels.bytes.clone()), None);
        give(to, description, "image")
    })
}

fn insert(objects: &mut Objects, pixels: &Pixels, memory: Memory, surface: Option<u32>) -> VAImage {
    let buffer = objects.buffers.insert(Buffer {
        context: None,
        kind: ffi::VAImageBufferType,
        size: pixels.bytes.len(),
        count: 1,
        memory,
        mapped: false,
        before: None,
    });
    let id = objects.images.insert(Image {
        buffer,
        layout: pixels.layout,
        width: pixels.width,
        height: pixels.height,
        surface,
    });
    image::describe(id, buffer, pixels)
}

extern "C" fn derive(context: VADriverContextP, id: VASurfaceID, to: *mut VAImage) -> VAStatus {
    call(context, "vaDeriveImage", |driver| {
        let mut guard = driver.objects();
        let objects = &mut *guard;
        let surface = objects.surfaces.get_mut(id)?;
        surface.derived += 1;
        let form = Pixels {
            bytes: vec![0; surface.pixels.bytes.len()].into_boxed_slice(),
            ..surface.pixels.clone()
        };
        give(to, insert(objects, &form, Memory::Surface(id), Some(id)), "image")
    })
}

extern "C" fn destroy(context: VADriverContextP, id: VAImageID) -> VAStatus {
    call(context, "vaDestroyImage", |driver| {
        let mut guard = driver.objects();
        let objects = &mut *guard;
        let image = objects.images.remove(id)?;
        if let Some(surface) = image.surface {
            let surface = objects.surfaces.get_mut(surface)?;
            surface.derived = surface.derived.saturating_sub(1);
        }
        if objects.buffers.remove(image.buffer)?.mapped {
            driver.misuse(&format!("vaDestroyImage: image {id:#x} is still mapped"));
        }
        Ok(())
    })
}

extern "C" fn set_palette(_context: VADriverContextP, _image: VAImageID, _palette: *mut c_uchar) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

/// Which way a picture is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToImage,
    ToSurface,
}

/// Copies between a surface and an image of the same format, whole and from the corner: regions elsewhere are for the
/// processor.
fn copy(
    driver: &Driver,
    surface: u32,
    image_id: u32,
    corners: [i32; 4],
    size: [u32; 2],
    way: Way,
) -> Answer<()> {
    if corners != [0; 4] {
        return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
    }
    let mut guard = driver.objects();
    let Objects { surfaces, images, buffers, .. } = &mut *guard;
    let image = *images.get(image_id)?;
    let surface_id = surface;
    let surface = surfaces.get_mut(surface)?;
    if image.layout != surface.pixels.layout {
        return Err(no(ffi::VA_STATUS_ERROR_INVALID_IMAGE_FORMAT));
    }
    let [width, height] = [size[0] as usize, size[1] as usize];
    let fits = |w: usize, h: usize| width <= w && height <= h;
    if width == 0 || !fits(image.width, image.height) || !fits(surface.pixels.width, surface.pixels.height) {
        let sentence = format!(
            "{width}x{height} between surface {surface_id:#x} of {}x{} and image {image_id:#x} of {}x{}",
            surface.pixels.width, surface.pixels.height, image.width, image.height
        );
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
    }
    if let Some(context) = surface.in_picture {
        let sentence = format!("surface {surface_id:#x} is in an open picture of context {context:#x}");
        return Err(misuse(ffi::VA_STATUS_ERROR_SURFACE_BUSY, sentence));
    }
    let buffer = buffers.get_mut(image.buffer)?;
    if buffer.mapped {
        driver.misuse(&format!("image {image_id:#x} is mapped while the driver copies"));
    }
    let Memory::Own(bytes) = &mut buffer.memory else {
        return Err(misuse(
            ffi::VA_STATUS_ERROR_INVALID_IMAGE,
            "an image derived from a surface is the surface",
        ));
    };
    let mut pixels = Pixels::new(image.layout, image.width, image.height);
    std::mem::swap(&mut pixels.bytes, bytes);
    let region = |pixels: &Pixels| Pixels { width, height, bytes: pixels.bytes.clone(), ..pixels.clone() };
    let (copies, amount) = if way == Way::ToImage {
        let from = region(&surface.pixels);
        pixels.copy_from(&from);
        if !surface.synced {
            driver.misuse(&format!("vaGetImage: surface {surface_id:#x} is read without vaSyncSurface"));
        }
        (Counter::DeviceToHostCopies, Counter::DeviceToHostBytes)
    } else {
        let from = region(&pixels);
        surface.pixels.copy_from(&from);
        surface.content = Content::Picture;
        (Counter::HostToDeviceCopies, Counter::HostToDeviceBytes)
    };
    std::mem::swap(&mut pixels.bytes, bytes);
    driver.state.count(driver.number, copies, 1);
    driver.state.count(driver.number, amount, u64::try_from(bytes.len()).unwrap_or(0));
    Ok(())
}

extern "C" fn get(
    context: VADriverContextP,
    surface: VASurfaceID,
    x: c_int,
    y: c_int,
    width: c_uint,
    height: c_uint,
    image: VAImageID,
) -> VAStatus {
    call(context, "vaGetImage", |driver| {
        driver.there()?;
        copy(driver, surface, image, [x, y, 0, 0], [width, height], Way::ToImage)
    })
}

extern "C" fn put(
    context: VADriverContextP,
    surface: VASurfaceID,
    image: VAImageID,
    from_x: c_int,
    from_y: c_int,
    from_width: c_uint,
    from_height: c_uint,
    to_x: c_int,
    to_y: c_int,
    to_width: c_uint,
    to_height: c_uint,
) -> VAStatus {
    call(context, "vaPutImage", |driver| {
        driver.there()?;
        if [from_width, from_height] != [to_width, to_height] {
            return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
        }
        copy(driver, surface, image, [from_x, from_y, to_x, to_y], [to_width, to_height], Way::ToSurface)
    })
}

extern "C" fn query_subpicture_formats(
    context: VADriverContextP,
    _formats: *mut VAImageFormat,
    _flags: *mut c_uint,
    number: *mut c_uint,
) -> VAStatus {
    call(context, "vaQuerySubpictureFormats", |_| give(number, 0, "num_formats"))
}

extern "C" fn create_subpicture(_: VADriverContextP, _: VAImageID, _: *mut VASubpictureID) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn destroy_subpicture(_: VADriverContextP, _: VASubpictureID) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn set_subpicture_image(_: VADriverContextP, _: VASubpictureID, _: VAImageID) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn set_subpicture_chromakey(
    _: VADriverContextP,
    _: VASubpictureID,
    _: c_uint,
    _: c_uint,
    _: c_uint,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn set_subpicture_alpha(_: VADriverContextP, _: VASubpictureID, _: c_float) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn associate_subpicture(
    _: VADriverContextP,
    _: VASubpictureID,
    _: *mut VASurfaceID,
    _: c_int,
    _: i16,
    _: i16,
    _: u16,
    _: u16,
    _: i16,
    _: i16,
    _: u16,
    _: u16,
    _: c_uint,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}

extern "C" fn deassociate_subpicture(
    _: VADriverContextP,
    _: VASubpictureID,
    _: *mut VASurfaceID,
    _: c_int,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}
