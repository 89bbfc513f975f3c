//! Which sessions are fetched by their ids: new ones of which history by definition tells
//! the status and no more.
//!
//! It is the first to give way. It waits until no changed definition waits for its history; a
//! session that is refused is given up, and where several are in a row, all wait for an hour.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::Backoff;
use super::history::FIRST_BATCH;
use super::{Failure, Plan};
use crate::clock::Uptime;
use crate::model::SessionId;

/// Sessions that wait, at most: beyond it the oldest are given up.
const MOST: usize = 100_000;

/// So many sessions refused one after the other say that it is not the sessions' fault.
const SUSPECTS: usize = 8;

/// How long all wait then.
const SUSPENDED: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub(super) struct SessionsPlan {
    is_on: bool,
    /// To be asked for, the oldest first.
    queue: VecDeque<SessionId>,
    /// The batch whose next page is due.
    paging: Option<Vec<SessionId>>,
    under_way: bool,
    /// Ids a call: halved when a batch is refused, doubled when one is answered.
    batch_size: usize,
    /// Sessions refused since anything was answered.
    refused: usize,
    not_before: Uptime,
    backoff: Backoff,
}

impl SessionsPlan {
    pub(super) fn new(is_on: bool, now: Uptime, seed: u64) -> Self {
        Self {
            is_on,
            queue: VecDeque::new(),
            paging: None,
            under_way: false,
            batch_size: FIRST_BATCH,
            refused: 0,
            not_before: now,
            backoff: Backoff::new(seed),
        }
    }

    /// When the next batch is due; `None` while one is under way, or there is nothing to fetch.
    pub(super) fn due(&self) -> Option<Uptime> {
        let idle = self.under_way || (self.paging.is_none() && self.queue.is_empty());
        (!idle).then_some(self.not_before)
    }

    /// The batch to send now, of `most` at most.
    pub(super) fn start(&mut self, most: usize) -> Vec<SessionId> {
        self.under_way = true;
        let count = self.batch_size.min(most).min(self.queue.len());
        let paging = self.paging.take();
        paging.unwrap_or_else(|| self.queue.drain(..count).collect())
    }

    pub(super) fn more_pages(&mut self, now: Uptime, ids: &[SessionId]) {
        self.under_way = false;
        self.not_before = now;
        self.paging = Some(ids.to_vec());
    }

    /// A call failed; returns until when nothing is asked for.
    pub(super) fn failed(&mut self, now: Uptime, ids: &[SessionId], failure: Failure) -> Uptime {
        self.under_way = false;
        let refused = matches!(failure, Failure::Refused | Failure::BatchTooLarge(_));
        let mut wait = Duration::ZERO;
        if refused && ids.len() <= 1 {
            self.refused += 1;
            if self.refused >= SUSPECTS {
                wait = SUSPENDED;
            }
        } else {
            for id in ids.iter().rev() {
                self.queue.push_front(id.clone());
            }
            if refused {
                let allowed = match failure {
                    Failure::BatchTooLarge(allowed) => allowed,
                    _ => None,
                };
                let allowed = allowed.filter(|allowed| (1..ids.len()).contains(allowed));
                self.batch_size = allowed.unwrap_or(ids.len() / 2);
            } else {
                wait = self.backoff.after(failure);
            }
        }
        self.not_before = now + wait;
        self.not_before
    }
}

impl Plan {
    /// These sessions are to be asked for by their ids; false if the configuration says that
    /// none is.
    pub fn want_sessions(&mut self, ids: &[SessionId]) -> bool {
        let sessions = &mut self.sessions;
        if sessions.is_on {
            sessions.queue.extend(ids.iter().cloned());
            let excess = sessions.queue.len().saturating_sub(MOST);
            sessions.queue.drain(..excess);
        }
        sessions.is_on
    }

    /// Sessions that were asked for are answered.
    pub fn sessions_fetched(&mut self, now: Uptime) {
        let sessions = &mut self.sessions;
        sessions.under_way = false;
        sessions.not_before = now;
        sessions.refused = 0;
        sessions.batch_size = (sessions.batch_size * 2).min(FIRST_BATCH);
        sessions.backoff.reset();
    }
}
