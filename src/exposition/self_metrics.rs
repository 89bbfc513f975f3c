//! The exporter's own metrics: a `prometheus-client` registry.
//!
//! That library writes `OpenMetrics` alone, does not escape HELP, and its
//! order is unstable. So only its samples are taken, sorted, and put under the
//! headers that the catalogue gives; a sample reads the same in both formats.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use exporter_toolkit::HandshakeFailure;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric as Registrable, Registry};

use super::Format;
use super::catalog::{self, Handler, Metric, MetricType};
use super::format::{CREATED, header, number};
use crate::clock::Timestamp;
use crate::config::Metrics;

/// Upper bounds of `defender_exporter_store_commit_duration_seconds`.
const COMMIT_SECONDS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// Labels of `defender_exporter_http_requests_total`, in the catalogue's order.
type RequestLabels = [(&'static str, String); 2];

/// That of `defender_exporter_tls_handshake_failures_total`.
type FailureLabels = [(&'static str, &'static str); 1];

/// The exporter's own metrics; clones share them.
#[derive(Clone, Debug)]
pub struct SelfMetrics {
    /// When they began to be counted.
    created: Timestamp,
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    reload_ok: Gauge,
    reload_time: Gauge<f64, AtomicU64>,
    web_reload_ok: Gauge,
    web_reload_time: Gauge<f64, AtomicU64>,
    handshake_failures: Family<FailureLabels, Counter>,
    store_errors: Counter,
    store_commits: Histogram,
}

impl SelfMetrics {
    /// Metrics of an exporter that loaded its first configuration at `loaded`.
    #[must_use]
    pub fn new(loaded: Timestamp) -> Self {
        Self::with_log(loaded, Counter::default())
    }

    /// The same, of an exporter whose log counts the lines that it drops.
    #[must_use]
    pub fn with_log(loaded: Timestamp, lines_dropped: Counter) -> Self {
        let mut own = Self {
            created: loaded,
            registry: Arc::default(),
            requests: Family::default(),
            reload_ok: Gauge::default(),
            reload_time: Gauge::default(),
            web_reload_ok: Gauge::default(),
            web_reload_time: Gauge::default(),
            handshake_failures: Family::default(),
            store_errors: Counter::default(),
            store_commits: Histogram::new(COMMIT_SECONDS),
        };
        let build = Info::new([
            ("version", env!("CARGO_PKG_VERSION")),
            (
                "revision",
                option_env!("DEFENDER_EXPORTER_REVISION").unwrap_or("unknown"),
            ),
            ("rustc_version", env!("DEFENDER_EXPORTER_RUSTC_VERSION")),
        ]);
        let mut registry = Registry::default();
        register(&mut registry, &catalog::BUILD, build);
        register(&mut registry, &catalog::RELOAD_OK, own.reload_ok.clone());
        register(
            &mut registry,
            &catalog::RELOAD_TIME,
            own.reload_time.clone(),
        );
        register(&mut registry, &catalog::HTTP_REQUESTS, own.requests.clone());
        register(
            &mut registry,
            &catalog::HANDSHAKE_FAILURES,
            own.handshake_failures.clone(),
        );
        register(
            &mut registry,
            &catalog::WEB_RELOAD_OK,
            own.web_reload_ok.clone(),
        );
        register(
            &mut registry,
            &catalog::WEB_RELOAD_TIME,
            own.web_reload_time.clone(),
        );
        register(
            &mut registry,
            &catalog::STORE_ERRORS,
            own.store_errors.clone(),
        );
        register(
            &mut registry,
            &catalog::STORE_COMMITS,
            own.store_commits.clone(),
        );
        register(&mut registry, &catalog::LOG_LINES_DROPPED, lines_dropped);
        registry.register_collector(Box::new(ProcessCollector));
        own.registry = Arc::new(registry);
        own.reload(true, loaded);
        own.web_reload(true, loaded);
        for reason in HandshakeFailure::ALL {
            let labels = [("reason", reason.as_label())];
            drop(own.handshake_failures.get_or_create(&labels));
        }
        for handler in Handler::ALL {
            let usual = if *handler == Handler::Other { 404 } else { 200 };
            drop(own.requests.get_or_create(&labels(*handler, usual)));
        }
        own
    }

    /// Counts an answered request.
    pub fn http_request(&self, handler: Handler, code: u16) {
        self.requests.get_or_create(&labels(handler, code)).inc();
    }

    /// The configuration was loaded `at` that time, or was found to be bad.
    pub fn reload(&self, ok: bool, at: Timestamp) {
        self.reload_ok.set(i64::from(ok));
        if ok {
            self.reload_time.set(at.unix_seconds());
        }
    }

    /// The web configuration was read `at` that time, or cannot be used.
    pub fn web_reload(&self, ok: bool, at: Timestamp) {
        self.web_reload_ok.set(i64::from(ok));
        if ok {
            self.web_reload_time.set(at.unix_seconds());
        }
    }

    /// Counts a client with which TLS was not agreed on.
    pub fn handshake_failure(&self, reason: HandshakeFailure) {
        let labels = [("reason", reason.as_label())];
        self.handshake_failures.get_or_create(&labels).inc();
    }

    /// Counts a failure to read or write the state on disk.
    pub fn store_error(&self) {
        self.store_errors.inc();
    }

    /// Counts a commit of the state, which took so long.
    pub fn store_commit(&self, took: Duration) {
        self.store_commits.observe(took.as_secs_f64());
    }

    /// Appends all of them that are published and wanted.
    pub(super) fn write(
        &self,
        out: &mut String,
        format: Format,
        metrics: &Metrics,
        wanted: impl Fn(&str) -> bool,
    ) {
        let mut text = String::new();
        // Writing into a String cannot fail; if an encoder did, what it wrote before stands.
        let _ = prometheus_client::encoding::text::encode_registry(&mut text, &self.registry);
        let mut samples: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap_or(line);
            samples.entry(name).or_default().push(line);
        }
        for metric in catalog::all() {
            let lines: Vec<&str> = if metric.kind == MetricType::Histogram {
                // Its buckets stand in their order already.
                let parts = ["_bucket", "_sum", "_count"].iter();
                let parts = parts.map(|part| format!("{}{part}", metric.name));
                let parts = parts.filter_map(|part| samples.remove(part.as_str()));
                parts.flatten().collect()
            } else {
                let mut lines = samples.remove(metric.name).unwrap_or_default();
                lines.sort_unstable();
                lines
            };
            if lines.is_empty() || !metrics.publishes(metric.name) || !wanted(metric.name) {
                continue;
            }
            header(out, metric, format);
            for line in lines {
                out.extend([line, "\n"]);
                let created = metrics.created(Some(self.created));
                if let (Some(created), Some(labels)) = (created, counted(metric, line)) {
                    out.extend([metric.family(), CREATED, labels, " "]);
                    number(out, created.into());
                    out.push('\n');
                }
            }
        }
    }
}

/// The labels of a sample with which what was counted ends, braces included.
fn counted<'l>(metric: &Metric, line: &'l str) -> Option<&'l str> {
    let (start, _) = line.rsplit_once(' ')?;
    let rest = start.strip_prefix(metric.name)?;
    match metric.kind {
        MetricType::Counter => Some(rest),
        MetricType::Histogram => rest.strip_prefix("_count"),
        MetricType::Gauge | MetricType::Info => None,
    }
}

