//! Pictures of another matrix or range to BT.709 limited range, samples staying where they are.
//!
//! libswscale does it too, by way of RGB, at some forty times the cost and no better (1.9 against 0.04 ms at 640x360);
//! it is left what this cannot take.

use std::sync::Arc;

use ffmpeg_next::color;
use ffmpeg_next::filter::{self, Graph};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use crate::error::LibraryError;
use crate::ffi::{self, Colour};
use crate::frame::{Frame, Size};

/// A conversion that cannot be made or go on.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// libavfilter lacks a filter.
    #[error("libavfilter has no filter {0}")]
    Missing(&'static str),
    /// The graph is refused.
    #[error("no conversion of colours for {size} {format}")]
    Open {
        /// Picture size.
        size: Size,
        /// Pixel format.
        format: &'static str,
        /// What libavfilter says.
        #[source]
        source: LibraryError,
    },
    /// A picture is refused.
    #[error("converting the colours of a picture")]
    Filter(#[source] LibraryError),
}

/// What a conversion is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    size: Size,
    /// As the filter has it: without the formats that imply full range.
    format: Pixel,
    colour: Colour,
}

/// Converts pictures of one kind after another.
#[derive(Default)]
pub(crate) struct MatrixFilter {
    open: Option<(Key, Graph)>,
}

impl MatrixFilter {
    /// The picture in BT.709 limited range; none where it is not of a kind that this takes.
    pub(crate) fn convert(&mut self, frame: &Frame, colour: Colour) -> Result<Option<Frame>, MatrixError> {
        let Some((key, arguments)) = plan(frame, colour) else { return Ok(None) };
        let graph = match &mut self.open {
            Some((open, graph)) if *open == key => graph,
            slot => &mut slot.insert((key, graph(key, &arguments)?)).1,
        };
        let failed = |e: ffmpeg_next::Error| MatrixError::Filter(e.into());
        let mut reference =
            ffi::new_reference(&frame.0).ok_or(MatrixError::Filter(LibraryError::OUT_OF_MEMORY))?;
        reference.set_format(key.format);
        // The filter must not take what the stream says for what it was told, where they differ.
        reference.set_color_primaries(color::Primaries::BT709);
        reference.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        let mut input = graph.get("in").ok_or(MatrixError::Missing("buffer"))?;
        input.source().add(&reference).map_err(failed)?;
        let mut output = graph.get("out").ok_or(MatrixError::Missing("buffersink"))?;
        let mut video = Video::empty();
        // It holds nothing back: one in, one out.
        output.sink().frame(&mut video).map_err(failed)?;
        video.set_color_space(color::Space::BT709);
        video.set_color_range(color::Range::MPEG);
        Ok(Some(Frame(Arc::new(video))))
    }
}

/// What the filter is told for such a picture.
fn plan(frame: &Frame, colour: Colour) -> Option<(Key, String)> {
    let format = match frame.0.format() {
        Pixel::YUVJ420P => Pixel::YUV420P,
        Pixel::YUVJ422P => Pixel::YUV422P,
        Pixel::YUVJ444P => Pixel::YUV444P,
        other => other,
    };
    let taken = [
        Pixel::YUV420P,
        Pixel::YUV422P,
        Pixel::YUV444P,
        Pixel::YUV420P10LE,
        Pixel::YUV422P10LE,
        Pixel::YUV444P10LE,
    ];
    // The `SWS_CS_` numbers; see `colour_of`.
    let matrix = match colour.matrix {
        1 => "bt709",
        4 => "fcc",
        5 => "smpte170m",
        7 => "smpte240m",
        9 => "bt2020ncl",
        _ => return None,
    };
    let size = frame.size();
    if !taken.contains(&format) || !size.width.is_multiple_of(2) || !size.height.is_multiple_of(2) {
        return None;
    }
    let range = if colour.full_range { "pc" } else { "tv" };
    // Equal primaries and transfer curves at both ends: only matrix and range are converted.
    let arguments = format!(
        "colorspace=space=bt709:primaries=bt709:trc=bt709:range=tv:ispace={matrix}:iprimaries=bt709:itrc=bt709:\
         irange={range}:fast=1"
    );
    Some((Key { size, format, colour }, arguments))
}

fn graph(key: Key, arguments: &str) -> Result<Graph, MatrixError> {
    let size = key.size;
    let format = key.format.descriptor().map_or("unknown", |d| d.name());
    let failed = |e: ffmpeg_next::Error| MatrixError::Open { size, format, source: e.into() };
    let source = filter::find("buffer").ok_or(MatrixError::Missing("buffer"))?;
    let sink = filter::find("buffersink").ok_or(MatrixError::Missing("buffersink"))?;
    let buffer = format!("video_size={}x{}:pix_fmt={format}:time_base=1/90000", size.width, size.height);
    let mut graph = Graph::new();
    ffi::use_calling_thread(&mut graph);
    graph.add(&source, "in", &buffer).map_err(failed)?;
    graph.add(&sink, "out", "").map_err(failed)?;
    let parser = graph.output("in", 0).map_err(failed)?;
    parser.input("out", 0).map_err(failed)?.parse(arguments).map_err(failed)?;
    graph.validate().map_err(failed)?;
    Ok(graph)
}
