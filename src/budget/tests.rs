mod leases;
mod scope;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::ready;
use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;

fn budget(per_minute: usize, per_hour: usize) -> Budget {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    Budget::new(clock, Limits::new(per_minute, per_hour))
}

fn acquire(budget: &Budget, collector: Collector, reserved: Reserved) -> Result<Permit, Retry> {
    let slot = budget.try_acquire(collector, reserved)?;
    Ok(slot.pay_at_once().expect("it can be written"))
}

fn history(budget: &Budget) -> Result<Permit, Retry> {
    acquire(budget, Collector::History, Reserved::default())
}

async fn pass(duration: Duration) {
    tokio::time::advance(duration).await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_held_until_a_window_after_the_answer() {
    let budget = budget(1, 100);
    let permit = history(&budget).expect("the first call is free");
    pass(Duration::from_secs(70)).await;
    assert_eq!(
        history(&budget).expect_err("it is on its way"),
        Retry::AfterAnswer
    );
    permit.answered();
    pass(Duration::from_mins(1)).await;
    let refused = history(&budget).expect_err("the window is closed at its end");
    assert!(matches!(refused, Retry::At(_)));
    pass(Duration::from_millis(1)).await;
    assert!(history(&budget).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_counts_until_it_can_not_arrive_any_more() {
    let budget = budget(1, 100);
    drop(history(&budget).expect("the first call is free"));
    pass(UNANSWERED + Duration::from_mins(1)).await;
    assert!(history(&budget).is_err());
    pass(Duration::from_millis(1)).await;
    assert!(history(&budget).is_ok());
}

#[tokio::test(start_paused = true)]
async fn reserved_slots_are_kept_for_the_others() {
    let budget = budget(10, 100);
    let reserved = Reserved { minute: 4, hour: 4 };
    for _ in 0..6 {
        acquire(&budget, Collector::History, reserved)
            .expect("six are ours")
            .answered();
    }
    assert!(acquire(&budget, Collector::History, reserved).is_err());
    for _ in 0..4 {
        acquire(&budget, Collector::Definitions, Reserved::default())
            .expect("four are theirs")
            .answered();
    }
    assert!(acquire(&budget, Collector::Definitions, Reserved::default()).is_err());
    assert_eq!(
        budget.usage()[0],
        Usage {
            limit: 10,
            used: 10
        }
    );
}

#[tokio::test(start_paused = true)]
async fn restored_calls_still_count() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let call = Call {
        collector: Collector::History,
        sent: clock.uptime(),
        answered: None,
    };
    let budget = Budget::restore(clock, Limits::new(1, 10), [(7, call)], None);
    assert!(history(&budget).is_err());
    pass(LONGEST_WRITE + UNANSWERED + Duration::from_mins(1)).await;
    assert!(history(&budget).is_err(), "it may have been on its way");
    pass(Duration::from_millis(1)).await;
    assert_eq!(
        history(&budget)
            .expect("nobody can have seen it since")
            .number,
        8
    );
}

#[derive(Debug)]
struct FullDisk;

impl CallLog for FullDisk {
    fn sent(&self, _: u64, _: &Call, _: u64) -> BoxFuture<'static, bool> {
        Box::pin(ready(false))
    }

    fn answered(&self, _: u64, _: &Call) {}
}

#[tokio::test(start_paused = true)]
async fn a_call_that_can_not_be_written_down_does_not_leave_and_costs_nothing() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let budget = Budget::restore(clock, Limits::new(1, 10), [], Some(Arc::new(FullDisk)));
    let slot = budget.try_acquire(Collector::History, Reserved::default());
    let paid = slot.expect("one is free").pay().await;
    assert_eq!(paid.expect_err("it cannot be written"), NotWritten);
    assert_eq!(budget.usage()[0].used, 0);
}

#[derive(Clone, Debug)]
struct Attempt {
    wait_ms: u64,
    latency_ms: u64,
    /// When the server sees it, in thousandths of the latency.
    seen: u64,
    answered: bool,
    /// Whether the process is killed and started again just before.
    killed: bool,
    /// By how much the wall clock jumps just before.
    jump_ms: i64,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let wait = prop_oneof![Just(0), 0..2_000_u64, 0..90_000_u64];
    let latency = prop_oneof![0..500_u64, 0..120_000_u64];
    attempt_of(wait, latency, 0.05)
}

