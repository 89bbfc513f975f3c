//! Sessions that are asked for by their ids.

use super::*;

fn sessions(numbers: std::ops::Range<usize>) -> Vec<SessionId> {
    let ids = numbers.map(|number| SessionId::new(&number.to_string()));
    ids.collect()
}

/// A schedule whose lists and histories are all answered.
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
    bench.schedule.want_sessions(sessions(0..3));
    let all = ids(0..2);
    bench.schedule.restore(bench.clock.uptime(), 1, None);
    bench.heard(&set(&all), &all, true);
    for id in &all {
        let history = Request::History(vec![id.clone()]);
        assert_eq!(bench.next(), Some(history.clone()));
        if *id == all[0] {
            assert_eq!(bench.next(), None, "another definition waits");
            bench.fetched(&history, &[]);
        }
    }
    bench.schedule.restore(bench.clock.uptime(), 1_000, None);
    assert_eq!(asked(&mut bench), Some(sessions(0..3)));
    bench.answered(&sessions(0..3));
    assert_eq!(asked(&mut bench), None);
    assert!(!bench.schedule.wants_sessions());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_halved_and_given_up_alone() {
    let mut bench = settled().await;
    bench.schedule.want_sessions(sessions(0..8));
    let (mut answered, mut calls) = (Vec::new(), 0);
    while let Some(ids) = asked(&mut bench) {
        calls += 1;
        let bad = SessionId::new("5");
        if !ids.contains(&bad) {
            bench.answered(&ids);
            answered.extend(ids);
            continue;
        }
        bench.failed(&Request::Sessions(ids), Failure::Refused);
    }
    assert_eq!(answered.len(), 7);
    assert_eq!(bench.schedule.sessions_given_up(), sessions(5..6));
    assert_eq!(bench.schedule.sessions_given_up(), []);
    assert!(calls < 12, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_all_costs_a_call_an_hour() {
    let mut bench = settled().await;
    bench.schedule.want_sessions(sessions(0..1_000));
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

impl Bench {
    fn answered(&mut self, ids: &[SessionId]) {
        self.schedule.sessions_fetched(self.clock.uptime(), ids);
    }

    /// Goes on for so long, while calls of sessions end as `answer` says; returns them.
    async fn goes_on(
        &mut self,
        time: Duration,
        mut answer: impl FnMut(&[SessionId]) -> Option<Failure>,
    ) -> Vec<Vec<SessionId>> {
        let mut calls = Vec::new();
        for _ in 0..time.as_secs() {
            while let Some(request) = self.next() {
                match request {
                    Request::Definitions => self.heard(&set(&ids(0..2)), &[], true),
                    Request::Sessions(ids) => {
                        match answer(&ids) {
                            None => self.answered(&ids),
                            Some(failure) => {
                                self.failed(&Request::Sessions(ids.clone()), failure);
                            }
                        }
                        calls.push(ids);
                    }
                    other => self.fetched(&other, &[]),
                }
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        calls
    }
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn one_that_always_fails_holds_no_other_up_and_is_given_up() {
    for reason in [
        Reason::Server,
        Reason::Timeout,
        Reason::Decode,
        Reason::Connect,
    ] {
        for number in [0, 700, 999] {
            let mut bench = settled().await;
            bench.schedule.want_sessions(sessions(0..1_000));
            let bad = sessions(number..number + 1);
            let failure = Failure::Temporary(reason);
            let mut left = set_of(&sessions(0..1_000));
            let mut answer = |ids: &[SessionId]| {
                let fails = ids.contains(&bad[0]);
                left.retain(|id| fails || !ids.contains(id));
                fails.then_some(failure)
            };
            let calls = bench.goes_on(HOUR, &mut answer).await;
            assert!(calls.len() < 60, "{} calls", calls.len());
            let others = bench.goes_on(6 * HOUR, &mut answer).await;
            assert!(others.len() < 6, "{others:?}");
            assert_eq!(left, set_of(&bad));
            assert_eq!(bench.schedule.sessions_given_up(), bad);
            assert!(!bench.schedule.wants_sessions());
        }
    }
}

fn set_of(ids: &[SessionId]) -> BTreeSet<SessionId> {
    ids.iter().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_for_hours_costs_few_calls_and_loses_nothing() {
    for count in [1, 3, 1_000] {
        let mut bench = settled().await;
        bench.schedule.want_sessions(sessions(0..count));
        let server = Failure::Temporary(Reason::Server);
        let calls = bench.goes_on(4 * HOUR, |_| Some(server)).await;
        assert!((5..=240).contains(&calls.len()), "{} calls", calls.len());
        let mut left = set_of(&sessions(0..count));
        let calls = bench.goes_on(5 * HOUR, |ids| {
            left.retain(|id| !ids.contains(id));
            None
        });
        assert!(calls.await.len() < 120);
        assert_eq!(left, BTreeSet::new());
        assert_eq!(bench.schedule.sessions_given_up(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_of_all_calls_parts_no_batch() {
    for failure in [
        Failure::Forbidden,
        Failure::Throttled(None),
        Failure::Temporary(Reason::Auth),
    ] {
        let mut bench = settled().await;
        bench.schedule.want_sessions(sessions(0..3));
        let calls = bench.goes_on(HOUR, |_| Some(failure)).await;
        assert!(calls.len() > 2 && calls.iter().all(|ids| *ids == sessions(0..3)));
    }
}

#[tokio::test(start_paused = true)]
async fn how_many_ids_are_allowed_is_remembered_for_a_day() {
    for allowed in [Some(100), None] {
        let mut bench = settled().await;
        let mut refused = 0;
        let mut answer = |ids: &[SessionId]| {
            let is_too_large = ids.len() > 125;
            refused += usize::from(is_too_large);
            is_too_large.then_some(Failure::BatchTooLarge(allowed))
        };
        bench.schedule.want_sessions(sessions(0..1_000));
        let calls = bench.goes_on(HOUR, &mut answer).await;
        let learned = allowed.unwrap_or(125);
        assert_eq!(calls.last().map(Vec::len), Some(learned), "{allowed:?}");
        tokio::time::advance(24 * HOUR).await;
        bench.schedule.want_sessions(sessions(0..1_000));
        let calls = bench.goes_on(HOUR, &mut answer).await;
        assert_eq!(calls[0].len(), 2 * learned, "a larger batch is tried");
        assert_eq!(calls[1].len(), learned);
        assert_eq!(refused, allowed.map_or(4, |_| 2));
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_nobody_asks_for_any_more_are_forgotten() {
    let mut bench = settled().await;
    bench.schedule.want_sessions(sessions(0..1));
    let failure = Failure::Temporary(Reason::Server);
    assert_eq!(asked(&mut bench), Some(sessions(0..1)));
    bench.failed(&Request::Sessions(sessions(0..1)), failure);
    bench.schedule.want_sessions(sessions(1..3));
    bench.schedule.keep_sessions(|id| id.as_str() == "2");
    let calls = bench.goes_on(HOUR, |_| None).await;
    assert_eq!(calls, [sessions(2..3)]);
    assert!(!bench.schedule.wants_sessions());
}

#[tokio::test(start_paused = true)]
async fn beyond_a_bound_the_oldest_are_given_up() {
    let mut bench = settled().await;
    bench.schedule.want_sessions(sessions(0..100_002));
    assert_eq!(bench.schedule.sessions_given_up(), sessions(0..2));
}

#[tokio::test(start_paused = true)]
async fn where_it_is_off_nothing_is_asked_for() {
    let mut bench = settled().await;
    let poll = Poll {
        sessions: false,
        ..Poll::default()
    };
    bench.schedule = Schedule::new(poll, bench.clock.uptime(), 1);
    bench.schedule.want_sessions(sessions(0..3));
    assert_eq!(bench.schedule.sessions_given_up(), sessions(0..3));
    assert!(bench.schedule.sessions.due().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_asked_for_with_a_session_holds_no_list_up() {
    let mut bench = settled().await;
    bench.schedule.want_sessions(sessions(0..2));
    let ids = asked(&mut bench).expect("both");
    let busy = Failure::Busy(Reason::Server, HOUR);
    bench.failed(&Request::Sessions(ids), busy);
    assert_eq!(bench.schedule.paused_until(bench.clock.uptime()), None);
    bench.list_again(&set(&self::ids(0..2)), &[]).await;
    assert_eq!(bench.next(), None, "sessions wait, and nothing else does");
    tokio::time::advance(HOUR).await;
    let asked: Vec<_> = std::iter::from_fn(|| bench.next()).collect();
    let parts = asked
        .iter()
        .filter(|request| matches!(request, Request::Sessions(ids) if ids.len() == 1));
    assert_eq!(parts.count(), 1, "{asked:?}");
}
