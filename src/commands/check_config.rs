//! `check-config`: all mistakes of the named files at once, without touching the network.

use std::fmt::Write as _;

use crate::cli::Flags;
use crate::config::{Config, Mistakes, Warning, WebConfig};

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let mut report = String::new();
    let mut wrong = Vec::new();
    let mut note =
        |file: &std::path::Path, result: Result<(String, Vec<Warning>), Mistakes>| match result {
            Ok((summary, warnings)) => {
                for warning in warnings {
                    writeln!(report, "warning: {warning}")?;
                }
                writeln!(report, "{}: ok, {summary}", file.display())
            }
            Err(mistakes) => {
                wrong.push(mistakes.to_string());
                Ok(())
            }
        };
    if let Some(file) = &flags.config_file {
        let summary = |(config, warnings): (Config, _)| {
            (format!("tenants: {}", config.tenants.len()), warnings)
        };
        note(file, Config::check(file).map(summary))?;
    }
    if let Some(file) = &flags.web_config_file {
        let summary = |(config, warnings): (WebConfig, _)| {
            let tls = if config.tls.is_some() { "on" } else { "off" };
            let users = config.users.len();
            (format!("TLS: {tls}, users: {users}"), warnings)
        };
        note(file, WebConfig::load(file).result.map(summary))?;
    }
    super::print(&report)?;
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
