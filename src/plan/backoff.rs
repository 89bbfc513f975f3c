//! How long to wait after the first, second, third … failure in a row.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// Exponential back-off from 1 s to 5 min with full jitter: the waits of many
/// tenants that failed together spread out.
#[derive(Debug)]
pub(super) struct Backoff {
    ceilings: ExponentialBackoff,
    random: fastrand::Rng,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            ceilings: ceilings(),
            random: fastrand::Rng::with_seed(seed),
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
}