/// One of many, so that a budget with leases is used up.
fn busy_attempt() -> impl Strategy<Value = Attempt> {
    let wait = prop_oneof![Just(0), 0..3_000_u64];
    attempt_of(wait, 0..500_u64, 0.02)
}

fn attempt_of(
    wait: impl Strategy<Value = u64>,
    latency: impl Strategy<Value = u64>,
    killed: f64,
) -> impl Strategy<Value = Attempt> {
    let answered = prop::bool::weighted(0.8);
    let killed = prop::bool::weighted(killed);
    let week = 7 * 86_400_000_i64;
    let jump = prop_oneof![9 => Just(0), 1 => -week..week];
    (wait, latency, 0..=1_000_u64, answered, killed, jump).prop_map(
        |(wait_ms, latency_ms, seen, answered, killed, jump_ms)| Attempt {
            wait_ms,
            latency_ms,
            seen,
            answered,
            killed,
            jump_ms,
        },
    )
}

/// A row of the log.
#[derive(Clone, Copy, Debug)]
enum Row {
    Made(Call),
    Leased(Collector),
}

/// One process, writing to a log that outlives it.
#[derive(Debug)]
struct Life {
    rows: Arc<Mutex<BTreeMap<u64, Row>>>,
    killed: Arc<AtomicBool>,
    clock: Clock,
    /// How long a lease takes to be written.
    lease: Duration,
}

impl Life {
    fn write(&self, change: impl FnOnce(&mut BTreeMap<u64, Row>)) {
        if !self.killed.load(Ordering::Relaxed) {
            change(&mut self.rows.lock().expect("nobody panics"));
        }
    }
}

impl CallLog for Life {
    fn sent(&self, number: u64, call: &Call, oldest: u64) -> BoxFuture<'static, bool> {
        self.write(|rows| {
            rows.retain(|number, _| *number >= oldest);
            rows.insert(number, Row::Made(*call));
        });
        Box::pin(ready(true))
    }

    fn answered(&self, number: u64, call: &Call) {
        self.write(|rows| {
            rows.insert(number, Row::Made(*call));
        });
    }

    /// Written after a while, unless the process was killed before.
    fn lease(&self, lease: Lease) -> BoxFuture<'static, bool> {
        let (rows, killed) = (Arc::clone(&self.rows), Arc::clone(&self.killed));
        let (clock, written) = (self.clock.clone(), self.clock.uptime() + self.lease);
        let written = tokio::spawn(async move {
            clock.sleep_until(written).await;
            if killed.load(Ordering::Relaxed) {
                return false;
            }
            let mut rows = rows.lock().expect("nobody panics");
            rows.retain(|number, _| *number >= lease.oldest);
            let settled = lease.settled.into_iter();
            rows.extend(settled.map(|(number, call)| (number, Row::Made(call))));
            let leased = Row::Leased(lease.collector);
            rows.extend(lease.numbers.map(|number| (number, leased)));
            true
        });
        Box::pin(async move { written.await.unwrap_or(false) })
    }
}

/// The calls of a log, as a process finds them that starts at `now`: those of which nothing but
/// a lease is known are as if they were made then.
fn found(rows: &BTreeMap<u64, Row>, now: Uptime) -> BTreeMap<u64, Call> {
    let call = |row: &Row| match row {
        Row::Made(call) => *call,
        Row::Leased(collector) => Call {
            collector: *collector,
            sent: now,
            answered: None,
        },
    };
    rows.iter()
        .map(|(number, row)| (*number, call(row)))
        .collect()
}

/// A call as the test knows it, apart from what the budget's own log says.
struct Made {
    sent: Uptime,
    /// When the server saw it.
    seen: Uptime,
    /// When its answer arrived, once it has.
    answered: Arc<OnceLock<Uptime>>,
}

