//! `http_server_config` and `rate_limit`.

use std::time::Duration;

use config_report::{ConfigReport, MappingEntry, Reported, YamlValue, collect_all, expected};
use http::{HeaderName, HeaderValue};

use super::{RateLimit, boolean};

/// Headers that may be set, with the values that they may have; none: any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// The checked `http_server_config`.
pub(super) struct Server {
    pub(super) http2: bool,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            http2: true,
            headers: Vec::new(),
        }
    }
}

pub(super) fn server(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<Server, Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    let http2 = match section.take("http2") {
        Some(value) => boolean(&value, report),
        None => Ok(Server::default().http2),
    };
    let headers = match section.take("headers") {
        Some(value) => headers(&value, report),
        None => Ok(Vec::new()),
    };
    section.finish(report);
    Ok(Server {
        http2: http2?,
        headers: headers?,
    })
}

type Header = (HeaderName, HeaderValue);

fn headers(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<Vec<Header>, Reported> {
    let section = value.mapping(report, "a mapping of headers to values")?;
    let entries = section.entries();
    let headers: Vec<_> = collect_all(entries.iter().map(|entry| header(entry, report)))?;
    Ok(headers.into_iter().flatten().collect())
}

/// Names are compared byte for byte, as exporter-toolkit does. Blank means unset, where
/// any value may be written.
fn header(entry: &MappingEntry<'_>, report: &mut ConfigReport) -> Result<Option<Header>, Reported> {
    let Some((name, values)) = HEADERS.iter().find(|(name, _)| *name == entry.key) else {
        let known: Vec<_> = HEADERS.iter().map(|(name, _)| *name).collect();
        let what = format!("one of {}", known.join(", "));
        return Err(entry.error(report, expected(&what, "another header", "remove it")));
    };
    let text = match &entry.value {
        Some(value) => value.text(report, "a header's value")?,
        None => "",
    };
    let value = HeaderValue::from_str(text)
        .ok()
        .filter(|_| values.is_empty() || values.contains(&text));
    match (HeaderName::try_from(*name), value) {
        (_, Some(_)) if text.is_empty() => Ok(None),
        (Ok(name), Some(value)) => Ok(Some((name, value))),
        _ => {
            let what = match values {
                [] => "text on one line".to_owned(),
                values => one_of(values),
            };
            let text = expected(&what, "another value", "change it, or remove the header");
            Err(entry.error(report, text))
        }
    }
}

fn one_of(values: &[&str]) -> String {
    let quoted: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
    quoted.join(" or ")
}

/// `rate_limit`; an interval of zero turns it off.
pub(super) fn rate_limit(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<Option<RateLimit>, Reported> {
    let mut section = value.mapping(report, "a mapping with `interval` and `burst`")?;
    let interval = match section.take("interval") {
        Some(value) => value.parse(
            report,
            "a duration such as `1s` or `250ms`, or `0`",
            "write a number with a unit",
            go_duration,
        ),
        None => Ok(Duration::ZERO),
    };
    let burst = match section.take("burst") {
        Some(value) => value.parse(
            report,
            "a number of requests",
            "write, for example, `20`",
            |text| text.parse().ok(),
        ),
        None => Ok(0),
    };
    if interval.is_ok_and(|interval| !interval.is_zero()) && burst == Ok(0) {
        let text = expected(
            "at least 1 with an `interval`",
            "0, which refuses every request",
            "set how many requests may arrive at once",
        );
        section.error(report, "burst", text);
    }
    section.finish(report);
    let (interval, burst) = (interval?, burst?);
    Ok((!interval.is_zero()).then_some(RateLimit { interval, burst }))
}

/// A duration as Go's `time.ParseDuration` reads it, but not a negative one.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let length = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(length);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        let part = Duration::try_from_secs_f64(number * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1s", Some(1_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("+250ms", Some(250)),
            (".5s", Some(500)),
            ("", None),
            ("+", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1 s", None),
            ("1d", None),
            ("1..5s", None),
            ("99999999999999999999h", None),
        ];
        for (text, millis) in cases {
            assert_eq!(
                go_duration(text),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
    }
}
