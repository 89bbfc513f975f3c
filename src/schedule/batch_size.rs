//! How many ids the service takes in a call, as far as it has said.

use std::time::Duration;

use crate::clock::Uptime;

/// Ids in a batch before the service has said how many it allows.
pub(super) const FIRST: usize = 1_000;

/// How often a batch twice as large as learned is tried: a call a day at most is lost by it.
const GROW: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub(super) struct BatchSize {
    ids: usize,
    /// When a larger batch is tried again: what made it small may have passed.
    grow_at: Uptime,
}

impl BatchSize {
    /// Nothing is known yet.
    pub(super) fn new(now: Uptime) -> Self {
        Self {
            ids: FIRST,
            grow_at: now,
        }
    }

    /// So many ids.
    pub(super) fn get(&self) -> usize {
        self.ids
    }

    /// So many from now on.
    pub(super) fn set(&mut self, now: Uptime, ids: usize) {
        self.ids = ids.clamp(1, FIRST);
        self.grow_at = now + GROW;
    }

    /// So many at most.
    pub(super) fn shrink(&mut self, now: Uptime, ids: usize) {
        self.set(now, ids.min(self.ids));
    }

    /// `sent` were too many; so many are allowed, if the service says, else half.
    pub(super) fn too_many(&mut self, now: Uptime, sent: usize, allowed: Option<usize>) {
        let allowed = allowed.filter(|allowed| (1..sent).contains(allowed));
        self.shrink(now, allowed.unwrap_or(sent / 2));
    }

    /// Tries twice as many, if it is time for that.
    pub(super) fn grow(&mut self, now: Uptime) {
        if self.ids < FIRST && self.grow_at <= now {
            self.set(now, self.ids * 2);
        }
    }
}
