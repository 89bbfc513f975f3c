mod failures;
mod forbidden;
mod paging;
mod refused;
mod sessions;

use super::*;
use crate::budget::{Limits, Reserve};
use crate::clock::{Clock, Timestamp};
use crate::model::health::Reason;

/// A schedule with its clock and budget, in virtual time.
struct Bench {
    clock: Clock,
    budget: Budget,
    schedule: Schedule,
    /// What the last list named.
    known: BTreeSet<DefinitionId>,
}

impl Bench {
    fn new(per_minute: usize, per_hour: usize) -> Self {
        let clock = Clock::anchored(Timestamp::from_unix_millis(0));
        let budget = Budget::new(clock.clone(), Limits::new(per_minute, per_hour));
        let poll = Poll {
            definitions: Duration::from_mins(1),
            agents: Duration::ZERO,
            ..Poll::default()
        };
        let schedule = Schedule::new(poll, clock.uptime(), 1);
        Self {
            clock,
            budget,
            schedule,
            known: BTreeSet::new(),
        }
    }

    /// The next request, answered at once, or `None` if the schedule sleeps.
    fn next(&mut self) -> Option<Request> {
        match self.schedule.next(self.clock.uptime(), &self.budget) {
            Decision::Call(request, slot) => {
                slot.pay_at_once().expect("no disk").answered();
                Some(request)
            }
            Decision::Sleep(_) => None,
        }
    }

    /// Sleeps as the schedule says, then the next request.
    async fn wait(&mut self) -> Request {
        loop {
            match self.schedule.next(self.clock.uptime(), &self.budget) {
                Decision::Call(request, slot) => {
                    slot.pay_at_once().expect("no disk").answered();
                    return request;
                }
                Decision::Sleep(until) => {
                    let until = until.expect("something is due");
                    self.clock.sleep_until(until).await;
                }
            }
        }
    }

    /// The list has been answered.
    fn heard(&mut self, all: &BTreeSet<DefinitionId>, changed: &[DefinitionId], names_runs: bool) {
        let known = std::mem::replace(&mut self.known, all.clone());
        let listed = ListingDiff {
            appeared: all.difference(&known).cloned().collect(),
            vanished: known.difference(all).cloned().collect(),
            changed: changed.to_vec(),
            names_runs,
        };
        self.schedule
            .listed(self.clock.uptime(), 1, &listed, &self.budget);
    }

    fn listed(&mut self, all: &BTreeSet<DefinitionId>, changed: &[DefinitionId]) {
        assert_eq!(self.next(), Some(Request::Definitions));
        self.heard(all, changed, true);
    }

    fn fetched(&mut self, request: &Request, unsettled: &[DefinitionId]) {
        let Request::History(ids) = request else {
            panic!("not history: {request:?}")
        };
        let unsettled = unsettled.iter().cloned().collect();
        self.schedule.fetched(self.clock.uptime(), ids, &unsettled);
    }

    fn failed(&mut self, request: &Request, failure: Failure) {
        self.schedule.failed(self.clock.uptime(), request, failure);
    }

    /// Lists everything again, after the interval.
    async fn list_again(&mut self, all: &BTreeSet<DefinitionId>, changed: &[DefinitionId]) {
        tokio::time::advance(Duration::from_mins(1)).await;
        self.listed(all, changed);
    }
}

fn ids(numbers: std::ops::Range<usize>) -> Vec<DefinitionId> {
    numbers
        .map(|number| DefinitionId::new(&format!("{number:05}")))
        .collect()
}

fn set(ids: &[DefinitionId]) -> BTreeSet<DefinitionId> {
    ids.iter().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn history_is_fetched_for_changes_alone() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..5);
    bench.listed(&set(&all), &all);
    assert_eq!(bench.next(), Some(Request::History(all.clone())));
    bench.fetched(&Request::History(all.clone()), &[]);
    assert_eq!(bench.next(), None);
    bench.list_again(&set(&all), &all[3..4]).await;
    assert_eq!(bench.next(), Some(Request::History(all[3..4].to_vec())));
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_call_is_fetched_after_it() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..2);
    bench.listed(&set(&all), &all);
    let under_way = bench.next().expect("both");
    bench.list_again(&set(&all), &all[1..]).await;
    bench.fetched(&under_way, &[]);
    assert_eq!(bench.next(), Some(Request::History(all[1..].to_vec())));
}

