//! Reading secrets: where they may come from, and how files of them are read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

/// Longer than any secret or token.
const MAX_BYTES: u64 = 64 * 1024;

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// The configuration itself, or the environment.
    Inline(SecretString),
    /// A file, read again at each sign-in.
    File(PathBuf),
}

/// Equal if the texts or the paths are; files are not looked at.
impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(ours), Self::Inline(theirs)) => {
                ours.expose_secret() == theirs.expose_secret()
            }
            (Self::File(ours), Self::File(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

impl SecretSource {
    /// The secret as it is now.
    ///
    /// # Errors
    /// Any [`SecretFileError`], if it is in a file.
    pub fn read(&self) -> Result<SecretString, SecretFileError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => read_secret_file(path),
        }
    }
}

/// Why a file does not give a secret. Never holds what is in the file.
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// It can not be opened or read.
    #[error(
        "expected a readable file, but found `{path}`: {source}; check that it exists and who may read it"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing is in it, or white space only.
    #[error("expected a secret, but found `{path}` empty; write the secret into it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// More than 64 KiB are in it.
    #[error(
        "expected at most 64 KiB, but found more in `{path}`; name the file that holds only the secret"
    )]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is not UTF-8, or has several lines.
    #[error(
        "expected one line of UTF-8 text, but found something else in `{path}`; name the file that holds only the secret"
    )]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

/// The one line of `path`, without the line's end.
///
/// # Errors
/// [`SecretFileError`], for each reason that it names.
pub fn read_secret_file(path: &Path) -> Result<SecretString, SecretFileError> {
    let unreadable = |source| SecretFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text))
        .map_err(unreadable)?;
    let path = || path.to_owned();
    if text.len() as u64 > MAX_BYTES {
        return Err(SecretFileError::TooLong { path: path() });
    }
    let text = String::from_utf8(text).map_err(|_| SecretFileError::NotText { path: path() })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(SecretFileError::Empty { path: path() });
    }
    if secret.contains(char::is_control) {
        return Err(SecretFileError::NotText { path: path() });
    }
    Ok(SecretString::from(secret))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(content: &[u8]) -> Result<String, SecretFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        let secret = SecretSource::File(path).read()?;
        Ok(secret.expose_secret().to_owned())
    }

    #[test]
    fn only_the_end_of_the_line_is_trimmed() {
        assert_eq!(read(b" s3cr3t \r\n").unwrap(), " s3cr3t ");
        assert_eq!(read(b"s3cr3t").unwrap(), "s3cr3t");
    }

    #[test]
    fn files_without_one_secret_are_refused() {
        assert!(matches!(read(b" \n"), Err(SecretFileError::Empty { .. })));
        assert!(matches!(
            read(b"a\nb\n"),
            Err(SecretFileError::NotText { .. })
        ));
        assert!(matches!(
            read(b"\xff"),
            Err(SecretFileError::NotText { .. })
        ));
        let long = vec![b'a'; 64 * 1024 + 1];
        assert!(matches!(read(&long), Err(SecretFileError::TooLong { .. })));
        let missing = SecretSource::File("/nowhere/secret".into()).read();
        assert!(matches!(missing, Err(SecretFileError::Unreadable { .. })));
    }
}