impl Made {
    /// Whether the server may have seen it within `window` before `now`, for all that is known.
    fn may_count(&self, window: Duration, now: Uptime) -> bool {
        // Without an answer it may still be stuck on its way: the documented reserve.
        let latest = self.answered.get().copied();
        latest.unwrap_or(self.sent + LONGEST_WRITE + UNANSWERED) + window >= now
    }
}

/// What happened to a sequence of attempts.
#[derive(Default)]
struct Outcome {
    made: Vec<Made>,
    /// Numbers of which a restart found nothing but a lease.
    lost: Vec<Made>,
    /// Refusals that no server, however timed, could have made necessary.
    wasted: usize,
    /// Calls that did not wait for the disk.
    leased: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the demands, latencies, failures, restarts and jumps of the wall clock: no window
    /// of the server's clock holds more than the limit (sliding windows cover fixed ones), and no
    /// call is refused that could not have broken it.
    #[test]
    fn no_window_at_the_server_holds_more_than_the_limit_and_none_is_left_empty(
        attempts in prop::collection::vec(attempt(), 1..300),
        per_minute in 1..8_usize,
        per_hour in 8..40_usize,
    ) {
        keeps_to(attempts, Limits::new(per_minute, per_hour), Duration::ZERO)?;
    }

    /// The same of budgets that lease calls ahead of time, which takes a while to be written.
    #[test]
    fn leases_break_no_limit_whatever_crashes_come_in_between(
        attempts in prop::collection::vec(busy_attempt(), 100..500),
        per_minute in 16..40_usize,
        per_hour in 200..400_usize,
        lease_ms in prop_oneof![Just(0), 0..30_000_u64],
    ) {
        let limits = Limits::new(per_minute, per_hour);
        let leased = keeps_to(attempts, limits, Duration::from_millis(lease_ms))?;
        prop_assert!(leased > 0 || lease_ms > 0);
    }
}

/// Whether the service saw no more than it allows, and nothing was refused without need. Returns
/// how many calls did not wait for the disk.
fn keeps_to(
    attempts: Vec<Attempt>,
    limits: Limits,
    lease: Duration,
) -> Result<usize, TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let outcome = runtime.block_on(outcome(attempts, limits, lease));
    let seen = outcome.made.iter();
    let mut seen: Vec<_> = seen
        .map(|call| call.seen.since_boot().as_millis())
        .collect();
    seen.sort_unstable();
    for limit in limits.both() {
        let window = limit.window.as_millis();
        for (index, first) in seen.iter().enumerate() {
            let within = seen[index..].iter().take_while(|at| **at - first < window);
            let held = within.count();
            prop_assert!(
                held <= limit.calls,
                "{held} calls within {window} ms of {first}"
            );
        }
    }
    prop_assert_eq!(outcome.wasted, 0);
    Ok(outcome.leased)
}

async fn outcome(attempts: Vec<Attempt>, limits: Limits, lease: Duration) -> Outcome {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let rows: Arc<Mutex<BTreeMap<u64, Row>>> = Arc::default();
    let start = || {
        let life = Arc::new(Life {
            rows: Arc::clone(&rows),
            killed: Arc::default(),
            clock: clock.clone(),
            lease,
        });
        let mut rows = rows.lock().expect("nobody panics");
        let calls = found(&rows, clock.uptime());
        let leased = rows.values().filter(|row| matches!(row, Row::Leased(_)));
        let lost = leased.count();
        // As the store does, so that the next restart does not count them anew.
        *rows = calls
            .iter()
            .map(|(number, call)| (*number, Row::Made(*call)))
            .collect();
        drop(rows);
        let budget = Budget::restore(clock.clone(), limits, calls, Some(life.clone()));
        (life, budget, lost)
    };
    let (mut life, mut budget, _) = start();
    let mut outcome = Outcome::default();
    let mut tasks = tokio::task::JoinSet::new();
    for attempt in attempts {
        tokio::time::sleep(Duration::from_millis(attempt.wait_ms)).await;
        clock.jump(attempt.jump_ms);
        if attempt.killed {
            life.killed.store(true, Ordering::Relaxed);
            tasks = tokio::task::JoinSet::new();
            let lost;
            (life, budget, lost) = start();
            let now = clock.uptime();
            outcome.lost.extend((0..lost).map(|_| Made {
                sent: now,
                seen: now,
                answered: Arc::default(),
            }));
        }
        let now = clock.uptime();
        let Ok(permit) = history(&budget) else {
            let full = limits.both().into_iter().any(|limit| {
                let counts = |call: &&Made| call.may_count(limit.window, now);
                let all = outcome.made.iter().chain(&outcome.lost);
                all.filter(counts).count() >= limit.calls
            });
            outcome.wasted += usize::from(!full);
            continue;
        };
        outcome.leased += usize::from(permit.leased);
        let latency = Duration::from_millis(attempt.latency_ms);
        let answered = Arc::default();
        outcome.made.push(Made {
            sent: now,
            seen: now + Duration::from_millis(attempt.latency_ms * attempt.seen / 1_000),
            answered: Arc::clone(&answered),
        });
        let clock = clock.clone();
        tasks.spawn(async move {
            tokio::time::sleep(latency).await;
            if attempt.answered {
                answered.get_or_init(|| clock.uptime());
                permit.answered();
            }
        });
    }
    outcome
}

