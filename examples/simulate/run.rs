//! One run: the real plan and the real budget against the simulated service, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use defender_scan_exporter::budget::{Budget, Call as LoggedCall, CallLog, Lease, Limits};
use defender_scan_exporter::clock::{Clock, Timestamp, Uptime};
use defender_scan_exporter::config::Poll;
use defender_scan_exporter::model::DefinitionId;
use defender_scan_exporter::model::Failure;
use defender_scan_exporter::model::health::{Collector, Reason};
use defender_scan_exporter::schedule::{Decision, Request, Schedule};
use futures::future::{BoxFuture, ready};

use super::observer::Observer;
use super::report::Report;
use super::service::{Call, Outcome, Service};
use super::world::World;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub definitions: usize,
    /// Ids a call that the service allows.
    pub batch: usize,
    /// Definitions on a page of the list.
    pub page: usize,
    pub hours: u64,
    /// One call in so many is throttled, and as many fail otherwise; 0: none.
    pub trouble: u32,
    /// Hours between restarts, on average; 0: none.
    pub restarts: u64,
    /// One definition in so many is replaced each day; 0: none.
    pub turnover: u64,
    pub seed: u64,
}

/// The budget that all scenarios have: the API's, and a share of 80 %.
pub fn limits() -> Limits {
    Limits::new(80, 1_200)
}

/// What outlives a restart: calls, and numbers that are leased for a collector.
#[derive(Debug, Default)]
struct Disk(Mutex<BTreeMap<u64, Result<LoggedCall, Collector>>>);

impl CallLog for Disk {
    fn sent(&self, number: u64, call: &LoggedCall, oldest: u64) -> BoxFuture<'static, bool> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *rows = rows.split_off(&oldest);
        rows.insert(number, Ok(*call));
        Box::pin(ready(true))
    }

    fn answered(&self, number: u64, call: &LoggedCall) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.insert(number, Ok(*call));
    }

    fn lease(&self, lease: Lease) -> BoxFuture<'static, bool> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *rows = rows.split_off(&lease.oldest);
        let settled = lease.settled.into_iter();
        rows.extend(settled.map(|(number, call)| (number, Ok(call))));
        let leased = Err(lease.collector);
        rows.extend(lease.numbers.map(|number| (number, leased)));
        Box::pin(ready(true))
    }
}

/// As the poller does: for so long a list goes on at the page that failed.
const RESUMED: Duration = Duration::from_mins(5);

struct Run {
    scenario: Scenario,
    clock: Clock,
    disk: Arc<Disk>,
    budget: Budget,
    plan: Schedule,
    world: World,
    service: Service,
    observer: Observer,
    random: fastrand::Rng,
    under_way: Vec<Call<Request>>,
    /// Pages of the list that are in.
    pages: usize,
    /// When the first page of the list under way looked at the data.
    list_seen: Option<Uptime>,
    list_started: Option<Uptime>,
    report: Report,
}

/// Runs `scenario` on a tokio runtime whose time is paused.
pub fn run(scenario: Scenario) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing but memory");
    runtime.block_on(async { Run::new(scenario).go().await })
}

impl Run {
    fn new(scenario: Scenario) -> Self {
        let clock = Clock::anchored(Timestamp::from_unix_millis(1_750_000_000_000));
        let now = clock.uptime();
        let disk = Arc::new(Disk::default());
        let budget = budget(&clock, &disk);
        Self {
            plan: Schedule::new(poll(), now, scenario.seed),
            world: World::new(scenario.definitions, now, scenario.seed),
            service: Service::new(scenario.seed + 1, scenario.trouble),
            observer: Observer::default(),
            random: fastrand::Rng::with_seed(scenario.seed + 2),
            under_way: Vec::new(),
            pages: 0,
            list_seen: None,
            list_started: None,
            report: Report::new(scenario, now),
            scenario,
            clock,
            disk,
            budget,
        }
    }

    async fn go(mut self) -> Report {
        let end = self.clock.uptime() + Duration::from_hours(self.scenario.hours);
        let mut restart = self.next_restart();
        let mut turnover = self.next_turnover();
        loop {
            let now = self.clock.uptime();
            if now >= end {
                break;
            }
            if restart.is_some_and(|restart| restart <= now) {
                self.restart().await;
                restart = self.next_restart();
                continue;
            }
            if turnover.is_some_and(|turnover| turnover <= now) {
                self.world.turn_over(now);
                turnover = self.next_turnover();
            }
            self.answers(now);
            let wake = self.send(now);
            let ends = self.under_way.iter().map(|call| call.ends).min();
            let next = [wake, ends, restart, turnover].into_iter().flatten().min();
            let next = next.unwrap_or(end).min(end);
            tokio::time::advance(next.since(now).max(Duration::from_millis(1))).await;
        }
        let violations = self.service.violations(limits());
        let swept = self.world.swept(Poll::default().sweep);
        self.report
            .finish(violations, self.service.arrivals(), end, swept);
        self.report
    }

    /// Sends all that the plan wants; returns when it wants to be asked again.
    fn send(&mut self, now: Uptime) -> Option<Uptime> {
        loop {
            match self.plan.next(now, &self.budget) {
                Decision::Call(request, slot) => {
                    let permit = slot
                        .pay_at_once()
                        .expect("the disk of the simulation is memory");
                    if request == Request::Definitions {
                        self.list_started.get_or_insert(now);
                    }
                    let call = self.service.call(request, permit, now);
                    self.under_way.push(call);
                }
                Decision::Sleep(wake) => return wake,
            }
        }
    }

