use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use redb::Database;

use super::rows::BudgetRow;
use super::tenant::put_budget;
use super::*;
use crate::budget::{CallLog, Limits, NotWritten, Reserve, Reserved};
use crate::model::health::{Collector, Lifecycle};
use crate::model::{Definition, Targets};

const DAY_MS: i64 = 86_400_000;
const STATE: &str = "state.redb";

fn clock() -> Clock {
    Clock::anchored(Timestamp::from_unix_millis(1_000 * DAY_MS))
}

pub(super) async fn open(folder: &Path, clock: &Clock) -> Store {
    open_telling(folder, clock, Arc::new(|_| ())).await
}

/// Opens the state once nothing else has it open: whoever drops a store does not wait for long
/// until its file is closed.
async fn open_telling(folder: &Path, clock: &Clock, on_event: OnEvent) -> Store {
    for _ in 0..3_000 {
        match Store::open(folder, clock.clone(), Arc::clone(&on_event)).await {
            // The time of the runtime may be a test's own.
            Err(StoreError::InUse(_)) => thread::sleep(Duration::from_millis(20)),
            opened => return opened.expect("the folder can be written"),
        }
    }
    panic!("the former store keeps the file for a minute");
}

/// Opens the state, and counts failures.
async fn open_counting(folder: &Path, clock: &Clock) -> (Store, Arc<AtomicUsize>) {
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    let on_event = move |event| {
        if event == StoreEvent::Failed {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    };
    let store = open_telling(folder, clock, Arc::new(on_event)).await;
    (store, failures)
}

fn name() -> TenantName {
    TenantName::new("contoso")
}

pub(super) fn budget_key(name: &str) -> BudgetKey {
    BudgetKey::of("directory", name, "https://api.example")
}

fn key() -> BudgetKey {
    budget_key("application")
}

/// A question about a tenant.
pub(super) fn asked(tenant: &TenantName, budget: &BudgetKey, directory: &str) -> Asked {
    Asked {
        tenant: tenant.clone(),
        budget: budget.clone(),
        directory: directory.to_owned(),
    }
}

async fn load(store: &Store) -> Loaded {
    let loaded = store.load(asked(&name(), &key(), "directory")).await;
    loaded.expect("it can be read")
}

fn definition(id: &DefinitionId) -> DefinitionState {
    let definition = Definition {
        scan_name: "core".into(),
        ..Definition::unlisted(id)
    };
    DefinitionState {
        scan: RunHistory {
            created: Some(Timestamp::from_unix_millis(7)),
            ..RunHistory::new(definition)
        },
        fetched: None,
        quarantined_until: None,
        vanished: None,
    }
}

pub(super) fn changes(store: &TenantStore, now: Uptime, definitions: usize) -> Changes {
    let ids = (0..definitions).map(|number| DefinitionId::new(&format!("{number:05}")));
    let collectors = [(); 4].map(|()| CollectorHealth {
        truncated: 3,
        endless: 4,
        values_unreadable: 5,
        lifecycle: Lifecycle {
            sunset: Some(Timestamp::from_unix_millis(5)),
            ..Lifecycle::default()
        },
        ..CollectorHealth::default()
    });
    Changes {
        tenant: TenantState {
            stamp: store.stamp(now),
            batch_size: 100,
            pause: Some(Duration::from_mins(5)),
            agents: Vec::new(),
            target_seconds: Histogram::new(crate::model::view::TARGET_SECONDS),
            collectors,
            auth_errors: BTreeMap::new(),
            directory: Some("directory".to_owned()),
            restarts: 0,
            links_refused: 0,
            created: Some(Timestamp::from_unix_millis(6)),
        },
        definitions: ids.map(|id| (id.clone(), Some(definition(&id)))).collect(),
    }
}

/// The budget as an exporter holds it that has just taken the tenant over.
async fn hold(store: &Store, clock: &Clock, limits: Limits) -> Budget {
    let loaded = load(store).await;
    let of = store.of(&name(), &key());
    let log: Arc<dyn CallLog> = Arc::new(of.clone());
    let budget = Budget::restore(clock.clone(), limits, loaded.calls, Some(log));
    budget.run_on_reserve(loaded.reserve);
    of.hold(&budget);
    budget
}

async fn call(budget: &Budget) -> Result<(), NotWritten> {
    let slot = budget.try_acquire(Collector::History, Reserved::default());
    slot.expect("one is free").pay().await?.answered();
    Ok(())
}

#[tokio::test]
async fn what_was_saved_comes_back_and_only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let store = open(folder.path(), &clock).await;
    let of = store.of(&name(), &key());
    let saved = changes(&of, clock.uptime(), 2 * ROWS + 1);
    assert!(of.save(saved).await.is_empty());
    drop((of, store));
    let path = folder.path().join(STATE);
    let mode = || {
        let metadata = fs::metadata(&path).expect("the file is there");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let store = open(folder.path(), &clock).await;
    assert_eq!(mode(), 0o600, "others have no business in it");
    let loaded = load(&store).await;
    assert_eq!(loaded.definitions.len(), 2 * ROWS + 1);
    for (_, definition) in &loaded.definitions {
        let created = definition.scan.created;
        assert_eq!(created, Some(Timestamp::from_unix_millis(7)));
    }
    let tenant = loaded.tenant.expect("it was saved");
    assert_eq!(tenant.batch_size, 100);
    assert_eq!(tenant.created, Some(Timestamp::from_unix_millis(6)));
    for collector in tenant.collectors {
        let counted = [
            collector.truncated,
            collector.endless,
            collector.values_unreadable,
        ];
        assert_eq!(counted, [3, 4, 5]);
        assert_eq!(
            collector.lifecycle.sunset,
            Some(Timestamp::from_unix_millis(5))
        );
    }
    let (name, key) = (TenantName::new("contos"), budget_key("other"));
    let other = store.load(asked(&name, &key, "directory")).await;
    assert!(other.expect("it can be read").definitions.is_empty());
}

/// More tenants than are read at once, each with one definition more than the one before.
#[tokio::test]
async fn many_tenants_are_read_in_their_order_and_a_damaged_row_costs_itself_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let store = open(folder.path(), &clock).await;
    let tenants: Vec<_> = (0..70)
        .map(|number| TenantName::new(&format!("tenant-{number:02}")))
        .collect();
    for (number, tenant) in tenants.iter().enumerate() {
        let of = store.of(tenant, &key());
        let saved = changes(&of, clock.uptime(), number);
        assert!(of.save(saved).await.is_empty());
    }
    let damaged = store.write(Priority::Now, |writing| {
        let mut table = writing.open_table(DEFINITIONS)?;
        let row = ("tenant-40", "00020");
        table.insert(row, &b"no row"[..])?;
        Ok(())
    });
    assert_eq!(damaged.await, Ok(true));
    let asked = tenants
        .iter()
        .map(|tenant| asked(tenant, &key(), "directory"));
    let asked: Vec<_> = asked.collect();
    let all = store.load_all(&asked).await.expect("it can be read");
    assert_eq!(all.len(), tenants.len());
    for (number, (loaded, asked)) in all.iter().zip(asked).enumerate() {
        let ids = loaded.definitions.iter().map(|(id, _)| id.as_str());
        let is_there = |place: &usize| (number, *place) != (40, 20);
        let expected = (0..number).filter(is_there);
        let expected: Vec<_> = expected.map(|place| format!("{place:05}")).collect();
        assert_eq!(ids.collect::<Vec<_>>(), expected, "tenant {number}");
        let alone = store.load(asked).await.expect("it can be read");
        assert_eq!(format!("{loaded:?}"), format!("{alone:?}"));
    }
}

