//! The file: made, opened, or moved aside.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableTable as _, TableDefinition};

use super::{
    AGENTS, BUDGETS, COLLECTORS, DEFINITIONS, OnEvent, STAMPS, StoreError, StoreEvent, TENANTS,
    call_log, migrate,
};
use crate::clock::Clock;

const NAME: &str = "state.redb";
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";

/// The version of the rows. A change to a row's shape that its numbered fields do not allow
/// for raises it and adds a migration to `migrate`, and a file of the former version to
/// `tests/fixtures`.
const VERSION: u64 = 4;

/// Pages kept in memory, in bytes: state is read once, at the start.
const CACHE: usize = 2 * 1024 * 1024;

/// Access for the owner alone.
const MODE: u32 = 0o600;

/// What may be done to open the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Make it, or move what cannot be used aside.
    Make,
    /// Nothing but opening.
    AsItIs,
}

/// An open file.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) stamp: FileStamp,
    /// Whether it was made just now, or is in force again after another one.
    pub(super) is_new: bool,
}

/// The file's path in `folder`.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Opens the file. `None` if there is none and none may be made.
pub(super) fn open(
    path: &Path,
    opening: Opening,
    clock: &Clock,
    on_event: &OnEvent,
) -> Result<Option<Opened>, StoreError> {
    if opening == Opening::AsItIs {
        return match path.try_exists() {
            Ok(true) => match try_open(path) {
                Ok(opened) => Ok(Some(opened)),
                Err(Problem::Fatal(error)) => Err(error),
                Err(Problem::Damaged(damage)) => Err(damaged(path, damage)),
                Err(Problem::Later(schema)) => Err(damaged(path, later(schema))),
            },
            Ok(false) => Ok(None),
            Err(source) => Err(io_error(path, source)),
        };
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|source| io_error(folder, source))?;
    // The calls that the earlier version made are not known: as if the file began now.
    let is_back = take_back(path, clock)?;
    match try_open(path) {
        Ok(opened) => {
            let is_new = opened.is_new || is_back;
            return Ok(Some(Opened { is_new, ..opened }));
        }
        Err(Problem::Fatal(error)) => return Err(error),
        Err(Problem::Damaged(damage)) => {
            let aside = move_aside(path, "damaged", clock)?;
            on_event(StoreEvent::Failed);
            tracing::error!(path = %path.display(), moved_to = %shown(aside), damage, "the state is damaged and was moved aside: counters start from zero, and the log of calls is lost");
        }
        Err(Problem::Later(schema)) => {
            let aside = rename(path, &of_schema(path, schema))?;
            on_event(StoreEvent::Failed);
            tracing::error!(path = %path.display(), moved_to = %aside.display(), schema, expected = VERSION, "the state was written by a later version and was moved aside, where that version will find it: counters start from zero, and the log of calls is lost");
        }
    }
    match try_open(path) {
        Ok(opened) => Ok(Some(opened)),
        Err(Problem::Fatal(error)) => Err(error),
        Err(Problem::Damaged(damage)) => Err(damaged(path, damage)),
        Err(Problem::Later(schema)) => Err(damaged(path, later(schema))),
    }
}

/// An earlier version moved our file aside when it was rolled back to: now that we are back,
/// ours is in force again, and what the earlier version wrote is kept.
fn take_back(path: &Path, clock: &Clock) -> Result<bool, StoreError> {
    let ours = of_schema(path, VERSION);
    if !ours.try_exists().unwrap_or(false) {
        return Ok(false);
    }
    let found = if path.try_exists().unwrap_or(false) {
        match read_schema(path) {
            Ok(Some(schema)) => Some(schema),
            // Damaged, in use, or empty: opening it says so.
            Ok(None) | Err(_) => return Ok(false),
        }
    } else {
        None
    };
    match found {
        Some(schema) if schema >= VERSION => return Ok(false),
        Some(schema) => {
            move_aside(path, &format!("schema-{schema}"), clock)?;
        }
        None => {}
    }
    rename(&ours, path)?;
    tracing::warn!(path = %path.display(), from = %ours.display(), "this version runs again after an earlier one: its own state is used again");
    Ok(true)
}

/// The name of a file that a later version wrote.
fn of_schema(path: &Path, schema: u64) -> PathBuf {
    path.with_file_name(format!("{NAME}.schema-{schema}"))
}

/// Moves what is under the name aside; `None` if nothing is.
pub(super) fn move_aside(
    path: &Path,
    why: &str,
    clock: &Clock,
) -> Result<Option<PathBuf>, StoreError> {
    let seconds = clock.wall().unix_millis() / 1_000;
    let aside = path.with_file_name(format!("{NAME}.{why}-{seconds}"));
    match fs::symlink_metadata(path) {
        Ok(_) => rename(path, &aside).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(path, source)),
    }
}

fn rename(from: &Path, to: &Path) -> Result<PathBuf, StoreError> {
    fs::rename(from, to).map_err(|source| io_error(from, source))?;
    Ok(to.to_owned())
}

/// Which file is open, to see whether it is still the one under our name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    /// It never becomes shorter than this while only we write it.
    least: u64,
}

