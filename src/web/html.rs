//! The status page as HTML: one document without scripts and without anything
//! loaded from elsewhere. Every text passes through [`Text`], which escapes it.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::status::{Condition, Row, SHOWN, Status, TenantStatus};
use crate::clock::Timestamp;
use crate::model::ScanType;

const STYLE: &str = include_str!("status.css");

/// Nothing but the style sheet above, by its hash.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    style-src 'sha256-2OBQ39C0E62Ynw5BrYZZDObx6BcWyeZBeVPKw4TEBJM='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How many characters of a name are shown.
const NAME_LENGTH: usize = 120;

/// A text to be shown: escaped, cut off after [`NAME_LENGTH`] characters if `short`.
struct Text<'t> {
    text: &'t str,
    short: bool,
}

fn name(text: &str) -> Text<'_> {
    Text { text, short: true }
}

fn prose(text: &str) -> Text<'_> {
    Text { text, short: false }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // <bdi>: a name written from right to left must not turn its neighbours.
        f.write_str("<bdi>")?;
        for (position, character) in self.text.chars().enumerate() {
            if self.short && position == NAME_LENGTH {
                f.write_char('…')?;
                break;
            }
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(' ')?,
                control if control.is_control() => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        f.write_str("</bdi>")
    }
}

/// The page; `telemetry_path` is linked.
pub(super) fn page(status: &Status, telemetry_path: &str) -> String {
    let mut out = String::new();
    // Writing into a String can not fail.
    let _ = document(&mut out, status, telemetry_path);
    out
}

fn document(out: &mut String, status: &Status, telemetry_path: &str) -> fmt::Result {
    // A link relative to this page also works behind a proxy that adds a prefix.
    let link = telemetry_path.trim_start_matches('/');
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Defender scan exporter</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Defender scan exporter</h1>\n\
         <p>Version {}, as of {}. <a href=\"{link}\">Metrics</a>, \
         <a href=\"-/healthy\">health</a>, <a href=\"-/ready\">readiness</a>.</p>\n",
        env!("CARGO_PKG_VERSION"),
        moment(status.now),
    )?;
    summary(out, status)?;
    tenants(out, &status.tenants)?;
    definitions(out, status)?;
    out.write_str("</body>\n</html>\n")
}

fn summary(out: &mut String, status: &Status) -> fmt::Result {
    let (up, tenants) = (status.up(), status.tenants.len());
    let class = if up == tenants { "good" } else { "bad" };
    out.write_str("<h2>Summary</h2>\n<dl>\n")?;
    figure(out, "tenants up", class, format_args!("{up} of {tenants}"))?;
    figure(
        out,
        "definitions",
        "",
        format_args!("{}", status.definitions),
    )?;
    for (condition, count) in status.counts {
        // Overdue ones stand below, whatever else is wrong with them.
        if condition != Condition::Overdue {
            let class = if count == 0 { "" } else { class_of(condition) };
            figure(out, condition.as_str(), class, format_args!("{count}"))?;
        }
    }
    let class = if status.overdue == 0 { "" } else { "warn" };
    figure(out, "overdue", class, format_args!("{}", status.overdue))?;
    out.write_str("</dl>\n")
}

fn figure(out: &mut String, title: &str, class: &str, value: fmt::Arguments) -> fmt::Result {
    writeln!(
        out,
        "<div><dt>{title}</dt><dd class=\"{class}\">{value}</dd></div>"
    )
}

fn tenants(out: &mut String, tenants: &[TenantStatus]) -> fmt::Result {
    out.write_str(
        "<h2>Tenants</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>Tenant</th><th>Polling</th>\
         <th>Calls this minute</th><th>Calls this hour</th></tr></thead>\n<tbody>\n",
    )?;
    for tenant in tenants {
        let (class, word) = match tenant.view.health.up {
            Some(true) => ("good", "up"),
            Some(false) => ("bad", "down"),
            None => ("warn", "not polled yet"),
        };
        write!(
            out,
            "<tr><td>{}</td><td><span class=\"{class}\">{word}</span>",
            name(tenant.view.name.as_str())
        )?;
        for (collector, reason, text) in &tenant.failures {
            let (collector, reason) = (collector.as_label(), reason.as_label());
            write!(out, "<br>{collector}: {reason}: {}", prose(text))?;
        }
        if let Some(until) = tenant.throttled_until {
            write!(out, "<br>throttled until <time>{}</time>", moment(until))?;
        }
        let [minute, hour] = tenant.usage;
        writeln!(
            out,
            "</td><td>{} of {}</td><td>{} of {}</td></tr>",
            minute.used, minute.limit, hour.used, hour.limit
        )?;
    }
    out.write_str("</tbody>\n</table></div>\n")
}

fn definitions(out: &mut String, status: &Status) -> fmt::Result {
    out.write_str("<h2>Definitions</h2>\n")?;
    if status.definitions > SHOWN {
        writeln!(
            out,
            "<p>The {SHOWN} of {} that need attention most.</p>",
            status.definitions
        )?;
    }
    out.write_str(
        "<div class=\"wide\"><table>\n<thead><tr><th>Name</th><th>Tenant</th><th>Type</th>\
         <th>Status</th><th>Last scan</th><th>Interval</th><th>Targets</th><th>Agent</th>\
         </tr></thead>\n<tbody>\n",
    )?;
    for row in &status.rows {
        definition(out, row)?;
    }
    out.write_str("</tbody>\n</table></div>\n")
}

