//! What one call costs: a slot in the budget, and then, paid for, a permit.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Budget, Call, LONGEST_WRITE, UNANSWERED};

/// A place in the budget for one call that is not durable yet. Dropped before it is paid
/// for, it is free again.
#[must_use = "a slot is paid for before its request leaves"]
pub struct Slot {
    pub(super) permit: Permit,
    pub(super) written: Option<BoxFuture<'static, bool>>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.permit).finish()
    }
}

/// A call could not be written down, or not in time, and must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call cannot be recorded in the state, so it is not sent")]
pub struct NotWritten;

impl Slot {
    /// Waits until the call is durable.
    ///
    /// # Errors
    /// [`NotWritten`]; then the slot is free again.
    pub async fn pay(mut self) -> Result<Permit, NotWritten> {
        if let Some(written) = self.written.take()
            && !written.await
        {
            return Err(NotWritten);
        }
        let now = self.permit.budget.shared.clock.uptime();
        if now.since(self.permit.call.sent) > LONGEST_WRITE {
            return Err(NotWritten);
        }
        let mut permit = self.permit;
        permit.call.sent = now;
        permit.budget.leaves(permit.number, now);
        permit.leaves = true;
        Ok(permit)
    }

    /// As [`Self::pay`], where nothing has to be waited for: a budget that a restart forgets,
    /// or a log in memory.
    ///
    /// # Errors
    /// [`NotWritten`], also if it would have to be waited for.
    pub fn pay_at_once(self) -> Result<Permit, NotWritten> {
        self.pay().now_or_never().unwrap_or(Err(NotWritten))
    }
}

/// The right to send one request. It is consumed by sending, so a request
/// outside the budget does not compile.
#[derive(Debug)]
#[must_use = "a permit that is not used still costs a call"]
pub struct Permit {
    pub(super) budget: Budget,
    /// Unique and ascending within the budget.
    pub(super) number: u64,
    pub(super) call: Call,
    /// Whether its number was durable before there was a call.
    pub(super) leased: bool,
    /// Whether the request may leave; if not, its slot is free again when dropped.
    pub(super) leaves: bool,
}

impl Permit {
    /// The answer has arrived: the service has seen the request by now.
    pub fn answered(mut self) {
        let now = self.budget.shared.clock.uptime();
        self.budget.settle(self.number, self.leased, now);
        self.call.answered = Some(now);
    }
}

/// No answer came. The service may see the request until [`UNANSWERED`] after it was sent.
impl Drop for Permit {
    fn drop(&mut self) {
        if !self.leaves {
            let mut log = self.budget.lock();
            log.calls.remove(&self.number);
            log.leases.untake(self.call.collector, self.number);
        } else if self.call.answered.is_none() {
            let now = self.budget.shared.clock.uptime();
            let latest = now.max(self.call.sent + UNANSWERED);
            self.budget.settle(self.number, self.leased, latest);
        }
    }
}
