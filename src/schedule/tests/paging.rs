//! Lists of many pages, and of pages without end.

use super::*;

impl Bench {
    /// A page of the list has been answered, of which another is to come.
    fn page(&mut self, appeared: &[DefinitionId]) {
        let now = self.clock.uptime();
        let page = ListingDiff {
            appeared: appeared.to_vec(),
            changed: appeared.to_vec(),
            ..ListingDiff::default()
        };
        self.schedule.page_listed(now, &page);
        self.schedule.go_on(&Request::Definitions, now);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_end_leaves_half_of_the_budget() {
    let mut bench = Bench::new(80, 1_200);
    bench.schedule.agents = ListTimer::new(Some(Duration::from_mins(10)), bench.clock.uptime(), 1);
    bench.schedule.restore(bench.clock.uptime(), 1, None);
    let all = ids(0..10_000);
    let mut new = all.chunks(10);
    let start = bench.clock.uptime();
    let (mut lists, mut history, mut agents) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let request = bench.wait().await;
        let now = bench.clock.uptime();
        if now.since(start) > Duration::from_hours(3) {
            break;
        }
        // No answer comes at once.
        tokio::time::advance(Duration::from_millis(100)).await;
        match &request {
            Request::Definitions => {
                lists.push(now);
                bench.page(new.next().unwrap_or_default());
            }
            Request::History(_) => {
                history.push(now);
                bench.fetched(&request, &[]);
            }
            Request::Agents => {
                agents.push(now);
                bench.schedule.go_on(&Request::Agents, bench.clock.uptime());
            }
            Request::Sessions(_) => unreachable!("none is asked for"),
        }
    }
    let most = |calls: &[Uptime], window: Duration| {
        let within = |from: &Uptime| {
            let end = *from + window;
            calls.iter().filter(|at| (*from..end).contains(at)).count()
        };
        calls.iter().map(within).max().unwrap_or_default()
    };
    let minute = Duration::from_mins(1);
    assert!(most(&lists, minute) <= 41, "{}", most(&lists, minute));
    let hour = Duration::from_hours(1);
    assert!(most(&lists, hour) <= 676, "{}", most(&lists, hour));
    assert!(history.len() >= 3 * 400, "{}", history.len());
    assert!(agents.len() > 10, "{}", agents.len());
}

#[tokio::test(start_paused = true)]
async fn rounds_that_take_half_of_an_hour_do_not_grow_longer() {
    let mut bench = Bench::new(80, 1_200);
    let mut longest = Duration::ZERO;
    for _ in 0..600 {
        let mut started = None;
        let mut pages = 0;
        while pages < 10 {
            match bench.schedule.next(bench.clock.uptime(), &bench.budget) {
                Decision::Sleep(until) => bench.clock.sleep_until(until.expect("a page")).await,
                Decision::Call(_, slot) => {
                    started.get_or_insert(bench.clock.uptime());
                    let permit = slot.pay_at_once().expect("no disk");
                    tokio::time::advance(Duration::from_millis(500)).await;
                    permit.answered();
                    pages += 1;
                    if pages < 10 {
                        bench.page(&[]);
                    }
                }
            }
        }
        let now = bench.clock.uptime();
        longest = longest.max(now.since(started.expect("it began")));
        let listed = ListingDiff {
            names_runs: true,
            ..ListingDiff::default()
        };
        bench.schedule.listed(now, 10, &listed, &bench.budget);
    }
    assert!(longest < Duration::from_secs(6), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn history_of_a_long_list_waits_for_a_full_batch_or_a_while() {
    let mut bench = Bench::new(100, 1_500);
    bench.schedule.restore(bench.clock.uptime(), 20, None);
    let all = ids(0..50);
    assert_eq!(bench.next(), Some(Request::Definitions));
    bench.page(&all[..10]);
    assert_eq!(bench.next(), Some(Request::Definitions));
    assert_eq!(
        bench.next(),
        None,
        "half of a batch, and another page comes"
    );
    bench.page(&all[10..30]);
    assert_eq!(bench.next(), Some(Request::Definitions));
    let full = Request::History(all[..20].to_vec());
    assert_eq!(bench.next(), Some(full.clone()), "a batch is full");
    bench.fetched(&full, &[]);
    assert_eq!(bench.next(), None);
    tokio::time::advance(Duration::from_secs(15)).await;
    let rest = Request::History(all[20..30].to_vec());
    assert_eq!(bench.next(), Some(rest.clone()), "the page takes its time");
    bench.fetched(&rest, &[]);
    bench.page(&all[30..40]);
    assert_eq!(bench.next(), Some(Request::Definitions));
    assert_eq!(bench.next(), None);
    bench.failed(&Request::Definitions, Failure::Temporary(Reason::Server));
    let left = Request::History(all[30..40].to_vec());
    assert_eq!(bench.next(), Some(left), "no other page comes");
}

#[tokio::test(start_paused = true)]
async fn however_small_the_budget_pages_come_to_their_end() {
    for calls in 1..12 {
        let mut bench = Bench::new(calls, calls * 60);
        bench.schedule.agents =
            ListTimer::new(Some(Duration::from_mins(1)), bench.clock.uptime(), 1);
        for request in [Request::Definitions, Request::Agents] {
            let (mut pages, end) = (0, bench.clock.uptime() + Duration::from_hours(1));
            while pages < 3 && bench.clock.uptime() < end {
                let asked = bench.wait().await;
                pages += usize::from(asked == request);
                bench.schedule.go_on(&asked, bench.clock.uptime());
            }
            assert_eq!(pages, 3, "{calls} calls a minute, {request:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_wait_where_no_call_is_allowed() {
    let mut bench = Bench::new(80, 1_200);
    assert_eq!(bench.next(), Some(Request::Definitions));
    bench.page(&ids(0..1));
    // It is empty: nothing is left to others.
    let reserve = Reserve::after(None, bench.clock.uptime());
    bench.budget.run_on_reserve(reserve);
    assert_eq!(bench.next(), None);
    tokio::time::advance(Duration::from_mins(61)).await;
    assert_eq!(bench.next(), Some(Request::Definitions));
}
