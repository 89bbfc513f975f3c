//! The section `poll`: how often what is asked for.

use std::time::Duration;

use config_report::{ConfigReport, Mapping, Reported, YamlValue, expected};

use super::Poll;

/// The longest time that any duration may have.
const LONGEST: Duration = Duration::from_hours(30 * 24);
/// The shortest time between two lists.
const SHORTEST: Duration = Duration::from_secs(10);
/// The shortest time between two lists of definitions, if the API is on this machine.
const SHORTEST_LOCAL: Duration = Duration::from_secs(1);

/// What the section says, and for the rest what `defaults` say; `local`: the API is on this machine.
pub(super) fn read(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    local: bool,
    defaults: Poll,
) -> Result<Poll, Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    let definitions = match section.take("definitions") {
        Some(value) => {
            let shortest = if local { SHORTEST_LOCAL } else { SHORTEST };
            value.duration(report, shortest..=LONGEST)
        }
        None => inherited(&section, "definitions", report, local, defaults),
    };
    let agents = match section.take("agents") {
        Some(value) => value.duration_or_zero(report, SHORTEST..=LONGEST),
        None => Ok(defaults.agents),
    };
    let sweep = match section.take("sweep") {
        Some(value) => value.duration(report, Duration::from_hours(1)..=LONGEST),
        None => Ok(defaults.sweep),
    };
    let sessions = section
        .take("sessions")
        .map_or(Ok(defaults.sessions), |value| {
            let choices = [("auto", true), ("off", false)];
            value.choice(report, "write one of them", &choices)
        });
    section.finish(report);
    Ok(Poll {
        definitions: definitions?,
        agents: agents?,
        sweep: sweep?,
        sessions: sessions?,
    })
}

/// The interval of `defaults`, which may be too short for a tenant elsewhere; `key` of `section`
/// is where the tenant would say another.
pub(super) fn inherited(
    section: &Mapping<'_>,
    key: &str,
    report: &mut ConfigReport,
    local: bool,
    defaults: Poll,
) -> Result<Duration, Reported> {
    if local || defaults.definitions >= SHORTEST {
        return Ok(defaults.definitions);
    }
    let what = "`poll.definitions` of at least 10s for an API that is not on this machine";
    let found = "a shorter one in `defaults`";
    let advice = "set it for this tenant";
    Err(section.error(report, key, expected(what, found, advice)))
}
