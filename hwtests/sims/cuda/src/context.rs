//! Contexts: those a client makes, the primary ones, and which is current to a thread.

use std::cell::RefCell;

use sim_nvidia::pointer::Out;
use sim_state::Counter;

use crate::driver::{Driver, entries, put};
use crate::status::{
    Answer, CONTEXT_IS_DESTROYED, INVALID_CONTEXT, INVALID_VALUE, PRIMARY_CONTEXT_ACTIVE, Status,
};

/// A context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// CUDA's ordinal of its device.
    pub(crate) ordinal: usize,
    /// Its device's number in the plan.
    pub(crate) device: usize,
    pub(crate) primary: bool,
    pub(crate) alive: bool,
    /// An error that stays: a kernel that went wrong breaks its context.
    pub(crate) broken: Option<Status>,
}

/// A device's primary context.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Primary {
    pub(crate) context: usize,
    pub(crate) retained: u32,
    flags: u32,
}

thread_local! {
    /// The contexts that this thread pushed, the current one last.
    static STACK: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The context current to this thread; 0 for none.
pub(crate) fn current_handle() -> usize {
    STACK.with_borrow(|stack| stack.last().copied().unwrap_or(0))
}

pub(crate) fn push(context: usize) {
    STACK.with_borrow_mut(|stack| stack.push(context));
}

pub(crate) fn pop() -> Option<usize> {
    STACK.with_borrow_mut(Vec::pop)
}

impl Driver {
    /// The context current to this thread, which a call needs; and its device must be there.
    pub(crate) fn current(&self, name: &str) -> Answer<(usize, Context)> {
        let handle = current_handle();
        if handle == 0 {
            return self.wrong(INVALID_CONTEXT, &format!("{name} is called with no context current"));
        }
        let context = self.context(name, handle)?;
        self.there(context.device)?;
        context.broken.map_or(Ok((handle, context)), Err)
    }

    /// A context by its handle.
    pub(crate) fn context(&self, name: &str, handle: usize) -> Answer<Context> {
        match self.tables().contexts.get(&handle) {
            Some(context) if context.alive => Ok(*context),
            Some(_) => {
                self.wrong(CONTEXT_IS_DESTROYED, &format!("{name} uses a context after its destruction"))
            }
            None => self.wrong(INVALID_CONTEXT, &format!("{name} is given {handle:#x}, which is no context")),
        }
    }

    /// Breaks a context for good.
    pub(crate) fn break_context(&self, handle: usize, status: Status) {
        if let Some(context) = self.tables().contexts.get_mut(&handle) {
            context.broken = Some(status);
        }
    }

    fn make(&self, ordinal: i32, primary: bool) -> Answer<usize> {
        let device = self.device(ordinal)?;
        self.there(device)?;
        self.state.count(device, Counter::ContextsMade, 1);
        let mut tables = self.tables();
        let handle = tables.handle();
        let ordinal = usize::try_from(ordinal).unwrap_or(0);
        tables.contexts.insert(handle, Context { ordinal, device, primary, alive: true, broken: None });
        Ok(handle)
    }
}

fn ordinal_key(ordinal: i32) -> usize {
    usize::try_from(ordinal).unwrap_or(0)
}

entries! {
    fn cuCtxCreate_v2(driver, context: Out<usize>, _flags: u32, device: i32) {
        let handle = driver.make(device, false)?;
        push(handle);
        put(context, handle)
    }
    fn cuCtxDestroy_v2(driver, handle: usize) {
        if driver.context("cuCtxDestroy", handle)?.primary {
            return driver.wrong(INVALID_CONTEXT, "cuCtxDestroy is given a primary context");
        }
        if let Some(context) = driver.tables().contexts.get_mut(&handle) {
            context.alive = false;
        }
        if current_handle() == handle {
            pop();
        }
        driver.free_with_context(handle);
        Ok(())
    }
    fn cuCtxPushCurrent_v2(driver, handle: usize) {
        driver.context("cuCtxPushCurrent", handle)?;
        push(handle);
        Ok(())
    }
    fn cuCtxPopCurrent_v2(driver, popped: Out<usize>) {
        match pop() {
            Some(handle) => {
                popped.put(handle);
                Ok(())
            }
            None => driver.wrong(INVALID_CONTEXT, "cuCtxPopCurrent is called with no context current"),
        }
    }
    fn cuCtxSetCurrent(driver, handle: usize) {
        if handle != 0 {
            driver.context("cuCtxSetCurrent", handle)?;
        }
        pop();
        if handle != 0 {
            push(handle);
        }
        Ok(())
    }
    fn cuCtxGetCurrent(_driver, context: Out<usize>) {
        put(context, current_handle())
    }
    fn cuCtxGetDevice(driver, device: Out<i32>) {
        let (_, context) = driver.current("cuCtxGetDevice")?;
        put(device, i32::try_from(context.ordinal).unwrap_or(0))
    }
    fn cuCtxGetFlags(driver, flags: Out<u32>) {
        driver.current("cuCtxGetFlags")?;
        put(flags, 0)
    }
    fn cuCtxGetApiVersion(driver, handle: usize, version: Out<u32>) {
        if handle != 0 {
            driver.context("cuCtxGetApiVersion", handle)?;
        }
        put(version, 3020)
    }
    fn cuCtxGetStreamPriorityRange(driver, least: Out<i32>, greatest: Out<i32>) {
        driver.current("cuCtxGetStreamPriorityRange")?;
        least.put(0);
        greatest.put(-5);
        Ok(())
    }
    fn cuCtxSynchronize(driver) {
        driver.current("cuCtxSynchronize").map(|_| ())
    }
    fn cuCtxSetLimit(driver, _limit: u32, _value: usize) {
        driver.current("cuCtxSetLimit").map(|_| ())
    }
    fn cuCtxGetLimit(driver, value: Out<usize>, _limit: u32) {
        driver.current("cuCtxGetLimit")?;
        put(value, 1024)
    }
    fn cuCtxSetCacheConfig(driver, _config: u32) {
        driver.current("cuCtxSetCacheConfig").map(|_| ())
    }
    fn cuDevicePrimaryCtxRetain(driver, context: Out<usize>, device: i32) {
        driver.there(driver.device(device)?)?;
        let known = driver.tables().primaries.get(&ordinal_key(device)).map_or(0, |primary| primary.context);
        let known_alive = known != 0 && driver.tables().contexts.get(&known).is_some_and(|c| c.alive);
        let handle = if known_alive { known } else { driver.make(device, true)? };
        let mut tables = driver.tables();
        let primary = tables.primaries.entry(ordinal_key(device)).or_default();
        primary.context = handle;
        primary.retained += 1;
        drop(tables);
        put(context, handle)
    }
    fn cuDevicePrimaryCtxRelease_v2(driver, device: i32) {
        release_primary(driver, device)
    }
    fn cuDevicePrimaryCtxRelease(driver, device: i32) {
        release_primary(driver, device)
    }
    fn cuDevicePrimaryCtxReset_v2(driver, device: i32) {
        reset_primary(driver, device)
    }
    fn cuDevicePrimaryCtxReset(driver, device: i32) {
        reset_primary(driver, device)
    }
    fn cuDevicePrimaryCtxSetFlags_v2(driver, device: i32, flags: u32) {
        set_primary_flags(driver, device, flags)
    }
    fn cuDevicePrimaryCtxSetFlags(driver, device: i32, flags: u32) {
        set_primary_flags(driver, device, flags)
    }
    fn cuDevicePrimaryCtxGetState(driver, device: i32, flags: Out<u32>, active: Out<i32>) {
        driver.device(device)?;
        let primary = driver.tables().primaries.get(&ordinal_key(device)).copied().unwrap_or_default();
        flags.put(primary.flags);
        active.put(i32::from(primary.retained > 0));
        Ok(())
    }
}

fn release_primary(driver: &Driver, device: i32) -> Answer {
    driver.device(device)?;
    let mut tables = driver.tables();
    let Some(primary) = tables.primaries.get_mut(&ordinal_key(device)).filter(|p| p.retained > 0) else {
        drop(tables);
        return driver.wrong(INVALID_CONTEXT, "cuDevicePrimaryCtxRelease releases what is not retained");
    };
    primary.retained -= 1;
    let (handle, last) = (primary.context, primary.retained == 0);
    if last && let Some(context) = tables.contexts.get_mut(&handle) {
        context.alive = false;
    }
    drop(tables);
    if last {
        driver.free_with_context(handle);
    }
    Ok(())
}

fn reset_primary(driver: &Driver, device: i32) -> Answer {
    driver.device(device)?;
    let handle = driver.tables().primaries.get(&ordinal_key(device)).map_or(0, |primary| primary.context);
    let mut tables = driver.tables();
    if let Some(context) = tables.contexts.get_mut(&handle) {
        context.broken = None;
    }
    drop(tables);
    driver.free_with_context(handle);
    Ok(())
}

fn set_primary_flags(driver: &Driver, device: i32, flags: u32) -> Answer {
    driver.device(device)?;
    if flags > 0x1f {
        return Err(INVALID_VALUE);
    }
    let mut tables = driver.tables();
    let primary = tables.primaries.entry(ordinal_key(device)).or_default();
    if primary.retained > 0 && primary.flags != flags && driver.versions.cuda < (11, 0) {
        return Err(PRIMARY_CONTEXT_ACTIVE);
    }
    primary.flags = flags;
    Ok(())
}