/// Calls are on the scale of uptime: however the wall clock jumps while the process is down,
/// they count exactly as long as they would have.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_while_down_frees_no_call_and_holds_none() {
    for jump in [-400 * DAY_MS, -3_600_000, 3_600_000, 400 * DAY_MS] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = clock();
        let limits = Limits::new(1, 10);
        let store = open(folder.path(), &clock).await;
        call(&hold(&store, &clock, limits).await)
            .await
            .expect("it can be written");
        drop(store);
        clock.jump(jump);
        tokio::time::advance(Duration::from_secs(59)).await;
        let store = open(folder.path(), &clock).await;
        let budget = hold(&store, &clock, limits).await;
        let free = || budget.try_acquire(Collector::History, Reserved::default());
        assert!(free().is_err(), "a jump of {jump} ms frees nothing");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(free().is_ok(), "a jump of {jump} ms holds nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stamp_is_as_old_as_its_boot_says_and_else_as_the_wall_clock_says() {
    let clock = clock();
    let here = Stamp::new(clock.boot_id(), clock.uptime(), clock.wall());
    let elsewhere = Stamp::new(Some("other".to_owned()), clock.uptime(), clock.wall());
    let minute = Duration::from_mins(1);
    tokio::time::advance(minute).await;
    assert_eq!((here.age(&clock), elsewhere.age(&clock)), (minute, minute));
    clock.jump(-DAY_MS);
    assert_eq!(
        (here.age(&clock), elsewhere.age(&clock)),
        (minute, Duration::ZERO)
    );
}

