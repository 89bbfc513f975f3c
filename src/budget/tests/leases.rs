//! Calls that were made durable ahead of time.

use std::collections::BTreeSet;

use super::*;

fn leasing(limits: Limits, lease: Duration) -> (Budget, Arc<Life>) {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let life = Arc::new(Life {
        rows: Arc::default(),
        killed: Arc::default(),
        clock: clock.clone(),
        lease,
    });
    let budget = Budget::restore(clock, limits, [], Some(life.clone()));
    (budget, life)
}

/// A call a minute, as at rest: nearly all of them are durable ahead of time.
#[tokio::test(start_paused = true)]
async fn most_calls_of_a_steady_rate_wait_for_no_disk() {
    let (budget, life) = leasing(Limits::new(80, 1_200), Duration::from_secs(5));
    let mut waited = 0;
    for _ in 0..100 {
        let permit = history(&budget).expect("eighty are free");
        waited += usize::from(!permit.leased);
        permit.answered();
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    assert!(waited <= 2, "{waited} of 100");
    let rows = life.rows.lock().expect("nobody panics");
    let leased = rows.values().filter(|row| matches!(row, Row::Leased(_)));
    assert!(leased.count() <= 20, "what a crash costs: {rows:?}");
    assert!(
        rows.len() <= 80,
        "rows are forgotten after an hour: {rows:?}"
    );
}

/// A call a second: what is left when a lease is renewed lasts until the next is written.
#[tokio::test(start_paused = true)]
async fn a_fast_steady_rate_waits_seldom_either() {
    let (budget, _) = leasing(Limits::new(800, 12_000), Duration::from_secs(5));
    let mut waited = 0;
    for round in 0..600 {
        let permit = history(&budget).expect("hundreds are free");
        waited += usize::from(round >= 300 && !permit.leased);
        permit.answered();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(waited <= 30, "{waited} of 300");
}

/// What is called seldom does not wait either, also where it was called beside something else.
#[tokio::test(start_paused = true)]
async fn each_collector_leases_for_itself() {
    let (budget, _) = leasing(Limits::new(80, 1_200), Duration::from_secs(5));
    let both = [Collector::Definitions, Collector::Agents];
    for round in 0..5 {
        for collector in both {
            let permit = acquire(&budget, collector, Reserved::default());
            let permit = permit.expect("eighty are free");
            assert_eq!(permit.leased, round > 0, "{collector:?}");
            permit.answered();
        }
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
}

/// A budget of a call a minute is not starved by what it leased, however often it is killed.
#[tokio::test(start_paused = true)]
async fn a_small_budget_and_a_tenant_with_few_calls_lease_nothing() {
    for (limits, calls) in [(Limits::new(1, 15), 15), (Limits::new(100, 1_500), 1)] {
        let (budget, life) = leasing(limits, Duration::ZERO);
        for _ in 0..calls {
            history(&budget).expect("one is free").answered();
            pass(Duration::from_secs(61)).await;
        }
        let rows = life.rows.lock().expect("nobody panics");
        let leased = rows.values().filter(|row| matches!(row, Row::Leased(_)));
        assert_eq!(leased.count(), 0, "{limits:?}");
    }
}

/// A disk that says only later that it has written a lease.
#[derive(Debug, Default)]
struct LateWord {
    rows: Arc<Mutex<BTreeSet<u64>>>,
    told: Arc<AtomicBool>,
}

impl CallLog for LateWord {
    fn sent(&self, number: u64, _: &Call, oldest: u64) -> BoxFuture<'static, bool> {
        let mut rows = self.rows.lock().expect("nobody panics");
        *rows = rows.split_off(&oldest);
        rows.insert(number);
        Box::pin(ready(true))
    }

    fn answered(&self, _: u64, _: &Call) {}

    fn lease(&self, lease: Lease) -> BoxFuture<'static, bool> {
        let told = Arc::clone(&self.told);
        self.rows
            .lock()
            .expect("nobody panics")
            .extend(lease.numbers);
        Box::pin(std::future::poll_fn(move |_| {
            if told.load(Ordering::Relaxed) {
                std::task::Poll::Ready(true)
            } else {
                std::task::Poll::Pending
            }
        }))
    }
}

/// Rows of old calls are forgotten, and so may be those of a lease: then it is not spent.
#[tokio::test(start_paused = true)]
async fn no_lease_is_spent_whose_row_was_forgotten() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let disk = Arc::new(LateWord::default());
    let budget = Budget::restore(clock, Limits::new(80, 1_200), [], Some(disk.clone()));
    let mut leased = 0;
    for _ in 0..4 {
        for _ in 0..4 {
            let permit = history(&budget).expect("eighty are free");
            leased += usize::from(permit.leased);
            let rows = disk.rows.lock().expect("nobody panics");
            assert!(rows.contains(&permit.number), "{permit:?}: {rows:?}");
            drop(rows);
            permit.answered();
        }
        disk.told.store(false, Ordering::Relaxed);
        pass(Duration::from_hours(2)).await;
        history(&budget).expect("eighty are free").answered();
        disk.told.store(true, Ordering::Relaxed);
    }
    assert!(leased > 0);
}

/// The end of the process costs no call.
#[tokio::test(start_paused = true)]
async fn what_is_leased_is_given_back_and_not_spent_any_more() {
    let (budget, life) = leasing(Limits::new(80, 1_200), Duration::ZERO);
    for _ in 0..4 {
        history(&budget).expect("eighty are free").answered();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(history(&budget).expect("eighty are free").leased);
    let unused = budget.leased();
    assert!(!unused.is_empty());
    let slot = budget.try_acquire(Collector::History, Reserved::default());
    assert_eq!(budget.leased().len(), unused.len() - 1);
    drop(slot.expect("eighty are free"));
    assert_eq!(budget.leased(), unused, "it was not paid for");
    let returned = budget.give_back();
    let numbers: Vec<_> = unused.iter().map(|(number, _)| *number).collect();
    assert_eq!(returned.unused, numbers);
    let rows = life.rows.lock().expect("nobody panics").clone();
    for (number, _) in &returned.settled {
        assert!(matches!(rows[number], Row::Leased(_)), "{number}");
    }
    assert!(!returned.settled.is_empty());
    assert!(!history(&budget).expect("eighty are free").leased);
}

/// A disk that takes everything until it breaks.
#[derive(Debug, Default)]
struct BreakingDisk(AtomicBool);

impl CallLog for BreakingDisk {
    fn sent(&self, _: u64, _: &Call, _: u64) -> BoxFuture<'static, bool> {
        Box::pin(ready(self.works()))
    }

    fn answered(&self, _: u64, _: &Call) {}

    fn lease(&self, _: Lease) -> BoxFuture<'static, bool> {
        Box::pin(ready(self.works()))
    }

    fn works(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn while_nothing_can_be_written_nothing_leaves_that_was_written_before() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let disk = Arc::new(BreakingDisk::default());
    let budget = Budget::restore(clock, Limits::new(80, 1_200), [], Some(disk.clone()));
    let paid = || {
        let slot = budget.try_acquire(Collector::History, Reserved::default());
        slot.expect("eighty are free").pay_at_once()
    };
    for _ in 0..4 {
        paid().expect("it can be written").answered();
    }
    disk.0.store(true, Ordering::Relaxed);
    assert!(!budget.leased().is_empty());
    assert_eq!(paid().expect_err("the disk is broken"), NotWritten);
    disk.0.store(false, Ordering::Relaxed);
    assert!(paid().expect("it can be written").leased);
}
