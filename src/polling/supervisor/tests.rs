use std::path::PathBuf;

use futures::FutureExt as _;

use super::*;
use crate::budget::Reserved;
use crate::clock::Timestamp;
use crate::model::health::Collector;

const EXCLUSIVE: &str = "quota: {exclusive: true}";

fn config(names: &[&str], budget: &str) -> Config {
    let tenant = |name: &&str| {
        format!(
            "  - {{name: {name}, tenant_id: 3f0e6d0e-0000-4000-8000-000000000001, \
             api_base_url: 'http://127.0.0.1:1', authority_host: 'https://127.0.0.1:1', \
             credential: {{type: client_secret, client_id: 3f0e6d0e-0000-4000-8000-{:0>12}, client_secret: x}}, {budget}}}\n",
            name.len()
        )
    };
    let tenants: String = names.iter().map(tenant).collect();
    let (config, _) = Config::parse(&format!("tenants:\n{tenants}"), "test").expect("it is good");
    config
}

/// The supervisor of one shard, with a state in `folder`.
async fn supervisor(folder: Option<PathBuf>, clock: &Clock, shard: Shard) -> Supervisor {
    let store = match folder {
        Some(folder) => {
            let open = || Store::open(&folder, clock.clone(), Arc::new(|_| ()));
            let mut store = open().await;
            // The one before may keep its file for a while, whatever the runtime's time is.
            for _ in 0..3_000 {
                if !matches!(store, Err(StoreError::InUse(_))) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
                store = open().await;
            }
            Some(store.expect("the folder can be written"))
        }
        None => None,
    };
    let around = Shared {
        snapshot: Snapshot::default(),
        store,
        expected: Expected::default(),
        shard,
        clock: clock.clone(),
    };
    Supervisor::new(around, CancellationToken::new())
}

/// What is published of one tenant.
fn view(supervisor: &Supervisor, name: &str) -> Arc<crate::polling::snapshot::TenantView> {
    let tenants = supervisor.around.snapshot.read();
    Arc::clone(&tenants[&TenantName::new(name)])
}

/// Waits for the disk, while the paused time stands still: the runtime is not asked.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        if let Some(done) = work.as_mut().now_or_never() {
            return done;
        }
        std::thread::yield_now();
    }
}

/// A panic in one poller costs that tenant alone, which is restarted after growing pauses and counted.
#[tokio::test]
async fn a_poller_that_panics_starts_anew_and_no_other_is_disturbed() {
    let clock = Clock::system();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = Some(folder.path().to_owned());
    let mut supervisor = supervisor(path, &clock, Shard::default()).await;
    let applied = supervisor.apply(&config(&["a", "bc"], EXCLUSIVE)).await;
    assert_eq!(applied.expect("it can be applied").added, 2);
    let name = TenantName::new("a");
    let mut waits = Vec::new();
    for times in 1..=3 {
        let task = supervisor.tasks.iter().find(|(_, tenant)| **tenant == name);
        let (id, _) = task.expect("it is polled");
        let id = *id;
        // Its task ends, and one that panics takes its place.
        supervisor.tasks.remove(&id);
        supervisor.members[&name].stop.cancel();
        let task = supervisor.pollers.spawn(async { panic!("planted") });
        supervisor.tasks.insert(task.id(), name.clone());
        let before = clock.uptime();
        while view(&supervisor, "a").health.restarts < times {
            supervisor.watch().await;
        }
        let member = &supervisor.members[&name];
        let starts = member.started.since(before);
        assert!(starts >= member.restart / 2, "after {starts:?}");
        waits.push(member.restart.as_secs());
        assert!(!member.stop.is_cancelled());
    }
    assert_eq!(waits, [2, 4, 8], "the next time it waits longer");
    assert_eq!(view(&supervisor, "bc").health.restarts, 0);
    supervisor.shut_down().await;
}

/// Without a state nothing is known; and a tenant that comes back within the same process has a
/// gap of the length for which it was away.
#[tokio::test(start_paused = true)]
async fn a_tenant_that_was_away_runs_on_the_reserve() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let mut supervisor = supervisor(None, &clock, Shard::default()).await;
    let both = config(&["a", "bc"], "");
    let without = config(&["a"], "");
    supervisor.apply(&both).await.expect("it can be applied");
    let reserve = |supervisor: &Supervisor, name: &str| view(supervisor, name).budget.reserve();
    let hour = Some(clock.uptime() + Duration::from_hours(1));
    assert_eq!(reserve(&supervisor, "bc").hour, hour, "nothing was known");
    tokio::time::advance(Duration::from_hours(2)).await;
    for (away, hours) in [(2, 0), (4, 1)] {
        supervisor.apply(&without).await.expect("it can be applied");
        // A call that counts keeps the budget in memory, as it would be in use.
        tokio::time::advance(Duration::from_mins(away)).await;
        supervisor.apply(&both).await.expect("it can be applied");
        let now = clock.uptime();
        let reserve = reserve(&supervisor, "bc");
        let of_hour = reserve.hour.filter(|until| *until > now);
        assert_eq!(of_hour.is_some(), hours == 1, "{away} minutes away");
        assert!(reserve.minute > Some(now), "{away} minutes away");
        assert_eq!(view(&supervisor, "a").budget.reserve().until(now), None);
        tokio::time::advance(Duration::from_hours(2)).await;
    }
    supervisor.shut_down().await;
}

