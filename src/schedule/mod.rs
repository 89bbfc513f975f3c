//! Which call comes next: pure decisions, no sockets, no sleeping.
//!
//! ```text
//! 1. the list of definitions, when due     ─ names the latest run of every definition
//! 2. history, in batches                   ─ halves of a refused batch, then changed runs,
//!                                            oldest first, then the daily sweep
//! 3. sessions by their ids                 ─ where history by definition tells too little
//! 4. the list of agents, when due
//! ```
//!
//! Time and budget come in, a [`Decision`] goes out; the outcome of each call comes back by
//! [`Schedule::listed`], [`Schedule::fetched`], [`Schedule::failed`] and their like.
//!
//! One call of each kind is under way at most. The list of definitions takes half of a scarce
//! budget at most, also while it pages, and history leaves what the lists need. Where the service
//! asked for a pause, nothing is sent before its end.

mod batch_size;
mod fetches;
mod forbidden;
mod history;
mod list_timer;
mod sessions;
mod share;
mod waits;

use std::collections::BTreeSet;
use std::time::Duration;

use self::history::HistorySchedule;
pub use self::history::{FetchTimes, QUARANTINE};
use self::list_timer::ListTimer;
use self::sessions::SessionsSchedule;
use self::share::least_interval;
pub use self::share::{AGENTS_SHARE, DEFINITIONS_SHARE};
use crate::budget::{Budget, Retry, Slot};
use crate::clock::Uptime;
use crate::config::Poll;
use crate::model::health::Collector;
use crate::model::{DefinitionId, Failure, SessionId};

/// How long to wait after `429` without a readable `Retry-After`.
const DEFAULT_PAUSE: Duration = Duration::from_mins(1);

/// How long to wait before asking again for what could not be written down.
const NOT_WRITTEN: Duration = Duration::from_secs(5);

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The list of definitions, or its next page.
    Definitions,
    /// History of these definitions, or its next page.
    History(Vec<DefinitionId>),
    /// History of these sessions, or its next page.
    Sessions(Vec<SessionId>),
    /// The list of agents, or its next page.
    Agents,
}

impl Request {
    /// Whose request it is.
    #[must_use]
    pub fn collector(&self) -> Collector {
        match self {
            Self::Definitions => Collector::Definitions,
            Self::History(_) => Collector::History,
            Self::Sessions(_) => Collector::Sessions,
            Self::Agents => Collector::Agents,
        }
    }

    /// How many ids it names.
    #[must_use]
    pub fn ids(&self) -> usize {
        match self {
            Self::Definitions | Self::Agents => 0,
            Self::History(ids) => ids.len(),
            Self::Sessions(ids) => ids.len(),
        }
    }
}

/// What to do now.
#[derive(Debug)]
pub enum Decision {
    /// Pay for this, then send it.
    Call(Request, Slot),
    /// Nothing until then, or until a call that is under way ends.
    Sleep(Option<Uptime>),
}

/// What a list of definitions taught, or a page of it, beside what was known: so that
/// a list with no news costs the schedule nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListingDiff {
    /// Definitions that were not there before.
    pub appeared: Vec<DefinitionId>,
    /// Definitions that are not there any more.
    pub vanished: Vec<DefinitionId>,
    /// Those with a run that history has not been fetched for.
    pub changed: Vec<DefinitionId>,
    /// Whether the list names latest runs at all; if not, history is swept all the time.
    pub names_runs: bool,
}

/// The schedule of one tenant.
#[derive(Debug)]
pub struct Schedule {
    poll: Poll,
    definitions: ListTimer,
    history: HistorySchedule,
    sessions: SessionsSchedule,
    agents: ListTimer,
    paused_until: Option<Uptime>,
    /// When the next sign-in is tried, after one that failed.
    no_token_until: Option<Uptime>,
    goes_without_list: bool,
}

