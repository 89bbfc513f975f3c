//! A definition's sessions on a line of time. The table below it says the same
//! in words; colour never stands alone, each status has a shape of its own.

use maud::{Markup, html};

use super::status::{Condition, Row};
use super::text::{count, moment, rough};
use crate::clock::Timestamp;

/// Nothing if the service names no times.
pub(super) fn timeline(row: &Row, now: Timestamp) -> Markup {
    let sessions = row.view.recent.iter();
    let sessions: Vec<_> = sessions
        .filter_map(|session| Some((session.at?, session)))
        .collect();
    let (Some((first, _)), Some((last, _))) = (sessions.first(), sessions.last()) else {
        return html! {};
    };
    let interval = row
        .view
        .definition
        .interval
        .filter(|_| row.view.definition.is_active);
    let due = interval.map(|interval| *last + interval);
    let scale = Scale {
        start: *first,
        end: due.unwrap_or(now).max(now).max(*last),
    };
    let shapes = [
        Condition::Succeeded,
        Condition::Partial,
        Condition::Failed,
        Condition::Unknown,
        Condition::Running,
    ];
    let counts = shapes.map(|shape| {
        let like = |(_, session): &&(_, &crate::model::view::KnownSession)| {
            Condition::of_run(&session.status) == shape
        };
        (shape, sessions.iter().filter(like).count())
    });
    html! {
        figure.timeline {
            svg role="img" aria-labelledby="timeline-caption" width="100%" height="56" {
                line.axis x1="0" x2="100%" y1="28" y2="28" {}
                @if let Some(due) = due {
                    @let (from, to) = (scale.place(due), scale.place(now));
                    @if row.overdue.is_some() {
                        rect.late x=(percent(from)) y="12" height="32" width=(percent((to - from).max(0.0))) {
                            title { "overdue" }
                        }
                    }
                    line.due x1=(percent(from)) x2=(percent(from)) y1="8" y2="48" { title { "next scan due" } }
                }
                line.now x1=(percent(scale.place(now))) x2=(percent(scale.place(now))) y1="4" y2="52" { title { "now" } }
                @for (at, session) in &sessions {
                    @let shape = Condition::of_run(&session.status);
                    svg.mark.(shape.key()) x=(percent(scale.place(*at))) y="28" overflow="visible" {
                        title { (shape.as_str()) ", " (rough(now.since(*at))) " ago" }
                        (mark(shape))
                    }
                }
            }
            div.ends { span { (moment(scale.start)) } span { (moment(scale.end)) } }
            figcaption #timeline-caption {
                (count(sessions.len(), "session")) " in " (rough(scale.end.since(scale.start))) ": "
                @for (place, (shape, count)) in counts.iter().filter(|(_, count)| *count > 0).enumerate() {
                    @if place > 0 { ", " }
                    span.condition.(shape.key()) { (count) " " (shape.as_str()) }
                }
                @if row.overdue.is_some() { "; overdue since the next one was due" }
                "."
            }
        }
    }
}

/// A shape around the origin.
fn mark(shape: Condition) -> Markup {
    let path = match shape {
        Condition::Failed => "M-5-5 5 5M5-5-5 5",
        Condition::Partial => "M0-7 7 0 0 7-7 0z",
        Condition::Succeeded => "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
        Condition::Running => "M-5-6 7 0-5 6z",
        _ => "M-5-5h10v10h-10z",
    };
    html! { path d=(path) {} }
}

struct Scale {
    start: Timestamp,
    end: Timestamp,
}

impl Scale {
    /// In percent of the width, with room for half a mark at both ends.
    fn place(&self, at: Timestamp) -> f64 {
        let whole = self.end.since(self.start).as_secs_f64();
        let part = at.since(self.start).as_secs_f64();
        let share = if whole > 0.0 { part / whole } else { 1.0 };
        2.0 + 96.0 * share.clamp(0.0, 1.0)
    }
}

fn percent(place: f64) -> String {
    format!("{place:.2}%")
}
