//! Batches that fail for now, or whose answers lack their end.

use super::*;

const SLOW: Failure = Failure::Temporary(Reason::Timeout);

/// The next batch of history; lists on the way name nothing new.
async fn batch(bench: &mut Bench) -> Vec<DefinitionId> {
    loop {
        match bench.wait().await {
            Request::History(ids) => return ids,
            _ => bench.heard(&bench.known.clone(), &[], true),
        }
    }
}

fn end(bench: &mut Bench, ids: &[DefinitionId], failure: Option<Failure>) {
    let request = Request::History(ids.to_vec());
    match failure {
        Some(failure) => bench.failed(&request, failure),
        None => bench.fetched(&request, &[]),
    }
}

/// So many definitions, which all have changed.
fn changed(count: usize) -> (Bench, Vec<DefinitionId>) {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..count);
    bench.listed(&set(&all), &all);
    (bench, all)
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_again_and_again_is_halved() {
    let (mut bench, all) = changed(8);
    let mut fetched = BTreeSet::new();
    for size in [8, 8, 8, 4, 4, 4, 2, 2, 4, 4, 4, 2, 2] {
        let ids = batch(&mut bench).await;
        assert_eq!(ids.len(), size);
        let slow = ids.len() > 2;
        end(&mut bench, &ids, slow.then_some(SLOW));
        fetched.extend(ids.into_iter().filter(|_| !slow));
    }
    assert_eq!(fetched, set(&all));
    assert_eq!(
        bench.schedule.batch_size(),
        1_000,
        "other batches may be quicker"
    );
}

#[tokio::test(start_paused = true)]
async fn two_failures_in_a_row_halve_nothing() {
    let (mut bench, all) = changed(8);
    let other = Failure::Throttled(None);
    for failure in [SLOW, SLOW, other, SLOW, SLOW] {
        assert_eq!(batch(&mut bench).await, all);
        end(&mut bench, &all, Some(failure));
    }
    assert_eq!(batch(&mut bench).await, all);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_always_fails_keeps_no_other_waiting() {
    for failure in [
        Reason::Timeout,
        Reason::Server,
        Reason::Connect,
        Reason::Decode,
    ] {
        let (mut bench, all) = changed(8);
        let mut left = set(&all[1..]);
        let mut answer = async |bench: &mut Bench| {
            let ids = batch(bench).await;
            let fails = ids.contains(&all[0]);
            end(bench, &ids, fails.then_some(Failure::Temporary(failure)));
            left.retain(|id| fails || !ids.contains(id));
            (ids, left.len())
        };
        let calls = async {
            for _ in 0..20 {
                if answer(&mut bench).await.1 == 0 {
                    return;
                }
            }
            panic!("some are left");
        };
        calls.await;
        // From then on it is alone, whatever else changes.
        for _ in 0..30 {
            bench.list_again(&set(&all), &all).await;
            while let Some(request) = bench.next() {
                let Request::History(ids) = request else {
                    panic!("{request:?}")
                };
                let fails = ids.contains(&all[0]);
                assert!(!fails || ids.len() == 1, "{failure:?}: {ids:?}");
                end(
                    &mut bench,
                    &ids,
                    fails.then_some(Failure::Temporary(failure)),
                );
            }
        }
    }
}

/// Answers until all are fetched; says how many calls it took.
async fn fetch(
    bench: &mut Bench,
    all: &[DefinitionId],
    is_short: impl Fn(&[DefinitionId]) -> bool,
) -> usize {
    let mut left = set(all);
    for call in 1..100 {
        let ids = batch(bench).await;
        let short = is_short(&ids);
        end(bench, &ids, short.then_some(Failure::Short));
        left.retain(|id| short || !ids.contains(id));
        if left.is_empty() {
            return call;
        }
    }
    panic!("left: {left:?}")
}

#[tokio::test(start_paused = true)]
async fn one_id_whose_answers_are_short_makes_no_other_batch_smaller() {
    let (mut bench, all) = changed(64);
    let calls = fetch(&mut bench, &all, |ids| {
        ids.len() > 1 && ids.contains(&all[40])
    })
    .await;
    assert_eq!(bench.schedule.batch_size(), 1_000);
    assert!(calls <= 14, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn where_answers_about_many_are_short_the_size_of_a_batch_is_learned() {
    let (mut bench, all) = changed(64);
    let calls = fetch(&mut bench, &all, |ids| ids.len() > 10).await;
    assert_eq!(bench.schedule.batch_size(), 8);
    assert!(calls <= 14, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_fails_alone_is_asked_for_every_ten_minutes_swept_or_not() {
    for names_runs in [true, false] {
        let (mut bench, all) = changed(4);
        let (mut tries, mut swept) = (Vec::new(), 0);
        let start = bench.clock.uptime();
        while bench.clock.uptime().since(start) < Duration::from_hours(30) {
            match bench.wait().await {
                Request::History(ids) => {
                    assert!(!ids.is_empty());
                    let fails = ids.contains(&all[0]);
                    if ids.len() == 1 && fails {
                        tries.push(bench.clock.uptime());
                    }
                    swept += usize::from(!fails);
                    let failure = Failure::Temporary(Reason::Server);
                    end(&mut bench, &ids, fails.then_some(failure));
                }
                _ => bench.heard(&set(&all), &[], names_runs),
            }
        }
        let apart = tries.windows(2).skip(3).map(|pair| pair[1].since(pair[0]));
        assert!(apart.min() >= Some(Duration::from_mins(10)), "{names_runs}");
        assert!(tries.len() > 170, "{names_runs}: {}", tries.len());
        assert!(swept >= 2, "{names_runs}: {swept}");
    }
}
