//! Logs, rate limits on them, and the registry that each part's `metrics.rs` registers with.
//!
//! Log lines are events: one line each, `feed` and `session` as fields. What a stranger can trigger goes through
//! [`warn_limited`](crate::warn_limited).

mod limit;
mod series;

use std::error::Error;
use std::io::IsTerminal;

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, Registry};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};

pub use limit::{LogLimit, RateLimited};
pub(crate) use series::{Register, forget};

/// An error with all that caused it, on one line, as log lines have it.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error("log level \"{level}\" is not understood")]
    Level {
        /// As configured.
        level: String,
        /// Where it breaks.
        source: ParseError,
    },
    /// Logging was set up before.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
    /// Two metrics have the same name.
    #[error("cannot register the process's own metrics")]
    Register(#[source] prometheus::Error),
}

/// Sends this process's log lines to standard error, as `log` says. Once a process.
///
/// # Errors
/// Where the level is not understood, or logging was set up before.
pub fn init_logging(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|source| TelemetryError::Level { level: log.level.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(TelemetryError::Twice)
}

/// A registry with the metrics of the process itself: memory, CPU time, open files, threads, start time
/// (`process_*`, as every Prometheus client names them) and `rungd_build_info`.
///
/// # Errors
/// Never in practice: where two metrics have the same name.
pub fn registry() -> Result<Registry, TelemetryError> {
    let registry = Registry::new();
    let build = Opts::new("rungd_build_info", "What is running: always 1, the version is the label.")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    let build = IntGauge::with_opts(build).map_err(TelemetryError::Register)?;
    build.set(1);
    registry.register(Box::new(build)).map_err(TelemetryError::Register)?;
    registry.register(Box::new(ProcessCollector::for_self())).map_err(TelemetryError::Register)?;
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_shows_itself() {
        let families = registry().unwrap().gather();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name);
            let metric = &family.unwrap_or_else(|| panic!("{name} is missing")).get_metric()[0];
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1e9);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!((value("rungd_build_info") - 1.0).abs() < f64::EPSILON);
    }
}
