//! Which text format and which encoding a client wants.

use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::Format;

const OPEN_METRICS: &str = "application/openmetrics-text";
const TEXT: &str = "text/plain";

/// The value of the header `Vary` of a negotiated answer.
pub const VARY: &str = "Accept, Accept-Encoding";

/// The ways to write names that are not legacy ones.
const ESCAPING: [&str; 4] = ["underscores", "allow-utf-8", "dots", "values"];

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The format.
    pub format: Format,
    /// The version of the format: of `OpenMetrics`, 0.0.1 reads the same as 1.0.0.
    version: &'static str,
    /// How the client wants names to be escaped, if it says so; legacy names satisfy all.
    escaping: Option<&'static str>,
}

impl Negotiated {
    /// The value of the header `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> HeaderValue {
        let kind = match self.format {
            Format::OpenMetrics => OPEN_METRICS,
            Format::Classic => TEXT,
        };
        let Self {
            version, escaping, ..
        } = self;
        let mut text = format!("{kind}; version={version}; charset=utf-8");
        if let Some(escaping) = escaping {
            text.push_str("; escaping=");
            text.push_str(escaping);
        }
        // Made of the constants above, all of which are visible ASCII.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(TEXT))
    }
}

/// The format that the header `Accept` asks for, of those that are `offered`: `OpenMetrics`
/// only where it is named and weighs at least as much as the classic format. A client that
/// accepts none of them gets the classic one, as every exporter does.
#[must_use]
pub fn negotiate(headers: &HeaderMap, offered: &[Format]) -> Negotiated {
    let mut open_metrics = Preference::default();
    let mut first_open_metrics = Preference::default();
    let mut classic = Preference::default();
    let mut escaping = Preference::default();
    let mut escaped = None;
    for (range, parameters) in items(headers, &ACCEPT) {
        let Some(weight) = weight(parameters) else {
            continue;
        };
        let version = parameter(parameters, "version");
        let (preference, specificity) = match (range.to_ascii_lowercase().as_str(), version) {
            (OPEN_METRICS, Some("1.0.0")) => (&mut open_metrics, 2),
            // As in Go's exporters, the first version is meant where none is named.
            (OPEN_METRICS, Some("0.0.1") | None) => (&mut first_open_metrics, 2),
            (TEXT, Some("0.0.4") | None) => (&mut classic, 2),
            ("text/*", _) => (&mut classic, 1),
            ("*/*", _) => (&mut classic, 0),
            _ => continue,
        };
        preference.consider(specificity, weight);
        let named = parameter(parameters, "escaping");
        let named = ESCAPING.into_iter().find(|known| named == Some(known));
        if named.is_some() && escaping.consider(0, weight) {
            escaped = named;
        }
    }
    let newest = open_metrics.weight.max(first_open_metrics.weight);
    let wanted = newest > 0 && newest >= classic.weight;
    let (format, version) = if wanted && offered.contains(&Format::OpenMetrics) {
        let first = open_metrics.weight < first_open_metrics.weight;
        let version = if first { "0.0.1" } else { "1.0.0" };
        (Format::OpenMetrics, version)
    } else {
        (Format::Classic, "0.0.4")
    };
    Negotiated {
        format,
        version,
        escaping: escaped,
    }
}

/// Whether the header `Accept-Encoding` allows gzip and does not prefer none.
#[must_use]
pub fn gzip(headers: &HeaderMap) -> bool {
    let mut gzip = Preference::default();
    let mut identity = Preference::default();
    for (coding, parameters) in items(headers, &ACCEPT_ENCODING) {
        let Some(weight) = weight(parameters) else {
            continue;
        };
        match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip.consider(1, weight),
            "identity" => identity.consider(1, weight),
            "*" => gzip.consider(0, weight),
            _ => false,
        };
    }
    gzip.weight > 0 && gzip.weight >= identity.weight
}

/// The weight that the most specific range gives; the highest among equals.
#[derive(Default)]
struct Preference {
    specificity: u8,
    weight: u16,
}

impl Preference {
    /// Whether this range counts more than those before.
    fn consider(&mut self, specificity: u8, weight: u16) -> bool {
        let counts = (specificity, weight) > (self.specificity, self.weight);
        if counts {
            *self = Self {
                specificity,
                weight,
            };
        }
        counts
    }
}

