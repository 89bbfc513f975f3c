//! What is forbidden: tried soon, then hourly, and at once if somebody asks for it.

use super::*;

/// When what is forbidden was tried, in minutes after the first refusal.
async fn tries(mut bench: Bench, request: Request, until: Duration) -> Vec<u64> {
    let start = bench.clock.uptime();
    let mut tries = Vec::new();
    bench.failed(&request, Failure::Forbidden);
    while bench.clock.uptime().since(start) < until {
        let now = bench.clock.uptime();
        let next = bench.schedule.next_attempt(request.collector());
        if next.is_some_and(|next| next <= now) {
            assert!(bench.schedule.retries_forbidden(now));
            tries.push(now.since(start).as_secs() / 60);
            bench.failed(&request, Failure::Forbidden);
        }
        assert!(!bench.schedule.retries_forbidden(now));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    tries
}

#[tokio::test(start_paused = true)]
async fn each_collector_is_tried_after_1_5_and_15_minutes_and_then_hourly() {
    let all = ids(0..3);
    for request in [
        Request::Definitions,
        Request::History(all.clone()),
        Request::Sessions(vec![SessionId::new("s")]),
    ] {
        let mut bench = Bench::new(100, 1_500);
        bench.listed(&set(&all), &[]);
        let tries = tries(bench, request, Duration::from_mins(145)).await;
        assert_eq!(tries, [1, 6, 21, 81, 141]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_stray_refusal_costs_a_minute() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..1);
    for _ in 0..3 {
        assert_eq!(bench.next(), Some(Request::Definitions));
        bench.failed(&Request::Definitions, Failure::Forbidden);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(bench.next(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        bench.listed(&set(&all), &[]);
        if let Some(history) = bench.next() {
            bench.fetched(&history, &[]);
        }
        tokio::time::advance(Duration::from_hours(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_ends_the_wait_for_what_is_forbidden_and_no_other() {
    for (failure, ends) in [
        (Failure::Forbidden, true),
        (Failure::Temporary(Reason::Server), false),
        (Failure::Throttled(None), false),
    ] {
        let mut bench = Bench::new(100, 1_500);
        bench.next();
        bench.failed(&Request::Definitions, failure);
        bench.schedule.retry_forbidden(bench.clock.uptime());
        assert_eq!(bench.next().is_some(), ends, "{failure:?}");
        let mut bench = Bench::new(100, 1_500);
        bench.listed(&set(&[]), &[]);
        let sessions = Request::Sessions(vec![SessionId::new("s")]);
        bench.failed(&sessions, failure);
        bench.schedule.retry_forbidden(bench.clock.uptime());
        assert_eq!(bench.next(), Some(sessions).filter(|_| ends), "{failure:?}");
    }
}

/// A pause of the service holds for what is forbidden too.
#[tokio::test(start_paused = true)]
async fn a_pause_outlasts_a_request_to_try_again() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..1);
    bench.listed(&set(&all), &all);
    let history = bench.next().expect("a change");
    let pause = Duration::from_mins(10);
    bench.failed(&history, Failure::Throttled(Some(pause)));
    bench.failed(&Request::Definitions, Failure::Forbidden);
    let now = bench.clock.uptime();
    bench.schedule.retry_forbidden(now);
    assert_eq!(bench.next(), None);
    let next = bench.schedule.next_attempt(Collector::Definitions);
    assert_eq!(next, Some(now + pause));
}
