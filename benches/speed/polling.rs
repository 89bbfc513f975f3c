//! What a poll costs beside its decoding: taking it in, planning, the budget, the store.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;

use defender_scan_exporter::budget::{Budget, BudgetKey, Limits, Reserved};
use defender_scan_exporter::clock::Clock;
use defender_scan_exporter::config::{DefinitionFilter, Poll, Rule};
use defender_scan_exporter::model::health::Collector;
use defender_scan_exporter::model::{Definition, DefinitionId, TenantName};
use defender_scan_exporter::polling::snapshot::TenantInfo;
use defender_scan_exporter::polling::tenant::KnownTenant;
use defender_scan_exporter::schedule::{Decision, ListingDiff, Request, Schedule};
use defender_scan_exporter::store::Store;

use crate::fixture;
use crate::measure::{least, row};

pub fn run(definitions: usize) {
    lists(definitions);
    plan(definitions);
    budget(definitions);
    store(definitions);
}

fn definitions_of(number: usize) -> Vec<Definition> {
    (0..number).map(fixture::definition).collect()
}

fn tenant(clock: &Clock) -> KnownTenant {
    let filter = DefinitionFilter {
        ids: Vec::new(),
        include: Rule::default(),
        exclude: Rule::default(),
        inactive: true,
        limit: usize::MAX,
    };
    let budget = Budget::new(clock.clone(), Limits::new(80, 1200));
    KnownTenant::new(
        TenantName::new("contoso"),
        TenantInfo::default(),
        filter,
        budget,
    )
}

fn lists(definitions: usize) {
    let clock = Clock::system();
    let mut tenant = tenant(&clock);
    tenant.apply_listing(definitions_of(definitions), clock.now());
    drop(tenant.view());
    let list = definitions_of(definitions);
    let [took, cloned] = least([
        &mut || {
            black_box(tenant.apply_listing(list.clone(), clock.now()));
            black_box(tenant.view());
        },
        &mut || {
            black_box(list.clone());
        },
    ]);
    row(
        "clone and publish the same list",
        definitions,
        took,
        "cloning the list",
        cloned,
    );
}

fn plan(definitions: usize) {
    let clock = Clock::system();
    let ids: Vec<_> = (0..definitions)
        .map(|number| DefinitionId::new(&fixture::guid(number)))
        .collect();
    let limits = Limits::new(1_000_000, 1_000_000);
    let fresh = || {
        let budget = Budget::new(clock.clone(), limits);
        let mut plan = Schedule::new(Poll::default(), clock.uptime(), 1);
        let listed = ListingDiff {
            appeared: ids.clone(),
            changed: ids.clone(),
            names_runs: true,
            ..ListingDiff::default()
        };
        plan.listed(clock.uptime(), 1, &listed, &budget);
        (plan, budget)
    };
    let [planned, filled] = least([
        &mut || {
            let (mut plan, budget) = fresh();
            while let Decision::Call(request, slot) = plan.next(clock.uptime(), &budget) {
                if let Ok(permit) = slot.pay_at_once() {
                    permit.answered();
                }
                let now = clock.uptime();
                match request {
                    Request::History(ids) => plan.fetched(now, &ids, &[].into()),
                    Request::Sessions(ids) => plan.sessions_fetched(now, &ids),
                    Request::Definitions => {
                        let nothing = ListingDiff {
                            names_runs: true,
                            ..ListingDiff::default()
                        };
                        plan.listed(now, 1, &nothing, &budget);
                    }
                    Request::Agents => plan.agents_listed(now, 1, &budget),
                }
            }
        },
        &mut || {
            black_box(fresh());
        },
    ]);
    row(
        "plan a first round",
        definitions,
        planned,
        "noting the definitions",
        filled,
    );
}

/// An hour's calls are in the log, whatever the number of definitions.
fn budget(definitions: usize) {
    const CALLS: usize = 1_000;
    let clock = Clock::system();
    let [acquired, read] = least([
        &mut || {
            let budget = Budget::new(clock.clone(), Limits::new(2_000, 2_000));
            for _ in 0..CALLS {
                let slot = budget.try_acquire(Collector::History, Reserved::default());
                if let Some(permit) = slot.ok().and_then(|slot| slot.pay_at_once().ok()) {
                    permit.answered();
                }
            }
        },
        &mut || {
            for _ in 0..CALLS {
                black_box(clock.uptime());
            }
        },
    ]);
    row(
        "1 000 permits",
        definitions,
        acquired,
        "reading the clock 1 000 times",
        read,
    );
}

fn store(definitions: usize) {
    let clock = Clock::system();
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        return;
    };
    let path = folder.path().join("state");
    let store = runtime.block_on(Store::open(&path, clock.clone(), Arc::new(|_| ())));
    let Ok(store) = store else {
        return;
    };
    let mut tenant = tenant(&clock);
    tenant.apply_listing(definitions_of(definitions), clock.now());
    let plan = Schedule::new(Poll::default(), clock.uptime(), 1);
    let of = store.of(tenant.name(), &BudgetKey::new("directory|application|api"));
    let changes = tenant.changes(&plan, of.stamp(clock.uptime()), &clock);
    let bytes = vec![1_u8; definitions * 300];
    let file = folder.path().join("file");
    let [saved, written] = least([
        &mut || {
            black_box(runtime.block_on(of.save(changes.clone())));
        },
        &mut || {
            let write = || {
                let mut file = std::fs::File::create(&file)?;
                file.write_all(&bytes)?;
                file.sync_data()
            };
            black_box(write()).ok();
        },
    ]);
    row(
        "save all definitions",
        definitions,
        saved,
        "a file of 300 bytes each",
        written,
    );
}
