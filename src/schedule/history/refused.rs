//! What becomes of batches that the service refuses, or does not answer in time.

use std::time::Duration;

use super::{ASIDE, GROW, HistorySchedule, QUARANTINE, SLOW, SUSPECTS};
use crate::clock::Uptime;
use crate::model::DefinitionId;

impl HistorySchedule {
    pub(in crate::schedule) fn too_large(
        &mut self,
        now: Uptime,
        ids: &[DefinitionId],
        allowed: Option<usize>,
    ) {
        if ids.len() <= 1 {
            // A single id is never too many: the answer about it is.
            self.refused(now, ids);
            return;
        }
        let allowed = allowed.filter(|allowed| (1..ids.len()).contains(allowed));
        self.batch_size = allowed.unwrap_or(ids.len() / 2);
        self.grow_at = now + GROW;
        self.under_way = false;
        self.not_before = now;
        self.ask_again(now, ids);
    }

    pub(in crate::schedule) fn refused(&mut self, now: Uptime, ids: &[DefinitionId]) {
        self.under_way = false;
        self.not_before = now;
        if ids.len() > 1 {
            self.halve(ids);
            return;
        }
        self.suspects.extend_from_slice(ids);
        if self.suspects.len() < SUSPECTS.min(self.definitions.len()).max(2) {
            self.quarantine(ids, Some(now + QUARANTINE));
            return;
        }
        self.failing = true;
        let suspects = std::mem::take(&mut self.suspects);
        self.quarantine(&suspects, None);
        let left = std::mem::take(&mut self.halves).concat();
        // If it is the ids' fault after all, the others must not wait behind them.
        let aside = if left.is_empty() {
            Duration::ZERO
        } else {
            ASIDE
        };
        self.ask_again(now, &left);
        self.ask_again(now + aside, &suspects);
        self.not_before = now + self.backoff.next();
    }

    /// A batch that times out is tried again as it is, and then in halves: the answer about it
    /// may take too long, or that about one of its ids. Nothing is learned of other batches, as
    /// the service may be slow for a while.
    pub(super) fn timed_out(&mut self, now: Uptime, ids: &[DefinitionId]) {
        self.timeouts += 1;
        if ids.len() <= 1 {
            self.timeouts = 0;
            self.ask_again(now, ids);
        } else if self.timeouts < SLOW {
            self.halves.push(ids.to_vec());
        } else {
            self.timeouts = 0;
            self.halve(ids);
        }
    }

    fn halve(&mut self, ids: &[DefinitionId]) {
        let (first, second) = ids.split_at(ids.len() / 2);
        self.halves.extend([second.to_vec(), first.to_vec()]);
    }

    fn quarantine(&mut self, ids: &[DefinitionId], until: Option<Uptime>) {
        for id in ids {
            self.definitions.update(id, |fetch| {
                fetch.quarantined_until = until;
                fetch.due = until;
            });
        }
    }
}
