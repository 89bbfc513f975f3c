//! The budgets that this process spends, by whom the service counts: tenants that share a
//! directory, an application and an API share one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::budget::{Budget, BudgetKey, CallLog, Limits, Reserve};
use crate::clock::{Clock, Uptime};
use crate::config::Tenant;
use crate::model::TenantName;
use crate::store::{Loaded, Store, TenantStore};

/// A gap that is longer is as one of unknown length.
const REMEMBERED: Duration = Duration::from_hours(1);

/// What a poll brings may wait to be saved, and then published, for this part of the interval
/// between two polls, and no longer than that.
const OF_INTERVAL: u32 = 12;
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Names of tenants in one line of the log, at most.
const NAMES: usize = 10;

/// The budgets of all tenants, and those of removed ones with calls that still count.
#[derive(Debug, Default)]
pub(super) struct Budgets(BTreeMap<BudgetKey, Held>);

#[derive(Debug)]
struct Held {
    budget: Budget,
    holders: BTreeSet<TenantName>,
    /// When the last holder went.
    released: Option<Uptime>,
    store: Option<TenantStore>,
}

/// Tenants whose budget of the last hour is not known, to be told of together.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    on_reserve: Vec<TenantName>,
    waiting: Vec<TenantName>,
}

impl Budgets {
    /// The budget of `tenant`, which holds it from now on. `loaded` is what was known before.
    pub(super) fn hold(
        &mut self,
        tenant: &Tenant,
        loaded: &mut Loaded,
        store: Option<&Store>,
        clock: &Clock,
        unknown: &mut Unknown,
    ) -> (Budget, Option<TenantStore>) {
        let key = tenant.budget_key();
        let delay = (tenant.poll.definitions / OF_INTERVAL).min(LONGEST_DELAY);
        let store = store.map(|store| store.of(&tenant.name, &key).delayed(delay));
        let now = clock.uptime();
        let budget = self.0.entry(key).or_insert_with(|| {
            let log = store.clone();
            let log = log.map(|store| Arc::new(store) as Arc<dyn CallLog>);
            let calls = std::mem::take(&mut loaded.calls);
            let budget = Budget::restore(clock.clone(), tenant.limits, calls, log);
            budget.run_on_reserve(loaded.reserve);
            if !(tenant.exclusive && loaded.is_complete) {
                budget.run_on_reserve(Reserve::after(loaded.gap, now));
            }
            Held {
                budget,
                holders: BTreeSet::new(),
                released: None,
                store: store.clone(),
            }
        });
        budget.budget = budget.budget.with_limits(tenant.limits);
        if budget.holders.is_empty() {
            if let Some(released) = budget.released.take()
                && !tenant.exclusive
                && released < now
            {
                let gap = Some(now.since(released));
                budget.budget.run_on_reserve(Reserve::after(gap, now));
            }
            if let Some(store) = &budget.store {
                store.hold(&budget.budget);
            }
        }
        budget.holders.insert(tenant.name.clone());
        unknown.note(tenant, budget.budget.reserve(), now);
        (budget.budget.clone(), store)
    }

    /// `name` no longer spends the budget of `key`.
    pub(super) fn release(&mut self, name: &TenantName, key: &BudgetKey, now: Uptime) {
        let Some(budget) = self.0.get_mut(key) else {
            return;
        };
        budget.holders.remove(name);
        if budget.holders.is_empty() {
            budget.released = Some(now);
            if let Some(store) = &budget.store {
                store.release(&budget.budget);
            }
        }
    }

    /// Forgets the budgets that nobody held within the last hour and of which no call counts.
    pub(super) fn prune(&mut self, now: Uptime) {
        let is_of_use = |budget: &Held| match budget.released {
            Some(released) if budget.holders.is_empty() => {
                now.since(released) <= REMEMBERED || !budget.budget.is_idle()
            }
            _ => true,
        };
        self.0.retain(|_, budget| is_of_use(budget));
    }

    /// Whether the budget is in memory, so that nothing need be loaded of it.
    pub(super) fn knows(&self, key: &BudgetKey) -> bool {
        self.0.contains_key(key)
    }
}

impl Unknown {
    fn note(&mut self, tenant: &Tenant, reserve: Reserve, now: Uptime) {
        if reserve.hour.is_none_or(|until| until <= now) {
            return;
        }
        let Limits { minute, hour, .. } = tenant.limits;
        if minute.reserve >= minute.calls && hour.reserve >= hour.calls {
            // It costs nothing.
            return;
        }
        if minute.reserve == 0 || hour.reserve == 0 {
            self.waiting.push(tenant.name.clone());
        } else {
            self.on_reserve.push(tenant.name.clone());
        }
    }

    /// Says which tenants cannot be polled as often as they will be.
    pub(super) fn log(&self) {
        let names = |tenants: &[TenantName]| {
            let names: Vec<_> = tenants.iter().take(NAMES).map(TenantName::as_str).collect();
            names.join(" ")
        };
        if !self.on_reserve.is_empty() {
            let (tenants, first) = (self.on_reserve.len(), names(&self.on_reserve));
            tracing::info!(
                tenants,
                first,
                "the calls of the last hour are not known: for an hour, polling uses only the calls that quota.use leaves unused"
            );
        }
        if !self.waiting.is_empty() {
            let (tenants, first) = (self.waiting.len(), names(&self.waiting));
            tracing::warn!(
                tenants,
                first,
                "the calls of the last hour are not known, and quota.use leaves no reserve: no calls are made for up to an hour; lower quota.use to poll at once"
            );
        }
    }
}