impl FileStamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            least: metadata.len(),
        }
    }

    /// Notes the length after a commit.
    pub(super) fn grew(&mut self, path: &Path) {
        if let Ok(metadata) = fs::metadata(path) {
            let now = Self::of(&metadata);
            if (now.device, now.inode) == (self.device, self.inode) {
                *self = now;
            }
        }
    }

    /// Whether the open file is under that name, and not cut. A name that cannot be looked at
    /// proves nothing.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        match fs::metadata(path) {
            Ok(metadata) => {
                let now = Self::of(&metadata);
                (now.device, now.inode) == (self.device, self.inode) && now.least >= self.least
            }
            // A folder that is a file now holds nothing.
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

enum Problem {
    /// The content cannot be understood.
    Damaged(String),
    /// A later version wrote it, in that schema.
    Later(u64),
    /// Another file would fare no better.
    Fatal(StoreError),
}

fn try_open(path: &Path) -> Result<Opened, Problem> {
    let io = |source| Problem::Fatal(io_error(path, source));
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(MODE);
    let (file, is_new) = match options.open(path) {
        Ok(file) => (file, false),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            (options.create_new(true).open(path).map_err(io)?, true)
        }
        Err(source) => return Err(io(source)),
    };
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(Problem::Damaged("it is not a regular file".to_owned()));
    }
    if !is_new && metadata.len() == 0 {
        return Err(Problem::Damaged("it is empty".to_owned()));
    }
    keep_private(path, &file, &metadata);
    warn_without_locks(path, &file);
    let mut stamp = FileStamp::of(&metadata);
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    let opened = caught(path, || {
        let backend = FileBackend::new(file)?;
        let database = builder.create_with_backend(backend)?;
        let schema = schema(&database)?;
        Ok((database, schema))
    });
    let (database, schema) = opened.map_err(|error| classify(path, error))?;
    if schema > VERSION {
        return Err(Problem::Later(schema));
    }
    stamp.grew(path);
    Ok(Opened {
        database,
        stamp,
        is_new,
    })
}

/// Others must not read the file, nor change what the budget rests on.
fn keep_private(path: &Path, file: &File, metadata: &fs::Metadata) {
    let mode = metadata.permissions().mode() & 0o777;
    if mode & !MODE == 0 {
        return;
    }
    match file.set_permissions(Permissions::from_mode(MODE)) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), "the state had mode {mode:o}, so other users could read or change it; its mode is now {MODE:o}");
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the state has mode {mode:o}, so other users can read or change it, and this process may not change the mode; set it to {MODE:o}");
        }
    }
}

/// On a file system without locks nothing keeps a second process out.
fn warn_without_locks(path: &Path, file: &File) {
    match file.try_lock_shared() {
        Ok(()) => {
            // It is the library that locks the file, in its own way.
            let _ = file.unlock();
        }
        // Opening it says so.
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => {
            tracing::warn!(path = %path.display(), %error, "the file system does not support locks: a second process could use the same state and spend the same budget undetected");
        }
    }
}

/// The schema of a file that is left as it is.
fn read_schema(path: &Path) -> Result<Option<u64>, StoreError> {
    caught(path, || {
        let database = Database::open(path)?;
        let writing = database.begin_write()?;
        let meta = writing.open_table(META)?;
        let row = meta.get(SCHEMA)?;
        Ok(row.map(|row| row.value()))
    })
}

/// The file's schema. A new file gets the tables and this program's; an older one is migrated.
fn schema(database: &Database) -> Result<u64, StoreError> {
    let writing = database.begin_write()?;
    let known = {
        let meta = writing.open_table(META)?;
        let row = meta.get(SCHEMA)?;
        row.map(|row| row.value())
    };
    if let Some(later) = known.filter(|known| *known > VERSION) {
        writing.abort()?;
        return Ok(later);
    }
    if let Some(from @ 1..VERSION) = known {
        migrate::run(&writing, from)?;
    }
    writing.open_table(META)?.insert(SCHEMA, VERSION)?;
    writing.open_table(call_log::CALLS)?;
    writing.open_table(call_log::NUMBERS)?;
    writing.open_table(BUDGETS)?;
    writing.open_table(DEFINITIONS)?;
    writing.open_table(TENANTS)?;
    writing.open_table(COLLECTORS)?;
    writing.open_table(AGENTS)?;
    writing.open_table(STAMPS)?;
    writing.commit()?;
    Ok(VERSION)
}

/// Runs something on the database, which may run into the library's assertions if the file
/// is damaged.
pub(super) fn caught<T>(
    path: &Path,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(damaged(
            path,
            "the database library gave up on it".to_owned(),
        ))
    })
}

fn classify(path: &Path, error: StoreError) -> Problem {
    match error {
        StoreError::Database(redb::Error::DatabaseAlreadyOpen) => {
            Problem::Fatal(StoreError::InUse(path.to_owned()))
        }
        StoreError::Database(redb::Error::Io(source))
            if !matches!(
                source.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof
            ) =>
        {
            Problem::Fatal(io_error(path, source))
        }
        StoreError::Database(error) => Problem::Damaged(error.to_string()),
        StoreError::Damaged { damage, .. } => Problem::Damaged(damage),
        other => Problem::Fatal(other),
    }
}

fn later(schema: u64) -> String {
    format!("it was written by a later version, in schema {schema}")
}

fn damaged(path: &Path, damage: String) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        damage,
    }
}

fn io_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        error: source,
    }
}

fn shown(path: Option<PathBuf>) -> String {
    path.map_or_else(|| "nowhere".to_owned(), |path| path.display().to_string())
}
