//! How calls fare: latencies with a long tail, throttling, failures, and the
//! service's own count of calls.

use std::time::Duration;

use defender_scan_exporter::budget::{Limits, Permit, UNANSWERED};
use defender_scan_exporter::clock::Uptime;

/// The client gives up then, as the exporter's default does.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with data.
    Answered,
    /// `429`, with `Retry-After`.
    Throttled(Duration),
    /// `503`.
    Unavailable,
    /// No answer before the client's timeout; the service sees the request all the same.
    TimedOut,
}

/// A call on its way.
#[derive(Debug)]
pub struct Call<R> {
    pub request: R,
    pub permit: Permit,
    pub sent: Uptime,
    /// When the service looks at its data.
    pub seen: Uptime,
    /// When the client knows how it went.
    pub ends: Uptime,
    pub outcome: Outcome,
}

/// The service's front.
pub struct Service {
    random: fastrand::Rng,
    /// One call in so many is throttled, and as many fail in another way; 0: none.
    pub trouble: u32,
    arrivals: Vec<Uptime>,
}

impl Service {
    pub fn new(seed: u64, trouble: u32) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            trouble,
            arrivals: Vec::new(),
        }
    }

    /// A call leaves.
    pub fn call<R>(&mut self, request: R, permit: Permit, now: Uptime) -> Call<R> {
        let mut latency = self.latency();
        let outcome = self.outcome(latency);
        let seen = match outcome {
            // Stuck in a proxy.
            Outcome::TimedOut => {
                latency = TIMEOUT;
                now + UNANSWERED.mul_f64(self.random.f64())
            }
            _ => now + latency.mul_f64(self.random.f64()),
        };
        self.arrivals.push(seen);
        Call {
            request,
            permit,
            sent: now,
            seen,
            ends: now + latency,
            outcome,
        }
    }

    /// Log-normal: half of them below 0.3 s, one in a thousand above 12 s.
    fn latency(&mut self) -> Duration {
        let normal: f64 = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
        Duration::from_secs_f64((0.3 * (1.2 * normal).exp()).clamp(0.02, 60.0))
    }

    fn outcome(&mut self, latency: Duration) -> Outcome {
        if latency >= TIMEOUT {
            return Outcome::TimedOut;
        }
        let one_in = |random: &mut fastrand::Rng, of| of > 0 && random.u32(..of) == 0;
        if one_in(&mut self.random, self.trouble) {
            return Outcome::Throttled(Duration::from_secs(self.random.u64(5..300)));
        }
        if one_in(&mut self.random, self.trouble * 2) {
            return Outcome::Unavailable;
        }
        if one_in(&mut self.random, self.trouble * 2) {
            return Outcome::TimedOut;
        }
        Outcome::Answered
    }

    /// Windows that held more calls than the limit, by the service's own clock; sliding
    /// windows cover fixed ones at any offset.
    pub fn violations(&mut self, limits: Limits) -> usize {
        self.arrivals.sort_unstable();
        let arrivals = &self.arrivals;
        let over = |window: Duration, limit: usize| {
            let ends = arrivals.iter().zip(arrivals.iter().skip(limit));
            ends.filter(|(first, last)| last.since(**first) < window)
                .count()
        };
        over(limits.minute.window, limits.minute.calls)
            + over(limits.hour.window, limits.hour.calls)
    }

    /// When calls arrived.
    pub fn arrivals(&self) -> &[Uptime] {
        &self.arrivals
    }
}
