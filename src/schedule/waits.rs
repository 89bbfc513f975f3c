//! How long to wait after a failed call, by the kind of its failure.

use std::time::Duration;

use super::DEFAULT_PAUSE;
use crate::backoff::Backoff;
use crate::model::Failure;

const FIRST: Duration = Duration::from_secs(1);

/// The waits after calls that were forbidden, the last over and over: single stray refusals
/// happen, permissions take up to an hour to spread, and a licence that is missing may be for good.
const FORBIDDEN: [Duration; 4] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
];

/// The waits of one kind of call.
#[derive(Debug)]
pub(super) struct Waits {
    backoff: Backoff,
    /// How often it was forbidden since it last worked.
    forbidden: usize,
}

impl Waits {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            backoff: Backoff::starting_at(FIRST, seed),
            forbidden: 0,
        }
    }

    /// The wait after one more failure of that kind. A pause that the service asks for is no
    /// shorter than the growing back-off: one of no length, for ever, would use the budget up.
    pub(super) fn after(&mut self, failure: Failure) -> Duration {
        match failure {
            Failure::Forbidden => {
                let step = self.forbidden.min(FORBIDDEN.len() - 1);
                self.forbidden += 1;
                FORBIDDEN[step]
            }
            Failure::Throttled(pause) => {
                self.backoff.next_wait().max(pause.unwrap_or(DEFAULT_PAUSE))
            }
            Failure::Busy(_, pause) => self.backoff.next_wait().max(pause),
            _ => self.backoff.next_wait(),
        }
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.backoff.reset();
        self.forbidden = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_calls_are_retried_soon_and_then_hourly() {
        let mut waits_of_calls = Waits::new(7);
        let mut minutes = || {
            let waits = (0..6).map(|_| waits_of_calls.after(Failure::Forbidden).as_secs() / 60);
            let waits: Vec<_> = waits.collect();
            // Another failure in between changes nothing; a success does.
            waits_of_calls.after(Failure::Throttled(None));
            let after = waits_of_calls.after(Failure::Forbidden).as_secs() / 60;
            waits_of_calls.reset();
            (waits, after)
        };
        for _ in 0..2 {
            assert_eq!(minutes(), (vec![1, 5, 15, 60, 60, 60], 60));
        }
    }
}
