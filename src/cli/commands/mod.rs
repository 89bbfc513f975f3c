//! What each command does: the wiring, and nothing else.

mod check;
mod check_config;
mod demo;
mod file_watch;
mod healthcheck;
mod logging;
mod reload;
mod runtime;
mod serve;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::generate;

use self::runtime::Threads;
use crate::cli::printable;
use crate::cli::stderr::Lines;
use crate::cli::{Cli, Command, Flags, Topic};
use crate::config;
use crate::exposition::reference;
use crate::shutdown::{Asked, Hangup, Signals};

/// How long the end of the process waits for the reader of its last lines.
const FLUSH: Duration = Duration::from_millis(200);

/// What a command that lasts shares with the process around it.
struct Process {
    /// What signals ask for.
    asked: Asked,
    /// The log.
    log: Lines,
}

/// Runs what the command line asks for. Whatever stops it is said in one message that names the
/// place and what to do.
#[must_use]
pub fn run(cli: Cli, signals: Signals) -> ExitCode {
    let ended = match cli.command {
        None => last(cli.flags, signals, Hangup::Reloads, serve::run),
        Some(Command::Demo(demo)) => {
            // A terminal that is closed ends the demo; a service manager's reload does not.
            let hangup = if io::stdin().is_terminal() {
                Hangup::Stops
            } else {
                Hangup::Reloads
            };
            last(cli.flags, signals, hangup, async move |flags, process| {
                demo::run(demo, flags, process).await
            })
        }
        Some(Command::Check { tenant, output }) => {
            once(signals, || block_on(check::run(cli.flags, tenant, output)))
        }
        Some(Command::CheckConfig { output }) => {
            once(signals, || check_config::run(&cli.flags, output))
        }
        Some(Command::Docs { topic }) => once(signals, || match topic {
            Topic::Metrics => print(&reference::markdown()),
            Topic::Schema => print(config::SCHEMA),
            Topic::Man => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Cli::command()).render(&mut page)?;
                print(&String::from_utf8(page)?)
            }
        }),
        Some(Command::Completions { shell }) => once(signals, || {
            let mut script = Vec::new();
            let name = env!("CARGO_PKG_NAME");
            generate(shell, &mut Cli::command(), name, &mut script);
            print(&String::from_utf8(script)?)
        }),
        Some(Command::Healthcheck { url }) => once(signals, || block_on(healthcheck::run(url))),
    };
    ended.unwrap_or_else(|error| fail(&error))
}

/// Says why the process cannot go on.
#[must_use]
pub fn fail(error: &anyhow::Error) -> ExitCode {
    // A reader that went away is no reason to panic.
    let _ = io::stderr().write_all(&message(error));
    ExitCode::FAILURE
}

/// Says what is wrong with the command line, or prints the help that it asks for.
#[must_use]
pub fn refuse(error: &clap::Error, signals: Signals) -> ExitCode {
    // Nobody would act on a signal while this waits for its reader.
    signals.release().ok();
    if error.use_stderr() {
        let text = error.render().to_string();
        // As all other errors begin.
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let text = format!("{}: {text}", env!("CARGO_PKG_NAME"));
        let text = printable::lines(&text);
        let _ = io::stderr().write_all(text.as_bytes());
    } else {
        let _ = error.print();
    }
    // 0 or 2.
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The error if signals cannot be handled.
#[must_use]
pub fn no_signals(error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(
        "expected to install signal handlers, but the system refused; raise its limits on open files (`ulimit -n`) and on processes (`ulimit -u`)",
    )
}

fn message(error: &anyhow::Error) -> Vec<u8> {
    let text = format!("{}: {error:#}", env!("CARGO_PKG_NAME"));
    format!("{}\n", printable::lines(&text)).into_bytes()
}

/// Runs a command that ends at a signal, and logs.
fn last<C>(flags: Flags, signals: Signals, hangup: Hangup, command: C) -> anyhow::Result<ExitCode>
where
    C: AsyncFnOnce(Flags, Process) -> anyhow::Result<()>,
{
    let runtime = runtime::start(Threads::of_machine())?;
    let log = logging::start(flags.log_level, flags.log_format).context("starting the log")?;
    let writer = log.clone();
    let asked = signals.watch(hangup, move || {
        tracing::warn!("the grace period is over: tasks that still run are aborted");
        writer.flush(FLUSH);
        std::process::exit(0);
    });
    let asked = asked.map_err(no_signals)?;
    let process = Process {
        asked,
        log: log.clone(),
    };
    let result = runtime.block_on(command(flags, process));
    // What cannot be broken off, such as the look-up of a name, is not waited for.
    runtime.shutdown_background();
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.push(message(&error));
            ExitCode::FAILURE
        }
    };
    log.flush(FLUSH);
    Ok(code)
}

/// Runs a command that ends by itself, and that a signal ends as it ends any process.
fn once(
    signals: Signals,
    command: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    signals.release().map_err(no_signals)?;
    command().map(|()| ExitCode::SUCCESS)
}

fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = runtime::start(Threads::FEW)?;
    let result = runtime.block_on(command);
    // What cannot be broken off, such as the look-up of a name, is not waited for.
    runtime.shutdown_background();
    result
}

/// Prints to standard output; a reader that went away is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(printable::lines(text).as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::{GRACE, OVERDUE};

    /// What is promised. `tests/stopping.rs` has real processes.
    #[test]
    fn whatever_hangs_the_process_ends_within_five_seconds() {
        assert!(GRACE + OVERDUE + FLUSH < Duration::from_secs(5));
    }
}
