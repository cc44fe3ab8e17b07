//! Words to coverage: the font, lines that fit, and their letters.

use ab_glyph::{Font as _, FontRef, Glyph, GlyphId, PxScale, PxScaleFont, ScaleFont, point};

/// A part of Inter: Latin, Greek and Cyrillic. Its licence lies beside it.
const INTER: &[u8] = include_bytes!("../../assets/Inter-SemiBold.otf");
/// What stands for a character that the font does not have.
const UNKNOWN: char = '?';
/// Height of capitals as a share of the letters' size: 2048 of 2816 units, as the font's OS/2 table has it.
const CAPITALS: f32 = 2048.0 / 2816.0;
/// Most characters of a line: no more fit at any size that can be read.
const MAX_CHARACTERS: usize = 200;
/// Most lines of a title.
const MAX_LINES: usize = 2;

/// The built-in font.
pub(super) struct Font(FontRef<'static>);

/// Words at a size, on one line.
pub(super) struct Line<'a> {
    font: &'a Font,
    text: String,
    /// Size of the letters, in samples: what typographers call the em.
    pub(super) height: f32,
}

impl Font {
    /// Reads it; it is compiled in, so there always is one.
    pub(super) fn open() -> Option<Self> {
        FontRef::try_from_slice(INTER).ok().map(Self)
    }

    /// Height of capitals at a size of letters.
    pub(super) fn capitals(&self, height: f32) -> f32 {
        height * CAPITALS
    }

    /// The text on one line at `height`, or smaller where it is wider than `most`.
    pub(super) fn fit(&self, text: &str, height: f32, most: f32) -> Line<'_> {
        let line = Line { font: self, text: text.to_owned(), height };
        let width = line.width();
        if width <= most { line } else { Line { height: height * most / width, ..line } }
    }

    /// The text on up to two lines: at `height` where it fits, smaller down to `least` where it does not, and cut off
    /// where that is not enough.
    pub(super) fn fit_lines(&self, text: &str, height: f32, most: f32, least: f32) -> Vec<Line<'_>> {
        let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_CHARACTERS).collect();
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.is_empty() {
            return Vec::new();
        }
        let mut height = height.max(least);
        loop {
            let lines = self.broken(&words, height, most);
            let fits = lines.len() <= MAX_LINES && lines.iter().all(|line| line.width() <= most);
            // One line at three quarters of the size looks better than two.
            if lines.len() == 2 && fits {
                let one = self.fit(&words.join(" "), height, most);
                if one.height >= height * 0.75 {
                    return vec![one];
                }
                return self.balanced(&words, height, most).unwrap_or(lines);
            }
            if fits {
                return lines;
            }
            if height <= least {
                return lines.into_iter().take(MAX_LINES).map(|line| line.cut(most)).collect();
            }
            height = (height * 0.94).max(least);
        }
    }

    /// The words in as few lines as they take.
    fn broken(&self, words: &[&str], height: f32, most: f32) -> Vec<Line<'_>> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        for word in words {
            if let Some(last) = lines.last_mut() {
                let longer = Line { font: self, text: format!("{} {word}", last.text), height };
                if longer.width() <= most {
                    *last = longer;
                    continue;
                }
            }
            lines.push(Line { font: self, text: (*word).to_owned(), height });
        }
        lines
    }

    /// Two lines as nearly of one width as the words allow.
    fn balanced(&self, words: &[&str], height: f32, most: f32) -> Option<Vec<Line<'_>>> {
        let halves = (1..words.len()).filter_map(|at| {
            let (upper, lower) = words.split_at_checked(at)?;
            let line = |words: &[&str]| Line { font: self, text: words.join(" "), height };
            let (upper, lower) = (line(upper), line(lower));
            let wider = upper.width().max(lower.width());
            (wider <= most).then_some((wider, vec![upper, lower]))
        });
        halves.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, lines)| lines)
    }

    fn glyph(&self, character: char) -> GlyphId {
        match self.0.glyph_id(character) {
            GlyphId(0) => self.0.glyph_id(UNKNOWN),
            known => known,
        }
    }
}

impl Line<'_> {
    fn scaled(&self) -> PxScaleFont<&FontRef<'static>> {
        // ab_glyph counts from ascender to descender.
        let units = self.font.0.units_per_em().unwrap_or(2816.0);
        let scale = PxScale::from(self.height * self.font.0.height_unscaled() / units);
        (&self.font.0).into_scaled(scale)
    }

    /// Letters with their place, from 0 on.
    fn letters(&self) -> (Vec<Glyph>, f32) {
        let scaled = self.scaled();
        let (mut letters, mut at) = (Vec::new(), 0.0);
        for character in self.text.chars() {
            let id = self.font.glyph(character);
            letters.push(id.with_scale_and_position(scaled.scale, point(at, 0.0)));
            at += scaled.h_advance(id);
        }
        (letters, at)
    }

    /// Its width in samples.
    pub(super) fn width(&self) -> f32 {
        self.letters().1
    }

    /// As much of it as fits, with an ellipsis where that is not all.
    fn cut(mut self, most: f32) -> Self {
        if self.width() <= most {
            return self;
        }
        while self.text.pop().is_some() {
            let text = format!("{}\u{2026}", self.text.trim_end());
            let cut = Line { font: self.font, text, height: self.height };
            if cut.width() <= most {
                return cut;
            }
        }
        self
    }

    /// Gives the coverage of every sample it touches, centred on `middle`, standing on `baseline`.
    pub(super) fn draw(&self, middle: f32, baseline: f32, mut put: impl FnMut(i32, i32, f32)) {
        let (letters, width) = self.letters();
        let left = middle - width / 2.0;
        for mut letter in letters {
            letter.position = point(letter.position.x + left, baseline);
            let Some(outline) = self.font.0.outline_glyph(letter) else { continue };
            let bounds = outline.px_bounds();
            let (x0, y0) = (super::whole(bounds.min.x), super::whole(bounds.min.y));
            outline.draw(|x, y, coverage| {
                let (Ok(x), Ok(y)) = (i32::try_from(x), i32::try_from(y)) else { return };
                put(x0 + x, y0 + y, coverage.min(1.0));
            });
        }
    }
}
