//! The section `quota`: our share of the API's limits.

use config_report::{ConfigReport, Reported, YamlValue};

use crate::budget::{Limits, Scope};

/// Calls a minute and an hour that the API's reference pages allow.
const DOCUMENTED: [usize; 2] = [100, 1_500];

/// The API's limits, and what of them is ours.
#[derive(Clone, Copy)]
pub(super) struct Quota {
    /// Calls a minute and an hour.
    api: [usize; 2],
    /// Our share.
    percent: usize,
    scope: Scope,
    /// Whether nothing else spends them.
    pub(super) exclusive: bool,
}

/// Four fifths of what is documented: other tools may share this application's quota.
impl Default for Quota {
    fn default() -> Self {
        Self {
            api: DOCUMENTED,
            percent: 80,
            scope: Scope::Application,
            exclusive: false,
        }
    }
}

impl Quota {
    /// Our share, and the API's own limits.
    pub(super) fn limits(self) -> [Limits; 2] {
        shares(self.api, self.percent, self.scope)
    }
}

/// So many percent of the API's calls, and all of them.
pub(super) fn shares([minute, hour]: [usize; 2], percent: usize, scope: Scope) -> [Limits; 2] {
    let share = |percent| Limits::new(minute * percent / 100, hour * percent / 100).of_scope(scope);
    let api = share(100);
    [share(percent).out_of(api), api]
}

/// What the section says, and for the rest what `defaults` say.
pub(super) fn read(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    defaults: Quota,
) -> Result<Quota, Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    let mut read = |key, default, documented| {
        let Some(value) = section.take(key) else {
            return Ok(default);
        };
        let calls = value.whole_number(report, 1..=100_000)?;
        if calls > documented {
            let text = format!(
                "is above the API's documented limit of {documented} calls; expect refusals unless Microsoft has raised the limit for this application"
            );
            value.warn(report, text);
        }
        Ok(calls)
    };
    let ([minute, hour], [documented_minute, documented_hour]) = (defaults.api, DOCUMENTED);
    let minute = read("per_minute", minute, documented_minute);
    let hour = read("per_hour", hour, documented_hour);
    let percent = section.take("use");
    let percent = percent.map_or(Ok(defaults.percent), |value| {
        value.percentage(report, 1..=100)
    });
    let exclusive = section.take("exclusive");
    let exclusive = exclusive.map_or(Ok(defaults.exclusive), |value| value.boolean(report));
    let scope = section.take("scope");
    let scope = scope.map_or(Ok(defaults.scope), |value| {
        let choices = [
            ("application", Scope::Application),
            ("endpoint", Scope::Endpoint),
        ];
        value.choice(
            report,
            "choose one of these; if unsure, `application`",
            &choices,
        )
    });
    section.finish(report);
    Ok(Quota {
        api: [minute?, hour?],
        percent: percent?,
        scope: scope?,
        exclusive: exclusive?,
    })
}
