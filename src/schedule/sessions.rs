//! Which sessions are fetched by their ids: new ones of which history by definition tells
//! the status and no more.
//!
//! It waits until no changed definition waits for its history.
//! No session holds the others up. A batch that fails is asked for in smaller parts, down to the
//! one that it fails for. That one is given up if it is refused, and else tried alone, once no
//! other waits, and given up in the end. Where several are refused in a row, all wait for an hour.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::Schedule;
use super::batch_size::{self, BatchSize};
use super::waits::Waits;
use crate::clock::Uptime;
use crate::model::Failure;
use crate::model::SessionId;

/// Sessions that wait, at most: beyond it the oldest are given up.
const MOST: usize = 100_000;

/// So many sessions refused one after the other say that it is not the sessions' fault.
const SUSPECTS: usize = 8;

/// How long all wait then.
const SUSPENDED: Duration = Duration::from_hours(1);

/// How long a session waits that failed alone for the first time, the second …; after the last
/// it is given up. Together they are longer than most troubles of a service.
const ALONE: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
    Duration::from_hours(1),
    Duration::from_hours(4),
];

#[derive(Debug)]
pub(super) struct SessionsSchedule {
    is_on: bool,
    /// To be asked for, the oldest first.
    queue: VecDeque<SessionId>,
    /// To be asked for alone, when no other waits, since they failed alone.
    alone: BTreeSet<(Uptime, SessionId)>,
    /// How often sessions failed alone.
    tries: HashMap<SessionId, usize>,
    /// The batch whose next page is due.
    paging: Option<Vec<SessionId>>,
    under_way: bool,
    batch_size: BatchSize,
    /// Ids a call while one is searched for which calls fail: halved by each failure, doubled by
    /// each answer.
    part: usize,
    /// Sessions refused since anything was answered.
    refused: usize,
    /// Whether the last call failed because it is forbidden.
    forbidden: bool,
    /// Sessions that are not asked for any more, until somebody takes note.
    given_up: Vec<SessionId>,
    not_before: Uptime,
    waits: Waits,
}

impl SessionsSchedule {
    pub(super) fn new(is_on: bool, now: Uptime, seed: u64) -> Self {
        Self {
            is_on,
            queue: VecDeque::new(),
            alone: BTreeSet::new(),
            tries: HashMap::new(),
            paging: None,
            under_way: false,
            batch_size: BatchSize::new(now),
            part: batch_size::FIRST,
            refused: 0,
            forbidden: false,
            given_up: Vec::new(),
            not_before: now,
            waits: Waits::new(seed),
        }
    }

    /// When the next batch is due; `None` while one is under way, or there is nothing to fetch.
    pub(super) fn due(&self) -> Option<Uptime> {
        if self.under_way {
            return None;
        }
        if self.paging.is_some() || !self.queue.is_empty() {
            return Some(self.not_before);
        }
        let (due, _) = self.alone.first()?;
        Some(self.not_before.max(*due))
    }

    /// The batch to send now, of `most` at most.
    pub(super) fn start(&mut self, now: Uptime, most: usize) -> Vec<SessionId> {
        self.under_way = true;
        if let Some(paging) = self.paging.take() {
            return paging;
        }
        if self.queue.is_empty() {
            return self
                .alone
                .pop_first()
                .map(|(_, id)| id)
                .into_iter()
                .collect();
        }
        self.batch_size.grow(now);
        let count = self.part.min(self.batch_size.get()).min(most);
        self.queue.drain(..count.min(self.queue.len())).collect()
    }

    pub(super) fn more_pages(&mut self, now: Uptime, ids: &[SessionId]) {
        self.under_way = false;
        self.not_before = now;
        self.paging = Some(ids.to_vec());
    }

    /// A call failed; returns until when nothing is asked for.
    pub(super) fn failed(&mut self, now: Uptime, ids: &[SessionId], failure: Failure) -> Uptime {
        self.under_way = false;
        self.forbidden = failure == Failure::Forbidden;
        let is_refused = matches!(failure, Failure::Refused | Failure::BatchTooLarge(_));
        match ids {
            [id] if is_refused => {
                self.refused += 1;
                self.give_up(id.clone());
            }
            [id] if !failure.concerns_all() => self.set_apart(now, id),
            ids => {
                if let Failure::BatchTooLarge(allowed) = failure {
                    self.batch_size.too_many(now, ids.len(), allowed);
                } else if !failure.concerns_all() {
                    self.part = ids.len() / 2;
                }
                for id in ids.iter().rev() {
                    self.queue.push_front(id.clone());
                }
            }
        }
        let wait = match failure {
            Failure::Short => Duration::ZERO,
            _ if !is_refused => self.waits.after(failure),
            _ if self.refused >= SUSPECTS => SUSPENDED,
            _ => Duration::ZERO,
        };
        self.not_before = now + wait;
        self.not_before
    }

    /// A session failed alone: it is tried alone later, or not again.
    fn set_apart(&mut self, now: Uptime, id: &SessionId) {
        let tries = self.tries.entry(id.clone()).or_default();
        *tries += 1;
        match ALONE.get(*tries - 1) {
            Some(pause) => {
                self.alone.insert((now + *pause, id.clone()));
            }
            None => self.give_up(id.clone()),
        }
    }

    fn give_up(&mut self, id: SessionId) {
        self.tries.remove(&id);
        self.given_up.push(id);
    }

    /// When what is forbidden is due.
    pub(super) fn forbidden_until(&self) -> Option<Uptime> {
        self.due().filter(|_| self.forbidden)
    }

    /// What is forbidden is due at once.
    pub(super) fn retry_forbidden(&mut self, now: Uptime) {
        if self.forbidden {
            self.not_before = self.not_before.min(now);
        }
    }
}

impl Schedule {
    /// These sessions are to be asked for by their ids.
    pub fn want_sessions(&mut self, ids: Vec<SessionId>) {
        let sessions = &mut self.sessions;
        if !sessions.is_on {
            sessions.given_up.extend(ids);
            return;
        }
        sessions.queue.extend(ids);
        let waiting = sessions.queue.len() + sessions.alone.len();
        let excess = waiting.saturating_sub(MOST).min(sessions.queue.len());
        let excess: Vec<_> = sessions.queue.drain(..excess).collect();
        for id in excess {
            sessions.give_up(id);
        }
    }

    /// Whether any session waits for its call, or for its answer.
    #[must_use]
    pub fn wants_sessions(&self) -> bool {
        let sessions = &self.sessions;
        sessions.under_way
            || sessions.paging.is_some()
            || !(sessions.queue.is_empty() && sessions.alone.is_empty())
    }

    /// Sessions that are not asked for any more, though nothing was answered; each is named once.
    pub fn sessions_given_up(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.sessions.given_up)
    }

    /// Sessions that were asked for are answered.
    pub fn sessions_fetched(&mut self, now: Uptime, ids: &[SessionId]) {
        let sessions = &mut self.sessions;
        sessions.under_way = false;
        sessions.not_before = now;
        sessions.refused = 0;
        sessions.forbidden = false;
        sessions.part = (sessions.part * 2).min(batch_size::FIRST);
        sessions.waits.reset();
        for id in ids {
            sessions.tries.remove(id);
        }
    }

    /// Forgets the sessions that nobody asks for any more.
    pub fn keep_sessions(&mut self, is_wanted: impl Fn(&SessionId) -> bool) {
        let sessions = &mut self.sessions;
        sessions.queue.retain(&is_wanted);
        sessions.alone.retain(|(_, id)| is_wanted(id));
        sessions.tries.retain(|id, _| is_wanted(id));
    }
}
