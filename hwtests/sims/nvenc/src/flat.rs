//! Coded pictures made once: for measuring what stands around the driver, where coding would be all there is to see.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::caps::NV12;
use crate::coder::{Coded, Coder, Failed, Picture, PictureType};
use crate::settings::{Headers, INFINITE, Mode, Rate, Settings};

/// Pictures of one grey, coded one after the other as far as they were asked for.
struct Group {
    coder: Coder,
    settings: Settings,
    coded: Vec<Vec<u8>>,
}

/// A stream of them: which picture of the group comes next.
pub(crate) struct Flat {
    group: Arc<Mutex<Group>>,
    gop: u32,
    next: usize,
}

impl Flat {
    /// The stream for these settings; its pictures are shared with all of the same size and coding.
    pub(crate) fn open(settings: &Settings) -> Result<Self, Failed> {
        type Key = (sim_state::Codec, u32, u32, (u32, u32));
        static GROUPS: OnceLock<Mutex<HashMap<Key, Arc<Mutex<Group>>>>> = OnceLock::new();
        let key = (settings.codec, settings.width, settings.height, settings.frame_rate);
        let mut groups = GROUPS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let group = match groups.get(&key) {
            Some(group) => Arc::clone(group),
            None => {
                let rate = Rate { mode: Mode::ConstQp { p: 30 }, average: 0, highest: 0, buffer: 0 };
                let headers = Headers::EachIdr;
                let plain = Settings {
                    flat: false,
                    ten_bit: false,
                    b_frames: 0,
                    gop: INFINITE,
                    rate,
                    headers,
                    ..*settings
                };
                let coder = Coder::open(&plain)?;
                let group = Arc::new(Mutex::new(Group { coder, settings: plain, coded: Vec::new() }));
                groups.insert(key, Arc::clone(&group));
                group
            }
        };
        Ok(Self { group, gop: settings.gop, next: 0 })
    }

    /// The next coded picture, under the number of the one it stands for.
    pub(crate) fn send(&mut self, number: u64, idr: bool) -> Result<Coded, Failed> {
        if idr || u32::try_from(self.next).is_ok_and(|next| next >= self.gop) {
            self.next = 0;
        }
        let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        let group = &mut *group;
        while group.coded.len() <= self.next {
            let (pitch, rows) = (group.settings.width as usize, group.settings.height as usize);
            let bytes = vec![0x80; pitch * rows + pitch * rows.div_ceil(2)];
            let at = u64::try_from(group.coded.len()).unwrap_or(0);
            let picture = Picture { format: NV12, pitch, rows, bytes: &bytes };
            group
                .coded
                .extend(group.coder.send(picture, at, at == 0, false)?.into_iter().map(|coded| coded.bytes));
        }
        let kind = if self.next == 0 { PictureType::Idr } else { PictureType::P };
        let bytes = group.coded[self.next].clone();
        self.next += 1;
        Ok(Coded { number, kind, qp: 30, bytes })
    }
}
