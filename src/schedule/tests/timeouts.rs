//! Batches whose answers do not come in time.

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
async fn a_batch_that_times_out_again_and_again_is_halved() {
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
async fn two_timeouts_in_a_row_halve_nothing() {
    let (mut bench, all) = changed(8);
    let other = Failure::Temporary(Reason::Connect);
    for failure in [SLOW, SLOW, other, SLOW, SLOW] {
        assert_eq!(batch(&mut bench).await, all);
        end(&mut bench, &all, Some(failure));
    }
    assert_eq!(batch(&mut bench).await, all);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_always_times_out_keeps_no_other_waiting() {
    let (mut bench, all) = changed(8);
    let mut left = set(&all[1..]);
    for _ in 0..20 {
        let ids = batch(&mut bench).await;
        let slow = ids.contains(&all[0]);
        end(&mut bench, &ids, slow.then_some(SLOW));
        left.retain(|id| slow || !ids.contains(id));
    }
    assert!(left.is_empty(), "{left:?}");
}
