//! The two text formats, to the letter: `OpenMetrics` 1.0 and Prometheus'
//! classic 0.0.4. They differ in the names and types of counters and infos, in
//! `# UNIT`, in how HELP is escaped, and in the `# EOF` at the end.

use std::fmt::Write as _;

use super::catalog::{Kind, Metric};
use crate::histogram::Histogram;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Classic,
}

impl Format {
    /// The value of the header `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count, exact beyond 2^53.
    Count(u64),
    /// Any number.
    Number(f64),
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
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

/// Writes families into a text.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    out: String,
}

impl Writer {
    /// An empty text.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            out: String::new(),
        }
    }

    /// Begins a family. Its header is written with its first sample, so a
    /// family without samples leaves no trace.
    pub fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        Family {
            writer: self,
            metric,
            started: false,
        }
    }

    /// Ends the text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn header(&mut self, metric: &Metric) {
        let (name, kind) = match self.format {
            Format::OpenMetrics => (metric.family(), metric.kind.as_str()),
            Format::Classic if metric.kind == Kind::Info => (metric.name, Kind::Gauge.as_str()),
            Format::Classic => (metric.name, metric.kind.as_str()),
        };
        let out = &mut self.out;
        out.extend(["# HELP ", name, " "]);
        // The classic format escapes no quotes in HELP, OpenMetrics does.
        escape(out, metric.help, self.format == Format::OpenMetrics);
        out.extend(["\n# TYPE ", name, " ", kind, "\n"]);
        if let (Format::OpenMetrics, Some(unit)) = (self.format, metric.unit()) {
            out.extend(["# UNIT ", name, " ", unit, "\n"]);
        }
    }
}

/// A family that is being written.
#[derive(Debug)]
pub struct Family<'w> {
    writer: &'w mut Writer,
    metric: &'static Metric,
    started: bool,
}

impl Family<'_> {
    /// Writes one sample; `labels` are the values of the catalogue's labels, in order.
    pub fn sample(&mut self, labels: &[&str], value: impl Into<Value>) {
        self.line("", labels, None, value.into());
    }

    /// Writes one sample of an info.
    pub fn info(&mut self, labels: &[&str]) {
        self.sample(labels, 1_u64);
    }

    /// Writes one histogram.
    pub fn histogram(&mut self, labels: &[&str], histogram: &Histogram) {
        for (bound, count) in histogram.cumulative() {
            self.line("_bucket", labels, Some(bound), count.into());
        }
        self.line("_sum", labels, None, histogram.sum().into());
        self.line("_count", labels, None, histogram.count().into());
    }

    /// Writes one line that is a sample of this family already.
    pub fn raw(&mut self, line: &str) {
        self.start();
        self.writer.out.extend([line, "\n"]);
    }

    fn start(&mut self) {
        if !self.started {
            self.started = true;
            self.writer.header(self.metric);
        }
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<f64>, value: Value) {
        debug_assert_eq!(
            labels.len(),
            self.metric.labels.len(),
            "{}",
            self.metric.name
        );
        self.start();
        let out = &mut self.writer.out;
        out.extend([self.metric.name, suffix]);
        let mut separator = '{';
        for (name, value) in self.metric.labels.iter().zip(labels) {
            out.push(separator);
            out.extend([name, "=\""]);
            escape(out, value, true);
            out.push('"');
            separator = ',';
        }
        if let Some(bound) = bound {
            out.push(separator);
            out.push_str("le=\"");
            if bound.is_infinite() {
                out.push_str("+Inf");
            } else {
                // With a fraction, as OpenMetrics recommends: one series in both formats.
                let _ = write!(out, "{bound:?}");
            }
            out.push('"');
            separator = ',';
        }
        if separator == ',' {
            out.push('}');
        }
        out.push(' ');
        // Writing into a String can not fail.
        let _ = match value {
            Value::Count(count) => writeln!(out, "{count}"),
            Value::Number(number) if number.is_nan() => writeln!(out, "NaN"),
            Value::Number(f64::INFINITY) => writeln!(out, "+Inf"),
            Value::Number(f64::NEG_INFINITY) => writeln!(out, "-Inf"),
            Value::Number(number) => writeln!(out, "{number}"),
        };
    }
}

/// Appends `text`, escaped. NUL, which ends the input for Prometheus' parser,
/// becomes the replacement character.
fn escape(out: &mut String, text: &str, quotes: bool) {
    let mut rest = text;
    while let Some(position) = rest.find(['\\', '\n', '"', '\0']) {
        let (plain, special) = rest.split_at(position);
        out.push_str(plain);
        out.push_str(match special.as_bytes()[0] {
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'"' if quotes => "\\\"",
            b'"' => "\"",
            _ => "\u{fffd}",
        });
        // All four are one byte long.
        rest = &special[1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    static COUNTER: Metric = Metric {
        name: "a_seconds_total",
        kind: Kind::Counter,
        labels: &["x"],
        help: "back\\slash, \"quote\",\nnew line",
    };
    static INFO: Metric = Metric {
        name: "b_info",
        kind: Kind::Info,
        labels: &["x"],
        help: "info",
    };
    static HISTOGRAM: Metric = Metric {
        name: "c_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "histogram",
    };

    fn written(format: Format) -> String {
        let mut writer = Writer::new(format);
        let mut family = writer.family(&COUNTER);
        family.sample(&["q\" b\\ n\n z\0 🦀"], u64::MAX);
        writer.family(&INFO).info(&[""]);
        let mut histogram = Histogram::new(&[0.5, 3600.0]);
        histogram.observe(0.25);
        writer.family(&HISTOGRAM).histogram(&[], &histogram);
        writer.family(&HISTOGRAM);
        writer.finish()
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
        let mut writer = Writer::new(Format::Classic);
        let mut family = writer.family(&HISTOGRAM);
        for number in [
            1_669_030_484.556,
            -1.0,
            0.0,
            1e21,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            family.sample(&[], number);
        }
        let text = writer.finish();
        let values: Vec<_> = text.lines().skip(2).map(|line| &line[10..]).collect();
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
}