/// How long ago the budget was held follows from the exporter's own sign of life, or from when
/// it was given up; another boot, another file and another application are unknown.
#[tokio::test(start_paused = true)]
async fn how_long_a_budget_was_in_other_hands_is_known() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let minutes = |minutes| Some(Duration::from_mins(minutes));
    let store = open(folder.path(), &clock).await;
    let first = load(&store).await;
    assert_eq!((first.gap, first.is_complete), (None, false));
    let limits = Limits::new(9, 90).out_of(Limits::new(18, 180));
    let budget = hold(&store, &clock, limits).await;
    let reserve = Reserve::after(None, clock.uptime());
    budget.run_on_reserve(reserve);
    store.of(&name(), &key()).hold(&budget);
    // A sign of life goes with each transaction, if the last is old enough.
    tokio::time::advance(Duration::from_mins(10)).await;
    call(&budget).await.expect("it can be written");
    drop((budget, store));
    tokio::time::advance(Duration::from_mins(2)).await;
    let store = open(folder.path(), &clock).await;
    let killed = load(&store).await;
    assert_eq!((killed.gap, killed.is_complete), (minutes(2), true));
    assert_eq!(killed.reserve, reserve, "it goes on");
    let budget = hold(&store, &clock, limits).await;
    store.of(&name(), &key()).release(&budget);
    tokio::time::advance(Duration::from_mins(5)).await;
    call(&budget).await.expect("another sign of life");
    let released = load(&store).await;
    assert_eq!(released.gap, minutes(5), "given up is given up");
    let other = store
        .load(asked(&name(), &budget_key("another"), "directory"))
        .await;
    let other = other.expect("it can be read");
    assert_eq!((other.gap, other.is_complete), (None, false));
    tokio::time::advance(Duration::from_hours(1)).await;
    let other = store
        .load(asked(&name(), &budget_key("another"), "directory"))
        .await;
    let other = other.expect("it can be read");
    assert_eq!((other.gap, other.is_complete), (None, true));
}

/// Calls may be missing: as if another exporter had made them.
#[tokio::test]
async fn a_budget_with_a_damaged_log_of_calls_runs_on_the_reserve() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let store = open(folder.path(), &clock).await;
    let budget = hold(&store, &clock, Limits::new(80, 1_200)).await;
    call(&budget).await.expect("it can be written");
    let known = load(&store).await;
    assert!(known.is_complete && known.gap.is_some());
    let damaged = store.write(Priority::Now, |writing| {
        let mut table = writing.open_table(call_log::CALLS)?;
        table.insert((0, 0), &b"no row"[..])?;
        Ok(())
    });
    assert_eq!(damaged.await, Ok(true));
    // It is noticed even once the next call has been written in its place.
    for _ in 0..2 {
        let damaged = load(&store).await;
        assert_eq!((damaged.is_complete, damaged.gap), (false, None));
        call(&budget).await.expect("it can be written");
    }
    hold(&store, &clock, Limits::new(80, 1_200)).await;
    assert!(load(&store).await.is_complete);
}

