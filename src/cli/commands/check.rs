//! `check`: signs in to each tenant, asks each endpoint once, and says what is
//! wrong and what to do about it.
//!
//! ```text
//! configuration ─► call_budget ─► tenants, some at a time ─► report ─► exit code
//! ```

mod call_budget;
mod report;
mod tenant;

use anyhow::bail;
use futures::StreamExt as _;

use self::call_budget::CallBudget;
use self::report::Report;
use super::serve;
use crate::cli::{Flags, Output};
use crate::clock::Clock;
use crate::config::{Config, ConfigWarning, Tenant};
use crate::defender::HttpClient;
use crate::model::TenantName;

/// Tenants that are checked at a time.
const AT_ONCE: usize = 8;

/// Names of tenants that an error shows, at most.
const NAMES: usize = 20;

/// Checks all tenants of this shard, or `only` that one.
pub(super) async fn run(
    flags: Flags,
    only: Option<TenantName>,
    output: Output,
) -> anyhow::Result<()> {
    let mut report = Report::new(output);
    let (config, warnings) = match serve::read(&flags) {
        Ok((config, warnings)) => (config, ConfigWarning::lines(&warnings)),
        Err(mistakes) => {
            let all = mistakes.as_slice().iter();
            report.mistakes(match output {
                Output::Json => all.map(ToString::to_string).collect(),
                Output::Text => mistakes.lines(),
            });
            return report.finish();
        }
    };
    let tenants = choose(&config, &flags, only.as_ref())?;
    let clock = Clock::system();
    let http = match HttpClient::new(&config.http, clock.clone()) {
        Ok(http) => http,
        Err(error) => {
            report.mistakes(vec![error.to_string()]);
            return report.finish();
        }
    };
    for warning in warnings.into_iter().chain(http.warnings()) {
        report.note(format!("warning: {warning}"))?;
    }
    let all_calls = CallBudget::open(&serve::storage(&flags), clock.clone()).await;
    for note in all_calls.notes(&tenants) {
        report.note(note)?;
    }
    let checks = tenants.into_iter().map(|tenant| {
        tenant::check(
            tenant,
            http.clone(),
            &all_calls,
            &config.metrics,
            clock.clone(),
        )
    });
    let mut checks = futures::stream::iter(checks).buffered(AT_ONCE);
    while let Some(checked) = checks.next().await {
        report.tenant(checked)?;
    }
    report.finish()
}

fn choose<'c>(
    config: &'c Config,
    flags: &Flags,
    only: Option<&TenantName>,
) -> anyhow::Result<Vec<&'c Tenant>> {
    let Some(only) = only else {
        let shard = flags.shard()?;
        let ours = config.tenants.iter();
        return Ok(ours.filter(|tenant| shard.holds(&tenant.name)).collect());
    };
    if let Some(tenant) = config.tenants.iter().find(|tenant| tenant.name == *only) {
        return Ok(vec![tenant]);
    }
    let names = config.tenants.iter().take(NAMES);
    let names: Vec<String> = names.map(|tenant| format!("`{}`", tenant.name)).collect();
    let more = config.tenants.len() - names.len();
    let others = if more == 0 {
        String::new()
    } else {
        format!(" or one of {more} more")
    };
    bail!(
        "expected --tenant to name {}{others}, but found `{only}`; name one from the configuration",
        names.join(", ")
    )
}
