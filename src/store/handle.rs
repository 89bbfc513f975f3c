//! How others reach the thread of the disk, and what they send it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use redb::WriteTransaction;
use tokio::sync::{oneshot, watch};

use super::disk::Disk;
use super::{HeldBudgets, StoreError};
use crate::clock::Uptime;

/// How long the end of the process waits for the file to be closed.
const CLOSING: Duration = Duration::from_secs(1);

/// When a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// A call waits for it.
    Now,
    /// In the same transaction, if it can be written together with the others.
    Later,
    /// The same, but it may wait for so long after the last transaction with such a change, so
    /// that those of many tenants share one.
    Grouped(Duration),
    /// With the next transaction of any other priority: nobody waits for it.
    WithTheNext,
}

/// A change of the file.
pub(super) type Change = Box<dyn Fn(&WriteTransaction) -> Result<(), StoreError> + Send>;

/// A change that is one of several in a transaction.
pub(super) type Part<'c> = &'c dyn Fn(&WriteTransaction) -> Result<(), StoreError>;

/// A change, and who is told whether it is durable.
pub(super) struct Write {
    pub(super) priority: Priority,
    pub(super) change: Change,
    pub(super) done: Option<oneshot::Sender<bool>>,
}

impl Write {
    pub(super) fn tell(self, written: bool) {
        if let Some(done) = self.done {
            // Whoever asked may have gone.
            let _ = done.send(written);
        }
    }
}

/// Work for the thread.
pub(super) enum Job {
    Write(Write),
    /// Anything else that touches the file. It sees what was sent before.
    Run(Box<dyn FnOnce(&mut Disk) + Send>),
    /// What touches nothing but the folder.
    Aside(Box<dyn FnOnce(&mut Disk) + Send>),
}

/// What the thread shows of itself without a lock.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Since when it has been busy with one batch, in milliseconds of uptime; 0: it is idle.
    pub(super) busy_since: AtomicU64,
    /// See [`Store::generation`](super::Store::generation).
    pub(super) generation: watch::Sender<u64>,
    /// Whether the last transaction failed.
    pub(super) is_failing: AtomicBool,
}

/// How others reach the thread. When the last goes, the thread ends.
pub(super) struct Handle {
    jobs: Option<mpsc::Sender<Job>>,
    signs: Arc<Signs>,
    held: Arc<HeldBudgets>,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Handle {
    pub(super) fn new(
        jobs: mpsc::Sender<Job>,
        signs: Arc<Signs>,
        held: Arc<HeldBudgets>,
        ended: mpsc::Receiver<()>,
    ) -> Self {
        Self {
            jobs: Some(jobs),
            signs,
            held,
            ended: Mutex::new(ended),
        }
    }

    pub(super) fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread ends only after this handle; if it did not, the job's reply says so.
            let _ = jobs.send(job);
        }
    }

    pub(super) fn generation(&self) -> watch::Receiver<u64> {
        self.signs.generation.subscribe()
    }

    /// Whether the last transaction failed.
    pub(super) fn is_failing(&self) -> bool {
        self.signs.is_failing.load(Ordering::Acquire)
    }

    pub(super) fn held(&self) -> &HeldBudgets {
        &self.held
    }

    /// Since when the thread has been busy with the same batch.
    pub(super) fn busy_since(&self) -> Option<Uptime> {
        match self.signs.busy_since.load(Ordering::Acquire) {
            0 => None,
            since => Some(Uptime::from_boot(Duration::from_millis(since))),
        }
    }
}

/// Waits until the file is closed, so that it can be opened again, unless its disk hangs.
impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Ok(ended) = self.ended.get_mut() {
            let _ = ended.recv_timeout(CLOSING);
        }
    }
}