fn definition(out: &mut String, row: &Row) -> fmt::Result {
    let definition = &row.view.definition;
    let condition = row.condition;
    write!(
        out,
        "<tr><td>{}<br><small>{}</small></td><td>{}</td><td>{}</td><td><span class=\"{}\">{}</span>",
        name(&definition.scan_name),
        name(definition.id.as_str()),
        name(row.tenant.as_str()),
        name(definition.scan_type.as_ref().map_or("", ScanType::as_str)),
        class_of(condition),
        condition.as_str(),
    )?;
    if row.overdue && condition != Condition::Overdue {
        out.write_str(", <span class=\"warn\">overdue</span>")?;
    }
    out.write_str("</td><td>")?;
    match (&row.view.last_run, row.age) {
        (Some(run), Some(age)) => {
            write!(
                out,
                "{} ago<br><small><time>{}</time></small>",
                rough(age),
                moment(run.at)
            )?;
        }
        _ => out.write_str("never")?,
    }
    out.write_str("</td><td>")?;
    match definition.interval {
        Some(interval) => write!(out, "{}", rough(interval))?,
        None => out.write_str("once")?,
    }
    out.write_str("</td><td>")?;
    match (row.view.targets_succeeded, row.view.targets) {
        (Some(succeeded), Some(targets)) => write!(out, "{succeeded} of {targets}")?,
        (None, Some(targets)) => write!(out, "{targets}")?,
        (_, None) => out.write_str("–")?,
    }
    writeln!(out, "</td><td>{}</td></tr>", name(row.agent))
}

const fn class_of(condition: Condition) -> &'static str {
    match condition {
        Condition::Failed => "bad",
        Condition::Unknown | Condition::Partial | Condition::Overdue | Condition::NeverRan => {
            "warn"
        }
        Condition::Good => "good",
        Condition::Inactive => "",
    }
}

/// To the second, in UTC.
fn moment(at: Timestamp) -> String {
    let millis = at.unix_millis();
    Timestamp::from_unix_millis(millis - millis.rem_euclid(1000)).to_string()
}

/// To the hour from a day on, to the minute from an hour on, else to the second.
fn rough(duration: Duration) -> humantime::FormattedDuration {
    let seconds = duration.as_secs();
    let unit = match seconds {
        86_400.. => 3_600,
        3_600.. => 60,
        _ => 1,
    };
    humantime::format_duration(Duration::from_secs(seconds - seconds % unit))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::super::tests::{NOW, definition, tenant};
    use super::*;
    use crate::clock::Clock;
    use crate::health::Reason;
    use crate::model::ScanStatus;
    use crate::snapshot::Snapshot;

    #[test]
    fn the_policy_allows_the_style_sheet() {
        let script = "import base64,hashlib,sys\n\
            print(base64.b64encode(hashlib.sha256(sys.stdin.buffer.read()).digest()).decode())";
        let mut python = Command::new("python3")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let mut stdin = python.stdin.take().expect("stdin is piped");
        stdin.write_all(STYLE.as_bytes()).expect("python3 reads");
        drop(stdin);
        let output = python.wait_with_output().expect("python3 ends");
        let hash = String::from_utf8(output.stdout).expect("base64");
        let expected = format!("'sha256-{}'", hash.trim());
        assert!(
            CONTENT_SECURITY_POLICY.contains(&expected),
            "status.css changed; its hash is {expected}"
        );
    }

    #[tokio::test]
    async fn everything_is_escaped_and_said_in_words() {
        let clock = Clock::anchored(NOW);
        let mut view = tenant("contoso", &clock);
        let mut hostile = definition("<i>", Some(Duration::from_hours(51)), ScanStatus::Failure);
        hostile.definition.scan_name = "<script>alert('\"&')</script>\n\0".into();
        hostile.definition.scan_type = Some(ScanType::Other("<b>".into()));
        let mut long = definition("long", None, ScanStatus::Success);
        long.definition.scan_name = "ä".repeat(10_000).into();
        view.definitions = [hostile.into(), long.into()].into();
        view.health.up = Some(false);
        view.health.history.failure = Some((Reason::Forbidden, "no <permission>".to_owned()));
        view.health.throttled_until = Some(NOW + Duration::from_mins(1));
        let snapshot = Snapshot::default();
        snapshot.publish(view);
        let page = page(&Status::new(&snapshot.read(), NOW), "/metrics");
        for part in [
            "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt; \u{fffd}",
            "&lt;b&gt;",
            "&lt;i&gt;",
            "history: forbidden: <bdi>no &lt;permission&gt;</bdi>",
            "throttled until <time>2026-09-21T",
            "2days 3h ago",
            "<span class=\"bad\">failed</span>, <span class=\"warn\">overdue</span>",
            "never ran",
            "0 of 1",
            "href=\"metrics\"",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        assert!(!page.contains("<script") && !page.contains("style="));
        assert!(page.len() < 10_000, "the long name is cut off");
    }

    #[tokio::test]
    async fn a_long_list_is_cut_off_with_a_note() {
        let mut view = tenant("contoso", &Clock::anchored(NOW));
        view.definitions = (0..=SHOWN)
            .map(|number| definition(&number.to_string(), None, ScanStatus::Success).into())
            .collect();
        let snapshot = Snapshot::default();
        snapshot.publish(view);
        let page = page(&Status::new(&snapshot.read(), NOW), "/metrics");
        assert!(page.contains("The 500 of 501 that need attention most."));
        assert_eq!(
            page.matches("<span class=\"warn\">never ran</span>")
                .count(),
            SHOWN
        );
    }
}
