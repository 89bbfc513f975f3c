//! What outlives a restart and a `kill -9`, in one redb file: the log of calls,
//! and per tenant what was learned.
//!
//! ```text
//! calls        (tenant, number)      one call; durable before its request leaves
//! definitions  (tenant, definition)  a scan with its counters, when it was fetched
//! tenants      tenant                counters, batch size, pause, agents
//! meta         "schema"              the version of all of these
//! ```
//!
//! A file that can not be read is moved aside, and the exporter goes on. If
//! nothing can be written, no call leaves, and serving goes on from memory.

mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod migrate;
mod prune;
mod rows;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, Durability, ReadableDatabase as _, TableDefinition, WriteTransaction};
use thiserror::Error;

pub use self::rows::{CollectorRow, DefinitionRow, HistogramRow, Stamp, TenantRow};
use crate::clock::{Clock, Uptime};
use crate::model::{DefinitionId, TenantName};
use crate::quota::{Call, CallLog};
use rows::CallRow;

const CALLS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("calls");
const DEFINITIONS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("definitions");
const TENANTS: TableDefinition<&str, &[u8]> = TableDefinition::new("tenants");

/// Definitions written in one transaction, at most.
const ROWS: usize = 1_000;

/// Why the state can not be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open: two would spend one budget twice.
    #[error(
        "expected to be alone with {0}, but another process has it open; stop that one, or choose another --storage.path"
    )]
    InUse(PathBuf),
    /// The operating system refuses.
    #[error(
        "expected to read and write {path}, but {source}; check --storage.path, its owner and the disk"
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        source: std::io::Error,
    },
    /// It was written by a later version of this program.
    #[error(
        "expected schema {expected} in {path}, but found {found}; it was written by a later version, use that one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// This program's version of it.
        expected: u64,
        /// The file's.
        found: u64,
    },
    /// Its content can not be understood.
    #[error("expected the state in {path}, but found a damaged file: {damage}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: String,
    },
    /// The database refuses.
    #[error("the state can not be written: {0}")]
    Database(#[from] redb::Error),
    /// A row can not be encoded.
    #[error("the state can not be encoded: {0}")]
    Encode(#[from] postcard::Error),
}

/// Called when the store begins to fail, and when a file was moved aside.
pub type OnError = Box<dyn Fn() + Send + Sync>;

/// The open state; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    path: PathBuf,
    clock: Clock,
    boot_id: Option<String>,
    on_error: OnError,
    state: Mutex<State>,
}

struct State {
    /// `None` after a failure, until it can be opened again.
    database: Option<Database>,
    failing: bool,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

/// What is known of one tenant from before.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Calls that may still count, by number.
    pub calls: Vec<(u64, Call)>,
    /// The tenant's own row.
    pub tenant: Option<TenantRow>,
    /// Its definitions.
    pub definitions: Vec<(DefinitionId, DefinitionRow)>,
}

/// What changed of one tenant since it was last saved.
#[derive(Debug)]
pub struct Changes {
    /// The tenant's own row.
    pub tenant: TenantRow,
    /// Definitions; `None`: forgotten.
    pub definitions: Vec<(DefinitionId, Option<DefinitionRow>)>,
}

impl Store {
    /// Opens the state in `folder`, or makes it.
    ///
    /// # Errors
    /// [`StoreError`], but not if the file is damaged: then it is moved aside.
    pub fn open(folder: &Path, clock: Clock, on_error: OnError) -> Result<Self, StoreError> {
        let path = file::prepare(folder)?;
        let database = file::open(&path, &clock, &on_error)?;
        Ok(Self::with(path, database, clock, on_error))
    }

    /// Opens the state in `folder` as it is: `None` if there is none, and a damaged
    /// file stays where it is.
    ///
    /// # Errors
    /// [`StoreError`], also if the file is damaged.
    pub fn open_existing(folder: &Path, clock: Clock) -> Result<Option<Self>, StoreError> {
        let Some((path, database)) = file::open_existing(folder)? else {
            return Ok(None);
        };
        Ok(Some(Self::with(path, database, clock, Box::new(|| ()))))
    }

    fn with(path: PathBuf, database: Database, clock: Clock, on_error: OnError) -> Self {
        let boot_id = clock.boot_id();
        let state = Mutex::new(State {
            database: Some(database),
            failing: false,
        });
        Self(Arc::new(Shared {
            path,
            clock,
            boot_id,
            on_error,
            state,
        }))
    }

    /// Everything known of `tenant`. A row that can not be read is left out.
    ///
    /// # Errors
    /// If the database can not be read.
    pub fn load(&self, tenant: &TenantName) -> Result<Loaded, StoreError> {
        let mut state = self.lock();
        let mut loaded = Loaded::default();
        let reading = self
            .database(&mut state)?
            .begin_read()
            .map_err(redb::Error::from)?;
        let name = tenant.as_str();
        let calls = reading.open_table(CALLS).map_err(redb::Error::from)?;
        for row in calls
            .range((name, 0)..=(name, u64::MAX))
            .map_err(redb::Error::from)?
        {
            let (key, value) = row.map_err(redb::Error::from)?;
            if let Some(row) = rows::read::<CallRow>(name, value.value()) {
                loaded.calls.push((
                    key.value().1,
                    row.call(self.0.boot_id.as_deref(), self.0.clock.uptime()),
                ));
            }
        }
        let definitions = reading.open_table(DEFINITIONS).map_err(redb::Error::from)?;
        for row in definitions.range((name, "")..).map_err(redb::Error::from)? {
            let (key, value) = row.map_err(redb::Error::from)?;
            let (owner, id) = key.value();
            if owner != name {
                break;
            }
            if let Some(row) = rows::read(name, value.value()) {
                loaded.definitions.push((DefinitionId::new(id), row));
            }
        }
        let tenants = reading.open_table(TENANTS).map_err(redb::Error::from)?;
        let row = tenants.get(name).map_err(redb::Error::from)?;
        loaded.tenant = row.and_then(|row| rows::read(name, row.value()));
        Ok(loaded)
    }