/// A state of schema 3 with a call that cannot be read.
#[tokio::test]
async fn calls_that_cannot_be_migrated_are_missed() {
    const SINGLE: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("calls");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let path = folder.path().join(STATE);
    let budget = BudgetRow::new(
        Stamp::new(clock.boot_id(), clock.uptime(), clock.wall()),
        false,
        Reserve::default(),
    );
    for (row, is_complete) in [
        (None, true),
        (Some(&b"no row"[..]), false),
        (Some(&b"\x80"[..]), false),
    ] {
        fs::remove_file(&path).ok();
        write_schema(&path, 3);
        let database = Database::open(&path).expect("it was made");
        let writing = database.begin_write().expect("it can be written");
        put_budget(&writing, &key(), &budget).expect("it can be written");
        let mut calls = writing.open_table(SINGLE).expect("it can be opened");
        if let Some(row) = row {
            calls
                .insert((key().as_str(), 7), row)
                .expect("it can be written");
        }
        drop(calls);
        writing.commit().expect("it can be written");
        drop(database);
        let store = open(folder.path(), &clock).await;
        assert_eq!(load(&store).await.is_complete, is_complete);
    }
}

/// A tenant that is forgotten while the disk is busy is not forgotten once it is saved again.
#[tokio::test]
async fn what_is_sent_first_is_written_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path(), &Clock::system()).await;
    let of = store.of(&name(), &key()).delayed(Duration::from_millis(50));
    let changes = || changes(&of, store.0.clock.uptime(), 3);
    assert!(of.save(changes()).await.is_empty());
    let busy = store.write(Priority::Now, |_| {
        thread::sleep(Duration::from_millis(300));
        Ok(())
    });
    store.forget(&name());
    assert!(of.save(changes()).await.is_empty());
    assert_eq!(busy.await, Ok(true));
    let loaded = load(&store).await;
    assert_eq!(
        (loaded.tenant.is_some(), loaded.definitions.len()),
        (true, 3)
    );
}

/// A poll changes the counters of a collector, and seldom anything else.
#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_tenant_is_written_when_it_changes() {
    type Step = (&'static str, u64, fn(&mut TenantState), bool);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let store = open(folder.path(), &clock).await;
    let of = store.of(&name(), &key());
    let mut expected = clock.uptime();
    let mut changes = changes(&of, expected, 0);
    let save = async |changes: &mut Changes| {
        changes.tenant.stamp = of.stamp(clock.uptime());
        assert!(of.save(changes.clone()).await.is_empty());
        tokio::time::advance(Duration::from_mins(1)).await;
        load(&store).await.tenant.expect("it was saved")
    };
    let steps: [Step; 8] = [
        ("the first", 0, |_| (), true),
        ("nothing new", 0, |_| (), false),
        ("a call", 0, |it| it.collectors[1].truncated += 1, false),
        ("a restart", 0, |it| it.restarts += 1, true),
        (
            "a pause",
            0,
            |it| it.pause = Some(Duration::from_mins(5)),
            true,
        ),
        ("the same for longer", 0, |_| (), true),
        ("an hour later", 60, |it| it.pause = None, true),
        ("another", 60, |_| (), true),
    ];
    changes.tenant.pause = None;
    for (step, minutes, change, is_written) in steps {
        tokio::time::advance(Duration::from_mins(minutes)).await;
        change(&mut changes.tenant);
        let now = clock.uptime();
        if is_written {
            expected = now;
        }
        let known = save(&mut changes).await;
        assert_eq!(known.stamp.uptime_ms, rows::millis(expected), "{step}");
        let truncated = changes.tenant.collectors[1].truncated;
        assert_eq!(known.collectors[1].truncated, truncated, "{step}");
        assert_eq!(known.restarts, changes.tenant.restarts, "{step}");
        assert_eq!(known.pause, changes.tenant.pause, "{step}");
    }
}

