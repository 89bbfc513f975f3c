//! Where the calls of a check come from, and whether they are written down.
//!
//! | the state | calls |
//! | --- | --- |
//! | is free | are written to the log as the exporter's are, up to the limits of the API |
//! | is in use, missing, or can not be read | are not, and come out of the reserve that `quota.use` leaves |

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::Storage;
use crate::clock::Clock;
use crate::config::Tenant;
use crate::health::Collector;
use crate::quota::{Limits, Permit, Quota, Reserved, Usage};
use crate::store::{Loaded, Store, StoreError};

/// Calls that a check of one tenant may take.
pub(super) const CALLS: usize = 4;

/// Names of tenants that a note shows, at most.
const NAMES: usize = 20;

/// The log of calls, if it is free.
pub(super) struct Ledger {
    store: Option<Store>,
    /// Why it is not.
    note: Option<String>,
    clock: Clock,
}

impl Ledger {
    /// Looks at the state, without making or moving any file.
    pub(super) fn open(storage: &Storage, clock: Clock) -> Self {
        let opened = match storage {
            Storage::Folder(folder) => open(folder, clock.clone()),
            Storage::Memory => Err("the exporter keeps its state in memory".to_owned()),
        };
        match opened {
            Ok(store) => Self {
                store: Some(store),
                note: None,
                clock,
            },
            Err(why) => Self {
                store: None,
                note: Some(why),
                clock,
            },
        }
    }

    /// What is to be said before anything is sent.
    pub(super) fn notes(&self, tenants: &[&Tenant]) -> Vec<String> {
        let Some(why) = &self.note else {
            return Vec::new();
        };
        let mut notes = vec![format!(
            "{why}; so the calls of this check, {CALLS} a tenant at most, are not written down, and come out of the reserve that quota.use leaves"
        )];
        let bare: Vec<&str> = tenants
            .iter()
            .filter(|tenant| reserve(tenant).into_iter().any(|calls| calls < CALLS))
            .map(|tenant| tenant.name.as_str())
            .collect();
        if !bare.is_empty() {
            let more = bare.len().saturating_sub(NAMES);
            let others = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            notes.push(format!(
                "warning: quota.use leaves no reserve of {CALLS} calls for {}{others}: the service may refuse some of the exporter's calls for them; to avoid that, stop the exporter first, or lower quota.use",
                bare[..bare.len() - more].join(", ")
            ));
        }
        notes
    }

    /// The budget of a tenant's check; an error says why there is none.
    pub(super) fn purse(&self, tenant: &Tenant) -> Result<Purse, StoreError> {
        let Some(store) = &self.store else {
            let quota = Quota::new(self.clock.clone(), Limits::new(CALLS, CALLS));
            return Ok(Purse::new(quota, None));
        };
        let Loaded {
            calls, tenant: row, ..
        } = store.load(&tenant.name)?;
        let log = Arc::new(store.of(&tenant.name));
        let quota = Quota::restore(self.clock.clone(), tenant.api_limits, calls, Some(log));
        let share = quota.with_limits(tenant.limits);
        let pause = row.and_then(|row| {
            let pause = row.pause?.saturating_sub(row.stamp.age(&self.clock));
            (!pause.is_zero()).then_some(pause)
        });
        Ok(Purse {
            pause,
            ..Purse::new(quota, Some(share))
        })
    }
}

fn open(folder: &Path, clock: Clock) -> Result<Store, String> {
    match Store::open_existing(folder, clock) {
        Ok(Some(store)) => Ok(store),
        Ok(None) => Err(format!("there is no state in {} yet", folder.display())),
        Err(StoreError::InUse(path)) => Err(format!("an exporter runs on {}", path.display())),
        Err(error) => Err(error.to_string()),
    }
}

/// What is beyond our share: of the minute and of the hour.
pub(super) fn reserve(tenant: &Tenant) -> [usize; 2] {
    let (ours, api) = (tenant.limits, tenant.api_limits);
    [
        api.minute.calls.saturating_sub(ours.minute.calls),
        api.hour.calls.saturating_sub(ours.hour.calls),
    ]
}

/// The calls of one tenant's check.
pub(super) struct Purse {
    quota: Quota,
    /// Our share with what is spent of it; `None` if that is not known.
    share: Option<Quota>,
    /// How long the service still wants to be left alone, as far as is known.
    pub(super) pause: Option<Duration>,
    left: usize,
}

impl Purse {
    fn new(quota: Quota, share: Option<Quota>) -> Self {
        Self {
            quota,
            share,
            pause: None,
            left: CALLS,
        }
    }

    /// The right to one more call; an error says why there is none.
    pub(super) fn permit(&mut self, collector: Collector) -> Result<Permit, &'static str> {
        if self.left == 0 {
            return Err("this check has no call left");
        }
        let permit = self.quota.try_acquire(collector, Reserved::default());
        let permit = permit.map_err(
            |_| "the API's limit is spent, or the call can not be written down; wait a minute",
        )?;
        self.left -= 1;
        Ok(permit)
    }

    /// Calls so far.
    pub(super) fn spent(&self) -> usize {
        CALLS - self.left
    }

    /// The use of our share: of the minute and of the hour.
    pub(super) fn usage(&self) -> Option<[Usage; 2]> {
        self.share.as_ref().map(Quota::usage)
    }
}
