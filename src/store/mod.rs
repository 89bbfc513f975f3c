//! What outlives a restart and a `kill -9`, in one redb file: the log of calls,
//! and per tenant what was learned.
//!
//! ```text
//! call_log     (budget, number / 64) calls, and those that may be made; durable before a request leaves
//! numbers      budget                what `call_log` calls it
//! budgets      budget                who held it until when, and whether it runs on the reserve
//! definitions  (tenant, definition)  a scan with its counters, when it was fetched
//! tenants      tenant                batch size, pause, counters that seldom change
//! collectors   (collector, tenant)   counters that change with each call
//! agents       tenant                its agents
//! stamps       "alive", "created"    when this exporter last wrote, and when the file began
//! meta         "schema"              the version of all of these
//! ```
//!
//! One thread owns the file (`disk`). Everyone else sends it what to write and waits, if at
//! all, without a lock and off the threads that serve: a slow or hung disk holds up calls,
//! which must be durable before they leave, and nothing else. What is sent while a commit
//! runs shares the next one, and what is in no hurry waits for some seconds to share one.
//!
//! A file that cannot be read is moved aside, and the exporter goes on. If
//! nothing can be written, no call leaves, and serving goes on from memory.

mod agent_row;
mod ask;
mod attend;
mod call_log;
mod disk;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handle;
mod load;
mod migrate;
mod prune;
mod rows;
mod scan_row;
mod tenant;
mod trouble;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{TableDefinition, WriteTransaction};
use thiserror::Error;
use tokio::sync::{oneshot, watch};

pub use self::ask::ask;
use self::disk::Disk;
use self::handle::{Handle, Job, Priority, Write};
pub use self::load::{Asked, Loaded};
pub use self::rows::Stamp;
pub use self::tenant::TenantStore;
use crate::budget::{Budget, BudgetKey, WeakBudget};
use crate::clock::{Clock, Timestamp, Uptime};
use crate::model::health::{AuthReason, CollectorHealth};
use crate::model::histogram::Histogram;
use crate::model::runs::RunHistory;
use crate::model::{Agent, DefinitionId, TenantName};

const BUDGETS: TableDefinition<&str, &[u8]> = TableDefinition::new("budgets");
const DEFINITIONS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("definitions");
const TENANTS: TableDefinition<&str, &[u8]> = TableDefinition::new("tenants");
const COLLECTORS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("collectors");
const AGENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("agents");
const STAMPS: TableDefinition<&str, &[u8]> = TableDefinition::new("stamps");

/// Definitions written in one transaction, at most.
const ROWS: usize = 1_000;

/// Why the state cannot be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open: two would spend one budget twice.
    #[error(
        "{0} is locked by another process; stop that process, or choose another --storage.path"
    )]
    InUse(PathBuf),
    /// The operating system refuses.
    #[error(
        "expected to read and write {path}, but found: {error}; check --storage.path, its owner and the disk"
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        error: std::io::Error,
    },
    /// Its content cannot be understood.
    #[error("expected the state in {path}, but found a damaged file: {damage}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: String,
    },
    /// The database refuses.
    #[error("the database failed: {0}")]
    Database(#[from] redb::Error),
    /// A row cannot be encoded.
    #[error("a row cannot be encoded: {0}")]
    Encode(String),
    /// Its thread has ended.
    #[error("expected the state in {0} to be open, but it was closed")]
    Closed(PathBuf),
    /// The disk does not answer.
    #[error("expected the disk of {0} to respond, but it hangs; check the disk")]
    Hangs(PathBuf),
}

macro_rules! database_errors {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Database(error.into())
            }
        }
    )*};
}

database_errors!(CommitError DatabaseError SetDurabilityError StorageError TableError TransactionError);

/// Something that happened to the state, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// It could not be written, was moved aside, or was lost.
    Failed,
    /// A commit took so long.
    Committed(Duration),
}

/// Called for each event.
pub type OnEvent = Arc<dyn Fn(StoreEvent) + Send + Sync>;

/// The open state; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    path: PathBuf,
    clock: Clock,
    boot_id: Option<String>,
    on_event: OnEvent,
    disk: Handle,
    /// Whether the disk does not answer, as `attend` sees it.
    hangs: watch::Sender<bool>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

/// The budgets that this exporter holds: what a lost file is written anew from.
#[derive(Debug, Default)]
struct HeldBudgets(Mutex<BTreeMap<BudgetKey, WeakBudget>>);

impl HeldBudgets {
    /// An entry is whole or not there: poison is harmless.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BudgetKey, WeakBudget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budgets(&self) -> Vec<(BudgetKey, Budget)> {
        let held = self.lock();
        held.iter()
            .filter_map(|(key, budget)| Some((key.clone(), budget.upgrade()?)))
            .collect()
    }
}

