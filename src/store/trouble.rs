//! What is said of a disk that fails or is slow: one line when it begins, one when it is over,
//! and while it lasts one now and then, however often it fails and works in between.

use std::path::Path;
use std::time::Duration;

use super::StoreError;
use crate::clock::Uptime;
use crate::durations;

/// Without a failure for so long, it is over.
const OVER: Duration = Duration::from_mins(1);

/// How often what lasts is said again.
const AGAIN: Duration = Duration::from_mins(10);

/// A commit that takes longer is slow.
const SLOW: Duration = Duration::from_millis(250);

/// A disk's failures.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failing: Option<Failing>,
    /// When a slow commit was last said.
    slow: Option<Uptime>,
}

#[derive(Debug)]
struct Failing {
    since: Uptime,
    last: Uptime,
    said: Uptime,
    failures: u64,
    /// Whether anything was written after the last failure.
    works: bool,
}

impl Trouble {
    /// A transaction failed.
    pub(super) fn failed(&mut self, path: &Path, error: &StoreError, now: Uptime) {
        let path = path.display();
        let Some(failing) = &mut self.failing else {
            tracing::error!(%path, %error, "the state cannot be written: no API calls are made until it can be");
            self.failing = Some(Failing {
                since: now,
                last: now,
                said: now,
                failures: 1,
                works: false,
            });
            return;
        };
        failing.last = now;
        failing.failures += 1;
        failing.works = false;
        if now.since(failing.said) >= AGAIN {
            failing.said = now;
            tracing::error!(%path, %error, failures = failing.failures, "writing the state still fails at times: a call that cannot be recorded is not made");
        }
    }

    /// A transaction was written, and took so long.
    pub(super) fn written(&mut self, path: &Path, took: Duration, now: Uptime) {
        if let Some(failing) = &mut self.failing {
            failing.works = true;
        }
        let is_new = self.slow.is_none_or(|said| now.since(said) >= AGAIN);
        if took >= SLOW && is_new {
            self.slow = Some(now);
            let took = durations::in_millis(took);
            tracing::warn!(path = %path.display(), %took, "the disk is slow: each API call waits until it is recorded");
        }
        self.look(path, now);
    }

    /// Says that it is over, if it is.
    pub(super) fn look(&mut self, path: &Path, now: Uptime) {
        let over = |failing: &mut Failing| failing.works && now.since(failing.last) >= OVER;
        if let Some(failing) = self.failing.take_if(over) {
            let after = durations::in_seconds(failing.last.since(failing.since));
            tracing::info!(path = %path.display(), failures = failing.failures, %after, "the state can be written again");
        }
    }
}