    /// The part of the store that belongs to `tenant`.
    #[must_use]
    pub fn of(&self, tenant: &TenantName) -> TenantStore {
        TenantStore {
            store: self.clone(),
            tenant: tenant.clone(),
        }
    }

    /// One transaction. A failure is counted and logged when it begins, and the
    /// file is opened again at the next try.
    fn write(
        &self,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> bool {
        let mut state = self.lock();
        let result = self.try_write(&mut state, durability, change);
        match result {
            Ok(()) => {
                if std::mem::take(&mut state.failing) {
                    tracing::info!(path = %self.0.path.display(), "the state can be written again");
                }
                true
            }
            Err(error) => {
                state.database = None;
                if !std::mem::replace(&mut state.failing, true) {
                    (self.0.on_error)();
                    tracing::error!(path = %self.0.path.display(), %error, "the state can not be written; no call leaves until it can");
                }
                false
            }
        }
    }

    fn try_write(
        &self,
        state: &mut State,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut writing = self
            .database(state)?
            .begin_write()
            .map_err(redb::Error::from)?;
        writing
            .set_durability(durability)
            .map_err(redb::Error::from)?;
        change(&writing)?;
        writing.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    /// The open file; after a failure it is opened again.
    fn database<'s>(&self, state: &'s mut State) -> Result<&'s Database, StoreError> {
        let database = match state.database.take() {
            Some(database) => database,
            None => file::open(&self.0.path, &self.0.clock, &self.0.on_error)?,
        };
        Ok(state.database.insert(database))
    }

    /// A transaction is whole or not at all: poison is harmless.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One tenant's part of the store.
#[derive(Clone, Debug)]
pub struct TenantStore {
    store: Store,
    tenant: TenantName,
}

impl TenantStore {
    /// Makes `changes` durable, in several transactions if there are many, so that no
    /// other tenant waits long. Returns the definitions that could not be written.
    #[must_use]
    pub fn save(&self, changes: &Changes) -> Vec<DefinitionId> {
        let mut rest = changes.definitions.as_slice();
        while rest.len() > ROWS {
            let (now, later) = rest.split_at(ROWS);
            if !self.save_some(now, None) {
                return ids(rest);
            }
            rest = later;
        }
        if self.save_some(rest, Some(&changes.tenant)) {
            return Vec::new();
        }
        ids(rest)
    }

    fn save_some(
        &self,
        changes: &[(DefinitionId, Option<DefinitionRow>)],
        tenant: Option<&TenantRow>,
    ) -> bool {
        let name = self.tenant.as_str();
        self.store.write(Durability::Immediate, |writing| {
            if let Some(tenant) = tenant {
                let mut tenants = writing.open_table(TENANTS).map_err(redb::Error::from)?;
                let row = postcard::to_stdvec(tenant)?;
                tenants
                    .insert(name, row.as_slice())
                    .map_err(redb::Error::from)?;
            }
            let mut definitions = writing.open_table(DEFINITIONS).map_err(redb::Error::from)?;
            for (id, row) in changes {
                let key = (name, id.as_str());
                match row {
                    Some(row) => {
                        let row = postcard::to_stdvec(row)?;
                        definitions
                            .insert(key, row.as_slice())
                            .map_err(redb::Error::from)?;
                    }
                    None => {
                        definitions.remove(key).map_err(redb::Error::from)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// The moment `now`, in a form that another process can translate.
    #[must_use]
    pub fn stamp(&self, now: Uptime) -> Stamp {
        Stamp::new(self.store.0.boot_id.clone(), now, self.store.0.clock.wall())
    }

    fn put(&self, durability: Durability, number: u64, call: &Call, oldest: u64) -> bool {
        let name = self.tenant.as_str();
        self.store.write(durability, |writing| {
            let row = postcard::to_stdvec(&CallRow::of(call, self.store.0.boot_id.clone()))?;
            let mut calls = writing.open_table(CALLS).map_err(redb::Error::from)?;
            calls
                .retain_in((name, 0)..(name, oldest), |_, _| false)
                .map_err(redb::Error::from)?;
            calls
                .insert((name, number), row.as_slice())
                .map_err(redb::Error::from)?;
            Ok(())
        })
    }
}

impl CallLog for TenantStore {
    fn sent(&self, number: u64, call: &Call, oldest: u64) -> bool {
        self.put(Durability::Immediate, number, call, oldest)
    }

    fn answered(&self, number: u64, call: &Call) {
        self.put(Durability::None, number, call, 0);
    }
}

fn ids(changes: &[(DefinitionId, Option<DefinitionRow>)]) -> Vec<DefinitionId> {
    changes.iter().map(|(id, _)| id.clone()).collect()
}

#[cfg(test)]
mod tests;
