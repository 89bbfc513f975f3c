//! One task a tenant: ask the schedule, pay with a permit, call, learn, publish.
//!
//! ```text
//! token ─► schedule ─► permit ─► call ─► tenant ─► snapshot
//!            ▲                 │
//!            └──── outcome ────┘
//! ```
//!
//! Calls run beside each other, one of each kind at most; their answers come in here.

mod answers;
mod details;
mod extent;
mod failures;
mod pagination;
mod publishing;
mod resume;
mod signing_in;
mod unread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::answers::Announced;
use self::extent::Extent;
use self::pagination::{Complete, Keyed, MOST_PAGES, PageOutcome, Pagination, PaginationError};
use self::publishing::lost;
use self::signing_in::LogDedup;
use crate::budget::{Budget, Slot};
use crate::clock::{Clock, Uptime};
use crate::defender::{Answer, ApiError, Bearer, Client, FromWire, TokenSource};
use crate::durations;
use crate::model::health::Collector;
use crate::model::{Agent, Definition, DefinitionId, Session, SessionDetails, SessionId};
use crate::polling::snapshot::Snapshot;
use crate::polling::tenant::KnownTenant;
use crate::schedule::{Decision, Request, Schedule};
use crate::store::TenantStore;

/// How to reach one tenant's API.
#[derive(Debug)]
pub struct ApiAccess {
    /// Sends requests.
    pub client: Client,
    /// Proves who we are.
    pub tokens: TokenSource,
}

/// Polls one tenant.
#[derive(Debug)]
pub struct Poller {
    tenant: KnownTenant,
    schedule: Schedule,
    budget: Budget,
    client: Client,
    tokens: TokenSource,
    snapshot: Snapshot,
    /// `None`: a restart forgets.
    store: Option<TenantStore>,
    clock: Clock,
    definitions: Pagination<Definition>,
    history: Pagination<Session>,
    sessions: Pagination<SessionDetails>,
    agents: Pagination<Agent>,
    /// How far rounds last went that were not whole, about how many ids.
    extents: BTreeMap<Collector, (Extent, usize)>,
    /// Which failures to get a token have been logged since it last worked.
    auth_failures: LogDedup,
    /// The token with which something was forbidden: a newer one may have the permission.
    forbidden: Option<Bearer>,
    /// Somebody asks to try at once what is forbidden.
    retry: Arc<Notify>,
    /// What answers said beside what was asked for, and has been logged.
    announced: Announced,
    /// Whether a poll of the scans came to an end in this process.
    polled: bool,
    /// Whether one has succeeded.
    has_polled: bool,
    /// The [`TenantStore::generation`] in which all was saved.
    generation: u64,
    /// What is being saved, and published then. It gives what could not be saved.
    saving: JoinSet<Vec<DefinitionId>>,
    /// Whether something is to be published that is not being saved yet.
    is_unsaved: bool,
}

/// A call that came to its end.
#[derive(Debug)]
enum Done {
    Definitions(Answer<Definition>),
    History(Vec<DefinitionId>, Answer<Session>),
    Sessions(Vec<SessionId>, Answer<SessionDetails>),
    Agents(Answer<Agent>),
    /// It could not be written down, and did not leave.
    NotWritten(Request),
}

impl Poller {
    /// A poller of `tenant` that has not started.
    #[must_use]
    pub fn new(
        tenant: KnownTenant,
        schedule: Schedule,
        budget: Budget,
        access: ApiAccess,
        snapshot: Snapshot,
        store: Option<TenantStore>,
        clock: Clock,
    ) -> Self {
        let generation = store.as_ref().map_or(0, TenantStore::generation);
        Self {
            tenant,
            schedule,
            budget,
            client: access.client,
            tokens: access.tokens,
            snapshot,
            store,
            clock,
            definitions: Pagination::of_list(),
            history: Pagination::of_batches(),
            sessions: Pagination::of_batches(),
            agents: Pagination::of_list(),
            extents: BTreeMap::new(),
            auth_failures: LogDedup::default(),
            forbidden: None,
            retry: Arc::default(),
            announced: Announced::default(),
            polled: false,
            has_polled: false,
            generation,
            saving: JoinSet::new(),
            is_unsaved: false,
        }
    }

