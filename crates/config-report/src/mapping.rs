//! Keys and their values.

use std::collections::HashMap;
use std::fmt;

use crate::nearest::nearest;
use crate::report::{ConfigReport, Reported, expected};
use crate::tree::{Data, Entry};
use crate::value::{SHOWN, YamlValue, one_of};

/// A mapping, of which keys are taken one by one; what is left at the end is unknown.
pub struct Mapping<'n> {
    entries: &'n [Entry],
    known: Vec<&'static str>,
    path: String,
    line: usize,
}

/// An entry of a mapping whose keys are free, such as names of users.
pub struct MappingEntry<'n> {
    /// As it stands in the file.
    pub key: &'n str,
    /// `None`, if there is nothing after the colon.
    pub value: Option<YamlValue<'n>>,
    line: usize,
    path: String,
}

/// Where it stands; it may hold a secret.
impl fmt::Debug for Mapping<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("path", &self.path)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// Where it stands; it may hold a secret.
impl fmt::Debug for MappingEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappingEntry")
            .field("path", &self.path)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl MappingEntry<'_> {
    /// Reports an error about the entry. The key is named there only if it looks like one.
    pub fn error(&self, report: &mut ConfigReport, message: impl Into<String>) -> Reported {
        report.error(Some(self.line), &self.path, message)
    }
}

impl<'n> Mapping<'n> {
    pub(crate) fn new(entries: &'n [Entry], path: &str, line: usize) -> Self {
        Self {
            entries,
            known: Vec::new(),
            path: path.to_owned(),
            line,
        }
    }

    /// The value of `key`; a key without a value counts as absent.
    pub fn take(&mut self, key: &'static str) -> Option<YamlValue<'n>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        if matches!(entry.value.data, Data::Null) {
            return None;
        }
        Some(YamlValue::new(&entry.value, &self.path_of(key)))
    }

    /// The value of `key`, which must be there; `what` says what it is.
    ///
    /// # Errors
    /// [`Reported`], if there is none.
    pub fn require(
        &mut self,
        report: &mut ConfigReport,
        key: &'static str,
        what: &str,
    ) -> Result<YamlValue<'n>, Reported> {
        self.take(key).ok_or_else(|| {
            let message = expected(what, "nothing", &format!("add `{key}: …`"));
            self.error(report, key, message)
        })
    }

    /// All entries, for a mapping whose keys are free. Do not call [`Self::finish`] then: it
    /// would not know any of them.
    #[must_use]
    pub fn entries(&self) -> Vec<MappingEntry<'n>> {
        let free = |entry: &'n Entry| {
            let path = self.path_of(shown_key(&entry.key));
            let empty = matches!(entry.value.data, Data::Null);
            MappingEntry {
                key: &entry.key,
                value: (!empty).then(|| YamlValue::new(&entry.value, &path)),
                line: entry.line,
                path,
            }
        };
        self.entries.iter().map(free).collect()
    }

    /// Reports an error about the value of `key`, or about the mapping if that is empty.
    pub fn error(
        &self,
        report: &mut ConfigReport,
        key: &str,
        message: impl Into<String>,
    ) -> Reported {
        report.error(Some(self.line_of(key)), &self.path_of(key), message)
    }

    /// Reports the keys that were never asked for, each with the known one that it may have
    /// been meant for.
    pub fn finish(self, report: &mut ConfigReport) {
        for entry in self.entries {
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let key = shown_key(&entry.key);
            let advice = match nearest(key, &self.known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "remove it".to_owned(),
            };
            let known = one_of(self.known.iter().copied());
            let known = known.unwrap_or_else(|| "no key".to_owned());
            report.error(
                Some(entry.line),
                &self.path_of(key),
                expected(&known, "an unknown key", &advice),
            );
        }
    }

    pub(crate) fn refuse_duplicates(&self, report: &mut ConfigReport) {
        let mut seen = HashMap::new();
        for entry in self.entries {
            let first = *seen.entry(entry.key.as_str()).or_insert(entry);
            if !std::ptr::eq(first, entry) {
                let found = format!("it on line {} too", first.line);
                report.error(
                    Some(entry.line),
                    &self.path_of(shown_key(&entry.key)),
                    expected("each key once", &found, "remove one of them"),
                );
            }
        }
    }

    fn line_of(&self, key: &str) -> usize {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map_or(self.line, |entry| entry.line)
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (_, true) => self.path.clone(),
            _ => format!("{}.{key}", self.path),
        }
    }
}

/// A key as errors repeat it. `{client_secret:s3cr3t}` is a key: only what
/// looks like a name is repeated.
fn shown_key(key: &str) -> &str {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=SHOWN).contains(&key.len()) && key.chars().all(name) {
        key
    } else {
        ""
    }
}
