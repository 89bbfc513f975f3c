//! Words, names, moments and durations as both pages write them.

use std::time::Duration;

use maud::{Markup, html};

use super::status::Condition;
use crate::clock::Timestamp;
use crate::model::Targets;
use crate::model::health::{Collector, CollectorHealth, Health, Incomplete, Lifecycle, Reason};

/// How many characters of a name stand in a table.
const SHORT: usize = 120;
/// And of anything anywhere.
const LONG: usize = 1_000;

/// A text fit to be shown. The markup escapes what would be HTML; here what
/// would be invisible, or would turn its neighbours around, becomes visible.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let mut characters = text.chars();
    let shown = characters
        .by_ref()
        .take(limit)
        .map(|character| match character {
            '\n' | '\t' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            control if control.is_control() => char::REPLACEMENT_CHARACTER,
            other => other,
        });
    let mut shown: String = shown.collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A name for a table's cell, cut off if it is long; isolated, since it may be
/// written from right to left.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (clean(text, SHORT)) } }
}

/// A name, or a few sentences, as good as whole.
pub(super) fn prose(text: &str) -> Markup {
    html! { bdi { (clean(text, LONG)) } }
}

/// A name or its absence.
pub(super) fn name_or(text: &str, absent: &'static str) -> Markup {
    if text.trim().is_empty() {
        return html! { span.absent { (absent) } };
    }
    name(text)
}

/// A host's name, which may be broken after its dots.
pub(super) fn host_or(text: &str, absent: &'static str) -> Markup {
    if text.trim().is_empty() {
        return name_or(text, absent);
    }
    html! { bdi { @for part in clean(text, SHORT).split_inclusive('.') { (part) wbr; } } }
}

/// To the second, in UTC.
pub(super) fn moment(at: Timestamp) -> Markup {
    let millis = at.unix_millis();
    let seconds = Timestamp::from_unix_millis(millis - millis.rem_euclid(1000));
    let machine = seconds.to_string();
    let human = machine.replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(machine) { (human) } }
}

/// In the two largest units that say something.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, subunit: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {subunit}"),
    };
    match seconds {
        86_400.. => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
        3_600.. => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        60.. => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// A condition as a mark and a word.
pub(super) fn condition(condition: Condition) -> Markup {
    html! { span.condition.(condition.key()) { (condition.as_str()) } }
}

/// How many targets were scanned, of how many.
pub(super) fn targets(targets: Targets) -> Markup {
    html! {
        @match (targets.succeeded, targets.total) {
            (Some(succeeded), Some(total)) => (format!("{succeeded} of {total}")),
            (None, Some(total)) => (total),
            (_, None) => span.absent { "unknown" },
        }
    }
}

/// `1 definition`, `2 definitions`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// What could not be fetched.
pub(super) const fn collector(collector: Collector) -> &'static str {
    match collector {
        Collector::Definitions => "The list of definitions",
        Collector::History => "The history of scans",
        Collector::Sessions => "The details of scans",
        Collector::Agents => "The list of agents",
    }
}

/// One collector's failure.
pub(super) fn problem((of, health): &(Collector, &CollectorHealth), now: Timestamp) -> Markup {
    html! {
        @if let Some(failure) = &health.failure {
            p { strong { (collector(*of)) ": " (reason(failure.reason)) ". " } (prose(&failure.text)) }
            p { (advice(failure.advice)) }
            p { small {
                "Since " (moment(failure.since)) ", for " (rough(now.since(failure.since))) "."
                @if let Some(at) = health.next_attempt { " Next attempt: " (moment(at)) "." }
            } }
        }
    }
}

/// What to do, with what is to be typed as code.
fn advice(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// What the service says of the end of endpoints.
pub(super) fn endings(health: &Health) -> Markup {
    html! {
        @for of in Collector::ALL {
            @let said = health.collector(*of).lifecycle;
            @if said != Lifecycle::default() {
                small {
                    (collector(*of)) ": the service "
                    @if said.is_gone { "has retired it" } @else { "will retire it" }
                    @if let Some(at) = said.sunset { ", " (moment(at)) }
                }
            }
        }
    }
}

/// Which lists are incomplete, and what that means.
pub(super) fn gaps(health: &Health) -> Markup {
    let why = |incomplete| match incomplete {
        Incomplete::Endless => "the service keeps sending pages without end",
        Incomplete::CutShort => "the service cut it short",
        Incomplete::RefusedLink => "the link to its next page cannot be followed",
        Incomplete::Unreadable => "some of its records cannot be read",
    };
    html! {
        @for of in Collector::ALL {
            @if let Some(incomplete) = health.collector(*of).incomplete {
                small {
                    (collector(*of)) " may be incomplete: " (why(incomplete))
                    ". Deleted items may still be shown."
                }
            }
        }
    }
}

/// Why it could not.
pub(super) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Auth => "sign-in failed",
        Reason::Forbidden => "access is denied",
        Reason::Throttled => "the service is throttling requests",
        Reason::Timeout => "the request timed out",
        Reason::Connect => "the connection failed",
        Reason::Server => "the service failed",
        Reason::Client => "the service refused the request",
        Reason::Decode => "the response cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_visible_and_bounded() {
        assert_eq!(clean("a\n\0b\u{202e}c", 9), "a \u{fffd}b\u{fffd}c");
        assert_eq!(clean("äöü", 3), "äöü");
        assert_eq!(clean("äöüx", 3), "äöü…");
        assert_eq!(
            name("<b>\"&").into_string(),
            "<bdi>&lt;b&gt;&quot;&amp;</bdi>"
        );
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (7_325, "2 h 2 min"),
            (86_400, "1 d"),
            (183_700, "2 d 3 h"),
        ] {
            assert_eq!(rough(Duration::from_secs(seconds)), expected);
        }
    }
}
