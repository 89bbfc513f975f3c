//! Turns for what many tenants want at the same moment: the sign-in host should not see all of
//! them at once, whether they start, are added by a reload, or lost their tokens together.

use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock::{Clock, Uptime};

/// Between one turn and the next: at most 42 in any second. A thousand take 24 s.
const BETWEEN: Duration = Duration::from_millis(24);

/// Hands out turns, in the order in which they were asked for.
pub(super) struct Pace {
    clock: Clock,
    /// When the last turn began.
    last: Mutex<Option<Uptime>>,
}

impl Pace {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            last: Mutex::new(None),
        }
    }

    /// Waits for a turn. The first is at once, and so is each that comes later than its turn.
    pub(super) async fn turn(&self) {
        // Held while waiting: others are behind. Counted from when the last turn really began, so
        // that a process that stood still does not catch up all at once.
        let mut last = self.last.lock().await;
        if let Some(last) = *last {
            self.clock.sleep_until(last + BETWEEN).await;
        }
        *last = Some(self.clock.uptime());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timestamp;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_at_once_are_spread_and_one_alone_does_not_wait() {
        let clock = Clock::anchored(Timestamp::from_unix_millis(0));
        let pace = Arc::new(Pace::new(clock.clone()));
        let begun = clock.uptime();
        pace.turn().await;
        assert_eq!(clock.uptime(), begun);
        tokio::time::advance(Duration::from_mins(1)).await;
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let (pace, clock) = (Arc::clone(&pace), clock.clone());
            waiting.spawn(async move {
                pace.turn().await;
                clock.uptime()
            });
        }
        tokio::task::yield_now().await;
        // Those who give up keep nobody waiting.
        let given_up = tokio::time::timeout(Duration::from_millis(30), pace.turn());
        assert!(given_up.await.is_err());
        let mut turns = waiting.join_all().await;
        turns.sort_unstable();
        let second = Duration::from_secs(1);
        let most = turns.iter().enumerate().map(|(index, first)| {
            let rest = turns[index..].iter();
            rest.take_while(|turn| turn.since(*first) < second).count()
        });
        let most = most.max().unwrap_or_default();
        assert!((30..=42).contains(&most), "{most} in a second");
        let took = turns[999].since(turns[0]);
        assert!(took < Duration::from_secs(26), "{took:?}");
    }
}