impl Schedule {
    /// A schedule that starts at `now`. `seed` decides the jitter of its back-off.
    #[must_use]
    pub fn new(poll: Poll, now: Uptime, seed: u64) -> Self {
        Self {
            poll,
            definitions: ListTimer::new(Some(poll.definitions), now, seed),
            history: HistorySchedule::new(poll, now, seed.wrapping_add(1)),
            sessions: SessionsSchedule::new(poll.sessions, now, seed.wrapping_add(4)),
            agents: ListTimer::new(
                (!poll.agents.is_zero()).then_some(poll.agents),
                now,
                seed.wrapping_add(2),
            ),
            paused_until: None,
            no_token_until: None,
            goes_without_list: false,
        }
    }

    /// Goes on from before a restart: the learned batch size, and what is left of a pause.
    pub fn restore(&mut self, now: Uptime, batch_size: usize, pause: Option<Duration>) {
        self.history.set_batch_size(now, batch_size);
        self.paused_until = pause.map(|pause| now + pause);
    }

    /// Goes on from before a restart: the times of definitions.
    pub fn restore_fetches(
        &mut self,
        fetches: impl IntoIterator<Item = (DefinitionId, FetchTimes)>,
    ) {
        self.history.restore(fetches);
    }

    /// One definition's times.
    #[must_use]
    pub fn fetch_times(&self, id: &DefinitionId) -> FetchTimes {
        self.history.times(id)
    }

    /// The next call with its slot in the budget, or how long to sleep.
    pub fn next(&mut self, now: Uptime, budget: &Budget) -> Decision {
        if let Some(until) = self.held_until().filter(|until| *until > now) {
            return Decision::Sleep(Some(until));
        }
        let mut wake: Option<Uptime> = None;
        let mut sleep_until =
            |moment: Uptime| wake = Some(wake.map_or(moment, |wake| wake.min(moment)));
        for &collector in Collector::ALL {
            let gives_way = collector == Collector::Sessions && self.history.has_backlog(now);
            match self.due(collector).filter(|_| !gives_way) {
                Some(due) if due <= now => {
                    match budget.try_acquire(collector, self.reserved(collector, budget)) {
                        Ok(slot) => return Decision::Call(self.start(collector, now), slot),
                        Err(Retry::At(free)) => sleep_until(free),
                        Err(Retry::AfterAnswer) => {}
                    }
                }
                Some(due) => sleep_until(due),
                None => {}
            }
        }
        Decision::Sleep(wake)
    }

    /// When `collector` wants its next call; `None` while one is under way, or never.
    fn due(&self, collector: Collector) -> Option<Uptime> {
        match collector {
            Collector::Definitions => self.definitions.due(),
            Collector::History => self.history.due(),
            Collector::Sessions => self.sessions.due(),
            Collector::Agents => self.agents.due(),
        }
    }

    fn start(&mut self, collector: Collector, now: Uptime) -> Request {
        match collector {
            Collector::Definitions => {
                self.definitions.start(now);
                Request::Definitions
            }
            Collector::History => Request::History(self.history.start(now)),
            Collector::Sessions => Request::Sessions(self.sessions.start(now, self.batch_size())),
            Collector::Agents => {
                self.agents.start(now);
                Request::Agents
            }
        }
    }

    /// Without a token nothing is sent `until` the next sign-in; `None`: there is one, or a
    /// sign-in is tried at once.
    pub fn set_no_token(&mut self, until: Option<Uptime>) {
        self.no_token_until = until;
    }

    /// Until when nothing is sent, for want of a token or in a pause; it may have passed.
    #[must_use]
    pub fn held_until(&self) -> Option<Uptime> {
        self.paused_until.max(self.no_token_until)
    }

    /// Whether it is time to ask for a token; false after a failure, for a while.
    #[must_use]
    pub fn wants_token(&self, now: Uptime) -> bool {
        self.held_until().is_none_or(|until| until <= now)
    }

    /// The same request, or the next page of its round, is due at once.
    pub fn go_on(&mut self, request: &Request, now: Uptime) {
        match request {
            Request::Definitions => self.definitions.more_pages(now),
            Request::History(ids) => self.history.more_pages(now, ids),
            Request::Sessions(ids) => self.sessions.more_pages(now, ids),
            Request::Agents => self.agents.more_pages(now),
        }
    }

