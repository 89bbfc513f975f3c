//! Parse, dispatch, exit code.

use std::process::ExitCode;

use defender_scan_exporter::cli::Cli;
use defender_scan_exporter::commands;

fn main() -> ExitCode {
    // Fails only if one is installed already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", env!("CARGO_PKG_NAME"));
            ExitCode::FAILURE
        }
    }
}