fn labels(handler: Handler, code: u16) -> RequestLabels {
    [
        ("handler", handler.as_label().to_owned()),
        ("code", code.to_string()),
    ]
}

fn register(registry: &mut Registry, metric: &Metric, instrument: impl Registrable) {
    registry.register(metric.family(), metric.help, instrument);
}

/// Reads the process's figures at each scrape.
#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    #[expect(clippy::cast_precision_loss, reason = "exact below 8 PiB")]
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let process = metrics_process::collector::collect();
        if let Some(seconds) = process.cpu_seconds_total {
            encode(&mut encoder, &catalog::CPU, &ConstCounter::new(seconds))?;
        }
        // The library says 0 where there is no limit.
        let limit = |value: Option<u64>| value.filter(|value| *value > 0);
        let gauges = [
            (&catalog::OPEN_FDS, process.open_fds),
            (&catalog::MAX_FDS, limit(process.max_fds)),
            (&catalog::VIRTUAL_MEMORY, process.virtual_memory_bytes),
            (
                &catalog::VIRTUAL_MEMORY_MAX,
                limit(process.virtual_memory_max_bytes),
            ),
            (&catalog::RESIDENT_MEMORY, process.resident_memory_bytes),
            (&catalog::START_TIME, process.start_time_seconds),
            (&catalog::THREADS, process.threads),
        ];
        for (metric, value) in gauges {
            if let Some(value) = value {
                encode(&mut encoder, metric, &ConstGauge::new(value as f64))?;
            }
        }
        Ok(())
    }
}

fn encode(
    encoder: &mut DescriptorEncoder,
    metric: &Metric,
    instrument: &impl EncodeMetric,
) -> fmt::Result {
    let kind = instrument.metric_type();
    let encoder = encoder.encode_descriptor(metric.family(), metric.help, None, kind)?;
    instrument.encode(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(own: &SelfMetrics) -> String {
        let mut text = String::new();
        own.write(&mut text, Format::Classic, &Metrics::default(), |_| true);
        text
    }

    #[test]
    fn all_are_written_in_a_stable_order() {
        let own = SelfMetrics::new(Timestamp::from_unix_millis(1_500));
        own.http_request(Handler::Metrics, 503);
        own.clone().http_request(Handler::Metrics, 200);
        own.store_error();
        own.reload(false, Timestamp::from_unix_millis(9_000));
        let text = written(&own);
        for line in [
            "defender_exporter_config_last_reload_successful 0",
            "defender_exporter_config_last_reload_success_timestamp_seconds 1.5",
            "defender_exporter_http_requests_total{handler=\"metrics\",code=\"200\"} 1\n\
             defender_exporter_http_requests_total{handler=\"metrics\",code=\"503\"} 1",
            "defender_exporter_http_requests_total{handler=\"other\",code=\"404\"} 0",
            "defender_exporter_store_errors_total 1",
            "# TYPE defender_exporter_build_info gauge",
            "# TYPE process_cpu_seconds_total counter",
            concat!(
                "defender_exporter_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\""
            ),
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let names = |text: &str| -> Vec<String> {
            let lines = text.lines();
            lines
                .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
                .collect()
        };
        assert_eq!(names(&text), names(&written(&own)));
    }
}
