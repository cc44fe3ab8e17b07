//! What is counted of feeds and their rungs. Labels are names from the configuration: a peer chooses none.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Registry};
use worker_protocol::RungReport;

use crate::config::{InputRule, RuleAction};
use crate::feed::status::{FeedState, FeedStatus, RungStatus, SourceStatus};
use crate::telemetry::{Register, forget};

/// Bounds of the encode latency's buckets, in seconds: from a fast device's to a rung that is seconds behind.
const LATENCIES: [f64; 10] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

/// What is counted of feeds and their rungs.
#[derive(Debug, Clone)]
pub struct Metrics {
    on_air: IntGaugeVec,
    publishes: IntCounterVec,
    reconnects: IntCounterVec,
    slate: CounterVec,
    worker_deaths: IntCounterVec,
    source_bit_rate: IntGaugeVec,
    pictures_per_second: GaugeVec,
    jitter: GaugeVec,
    drift: GaugeVec,
    key_frame_interval: GaugeVec,
    decode_errors: IntCounterVec,
    frames_repeated: IntCounterVec,
    pictures_dropped: IntCounterVec,
    timestamp_jumps: IntCounterVec,
    silence_frames: IntCounterVec,
    shed: IntCounterVec,
    sound_converted: IntGaugeVec,
    sound_decode_errors: IntCounterVec,
    sound_shed: IntCounterVec,
    warnings: IntCounterVec,
    rules: IntCounterVec,
    rung_bit_rate: IntGaugeVec,
    rung_ratio: GaugeVec,
    rung_queue: IntGaugeVec,
    rung_latency: GaugeVec,
    rung_latencies: HistogramVec,
    rung_frames: IntCounterVec,
    rung_repeated: IntCounterVec,
    rung_pictures: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Register(registry);
        let (feed, rung) = (&["feed"][..], &["feed", "rung"][..]);
        Ok(Self {
            on_air: register.gauges("rungd_feed_on_air", "1 while the feed is live", feed)?,
            publishes: register.counters("rungd_feed_publishes_total", "Publishes accepted", feed)?,
            reconnects: register.counters(
                "rungd_feed_reconnects_total",
                "Publishes that went on with a programme that had been published to with the same kind of key",
                feed,
            )?,
            slate: register.real_counters(
                "rungd_feed_slate_seconds_total",
                "Time on air without a source: the last picture, then the slate",
                feed,
            )?,
            worker_deaths: register.counters(
                "rungd_feed_worker_deaths_total",
                "Workers that ended before they had put everything out",
                feed,
            )?,
            source_bit_rate: register.gauges("rungd_feed_source_bits_per_second", "Media coming in, over 5 s", feed)?,
            pictures_per_second: register.real_gauges(
                "rungd_feed_source_frames_per_second",
                "Pictures coming in, over 2 s",
                feed,
            )?,
            jitter: register.real_gauges(
                "rungd_feed_source_jitter_seconds",
                "How irregularly the source's pictures arrive (RFC 3550, 6.4.1)",
                feed,
            )?,
            drift: register.real_gauges(
                "rungd_feed_source_drift_ppm",
                "How fast the source's clock runs against ours; absent until it is known, which takes a minute",
                feed,
            )?,
            key_frame_interval: register.real_gauges(
                "rungd_feed_key_frame_interval_seconds",
                "Distance of the source's last two key frames",
                feed,
            )?,
            decode_errors: register.counters("rungd_feed_decode_errors_total", "Decoder errors concealed", feed)?,
            frames_repeated: register.counters(
                "rungd_feed_frames_repeated_total",
                "Grid frames that repeat the one before",
                feed,
            )?,
            pictures_dropped: register.counters(
                "rungd_feed_pictures_dropped_total",
                "Source pictures that stood on no grid frame",
                feed,
            )?,
            timestamp_jumps: register.counters(
                "rungd_feed_timestamp_jumps_total",
                "Jumps of the source's time stamps that were bridged",
                feed,
            )?,
            silence_frames: register.counters(
                "rungd_feed_silence_frames_total",
                "Silent audio frames put in where the source left holes",
                feed,
            )?,
            shed: register.counters(
                "rungd_feed_pictures_shed_total",
                "Source pictures not given to a worker that was behind",
                feed,
            )?,
            sound_converted: register.gauges(
                "rungd_feed_sound_converted",
                "1 while the source's sound is converted to what the programme's is",
                feed,
            )?,
            sound_decode_errors: register.counters(
                "rungd_feed_sound_decode_errors_total",
                "Damaged frames of sound that was converted, silenced",
                feed,
            )?,
            sound_shed: register.counters(
                "rungd_feed_sound_frames_shed_total",
                "Frames of sound not given to a worker that was behind",
                feed,
            )?,
            warnings: register.counters(
                "rungd_feed_source_warnings_total",
                "What sources did that their operator was told of, rules with an action excepted",
                &["feed", "rule"],
            )?,
            rules: register.counters(
                "rungd_feed_input_rules_total",
                "Rules of the input that sources broke, by what was done; one that stays broken counts once a minute",
                &["feed", "rule", "action"],
            )?,
            rung_bit_rate: register.gauges("rungd_rung_bits_per_second", "Coded video going out, over 5 s", rung)?,
            rung_ratio: register.real_gauges(
                "rungd_rung_real_time_ratio",
                "Frames the encoder could do over frames it must; under 1 it falls behind",
                rung,
            )?,
            rung_queue: register.gauges("rungd_rung_queue_frames", "Frames waiting for the encoder", rung)?,
            rung_latency: register.real_gauges(
                "rungd_rung_latency_seconds",
                "Longest time of a frame in the encoder over the last second",
                rung,
            )?,
            rung_latencies: register.histograms(
                "rungd_rung_encode_latency_seconds",
                "Time of each frame in the encoder, its queue included",
                rung,
                &LATENCIES,
            )?,
            rung_frames: register.counters("rungd_rung_frames_total", "Frames given to the encoder", rung)?,
            rung_repeated: register.counters(
                "rungd_rung_frames_repeated_total",
                "Frames given to the encoder that repeat the grid frame before",
                rung,
            )?,
            rung_pictures: register.counters("rungd_rung_pictures_total", "Coded pictures put out", rung)?,
        })
    }

    /// What is counted of a feed as a whole.
    fn totals(&self) -> [&IntCounterVec; 11] {
        [
            &self.publishes,
            &self.reconnects,
            &self.worker_deaths,
            &self.decode_errors,
            &self.frames_repeated,
            &self.pictures_dropped,
            &self.timestamp_jumps,
            &self.silence_frames,
            &self.shed,
            &self.sound_decode_errors,
            &self.sound_shed,
        ]
    }

    /// A feed is there: what will be counted of it begins at zero.
    pub fn begin(&self, feed: &str) {
        let feed = &[feed][..];
        self.on_air.with_label_values(feed).set(0);
        self.sound_converted.with_label_values(feed).set(0);
        self.slate.with_label_values(feed).inc_by(0.0);
        for counter in self.totals() {
            counter.with_label_values(feed).inc_by(0);
        }
    }

    /// A feed is no more, and nothing of it is shown.
    pub fn end(&self, feed: &str) {
        let its = |labels: &HashMap<&str, &str>| labels.get("feed") == Some(&feed);
        for vec in [
            &self.on_air,
            &self.sound_converted,
            &self.source_bit_rate,
            &self.rung_bit_rate,
            &self.rung_queue,
        ] {
            forget(vec, its);
        }
        for vec in [
            &self.pictures_per_second,
            &self.jitter,
            &self.drift,
            &self.key_frame_interval,
            &self.rung_ratio,
            &self.rung_latency,
        ] {
            forget(vec, its);
        }
        let by_more =
            [&self.warnings, &self.rules, &self.rung_frames, &self.rung_repeated, &self.rung_pictures];
        for vec in self.totals().into_iter().chain(by_more) {
            forget(vec, its);
        }
        forget(&self.slate, its);
        forget(&self.rung_latencies, its);
    }

    /// Counts an accepted publish; `again`: it goes on with a programme that had one of its kind.
    pub fn publish(&self, feed: &str, again: bool) {
        self.publishes.with_label_values(&[feed]).inc();
        if again {
            self.reconnects.with_label_values(&[feed]).inc();
        }
    }

    /// Counts time without a source.
    pub fn slate(&self, feed: &str, time: Duration) {
        self.slate.with_label_values(&[feed]).inc_by(time.as_secs_f64());
    }

    /// Counts a worker that ended too soon.
    pub fn worker_death(&self, feed: &str) {
        self.worker_deaths.with_label_values(&[feed]).inc();
    }

    /// Counts how long the pictures since a worker's last report were in their encoder.
    pub fn latencies(&self, feed: &str, rung: &str, report: &RungReport) {
        let latencies = self.rung_latencies.with_label_values(&[feed, rung]);
        for micros in &report.latencies_micros {
            latencies.observe(Duration::from_micros(u64::from(*micros)).as_secs_f64());
        }
    }

    /// Counts a source picture that was not given to a worker.
    pub fn shed(&self, feed: &str) {
        self.shed.with_label_values(&[feed]).inc();
    }

    /// Counts a frame of sound that was not given to a worker.
    pub fn shed_sound(&self, feed: &str) {
        self.sound_shed.with_label_values(&[feed]).inc();
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
        let converted = status.source.as_ref().is_some_and(|source| source.sound_converted);
        self.sound_converted.with_label_values(feed).set(i64::from(converted));
        let Some(source) = &status.source else {
            self.source_bit_rate.with_label_values(feed).set(0);
            return self.no_programme(&status.name);
        };
        self.source_bit_rate.with_label_values(feed).set(to_int(source.bit_rate));
        self.key_frame_interval.with_label_values(feed).set(seconds(source.key_frame_interval_millis));
        let jitter = Duration::from_micros(source.jitter_micros);
        self.jitter.with_label_values(feed).set(jitter.as_secs_f64());
        set_if_known(&self.pictures_per_second, feed, source.pictures_per_second);
        set_if_known(&self.drift, feed, source.drift_ppm);
        let old = before.source.as_ref();
        let add = |counter: &IntCounterVec, total: fn(&SourceStatus) -> u64| {
            counter.with_label_values(feed).inc_by(grown(old.map_or(0, total), total(source)));
        };
        add(&self.decode_errors, |source| source.decode_errors);
        add(&self.sound_decode_errors, |source| source.sound_decode_errors);
        add(&self.frames_repeated, |source| source.frames_repeated);
        add(&self.pictures_dropped, |source| source.pictures_dropped);
        add(&self.timestamp_jumps, |source| source.timestamp_jumps);
        add(&self.silence_frames, |source| source.silence_frames);
        if !before.rungs.iter().map(|rung| &rung.name).eq(status.rungs.iter().map(|rung| &rung.name)) {
            self.keep_rungs(&status.name, &status.rungs);
        }
        for (index, rung) in status.rungs.iter().enumerate() {
            let labels = &[status.name.as_str(), rung.name.as_str()][..];
            self.rung_bit_rate.with_label_values(labels).set(to_int(rung.measured_bit_rate));
            set_if_known(&self.rung_ratio, labels, rung.real_time_ratio);
            self.rung_queue.with_label_values(labels).set(i64::from(rung.queue_depth));
            self.rung_latency.with_label_values(labels).set(seconds(rung.latency_millis));
            let old = before.rungs.get(index);
            let add = |counter: &IntCounterVec, total: fn(&RungStatus) -> u64| {
                counter.with_label_values(labels).inc_by(grown(old.map_or(0, total), total(rung)));
            };
            add(&self.rung_frames, |rung| rung.frames_in);
            add(&self.rung_repeated, |rung| rung.frames_repeated);
            add(&self.rung_pictures, |rung| rung.pictures_out);
        }
    }

    /// Nothing comes in or goes out: what is measured of it is not shown any more.
    fn no_programme(&self, feed: &str) {
        for vec in [&self.pictures_per_second, &self.jitter, &self.drift, &self.key_frame_interval] {
            let _ = vec.remove_label_values(&[feed]);
        }
        let its = |labels: &HashMap<&str, &str>| labels.get("feed") == Some(&feed);
        forget(&self.rung_bit_rate, its);
        forget(&self.rung_queue, its);
        forget(&self.rung_ratio, its);
        forget(&self.rung_latency, its);
    }

    /// A programme begins: rungs of another ladder are no more.
    fn keep_rungs(&self, feed: &str, rungs: &[RungStatus]) {
        let gone = |labels: &HashMap<&str, &str>| {
            labels.get("feed") == Some(&feed)
                && !rungs.iter().any(|rung| labels.get("rung") == Some(&rung.name.as_str()))
        };
        forget(&self.rung_latencies, gone);
        for vec in [&self.rung_frames, &self.rung_repeated, &self.rung_pictures] {
            forget(vec, gone);
        }
    }
}

