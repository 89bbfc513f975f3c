//! The two text formats, to the letter: `OpenMetrics` 1.0 and Prometheus'
//! classic 0.0.4. They differ in the names and types of counters and infos, in
//! `# UNIT`, in how HELP is escaped, and in the `# EOF` at the end.

use std::fmt::Write as _;
use std::time::Duration;

use super::Format;
use super::catalog::{Metric, MetricType};
use super::label::{escape, pairs};
use crate::clock::Timestamp;
use crate::model::histogram::Histogram;

/// What `OpenMetrics` puts behind the name of a family to say when it began.
pub(super) const CREATED: &str = "_created";

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count, exact beyond 2^53.
    Count(u64),
    /// Any number.
    Number(f64),
    /// Milliseconds, written as seconds.
    Millis(i64),
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Millis(value.unix_millis())
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Millis(i64::try_from(value.as_millis()).unwrap_or(i64::MAX))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Count(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Count(u64::from(value))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Count(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Count(u64::from(value))
    }
}

/// Appends the lines with which a family begins.
pub(super) fn header(out: &mut String, metric: &Metric, format: Format) {
    let (name, kind) = match format {
        Format::OpenMetrics => (metric.family(), metric.kind.as_str()),
        Format::Classic if metric.kind == MetricType::Info => {
            (metric.name, MetricType::Gauge.as_str())
        }
        Format::Classic => (metric.name, metric.kind.as_str()),
    };
    out.extend(["# HELP ", name, " "]);
    // The classic format escapes no quotes in HELP, OpenMetrics does.
    escape(out, metric.help, format == Format::OpenMetrics);
    out.extend(["\n# TYPE ", name, " ", kind, "\n"]);
    if let (Format::OpenMetrics, Some(unit)) = (format, metric.unit()) {
        out.extend(["# UNIT ", name, " ", unit, "\n"]);
    }
}

/// Appends samples of one family. They read the same in both formats.
#[derive(Debug)]
pub(super) struct SampleWriter<'o> {
    metric: &'static Metric,
    out: &'o mut String,
    /// When what is written next began to be counted, where that is to be said.
    created: Option<Timestamp>,
}

impl<'o> SampleWriter<'o> {
    pub(super) fn new(metric: &'static Metric, out: &'o mut String) -> Self {
        Self {
            metric,
            out,
            created: None,
        }
    }

    /// Says from here on that counters and histograms began at `created`.
    pub(super) fn created(&mut self, created: Option<Timestamp>) {
        let is_counted = matches!(
            self.metric.kind,
            MetricType::Counter | MetricType::Histogram
        );
        self.created = created.filter(|_| is_counted);
    }

    /// Writes one sample; `labels` are the values of the catalogue's labels, in order.
    pub(super) fn sample(&mut self, labels: &[&str], value: impl Into<Value>) {
        self.line("", labels, None, value.into());
        self.created_line(labels);
    }

    /// Writes one sample whose first labels are written already, see [`pairs`];
    /// `rest` are the values of those that follow.
    pub(super) fn sample_of(&mut self, first: &str, rest: &[&str], value: impl Into<Value>) {
        self.start_of(first, rest);
        number(self.out, value.into());
        self.out.push('\n');
        if let Some(created) = self.created {
            self.out.extend([self.metric.family(), CREATED]);
            self.labels_of(first, rest);
            number(self.out, created.into());
            self.out.push('\n');
        }
    }

    /// Writes a sample up to its value.
    pub(super) fn start_of(&mut self, first: &str, rest: &[&str]) {
        self.out.push_str(self.metric.name);
        self.labels_of(first, rest);
    }

    fn labels_of(&mut self, first: &str, rest: &[&str]) {
        self.out.extend(["{", first]);
        let known = self.metric.labels.len() - rest.len();
        if !rest.is_empty() {
            self.out.push(',');
            pairs(self.out, &self.metric.labels[known..], rest);
        }
        self.out.push_str("} ");
    }

    /// Writes one histogram.
    pub(super) fn histogram(&mut self, labels: &[&str], histogram: &Histogram) {
        for (bound, count) in histogram.cumulative() {
            self.line("_bucket", labels, Some(bound), count.into());
        }
        self.line("_sum", labels, None, histogram.sum().into());
        self.line("_count", labels, None, histogram.count().into());
        self.created_line(labels);
    }

    fn created_line(&mut self, labels: &[&str]) {
        if let Some(created) = self.created {
            self.line(CREATED, labels, None, created.into());
        }
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<f64>, value: Value) {
        debug_assert_eq!(
            labels.len(),
            self.metric.labels.len(),
            "{}",
            self.metric.name
        );
        let name = match suffix {
            CREATED => self.metric.family(),
            _ => self.metric.name,
        };
        let out = &mut *self.out;
        out.extend([name, suffix]);
        let braces = !labels.is_empty() || bound.is_some();
        if braces {
            out.push('{');
        }
        pairs(out, self.metric.labels, labels);
        if let Some(bound) = bound {
            if !labels.is_empty() {
                out.push(',');
            }
            out.push_str("le=\"");
            if bound.is_infinite() {
                out.push_str("+Inf");
            } else {
                // With a fraction, as OpenMetrics recommends: one series in both formats.
                // Writing into a String cannot fail.
                let _ = write!(out, "{bound:?}");
            }
            out.push('"');
        }
        out.push_str(if braces { "} " } else { " " });
        number(out, value);
        out.push('\n');
    }
}

