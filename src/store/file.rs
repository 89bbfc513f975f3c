//! The file: made, opened, or moved aside.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableTable as _, TableDefinition};

use super::{CALLS, DEFINITIONS, OnError, StoreError, TENANTS, migrate};
use crate::clock::Clock;

const NAME: &str = "state.redb";
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";

/// The version of the rows. A change to a row's shape raises it and adds a migration
/// to `migrate`, and a file of the former version to `tests/fixtures`.
const VERSION: u64 = 2;

/// Pages kept in memory, in bytes: state is read once, at the start.
const CACHE: usize = 2 * 1024 * 1024;

/// The file's path in `folder`, which is made if it is missing.
pub(super) fn prepare(folder: &Path) -> Result<PathBuf, StoreError> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|source| StoreError::Io {
        path: folder.to_owned(),
        source,
    })?;
    Ok(folder.join(NAME))
}

/// Opens the file or makes it; a damaged one is moved aside first.
pub(super) fn open(path: &Path, clock: &Clock, on_error: &OnError) -> Result<Database, StoreError> {
    let damage = match try_open(path) {
        Ok(database) => return Ok(database),
        Err(Problem::Fatal(error)) => return Err(error),
        Err(Problem::Damaged(damage)) => damage,
    };
    let seconds = clock.wall().unix_millis() / 1_000;
    let aside = path.with_file_name(format!("{NAME}.damaged-{seconds}"));
    fs::rename(path, &aside).map_err(|source| StoreError::Io {
        path: path.to_owned(),
        source,
    })?;
    on_error();
    tracing::error!(
        path = %path.display(),
        moved_to = %aside.display(),
        damage,
        "the state is damaged and was moved aside; counters start anew, and which calls were made is forgotten"
    );
    match try_open(path) {
        Ok(database) => Ok(database),
        Err(Problem::Fatal(error)) => Err(error),
        Err(Problem::Damaged(damage)) => {
            let source = io::Error::new(ErrorKind::InvalidData, damage);
            Err(StoreError::Io {
                path: path.to_owned(),
                source,
            })
        }
    }
}

/// Opens the file in `folder` if there is one, and moves nothing aside.
pub(super) fn open_existing(folder: &Path) -> Result<Option<(PathBuf, Database)>, StoreError> {
    let path = folder.join(NAME);
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(source) => return Err(StoreError::Io { path, source }),
    }
    match try_open(&path) {
        Ok(database) => Ok(Some((path, database))),
        Err(Problem::Fatal(error)) => Err(error),
        Err(Problem::Damaged(damage)) => Err(StoreError::Damaged { path, damage }),
    }
}

enum Problem {
    /// The content can not be understood.
    Damaged(String),
    /// Another file would fare no better.
    Fatal(StoreError),
}

fn try_open(path: &Path) -> Result<Database, Problem> {
    let io = |source| {
        Problem::Fatal(StoreError::Io {
            path: path.to_owned(),
            source,
        })
    };
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        return Err(Problem::Damaged("it is empty".to_owned()));
    }
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io)?;
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    // A damaged file may run into the library's assertions.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = builder.create_with_backend(FileBackend::new(file)?)?;
        schema(&database).map(|schema| (database, schema))
    }));
    let (database, schema) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Err(classify(path, error)),
        Err(_) => {
            return Err(Problem::Damaged(
                "the database library gave up on it".to_owned(),
            ));
        }
    };
    if schema > VERSION {
        let newer = StoreError::Newer {
            path: path.to_owned(),
            expected: VERSION,
            found: schema,
        };
        return Err(Problem::Fatal(newer));
    }
    Ok(database)
}

/// The file's schema. A new file gets the tables and this program's; an older one is migrated.
fn schema(database: &Database) -> Result<u64, redb::Error> {
    let writing = database.begin_write()?;
    let version;
    {
        let mut meta = writing.open_table(META)?;
        let known = meta.get(SCHEMA)?.map(|row| row.value());
        version = known.unwrap_or(VERSION).max(VERSION);
        if known == Some(1) {
            migrate::to_2(&writing)?;
        }
        if version == VERSION {
            meta.insert(SCHEMA, VERSION)?;
        }
        writing.open_table(CALLS)?;
        writing.open_table(DEFINITIONS)?;
        writing.open_table(TENANTS)?;
    }
    writing.commit()?;
    Ok(version)
}

fn classify(path: &Path, error: redb::Error) -> Problem {
    match error {
        redb::Error::DatabaseAlreadyOpen => Problem::Fatal(StoreError::InUse(path.to_owned())),
        redb::Error::Io(source)
            if !matches!(
                source.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof
            ) =>
        {
            Problem::Fatal(StoreError::Io {
                path: path.to_owned(),
                source,
            })
        }
        error => Problem::Damaged(error.to_string()),
    }
}
