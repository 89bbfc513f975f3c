//! The page of one definition: how it stands, and its known sessions.

use maud::{Markup, html};

use super::status::{Condition, Row, TenantStatus};
use super::text::{clean, condition, count, moment, name, name_or, problem, prose, rough, targets};
use super::timeline::timeline;
use crate::clock::Timestamp;
use crate::model::view::KnownSession;
use crate::model::{Run, ScanStatus, SessionErrors, TargetType};
use crate::polling::snapshot::TenantView;

/// The page of what is not known.
pub(super) fn unknown() -> Markup {
    html! {
        h1 { "No such definition" }
        p { "The exporter knows of no definition with this tenant and id. It may have been removed, or excluded by the configuration." }
        p { a href="./" { "All definitions" } }
    }
}

/// The whole of it.
pub(super) fn body(tenant: &TenantView, row: &Row, now: Timestamp) -> Markup {
    let definition = &row.view.definition;
    let status = TenantStatus::new(tenant, now);
    html! {
        nav aria-label="Breadcrumb" { a href="./" { "All definitions" } }
        h1 {
            @match definition.scan_name.trim() {
                "" => "Unnamed definition",
                _ => (prose(&definition.scan_name)),
            }
        }
        p.verdict {
            (condition(row.condition))
            @if let Some(overdue) = row.overdue { " " span.condition.overdue { "overdue by " (rough(overdue)) } }
        }
        @if !status.is_well() {
            section.problems aria-labelledby="problems-title" {
                h2 #problems-title { "The data shown may be out of date" }
                p { "Polling of " (name(tenant.name.as_str())) " is failing, at least in part." }
                ul { @for failure in &status.failures { li { (problem(failure, now)) } } }
            }
        }
        section aria-labelledby="sessions-title" {
            h2 #sessions-title { "Sessions" }
            (sessions(row, now))
        }
        section aria-labelledby="facts-title" {
            h2 #facts-title { "Definition" }
            (facts(row, now))
        }
    }
}

fn facts(row: &Row, now: Timestamp) -> Markup {
    let definition = &row.view.definition;
    let due = row.view.last_run.as_ref().zip(definition.interval);
    let due = due
        .filter(|_| definition.is_active)
        .map(|(run, interval)| run.at + interval);
    let counts = row.view.sessions;
    html! {
        dl.facts {
            (fact("Id", &html! { code { (prose(definition.id.as_str())) } }))
            (fact("Tenant", &name(row.tenant.as_str())))
            (fact("Last scan", &ago(row.view.last_run.as_ref().map(|run| run.at), now, "never")))
            (fact("Last success", &ago(row.view.last_success, now, "none known")))
            (fact("Interval", &html! { (definition.interval.map_or_else(|| "once".to_owned(), rough)) }))
            @if let Some(due) = due {
                (fact("Next scan", &html! {
                    @if due > now { "expected in " (rough(due.since(now))) }
                    @else { "was expected " (rough(now.since(due))) " ago" }
                    ", at " (moment(due))
                }))
            }
            (fact("Active", &html! { @if definition.is_active { "yes" } @else { "no" } }))
            (fact("Scan type", &name_or(row.scan_type().unwrap_or_default(), "none")))
            (fact("Targets identified by", &name_or(definition.target_type.as_ref().map_or("", TargetType::as_str), "unknown")))
            (fact("Targets scanned", &targets(row.view.targets)))
            (fact("Agent", &agent(row, now)))
            @if let Some(reason) = &definition.failure_reason {
                (fact("Failure reason", &prose(reason)))
            }
            @if let Some(mode) = definition.troubleshoot_mode {
                (fact("Troubleshoot mode", &html! { @if mode { "on" } @else { "off" } }))
            }
            (fact("Sessions since first seen", &html! {
                (counts.success) " succeeded, " (counts.partial_success) " partial, "
                (counts.failure) " failed, " (counts.unknown) " unknown"
            }))
            (fact("In PromQL", &html! { code { (selector(row)) } }))
        }
    }
}