/// What was leased and not settled counts from the restart, once: the rows of the restart are
/// of calls, so that the next one does not count them anew. A release costs nothing.
#[tokio::test(start_paused = true)]
async fn what_was_leased_counts_from_the_restart_and_a_release_gives_it_back() {
    const CALLS: usize = 5;
    for is_released in [false, true] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = clock();
        let limits = Limits::new(80, 1_200);
        let store = open(folder.path(), &clock).await;
        let budget = hold(&store, &clock, limits).await;
        for _ in 0..CALLS {
            call(&budget).await.expect("it can be written");
            load(&store).await;
        }
        let leased = budget.leased().len();
        assert!(leased > 2, "{leased}");
        if is_released {
            store.of(&name(), &key()).release(&budget);
        }
        drop((budget, store));
        tokio::time::advance(Duration::from_mins(30)).await;
        for restart in 0..2 {
            let store = open(folder.path(), &clock).await;
            let budget = hold(&store, &clock, limits).await;
            let [minute, hour] = budget.usage().map(|usage| usage.used);
            let fresh = if is_released || restart > 0 {
                0
            } else {
                leased
            };
            assert!(minute >= fresh, "{minute} of {leased}");
            assert!(fresh > 0 || minute == 0, "{minute} of {leased}");
            let known = CALLS + if is_released { 0 } else { leased };
            assert_eq!(hour, known, "nothing is lost");
            load(&store).await;
            drop((budget, store));
            tokio::time::advance(Duration::from_mins(5)).await;
        }
    }
}

/// Who does not say when it ends has nothing to give back.
#[tokio::test]
async fn a_check_leases_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let store = open(folder.path(), &clock).await;
    let log: Arc<dyn CallLog> = Arc::new(store.of(&name(), &key()).without_leases());
    let budget = Budget::restore(clock, Limits::new(80, 1_200), [], Some(log));
    for _ in 0..8 {
        call(&budget).await.expect("it can be written");
        load(&store).await;
    }
    assert_eq!(load(&store).await.calls.len(), 8);
}

/// What many tenants save within some seconds shares a transaction; one alone does not wait, and
/// who is in a hurry takes all others along.
#[tokio::test]
async fn what_is_in_no_hurry_shares_a_transaction() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    let on_event = move |event| {
        if matches!(event, StoreEvent::Committed(_)) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    };
    let clock = Clock::system();
    let store = Store::open(folder.path(), clock.clone(), Arc::new(on_event)).await;
    let store = store.expect("the folder can be written");
    let of = |number: usize| {
        let name = format!("tenant-{number}");
        let store = store.of(&TenantName::new(&name), &budget_key(&name));
        store.delayed(Duration::from_hours(1))
    };
    let save = |number: usize| {
        let store = of(number);
        let saved = changes(&store, clock.uptime(), 1);
        tokio::spawn(async move { store.save(saved).await })
    };
    let first = save(0).await.expect("it does not panic");
    assert!(first.is_empty(), "it did not wait");
    let before = commits.load(Ordering::Relaxed);
    let begun = clock.uptime();
    let mut saves: Vec<_> = (1..100).map(save).collect();
    let mut asked = begun;
    while clock.uptime().since(begun) < Duration::from_secs(3) {
        let is_one_finished = saves.iter().any(tokio::task::JoinHandle::is_finished);
        // After a pause of a second they are written, and this test may be held up for so long.
        if clock.uptime().since(asked) >= Duration::from_millis(900) {
            break;
        }
        assert!(!is_one_finished);
        // Without a pause of a second, they would wait for an hour.
        asked = clock.uptime();
        store.run_aside(|_| ()).await.expect("the disk works");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    of(0).hurry();
    for save in saves.drain(..) {
        assert!(save.await.expect("it does not panic").is_empty());
    }
    let shared = commits.load(Ordering::Relaxed) - before;
    assert!(shared <= 2, "{shared} for 99 tenants");
}

