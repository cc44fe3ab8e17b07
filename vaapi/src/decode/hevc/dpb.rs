//! The decoded picture buffer of HEVC (ITU-T H.265, 8.3.2, C.5.2).
//!
//! Generic over what a picture is, so that it can be tested without a device.

use super::references::ShortTermSet;
use super::slice::LongTerm;

/// How a picture is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Unused,
    ShortTerm,
    LongTerm,
}

#[derive(Debug, Clone)]
pub(super) struct Entry<P> {
    pub(super) picture: P,
    pub(super) count: i32,
    pub(super) mark: Mark,
    /// Still to be shown.
    pub(super) waiting: bool,
    /// Pictures shown later in decoding order while it waited (`PicLatencyCount`).
    latency: u32,
}

/// `sps_max_` of the highest sub-layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) frames: usize,
    pub(super) reorder: usize,
    /// `SpsMaxLatencyPictures` (7-9)
    pub(super) latency: Option<u32>,
}

/// The current picture's references, as places in the buffer; none where one is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ReferenceSet {
    pub(super) before: Vec<Option<usize>>,
    pub(super) after: Vec<Option<usize>>,
    pub(super) long_term: Vec<Option<usize>>,
}

/// Pictures that are referred to, or wait for being shown.
#[derive(Debug)]
pub(super) struct Dpb<P> {
    entries: Vec<Entry<P>>,
    bounds: Bounds,
}

impl<P: Clone> Dpb<P> {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self { entries: Vec::new(), bounds }
    }

    pub(super) fn entries(&self) -> &[Entry<P>] {
        &self.entries
    }

    /// A coded sequence begins: nothing before is referred to any more, and all of it is shown.
    pub(super) fn clear(&mut self, shown: &mut Vec<P>) {
        for entry in &mut self.entries {
            entry.mark = Mark::Unused;
        }
        while self.show_next(shown) {}
        self.tidy();
    }

    /// Derives the reference picture set (8.3.2): what is not in it is not referred to any more.
    pub(super) fn derive(
        &mut self,
        count: i32,
        lsb_mask: i32,
        short_term: &ShortTermSet,
        long_term: &[LongTerm],
    ) -> ReferenceSet {
        let mut keep = vec![Mark::Unused; self.entries.len()];
        let mut set = ReferenceSet::default();
        let referred = |entry: &Entry<P>| entry.mark != Mark::Unused;
        for picture in long_term {
            let lsb = i32::try_from(picture.lsb).unwrap_or(0);
            // (8-5): the whole count where its upper part is given.
            let whole = picture.msb_cycle.map(|cycle| {
                let back = i32::try_from(cycle).unwrap_or(0).wrapping_mul(lsb_mask.wrapping_add(1));
                count.wrapping_sub(back).wrapping_sub((count & lsb_mask).wrapping_sub(lsb))
            });
            let at = self.entries.iter().position(|entry| {
                referred(entry)
                    && match whole {
                        Some(whole) => entry.count == whole,
                        None => entry.count & lsb_mask == lsb,
                    }
            });
            if let Some(mark) = at.and_then(|at| keep.get_mut(at)) {
                *mark = Mark::LongTerm;
            }
            if picture.used {
                set.long_term.push(at);
            }
        }
        let mut short = |list: &[(i32, bool)]| -> Vec<Option<usize>> {
            let mut used = Vec::new();
            for (distance, in_use) in list {
                let wanted = count.wrapping_add(*distance);
                let at = self
                    .entries
                    .iter()
                    .position(|entry| entry.mark == Mark::ShortTerm && entry.count == wanted);
                if let Some(mark) = at.and_then(|at| keep.get_mut(at))
                    && *mark == Mark::Unused
                {
                    *mark = Mark::ShortTerm;
                }
                if *in_use {
                    used.push(at);
                }
            }
            used
        };
        set.before = short(&short_term.negative);
        set.after = short(&short_term.positive);
        for (entry, mark) in self.entries.iter_mut().zip(keep) {
            entry.mark = mark;
        }
        set
    }

    /// Shows what must go before the current picture is decoded (C.5.2.2). Places in the buffer change.
    pub(super) fn make_room(&mut self, shown: &mut Vec<P>) {
        self.tidy();
        while self.is_over(self.bounds.frames) && self.show_next(shown) {
            self.tidy();
        }
        // References that no conforming stream would have: the buffer is bounded all the same.
        while self.entries.len() >= MAX_ENTRIES {
            self.entries.remove(0);
        }
    }

    fn is_over(&self, frames: usize) -> bool {
        self.entries.len() >= frames || self.must_show()
    }

    /// C.5.2.2: more wait than are reordered, or one waits for too long.
    fn must_show(&self) -> bool {
        let mut waiting = self.entries.iter().filter(|entry| entry.waiting);
        let late = |entry: &Entry<P>| self.bounds.latency.is_some_and(|most| entry.latency >= most);
        waiting.clone().count() > self.bounds.reorder || waiting.any(late)
    }

    /// Takes the current picture (C.5.2.3).
    pub(super) fn store(&mut self, picture: P, count: i32, output: bool, shown: &mut Vec<P>) {
        if output {
            for entry in self.entries.iter_mut().filter(|entry| entry.waiting) {
                entry.latency = entry.latency.saturating_add(1);
            }
        }
        self.entries.push(Entry { picture, count, mark: Mark::ShortTerm, waiting: output, latency: 0 });
        while self.must_show() && self.show_next(shown) {}
    }

    /// Shows the picture with the lowest count; false where none waits.
    fn show_next(&mut self, shown: &mut Vec<P>) -> bool {
        let waiting = self.entries.iter_mut().filter(|entry| entry.waiting);
        let Some(entry) = waiting.min_by_key(|entry| entry.count) else { return false };
        entry.waiting = false;
        shown.push(entry.picture.clone());
        true
    }

    /// Forgets pictures that are neither referred to nor to be shown.
    fn tidy(&mut self) {
        self.entries.retain(|entry| entry.waiting || entry.mark != Mark::Unused);
    }
}

/// `MaxDpbSize` (A.4.2), and one.
const MAX_ENTRIES: usize = 17;

/// The lists of a slice (8.3.4), as places in the buffer, each with whether it is a long-term reference.
pub(super) fn list(
    first: &[Option<usize>],
    second: &[Option<usize>],
    long_term: &[Option<usize>],
    active: usize,
    entries: Option<&Vec<u8>>,
) -> Vec<Option<usize>> {
    let all: Vec<Option<usize>> = first.iter().chain(second).chain(long_term).copied().collect();
    if all.is_empty() {
        return vec![None; active];
    }
    match entries {
        Some(entries) => {
            entries.iter().map(|entry| all.get(usize::from(*entry)).copied().flatten()).collect()
        }
        // Filled up by going round (8-8).
        None => all.iter().copied().cycle().take(active).collect(),
    }
}
