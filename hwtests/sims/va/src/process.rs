//! Video processing: scaling, conversion between matrices, ranges and depths, deinterlacing. By libswscale.

use ffmpeg_next::ffi as sys;
use ffmpeg_next::frame;
use ffmpeg_next::software::scaling;

use crate::buffer::{Buffer, Memory};
use crate::client::{Plain, list, plain, take};
use crate::context::Picture;
use crate::ffi::{self, VAProcColorStandardType};
use crate::frames::{self, Region};
use crate::objects::Table;
use crate::status::{Answer, invalid, misuse, no};
use crate::surface::{Content, Layout, Pixels, Surface};

/// What a client may say of a surface's colours.
pub(crate) const COLOUR_STANDARDS: [VAProcColorStandardType; 5] = [
    ffi::VAProcColorStandardBT601,
    ffi::VAProcColorStandardSMPTE170M,
    ffi::VAProcColorStandardBT709,
    ffi::VAProcColorStandardBT2020,
    ffi::VAProcColorStandardExplicit,
];

/// Formats in and out.
pub(crate) const FOURCCS: [u32; 2] = [ffi::VA_FOURCC_NV12, ffi::VA_FOURCC_P010];

/// Largest difference, in 8-bit steps, at which two pictures' samples count as the same for deinterlacing.
const STILL: u16 = 6;

// SAFETY: numbers and raw pointers.
unsafe impl Plain for ffi::VAProcPipelineParameterBuffer {}
// SAFETY: numbers.
unsafe impl Plain for ffi::VAProcFilterParameterBufferDeinterlacing {}

/// Runs the pipeline of a picture.
pub(crate) fn run(
    picture: &Picture,
    surfaces: &mut Table<Surface>,
    buffers: &Table<Buffer>,
    flat: bool,
    notes: &mut Vec<String>,
) -> Answer<()> {
    let mut pipelines = picture.all(ffi::VAProcPipelineParameterBufferType);
    let Some(part) = pipelines.next() else {
        let sentence = "a picture without VAProcPipelineParameterBuffer";
        return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_PARAMETER, sentence));
    };
    if pipelines.next().is_some() {
        return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
    }
    let pipeline = plain::<ffi::VAProcPipelineParameterBuffer>(&part.bytes)
        .ok_or_else(|| invalid("VAProcPipelineParameterBuffer is too short"))?;
    if pipeline.surface == picture.target {
        return Err(invalid(format!("surface {:#x} is to be processed into itself", pipeline.surface)));
    }
    if pipeline.rotation_state != 0 || pipeline.mirror_state != 0 || !pipeline.blend_state.is_null() {
        return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
    }
    let source = surfaces.get(pipeline.surface)?;
    if let Some(context) = source.in_picture {
        let sentence =
            format!("surface {:#x} is in an open picture of context {context:#x}", pipeline.surface);
        return Err(misuse(ffi::VA_STATUS_ERROR_SURFACE_BUSY, sentence));
    }
    if source.content == Content::Nothing {
        notes.push(format!("surface {:#x} is processed, and nothing was ever put in it", pipeline.surface));
    }
    let from = region(pipeline.surface_region, &source.pixels, "surface_region")?;
    if flat {
        let target = surfaces.get_mut(picture.target)?;
        region(pipeline.output_region, &target.pixels, "output_region")?;
        target.content = Content::Picture;
        return Ok(());
    }
    let mut input = source.pixels.clone();
    for id in list(pipeline.filters, pipeline.num_filters as usize, "filters")? {
        let filter = filter(buffers, id)?;
        let past = list(
            pipeline.forward_references,
            pipeline.num_forward_references as usize,
            "forward_references",
        )?;
        let past = match past.first() {
            Some(&id) => Some(&surfaces.get(id)?.pixels),
            None => None,
        };
        if filter.algorithm == ffi::VAProcDeinterlacingMotionAdaptive && past.is_none() {
            notes.push("motion-adaptive deinterlacing wants one forward reference, and has none".into());
        }
        deinterlace(&mut input, past, filter);
    }
    let target = surfaces.get_mut(picture.target)?;
    let to = region(pipeline.output_region, &target.pixels, "output_region")?;
    if to != Region::whole(&target.pixels) {
        fill(&mut target.pixels, pipeline.output_background_color);
    }
    let colours = Colours {
        from: colour(pipeline.surface_color_standard, pipeline.input_color_properties),
        to: colour(pipeline.output_color_standard, pipeline.output_color_properties),
    };
    scale(&input, from, &mut target.pixels, to, colours)?;
    target.content = Content::Picture;
    Ok(())
}

