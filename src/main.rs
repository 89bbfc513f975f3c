//! Signals, parse, dispatch, exit code.

use std::process::ExitCode;

use defender_scan_exporter::cli::Cli;
use defender_scan_exporter::cli::commands;
use defender_scan_exporter::shutdown::Signals;

fn main() -> ExitCode {
    // Before anything else: until then a SIGHUP ends the process.
    let signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return commands::fail(&commands::no_signals(error)),
    };
    // Fails only if one is installed already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    match Cli::read(std::env::args_os()) {
        Ok(cli) => commands::run(cli, signals),
        Err(error) => commands::refuse(&error, signals),
    }
}