/// Appends a value.
pub(super) fn number(out: &mut String, value: Value) {
    // Writing into a String cannot fail.
    let _ = match value {
        Value::Count(count) => return out.push_str(itoa::Buffer::new().format(count)),
        Value::Millis(millis) => return seconds(out, millis),
        Value::Number(number) if number.is_nan() => write!(out, "NaN"),
        Value::Number(f64::INFINITY) => write!(out, "+Inf"),
        Value::Number(f64::NEG_INFINITY) => write!(out, "-Inf"),
        Value::Number(number) => write!(out, "{number}"),
    };
}

/// Appends milliseconds as the shortest text that names the same seconds.
fn seconds(out: &mut String, millis: i64) {
    /// So many digits name a different `f64` each: the shortest are the exact ones.
    const EXACT: u64 = 1_000_000_000_000_000;
    let size = millis.unsigned_abs();
    if size >= EXACT {
        let seconds = Timestamp::from_unix_millis(millis).unix_seconds();
        return number(out, Value::Number(seconds));
    }
    if millis < 0 {
        out.push('-');
    }
    out.push_str(itoa::Buffer::new().format(size / 1000));
    if !size.is_multiple_of(1000) {
        // Three digits behind a one that holds their place.
        let mut digits = itoa::Buffer::new();
        let digits = &digits.format(1000 + size % 1000)[1..];
        out.extend([".", digits.trim_end_matches('0')]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COUNTER: Metric = Metric {
        name: "a_seconds_total",
        kind: MetricType::Counter,
        labels: &["x"],
        help: "back\\slash, \"quote\",\nnew line",
    };
    static INFO: Metric = Metric {
        name: "b_info",
        kind: MetricType::Info,
        labels: &["x"],
        help: "info",
    };
    static HISTOGRAM: Metric = Metric {
        name: "c_seconds",
        kind: MetricType::Histogram,
        labels: &[],
        help: "histogram",
    };

    fn written(format: Format) -> String {
        let mut out = String::new();
        header(&mut out, &COUNTER, format);
        SampleWriter::new(&COUNTER, &mut out).sample(&["q\" b\\ n\n z\0 🦀"], u64::MAX);
        header(&mut out, &INFO, format);
        SampleWriter::new(&INFO, &mut out).sample(&[""], 1_u64);
        let mut histogram = Histogram::new(&[0.5, 3600.0]);
        histogram.observe(0.25);
        header(&mut out, &HISTOGRAM, format);
        SampleWriter::new(&HISTOGRAM, &mut out).histogram(&[], &histogram);
        out + format.end()
    }

    const BODY: &str = "c_seconds_bucket{le=\"0.5\"} 1\n\
        c_seconds_bucket{le=\"3600.0\"} 1\n\
        c_seconds_bucket{le=\"+Inf\"} 1\n\
        c_seconds_sum 0.25\n\
        c_seconds_count 1\n";

    #[test]
    fn open_metrics() {
        let expected = "# HELP a_seconds back\\\\slash, \\\"quote\\\",\\nnew line\n\
            # TYPE a_seconds counter\n\
            # UNIT a_seconds seconds\n\
            a_seconds_total{x=\"q\\\" b\\\\ n\\n z\u{fffd} 🦀\"} 18446744073709551615\n\
            # HELP b info\n# TYPE b info\n\
            b_info{x=\"\"} 1\n\
            # HELP c_seconds histogram\n# TYPE c_seconds histogram\n# UNIT c_seconds seconds\n";
        assert_eq!(
            written(Format::OpenMetrics),
            format!("{expected}{BODY}# EOF\n")
        );
    }

    #[test]
    fn classic() {
        let expected = "# HELP a_seconds_total back\\\\slash, \"quote\",\\nnew line\n\
            # TYPE a_seconds_total counter\n\
            a_seconds_total{x=\"q\\\" b\\\\ n\\n z\u{fffd} 🦀\"} 18446744073709551615\n\
            # HELP b_info info\n# TYPE b_info gauge\n\
            b_info{x=\"\"} 1\n\
            # HELP c_seconds histogram\n# TYPE c_seconds histogram\n";
        assert_eq!(written(Format::Classic), format!("{expected}{BODY}"));
    }

    #[test]
    fn numbers_are_written_as_go_reads_them() {
        let numbers = [
            1_669_030_484.556,
            -1.0,
            0.0,
            1e21,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        let values = numbers.map(|value| {
            let mut out = String::new();
            number(&mut out, Value::Number(value));
            out
        });
        assert_eq!(
            values,
            [
                "1669030484.556",
                "-1",
                "0",
                "1000000000000000000000",
                "NaN",
                "+Inf",
                "-Inf"
            ]
        );
    }

    #[test]
    fn milliseconds_are_written_as_their_seconds_would_be() {
        let near = 1_790_000_000_000..1_790_000_002_000;
        let small = -2_000..200_000;
        let large = (0..63).flat_map(|bit| [-1, 0, 1].map(|off| (1_i64 << bit) + off));
        for millis in near.chain(small).chain(large).chain([i64::MIN, i64::MAX]) {
            let moment = Timestamp::from_unix_millis(millis);
            let mut out = String::new();
            number(&mut out, moment.into());
            assert_eq!(out, moment.unix_seconds().to_string());
        }
    }

    #[test]
    fn labels_that_are_written_already_are_continued() {
        static TWO: Metric = Metric {
            name: "two",
            kind: MetricType::Gauge,
            labels: &["a", "b"],
            help: "",
        };
        let mut first = String::new();
        pairs(&mut first, &["a"], &["\""]);
        let mut out = String::new();
        SampleWriter::new(&TWO, &mut out).sample_of(&first, &["y"], true);
        assert_eq!(out, "two{a=\"\\\"\",b=\"y\"} 1\n");
    }
}