fn region(at: *const ffi::VARectangle, pixels: &Pixels, what: &str) -> Answer<Region> {
    if at.is_null() {
        return Ok(Region::whole(pixels));
    }
    let rectangle = take(at, what)?;
    let corner =
        |value: i16| usize::try_from(value).map_err(|_| invalid(format!("{what} begins at {value}")));
    let region = Region {
        x: corner(rectangle.x)?,
        y: corner(rectangle.y)?,
        width: usize::from(rectangle.width),
        height: usize::from(rectangle.height),
    };
    if !region.is_within(pixels) {
        let (w, h) = (pixels.width, pixels.height);
        return Err(invalid(format!("{what} {region:?} is not within the surface of {w}x{h}")));
    }
    Ok(region)
}

fn filter(buffers: &Table<Buffer>, id: u32) -> Answer<ffi::VAProcFilterParameterBufferDeinterlacing> {
    let buffer = buffers.get(id)?;
    let Memory::Own(bytes) = &buffer.memory else {
        return Err(invalid(format!("buffer {id:#x} is no filter's")));
    };
    if buffer.kind != ffi::VAProcFilterParameterBufferType {
        return Err(invalid(format!("{} {id:#x} is no filter", crate::buffer::name(buffer.kind))));
    }
    match plain::<u32>(bytes) {
        Some(ffi::VAProcFilterDeinterlacing) => {
            plain(bytes).ok_or_else(|| invalid("a filter buffer is too short"))
        }
        _ => Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_FILTER)),
    }
}

// SAFETY: a number.
unsafe impl Plain for u32 {}

/// Rebuilds the rows of the other field: from the rows beside them, or, where nothing moved since the picture before,
/// as they are.
fn deinterlace(
    pixels: &mut Pixels,
    past: Option<&Pixels>,
    filter: ffi::VAProcFilterParameterBufferDeinterlacing,
) {
    let kept = usize::from(filter.flags & ffi::VA_DEINTERLACING_BOTTOM_FIELD != 0);
    let adaptive = filter.algorithm == ffi::VAProcDeinterlacingMotionAdaptive;
    let past = past.filter(|past| adaptive && past.bytes.len() == pixels.bytes.len());
    let width = pixels.layout.sample_bytes();
    let threshold = if width == 1 { STILL } else { STILL << 8 };
    let read = |bytes: &[u8], at: usize| {
        if width == 1 { u16::from(bytes[at]) } else { u16::from_le_bytes([bytes[at], bytes[at + 1]]) }
    };
    for plane in 0..2 {
        let rows = pixels.rows(plane);
        for row in (1 - kept..rows).step_by(2) {
            let (at, length) = pixels.row(plane, row);
            let above = pixels.row(plane, if row == 0 { 1.min(rows - 1) } else { row - 1 }).0;
            let below = pixels.row(plane, if row + 1 < rows { row + 1 } else { row.saturating_sub(1) }).0;
            for x in (0..length).step_by(width) {
                let own = read(&pixels.bytes, at + x);
                if past.is_some_and(|past| read(&past.bytes, at + x).abs_diff(own) <= threshold) {
                    continue;
                }
                let between = read(&pixels.bytes, above + x).midpoint(read(&pixels.bytes, below + x));
                let bytes = between.to_le_bytes();
                pixels.bytes[at + x..at + x + width].copy_from_slice(&bytes[..width]);
            }
        }
    }
}

/// Paints the whole surface in one colour, given as ARGB. Black and white are told apart, colours are not.
fn fill(pixels: &mut Pixels, argb: u32) {
    let [_, red, green, blue] = argb.to_be_bytes();
    // BT.601, limited range, in 8 bits.
    let luma = 16 + (66 * u32::from(red) + 129 * u32::from(green) + 25 * u32::from(blue)) / 256;
    let luma = u8::try_from(luma.min(235)).unwrap_or(16);
    let chroma = pixels.chroma;
    let (luma_plane, chroma_plane) = pixels.bytes.split_at_mut(chroma);
    match pixels.layout {
        Layout::Nv12 => {
            luma_plane.fill(luma);
            chroma_plane.fill(128);
        }
        Layout::P010 => {
            luma_plane.chunks_exact_mut(2).for_each(|sample| sample.copy_from_slice(&[0, luma]));
            chroma_plane.chunks_exact_mut(2).for_each(|sample| sample.copy_from_slice(&[0, 128]));
        }
    }
}

/// How samples are to be read: an `SWS_CS_` number, and the range. `None` where the client does not say.
#[derive(Debug, Clone, Copy)]
struct Colours {
    from: (Option<i32>, Option<bool>),
    to: (Option<i32>, Option<bool>),
}

fn colour(
    standard: VAProcColorStandardType,
    properties: ffi::VAProcColorProperties,
) -> (Option<i32>, Option<bool>) {
    const BT709: i32 = 1;
    const BT601: i32 = 5;
    const BT2020: i32 = 9;
    let matrix = match standard {
        ffi::VAProcColorStandardBT601
        | ffi::VAProcColorStandardSMPTE170M
        | ffi::VAProcColorStandardBT470BG => Some(BT601),
        ffi::VAProcColorStandardBT709 => Some(BT709),
        ffi::VAProcColorStandardBT2020 => Some(BT2020),
        // H.273's numbers.
        ffi::VAProcColorStandardExplicit => match properties.matrix_coefficients {
            1 => Some(BT709),
            5 | 6 => Some(BT601),
            9 | 10 => Some(BT2020),
            _ => None,
        },
        _ => None,
    };
    let range = match u32::from(properties.color_range) {
        ffi::VA_SOURCE_RANGE_FULL => Some(true),
        ffi::VA_SOURCE_RANGE_REDUCED => Some(false),
        _ => None,
    };
    (matrix, range)
}