/// A poller that stops saves, and hurries the disk at once; a reload waits for it.
#[tokio::test]
async fn what_was_saved_before_a_hurry_does_not_wait() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::system();
    let nobody = Arc::new(|_| ());
    let store = Store::open(folder.path(), clock.clone(), nobody).await;
    let store = store
        .expect("the folder can be written")
        .of(&name(), &key());
    let store = store.delayed(Duration::from_hours(1));
    // The first does not wait. The last takes several transactions.
    for definitions in [1, 1, 1, 2_500] {
        let saved = store.save(changes(&store, clock.uptime(), definitions));
        store.hurry();
        let saved = tokio::time::timeout(Duration::from_mins(1), saved).await;
        assert!(saved.expect("it did not wait").is_empty());
    }
}

/// A tenant that is another directory under the same name starts as if it were new.
#[tokio::test]
async fn what_is_known_of_another_directory_is_forgotten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let store = open(folder.path(), &clock).await;
    let of = store.of(&name(), &key());
    let saved = changes(&of, clock.uptime(), 3);
    assert!(of.save(saved).await.is_empty());
    let moved = store
        .load(asked(&name(), &key(), "another directory"))
        .await;
    let moved = moved.expect("it can be read");
    assert!(moved.tenant.is_none() && moved.definitions.is_empty());
    assert!(load(&store).await.definitions.is_empty(), "for good");
}

fn write_schema(path: &Path, schema: u64) {
    let database = Database::create(path).expect("a new file");
    let writing = database.begin_write().expect("it can be written");
    let meta: TableDefinition<&str, u64> = TableDefinition::new("meta");
    writing
        .open_table(meta)
        .and_then(|mut table| Ok(table.insert("schema", schema).map(drop)?))
        .expect("it can be written");
    writing.commit().expect("it can be written");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let names = entries.map(|entry| entry.expect("it can be read").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

/// Rolled back to, this version moves the state of the later one aside, and starts anew.
#[tokio::test]
async fn a_state_of_a_later_version_is_moved_aside_under_its_schema() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_schema(&folder.path().join(STATE), 99);
    let (store, failures) = open_counting(folder.path(), &clock()).await;
    assert_eq!(failures.load(Ordering::Relaxed), 1);
    assert_eq!(load(&store).await.gap, None, "so it runs on the reserve");
    assert_eq!(names(folder.path()), [STATE, "state.redb.schema-99"]);
}

/// Rolled forward again, it finds its own state where the earlier version put it.
#[tokio::test]
async fn a_state_that_an_earlier_version_moved_aside_is_in_force_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let store = open(folder.path(), &clock).await;
    let of = store.of(&name(), &key());
    let saved = changes(&of, clock.uptime(), 3);
    assert!(of.save(saved).await.is_empty());
    let budget = hold(&store, &clock, Limits::new(9, 90)).await;
    assert!(load(&store).await.is_complete);
    drop((of, budget, store));
    let path = folder.path().join(STATE);
    let aside = folder.path().join("state.redb.schema-4");
    fs::rename(&path, &aside).expect("as the earlier version does");
    write_schema(&path, 2);
    let store = open(folder.path(), &clock).await;
    let loaded = load(&store).await;
    assert_eq!(loaded.definitions.len(), 3);
    let calls_are_known = (loaded.is_complete, loaded.gap);
    assert_eq!(
        calls_are_known,
        (false, None),
        "the earlier version called, too"
    );
    let seconds = 1_000 * DAY_MS / 1_000;
    let kept = format!("state.redb.schema-2-{seconds}");
    assert_eq!(names(folder.path()), [STATE.to_owned(), kept]);
}

