//! Pictures between parser and decoder, and the slots that a parser gives them.

use std::sync::Mutex;

use ffmpeg_next::frame;

/// A picture of a parser's, filled as soon as libavcodec gives it out.
#[derive(Default)]
pub(crate) struct Picture {
    pub(crate) frame: Mutex<Option<frame::Video>>,
    /// Whether the client has mapped it.
    pub(crate) mapped: Mutex<bool>,
}

/// What is in a slot.
#[derive(Default)]
struct Slot {
    picture: Option<std::sync::Arc<Picture>>,
    /// Given to a picture that is not displayed yet.
    busy: bool,
    /// When it was displayed, in pictures.
    displayed: u64,
}

/// The slots of one parser.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    displayed: u64,
}

impl Slots {
    /// Sets how many there are. What is in slots beyond is forgotten.
    pub(crate) fn resize(&mut self, count: usize) {
        self.slots.clear();
        self.slots.resize_with(count.max(1), Slot::default);
    }

    /// A slot for a new picture. Displayed pictures that the client has mapped go first, the oldest of them; then those
    /// never mapped, as it may still have them queued. None where all wait to be displayed.
    pub(crate) fn take(&mut self, picture: std::sync::Arc<Picture>) -> Option<usize> {
        let waits = |slot: &Slot| {
            slot.picture
                .as_ref()
                .is_some_and(|picture| !*picture.mapped.lock().unwrap_or_else(|e| e.into_inner()))
        };
        let free = self.slots.iter().enumerate().filter(|(_, slot)| !slot.busy);
        let (index, _) = free.min_by_key(|(_, slot)| (waits(slot), slot.displayed))?;
        self.slots[index] = Slot { picture: Some(picture), busy: true, displayed: 0 };
        Some(index)
    }

    /// Its picture is displayed, or will never be.
    pub(crate) fn done(&mut self, index: usize) {
        self.displayed += 1;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.busy = false;
            slot.displayed = self.displayed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_slot_is_not_taken_again_while_its_picture_is_used() {
        let mut slots = Slots::default();
        slots.resize(3);
        let pictures: Vec<Arc<Picture>> = (0..5).map(|_| Arc::default()).collect();
        let taken: Vec<_> = pictures[..3].iter().map(|picture| slots.take(Arc::clone(picture))).collect();
        assert_eq!(taken, [Some(0), Some(1), Some(2)]);
        assert_eq!(slots.take(Arc::default()), None, "all wait to be displayed");
        slots.done(1);
        slots.done(0);
        *pictures[0].mapped.lock().unwrap() = true;
        assert_eq!(
            slots.take(Arc::clone(&pictures[3])),
            Some(0),
            "1 was displayed before, but is not mapped yet"
        );
        assert_eq!(slots.take(Arc::clone(&pictures[4])), Some(1));
    }
}
