//! Limits of the application, or of each endpoint, and a change from one to the other.

use super::*;

const LIMIT: usize = 5;

fn limits(scope: Scope) -> Limits {
    Limits::new(LIMIT, 1_000).of_scope(scope)
}

/// Makes calls of all collectors in turn until none may make another.
fn spend(budget: &Budget) -> usize {
    let mut spent = 0;
    loop {
        let before = spent;
        for collector in Collector::ALL {
            if let Ok(permit) = acquire(budget, *collector, Reserved::default()) {
                permit.answered();
                spent += 1;
            }
        }
        if spent == before {
            return spent;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_has_the_whole_limit() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let budget = Budget::new(clock, limits(Scope::Endpoint));
    let reserved = Reserved { minute: 4, hour: 4 };
    for _ in 0..LIMIT {
        let permit = acquire(&budget, Collector::History, reserved);
        permit.expect("nothing is kept for others").answered();
    }
    assert!(history(&budget).is_err());
    pass(Duration::from_secs(30)).await;
    assert_eq!(spend(&budget), 2 * LIMIT);
    let used = |of| budget.usage_of(of)[0].used;
    assert!(Collector::ALL.iter().all(|of| used(*of) == LIMIT));
    assert_eq!(budget.usage()[0].used, LIMIT, "of the fullest");
    let Err(Retry::At(again)) = history(&budget) else {
        panic!("its calls have been answered");
    };
    let now = budget.shared.clock.uptime();
    let half = Duration::from_secs(30) + Duration::from_millis(1);
    assert_eq!(again.since(now), half, "its own calls end first");
    pass(half).await;
    assert_eq!(spend(&budget), LIMIT, "of history alone");
}

/// Calls so far count on: none leaves that would be one too many by the stricter reading.
#[tokio::test(start_paused = true)]
async fn a_change_of_scope_forgets_no_call() {
    for restarts in [false, true] {
        for seconds in [0, 10, 59] {
            let clock = Clock::anchored(Timestamp::from_unix_millis(0));
            let budget = Budget::new(clock.clone(), limits(Scope::Endpoint));
            assert_eq!(spend(&budget), 3 * LIMIT);
            pass(Duration::from_secs(seconds)).await;
            let strict = limits(Scope::Application);
            let budget = if restarts {
                Budget::restore(clock, strict, budget.calls(), None)
            } else {
                budget.with_limits(strict)
            };
            assert_eq!(budget.usage()[0].used, 3 * LIMIT);
            let mut freed = 0;
            for second in seconds..200 {
                let spent = spend(&budget);
                assert!(spent == 0 || second > 60, "{second}: {spent} calls");
                let used = budget.usage()[0].used;
                assert!(second <= 60 || used <= LIMIT, "{second}: {used}");
                freed += spent;
                pass(Duration::from_secs(1)).await;
            }
            assert_eq!(freed, 3 * LIMIT, "at 61, 122 and 183 s");
            let wide = budget.with_limits(limits(Scope::Endpoint));
            let payers = Collector::ALL.iter().filter(|of| of.payer() == **of);
            let used: usize = payers.map(|of| wide.usage_of(*of)[0].used).sum();
            assert_eq!(used + spend(&wide), 3 * LIMIT, "what is left of each");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_waits_for_its_own_calls_to_end_and_not_for_anothers() {
    let budget = |calls, scope| {
        let clock = Clock::anchored(Timestamp::from_unix_millis(0));
        Budget::new(clock, Limits::new(calls, 1_000).of_scope(scope))
    };
    let call = |budget: &Budget, collector| acquire(budget, collector, Reserved::default());

    let each = budget(1, Scope::Endpoint);
    let list = call(&each, Collector::Definitions).expect("nothing was called yet");
    let history = call(&each, Collector::History).expect("the list is no call of its own");
    history.answered();
    let refused = call(&each, Collector::Definitions).expect_err("its call is under way");
    assert_eq!(refused, Retry::AfterAnswer, "whatever history does");
    let refused = call(&each, Collector::History).expect_err("its call counts for a minute");
    assert!(matches!(refused, Retry::At(_)), "whatever the list does");
    list.answered();

    let all = budget(1, Scope::Application);
    let list = call(&all, Collector::Definitions).expect("nothing was called yet");
    let refused = call(&all, Collector::History).expect_err("the list is under way");
    assert_eq!(refused, Retry::AfterAnswer);
    list.answered();
    let all = budget(2, Scope::Application);
    let _list = call(&all, Collector::Definitions).expect("nothing was called yet");
    let history = call(&all, Collector::History).expect("there is a second slot");
    history.answered();
    let refused = call(&all, Collector::Definitions).expect_err("both slots are held");
    assert!(matches!(refused, Retry::At(_)), "the slot of history");
}
