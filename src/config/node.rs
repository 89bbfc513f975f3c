//! A walk through the tree: typed getters that report what is wrong, with line
//! and key path, and go on.

use std::collections::HashMap;

use super::mistake::{Report, Reported, expected};
use super::yaml::{self, Data, Entry, Node};

/// The largest file that is read, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// How much of a value is repeated in a mistake.
const SHOWN: usize = 48;

/// The tree of a file's text; `None` if there is nothing in it.
pub(super) fn root(text: &str, report: &mut Report) -> Result<Option<Node>, Reported> {
    if text.len() > MAX_BYTES {
        report.mistake(None, "", too_large());
        return Err(Reported);
    }
    match yaml::read(text) {
        Ok(node) => Ok(node.filter(|node| !matches!(node.data, Data::Null))),
        Err(malformed) => {
            report.mistake(Some(malformed.line), "", malformed.text);
            Err(Reported)
        }
    }
}

/// The mistake of a file that is larger than the largest.
pub(super) fn too_large() -> String {
    expected("at most 1 MiB", "a larger file", "name the right file")
}

/// A value with the path of its key. Never empty.
#[derive(Clone)]
pub(super) struct Value<'n> {
    node: &'n Node,
    path: String,
}

impl<'n> Value<'n> {
    pub(super) fn new(node: &'n Node, path: &str) -> Self {
        Self {
            node,
            path: path.to_owned(),
        }
    }

    pub(super) fn mistake(&self, report: &mut Report, text: String) {
        report.mistake(Some(self.node.line), &self.path, text);
    }

    pub(super) fn warn(&self, report: &mut Report, text: String) {
        report.warn(Some(self.node.line), &self.path, text);
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.data, Data::List(_))
    }

    /// The text below `key`, if there is one; reports nothing.
    pub(super) fn peek(&self, key: &str) -> Option<(&'n str, Self)> {
        let Data::Mapping(entries) = &self.node.data else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        let Data::Text(text) = &entry.value.data else {
            return None;
        };
        let value = Self::new(&entry.value, &format!("{}.{key}", self.path));
        Some((text, value))
    }

    /// Its text, if it is a single value; `what` says what it should be.
    pub(super) fn text(&self, report: &mut Report, what: &str) -> Option<&'n str> {
        if let Data::Text(text) = &self.node.data {
            return Some(text);
        }
        self.mistake(
            report,
            expected(what, self.node.kind(), "write one value after the colon"),
        );
        None
    }

    /// Its text, read by `parse`. The value is repeated in the mistake: not for secrets.
    pub(super) fn parse<T>(
        &self,
        report: &mut Report,
        what: &str,
        advice: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(report, what)?;
        let value = parse(text);
        if value.is_none() {
            self.mistake(report, expected(what, &shown(text), advice));
        }
        value
    }

    pub(super) fn list(&self, report: &mut Report, what: &str) -> Vec<Self> {
        let Data::List(items) = &self.node.data else {
            self.mistake(
                report,
                expected(what, self.node.kind(), "start each entry with `- `"),
            );
            return Vec::new();
        };
        let item = |(index, node)| Self::new(node, &format!("{}[{index}]", self.path));
        items.iter().enumerate().map(item).collect()
    }

    pub(super) fn section(&self, report: &mut Report, what: &str) -> Option<Section<'n>> {
        let Data::Mapping(entries) = &self.node.data else {
            self.mistake(
                report,
                expected(what, self.node.kind(), "write `key: value` lines below it"),
            );
            return None;
        };
        let section = Section {
            entries,
            known: Vec::new(),
            path: self.path.clone(),
            line: self.node.line,
        };
        section.refuse_twins(report);
        Some(section)
    }
}

/// An entry of a mapping whose keys are free, such as names of users.
pub(super) struct Free<'n> {
    pub(super) key: &'n str,
    pub(super) line: usize,
    /// Without the key, if it does not look like a name.
    pub(super) path: String,
    pub(super) value: Option<Value<'n>>,
}