/// What is known of a definition: of its runs, and of its history's fetching.
#[derive(Clone, Debug)]
pub struct DefinitionState {
    /// What is known of its runs.
    pub scan: RunHistory,
    /// When its history was last fetched.
    pub fetched: Option<Timestamp>,
    /// Until when it is not asked about.
    pub quarantined_until: Option<Timestamp>,
    /// When it vanished from the list, if it did.
    pub vanished: Option<Timestamp>,
}

/// What is known of a tenant beside its definitions.
#[derive(Clone, Debug)]
pub struct TenantState {
    /// When this was so; of what is loaded, at least until an hour later.
    pub stamp: Stamp,
    /// The largest number of ids in one call, as learned from the service.
    pub batch_size: usize,
    /// How long the service's pause lasted from then on.
    pub pause: Option<Duration>,
    /// The agents.
    pub agents: Vec<Agent>,
    /// How long single targets took.
    pub target_seconds: Histogram,
    /// Definitions, history, agents, sessions.
    pub collectors: [CollectorHealth; 4],
    /// Failures to get a token.
    pub auth_errors: BTreeMap<AuthReason, u64>,
    /// The directory that all of this is about; `None` if an older version wrote it.
    pub directory: Option<String>,
    /// How often the poller was started anew after a panic.
    pub restarts: u64,
    /// Links to next pages that were not followed.
    pub links_refused: u64,
    /// When counting began; `None` if an older version did not note it.
    pub created: Option<Timestamp>,
}

/// What changed of one tenant since it was last saved.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The tenant itself.
    pub tenant: TenantState,
    /// Definitions; `None`: forgotten.
    pub definitions: Vec<(DefinitionId, Option<DefinitionState>)>,
}

impl Store {
    /// Opens the state in `folder`, or makes it.
    ///
    /// # Errors
    /// [`StoreError`], but not if the file is damaged or of a later version: then it is moved
    /// aside.
    pub async fn open(folder: &Path, clock: Clock, on_event: OnEvent) -> Result<Self, StoreError> {
        let path = file::path(folder);
        let disk = Disk::new(path.clone(), clock.clone(), Arc::clone(&on_event));
        let disk = disk.start(file::Opening::Make).await?;
        match disk {
            Some(disk) => Ok(Self::with(path, clock, on_event, disk)),
            None => Err(StoreError::Closed(path)),
        }
    }

    /// Opens the state in `folder` as it is: `None` if there is none, and a damaged
    /// file stays where it is.
    ///
    /// # Errors
    /// [`StoreError`], also if the file is damaged.
    pub async fn open_existing(folder: &Path, clock: Clock) -> Result<Option<Self>, StoreError> {
        let path = file::path(folder);
        let nobody: OnEvent = Arc::new(|_| ());
        let disk = Disk::new(path.clone(), clock.clone(), Arc::clone(&nobody));
        let disk = disk.start(file::Opening::AsItIs).await?;
        Ok(disk.map(|disk| Self::with(path, clock, nobody, disk)))
    }

    fn with(path: PathBuf, clock: Clock, on_event: OnEvent, disk: Handle) -> Self {
        let boot_id = clock.boot_id();
        Self(Arc::new(Shared {
            path,
            clock,
            boot_id,
            on_event,
            disk,
            hangs: watch::Sender::new(false),
        }))
    }

    /// What `work` on the state gives, unless the disk hangs.
    ///
    /// # Errors
    /// [`StoreError::Hangs`], as soon as [`Self::attend`] sees it.
    pub async fn unless_it_hangs<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let mut hangs = self.0.hangs.subscribe();
        tokio::select! {
            biased;
            done = work => Ok(done),
            _ = hangs.wait_for(|hangs| *hangs) => Err(StoreError::Hangs(self.0.path.clone())),
        }
    }

    /// How often the file was lost under the running process and made anew: then all that
    /// is known is to be saved again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        *self.0.disk.generation().borrow()
    }

    /// The part of the store that belongs to `tenant`, whose calls come out of `budget`.
    #[must_use]
    pub fn of(&self, tenant: &TenantName, budget: &BudgetKey) -> TenantStore {
        TenantStore {
            store: self.clone(),
            tenant: tenant.clone(),
            budget: budget.clone(),
            delay: Duration::ZERO,
            leases: true,
        }
    }

    fn stamp(&self, now: Uptime) -> Stamp {
        Stamp::new(self.0.boot_id.clone(), now, self.0.clock.wall())
    }

    /// Sends a change to the disk.
    fn write(
        &self,
        priority: Priority,
        change: impl Fn(&WriteTransaction) -> Result<(), StoreError> + Send + 'static,
    ) -> oneshot::Receiver<bool> {
        let (done, receiver) = oneshot::channel();
        self.0.disk.send(Job::Write(Write {
            priority,
            change: Box::new(change),
            done: Some(done),
        }));
        receiver
    }
}

#[cfg(test)]
mod tests;
