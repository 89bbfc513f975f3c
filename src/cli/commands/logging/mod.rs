//! Structured logs on standard error, one line an event.
//!
//! ```text
//! own event ──────────────────────────────┐
//! library's, from warn up ─► once a minute ┴► format ─► printable ─► queue ─► standard error
//! ```

mod format;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::io;
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, fmt};

use crate::cli::printable;
use crate::cli::stderr::Lines;
use crate::cli::{LogFormat, LogLevel};
use crate::clock::{Clock, Uptime};

/// How the names of this crate's modules begin.
const OWN: &str = env!("CARGO_CRATE_NAME");

/// For so long a library's line is not repeated,
const REPEAT: Duration = Duration::from_mins(1);
/// and so many different ones are logged in that time.
const LIBRARY_LINES: usize = 16;

/// Starts logging. Libraries are heard from `warn` up: below, some print what they send. Those
/// that use the crate `log` are not heard: what they know is in the errors that they return.
pub(super) fn start(level: LogLevel, format: LogFormat) -> io::Result<Lines> {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let libraries = level.min(LevelFilter::WARN);
    let filter = Targets::new()
        .with_default(libraries)
        .with_target(OWN, level);
    let lines = Lines::start(io::stderr(), |lines| {
        tracing::warn!(
            lines,
            "log lines were dropped: standard error was not read in time"
        );
    })?;
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(Repetitions::new(Clock::system()));
    let layer = fmt::layer().event_format(format);
    set_global_default(registry.with(layer.with_writer(writer(&lines))))
        .map_err(io::Error::other)?;
    panic::set_hook(Box::new(panicked));
    Ok(lines)
}

fn writer(lines: &Lines) -> impl Fn() -> EventLine + Send + Sync + 'static {
    let lines = lines.clone();
    move || EventLine(lines.clone())
}

/// Takes one event in one piece, as the formatting layers write it.
struct EventLine(Lines);

impl io::Write for EventLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        // In logfmt, values are strings of JSON, too, where they are not plain.
        let line = format!("{}\n", printable::json(text));
        self.0.push(line.into_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Holds back what libraries say again and again.
struct Repetitions {
    clock: Clock,
    said: Mutex<Said>,
}

/// The lines of libraries since that time.
struct Said {
    since: Uptime,
    lines: BTreeSet<String>,
}

impl Repetitions {
    fn new(clock: Clock) -> Self {
        let said = Said {
            since: clock.uptime(),
            lines: BTreeSet::new(),
        };
        Self {
            clock,
            said: Mutex::new(said),
        }
    }

    fn is_new(&self, line: String) -> bool {
        let now = self.clock.uptime();
        // It is whole between any two statements that change it.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(said.since) >= REPEAT {
            said.since = now;
            said.lines.clear();
        }
        said.lines.len() < LIBRARY_LINES && said.lines.insert(line)
    }
}

impl<S: Subscriber> Layer<S> for Repetitions {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let target = event.metadata().target();
        if target.starts_with(OWN) {
            return true;
        }
        let mut line = Text(target.to_owned());
        event.record(&mut line);
        self.is_new(line.0)
    }
}

/// An event's fields as text.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing into a String cannot fail; if a value's own code did, the rest stands.
        let _ = write!(self.0, " {field}={value:?}");
    }
}

/// Logs a panic: printing it, as usual, would wait for whoever reads standard error.
fn panicked(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(|location| {
        let file = location.file();
        // The folder of libraries on the machine that built this is nobody's business.
        let file = file
            .split_once("/registry/src/")
            .map_or(file, |(_, rest)| rest);
        format!("{file}:{}", location.line())
    });
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let thread = thread::current();
    tracing::error!(
        thread = thread.name(),
        place,
        backtrace,
        "this program panicked, which is a bug: {message}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn libraries_do_not_repeat_themselves() {
        let clock = Clock::anchored(crate::clock::Timestamp::from_unix_millis(0));
        let repetitions = Repetitions::new(clock);
        let is_new = |line: &str| repetitions.is_new(line.to_owned());
        assert!(is_new("a") && is_new("b"));
        assert!(!is_new("a") && !is_new("b") && !is_new("a"));
        tokio::time::advance(REPEAT).await;
        assert!(is_new("a") && !is_new("a"));
        let new = (0..1_000).filter(|number| is_new(&number.to_string()));
        assert_eq!(new.count(), LIBRARY_LINES - 1);
    }
}
