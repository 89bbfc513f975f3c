//! Where the calls of a check come from, and whether they are written down.
//!
//! | the state | calls |
//! | --- | --- |
//! | is free | are written to the log as the exporter's are, up to the limits of the API |
//! | is in use | are asked for, one by one, from the exporter that uses it |
//! | is missing, cannot be read, or its exporter does not answer | are not written, and come out of the reserve that `quota.use` leaves |

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::{Budget, BudgetKey, Limits, Permit, Reserved, Usage};
use crate::cli::Storage;
use crate::clock::Clock;
use crate::config::Tenant;
use crate::model::health::Collector;
use crate::store::{Loaded, Store, StoreError, ask};

/// Calls that a check of one tenant may take.
pub(super) const CALLS: usize = 4;

/// Names of tenants that a note shows, at most.
const NAMES: usize = 20;

/// The log of calls, if it is free.
pub(super) struct CallBudget {
    log: CallLog,
    clock: Clock,
}

enum CallLog {
    Free(Store),
    /// By the exporter whose state is in this folder.
    InUse(PathBuf),
    /// Because there is no state yet.
    Missing(String),
    /// For this reason.
    Unknown(String),
}

impl CallBudget {
    /// Looks at the state, without making or moving any file.
    pub(super) async fn open(storage: &Storage, clock: Clock) -> Self {
        let log = match storage {
            Storage::Folder(folder) => match Store::open_existing(folder, clock.clone()).await {
                Ok(Some(store)) => CallLog::Free(store),
                Ok(None) => {
                    CallLog::Missing(format!("there is no state in {} yet", folder.display()))
                }
                Err(StoreError::InUse(_)) => CallLog::InUse(folder.clone()),
                Err(error) => CallLog::Unknown(error.to_string()),
            },
            Storage::Memory => {
                CallLog::Unknown("the exporter keeps its state in memory".to_owned())
            }
        };
        Self { log, clock }
    }

    /// What is to be said before anything is sent.
    pub(super) fn notes(&self, tenants: &[&Tenant]) -> Vec<String> {
        let mut notes = Vec::new();
        let why = match &self.log {
            CallLog::Free(_) => return notes,
            CallLog::InUse(folder) => {
                return vec![format!(
                    "an exporter is running on {}; the calls of this check, at most {CALLS} per tenant, come out of its budget",
                    folder.display()
                )];
            }
            CallLog::Missing(why) | CallLog::Unknown(why) => why,
        };
        let note = format!(
            "{why}, so the calls of this check, at most {CALLS} per tenant, are not recorded, and come out of the reserve that quota.use leaves"
        );
        let bare: Vec<&str> = tenants
            .iter()
            .filter(|tenant| reserve(tenant).into_iter().any(|calls| calls < CALLS))
            .map(|tenant| tenant.name.as_str())
            .collect();
        // Before the first start nothing is amiss as long as there is a reserve.
        if !(bare.is_empty() && matches!(self.log, CallLog::Missing(_))) {
            notes.push(note);
        }
        if !bare.is_empty() {
            let more = bare.len().saturating_sub(NAMES);
            let others = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            notes.push(format!(
                "warning: quota.use leaves no reserve of {CALLS} calls for {}{others}: the service may then refuse some of the exporter's calls; to avoid that, stop the exporter first, or lower quota.use",
                bare[..bare.len() - more].join(", ")
            ));
        }
        notes
    }

    /// The budget of a tenant's check; an error says why there is none.
    pub(super) async fn budget(&self, tenant: &Tenant) -> Result<TenantBudget, StoreError> {
        let key = tenant.budget_key();
        let store = match &self.log {
            CallLog::Free(store) => store,
            CallLog::InUse(folder) => {
                let budget = Budget::new(self.clock.clone(), Limits::new(CALLS, CALLS));
                return Ok(TenantBudget {
                    asks: Some((folder.clone(), key)),
                    has_reserve: reserve(tenant).into_iter().all(|calls| calls >= CALLS),
                    ..TenantBudget::new(budget, None)
                });
            }
            CallLog::Missing(_) | CallLog::Unknown(_) => {
                let budget = Budget::new(self.clock.clone(), Limits::new(CALLS, CALLS));
                return Ok(TenantBudget::new(budget, None));
            }
        };
        let Loaded {
            calls, tenant: row, ..
        } = store.load(tenant.into()).await?;
        let log = Arc::new(store.of(&tenant.name, &key).without_leases());
        let budget = Budget::restore(self.clock.clone(), tenant.api_limits, calls, Some(log));
        let share = budget.with_limits(tenant.limits);
        let pause = row.and_then(|row| {
            let pause = row.pause?.saturating_sub(row.stamp.age(&self.clock));
            (!pause.is_zero()).then_some(pause)
        });
        Ok(TenantBudget {
            pause,
            ..TenantBudget::new(budget, Some(share))
        })
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
pub(super) struct TenantBudget {
    budget: Budget,
    /// Our share with what is spent of it; `None` if that is not known.
    share: Option<Budget>,
    /// How long the service still wants to be left alone, as far as is known.
    pub(super) pause: Option<Duration>,
    left: usize,
    /// The exporter that is asked for each call, and for whose budget.
    asks: Option<(PathBuf, BudgetKey)>,
    /// Whether the calls can come out of the reserve, should it not answer.
    has_reserve: bool,
}

impl TenantBudget {
    fn new(budget: Budget, share: Option<Budget>) -> Self {
        Self {
            budget,
            share,
            pause: None,
            left: CALLS,
            asks: None,
            has_reserve: true,
        }
    }

    /// The right to one more call; an error says why there is none.
    pub(super) async fn permit(&mut self, collector: Collector) -> Result<Permit, &'static str> {
        if self.left == 0 {
            return Err("this check has no calls left");
        }
        if let Some((folder, key)) = &self.asks {
            match ask(folder, key, collector).await {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    return Err("the running exporter has used up the API's limit; wait a minute");
                }
                Ok(None) | Err(_) if self.has_reserve => self.asks = None,
                Ok(None) | Err(_) => {
                    return Err(
                        "the running exporter does not respond, and quota.use leaves no reserve; stop it first",
                    );
                }
            }
        }
        let none = "the API's limit is used up, or the call cannot be recorded; wait a minute";
        let slot = self.budget.try_acquire(collector, Reserved::default());
        let permit = slot.map_err(|_| none)?.pay().await.map_err(|_| none)?;
        self.left -= 1;
        Ok(permit)
    }

    /// Whether a running exporter is asked for the calls.
    pub(super) fn is_of_an_exporter(&self) -> bool {
        self.asks.is_some()
    }

    /// Calls so far.
    pub(super) fn spent(&self) -> usize {
        CALLS - self.left
    }

    /// The use of our share: of the minute and of the hour.
    pub(super) fn usage(&self) -> Option<[Usage; 2]> {
        self.share.as_ref().map(Budget::usage)
    }
}