fn fact(title: &str, value: &Markup) -> Markup {
    html! { div { dt { (title) } dd { (value) } } }
}

fn ago(at: Option<Timestamp>, now: Timestamp, absent: &str) -> Markup {
    html! {
        @if let Some(at) = at { (rough(now.since(at))) " ago, at " (moment(at)) }
        @else { (absent) }
    }
}

fn agent(row: &Row, now: Timestamp) -> Markup {
    html! {
        (name_or(row.agent_name, "none"))
        @if let Some(agent) = row.agent {
            @if let Some(seen) = agent.last_seen { ", last seen " (rough(now.since(seen))) " ago" }
            @if !agent.scanner_version.is_empty() { ", scanner " (name(&agent.scanner_version)) }
        } @else if !row.agent_name.is_empty() {
            ", not in the list of agents"
        }
    }
}

/// What selects this definition's series.
fn selector(row: &Row) -> String {
    let quoted = |text: &str| {
        let text = text.replace('\\', r"\\").replace('"', "\\\"");
        clean(&text.replace('\n', r"\n"), 1_000)
    };
    format!(
        "{{tenant=\"{}\",definition_id=\"{}\"}}",
        quoted(row.tenant.as_str()),
        quoted(row.view.definition.id.as_str())
    )
}

fn sessions(row: &Row, now: Timestamp) -> Markup {
    let known = &row.view.recent;
    html! {
        @if known.is_empty() {
            p.empty {
                @match &row.view.last_run {
                    Some(run) => { "The service lists a run at " (moment(run.at)) " (" (word(run)) "); its history has not been fetched yet." }
                    None => "No sessions are known: it has never run.",
                }
            }
        } @else {
            (timeline(row, now))
            div.scroll role="region" aria-labelledby="sessions-caption" tabindex="0" {
                table.sessions {
                    caption #sessions-caption { "The latest known sessions, newest first" }
                    thead { tr {
                        @for title in ["When", "Age", "Gap", "Status", "Targets", "What went wrong"] { th scope="col" { (title) } }
                    } }
                    tbody {
                        @for (place, session) in known.iter().enumerate().rev() {
                            (session_row(session, place.checked_sub(1).and_then(|place| known.get(place)), now))
                        }
                    }
                }
            }
        }
    }
}

fn session_row(session: &KnownSession, before: Option<&KnownSession>, now: Timestamp) -> Markup {
    let gap = session.at.zip(before.and_then(|before| before.at));
    html! {
        tr {
            th scope="row" {
                @match session.at { Some(at) => (moment(at)), None => span.absent { "the service does not say" } }
            }
            td data-label="Age" { @if let Some(at) = session.at { (rough(now.since(at))) } @else { span.absent { "unknown" } } }
            td data-label="Gap" {
                @match gap { Some((at, before)) => (rough(at.since(before))), None => span.absent { "–" } }
            }
            td data-label="Status" {
                @let status = Condition::of_run(&session.status);
                (condition(status))
                @if let (Condition::Unknown, ScanStatus::Unknown(text)) = (status, &session.status) { " " (name(text)) }
            }
            td data-label="Targets" { (targets(session.targets)) }
            td data-label="What went wrong" {
                @match &session.errors { Some(errors) => (went_wrong(errors)), None => span.absent { "–" } }
            }
        }
    }
}

/// The service's own words, which name nobody any more.
fn went_wrong(errors: &SessionErrors) -> Markup {
    html! {
        @if let Some(text) = &errors.general { p { (prose(text)) } }
        @if !errors.targets.is_empty() {
            ul {
                @for error in &errors.targets {
                    li {
                        (count(error.targets as usize, "target")) " "
                        (Condition::of_run(&error.status).as_str()) ": " (prose(&error.text))
                    }
                }
            }
        }
    }
}

fn word(run: &Run) -> &'static str {
    Condition::of_run(&run.status).as_str()
}
