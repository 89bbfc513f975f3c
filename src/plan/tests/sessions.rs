//! Sessions that are asked for by their ids.

use super::*;

fn sessions(numbers: std::ops::Range<usize>) -> Vec<SessionId> {
    let ids = numbers.map(|number| SessionId::new(&number.to_string()));
    ids.collect()
}

/// A plan whose lists and histories are all answered.
async fn settled() -> Bench {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..2);
    bench.listed(&set(&all), &all);
    bench.fetched(&Request::History(all.clone()), &[]);
    let history = bench.next().expect("both");
    bench.fetched(&history, &[]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bench.next(), None);
    bench
}

/// The next call, which is one of sessions.
fn asked(bench: &mut Bench) -> Option<Vec<SessionId>> {
    match bench.next() {
        Some(Request::Sessions(ids)) => Some(ids),
        None => None,
        Some(other) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_wait_for_changed_definitions_and_are_asked_for_once() {
    let mut bench = settled().await;
    assert!(bench.plan.want_sessions(&sessions(0..3)));
    let all = ids(0..2);
    bench.plan.restore(bench.clock.uptime(), 1, None);
    bench.heard(&set(&all), &all, true);
    for id in &all {
        let history = Request::History(vec![id.clone()]);
        assert_eq!(bench.next(), Some(history.clone()));
        if *id == all[0] {
            assert_eq!(bench.next(), None, "another definition waits");
            bench.fetched(&history, &[]);
        }
    }
    bench.plan.restore(bench.clock.uptime(), 1_000, None);
    assert_eq!(asked(&mut bench), Some(sessions(0..3)));
    bench.plan.sessions_fetched(bench.clock.uptime());
    assert_eq!(asked(&mut bench), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_halved_and_given_up_alone() {
    let mut bench = settled().await;
    bench.plan.want_sessions(&sessions(0..8));
    let (mut answered, mut given_up, mut calls) = (Vec::new(), Vec::new(), 0);
    while let Some(ids) = asked(&mut bench) {
        calls += 1;
        let bad = SessionId::new("5");
        if !ids.contains(&bad) {
            bench.plan.sessions_fetched(bench.clock.uptime());
            answered.extend(ids);
            continue;
        }
        if ids.len() == 1 {
            given_up.extend(ids.clone());
        }
        bench.failed(&Request::Sessions(ids), Failure::Refused);
    }
    assert_eq!((answered.len(), given_up), (7, sessions(5..6)));
    assert!(calls < 12, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_all_costs_a_call_an_hour() {
    let mut bench = settled().await;
    bench.plan.want_sessions(&sessions(0..1_000));
    let mut calls = 0;
    for _ in 0..6 * 60 {
        while let Some(request) = bench.next() {
            match request {
                Request::Definitions => bench.heard(&set(&ids(0..2)), &[], true),
                Request::Sessions(_) => {
                    calls += 1;
                    bench.failed(&request, Failure::Refused);
                }
                other => bench.fetched(&other, &[]),
            }
        }
        tokio::time::advance(Duration::from_mins(1)).await;
    }
    assert!((15..=25).contains(&calls), "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_asked_for_again_later_and_later() {
    let mut bench = settled().await;
    bench.plan.want_sessions(&sessions(0..3));
    let mut calls = 0;
    for _ in 0..3_600 {
        while let Some(request) = bench.next() {
            match request {
                Request::Definitions => bench.heard(&set(&ids(0..2)), &[], true),
                Request::Sessions(ref asked) => {
                    assert_eq!(*asked, sessions(0..3));
                    calls += 1;
                    bench.failed(&request, Failure::Temporary(Reason::Server));
                }
                other => bench.fetched(&other, &[]),
            }
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!((15..=60).contains(&calls), "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn where_it_is_off_nothing_is_asked_for() {
    let mut bench = settled().await;
    let poll = Poll {
        sessions: false,
        ..Poll::default()
    };
    bench.plan = Plan::new(poll, bench.clock.uptime(), 1);
    assert!(!bench.plan.want_sessions(&sessions(0..3)));
    assert!(bench.plan.sessions.due().is_none());
}
