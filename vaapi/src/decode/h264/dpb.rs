//! The decoded picture buffer of H.264 (ITU-T H.264, 8.2.5 and C.4).
//!
//! Generic over what a picture is, so that it can be tested without a device. A frame, or two fields of one, is an
//! entry; each field of it is marked alone.

use super::slice::{Marking, RefMarking, Structure};

/// A frame, or one or two fields of it.
#[derive(Debug, Clone)]
pub(super) struct Entry<P> {
    pub(super) picture: P,
    pub(super) frame_num: u32,
    /// (8-27)
    pub(super) frame_num_wrap: i64,
    pub(super) long_term_frame_idx: u32,
    /// Order counts of the top and the bottom field.
    pub(super) counts: [i32; 2],
    /// The fields that were decoded; bit 0 is the top one, bit 1 the bottom one, here and below.
    pub(super) fields: u8,
    /// Fields marked as used for short-term reference.
    pub(super) short: u8,
    /// Fields marked as used for long-term reference.
    pub(super) long: u8,
    /// Still to be shown.
    pub(super) waiting: bool,
    /// Inferred where `frame_num` has a gap (8.2.5.2).
    pub(super) non_existing: bool,
}

impl<P> Entry<P> {
    /// `PicOrderCnt` (8-1) of what was decoded of it.
    pub(super) fn count(&self) -> i32 {
        match self.fields {
            1 => self.counts[0],
            2 => self.counts[1],
            _ => self.counts[0].min(self.counts[1]),
        }
    }

    pub(super) fn is_reference(&self) -> bool {
        self.short | self.long != 0
    }
}

/// The picture that is being decoded.
#[derive(Debug, Clone)]
pub(super) struct Current<P> {
    pub(super) picture: P,
    pub(super) structure: Structure,
    pub(super) frame_num: u32,
    pub(super) counts: [i32; 2],
    pub(super) reference: bool,
}

/// What to do with order counts behind a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Frames that are kept.
    pub(super) frames: usize,
    /// Frames that wait for being shown; none where the stream does not say.
    pub(super) reorder: Option<usize>,
    /// `max_num_ref_frames`
    pub(super) references: usize,
    /// `MaxFrameNum`
    pub(super) max_frame_num: u32,
}

/// Frames that are referred to, or wait for being shown.
#[derive(Debug)]
pub(super) struct Dpb<P> {
    entries: Vec<Entry<P>>,
    bounds: Bounds,
    max_long_term_frame_idx: Option<u32>,
    /// The entry whose second field may come.
    first_field: Option<usize>,
    /// The last count shown, for streams that do not say how far they reorder; none behind a restart.
    last_shown: Option<i32>,
    /// Whether a count of a frame was odd: then counts go by one, otherwise by two.
    odd_counts: bool,
}

