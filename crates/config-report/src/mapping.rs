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
    layout: Layout,
    /// Entries whose fault is reported already, by their number.
    reported: Vec<usize>,
    path: String,
    line: usize,
}

/// What is known of the keys around those of a mapping, to explain what stands in a wrong place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Keys whose values are lists or mappings: what stands below one without a value was
    /// meant to be indented.
    pub sections: &'static [&'static str],
    /// Keys of other sections, each with what to do about them here.
    pub elsewhere: &'static [(&'static str, &'static [&'static str])],
    /// How keys begin that nobody reads, such as those of anchors.
    pub ignored: Option<&'static str>,
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
            layout: Layout::default(),
            reported: Vec::new(),
            path: path.to_owned(),
            line,
        }
    }

    /// Explains keys in a wrong place by `layout`.
    #[must_use]
    pub fn with_layout(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    /// The value of `key`; a key without a value counts as absent.
    pub fn take(&mut self, key: &'static str) -> Option<YamlValue<'n>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
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
        match self.take(key) {
            Some(value) => Ok(value),
            None => Err(self.missing(report, key, what)),
        }
    }

    /// Reports that `key` has no value; `what` says what it should be.
    pub fn missing(
        &mut self,
        report: &mut ConfigReport,
        key: &'static str,
        what: &str,
    ) -> Reported {
        if let Err(reported) = self.explain(report, key) {
            return reported;
        }
        if let Some(empty) = self.position(key) {
            self.reported.push(empty);
            let advice = if self.layout.sections.contains(&key) {
                format!("indent the lines that belong to it further than `{key}`")
            } else {
                "write it after the colon, in quotes if it begins with `#`".to_owned()
            };
            return self.error(report, key, expected(what, "nothing", &advice));
        }
        let message = expected(what, "nothing", &format!("add `{key}: …`"));
        self.error(report, key, message)
    }

    /// A mapping without keys in the place of the value of `key`, for what is asked of a section
    /// that may be left out.
    #[must_use]
    pub fn empty_section(&self, key: &str) -> Mapping<'static> {
        Mapping::new(&[], &self.path_of(key), self.line_of(key))
    }

    /// Whether `key` is there, but nothing after its colon.
    #[must_use]
    pub fn is_empty(&self, key: &str) -> bool {
        let entry = self.position(key).map(|number| &self.entries[number]);
        entry.is_some_and(|entry| matches!(entry.value.data, Data::Null))
    }

    /// Reports why `key` seems to be missing, where it is misspelt or may be in what `<<` merges.
    ///
    /// # Errors
    /// [`Reported`], in either case.
    pub fn explain(
        &mut self,
        report: &mut ConfigReport,
        key: &'static str,
    ) -> Result<(), Reported> {
        let mut entries = self.entries.iter();
        let (wrong, message) = if let Some(merge) = self.position("<<") {
            (merge, self.unknown("<<"))
        } else if let Some(misspelt) = entries.position(|entry| {
            !self.known.contains(&entry.key.as_str()) && nearest(&entry.key, &[key]).is_some()
        }) {
            let message = expected(&format!("`{key}`"), "a similar key", "rename it");
            (misspelt, message)
        } else {
            return Ok(());
        };
        let entry = &self.entries[wrong];
        if self.reported.contains(&wrong) {
            return Err(Reported::again());
        }
        self.reported.push(wrong);
        let path = self.path_of(shown_key(&entry.key));
        Err(report.error(Some(entry.line), &path, message))
    }

    /// Reports the first key that belongs elsewhere, if any.
    ///
    /// # Errors
    /// [`Reported`], if there is one.
    pub fn refuse_misplaced(&mut self, report: &mut ConfigReport) -> Result<(), Reported> {
        // What stands below a section without a value is told by `finish`.
        let is_empty = |entry: &&Entry| {
            let is_section = self.layout.sections.contains(&entry.key.as_str());
            is_section && matches!(entry.value.data, Data::Null)
        };
        let mut entries = self.entries.iter().take_while(|entry| !is_empty(entry));
        let misplaced = entries.position(|entry| self.home(&entry.key).is_some());
        let Some(misplaced) = misplaced else {
            return Ok(());
        };
        let entry = &self.entries[misplaced];
        // With those below it.
        self.reported.extend(misplaced..self.entries.len());
        let message = self.unknown(&entry.key);
        Err(report.error(Some(entry.line), &self.path_of(&entry.key), message))
    }

    /// What to do about a key of another section.
    fn home(&self, key: &str) -> Option<&'static str> {
        let mut elsewhere = self.layout.elsewhere.iter();
        let section = elsewhere.find(|(_, keys)| keys.contains(&key));
        section.map(|(advice, _)| *advice)
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
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
    pub fn finish(mut self, report: &mut ConfigReport) {
        // The section without a value, below which entries stand on its own level.
        let mut empty = None;
        for (number, entry) in self.entries.iter().enumerate() {
            let (key, layout) = (entry.key.as_str(), self.layout);
            if self.known.contains(&key) {
                let is_empty = matches!(entry.value.data, Data::Null);
                empty = (is_empty && layout.sections.contains(&key)).then_some(number);
            } else if layout.ignored.is_some_and(|start| key.starts_with(start)) {
                empty = None;
            } else if let Some(section) = empty {
                if !self.reported.contains(&section) {
                    self.reported.push(section);
                    let section = &self.entries[section].key;
                    let message = expected(
                        &format!("the lines below `{section}` to be indented further than it"),
                        "one that is not",
                        "indent them, or remove the key without a value",
                    );
                    report.error(Some(entry.line), &self.path_of(shown_key(key)), message);
                }
            } else if !self.reported.contains(&number) {
                let message = self.unknown(key);
                report.error(Some(entry.line), &self.path_of(shown_key(key)), message);
            }
        }
    }

    /// What is wrong with a key that was never asked for.
    fn unknown(&self, key: &str) -> String {
        if key == "<<" {
            let advice = "repeat the keys here, or use an alias for a whole section";
            return expected("keys without `<<`", "a merge key", advice);
        }
        if let Some(advice) = self.home(key) {
            return expected("a key of this section", "a key of another section", advice);
        }
        let advice = match nearest(key, &self.known) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "remove it".to_owned(),
        };
        let known = one_of(self.known.iter().copied());
        let known = known.unwrap_or_else(|| "no key".to_owned());
        expected(&known, "an unknown key", &advice)
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
pub(crate) fn shown_key(key: &str) -> &str {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=SHOWN).contains(&key.len()) && key.chars().all(name) {
        key
    } else {
        ""
    }
}
