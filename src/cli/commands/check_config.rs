//! `check-config`: all mistakes of the named files at once, without touching the network.

use std::fmt::Write as _;
use std::path::Path;

use exporter_toolkit::WebConfig;

use crate::cli::Flags;
use crate::clock::Clock;
use crate::config::Config;
use crate::defender::HttpClient;

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let mut report = String::new();
    let mut wrong = Vec::new();
    let mut note = |file: &Path, result: Result<(String, Vec<String>), String>| match result {
        Ok((summary, warnings)) => {
            for warning in warnings {
                writeln!(report, "warning: {warning}")?;
            }
            writeln!(report, "{}: ok, {summary}", file.display())
        }
        Err(mistakes) => {
            wrong.push(mistakes);
            Ok(())
        }
    };
    if let Some(file) = &flags.config_file {
        note(file, check(file))?;
    }
    if let Some(file) = &flags.web.config_file {
        let loaded = WebConfig::load(file).result;
        let summary = loaded.map(|(config, warnings)| {
            let tls = if config.tls.is_some() { "on" } else { "off" };
            let users = config.users.len();
            let warnings = warnings.iter().map(ToString::to_string).collect();
            (format!("TLS: {tls}, users: {users}"), warnings)
        });
        note(file, summary.map_err(|mistakes| mistakes.to_string()))?;
    }
    super::print(&report)?;
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Checks the configuration and builds what a start would build of it; returns a summary and what
/// is likely not meant.
fn check(file: &Path) -> Result<(String, Vec<String>), String> {
    let (config, warnings) = Config::check(file).map_err(|mistakes| mistakes.to_string())?;
    let http = HttpClient::new(&config.http, Clock::system())
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let warnings = warnings.iter().map(ToString::to_string);
    let warnings = warnings.chain(http.warnings()).collect();
    Ok((format!("tenants: {}", config.tenants.len()), warnings))
}
