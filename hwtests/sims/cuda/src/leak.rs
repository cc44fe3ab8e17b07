//! What is left open when the process ends.

use sim_state::Offence;

use crate::context::Context;
use crate::driver::loaded;

/// Looks for leaks; called when the process ends.
pub(crate) extern "C" fn look() {
    let Some(driver) = loaded() else { return };
    let tables = driver.tables();
    // What a lost device held cannot be given back.
    let there = |device: usize| driver.state.losses(device).0 == 0;
    let held = tables.allocations.values().filter(|held| !held.driver_owned && there(held.device));
    let (count, bytes) = held.fold((0, 0), |(count, bytes), held| (count + 1, bytes + held.bytes));
    let alive = tables.contexts.values().filter(|context| context.alive && there(context.device));
    let (primary, own): (Vec<&Context>, Vec<&Context>) = alive.partition(|context| context.primary);
    let context_there =
        |context: &usize| tables.contexts.get(context).is_none_or(|context| there(context.device));
    let counted = [
        (count, format!("allocations of device memory, {bytes} bytes")),
        (own.len(), "contexts".to_owned()),
        (primary.len(), "primary contexts, retained".to_owned()),
        (
            tables.host.values().filter(|host| context_there(&host.context)).count(),
            "blocks of host memory".to_owned(),
        ),
        (
            tables.modules.values().filter(|module| context_there(&module.context)).count(),
            "modules".to_owned(),
        ),
        (
            tables.streams.values().filter(|stream| context_there(&stream.context)).count(),
            "streams".to_owned(),
        ),
        (tables.events.values().filter(|event| context_there(&event.context)).count(), "events".to_owned()),
    ];
    for (count, what) in counted.iter().filter(|(count, _)| *count > 0) {
        driver.state.violation(
            "libcuda",
            Offence::Leak,
            &format!("at the end of the process: {count} {what}"),
        );
    }
}
