//! What goes on beside the thread of the disk, which may hang.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Store, StoreEvent};
use crate::clock::Uptime;
use crate::durations;

/// How often the disk and the questions of other processes are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A disk that is busy for longer is asked nothing.
const BUSY: Duration = Duration::from_secs(1);

/// A disk that is busy with one transaction for so long hangs.
const HANGS: Duration = Duration::from_secs(5);

/// How often a hang is counted while it lasts, so that an alert lasts as long.
const COUNTED: Duration = Duration::from_mins(1);

impl Store {
    /// Whether changes can be written now, as far as is known.
    pub(super) fn works(&self) -> bool {
        let disk = &self.0.disk;
        let busy = disk
            .busy_since()
            .map(|since| self.0.clock.uptime().since(since));
        !disk.is_failing() && busy.is_none_or(|busy| busy < BUSY)
    }

    /// Answers questions, and says when the disk hangs, until `shutdown`.
    pub async fn attend(self, shutdown: CancellationToken) {
        let mut counted: Option<Uptime> = None;
        let tick = || shutdown.run_until_cancelled(tokio::time::sleep(LOOK));
        while tick().await.is_some() {
            let now = self.0.clock.uptime();
            let busy = self.0.disk.busy_since().map(|since| now.since(since));
            let busy = busy.unwrap_or_default();
            if busy >= HANGS {
                if counted.is_none_or(|counted| now.since(counted) >= COUNTED) {
                    counted = Some(now);
                    (self.0.on_event)(StoreEvent::Failed);
                }
                if !self.0.hangs.send_replace(true) {
                    let after = durations::in_seconds(busy);
                    tracing::error!(path = %self.0.path.display(), %after, "the disk does not respond: no API calls are made until it does; cached data is still served");
                }
            } else if busy < BUSY {
                if self.0.hangs.send_replace(false) {
                    tracing::info!(path = %self.0.path.display(), "the disk responds again");
                }
                // A disk that begins to hang meanwhile is told of at the next look.
                let _ = tokio::time::timeout(BUSY, self.answer_questions()).await;
            }
        }
    }
}