/// A mapping, of which keys are taken one by one; what is left at the end is unknown.
pub(super) struct Section<'n> {
    entries: &'n [Entry],
    known: Vec<&'static str>,
    path: String,
    line: usize,
}

impl<'n> Section<'n> {
    /// The value of `key`; a key without a value counts as absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'n>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        if matches!(entry.value.data, Data::Null) {
            return None;
        }
        Some(Value::new(&entry.value, &self.path_of(key)))
    }

    /// The value of `key`, which must be there; `what` says what it is.
    pub(super) fn require(
        &mut self,
        report: &mut Report,
        key: &'static str,
        what: &str,
    ) -> Option<Value<'n>> {
        let value = self.take(key);
        if value.is_none() {
            let found = expected(what, "nothing", &format!("add `{key}: …`"));
            report.mistake(Some(self.line_of(key)), &self.path_of(key), found);
        }
        value
    }

    /// All entries, where the keys are free; a key without a value has `None`.
    pub(super) fn entries(&self) -> Vec<Free<'n>> {
        let free = |entry: &'n Entry| {
            let path = self.path_of(shown_key(&entry.key));
            let empty = matches!(entry.value.data, Data::Null);
            Free {
                key: &entry.key,
                line: entry.line,
                value: (!empty).then(|| Value::new(&entry.value, &path)),
                path,
            }
        };
        self.entries.iter().map(free).collect()
    }

    /// A mistake about the mapping, at `key`.
    pub(super) fn mistake(&self, report: &mut Report, key: &str, text: String) {
        report.mistake(Some(self.line_of(key)), &self.path_of(key), text);
    }

    /// Reports the keys that were never asked for.
    pub(super) fn finish(self, report: &mut Report) {
        for entry in self.entries {
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let key = shown_key(&entry.key);
            let advice = match nearest(&entry.key, &self.known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "remove it".to_owned(),
            };
            report.mistake(
                Some(entry.line),
                &self.path_of(key),
                expected(&known_keys(&self.known), "an unknown key", &advice),
            );
        }
    }

    fn refuse_twins(&self, report: &mut Report) {
        let mut seen = HashMap::new();
        for entry in self.entries {
            let first = *seen.entry(entry.key.as_str()).or_insert(entry);
            if !std::ptr::eq(first, entry) {
                let found = format!("it on line {} too", first.line);
                report.mistake(
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

/// A value as mistakes repeat it: on one line, cut, and without what may be a password.
pub(super) fn shown(text: &str) -> String {
    if text.contains('@') {
        return "a value with `@`".to_owned();
    }
    let mut short = String::new();
    for c in text.chars().take(SHOWN) {
        if c.is_control() {
            short.extend(c.escape_debug());
        } else {
            short.push(c);
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

/// A key as mistakes repeat it. `{client_secret:s3cr3t}` is a key: only what
/// looks like a name is repeated.
fn shown_key(key: &str) -> &str {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=SHOWN).contains(&key.len()) && key.chars().all(name) {
        key
    } else {
        ""
    }
}

fn known_keys(known: &[&str]) -> String {
    let quoted: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "no key".to_owned(),
    }
}

/// The known key that differs least, if it is near enough to be meant.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = shown_key(key).to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (distance(&key, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("tenant", "tenants"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn the_nearest_key_must_be_near() {
        assert_eq!(
            nearest("tennant_id", &["name", "tenant_id"]),
            Some("tenant_id")
        );
        assert_eq!(
            nearest("Tenant-ID", &["name", "tenant_id"]),
            Some("tenant_id")
        );
        assert_eq!(nearest("colour", &["name", "tenant_id"]), None);
    }

    #[test]
    fn values_are_cut_and_kept_on_one_line() {
        assert_eq!(shown("a\nb"), "`a\\nb`");
        assert_eq!(shown(&"x".repeat(60)), format!("`{}…`", "x".repeat(48)));
        assert_eq!(shown("https://me:pw@host"), "a value with `@`");
    }
}
