//! Files that the web configuration names, and by what a change is noticed.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::small_file;

/// Longer than any bundle of certificates.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What tells one state of a file from another, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Another file under the same name, as when a link is changed.
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    /// Differs too if the time of modification was set back.
    changed: (i64, i64),
}

impl FileStamp {
    /// Of the file that is at `path` now; `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        path.metadata().ok().as_ref().map(Self::new)
    }

    fn new(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads files and remembers which.
pub(super) struct Source<'f> {
    /// The folder to which paths are relative; `None`: files are not looked at.
    folder: Option<&'f Path>,
    files: Vec<(PathBuf, Option<FileStamp>)>,
}

impl<'f> Source<'f> {
    pub(super) fn new(folder: Option<&'f Path>) -> Self {
        Self {
            folder,
            files: Vec::new(),
        }
    }

    /// The file that the configuration calls `name`: its path, and what is in it.
    /// `None`, if files are not looked at.
    pub(super) fn named(&mut self, name: &str) -> Option<(PathBuf, io::Result<Vec<u8>>)> {
        let path = self.folder?.join(name);
        let content = self.read(&path);
        Some((path, content))
    }

    /// The mark is taken before the content is read: a file that changes
    /// meanwhile has another one afterwards.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let opened = small_file::open(path);
        let mark = match &opened {
            Ok((_, metadata)) => Some(FileStamp::new(metadata)),
            Err(_) => FileStamp::of(path),
        };
        self.files.push((path.to_owned(), mark));
        let (file, metadata) = opened?;
        if metadata.len() > MAX_BYTES {
            return Err(io::Error::other(format!("more than {MAX_BYTES} bytes")));
        }
        let mut content = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut content)?;
        Ok(content)
    }

    pub(super) fn into_files(self) -> Vec<(PathBuf, Option<FileStamp>)> {
        self.files
    }
}