#[tokio::test(start_paused = true)]
async fn the_allowed_batch_size_is_learned_and_filled() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..250);
    bench.listed(&set(&all), &all);
    let refused = bench.next().expect("all at once");
    bench.failed(&refused, Failure::BatchTooLarge(Some(100)));
    let mut sizes = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(request) = bench.next() {
        bench.fetched(&request, &[]);
        let Request::History(ids) = request else {
            panic!("not history")
        };
        sizes.push(ids.len());
        seen.extend(ids);
    }
    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(seen, set(&all));
    assert_eq!(bench.schedule.batch_size(), 100);
}

#[tokio::test(start_paused = true)]
async fn without_a_readable_maximum_the_batch_is_halved() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..10);
    bench.listed(&set(&all), &all);
    let request = bench.next().expect("all at once");
    for nonsense in [None, Some(0), Some(10)] {
        let mut bench = Bench::new(100, 1_500);
        bench.listed(&set(&all), &all);
        bench.next();
        bench.failed(&request, Failure::BatchTooLarge(nonsense));
        assert_eq!(bench.schedule.batch_size(), 5, "{nonsense:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_larger_batch_is_tried_once_a_day() {
    let mut bench = Bench::new(100, 1_500);
    bench.schedule.restore(bench.clock.uptime(), 100, None);
    let all = ids(0..1_000);
    for size in [100, 200, 400, 800] {
        bench.listed(&set(&all), &all);
        let Some(Request::History(batch)) = bench.next() else {
            panic!("there are changes")
        };
        assert_eq!(batch.len(), size);
        bench.fetched(&Request::History(batch), &[]);
        tokio::time::advance(Duration::from_hours(24)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everything_and_one_of_no_length_is_no_tight_loop() {
    let busy = |seconds| Failure::Busy(Reason::Server, Duration::from_secs(seconds));
    let throttled = |seconds| Failure::Throttled(Some(Duration::from_secs(seconds)));
    for (pause, held) in [
        (throttled(90), 90_000),
        (throttled(0), 1_000),
        (Failure::Throttled(None), 60_000),
        (busy(90), 90_000),
        (busy(0), 1_000),
    ] {
        let mut bench = Bench::new(100, 1_500);
        assert_eq!(bench.next(), Some(Request::Definitions));
        bench.failed(&Request::Definitions, pause);
        let paused = bench.schedule.paused_until(bench.clock.uptime());
        assert!(paused.is_some(), "{pause:?}");
        tokio::time::advance(Duration::from_millis(held - 1)).await;
        assert_eq!(bench.next(), None, "{pause:?}");
        // The back-off waits for a second more at most, after the first failure.
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert_eq!(bench.next(), Some(Request::Definitions), "{pause:?}");
    }
}

/// `Retry-After: 1` for ever, whatever the status, costs as little as no hint at all.
#[tokio::test(start_paused = true)]
async fn short_pauses_for_ever_do_not_use_the_budget_up() {
    let pause = Duration::from_secs(1);
    for failure in [
        Failure::Throttled(Some(pause)),
        Failure::Busy(Reason::Server, pause),
    ] {
        let mut bench = Bench::new(100, 1_500);
        let end = bench.clock.uptime() + Duration::from_hours(1);
        let mut calls = 0;
        loop {
            let request = bench.wait().await;
            if bench.clock.uptime() > end {
                break;
            }
            calls += 1;
            bench.failed(&request, failure);
        }
        assert!(calls < 60, "{calls} calls for {failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_sent() {
    let mut bench = Bench::new(100, 1_500);
    let until = bench.clock.uptime() + Duration::from_mins(20);
    bench.schedule.set_no_token(Some(until));
    assert_eq!(bench.next(), None);
    assert!(!bench.schedule.wants_token(bench.clock.uptime()));
    tokio::time::advance(Duration::from_mins(20)).await;
    assert!(bench.schedule.wants_token(bench.clock.uptime()));
    assert_eq!(bench.next(), Some(Request::Definitions));
}

#[tokio::test(start_paused = true)]
async fn of_two_pauses_the_longer_one_holds() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..1);
    bench.listed(&set(&all), &all);
    let history = bench.next().expect("a change");
    let pause = |seconds| Failure::Throttled(Some(Duration::from_secs(seconds)));
    bench.failed(&history, pause(600));
    bench.failed(&Request::Definitions, pause(1));
    tokio::time::advance(Duration::from_secs(599)).await;
    assert_eq!(bench.next(), None);
}

#[tokio::test(start_paused = true)]
async fn without_latest_runs_in_the_list_history_is_swept_oldest_first() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..3);
    bench.next();
    bench.heard(&set(&all), &[], false);
    for _ in 0..2 {
        let request = bench.wait().await;
        if request == Request::Definitions {
            bench.heard(&set(&all), &[], false);
            continue;
        }
        assert_eq!(request, Request::History(all.clone()));
        bench.fetched(&request, &[]);
    }
}

#[tokio::test(start_paused = true)]
async fn history_that_settles_nothing_is_asked_for_again_at_growing_pauses() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..1);
    bench.listed(&set(&all), &all);
    let mut asked = Vec::new();
    for minute in 0..24 * 60 {
        while let Some(request) = bench.next() {
            if request == Request::Definitions {
                bench.heard(&set(&all), &[], true);
            } else {
                asked.push(minute);
                let settled = minute == 791;
                bench.fetched(&request, if settled { &[] } else { &all });
            }
        }
        tokio::time::advance(Duration::from_mins(1)).await;
    }
    assert_eq!(asked, [0, 1, 11, 71, 311, 551, 791]);
}

