//! Signals: the first of SIGTERM and SIGINT cancels one token, everyone who serves or polls
//! watches it, and a grace period bounds how long they may take.
//!
//! The handlers are there before anything else, and a thread of its own acts on them: neither
//! an early signal nor a runtime whose threads all hang changes what a signal does.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::low_level::{emulate_default_handler, signal_name};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long work in flight may take after a signal, before it is dropped.
pub const GRACE: Duration = Duration::from_secs(4);

/// How long after the end of the grace period a process that has not ended is ended.
pub const OVERDUE: Duration = Duration::from_millis(300);

/// The signals that mean something here.
const SIGNALS: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// Caught signals, which wait for somebody to act on them.
#[derive(Debug)]
pub struct Signals {
    waiting: signal_hook::iterator::Signals,
    /// While true, signals do what they do to any process.
    default: Arc<AtomicBool>,
    /// Those that whoever started the process wants ignored, as `nohup` does.
    ignored: u64,
}

impl Signals {
    /// Catches signals from now on.
    ///
    /// # Errors
    /// If the process may not install signal handlers, or may open no files for them.
    pub fn catch() -> io::Result<Self> {
        let ignored = ignored();
        // First: a signal that only the other handlers catch is lost.
        let waiting = signal_hook::iterator::Signals::new(SIGNALS)?;
        let default = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS.into_iter().filter(|signal| !has(ignored, *signal)) {
            register_conditional_default(signal, Arc::clone(&default))?;
        }
        Ok(Self {
            waiting,
            default,
            ignored,
        })
    }

    /// Lets signals do what they do to any process, those that wait included.
    ///
    /// # Errors
    /// If a signal that waits cannot be given its usual effect.
    pub fn release(mut self) -> io::Result<()> {
        self.default.store(true, Ordering::SeqCst);
        let ignored = self.ignored;
        for signal in self
            .waiting
            .pending()
            .filter(|signal| !has(ignored, *signal))
        {
            emulate_default_handler(signal)?;
        }
        Ok(())
    }

    /// Starts the thread that acts on signals. If the process has not ended by itself soon after
    /// the grace period, that thread calls `overdue`.
    ///
    /// # Errors
    /// If the system allows no further thread.
    pub fn watch(
        mut self,
        hangup: Hangup,
        overdue: impl FnOnce() + Send + 'static,
    ) -> io::Result<Asked> {
        let asked = Asked::default();
        let answered = asked.clone();
        let watch = move || {
            for signal in self.waiting.forever() {
                if signal == SIGHUP && hangup == Hangup::Reloads {
                    answered.reload.notify_one();
                    continue;
                }
                tracing::info!(signal = signal_name(signal), "stopping");
                answered.stop.cancel();
                break;
            }
            thread::sleep(GRACE + OVERDUE);
            overdue();
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watch)?;
        Ok(asked)
    }
}

/// The signals that this process ignores, as a mask; none where Linux does not say.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether a signal, counted from 1, is in a mask.
fn has(mask: u64, signal: i32) -> bool {
    mask >> (signal - 1) & 1 == 1
}

/// What SIGHUP asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// A reload.
    Reloads,
    /// The end: the terminal was closed.
    Stops,
}

/// What signals have asked for; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Cancelled by the first signal that stops the process.
    pub stop: CancellationToken,
    /// Notified by a SIGHUP. Several before anyone listens are one.
    pub reload: Arc<Notify>,
}
