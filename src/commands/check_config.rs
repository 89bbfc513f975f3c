//! `check-config`: all mistakes of a file at once, without touching the network.

use std::fmt::Write as _;

use anyhow::Context as _;

use crate::cli::Flags;
use crate::config::Config;

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let file = flags
        .config_file
        .as_deref()
        .context("expected --config.file, but found none; name the file to check")?;
    let (config, warnings) = Config::check(file)?;
    let mut report = String::new();
    for warning in warnings {
        writeln!(report, "warning: {warning}")?;
    }
    writeln!(
        report,
        "{}: ok, tenants: {}",
        file.display(),
        config.tenants.len()
    )?;
    super::print(report.as_bytes())
}