/// Whoever holds a budget throughout a reload knows all that was spent of it: a tenant with other
/// settings or under another name, and two that change places. Another application has a budget
/// of its own, and the former one's is released.
#[tokio::test]
async fn a_reload_releases_only_budgets_that_nobody_goes_on_with() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = Some(folder.path().to_owned());
    let mut supervisor = supervisor(path, &clock, Shard::default()).await;
    // The length of a name is its application.
    let changes = [
        (vec!["a", "bc"], "", true),
        (vec!["a", "bc"], "poll: {definitions: 2m}", false),
        (vec!["a", "bc"], "quota: {use: 100%}", false),
        (vec!["z", "bc"], "", false),
        (vec!["xy", "b"], "", false),
        (vec!["xyz", "b"], "", true),
        (vec!["xy", "b"], "", true),
    ];
    for (names, settings, is_on_reserve) in changes {
        let applied = supervisor.apply(&config(&names, settings)).await;
        applied.expect("it can be applied");
        let now = clock.uptime();
        let on_reserve = |name: &&str| {
            view(&supervisor, name)
                .budget
                .reserve()
                .until(now)
                .is_some()
        };
        let found = names.iter().any(on_reserve);
        assert_eq!(found, is_on_reserve, "{names:?} {settings}");
        // Time passes during a reload, but not two hours.
        tokio::time::pause();
        tokio::time::advance(Duration::from_hours(2)).await;
        tokio::time::resume();
    }
    supervisor.shut_down().await;
}

/// Shards hand a tenant to each other under load, 1 → 3 → 1, by turns, with gaps of all
/// lengths: whoever takes it over does not know what the other spent, and yet the service
/// never sees more than the API allows. Every exporter spends all that it may.
#[tokio::test(start_paused = true)]
async fn shards_that_take_over_from_each_other_keep_to_the_limits_together() {
    for held in [20, 200, 1_000] {
        let clock = Clock::anchored(Timestamp::from_unix_millis(0));
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder can be made"));
        let mut seen: Vec<u128> = Vec::new();
        for turn in 0..8 {
            let path = folders[turn % 2].path().to_owned();
            let mut supervisor = supervisor(Some(path), &clock, Shard::default()).await;
            let config = config(&["a"], "");
            supervisor.apply(&config).await.expect("it can be applied");
            // The pollers reach nobody: this test spends their budget.
            let budget = view(&supervisor, "a").budget.clone();
            let end = clock.uptime() + Duration::from_secs(held);
            while clock.uptime() < end {
                let slot = budget.try_acquire(Collector::History, Reserved::default());
                let Ok(slot) = slot else {
                    tokio::time::advance(Duration::from_millis(500)).await;
                    continue;
                };
                if let Ok(permit) = at_once(slot.pay()) {
                    seen.push(clock.uptime().since_boot().as_millis());
                    permit.answered();
                }
            }
            supervisor.shut_down().await;
        }
        for (window, limit) in [(60_000, 100), (3_600_000, 1_500)] {
            let most = seen.iter().enumerate().map(|(index, first)| {
                let within = seen[index..].iter().take_while(|at| *at - first < window);
                within.count()
            });
            let most = most.max().unwrap_or_default();
            assert!(most <= limit, "{most} calls in {window} ms, {held} s each");
            assert!(most >= 20, "the test spends something: {most}");
        }
    }
}

/// Where nothing else spends the budget, a restart costs nothing: all calls are in the log.
#[tokio::test(start_paused = true)]
async fn an_exclusive_budget_knows_no_gap_but_a_lost_state() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = Some(folder.path().to_owned());
    let config = config(&["a"], EXCLUSIVE);
    for (away, on_reserve) in [(0, true), (2, false), (1, false)] {
        tokio::time::advance(Duration::from_hours(away)).await;
        let mut supervisor = supervisor(path.clone(), &clock, Shard::default()).await;
        // Else hours might pass until the disk has answered.
        at_once(supervisor.apply(&config)).expect("it can be applied");
        let until = view(&supervisor, "a")
            .budget
            .reserve()
            .until(clock.uptime());
        assert_eq!(until.is_some(), on_reserve, "after {away} hours");
        supervisor.shut_down().await;
    }
    std::fs::remove_file(folder.path().join("state.redb")).expect("it is there");
    let mut supervisor = supervisor(path, &clock, Shard::default()).await;
    at_once(supervisor.apply(&config)).expect("it can be applied");
    let until = view(&supervisor, "a")
        .budget
        .reserve()
        .until(clock.uptime());
    assert!(until.is_some(), "what was spent is forgotten");
    supervisor.shut_down().await;
}
