//! Interlaced pictures to progressive ones, at the same rate.

use std::collections::VecDeque;
use std::sync::Arc;

use ffmpeg_next::filter::{self, Graph};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use crate::decode::Decoded;
use crate::error::LibraryError;
use crate::ffi;
use crate::frame::{Frame, Size};

/// Progressive pictures in a row after which an interlaced stream is taken to have become progressive: 2 s at 50
/// pictures a second. Streams that are coded picture-adaptively flag single still pictures as progressive.
const PROGRESSIVE_RUN: u32 = 100;

/// One picture out for each in, fields in the order they are flagged; all pictures, since in an adaptively coded
/// stream those flagged progressive may hold two fields too.
const FILTER: &str = "bwdif=mode=send_frame:parity=auto:deint=all";

/// A deinterlacer that cannot be made or go on.
#[derive(Debug, thiserror::Error)]
pub enum DeinterlaceError {
    /// libavfilter lacks a filter.
    #[error("libavfilter has no filter {0}")]
    Missing(&'static str),
    /// The pixel format has no name.
    #[error("pixel format {0:?} is unknown to libavutil")]
    Format(Pixel),
    /// The graph is refused.
    #[error("deinterlacer does not open for {size} {format}")]
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
    #[error("filtering a picture")]
    Filter(#[source] LibraryError),
}

struct Active {
    graph: Graph,
    size: Size,
    format: Pixel,
    /// Tags of the pictures within, oldest first; the filter gives one picture for each, in order.
    tags: VecDeque<i64>,
}

/// Passes progressive pictures on as they are, and filters from the first interlaced one on.
#[derive(Default)]
pub(crate) struct Deinterlacer {
    active: Option<Active>,
    progressive_run: u32,
    ready: VecDeque<Decoded>,
}

impl Deinterlacer {
    pub(crate) fn is_active(&self) -> bool {
        self.active.is_some()
    }

    pub(crate) fn push(&mut self, video: Video) -> Result<(), DeinterlaceError> {
        let size = Size { width: video.width(), height: video.height() };
        self.progressive_run = if video.is_interlaced() { 0 } else { self.progressive_run.saturating_add(1) };
        let wanted = match &self.active {
            Some(_) => self.progressive_run < PROGRESSIVE_RUN,
            None => video.is_interlaced(),
        };
        if self.active.as_ref().is_some_and(|a| !wanted || a.size != size || a.format != video.format()) {
            self.finish()?;
        }
        if !wanted {
            let tag = video.pts().unwrap_or_default();
            self.ready.push_back(Decoded { frame: Frame(Arc::new(video)), tag, deinterlaced: false });
            return Ok(());
        }
        let active = match &mut self.active {
            Some(active) => active,
            none => none.insert(Active::open(size, &video)?),
        };
        active.tags.push_back(video.pts().unwrap_or_default());
        active.add(&video)?;
        active.take_ready(&mut self.ready)
    }

    /// Puts out what is within and stops filtering.
    pub(crate) fn finish(&mut self) -> Result<(), DeinterlaceError> {
        let Some(mut active) = self.active.take() else { return Ok(()) };
        active.flush()?;
        active.take_ready(&mut self.ready)
    }

    pub(crate) fn pull(&mut self) -> Result<Option<Decoded>, DeinterlaceError> {
        Ok(self.ready.pop_front())
    }
}

impl Active {
    fn open(size: Size, video: &Video) -> Result<Self, DeinterlaceError> {
        let pixel = video.format();
        let format = pixel.descriptor().ok_or(DeinterlaceError::Format(pixel))?.name();
        let failed = |e| DeinterlaceError::Open { size, format, source: LibraryError::from(e) };
        let source = filter::find("buffer").ok_or(DeinterlaceError::Missing("buffer"))?;
        let sink = filter::find("buffersink").ok_or(DeinterlaceError::Missing("buffersink"))?;
        let aspect = video.aspect_ratio();
        let (n, d) = (aspect.numerator().max(0), aspect.denominator().max(1));
        let arguments = format!(
            "video_size={}x{}:pix_fmt={format}:time_base=1/90000:pixel_aspect={n}/{d}",
            size.width, size.height
        );
        let mut graph = Graph::new();
        ffi::use_calling_thread(&mut graph);
        graph.add(&source, "in", &arguments).map_err(failed)?;
        graph.add(&sink, "out", "").map_err(failed)?;
        let parser = graph.output("in", 0).map_err(failed)?;
        parser.input("out", 0).map_err(failed)?.parse(FILTER).map_err(failed)?;
        graph.validate().map_err(failed)?;
        Ok(Self { graph, size, format: pixel, tags: VecDeque::new() })
    }

    /// Moves the picture into the graph; `video` is blank afterwards.
    fn add(&mut self, video: &Video) -> Result<(), DeinterlaceError> {
        let mut input = self.graph.get("in").ok_or(DeinterlaceError::Missing("buffer"))?;
        input.source().add(video).map_err(|e| DeinterlaceError::Filter(e.into()))
    }

    fn flush(&mut self) -> Result<(), DeinterlaceError> {
        let mut input = self.graph.get("in").ok_or(DeinterlaceError::Missing("buffer"))?;
        input.source().flush().map_err(|e| DeinterlaceError::Filter(e.into()))
    }

    fn take_ready(&mut self, ready: &mut VecDeque<Decoded>) -> Result<(), DeinterlaceError> {
        let mut output = self.graph.get("out").ok_or(DeinterlaceError::Missing("buffersink"))?;
        loop {
            let mut video = Video::empty();
            match output.sink().frame(&mut video) {
                Ok(()) => {
                    let Some(tag) = self.tags.pop_front() else { return Ok(()) };
                    ready.push_back(Decoded { frame: Frame(Arc::new(video)), tag, deinterlaced: true });
                }
                Err(error) if LibraryError::is_nothing(error) => return Ok(()),
                Err(error) => return Err(DeinterlaceError::Filter(error.into())),
            }
        }
    }
}
