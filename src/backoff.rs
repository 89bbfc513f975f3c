//! How long to wait after the first, second, third … failure in a row.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The longest wait.
pub const LONGEST: Duration = Duration::from_mins(5);

/// Exponential back-off with full jitter: the waits of many tenants that failed together
/// spread out.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    ceilings: ExponentialBackoff,
    random: fastrand::Rng,
}

impl Backoff {
    /// Waits from `first` on, up to [`LONGEST`]. `seed` decides the jitter.
    #[must_use]
    pub fn starting_at(first: Duration, seed: u64) -> Self {
        Self {
            first,
            ceilings: ceilings(first),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The wait after one more failure: between the first wait and a ceiling that doubles.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.ceilings.next().unwrap_or(LONGEST);
        self.first
            + ceiling
                .saturating_sub(self.first)
                .mul_f64(self.random.f64())
    }

    /// It works again.
    pub fn reset(&mut self) {
        self.ceilings = ceilings(self.first);
    }
}

fn ceilings(first: Duration) -> ExponentialBackoff {
    let builder = ExponentialBuilder::new()
        .with_min_delay(first * 2)
        .with_max_delay(LONGEST)
        .without_max_times();
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_bounded_and_start_anew() {
        let first = Duration::from_secs(1);
        let mut backoff = Backoff::starting_at(first, 7);
        let waits: Vec<_> = (0..200).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] <= first * 2);
        assert!(waits.iter().all(|wait| (first..=LONGEST).contains(wait)));
        assert!(waits.iter().any(|wait| *wait > LONGEST / 2));
        backoff.reset();
        assert!(backoff.next_wait() <= first * 2);
    }
}
