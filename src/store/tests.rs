use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::health::Collector;
use crate::model::Definition;
use crate::quota::{Limits, Quota, Reserved};
use crate::scans::Scan;

const DAY_MS: i64 = 86_400_000;

fn clock() -> Clock {
    Clock::anchored(Timestamp::from_unix_millis(1_000 * DAY_MS))
}

fn open(folder: &Path, clock: &Clock) -> Store {
    Store::open(folder, clock.clone(), Box::new(|| ())).expect("the folder can be written")
}

fn name() -> TenantName {
    TenantName::new("contoso")
}

fn row(id: &DefinitionId) -> DefinitionRow {
    let definition = Definition {
        id: id.clone(),
        scan_name: "core".into(),
        scan_type: None,
        target_type: None,
        is_active: true,
        interval: None,
        agent_id: None,
        latest: None,
    };
    DefinitionRow {
        scan: Scan::new(definition),
        fetched: None,
        quarantined_until: None,
        vanished: None,
    }
}

fn changes(store: &TenantStore, now: Uptime, definitions: usize) -> Changes {
    let ids = (0..definitions).map(|number| DefinitionId::new(&format!("{number:05}")));
    let health = crate::health::CollectorHealth::default();
    Changes {
        tenant: TenantRow {
            stamp: store.stamp(now),
            batch_size: 100,
            pause: Some(Duration::from_mins(5)),
            agents: Vec::new(),
            target_seconds: HistogramRow::from(&health.request_seconds),
            collectors: [&health, &health, &health].map(CollectorRow::from),
            auth_errors: std::collections::BTreeMap::new(),
        },
        definitions: ids.map(|id| (id.clone(), Some(row(&id)))).collect(),
    }
}

#[tokio::test]
async fn what_was_saved_comes_back_and_only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = clock();
    let store = open(folder.path(), &clock);
    let saved = changes(&store.of(&name()), clock.uptime(), 2 * ROWS + 1);
    assert!(store.of(&name()).save(&saved).is_empty());
    drop(store);
    let mode = std::fs::metadata(folder.path().join("state.redb"))
        .expect("the file is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let store = open(folder.path(), &clock);
    let loaded = store.load(&name()).expect("it can be read");
    assert_eq!(loaded.definitions.len(), 2 * ROWS + 1);
    assert_eq!(loaded.tenant.map(|tenant| tenant.batch_size), Some(100));
    let other = store.load(&TenantName::new("contos"));
    assert!(other.expect("it can be read").definitions.is_empty());
}

/// Calls are on the scale of uptime: however the wall clock jumps while the process is down,
/// they count exactly as long as they would have.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_while_down_frees_no_call_and_holds_none() {
    for jump in [-400 * DAY_MS, -3_600_000, 3_600_000, 400 * DAY_MS] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = clock();
        let start = |store: &Store| {
            let calls = store.load(&name()).expect("it can be read").calls;
            let log: Arc<dyn CallLog> = Arc::new(store.of(&name()));
            Quota::restore(clock.clone(), Limits::new(1, 10), calls, Some(log))
        };
        let acquire = |quota: &Quota| quota.try_acquire(Collector::History, Reserved::default());
        let store = open(folder.path(), &clock);
        acquire(&start(&store))
            .expect("the first call is free")
            .answered();
        drop(store);
        tokio::time::advance(Duration::from_secs(59)).await;
        clock.jump(jump);
        let store = open(folder.path(), &clock);
        let quota = start(&store);
        assert!(acquire(&quota).is_err(), "{jump}");
        // Rows keep whole milliseconds and round up.
        tokio::time::advance(Duration::from_millis(1_002)).await;
        assert!(acquire(&quota).is_ok(), "{jump}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stamp_ages_with_uptime_and_across_boots_with_the_wall_clock_but_never_below_zero() {
    let clock = clock();
    let minute = Duration::from_mins(1);
    let here = Stamp::new(clock.boot_id(), clock.uptime(), clock.wall());
    let elsewhere = Stamp::new(Some("before".to_owned()), clock.uptime(), clock.wall());
    tokio::time::advance(minute).await;
    assert_eq!((here.age(&clock), elsewhere.age(&clock)), (minute, minute));
    clock.jump(-DAY_MS);
    assert_eq!(
        (here.age(&clock), elsewhere.age(&clock)),
        (minute, Duration::ZERO)
    );
}

#[tokio::test]
async fn a_state_of_a_later_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("state.redb");
    let database = Database::create(&path).expect("a new file");
    let writing = database.begin_write().expect("it can be written");
    let meta: TableDefinition<&str, u64> = TableDefinition::new("meta");
    writing
        .open_table(meta)
        .and_then(|mut table| Ok(table.insert("schema", 99).map(drop)?))
        .expect("it can be written");
    writing.commit().expect("it can be written");
    drop(database);
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    let on_error = move || {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let error = Store::open(folder.path(), clock(), Box::new(on_error)).expect_err("it is newer");
    assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    assert!(path.exists());
    assert_eq!(failures.load(Ordering::Relaxed), 0);
}

/// `tests/fixtures/state-1.redb.gz` was written by the last program with schema 1:
/// one definition that is merely known, and one of which everything is.
#[tokio::test]
async fn a_state_of_the_first_version_is_migrated_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let packed = include_bytes!("../../tests/fixtures/state-1.redb.gz");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut bytes)
        .expect("it is packed with gzip");
    let path = folder.path().join("state.redb");
    std::fs::write(&path, bytes).expect("the folder can be written");
    let clock = clock();
    let now = Timestamp::from_unix_millis(1_000 * DAY_MS);
    let hours = |hours| now - Duration::from_hours(hours);
    let damaged = || panic!("the file is not damaged");
    for opening in ["the first time", "migrated"] {
        let store = Store::open(folder.path(), clock.clone(), Box::new(damaged)).expect(opening);
        let loaded = store.load(&name()).expect("it can be read");
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
        assert_eq!((view.targets, view.targets_succeeded), (Some(8), Some(5)));
        let counts = view.sessions;
        assert_eq!(
            (counts.success, counts.partial_success, counts.unknown),
            (0, 1, 1)
        );
        assert!(view.recent.is_empty(), "history tells them again");
    }
}