fn scale(
    from: &Pixels,
    from_region: Region,
    to: &mut Pixels,
    to_region: Region,
    colours: Colours,
) -> Answer<()> {
    let failed = |_| no(ffi::VA_STATUS_ERROR_OPERATION_FAILED);
    let mut input = frames::of_region(from, from_region);
    let mut output = frames::empty(to.layout, to_region.width, to_region.height);
    let same_size = (input.width(), input.height()) == (output.width(), output.height());
    let changes = |a: Option<i32>, b: Option<i32>| a.is_some() && b.is_some() && a != b;
    let recoloured = changes(colours.from.0, colours.to.0);
    if !recoloured && let (Some(full), Some(to_full)) = (colours.from.1, colours.to.1) {
        // libswscale passes a matrix that stays on as it is, with its range.
        if full != to_full {
            change_range(&mut input, from.layout, to_full);
        }
    }
    if same_size && from.layout == to.layout && !recoloured {
        frames::into_region(&input, to, to_region);
        return Ok(());
    }
    let flags = scaling::Flags::BICUBIC | scaling::Flags::ACCURATE_RND | scaling::Flags::FULL_CHR_H_INT;
    let mut scaler = scaling::Context::get(
        input.format(),
        input.width(),
        input.height(),
        output.format(),
        output.width(),
        output.height(),
        flags,
    )
    .map_err(failed)?;
    if recoloured {
        recolour(&mut scaler, colours)?;
    }
    scaler.run(&input, &mut output).map_err(failed)?;
    frames::into_region(&output, to, to_region);
    Ok(())
}

/// Full range to limited, or limited to full (H.273, 8.3).
fn change_range(frame: &mut frame::Video, layout: Layout, to_full: bool) {
    // Black, luma's and chroma's limited range, and the full one, in the sample's own bits.
    let (black, luma, chroma, full) = match layout {
        Layout::Nv12 => (16, 219, 224, 255),
        // 10 bits in the high end of 16.
        Layout::P010 => (16 << 8, 219 << 8, 224 << 8, 1023 << 6),
    };
    let middle = black * 8;
    let scaled = |value: i64, limited: i64| {
        let (times, of) = if to_full { (full, limited) } else { (limited, full) };
        (value * times + value.signum() * of / 2) / of
    };
    let most = if layout == Layout::Nv12 { 255 } else { 0xffff };
    for plane in 0..2 {
        let change = |value: i64| {
            let changed = match (plane, to_full) {
                (0, true) => scaled(value - black, luma),
                (0, false) => black + scaled(value, luma),
                _ => middle + scaled(value - middle, chroma),
            };
            changed.clamp(0, most)
        };
        let data = frame.data_mut(plane);
        match layout {
            Layout::Nv12 => data.iter_mut().for_each(|sample| {
                *sample = u8::try_from(change(i64::from(*sample))).unwrap_or(u8::MAX);
            }),
            Layout::P010 => data.chunks_exact_mut(2).for_each(|sample| {
                let value = change(i64::from(u16::from_le_bytes([sample[0], sample[1]])));
                sample.copy_from_slice(&u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
            }),
        }
    }
}

fn recolour(scaler: &mut scaling::Context, colours: Colours) -> Answer<()> {
    let matrix = colours.from.0.or(colours.to.0).unwrap_or(1);
    let from = (matrix, colours.from.1.unwrap_or(false));
    let to = (colours.to.0.unwrap_or(matrix), colours.to.1.unwrap_or(from.1));
    // SAFETY: sws_getCoefficients takes any number and gives a static table.
    let from_table = unsafe { sys::sws_getCoefficients(from.0) };
    // SAFETY: as above.
    let to_table = unsafe { sys::sws_getCoefficients(to.0) };
    // SAFETY: the scaling context owns its SwsContext, and `&mut` makes this the only pointer in use.
    let raw = unsafe { scaler.as_mut_ptr() };
    // SAFETY: an initialised context (Context::get checked it) and two tables of four; brightness, contrast and
    // saturation are 16.16 fixed point: 0, 1 and 1.
    let done = unsafe {
        sys::sws_setColorspaceDetails(
            raw,
            from_table,
            from.1.into(),
            to_table,
            to.1.into(),
            0,
            1 << 16,
            1 << 16,
        )
    };
    if done < 0 { Err(no(ffi::VA_STATUS_ERROR_OPERATION_FAILED)) } else { Ok(()) }
}