impl<P: Clone> Dpb<P> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            entries: Vec::new(),
            bounds,
            max_long_term_frame_idx: None,
            first_field: None,
            last_shown: None,
            odd_counts: false,
        }
    }

    pub(super) fn entries(&self) -> &[Entry<P>] {
        &self.entries
    }

    pub(super) fn max_frame_num(&self) -> i64 {
        i64::from(self.bounds.max_frame_num)
    }

    /// The picture of the last reference frame, to conceal with.
    pub(super) fn newest_reference(&self) -> Option<&P> {
        let references = self.entries.iter().filter(|entry| entry.is_reference());
        references.max_by_key(|entry| entry.frame_num_wrap).map(|entry| &entry.picture)
    }

    /// The entry that this field completes, if it is a second field (7.4.1.2.4): of the other parity, of the same
    /// frame, and a reference only if the first one is, an IDR picture's second field excepted.
    pub(super) fn pair_of(&self, structure: Structure, frame_num: u32, idr: bool) -> Option<&Entry<P>> {
        let entry = self.entries.get(self.first_field?)?;
        let other = structure.is_field() && entry.fields == 3 ^ structure.fields();
        (other && entry.frame_num == frame_num && !idr).then_some(entry)
    }

    /// Numbers frames for a picture with this `frame_num` (8-27).
    pub(super) fn number(&mut self, frame_num: u32) {
        for entry in self.entries.iter_mut().filter(|entry| entry.short != 0) {
            let wrapped = if entry.frame_num > frame_num { i64::from(self.bounds.max_frame_num) } else { 0 };
            entry.frame_num_wrap = i64::from(entry.frame_num) - wrapped;
        }
    }

    /// An IDR picture comes: nothing before is referred to any more, and all of it is shown.
    pub(super) fn clear(&mut self, shown: &mut Vec<P>) {
        for entry in &mut self.entries {
            (entry.short, entry.long) = (0, 0);
        }
        self.flush(shown);
        self.max_long_term_frame_idx = None;
    }

    /// Shows all that waits, in order.
    pub(super) fn flush(&mut self, shown: &mut Vec<P>) {
        self.first_field = None;
        while self.show_next(shown) {}
        self.last_shown = None;
        self.tidy();
    }

    /// A first field whose second one did not come is all there will be of its frame.
    pub(super) fn end_field_pair(&mut self, shown: &mut Vec<P>) {
        if self.first_field.take().is_some() {
            self.bump(shown);
        }
    }

    /// Infers a frame where `frame_num` has a gap (8.2.5.2); `picture` stands in for it.
    pub(super) fn infer(&mut self, picture: P, frame_num: u32, shown: &mut Vec<P>) {
        self.number(frame_num);
        self.slide();
        self.make_room(None, shown);
        self.entries.push(Entry {
            picture,
            frame_num,
            frame_num_wrap: i64::from(frame_num),
            long_term_frame_idx: 0,
            counts: [0; 2],
            fields: 3,
            short: 3,
            long: 0,
            waiting: false,
            non_existing: true,
        });
    }

    /// Takes a picture that was decoded, and marks references as it asks for. `restarted` holds its counts where it
    /// marked all unused. What is to be shown now goes to `shown`.
    pub(super) fn store(
        &mut self,
        current: Current<P>,
        marking: &RefMarking,
        restarted: Option<[i32; 2]>,
        shown: &mut Vec<P>,
    ) {
        let pair = self.pair_of(current.structure, current.frame_num, false).is_some();
        let at = if pair { self.first_field } else { None };
        let fields = current.structure.fields();
        let mut long = None;
        if current.reference {
            match marking {
                RefMarking::Idr { long_term_reference_flag } => {
                    self.max_long_term_frame_idx = long_term_reference_flag.then_some(0);
                    long = long_term_reference_flag.then_some(0);
                }
                // The second field of a reference frame is in the window already.
                RefMarking::SlidingWindow => {
                    if at.and_then(|at| self.entries.get(at)).is_none_or(|entry| entry.short == 0) {
                        self.slide();
                    }
                }
                RefMarking::Adaptive(steps) => {
                    for step in steps {
                        self.mark(*step, &current, at, &mut long);
                    }
                }
            }
        }
        let (frame_num, counts) = match restarted {
            Some(counts) => {
                // Like an IDR picture: all before it is shown before it (C.4.4).
                let own = at.map(|at| self.entries.get(at).is_some_and(|entry| entry.waiting));
                if let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) {
                    entry.waiting = false;
                }
                while self.show_next(shown) {}
                if let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) {
                    entry.waiting = own.unwrap_or(false);
                }
                self.last_shown = None;
                (0, counts)
            }
            None => (current.frame_num, current.counts),
        };
        let (short_mark, long_mark) = match (current.reference, long) {
            (false, _) => (0, 0),
            (true, None) => (fields, 0),
            (true, Some(_)) => (0, fields),
        };
        match at.and_then(|at| self.entries.get_mut(at)) {
            Some(entry) => {
                entry.fields |= fields;
                if fields == 1 {
                    entry.counts[0] = counts[0];
                } else {
                    entry.counts[1] = counts[1];
                }
                entry.frame_num = frame_num;
                entry.short |= short_mark;
                entry.long |= long_mark;
                if let Some(index) = long {
                    entry.long_term_frame_idx = index;
                }
                self.first_field = None;
            }
            None => {
                let lowest = (!current.reference).then(|| match current.structure {
                    Structure::Frame => counts[0].min(counts[1]),
                    Structure::TopField => counts[0],
                    Structure::BottomField => counts[1],
                });
                self.make_room(lowest, shown);
                self.entries.push(Entry {
                    picture: current.picture,
                    frame_num,
                    frame_num_wrap: i64::from(frame_num),
                    long_term_frame_idx: long.unwrap_or(0),
                    counts,
                    fields,
                    short: short_mark,
                    long: long_mark,
                    waiting: true,
                    non_existing: false,
                });
                self.first_field = current.structure.is_field().then(|| self.entries.len() - 1);
            }
        }
        if self.first_field.is_none() {
            self.bump(shown);
        }
    }

    /// The sliding window (8.2.5.3).
    fn slide(&mut self) {
        let references = |entries: &[Entry<P>]| entries.iter().filter(|entry| entry.is_reference()).count();
        while references(&self.entries) >= self.bounds.references.max(1) {
            let short = self.entries.iter_mut().filter(|entry| entry.short != 0);
            match short.min_by_key(|entry| entry.frame_num_wrap) {
                Some(entry) => entry.short = 0,
                // Long-term references alone are more than there may be: the stream is damaged.
                None => match self.entries.iter_mut().find(|entry| entry.long != 0) {
                    Some(entry) => entry.long = 0,
                    None => break,
                },
            }
        }
    }

    /// One step of adaptive marking (8.2.5.4).
    fn mark(&mut self, step: Marking, current: &Current<P>, pair: Option<usize>, long: &mut Option<u32>) {
        let fields = current.structure.fields();
        match step {
            Marking::ShortUnused(difference) => {
                if let Some((at, fields)) = self.short_of(current, difference)
                    && let Some(entry) = self.entries.get_mut(at)
                {
                    entry.short &= !fields;
                }
            }
            Marking::LongUnused(number) => {
                if let Some((at, fields)) = self.long_of(current, number)
                    && let Some(entry) = self.entries.get_mut(at)
                {
                    entry.long &= !fields;
                }
            }
            Marking::ShortToLong(difference, index) => {
                if let Some((at, fields)) = self.short_of(current, difference) {
                    self.free_long(index, Some(at));
                    if let Some(entry) = self.entries.get_mut(at) {
                        entry.short &= !fields;
                        entry.long |= fields;
                        entry.long_term_frame_idx = index;
                    }
                }
            }
            Marking::MaxLong(plus1) => {
                self.max_long_term_frame_idx = plus1.checked_sub(1);
                for entry in self.entries.iter_mut().filter(|entry| entry.long_term_frame_idx >= plus1) {
                    entry.long = 0;
                }
            }
            Marking::AllUnused => {
                for entry in &mut self.entries {
                    (entry.short, entry.long) = (0, 0);
                }
                self.max_long_term_frame_idx = None;
            }
            Marking::CurrentToLong(index) => {
                self.free_long(index, pair);
                if let Some(entry) = pair.and_then(|at| self.entries.get_mut(at)) {
                    entry.short &= !fields;
                }
                *long = Some(index);
            }
        }
    }

    /// Frees a long-term index, unless the entry that has it is the other field's of the same frame.
    fn free_long(&mut self, index: u32, except: Option<usize>) {
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if entry.long != 0 && entry.long_term_frame_idx == index && Some(at) != except {
                entry.long = 0;
            }
        }
    }

    /// The short-term picture `difference + 1` before the current one (8-39), and its fields.
    fn short_of(&self, current: &Current<P>, difference: u32) -> Option<(usize, u8)> {
        let field = current.structure.is_field();
        let current_number = match field {
            true => i64::from(current.frame_num) * 2 + 1,
            false => i64::from(current.frame_num),
        };
        let number = current_number - (i64::from(difference) + 1);
        self.find(current.structure, number, |entry| (entry.short, entry.frame_num_wrap))
    }

    fn long_of(&self, current: &Current<P>, number: u32) -> Option<(usize, u8)> {
        self.find(current.structure, i64::from(number), |entry| {
            (entry.long, i64::from(entry.long_term_frame_idx))
        })
    }

    /// The picture with a number, where fields of the current one's parity are odd (8-28 to 8-31).
    pub(super) fn find(
        &self,
        structure: Structure,
        number: i64,
        of: impl Fn(&Entry<P>) -> (u8, i64),
    ) -> Option<(usize, u8)> {
        let (frame, fields) = match structure.is_field() {
            false => (number, 3),
            true if number.rem_euclid(2) == 1 => (number.div_euclid(2), structure.fields()),
            true => (number.div_euclid(2), 3 ^ structure.fields()),
        };
        let at = self.entries.iter().position(|entry| {
            let (marked, numbered) = of(entry);
            marked & fields == fields && numbered == frame
        })?;
        Some((at, fields))
    }

    /// Makes room for one frame (C.4.5.3). One that nothing refers to, with a count below all others' (`unreferenced`),
    /// needs none: it is the next that is shown (C.4.5.2).
    fn make_room(&mut self, unreferenced: Option<i32>, shown: &mut Vec<P>) {
        self.tidy();
        while self.entries.len() >= self.bounds.frames {
            let lowest = self.entries.iter().filter(|entry| entry.waiting).map(Entry::count).min();
            let next = unreferenced.is_some_and(|count| lowest.is_none_or(|lowest| count < lowest));
            if next && self.entries.len() == self.bounds.frames {
                return;
            }
            if !self.show_next(shown) {
                // Only references are left, more than there may be: the stream is damaged.
                if let Some(entry) = self.entries.iter_mut().min_by_key(|entry| entry.frame_num_wrap) {
                    (entry.short, entry.long) = (0, 0);
                }
            }
            self.tidy();
        }
    }

    /// Shows what need not wait any more.
    fn bump(&mut self, shown: &mut Vec<P>) {
        let waiting = |entries: &[Entry<P>]| entries.iter().filter(|entry| entry.waiting).count();
        let reorder = self.bounds.reorder.unwrap_or(self.bounds.frames);
        while waiting(&self.entries) > reorder && self.show_next(shown) {}
        self.tidy();
        while self.entries.len() > self.bounds.frames && self.show_next(shown) {
            self.tidy();
        }
        if self.bounds.reorder.is_none() {
            self.show_successors(shown);
        }
        self.tidy();
    }

    /// Where the stream does not say how far it reorders: a frame whose count follows the last one's can have none
    /// before it.
    fn show_successors(&mut self, shown: &mut Vec<P>) {
        self.odd_counts |= self.entries.iter().any(|e| e.waiting && e.count().rem_euclid(2) == 1);
        let step = if self.odd_counts { 1 } else { 2 };
        loop {
            let next = self.entries.iter().filter(|e| e.waiting).map(Entry::count).min();
            let follows = match (next, self.last_shown) {
                (None, _) => false,
                // An IDR picture counts from 0, or from its second field's distance below.
                (Some(next), None) => next <= 0,
                (Some(next), Some(last)) => i64::from(next) <= i64::from(last) + step,
            };
            if !follows || !self.show_next(shown) {
                return;
            }
        }
    }

    /// Shows the frame with the lowest count; false where none waits.
    fn show_next(&mut self, shown: &mut Vec<P>) -> bool {
        let waiting = self.entries.iter_mut().enumerate().filter(|(at, entry)| {
            // A frame whose second field may come is not whole.
            entry.waiting && Some(*at) != self.first_field
        });
        let Some((_, entry)) = waiting.min_by_key(|(_, entry)| entry.count()) else { return false };
        entry.waiting = false;
        self.last_shown = Some(entry.count());
        shown.push(entry.picture.clone());
        true
    }

    /// Forgets frames that are neither referred to nor to be shown.
    fn tidy(&mut self) {
        let keep = self.first_field;
        let mut at = 0;
        let mut moved = None;
        let mut kept = 0;
        self.entries.retain(|entry| {
            let stays = entry.waiting || entry.is_reference() || Some(at) == keep;
            if Some(at) == keep {
                moved = Some(kept);
            }
            at += 1;
            kept += usize::from(stays);
            stays
        });
        self.first_field = moved;
    }
}

#[cfg(test)]
mod tests;
