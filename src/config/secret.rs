//! Reading secrets: where they may come from, and how files of them are read.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use config_report::has_placeholder;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

use super::files::path_excerpt;
use super::scalar::is_guid;
use exporter_toolkit::small_file::{self, Content};

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

/// Why a file does not give a secret. Never holds what is in the file.
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// It cannot be opened or read.
    #[error(
        "expected a readable file, but found {shown}: {source}; {advice}", shown = path_excerpt(path), advice = small_file::advice(source)
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing is in it, or white space only.
    #[error("expected a secret in `{path}`, but found an empty file; write the secret into it")]
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

impl SecretFileError {
    /// What is wrong with the file, without its name.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Unreadable { source, .. } => source.to_string(),
            Self::Empty { .. } => "the file is empty".to_owned(),
            Self::TooLong { .. } => "more than 64 KiB".to_owned(),
            Self::NotText { .. } => "not one line of UTF-8 text".to_owned(),
        }
    }
}

/// The one line of text in the file, without white space at either end: editors and
/// shells add it, and no secret or token has any there.
///
/// # Errors
/// [`SecretFileError`], for each reason that it names.
pub async fn read_secret_file(path: &Path) -> Result<SecretString, SecretFileError> {
    secret(path, small_file::read(path, small_file::SECRET).await)
}

/// What a secret is, as far as it can be told from what it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretKind {
    /// The secret of an application.
    ClientSecret,
    /// A bearer token.
    Token,
    /// A federated token, whose file the platform writes as it likes.
    Federated,
}

/// Pairs of quotes, among them those of word processors.
const QUOTES: [(char, char); 4] = [
    ('"', '"'),
    ('\'', '\''),
    ('\u{201c}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
];

/// A file with a secret that every user of the machine can read.
pub(super) const EXPOSED: &str =
    "everyone on this machine can read this file, and it holds a secret; run `chmod o-r` on it";

impl SecretKind {
    /// What such a secret is likely instead. Never holds it.
    pub(super) fn suspicion(self, secret: &str) -> Option<&'static str> {
        let quoted = |(begin, end): (char, char)| {
            secret.len() > 1 && secret.starts_with(begin) && secret.ends_with(end)
        };
        let placeholder = [
            "change me",
            "change-me",
            "change_me",
            "changeme",
            "your-",
            "your_",
        ];
        let small = secret.to_ascii_lowercase();
        let variable = |mark: char| secret.len() > 1 && secret.starts_with(mark);
        if QUOTES.into_iter().any(quoted) {
            Some("has quotes around the secret, which count as part of it; remove them")
        } else if has_placeholder(secret) {
            // Whoever reads the file, or the configuration, says so of any value.
            None
        } else if quoted(('<', '>')) || placeholder.iter().any(|words| small.contains(words)) {
            Some("looks like a placeholder; write the secret itself")
        } else if self == Self::ClientSecret
            && (small.contains("secret=") || small.contains("secret:") || secret.starts_with('{'))
        {
            Some("looks like a named setting; write only the secret's value")
        } else if self == Self::ClientSecret
            && (variable('$') || quoted(('%', '%')))
            && !secret.contains('~')
        {
            Some("looks like a variable, and variables are not expanded; write the secret itself")
        } else if self == Self::ClientSecret && is_guid(secret) {
            Some(
                "looks like the id of a secret; copy the secret's Value, which is shown only when it is created",
            )
        } else {
            None
        }
    }
}

/// [`read_secret_file`], for whoever may block the thread. Returns what is likely not meant.
pub(super) fn check_secret_file(
    path: &Path,
    kind: SecretKind,
) -> Result<Vec<&'static str>, SecretFileError> {
    let content = small_file::blocking_read(path, small_file::SECRET);
    let exposed = content.as_ref().is_ok_and(|content| content.exposed);
    let secret = secret(path, content)?;
    let exposed = (exposed && kind != SecretKind::Federated).then_some(EXPOSED);
    let secret = secret.expose_secret();
    let variable = has_placeholder(secret).then_some(
        "contains a variable, and variables are not expanded in this file; write the secret itself",
    );
    let suspicion = kind.suspicion(secret).or(variable);
    Ok(exposed.into_iter().chain(suspicion).collect())
}

fn secret(path: &Path, content: io::Result<Content>) -> Result<SecretString, SecretFileError> {
    let path = || path.to_owned();
    let content = content.map_err(|source| match source.kind() {
        ErrorKind::FileTooLarge => SecretFileError::TooLong { path: path() },
        _ => SecretFileError::Unreadable {
            path: path(),
            source,
        },
    })?;
    let text = String::from_utf8(content.bytes);
    let text = text.map_err(|_| SecretFileError::NotText { path: path() })?;
    match text.trim() {
        "" => Err(SecretFileError::Empty { path: path() }),
        secret if secret.contains(char::is_control) => {
            Err(SecretFileError::NotText { path: path() })
        }
        secret => Ok(secret.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<String, SecretFileError> {
        let bytes = content.to_vec();
        let exposed = false;
        let secret = secret(Path::new("secret"), Ok(Content { bytes, exposed }))?;
        Ok(secret.expose_secret().to_owned())
    }

    #[test]
    fn white_space_at_the_ends_is_no_part_of_a_secret() {
        for content in ["s3 cr3t", " s3 cr3t \r\n", "\ts3 cr3t\n\n", "\ns3 cr3t"] {
            assert_eq!(read(content.as_bytes()).unwrap(), "s3 cr3t");
        }
    }

    #[test]
    fn files_without_one_secret_are_refused() {
        for empty in ["", " \n"] {
            let error = read(empty.as_bytes()).unwrap_err();
            assert!(matches!(error, SecretFileError::Empty { .. }));
        }
        // The third is what PowerShell writes by default.
        for content in [&b"a\nb\n"[..], b"\xff", b"\xff\xfes\0", b"a\0b", b"a\x1bb"] {
            let error = read(content).unwrap_err();
            assert!(matches!(error, SecretFileError::NotText { .. }));
        }
    }

    #[tokio::test]
    async fn files_that_can_not_be_read_are_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, vec![b'a'; 64 * 1024 + 1]).unwrap();
        let long = read_secret_file(&path).await.unwrap_err();
        assert!(matches!(long, SecretFileError::TooLong { .. }));
        let device = check_secret_file(Path::new("/dev/zero"), SecretKind::Token).unwrap_err();
        assert_eq!(
            device.to_string(),
            "expected a readable file, but found `/dev/zero`: a device; name a regular file"
        );
        let missing = read_secret_file(Path::new("/nowhere")).await.unwrap_err();
        assert!(matches!(missing, SecretFileError::Unreadable { .. }));
    }
}