/// The members of a list header, each with its parameters.
fn items<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (&'h str, &'h str)> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| {
            let (range, parameters) = item.split_once(';').unwrap_or((item, ""));
            (range.trim(), parameters)
        })
}

fn parameter<'p>(parameters: &'p str, wanted: &str) -> Option<&'p str> {
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let found = name.trim().eq_ignore_ascii_case(wanted);
        found.then(|| value.trim().trim_matches('"'))
    })
}

/// Thousandths; 1 000 unless told; `None` if it cannot be read.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 1 000"
)]
fn weight(parameters: &str) -> Option<u16> {
    let Some(text) = parameter(parameters, "q") else {
        return Some(1000);
    };
    let weight: f64 = text.parse().ok()?;
    (0.0..=1.0)
        .contains(&weight)
        .then(|| (weight * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &[Format] = &[Format::OpenMetrics, Format::Classic];

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn what_real_clients_send() {
        let cases = [
            // Prometheus 2.42: `acceptHeader` in its scrape/scrape.go
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            // Prometheus 3: the defaults of its scrape/scrape_test.go, names in UTF-8
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            // The same with `PrometheusProto` first, as for native histograms
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            // The same with `scrape_protocols: [PrometheusText0.0.4, OpenMetricsText1.0.0]`
            (
                "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.1",
                Format::Classic,
            ),
            // curl
            ("*/*", Format::Classic),
            // VictoriaMetrics' agent: `ReadData` in its lib/promscrape/client.go
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Classic),
            // Telegraf: `acceptHeader` in its plugins/inputs/prometheus/prometheus.go, as two of its versions have it
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
                Format::Classic,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                Format::Classic,
            ),
            // The Datadog agent: `send_request` in integrations-core's
            // openmetrics/v2/scraper/base_scraper.py, without and with `use_latest_spec`
            ("text/plain", Format::Classic),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1",
                Format::OpenMetrics,
            ),
            // A browser
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Format::Classic,
            ),
            (
                "application/openmetrics-text; version=\"1.0.0\"; charset=utf-8",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;q=0", Format::Classic),
            ("application/openmetrics-text;q=x", Format::Classic),
            (
                "application/openmetrics-text;version=0.0.1",
                Format::OpenMetrics,
            ),
            (
                "Application/OpenMetrics-Text;Q=0.2, text/plain;q=0.1",
                Format::OpenMetrics,
            ),
            ("image/png", Format::Classic),
            ("", Format::Classic),
        ];
        for (accept, expected) in cases {
            let found = negotiate(&headers(ACCEPT, accept), BOTH).format;
            assert_eq!(found, expected, "{accept}");
        }
        let nothing = negotiate(&HeaderMap::new(), BOTH);
        assert_eq!(nothing.format, Format::Classic);
    }

    #[test]
    fn version_and_escaping_are_told() {
        let open_metrics = "application/openmetrics-text";
        for (accept, expected) in [
            ("", "text/plain; version=0.0.4; charset=utf-8"),
            (
                "text/plain;escaping=dots",
                "text/plain; version=0.0.4; charset=utf-8; escaping=dots",
            ),
            (
                "text/plain;escaping=new",
                "text/plain; version=0.0.4; charset=utf-8",
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5",
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            ),
            (
                "application/openmetrics-text;version=0.0.1,application/openmetrics-text;version=1.0.0;q=0.5",
                "application/openmetrics-text; version=0.0.1; charset=utf-8",
            ),
            (
                open_metrics,
                "application/openmetrics-text; version=0.0.1; charset=utf-8",
            ),
            (
                "application/openmetrics-text;version=2.0.0",
                "text/plain; version=0.0.4; charset=utf-8",
            ),
        ] {
            let found = negotiate(&headers(ACCEPT, accept), BOTH).content_type();
            assert_eq!(found, expected, "{accept}");
        }
        let classic = negotiate(&headers(ACCEPT, open_metrics), &[Format::Classic]);
        assert_eq!(classic.format, Format::Classic, "nothing else is offered");
    }

    #[test]
    fn gzip_where_it_is_wanted() {
        let cases = [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("GZIP;q=0.5", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("gzip;q=0.5, identity", false),
            ("deflate", false),
            ("", false),
        ];
        for (accept, expected) in cases {
            assert_eq!(
                gzip(&headers(ACCEPT_ENCODING, accept)),
                expected,
                "{accept}"
            );
        }
        assert!(!gzip(&HeaderMap::new()));
    }
}
