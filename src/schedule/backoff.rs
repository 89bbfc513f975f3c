//! How long to wait after the first, second, third … failure in a row.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::{DEFAULT_PAUSE, Failure};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// When what is forbidden is tried again, the last over and over: single stray refusals happen,
/// permissions take up to an hour to spread, and a licence that is missing may be for good.
const FORBIDDEN: [Duration; 4] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
];

/// Exponential back-off from 1 s to 5 min with full jitter: the waits of many
/// tenants that failed together spread out.
#[derive(Debug)]
pub(super) struct Backoff {
    ceilings: ExponentialBackoff,
    /// How often it was forbidden since it last worked.
    forbidden: usize,
    random: fastrand::Rng,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            ceilings: ceilings(),
            forbidden: 0,
            random: fastrand::Rng::with_seed(seed),
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
            Failure::Throttled(pause) => self.next().max(pause.unwrap_or(DEFAULT_PAUSE)),
            Failure::Busy(_, pause) => self.next().max(pause),
            _ => self.next(),
        }
    }

    /// The wait after one more failure: between 1 s and a ceiling that doubles.
    pub(super) fn next(&mut self) -> Duration {
        let ceiling = self.ceilings.next().unwrap_or(LONGEST);
        FIRST + ceiling.saturating_sub(FIRST).mul_f64(self.random.f64())
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.ceilings = ceilings();
        self.forbidden = 0;
    }
}

fn ceilings() -> ExponentialBackoff {
    let builder = ExponentialBuilder::new()
        .with_min_delay(FIRST * 2)
        .with_max_delay(LONGEST)
        .without_max_times();
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_bounded_and_start_anew() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..200).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST * 2);
        assert!(waits.iter().all(|wait| (FIRST..=LONGEST).contains(wait)));
        assert!(waits.iter().any(|wait| *wait > LONGEST / 2));
        backoff.reset();
        assert!(backoff.next() <= FIRST * 2);
    }

    #[test]
    fn what_is_forbidden_is_tried_soon_and_then_hourly() {
        let mut backoff = Backoff::new(7);
        let mut minutes = || {
            let waits = (0..6).map(|_| backoff.after(Failure::Forbidden).as_secs() / 60);
            let waits: Vec<_> = waits.collect();
            // Another failure in between changes nothing; a success does.
            backoff.after(Failure::Throttled(None));
            let after = backoff.after(Failure::Forbidden).as_secs() / 60;
            backoff.reset();
            (waits, after)
        };
        for _ in 0..2 {
            assert_eq!(minutes(), (vec![1, 5, 15, 60, 60, 60], 60));
        }
    }
}
