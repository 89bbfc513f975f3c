//! What each command does: the wiring, and nothing else.

mod check;
mod check_config;
mod demo;
mod healthcheck;
mod listen;
mod logging;
mod reload;
mod serve;

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::generate;

use crate::cli::{Cli, Command, Topic};
use crate::exposition::catalog;

/// Runs what the command line asks for.
///
/// # Errors
/// Whatever stopped it, as one message that names the place and what to do.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => {
            logging::start(cli.flags.log_level, cli.flags.log_format);
            block_on(serve::run(cli.flags))
        }
        Some(Command::Demo {
            definitions,
            tenants,
            speed,
        }) => {
            logging::start(cli.flags.log_level, cli.flags.log_format);
            block_on(demo::run(definitions, tenants, speed, &cli.flags))
        }
        Some(Command::Check { tenant, output }) => block_on(check::run(cli.flags, tenant, output)),
        Some(Command::CheckConfig) => check_config::run(&cli.flags),
        Some(Command::Docs {
            topic: Topic::Metrics,
        }) => print(catalog::markdown().as_bytes()),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            generate(
                shell,
                &mut Cli::command(),
                env!("CARGO_PKG_NAME"),
                &mut script,
            );
            print(&script)
        }
        Some(Command::Healthcheck { url }) => block_on(healthcheck::run(url)),
    }
}

fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("expected to start worker threads; raise the limits on threads or files")?;
    let result = runtime.block_on(command);
    // The look-up of a name can take half a minute and can not be broken off: nobody waits for it.
    runtime.shutdown_background();
    result
}

/// Prints to standard output; a reader that went away is no error.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_can_not_be_broken_off_does_not_hold_up_the_exit() {
        let clock = Clock::system();
        let start = clock.uptime();
        block_on(async {
            drop(tokio::task::spawn_blocking(|| {
                std::thread::sleep(Duration::from_secs(5));
            }));
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        })
        .unwrap();
        assert!(clock.uptime().since(start) < Duration::from_secs(4));
    }
}
