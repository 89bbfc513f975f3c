//! From `OpenMetrics` to the classic text format, for libraries that write the former alone.
//!
//! | `OpenMetrics` | classic |
//! | --- | --- |
//! | `# TYPE a counter`, `a_total` | `# TYPE a_total counter`, `a_total` |
//! | `# TYPE a info`, `a_info` | `# TYPE a_info gauge`, `a_info` |
//! | types `stateset` and `unknown` | types `gauge` and `untyped` |
//! | `gaugehistogram` with `_gcount` and `_gsum` | `histogram` with `_count` and `_sum` |
//! | `_created`, exemplars, `# UNIT`, `# EOF` | – |
//! | timestamps in seconds | in milliseconds |

use std::fmt::Write as _;

use super::Format;

/// A family: its metadata, and its lines as they are.
#[derive(Default)]
struct Family<'t> {
    name: &'t str,
    kind: &'t str,
    help: Option<&'t str>,
    lines: Vec<&'t str>,
}

/// The families of an `OpenMetrics` text that are `wanted`, by the name that they have in the
/// classic format, in `format`.
pub(super) fn render(text: &str, format: Format, wanted: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for family in families(text) {
        if !wanted(&family.classic_name()) {
            continue;
        }
        match format {
            Format::OpenMetrics => {
                for line in family.lines {
                    out.extend([line, "\n"]);
                }
            }
            Format::Classic => family.write_classic(&mut out),
        }
    }
    out.push_str(format.end());
    out
}

/// Families, each of which begins with its metadata.
fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        let metadata = line.strip_prefix("# ");
        let mut words = metadata.unwrap_or_default().splitn(3, ' ');
        if let (Some(keyword @ ("HELP" | "TYPE" | "UNIT")), Some(name)) =
            (words.next(), words.next())
        {
            if families.last().is_none_or(|last| last.name != name) {
                families.push(Family {
                    name,
                    ..Family::default()
                });
            }
            if let Some(family) = families.last_mut() {
                let rest = words.next().unwrap_or_default();
                match keyword {
                    "HELP" => family.help = Some(rest),
                    "TYPE" => family.kind = rest,
                    _ => {}
                }
            }
        } else if families.is_empty() {
            families.push(Family::default());
        }
        if let Some(family) = families.last_mut() {
            family.lines.push(line);
        }
    }
    families
}

impl Family<'_> {
    fn classic_name(&self) -> String {
        let suffix = match self.kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        format!("{}{suffix}", self.name)
    }

    fn write_classic(&self, out: &mut String) {
        let name = self.classic_name();
        let kind = match self.kind {
            "info" | "stateset" => "gauge",
            "gaugehistogram" => "histogram",
            "unknown" | "" => "untyped",
            same => same,
        };
        if let Some(help) = self.help {
            // The classic format escapes no quotes in HELP.
            out.extend(["# HELP ", &name, " ", &help.replace("\\\"", "\""), "\n"]);
        }
        if !self.name.is_empty() {
            out.extend(["# TYPE ", &name, " ", kind, "\n"]);
        }
        for line in self.lines.iter().filter(|line| !line.starts_with('#')) {
            self.write_sample(line, out);
        }
    }

    fn write_sample(&self, line: &str, out: &mut String) {
        let (name, labels, rest) = sample(line);
        let suffix = name.strip_prefix(self.name);
        let suffix = match (self.kind, suffix) {
            ("counter" | "histogram" | "summary" | "gaugehistogram", Some("_created")) => return,
            ("gaugehistogram", Some("_gcount")) => Some("_count"),
            ("gaugehistogram", Some("_gsum")) => Some("_sum"),
            (_, suffix) => suffix,
        };
        match suffix {
            Some(suffix) => out.extend([self.name, suffix]),
            None => out.push_str(name),
        }
        let rest = rest.split(" # ").next().unwrap_or_default();
        let mut words = rest.split_whitespace();
        out.extend([labels, " ", words.next().unwrap_or_default()]);
        let seconds = words.next().and_then(|seconds| seconds.parse::<f64>().ok());
        if let Some(seconds) = seconds {
            // Writing into a String cannot fail.
            let _ = write!(out, " {:.0}", seconds * 1000.0);
        }
        out.push('\n');
    }
}

/// Name, labels with their braces, and what follows.
fn sample(line: &str) -> (&str, &str, &str) {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if !rest.starts_with('{') {
        return (name, "", rest);
    }
    let (mut quoted, mut escaped) = (false, false);
    let close = rest.bytes().position(|byte| {
        let is_end = byte == b'}' && !quoted;
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    let (labels, rest) = rest.split_at(close.map_or(rest.len(), |close| close + 1));
    (name, labels, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP room_readings Readings of \"it\".
# TYPE room_readings counter
room_readings_total{sensor="a} # \"b\" \\"} 3 1.5 # {trace="x"} 1.0
room_readings_created{sensor="a"} 1.0
# HELP room_temperature_celsius Temperature.
# TYPE room_temperature_celsius gauge
# UNIT room_temperature_celsius celsius
room_temperature_celsius 21.5
# TYPE room info
room_info{name="hall"} 1
# TYPE room_age gaugehistogram
room_age_bucket{le="+Inf"} 2
room_age_gcount 2
room_age_gsum 5.0
# TYPE room_seconds histogram
room_seconds_bucket{le="1.0"} 1 # {} 0.5
room_seconds_sum 0.5
room_seconds_count 1
# TYPE room_odd unknown
room_odd NaN
# EOF
"#;

    #[test]
    fn the_classic_form_says_the_same() {
        let classic = r#"# HELP room_readings_total Readings of "it".
# TYPE room_readings_total counter
room_readings_total{sensor="a} # \"b\" \\"} 3 1500
# HELP room_temperature_celsius Temperature.
# TYPE room_temperature_celsius gauge
room_temperature_celsius 21.5
# TYPE room_info gauge
room_info{name="hall"} 1
# TYPE room_age histogram
room_age_bucket{le="+Inf"} 2
room_age_count 2
room_age_sum 5.0
# TYPE room_seconds histogram
room_seconds_bucket{le="1.0"} 1
room_seconds_sum 0.5
room_seconds_count 1
# TYPE room_odd untyped
room_odd NaN
"#;
        assert_eq!(render(TEXT, Format::Classic, |_| true), classic);
        assert_eq!(render(TEXT, Format::OpenMetrics, |_| true), TEXT);
    }

    #[test]
    fn families_are_found_by_the_name_that_queries_have() {
        let wanted = |name: &str| name == "room_readings_total";
        let classic = render(TEXT, Format::Classic, wanted);
        assert!(
            classic.contains("sensor") && classic.lines().count() == 3,
            "{classic}"
        );
        let open_metrics = render(TEXT, Format::OpenMetrics, wanted);
        assert!(open_metrics.contains("_created") && open_metrics.ends_with("# EOF\n"));
        assert_eq!(render(TEXT, Format::OpenMetrics, |_| false), "# EOF\n");
    }

    #[test]
    fn no_text_is_too_much() {
        for text in [
            "", "\n", "# TYPE", "# TYPE a", "a{", "a{b=\"", "a", "# EOF", "{} 1", "#",
        ] {
            let _ = render(text, Format::Classic, |_| true);
        }
    }
}