#[tokio::test(start_paused = true)]
async fn calls_count_on_under_other_limits_even_those_on_their_way() {
    let before = budget(10, 100);
    let under_way = history(&before).expect("ten are free");
    history(&before).expect("nine are free").answered();
    let after = before.with_limits(Limits::new(2, 100));
    drop(before);
    assert!(history(&after).is_err(), "both count");
    assert!(!after.is_idle());
    pass(Duration::from_secs(61)).await;
    under_way.answered();
    assert_eq!(after.usage()[0].used, 1, "its answer is noted");
    assert_eq!(after.usage()[1].used, 2);
    pass(Duration::from_secs(3_601)).await;
    assert!(after.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_not_paid_for_is_free_again() {
    let budget = budget(1, 100);
    let slot = budget.try_acquire(Collector::History, Reserved::default());
    assert_eq!(budget.usage()[0].used, 1);
    drop(slot.expect("one is free"));
    assert_eq!(budget.usage()[0].used, 0);
    assert!(history(&budget).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_writing_took_too_long_does_not_leave_and_one_that_did_counts_from_then() {
    let budget = budget(1, 100);
    let late = budget.try_acquire(Collector::History, Reserved::default());
    pass(LONGEST_WRITE + Duration::from_secs(1)).await;
    let late = late.expect("one is free").pay().await;
    assert_eq!(
        late.expect_err("its row is of half a minute ago"),
        NotWritten
    );
    let slow = budget.try_acquire(Collector::History, Reserved::default());
    pass(LONGEST_WRITE).await;
    let slow = slow
        .expect("one is free")
        .pay()
        .await
        .expect("just in time");
    assert_eq!(slow.call.sent, budget.shared.clock.uptime());
}

/// The reserve of a minute after a short gap, of an hour after a longer one or one of unknown
/// length, and where nothing is left to others none at all.
#[tokio::test(start_paused = true)]
async fn after_a_gap_the_budget_runs_on_the_reserve() {
    for (gap, minutes) in [(Some(0), 1), (Some(3), 1), (Some(4), 60), (None, 60)] {
        for reserve in [2, 0] {
            let clock = Clock::anchored(Timestamp::from_unix_millis(0));
            let api = Limits::new(5 + reserve, 50 + reserve);
            let limits = Limits::new(5, 50).out_of(api);
            let budget = Budget::new(clock.clone(), limits);
            let gap = gap.map(Duration::from_mins);
            budget.run_on_reserve(Reserve::after(gap, clock.uptime()));
            let all = || std::iter::from_fn(|| history(&budget).ok().map(Permit::answered)).count();
            assert_eq!(all(), reserve, "{gap:?}");
            pass(Duration::from_secs(minutes * 60 - 1)).await;
            assert_eq!(all(), 0, "{gap:?}");
            let refused = history(&budget).expect_err("it is not over");
            assert!(matches!(refused, Retry::At(_)), "{refused:?}");
            pass(Duration::from_secs(2)).await;
            assert_eq!(all(), 5, "{gap:?}: the whole share");
        }
    }
}
