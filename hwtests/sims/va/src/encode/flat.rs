//! Coded pictures made once: for measuring what stands around the driver, where coding would be all there is to see.
//!
//! Slices of a grey picture, under whatever headers the client has, are those of a sound stream of grey pictures: an
//! inter picture says that nothing changed, whichever it is.

use crate::encode::x264::{PictureKind, Slices};
use crate::surface::{Layout, Pixels};

/// QP of all of them.
pub(crate) const QP: i32 = 30;

/// The slices of each kind of picture, as far as they were asked for.
#[derive(Default)]
pub(crate) struct Flat {
    made: [Option<Vec<Vec<u8>>>; 3],
}

impl Flat {
    /// The slices of a picture of this kind, which `code` codes where none was asked for before.
    pub(crate) fn slices(
        &mut self,
        kind: PictureKind,
        (layout, width, height): (Layout, usize, usize),
        code: impl FnOnce(&Pixels) -> Option<Slices>,
    ) -> Option<Slices> {
        let made = match kind {
            PictureKind::Idr => &mut self.made[0],
            PictureKind::Intra => &mut self.made[1],
            PictureKind::Predicted => &mut self.made[2],
        };
        let units = match made {
            Some(units) => units.clone(),
            None => {
                let mut grey = Pixels::new(layout, width, height);
                grey.bytes.fill(0x80);
                made.insert(code(&grey)?.units).clone()
            }
        };
        Some(Slices { units, reconstructed: None })
    }
}
