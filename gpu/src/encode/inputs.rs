//! Pictures' memory as a session knows it: registered once, mapped while the encoder reads it.

use std::sync::Arc;

use crate::error::NvencError;
use crate::ffi::nvenc::{Mapped, Resource, Session};
use crate::frame::Storage;

/// Pictures' memory that stays known to an encoder: more than the pools that feed it hold.
const MAX_REGISTERED: usize = 32;

/// A picture's memory.
struct Registered {
    /// It stays as long as the session knows it.
    storage: Arc<Storage>,
    resource: Resource,
    /// While the encoder has it, and how many times: a picture may be sent again before it is encoded.
    mapped: Option<(Mapped, usize)>,
}

/// All that a session knows. Its user lets go of all of it before the session goes.
#[derive(Default)]
pub(super) struct Inputs {
    /// Most recently used last.
    registered: Vec<Registered>,
}

impl Inputs {
    /// Maps a picture's memory for one use.
    pub(super) fn map(&mut self, session: &Session, storage: &Arc<Storage>) -> Result<Mapped, NvencError> {
        let mut known = match self.position(storage) {
            Some(at) => self.registered.remove(at),
            None => {
                self.make_room(session)?;
                let (address, _) = storage.memory.span();
                let layout = storage.layout;
                let resource = session.register(address, layout.pitch, layout.size)?;
                Registered { storage: Arc::clone(storage), resource, mapped: None }
            }
        };
        let mapped = match &mut known.mapped {
            Some((mapped, uses)) => {
                *uses += 1;
                Ok(*mapped)
            }
            none => session.map(known.resource).inspect(|mapped| *none = Some((*mapped, 1))),
        };
        self.registered.push(known);
        mapped
    }

    /// Ends one use.
    pub(super) fn unmap(&mut self, session: &Session, storage: &Arc<Storage>) -> Result<(), NvencError> {
        let Some(known) = self.position(storage).and_then(|at| self.registered.get_mut(at)) else {
            return Ok(());
        };
        match known.mapped.take() {
            Some((mapped, uses)) if uses > 1 => {
                known.mapped = Some((mapped, uses - 1));
                Ok(())
            }
            Some((mapped, _)) => session.unmap(mapped),
            None => Ok(()),
        }
    }

    /// Ends all uses, and has the session forget everything. What it says changes nothing: it is destroyed next.
    pub(super) fn clear(&mut self, session: &Session) {
        for known in self.registered.drain(..) {
            if let Some((mapped, _)) = known.mapped {
                let _ = session.unmap(mapped);
            }
            let _ = session.unregister(known.resource);
        }
    }

    fn position(&self, storage: &Storage) -> Option<usize> {
        self.registered.iter().position(|known| known.storage.id == storage.id)
    }

    /// Has the session forget the least recently used, where it knows as many as it may.
    fn make_room(&mut self, session: &Session) -> Result<(), NvencError> {
        if self.registered.len() < MAX_REGISTERED {
            return Ok(());
        }
        match self.registered.iter().position(|known| known.mapped.is_none()) {
            Some(at) => session.unregister(self.registered.remove(at).resource),
            // More are being encoded than that; they are forgotten later.
            None => Ok(()),
        }
    }
}