    /// Takes in what has ended.
    fn answers(&mut self, now: Uptime) {
        while let Some(index) = self.under_way.iter().position(|call| call.ends <= now) {
            let call = self.under_way.swap_remove(index);
            let failure = match call.outcome {
                Outcome::Answered => None,
                Outcome::Throttled(pause) => Some(Failure::Throttled(Some(pause))),
                Outcome::Unavailable => Some(Failure::Temporary(Reason::Server)),
                Outcome::TimedOut => Some(Failure::Temporary(Reason::Timeout)),
            };
            if call.outcome == Outcome::TimedOut {
                drop(call.permit);
            } else {
                call.permit.answered();
            }
            if let Some(failure) = failure {
                self.failed(now, &call.request, failure);
                continue;
            }
            match call.request {
                Request::Definitions => self.listed(now, call.seen),
                Request::History(ids) => self.fetched(now, &ids, call.seen, now.since(call.sent)),
                Request::Sessions(_) => unreachable!("history tells all"),
                Request::Agents => self.plan.agents_listed(now, 1, &self.budget),
            }
        }
    }

    fn failed(&mut self, now: Uptime, request: &Request, failure: Failure) {
        self.report.failed();
        let old = |started| now.since(started) >= RESUMED;
        if *request == Request::Definitions && self.list_started.is_some_and(old) {
            self.give_up_list();
        }
        self.plan.failed(now, request, failure);
    }

    fn give_up_list(&mut self) {
        self.pages = 0;
        self.list_seen = None;
        self.list_started = None;
    }

    fn listed(&mut self, now: Uptime, seen: Uptime) {
        self.pages += 1;
        // What one page shows is not told apart from what another shows: the first decides.
        let seen = *self.list_seen.get_or_insert(seen);
        let pages = self.world.living.div_ceil(self.scenario.page).max(1);
        if self.pages < pages {
            self.plan.go_on(&Request::Definitions, now);
            return;
        }
        let took = self
            .list_started
            .map_or(Duration::ZERO, |started| now.since(started));
        self.give_up_list();
        self.world.advance(now);
        let listed = self.observer.list(&mut self.world, seen);
        let paused = self.plan.paused_until(now).is_some();
        self.report
            .listed(pages, took, listed.changed.len(), paused);
        self.plan.listed(now, pages, &listed, &self.budget);
    }

    fn fetched(&mut self, now: Uptime, ids: &[DefinitionId], seen: Uptime, took: Duration) {
        if ids.len() > self.scenario.batch {
            let allowed = Failure::BatchTooLarge(Some(self.scenario.batch));
            self.report.oversized();
            self.plan
                .failed(now, &Request::History(ids.to_vec()), allowed);
            return;
        }
        self.world.advance(now);
        let unsettled: BTreeSet<DefinitionId> =
            self.observer.fetch(&self.world, ids, seen, |run| {
                self.report.detail(now, run, took);
            });
        self.plan.fetched(now, ids, &unsettled);
        self.report
            .fetched(now, self.observer.covered(), self.observer.is_settled());
    }

    /// `kill -9`, a wall clock that jumps meanwhile, and a new process.
    async fn restart(&mut self) {
        let down = Duration::from_secs(self.random.u64(0..600));
        self.clock.jump(self.random.i64(-86_400_000..86_400_000));
        tokio::time::advance(down).await;
        let now = self.clock.uptime();
        // A process that is killed settles nothing.
        self.under_way
            .drain(..)
            .for_each(|call| std::mem::forget(call.permit));
        self.give_up_list();
        self.budget = budget(&self.clock, &self.disk);
        let before = std::mem::replace(
            &mut self.plan,
            Schedule::new(poll(), now, self.random.u64(..)),
        );
        let pause = before.paused_until(now).map(|until| until.since(now));
        self.plan.restore(now, before.batch_size(), pause);
        let known = self.observer.restart(&self.world);
        let times = known.map(|id| (id.clone(), before.fetch_times(id)));
        self.plan.restore_fetches(times);
        self.report.restarted();
    }

    fn next_restart(&mut self) -> Option<Uptime> {
        let hours = self.scenario.restarts;
        let wait = Duration::from_hours(2 * hours).mul_f64(self.random.f64());
        (hours > 0).then(|| self.clock.uptime() + wait)
    }

    fn next_turnover(&mut self) -> Option<Uptime> {
        let of = self.scenario.turnover;
        let each = Duration::from_hours(24 * of).div_f64(as_f64(self.scenario.definitions));
        (of > 0).then(|| self.clock.uptime() + each.mul_f64(2.0 * self.random.f64()))
    }
}

fn poll() -> Poll {
    Poll::default()
}

fn budget(clock: &Clock, disk: &Arc<Disk>) -> Budget {
    let mut rows = disk.0.lock().unwrap_or_else(PoisonError::into_inner);
    // As the store does: what was leased may have been called until now.
    for row in rows.values_mut() {
        if let Err(collector) = *row {
            *row = Ok(LoggedCall {
                collector,
                sent: clock.uptime(),
                answered: None,
            });
        }
    }
    let calls = rows.iter();
    let calls = calls.filter_map(|(number, row)| Some((*number, row.ok()?)));
    let calls: Vec<_> = calls.collect();
    drop(rows);
    let log: Arc<dyn CallLog> = disk.clone();
    Budget::restore(clock.clone(), limits(), calls, Some(log))
}

/// A count, for a ratio.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn as_f64(count: usize) -> f64 {
    count as f64
}
