//! Which text format and which encoding a client wants.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use super::Format;

/// The value of the header `Vary` of a negotiated answer.
pub const VARY: &str = "Accept, Accept-Encoding";

/// The format that the header `Accept` asks for: `OpenMetrics` only where it is
/// named and weighs at least as much as the classic format. A client that
/// accepts neither gets the classic one, as every exporter does.
#[must_use]
pub fn format(headers: &HeaderMap) -> Format {
    let mut open_metrics = Preference::default();
    let mut classic = Preference::default();
    for (range, parameters) in items(headers, &ACCEPT) {
        let Some(weight) = weight(parameters) else {
            continue;
        };
        let version = |wanted: &str| {
            let named = parameter(parameters, "version");
            named.is_none_or(|version| version == wanted)
        };
        match range.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" if version("1.0.0") => open_metrics.consider(2, weight),
            "text/plain" if version("0.0.4") => classic.consider(2, weight),
            "text/*" => classic.consider(1, weight),
            "*/*" => classic.consider(0, weight),
            _ => {}
        }
    }
    if open_metrics.weight > 0 && open_metrics.weight >= classic.weight {
        Format::OpenMetrics
    } else {
        Format::Classic
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
            _ => {}
        }
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
    fn consider(&mut self, specificity: u8, weight: u16) {
        if (specificity, weight) > (self.specificity, self.weight) {
            *self = Self {
                specificity,
                weight,
            };
        }
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
                Format::Classic,
            ),
            (
                "Application/OpenMetrics-Text;Q=0.2, text/plain;q=0.1",
                Format::OpenMetrics,
            ),
            ("image/png", Format::Classic),
            ("", Format::Classic),
        ];
        for (accept, expected) in cases {
            assert_eq!(format(&headers(ACCEPT, accept)), expected, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Classic);
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