#[tokio::test(start_paused = true)]
async fn a_change_does_not_wait_for_the_pause_after_an_answer_that_settled_nothing() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..1);
    bench.listed(&set(&all), &all);
    for minute in [0, 1, 11] {
        let start = bench.clock.uptime();
        let request = loop {
            match bench.next() {
                Some(Request::Definitions) => bench.heard(&set(&all), &[], true),
                Some(request) => break request,
                None => tokio::time::advance(Duration::from_secs(1)).await,
            }
        };
        assert!(bench.clock.uptime().since(start) <= Duration::from_mins(minute));
        bench.fetched(&request, &all);
    }
    bench.list_again(&set(&all), &all).await;
    assert_eq!(bench.next(), Some(Request::History(all)));
}

#[tokio::test(start_paused = true)]
async fn a_backlog_leaves_the_lists_their_calls_and_wastes_none() {
    let mut bench = Bench::new(20, 60);
    let all = ids(0..20_000);
    let everything = set(&all);
    let mut lists = 0;
    let mut fetches = 0;
    let start = bench.clock.uptime();
    loop {
        let request = bench.wait().await;
        if bench.clock.uptime().since(start) > Duration::from_hours(3) {
            break;
        }
        if request == Request::Definitions {
            lists += 1;
            bench.heard(&everything, &all, true);
        } else {
            fetches += 1;
            bench.fetched(&request, &[]);
        }
    }
    assert!(
        (85..=93).contains(&lists),
        "half of 60 an hour, but {lists}"
    );
    assert!(
        lists + fetches >= 175,
        "of 180 calls, but {lists} + {fetches}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_sweep_fetches_everything_once_a_day_spread_out() {
    let mut bench = Bench::new(100, 1_500);
    // Few lists keep the test fast.
    bench.schedule.definitions =
        ListTimer::new(Some(Duration::from_mins(30)), bench.clock.uptime(), 1);
    let all = ids(0..4_000);
    let everything = set(&all);
    let mut fetched = std::collections::BTreeMap::<DefinitionId, usize>::new();
    let mut calls = 0;
    let mut changed = all.clone();
    let start = bench.clock.uptime();
    while bench.clock.uptime().since(start) < Duration::from_hours(72) {
        let request = bench.wait().await;
        if let Request::History(ids) = &request {
            calls += 1;
            for id in ids {
                *fetched.entry(id.clone()).or_default() += 1;
            }

            bench.fetched(&request, &[]);
        } else {
            bench.heard(&everything, &std::mem::take(&mut changed), true);
        }
    }
    assert_eq!(fetched.len(), 4_000);
    assert!(
        fetched.values().all(|times| (3..=5).contains(times)),
        "{:?}",
        fetched.values().max()
    );
    assert!((12..=18).contains(&calls), "{calls} calls");
}
