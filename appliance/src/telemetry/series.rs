//! Metrics that are registered as they are made, and series of them that are shown no more.

use std::collections::HashMap;

use prometheus::core::{Collector, Metric, MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, Error, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// Makes metrics and registers them. Each call is an error where its name is registered already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Register<'a>(pub(crate) &'a Registry);

impl Register<'_> {
    /// What goes up, of the whole appliance.
    pub(crate) fn counter(self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.put(IntCounter::new(name, help)?)
    }

    /// What goes up, by labels.
    pub(crate) fn counters(self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        self.put(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// What goes up by parts of one, by labels.
    pub(crate) fn real_counters(self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, Error> {
        self.put(CounterVec::new(Opts::new(name, help), labels)?)
    }

    /// What goes up and down, of the whole appliance.
    pub(crate) fn gauge(self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.put(IntGauge::new(name, help)?)
    }

    /// What goes up and down, by labels.
    pub(crate) fn gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.put(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// What goes up and down by parts of one, by labels.
    pub(crate) fn real_gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        self.put(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// How often what was seen lay under each of `bounds`, by labels.
    pub(crate) fn histograms(
        self,
        name: &str,
        help: &str,
        labels: &[&str],
        bounds: &[f64],
    ) -> Result<HistogramVec, Error> {
        self.put(HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), labels)?)
    }

    fn put<M: Collector + Clone + 'static>(self, metric: M) -> Result<M, Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// Removes the series whose labels `gone` picks.
pub(crate) fn forget<B: MetricVecBuilder>(vec: &MetricVec<B>, gone: impl Fn(&HashMap<&str, &str>) -> bool)
where
    B::M: Metric,
{
    for family in vec.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> =
                metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            if gone(&labels) {
                let _ = vec.remove(&labels);
            }
        }
    }
}
