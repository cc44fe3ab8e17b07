//! Streams and events. Work is done when its call returns, so there is never anything to wait for; the handles are
//! checked all the same.

use sim_nvidia::pointer::Out;

use crate::driver::{Driver, entries, put};
use crate::status::{Answer, INVALID_HANDLE, INVALID_VALUE};

/// A stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) context: usize,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) context: usize,
    recorded: bool,
}

/// The default stream, and `CU_STREAM_LEGACY` and `CU_STREAM_PER_THREAD` of cuda.h.
const ALWAYS_THERE: [usize; 3] = [0, 1, 2];

impl Driver {
    /// Checks a stream's handle.
    pub(crate) fn stream(&self, name: &str, stream: usize) -> Answer {
        if ALWAYS_THERE.contains(&stream) || self.tables().streams.contains_key(&stream) {
            return Ok(());
        }
        self.wrong(INVALID_HANDLE, &format!("{name} is given what is no stream, or no longer"))
    }

    fn event(&self, name: &str, event: usize) -> Answer<Event> {
        let found = self.tables().events.get(&event).copied();
        found.map_or_else(
            || self.wrong(INVALID_HANDLE, &format!("{name} is given what is no event, or no longer")),
            Ok,
        )
    }
}

fn new_stream(driver: &Driver, name: &str, out: Out<usize>) -> Answer {
    let (context, _) = driver.current(name)?;
    let mut tables = driver.tables();
    let handle = tables.handle();
    tables.streams.insert(handle, Stream { context });
    drop(tables);
    put(out, handle)
}

entries! {
    fn cuStreamCreate(driver, stream: Out<usize>, _flags: u32) {
        new_stream(driver, "cuStreamCreate", stream)
    }
    fn cuStreamCreateWithPriority(driver, stream: Out<usize>, _flags: u32, _priority: i32) {
        new_stream(driver, "cuStreamCreateWithPriority", stream)
    }
    fn cuStreamDestroy_v2(driver, stream: usize) {
        driver.stream("cuStreamDestroy", stream)?;
        if ALWAYS_THERE.contains(&stream) {
            return driver.wrong(INVALID_HANDLE, "cuStreamDestroy is given a stream that is always there");
        }
        driver.tables().streams.remove(&stream);
        Ok(())
    }
    fn cuStreamQuery(driver, stream: usize) {
        driver.current("cuStreamQuery")?;
        driver.stream("cuStreamQuery", stream)
    }
    fn cuStreamSynchronize(driver, stream: usize) {
        driver.current("cuStreamSynchronize")?;
        driver.stream("cuStreamSynchronize", stream)
    }
    fn cuStreamWaitEvent(driver, stream: usize, event: usize, _flags: u32) {
        driver.current("cuStreamWaitEvent")?;
        driver.stream("cuStreamWaitEvent", stream)?;
        driver.event("cuStreamWaitEvent", event).map(|_| ())
    }
    fn cuStreamGetCtx(driver, stream: usize, context: Out<usize>) {
        driver.stream("cuStreamGetCtx", stream)?;
        let of = driver.tables().streams.get(&stream).map(|stream| stream.context);
        put(context, of.unwrap_or_else(crate::context::current_handle))
    }
    fn cuEventCreate(driver, event: Out<usize>, _flags: u32) {
        let (context, _) = driver.current("cuEventCreate")?;
        let mut tables = driver.tables();
        let handle = tables.handle();
        tables.events.insert(handle, Event { context, recorded: false });
        drop(tables);
        put(event, handle)
    }
    fn cuEventDestroy_v2(driver, event: usize) {
        driver.event("cuEventDestroy", event)?;
        driver.tables().events.remove(&event);
        Ok(())
    }
    fn cuEventRecord(driver, event: usize, stream: usize) {
        driver.current("cuEventRecord")?;
        driver.stream("cuEventRecord", stream)?;
        driver.event("cuEventRecord", event)?;
        if let Some(event) = driver.tables().events.get_mut(&event) {
            event.recorded = true;
        }
        Ok(())
    }
    fn cuEventQuery(driver, event: usize) {
        driver.event("cuEventQuery", event).map(|_| ())
    }
    fn cuEventSynchronize(driver, event: usize) {
        driver.event("cuEventSynchronize", event).map(|_| ())
    }
    fn cuEventElapsedTime(driver, ms: Out<f32>, from: usize, to: usize) {
        let both = driver.event("cuEventElapsedTime", from)?.recorded && driver.event("cuEventElapsedTime", to)?.recorded;
        if !both {
            return driver.wrong(INVALID_VALUE, "cuEventElapsedTime is given an event that was never recorded");
        }
        put(ms, 0.0)
    }
}