    /// A page of the list of definitions came, and another is to come.
    pub fn page_listed(&mut self, now: Uptime, listed: &ListingDiff) {
        self.history.page_listed(now, listed);
    }

    /// The list of definitions is complete, in `pages` pages.
    pub fn listed(&mut self, now: Uptime, pages: usize, listed: &ListingDiff, budget: &Budget) {
        let least = least_interval(pages, DEFINITIONS_SHARE, budget);
        self.definitions.succeeded(now, pages, least);
        self.history.listed(now, listed);
        self.history
            .set_fallback((!listed.names_runs).then_some(self.poll.definitions.max(least)));
        self.goes_without_list = false;
    }

    /// The list of agents is complete, in `pages` pages.
    pub fn agents_listed(&mut self, now: Uptime, pages: usize, budget: &Budget) {
        self.agents
            .succeeded(now, pages, least_interval(pages, AGENTS_SHARE, budget));
    }

    /// History of a batch is complete; `unsettled` are asked for again, at growing pauses, for as
    /// long as they are unsettled.
    pub fn fetched(
        &mut self,
        now: Uptime,
        ids: &[DefinitionId],
        unsettled: &BTreeSet<DefinitionId>,
    ) {
        self.history.fetched(now, ids, unsettled);
    }

    /// The list cannot be had, but the configuration names definitions, of which `listed` has
    /// the new ones: the history of all is swept all the time.
    pub fn without_list(&mut self, now: Uptime, listed: &ListingDiff) {
        self.history.listed(now, listed);
        self.history.set_fallback(Some(self.poll.definitions));
        self.goes_without_list = true;
    }

    /// A call failed; its round is given up.
    pub fn failed(&mut self, now: Uptime, request: &Request, failure: Failure) {
        let until = match (request, failure) {
            (Request::Definitions, _) => {
                self.history.list_ended();
                self.definitions.failed(now, failure)
            }
            (Request::Agents, _) => self.agents.failed(now, failure),
            (Request::Sessions(ids), _) => self.sessions.failed(now, ids, failure),
            (Request::History(ids), Failure::BatchTooLarge(allowed)) => {
                return self.history.too_large(now, ids, allowed);
            }
            (Request::History(ids), Failure::Short) => return self.history.short(now, ids),
            (Request::History(ids), Failure::Refused) => return self.history.refused(now, ids),
            (Request::History(ids), _) => self.history.failed(now, ids, failure),
        };
        let pauses_all = match (request, failure) {
            // The details of sessions are optional: a pause for them is none for the others.
            (Request::Sessions(_), Failure::Busy(..)) => false,
            _ => matches!(failure, Failure::Throttled(_) | Failure::Busy(..)),
        };
        if pauses_all {
            self.paused_until = self.paused_until.max(Some(until));
        }
    }

    /// A call could not be written down and did not leave: its round goes on later.
    pub fn not_written(&mut self, now: Uptime, request: &Request) {
        self.go_on(request, now + NOT_WRITTEN);
    }

    /// Whether the list cannot be had, and history is fetched all the same.
    #[must_use]
    pub fn goes_without_list(&self) -> bool {
        self.goes_without_list
    }

    /// Whether history is refused whatever it is asked for: not an id's fault.
    #[must_use]
    pub fn history_is_failing(&self) -> bool {
        self.history.is_failing()
    }

    /// Whether these are one definition whose history is asked for apart from the others', since
    /// it failed alone.
    #[must_use]
    pub fn is_apart(&self, ids: &[DefinitionId]) -> bool {
        self.history.is_apart(ids)
    }

    /// Until when the service asked for a pause, if it lasts at `now`.
    #[must_use]
    pub fn paused_until(&self, now: Uptime) -> Option<Uptime> {
        self.paused_until.filter(|until| *until > now)
    }

    /// The largest number of ids in one call, as learned from the service.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.history.batch_size()
    }

    /// Definitions that the service refuses to answer for.
    #[must_use]
    pub fn quarantined(&self, now: Uptime) -> usize {
        self.history.quarantined(now)
    }
}

#[cfg(test)]
mod tests;