fn set_if_known(gauge: &GaugeVec, labels: &[&str], value: Option<f64>) {
    match value {
        Some(value) => gauge.with_label_values(labels).set(value),
        None => drop(gauge.remove_label_values(labels)),
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
    Duration::from_millis(millis).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn rung(name: &str) -> RungStatus {
        RungStatus {
            name: name.to_owned(),
            width: 640,
            height: 360,
            frame_rate: "25".to_owned(),
            bit_rate: 500_000,
            measured_bit_rate: 480_000,
            real_time_ratio: Some(4.0),
            queue_depth: 1,
            latency_millis: 40,
            frames_in: 51,
            frames_repeated: 2,
            pictures_out: 50,
        }
    }

    fn source() -> SourceStatus {
        SourceStatus {
            video_codec: Some("H.264".to_owned()),
            width: 640,
            height: 360,
            frame_rate: "25".to_owned(),
            deinterlacing: false,
            audio_codec: None,
            sample_rate: 0,
            channels: 0,
            sound_converted: true,
            sound_decode_errors: 2,
            bit_rate: 1_000_000,
            key_frame_interval_millis: 2000,
            decode_errors: 1,
            frames_repeated: 2,
            pictures_dropped: 3,
            timestamp_jumps: 4,
            silence_frames: 5,
            pictures_per_second: Some(25.0),
            jitter_micros: 1500,
            drift_ppm: Some(-12.5),
        }
    }

    #[test]
    fn what_has_ended_is_not_shown_any_more() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let shown = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let samples = |text: &str, part: &str| {
            text.lines().filter(|line| !line.starts_with('#') && line.contains(part)).count()
        };
        let idle = FeedStatus {
            name: "a".to_owned(),
            title: "A".to_owned(),
            state: FeedState::Idle,
            presentation: None,
            dash_url: String::new(),
            hls_url: String::new(),
            publisher: None,
            source: None,
            rungs: Vec::new(),
            worker: None,
            problem: None,
        };
        let live = |names: [&str; 2]| FeedStatus {
            state: FeedState::Live,
            source: Some(source()),
            rungs: names.map(rung).to_vec(),
            ..idle.clone()
        };
        metrics.begin("a");
        for zero in ["reconnects", "slate_seconds", "worker_deaths", "silence_frames"] {
            assert!(shown().contains(&format!("rungd_feed_{zero}_total{{feed=\"a\"}} 0\n")), "{}", shown());
        }

        let first = live(["one", "two"]);
        metrics.show(&idle, &first);
        let report = RungReport { latencies_micros: vec![4_000, 30_000, 3_000_000], ..RungReport::default() };
        metrics.latencies("a", "one", &report);
        let text = shown();
        for line in [
            "rungd_feed_source_frames_per_second{feed=\"a\"} 25",
            "rungd_feed_source_jitter_seconds{feed=\"a\"} 0.0015",
            "rungd_feed_source_drift_ppm{feed=\"a\"} -12.5",
            "rungd_feed_silence_frames_total{feed=\"a\"} 5",
            "rungd_feed_sound_converted{feed=\"a\"} 1",
            "rungd_feed_sound_decode_errors_total{feed=\"a\"} 2",
            "rungd_rung_frames_total{feed=\"a\",rung=\"two\"} 51",
            "rungd_rung_frames_repeated_total{feed=\"a\",rung=\"two\"} 2",
            "rungd_rung_encode_latency_seconds_bucket{feed=\"a\",rung=\"one\",le=\"0.005\"} 1",
            "rungd_rung_encode_latency_seconds_bucket{feed=\"a\",rung=\"one\",le=\"0.05\"} 2",
            "rungd_rung_encode_latency_seconds_count{feed=\"a\",rung=\"one\"} 3",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }

        // The programme ends: counters stay, measurements go.
        metrics.show(&first, &idle);
        let text = shown();
        for gone in
            ["real_time_ratio", "rung_bits", "queue_frames", "rung_latency", "interval", "jitter", "drift"]
        {
            assert_eq!(samples(&text, gone), 0, "{gone} stays in\n{text}");
        }
        assert!(text.contains("rungd_feed_source_bits_per_second{feed=\"a\"} 0\n"), "{text}");
        assert!(text.contains("rungd_rung_pictures_total{feed=\"a\",rung=\"one\"} 50\n"), "{text}");

        // The next one has another ladder.
        metrics.show(&idle, &live(["two", "three"]));
        let text = shown();
        assert_eq!(samples(&text, "rung=\"one\""), 0, "{text}");
        assert!(text.contains("rungd_rung_pictures_total{feed=\"a\",rung=\"two\"} 100\n"), "{text}");

        // And the feed is taken out of the configuration.
        metrics.publish("a", true);
        metrics.rule("a", InputRule::Size, RuleAction::Warn);
        metrics.begin("b");
        metrics.end("a");
        let text = shown();
        assert_eq!(samples(&text, "feed=\"a\""), 0, "{text}");
        assert!(samples(&text, "feed=\"b\"") > 5, "{text}");
    }
}
