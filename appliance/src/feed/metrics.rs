//! What is counted of feeds and their rungs. Labels are names from the configuration: a peer chooses none.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::config::{InputRule, RuleAction};
use crate::feed::status::{FeedState, FeedStatus, SourceStatus};

/// What is counted of feeds and their rungs.
#[derive(Debug, Clone)]
pub struct Metrics {
    on_air: IntGaugeVec,
    publishes: IntCounterVec,
    source_bit_rate: IntGaugeVec,
    key_frame_interval: GaugeVec,
    decode_errors: IntCounterVec,
    frames_repeated: IntCounterVec,
    pictures_dropped: IntCounterVec,
    timestamp_jumps: IntCounterVec,
    shed: IntCounterVec,
    warnings: IntCounterVec,
    rules: IntCounterVec,
    rung_bit_rate: IntGaugeVec,
    rung_ratio: GaugeVec,
    rung_queue: IntGaugeVec,
    rung_latency: GaugeVec,
    rung_pictures: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let int = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let float = |name: &str, help: &str, labels: &[&str]| -> Result<GaugeVec, prometheus::Error> {
            let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let (feed, rung) = (&["feed"][..], &["feed", "rung"][..]);
        Ok(Self {
            on_air: int("rungd_feed_on_air", "1 while the feed is live", feed)?,
            publishes: counter("rungd_feed_publishes_total", "Publishes accepted", feed)?,
            source_bit_rate: int("rungd_feed_source_bits_per_second", "Media coming in, over 5 s", feed)?,
            key_frame_interval: float(
                "rungd_feed_key_frame_interval_seconds",
                "Distance of the source's last two key frames",
                feed,
            )?,
            decode_errors: counter("rungd_feed_decode_errors_total", "Decoder errors concealed", feed)?,
            frames_repeated: counter(
                "rungd_feed_frames_repeated_total",
                "Grid frames that repeat the one before",
                feed,
            )?,
            pictures_dropped: counter(
                "rungd_feed_pictures_dropped_total",
                "Source pictures that stood on no grid frame",
                feed,
            )?,
            timestamp_jumps: counter(
                "rungd_feed_timestamp_jumps_total",
                "Jumps of the source's time stamps that were bridged",
                feed,
            )?,
            shed: counter(
                "rungd_feed_pictures_shed_total",
                "Source pictures not given to a worker that was behind",
                feed,
            )?,
            warnings: counter(
                "rungd_feed_source_warnings_total",
                "What sources did that their operator was told of, rules with an action excepted",
                &["feed", "rule"],
            )?,
            rules: counter(
                "rungd_feed_input_rules_total",
                "Rules of the input that sources broke, by what was done; one that stays broken counts once a minute",
                &["feed", "rule", "action"],
            )?,
            rung_bit_rate: int("rungd_rung_bits_per_second", "Coded video going out, over 5 s", rung)?,
            rung_ratio: float(
                "rungd_rung_real_time_ratio",
                "Frames the encoder could do over frames it must; under 1 it falls behind",
                rung,
            )?,
            rung_queue: int("rungd_rung_queue_frames", "Frames waiting for the encoder", rung)?,
            rung_latency: float(
                "rungd_rung_latency_seconds",
                "Longest time of a frame in the encoder over the last second",
                rung,
            )?,
            rung_pictures: counter("rungd_rung_pictures_total", "Coded pictures put out", rung)?,
        })
    }

    /// Counts an accepted publish.
    pub fn publish(&self, feed: &str) {
        self.publishes.with_label_values(&[feed]).inc();
    }

    /// Counts a source picture that was not given to a worker.
    pub fn shed(&self, feed: &str) {
        self.shed.with_label_values(&[feed]).inc();
    }

    /// Counts a rule that a source broke, by a word from a closed list.
    pub fn warn(&self, feed: &str, rule: &'static str) {
        self.warnings.with_label_values(&[feed, rule]).inc();
    }

    /// Counts a rule of the input that a source broke.
    pub fn rule(&self, feed: &str, rule: InputRule, action: RuleAction) {
        self.rules.with_label_values(&[feed, rule.label(), action.label()]).inc();
    }

    /// Shows a feed's status. `before` is the one shown before it: the totals of a presentation begin at zero, those of
    /// the metrics do not.
    pub fn show(&self, before: &FeedStatus, status: &FeedStatus) {
        let feed = &[status.name.as_str()][..];
        self.on_air.with_label_values(feed).set(i64::from(status.state == FeedState::Live));
        let Some(source) = &status.source else {
            self.source_bit_rate.with_label_values(feed).set(0);
            return;
        };
        self.source_bit_rate.with_label_values(feed).set(to_int(source.bit_rate));
        self.key_frame_interval.with_label_values(feed).set(seconds(source.key_frame_interval_millis));
        let old = before.source.as_ref();
        let add = |counter: &IntCounterVec, total: fn(&SourceStatus) -> u64| {
            counter.with_label_values(feed).inc_by(grown(old.map_or(0, total), total(source)));
        };
        add(&self.decode_errors, |source| source.decode_errors);
        add(&self.frames_repeated, |source| source.frames_repeated);
        add(&self.pictures_dropped, |source| source.pictures_dropped);
        add(&self.timestamp_jumps, |source| source.timestamp_jumps);
        for (index, rung) in status.rungs.iter().enumerate() {
            let labels = &[status.name.as_str(), rung.name.as_str()][..];
            self.rung_bit_rate.with_label_values(labels).set(to_int(rung.measured_bit_rate));
            self.rung_ratio.with_label_values(labels).set(rung.real_time_ratio.unwrap_or(0.0));
            self.rung_queue.with_label_values(labels).set(i64::from(rung.queue_depth));
            self.rung_latency.with_label_values(labels).set(seconds(rung.latency_millis));
            let old = before.rungs.get(index).map_or(0, |rung| rung.pictures_out);
            self.rung_pictures.with_label_values(labels).inc_by(grown(old, rung.pictures_out));
        }
    }
}

/// What a total has grown by; one that shrank has begun again.
const fn grown(old: u64, new: u64) -> u64 {
    if new >= old { new - old } else { new }
}

fn to_int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}
