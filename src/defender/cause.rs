//! Why a connection failed, in plain words: the causes that libraries name.

use crate::advice;

/// What `cause` means, if that is known; else its own words.
pub(super) fn plain(cause: &str) -> String {
    advice::of_cause(cause).map_or_else(|| cause.to_owned(), |known| known.meaning.to_owned())
}