    /// From `start` on polls until `shutdown`. A call under way is dropped then; it
    /// stays paid for. Returns what is known by then.
    pub async fn run(mut self, start: Uptime, shutdown: CancellationToken) -> Self {
        let mut calls = JoinSet::new();
        let clock = self.clock.clone();
        self.want_sessions();
        shutdown.run_until_cancelled(clock.sleep_until(start)).await;
        while let Some(bearer) = shutdown.run_until_cancelled(Box::pin(self.token())).await {
            let signed_out = bearer.is_none();
            let wake = match bearer {
                Some(bearer) => self.start_due(&bearer, &mut calls),
                // The schedule is not asked for a call: without a token it could not be made.
                None => self.schedule.held_until(),
            };
            let wake = wake.unwrap_or(self.clock.uptime() + Duration::from_hours(1));
            if !self.polled && !self.tenant.health.held_back && calls.is_empty() {
                self.tenant.health.held_back = true;
                self.publish();
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = calls.join_next() => match done {
                    Ok((bearer, done)) => self.handle_answer(&bearer, done),
                    // A mistake in this program: better to end, and be started again with all
                    // that was saved, than to go on without one of the collectors.
                    Err(error) => if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic)
                    },
                },
                Some(saved) = self.saving.join_next() => self.saved(saved),
                () = lost(self.store.as_ref(), self.generation), if !self.is_unsaved => self.publish(),
                () = self.clock.sleep_until(wake) => {}
                () = self.retry.notified() => self.schedule.retry_forbidden(self.clock.uptime()),
                () = self.tokens.credential_changed(), if signed_out => {
                    tracing::info!(tenant = %self.tenant.name(), "the credential's files have changed: signing in again");
                    self.schedule.set_no_token(self.tokens.retry_at());
                }
            }
        }
        self.finish_saving().await;
        self
    }

    /// Sends everything that is due and affordable; returns when to look again.
    fn start_due(
        &mut self,
        bearer: &Bearer,
        calls: &mut JoinSet<(Bearer, Done)>,
    ) -> Option<Uptime> {
        loop {
            match self.schedule.next(self.clock.uptime(), &self.budget) {
                Decision::Call(request, slot) => self.send(request, slot, bearer.clone(), calls),
                Decision::Sleep(wake) => return wake,
            }
        }
    }

    /// Pays for a call and makes it, in a task of its own: neither waits for another tenant.
    fn send(
        &mut self,
        request: Request,
        slot: Slot,
        bearer: Bearer,
        calls: &mut JoinSet<(Bearer, Done)>,
    ) {
        let now = self.clock.uptime();
        let (next, fresh) = match &request {
            Request::Definitions => self.definitions.ask(now),
            Request::History(_) => self.history.ask(now),
            Request::Sessions(_) => self.sessions.ask(now),
            Request::Agents => self.agents.ask(now),
        };
        let client = if fresh {
            self.client.on_fresh_connections()
        } else {
            self.client.clone()
        };
        calls.spawn(async move {
            let Ok(permit) = slot.pay().await else {
                return (bearer, Done::NotWritten(request));
            };
            let next = next.as_ref();
            let done = match request {
                Request::Definitions => {
                    Done::Definitions(client.definitions(permit, &bearer, next).await)
                }
                Request::History(ids) => {
                    let answer = client.history(permit, &bearer, &ids, next).await;
                    Done::History(ids, answer)
                }
                Request::Sessions(ids) => {
                    let answer = client.sessions(permit, &bearer, &ids, next).await;
                    Done::Sessions(ids, answer)
                }
                Request::Agents => Done::Agents(client.agents(permit, &bearer, next).await),
            };
            (bearer, done)
        });
    }

    fn handle_answer(&mut self, bearer: &Bearer, done: Done) {
        let now = self.clock.uptime();
        match done {
            Done::NotWritten(request) => self.schedule.not_written(now, &request),
            Done::Definitions(answer) => {
                let complete = self.conclude(&Request::Definitions, bearer, answer, |poller| {
                    &mut poller.definitions
                });
                self.list(complete);
            }
            Done::History(ids, answer) => {
                let request = Request::History(ids.clone());
                if let Some(sessions) =
                    self.conclude(&request, bearer, answer, |poller| &mut poller.history)
                {
                    self.tenant.heard_at(sessions.as_of);
                    self.note_unrelated(Collector::History, &ids, &sessions.items, |one| {
                        &one.definition_id
                    });
                    self.note_nameless(&sessions.items);
                    let unsettled =
                        self.tenant
                            .apply_history(&ids, &sessions.items, sessions.as_of);
                    self.schedule.fetched(now, &ids, &unsettled);
                    self.want_sessions();
                }
            }
            Done::Sessions(ids, answer) => self.handle_sessions(bearer, &ids, answer),
            Done::Agents(answer) => {
                if let Some(listed) = self.conclude(&Request::Agents, bearer, answer, |poller| {
                    &mut poller.agents
                }) {
                    self.schedule.agents_listed(now, listed.pages, &self.budget);
                    if listed.extent.is_whole() {
                        self.tenant.set_agents(listed.items);
                    } else {
                        self.tenant.add_agents(listed.items);
                    }
                }
            }
        }
        self.publish();
    }

    /// Takes in what the list of definitions brought: at its end all of it, and before what
    /// the last page added, so that the first page is shown before the last has arrived.
    fn list(&mut self, complete: Option<Complete<Definition>>) {
        let now = self.clock.now();
        let within = self.tenant.health.dropped == 0;
        if let Some(listed) = complete {
            self.tenant.heard_at(listed.as_of);
            let news = if listed.extent.is_whole() {
                self.tenant.apply_listing(listed.items, now)
            } else {
                self.tenant.add_definitions(listed.items, now)
            };
            self.schedule
                .listed(now.uptime, listed.pages, &news, &self.budget);
            if !std::mem::replace(&mut self.has_polled, true) {
                self.log_first_poll(listed.took);
            }
            if !news.vanished.is_empty() {
                self.schedule.keep_sessions(|id| self.tenant.asks_for(id));
            }
            if self.tenant.is_empty() {
                // No history is left that could be fetched, and end the failure.
                self.tenant.health.history.failure = None;
            }
        } else {
            let page = self.definitions.news().to_vec();
            if page.is_empty() {
                return;
            }
            let news = self.tenant.add_definitions(page, now);
            self.schedule.page_listed(now.uptime, &news);
        }
        self.want_sessions();
        let dropped = self.tenant.health.dropped;
        if within && dropped > 0 {
            tracing::warn!(tenant = %self.tenant.name(), dropped, "the list is longer than definitions.limit: the rest is ignored");
        }
    }

    fn log_first_poll(&mut self, took: Duration) {
        let view = self.tenant.view();
        let definitions = view.distinct_definitions().count();
        // They may come later.
        let agents = view.health.agents.last_success.map(|_| view.agents.len());
        let took = durations::in_millis(took);
        tracing::info!(tenant = %self.tenant.name(), definitions, agents, %took, "first poll succeeded");
    }

    /// Counts an answer and says what follows; returns a round that is complete.
    fn conclude<T: Keyed + FromWire>(
        &mut self,
        request: &Request,
        bearer: &Bearer,
        answer: Answer<T>,
        round: fn(&mut Self) -> &mut Pagination<T>,
    ) -> Option<Complete<T>> {
        let now = self.clock.uptime();
        let collector = request.collector();
        self.note_answer(collector, &answer);
        match round(self).turn(answer.result, now) {
            PageOutcome::More { cut } => {
                let health = self.tenant.health.collector_mut(collector);
                health.truncated += u64::from(cut);
                self.schedule.go_on(request, now);
            }
            PageOutcome::Again => self.schedule.go_on(request, now),
            PageOutcome::Renew => {
                // Where the optional details alone are refused, the token is good for the rest.
                if collector != Collector::Sessions {
                    self.tokens.refuse(bearer.clone());
                }
                self.schedule.go_on(request, now);
            }
            PageOutcome::Complete(complete) => {
                if let Some(error) = complete.unread.failure(&complete.items) {
                    self.failed(request, &ApiError::from(error).into());
                    return None;
                }
                self.note_extent(request, complete.extent);
                self.log_unread(collector, &complete.unread);
                // Which of several definitions it covers is not known: that of fewer may be whole.
                let is_short = match complete.extent {
                    Extent::Truncated | Extent::Refused => true,
                    Extent::Endless => complete.pages >= MOST_PAGES,
                    Extent::Whole | Extent::Continued | Extent::Unreadable => false,
                };
                if is_short && request.ids() > 1 {
                    self.failed(request, &PaginationError::Short);
                    return None;
                }
                self.succeeded(collector, complete.took);
                return Some(complete);
            }
            PageOutcome::Failed(error) => {
                if matches!(error, PaginationError::Api(ApiError::Forbidden(_))) {
                    self.forbidden = Some(bearer.clone());
                }
                self.failed(request, &error);
            }
        }
        None
    }

    fn succeeded(&mut self, collector: Collector, took: Duration) {
        self.polled |= collector == Collector::Definitions;
        let health = self.tenant.health.collector_mut(collector);
        // Nobody should take it for late where there are no new sessions.
        if collector != Collector::Sessions {
            health.last_success = Some(self.clock.wall());
            health.last_duration = Some(took.as_secs_f64());
        }
        if let Some(failure) = health.failure.take() {
            let after = self.clock.uptime().since(failure.since_uptime);
            let after = durations::in_seconds(after);
            tracing::info!(tenant = %self.tenant.name(), collector = collector.as_label(), %after, "polling works again");
        }
    }
}
