//! Ids that the service refuses to answer for.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_bad_id_is_found_by_halving_and_quarantined_for_a_day() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..16);
    let bad = &all[11];
    bench.listed(&set(&all), &all);
    let mut good = BTreeSet::new();
    let mut calls = 0;
    while let Some(request) = bench.next() {
        calls += 1;
        let Request::History(ids) = &request else {
            panic!("not history")
        };
        if ids.contains(bad) {
            bench.failed(&request, Failure::Refused);
        } else {
            bench.fetched(&request, &[]);
            good.extend(ids.clone());
        }
    }
    assert_eq!(good.len(), 15);
    assert_eq!(calls, 9, "1 + 2 log2(16)");
    assert_eq!(bench.schedule.quarantined(bench.clock.uptime()), 1);
    tokio::time::advance(Duration::from_hours(24)).await;
    assert_eq!(bench.schedule.quarantined(bench.clock.uptime()), 0);
    bench.listed(&set(&all), &[]);
    let Some(Request::History(again)) = bench.next() else {
        panic!("it is tried again")
    };
    assert!(again.contains(bad));
}

#[tokio::test(start_paused = true)]
async fn a_broken_endpoint_quarantines_nothing() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..64);
    bench.listed(&set(&all), &all);
    let mut calls = 0;
    while let Some(request) = bench.next() {
        calls += 1;
        bench.failed(&request, Failure::Refused);
    }
    assert!(calls < 30, "{calls} calls");
    assert_eq!(bench.schedule.quarantined(bench.clock.uptime()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_broken_endpoint_quarantines_nothing_of_a_small_tenant() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..3);
    bench.listed(&set(&all), &all);
    while let Some(request) = bench.next() {
        bench.failed(&request, Failure::Refused);
    }
    assert!(bench.schedule.history_is_failing());
    assert_eq!(bench.schedule.quarantined(bench.clock.uptime()), 0);
}

#[tokio::test(start_paused = true)]
async fn many_bad_ids_in_a_row_do_not_keep_the_others_waiting() {
    let mut bench = Bench::new(100, 1_500);
    let all = ids(0..64);
    let bad = set(&all[..16]);
    bench.listed(&set(&all), &all);
    let mut good = BTreeSet::new();
    let start = bench.clock.uptime();
    while bench.clock.uptime().since(start) < Duration::from_mins(5) {
        match bench.wait().await {
            Request::History(ids) if ids.iter().any(|id| bad.contains(id)) => {
                bench.failed(&Request::History(ids), Failure::Refused);
            }
            Request::History(ids) => {
                bench.fetched(&Request::History(ids.clone()), &[]);
                good.extend(ids);
            }
            _ => bench.heard(&set(&all), &[], true),
        }
    }
    assert_eq!(good, set(&all[16..]));
}
