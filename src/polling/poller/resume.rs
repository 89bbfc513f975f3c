//! A tenant whose settings changed goes on with all that is known of it.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{ApiAccess, Poller};
use crate::budget::Budget;
use crate::config;
use crate::defender::TokenSource;
use crate::model::TenantName;
use crate::schedule::Schedule;
use crate::store::TenantStore;

impl Poller {
    /// Whom it polls.
    #[must_use]
    pub fn tenant(&self) -> &TenantName {
        self.tenant.name()
    }

    /// Where to ask it to try at once what is forbidden.
    #[must_use]
    pub fn retry(&self) -> Arc<Notify> {
        Arc::clone(&self.retry)
    }

    /// Notes that it was started anew, after an error of this program.
    pub fn restarted(&mut self, times: u64) {
        self.tenant.health.restarts = times;
    }

    /// Where its token comes from; it may go on without the poller.
    #[must_use]
    pub fn tokens(&self) -> &TokenSource {
        &self.tokens
    }

    /// A poller that has not started, of the same tenant under the settings of
    /// `config`, whose calls `budget` counts. Its lists are due at once: whoever changed something
    /// wants to see whether it works. A pause that the service asked for goes on.
    #[must_use]
    pub fn resume(
        self,
        config: &config::Tenant,
        access: ApiAccess,
        budget: Budget,
        store: Option<TenantStore>,
    ) -> Self {
        let now = self.clock.uptime();
        let mut schedule = Schedule::new(config.poll, now, fastrand::u64(..));
        let filter = config.definitions.clone();
        let tenant = self.tenant.resume(
            &self.schedule,
            &mut schedule,
            config.into(),
            filter,
            budget.clone(),
            now,
        );
        let (snapshot, clock) = (self.snapshot, self.clock);
        Self {
            polled: self.polled,
            ..Self::new(tenant, schedule, budget, access, snapshot, store, clock)
        }
    }
}
