//! What becomes of batches that the service refuses, or that fail for now.

use std::time::Duration;

use super::{AGAIN, ASIDE, HistorySchedule, IN_A_ROW, QUARANTINE, SUSPECTS};
use crate::clock::Uptime;
use crate::model::DefinitionId;
use crate::model::Failure;

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
        self.batch_size.too_many(now, ids.len(), allowed);
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
        self.not_before = now + self.waits.after(Failure::Refused);
    }

    /// An answer that lacks its end is asked for in halves. One id may be to blame for it: then
    /// one half is short as well, down to that id. Or their number: then both halves are whole,
    /// or both are short, and the size of a batch is learned.
    pub(in crate::schedule) fn short(&mut self, now: Uptime, ids: &[DefinitionId]) {
        self.under_way = false;
        self.not_before = now;
        if self.halves.is_empty() || ids.len() < self.short {
            (self.short, self.whole) = (ids.len(), 0);
            self.halve(ids);
            return;
        }
        self.ask_again(now, ids);
        self.were_too_many(now, ids.len());
    }

    /// A batch was answered: it may be the second half of one that was short.
    pub(super) fn was_whole(&mut self, now: Uptime, ids: usize) {
        if ids > 1 && ids <= self.short.div_ceil(2) {
            self.whole += 1;
            if self.whole == 2 {
                self.were_too_many(now, self.short);
            }
        }
    }

    fn were_too_many(&mut self, now: Uptime, ids: usize) {
        self.short = 0;
        self.batch_size.shrink(now, ids.div_ceil(2));
        let rest = std::mem::take(&mut self.halves).concat();
        self.ask_again(now, &rest);
    }

    /// A batch that fails is tried again as it is, and then in halves: one of its ids may be to
    /// blame, or their number. Nothing is learned of other batches, as the service may fail for
    /// all of them. An id that fails alone is asked for alone from then on.
    pub(super) fn failed_for_now(&mut self, now: Uptime, ids: &[DefinitionId]) {
        self.failures += 1;
        if let [id] = ids {
            self.failures = 0;
            let tries = self.alone.entry(id.clone()).or_default();
            *tries += 1;
            let aside = match self.definitions.len() {
                ..=1 => Duration::ZERO,
                _ if *tries > IN_A_ROW => ASIDE,
                _ => AGAIN[0],
            };
            self.ask_again(now + aside, ids);
        } else if self.failures < IN_A_ROW {
            self.halves.push(ids.to_vec());
        } else {
            self.failures = 0;
            self.halve(ids);
        }
    }

    fn halve(&mut self, ids: &[DefinitionId]) {
        // Some may have vanished meanwhile.
        let ids = ids.iter().filter(|id| self.definitions.get(id).is_some());
        let ids: Vec<_> = ids.cloned().collect();
        let (first, second) = ids.split_at(ids.len() / 2);
        let halves = [second, first].into_iter().filter(|half| !half.is_empty());
        self.halves.extend(halves.map(<[_]>::to_vec));
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
