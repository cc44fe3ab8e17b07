//! Sessions: an encoder or decoder that a process holds on a device.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use thiserror::Error;

use crate::faults::OpenMeeting;
use crate::layout::{Counter, Engine, MAX_DEVICES, MAX_SESSIONS, SessionSlot};
use crate::plan::CapStatus;
use crate::{Codec, Lost, Nanoseconds, State, clock};

/// Why a session does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The device is gone.
    #[error("no session")]
    Lost(#[from] Lost),
    /// The plan has it fail, with this vendor's status where it names one.
    #[error("the plan has the open fail")]
    Planned(Option<u32>),
    /// As many sessions are open as may be.
    #[error("as many sessions are open as may be")]
    Cap(CapStatus),
}

/// What a session codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSize {
    /// Its coding.
    pub codec: Codec,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Encode sessions that this process is opening, by device.
static OPENING: [AtomicU32; MAX_DEVICES] = [const { AtomicU32::new(0) }; MAX_DEVICES];

/// An encode session that is being opened.
struct Opening(&'static AtomicU32);

impl Opening {
    fn begin(state: &State, device: usize) -> Option<Self> {
        let opening = OPENING.get(device)?;
        if opening.fetch_add(1, AcqRel) > 0 {
            state.count(device, Counter::OverlappingOpens, 1);
        }
        Some(Self(opening))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// An open session; it is closed when dropped.
#[derive(Debug)]
pub struct Session {
    state: &'static State,
    slot: usize,
}

impl Session {
    /// Opens a session on `device`, which takes the time that the plan says. The cap is that of the whole system: all
    /// sessions count that are open on devices with a cap.
    ///
    /// # Errors
    /// Where the device is lost, the cap reached, or the plan has it fail.
    pub fn open(state: &'static State, device: usize, engine: Engine) -> Result<Self, OpenError> {
        state.there(device)?;
        let _opening = (engine == Engine::Encode).then(|| Opening::begin(state, device));
        let plan = &state.plan().devices[device];
        let opens = if engine == Engine::Encode { Counter::EncodeOpens } else { Counter::DecodeOpens };
        let refused = |reason: OpenError| {
            state.count(device, Counter::OpensRefused, 1);
            Err(reason)
        };
        let change = state.change();
        state.reap(&change);
        match state.meet_open(device, engine, state.counted(device, opens)) {
            OpenMeeting::Fails(status) => return refused(OpenError::Planned(status)),
            OpenMeeting::CapReached => return refused(OpenError::Cap(plan.cap_status)),
            OpenMeeting::Sound => {}
        }
        let sessions = &state.layout().sessions;
        if engine == Engine::Encode
            && let Some(cap) = plan.session_cap
        {
            let capped = |slot: &&SessionSlot| {
                let on = usize::try_from(slot.device.load(Relaxed)).unwrap_or(usize::MAX);
                slot.id.load(Relaxed) != 0
                    && slot.engine.load(Relaxed) == engine_word(Engine::Encode)
                    && state.plan().devices.get(on).is_some_and(|device| device.session_cap.is_some())
            };
            if sessions.iter().filter(capped).count() >= usize::try_from(cap).unwrap_or(usize::MAX) {
                return refused(OpenError::Cap(plan.cap_status));
            }
        }
        let Some(slot) = sessions.iter().position(|slot| slot.id.load(Relaxed) == 0) else {
            return refused(OpenError::Cap(plan.cap_status));
        };
        let session = &sessions[slot];
        let owner = state.instance().map_or(0, |(slot, _)| slot + 1);
        for (field, value) in [
            (&session.owner, u32::try_from(owner).unwrap_or(0)),
            (&session.pid, std::process::id()),
            (&session.device, u32::try_from(device).unwrap_or(0)),
            (&session.engine, engine_word(engine)),
            (&session.codec, 0),
            (&session.width, 0),
            (&session.height, 0),
        ] {
            field.store(value, Relaxed);
        }
        for field in [&session.frames, &session.last_frame_ns, &session.interval_ns, &session.latency_ns] {
            field.store(0, Relaxed);
        }
        let now = clock::now();
        session.opened_ns.store(now, Relaxed);
        let number = state.layout().next_session.fetch_add(1, Relaxed).wrapping_add(1).max(1);
        session.id.store(number, Release);
        state.count(device, opens, 1);
        let mut open_at = now;
        if engine == Engine::Encode && plan.open_delay_ms > 0 {
            let opening = &state.device(device).opening_until_ns;
            open_at =
                opening.load(Relaxed).max(now).saturating_add(plan.open_delay_ms.saturating_mul(1_000_000));
            opening.store(open_at, Relaxed);
        }
        drop(change);
        clock::sleep_until(open_at);
        Ok(Self { state, slot })
    }

    /// Says what it codes, as soon as that is known or changes.
    pub fn set_size(&self, size: SessionSize) {
        let slot = self.slot();
        slot.codec.store(1 + codec_word(size.codec), Relaxed);
        slot.width.store(size.width, Relaxed);
        slot.height.store(size.height, Relaxed);
    }

    /// Notes a frame that took `latency`.
    pub fn frame(&self, latency: Nanoseconds) {
        let slot = self.slot();
        let now = clock::now();
        let last = slot.last_frame_ns.swap(now, Relaxed);
        let mean = |field: &std::sync::atomic::AtomicU64, value: u64| {
            let before = field.load(Relaxed);
            field.store(if before == 0 { value } else { (before * 7 + value) / 8 }, Relaxed);
        };
        if last != 0 {
            mean(&slot.interval_ns, now.saturating_sub(last));
        }
        mean(&slot.latency_ns, latency);
        slot.frames.fetch_add(1, Relaxed);
    }

    /// How many frames it was given.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.slot().frames.load(Relaxed)
    }

    fn slot(&self) -> &SessionSlot {
        &self.state.layout().sessions[self.slot]
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.slot().owner.store(0, Relaxed);
        self.slot().id.store(0, Release);
    }
}

/// An open session, as it is seen from outside.
pub(crate) struct Seen {
    pub(crate) id: u32,
    pub(crate) pid: u32,
    pub(crate) device: usize,
    pub(crate) engine: Engine,
    pub(crate) size: Option<SessionSize>,
    pub(crate) frames: u64,
    pub(crate) interval_ns: Nanoseconds,
    pub(crate) latency_ns: Nanoseconds,
}

impl State {
    /// The open sessions of all live processes.
    pub(crate) fn sessions(&self) -> Vec<Seen> {
        let change = self.change();
        self.reap(&change);
        let seen = |slot: &SessionSlot| {
            let id = slot.id.load(Acquire);
            let device = usize::try_from(slot.device.load(Relaxed)).ok()?;
            let engine = *Engine::ALL.get(usize::try_from(slot.engine.load(Relaxed)).ok()?)?;
            let codec = usize::try_from(slot.codec.load(Relaxed)).ok()?.checked_sub(1);
            let (width, height) = (slot.width.load(Relaxed), slot.height.load(Relaxed));
            let size = codec.and_then(|codec| Codec::ALL.get(codec)).map(|codec| SessionSize {
                codec: *codec,
                width,
                height,
            });
            (id != 0).then(|| Seen {
                id,
                pid: slot.pid.load(Relaxed),
                device,
                engine,
                size,
                frames: slot.frames.load(Relaxed),
                interval_ns: slot.interval_ns.load(Relaxed),
                latency_ns: slot.latency_ns.load(Relaxed),
            })
        };
        let sessions = &self.layout().sessions;
        debug_assert_eq!(sessions.len(), MAX_SESSIONS);
        sessions.iter().filter_map(seen).collect()
    }
}

fn engine_word(engine: Engine) -> u32 {
    u32::try_from(engine.index()).unwrap_or(0)
}

fn codec_word(codec: Codec) -> u32 {
    Codec::ALL.iter().zip(0..).find(|(other, _)| **other == codec).map_or(0, |(_, word)| word)
}
