//! What was asked of the simulator, and whether it was too much.

use std::collections::VecDeque;
use std::time::Duration;

use super::Endpoint;
use exporter_clock::Uptime;

/// One request, in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The tenant that the path or the token named, counted from 0.
    pub tenant: Option<usize>,
    /// What was asked for.
    pub endpoint: Endpoint,
    /// When the request arrived.
    pub arrived: Uptime,
    /// The connection by which it came, unique in its simulator.
    pub connection: usize,
    /// The host, and the port unless it is the usual one, as the client named them.
    pub host: String,
    /// Whether its path named the version, `v1.0`.
    pub versioned: bool,
    /// What a token was asked for: a scope, or at the metadata service a resource.
    pub scope: Option<String>,
    /// The definition, session or agent ids that it named.
    pub ids: Vec<String>,
    /// Whether it followed an `@odata.nextLink`.
    pub next_page: bool,
    /// The status of the answer; 0 as long as there is none.
    pub status: u16,
}

/// One tenant's budget, of all four endpoints or of one.
///
/// Every call counts, refused ones too. Each limit holds for any window that
/// slides with time and for each window of the clock; the sliding one is the
/// stricter of the two, the fixed one is what simpler servers do.
#[derive(Debug)]
pub(super) struct Quota {
    windows: [Window; 2],
    log: VecDeque<Uptime>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    length: Duration,
    limit: usize,
}

impl Quota {
    pub(super) fn new(per_minute: usize, per_hour: usize) -> Self {
        let window = |length, limit| Window { length, limit };
        Self {
            windows: [
                window(Duration::from_mins(1), per_minute),
                window(Duration::from_hours(1), per_hour),
            ],
            log: VecDeque::new(),
        }
    }

    /// Counts a call; an error says how long to stay away.
    pub(super) fn count(&mut self, now: Uptime) -> Result<(), Duration> {
        // The hour is the longest window; its edge is still inside.
        let hour = Duration::from_hours(1);
        while self.log.front().is_some_and(|&call| now.since(call) > hour) {
            self.log.pop_front();
        }
        self.log.push_back(now);
        let waits = self
            .windows
            .iter()
            .filter_map(|window| self.excess(*window, now));
        waits.max().map_or(Ok(()), Err)
    }

    fn excess(&self, window: Window, now: Uptime) -> Option<Duration> {
        let into_fixed = Duration::from_secs(now.since_boot().as_secs() % window.length.as_secs())
            + Duration::from_nanos(u64::from(now.since_boot().subsec_nanos()));
        let sliding = self.within(window.length, now);
        let fixed = self.within(into_fixed, now);
        if sliding <= window.limit && fixed <= window.limit {
            return None;
        }
        // Once this call has left the window, one more fits.
        let first = self.log.len().saturating_sub(window.limit);
        let last = *self.log.get(first).or(self.log.back())?;
        Some((last + window.length).since(now) + Duration::from_secs(1))
    }

    fn within(&self, length: Duration, now: Uptime) -> usize {
        let older = self.log.partition_point(|&call| now.since(call) > length);
        self.log.len() - older
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Uptime {
        Uptime::from_boot(Duration::from_secs(86_400 + seconds))
    }

    #[test]
    fn the_call_after_the_limit_is_refused_until_the_window_has_passed() {
        let mut quota = Quota::new(3, 100);
        for second in [0, 10, 20] {
            assert_eq!(quota.count(at(second)), Ok(()));
        }
        let wait = quota.count(at(30)).unwrap_err();
        assert_eq!(quota.count(at(30) + wait), Ok(()));
    }

    #[test]
    fn a_burst_across_the_minute_is_seen() {
        let mut quota = Quota::new(10, 100);
        let refused = (55..66).filter(|&second| quota.count(at(second)).is_err());
        assert_eq!(refused.count(), 1);
    }

    #[test]
    fn the_hour_counts_too() {
        let mut quota = Quota::new(100, 5);
        for minute in 0..5 {
            assert_eq!(quota.count(at(minute * 120)), Ok(()));
        }
        assert!(quota.count(at(600)).unwrap_err() > Duration::from_mins(40));
        assert!(quota.count(at(3_600)).is_err());
        assert_eq!(quota.count(at(7_300)), Ok(()));
    }
}