/// Whatever happens to the file under the running process: the next call is written into a
/// new one, with all that count, and what is known is saved again.
#[tokio::test]
async fn a_file_that_is_lost_in_mid_life_is_written_anew_from_memory() {
    type Fault = fn(&Path);
    let faults: [(&str, Fault); 4] = [
        ("removed", |path| fs::remove_file(path).expect("removed")),
        ("cut", |path| {
            let file = fs::OpenOptions::new().write(true).open(path);
            file.and_then(|file| file.set_len(4_096)).expect("cut");
        }),
        ("emptied", |path| {
            drop(fs::File::create(path).expect("emptied"));
        }),
        ("replaced", |path| {
            let other = path.with_file_name("other");
            write_schema(&other, 4);
            fs::rename(other, path).expect("replaced");
        }),
    ];
    for (fault, change) in faults {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = clock();
        let (store, failures) = open_counting(folder.path(), &clock).await;
        let budget = hold(&store, &clock, Limits::new(9, 90)).await;
        for _ in 0..3 {
            call(&budget).await.expect("it can be written");
        }
        let generation = store.generation();
        change(&folder.path().join(STATE));
        call(&budget).await.expect(fault);
        assert_eq!(store.generation(), generation + 1, "{fault}");
        assert!(failures.load(Ordering::Relaxed) > 0, "{fault}");
        drop((budget, store));
        let store = open(folder.path(), &clock).await;
        let loaded = load(&store).await;
        assert_eq!(loaded.calls.len(), 4, "{fault}");
        assert!(loaded.gap.is_some(), "{fault}: it was ours all the time");
    }
}

/// Schema 1: one definition that is merely known, and one of which everything is.
#[tokio::test]
async fn a_state_of_the_first_version_is_migrated_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    unpack(
        include_bytes!("../../tests/fixtures/state-1.redb.gz"),
        folder.path(),
    );
    let clock = clock();
    let now = Timestamp::from_unix_millis(1_000 * DAY_MS);
    let hours = |hours| now - Duration::from_hours(hours);
    for opening in ["the first time", "migrated"] {
        let (store, failures) = open_counting(folder.path(), &clock).await;
        assert_eq!(failures.load(Ordering::Relaxed), 0, "{opening}");
        let loaded = load(&store).await;
        assert_eq!(loaded.calls.len(), 1);
        let tenant = loaded.tenant.expect("the tenant is known");
        assert_eq!((tenant.batch_size, tenant.agents.len()), (42, 1));
        let [(_, full), (id, plain)] = loaded.definitions.as_slice() else {
            panic!("two definitions: {:?}", loaded.definitions);
        };
        assert_eq!(id.as_str(), "plain");
        // The clock had run for 24 ms.
        assert_eq!(plain.fetched, Some(now + Duration::from_millis(24)));
        let times = [full.fetched, full.quarantined_until, full.vanished];
        assert_eq!(
            times,
            [now, now + Duration::from_hours(3), hours(2)].map(Some)
        );
        let view = full.scan.view();
        assert_eq!(&*view.definition.scan_name, "Zürich \"core\"");
        assert_eq!(view.last_run.map(|run| run.at), Some(hours(1)));
        assert_eq!(view.last_success, Some(hours(9)));
        assert_eq!(view.targets, Targets::new(Some(8), Some(5)));
        let counts = view.sessions;
        assert_eq!(
            (counts.success, counts.partial_success, counts.unknown),
            (0, 1, 1)
        );
        assert!(view.recent.is_empty(), "history tells them again");
    }
}

/// Agents have a row of their own. One that an older version left in the tenant's row is read,
/// and does not come back once newer ones are saved, not even where there are none.
#[tokio::test]
async fn agents_come_back_and_those_of_an_older_version_give_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    unpack(
        include_bytes!("../../tests/fixtures/state-1.redb.gz"),
        folder.path(),
    );
    let clock = clock();
    let store = open(folder.path(), &clock).await;
    let of = store.of(&name(), &key());
    let agents = async || load(&store).await.tenant.expect("it is known").agents;
    let [agent] = <[Agent; 1]>::try_from(agents().await).expect("one");
    let others: Vec<_> = ["a", "b"]
        .map(|id| Agent {
            id: crate::model::AgentId::new(id),
            ..agent.clone()
        })
        .into();
    for saved in [vec![agent], others, Vec::new()] {
        // The second time nothing is different.
        for _ in 0..2 {
            let mut changes = changes(&of, clock.uptime(), 0);
            changes.tenant.agents.clone_from(&saved);
            assert!(of.save(changes).await.is_empty());
            assert_eq!(agents().await, saved);
        }
    }
}

fn unpack(packed: &[u8], folder: &Path) {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut bytes)
        .expect("it is packed with gzip");
    fs::write(folder.join(STATE), bytes).expect("the folder can be written");
}
