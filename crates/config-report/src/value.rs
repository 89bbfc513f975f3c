//! A walk through the tree: typed getters that report what is wrong, with line
//! and key path.

use std::fmt;

use crate::mapping::{Mapping, shown_key};
use crate::report::{ConfigReport, Location, Reported, expected};
use crate::tree::{Data, Node};

/// How much of a value is repeated in an error, in characters.
pub(crate) const SHOWN: usize = 48;

/// A value with the path of its key. Never empty.
#[derive(Clone)]
pub struct YamlValue<'n> {
    node: &'n Node,
    path: String,
}

/// Where it stands; it may be a secret.
impl fmt::Debug for YamlValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("YamlValue")
            .field("path", &self.path)
            .field("line", &self.node.line)
            .finish_non_exhaustive()
    }
}

impl<'n> YamlValue<'n> {
    pub(crate) fn new(node: &'n Node, path: &str) -> Self {
        Self {
            node,
            path: path.to_owned(),
        }
    }

    /// Reports an error about it, best in the form of [`expected`].
    pub fn error(&self, report: &mut ConfigReport, message: impl Into<String>) -> Reported {
        report.error(Some(self.node.line), &self.path, message)
    }

    /// Reports a warning about it.
    pub fn warn(&self, report: &mut ConfigReport, message: impl Into<String>) {
        report.warn(Some(self.node.line), &self.path, message);
    }

    /// Where it stands in what is being read.
    #[must_use]
    pub fn location(&self, report: &ConfigReport) -> Location {
        report.location(Some(self.node.line), &self.path)
    }

    /// The path of its key, such as `servers[0].name`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The single value below `key`, and its text. Reports nothing: for a look ahead at
    /// what is read later.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<(&'n str, Self)> {
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

    /// Whether it has `key`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        matches!(&self.node.data, Data::Mapping(entries) if entries.iter().any(|entry| entry.key == key))
    }

    /// Its text; `what` says what it should be.
    ///
    /// # Errors
    /// [`Reported`], if it is a list or a mapping.
    pub fn text(&self, report: &mut ConfigReport, what: &str) -> Result<&'n str, Reported> {
        if let Data::Text(text) = &self.node.data {
            return Ok(text);
        }
        let advice = "write a single value";
        Err(self.error(report, expected(what, self.node.kind(), advice)))
    }

    /// Its text, read by `parse`. The error repeats it: secrets go through
    /// [`Self::parse_secret`].
    ///
    /// # Errors
    /// [`Reported`], if it is a list or a mapping, or `parse` has no value.
    pub fn parse<T>(
        &self,
        report: &mut ConfigReport,
        what: &str,
        advice: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Reported> {
        self.parse_showing(report, what, advice, parse, excerpt)
    }

    /// Its text, read by `parse`. The error does not repeat it: it is, or may be by mistake,
    /// a secret.
    ///
    /// # Errors
    /// [`Reported`], if it is a list or a mapping, or `parse` has no value.
    pub fn parse_secret<T>(
        &self,
        report: &mut ConfigReport,
        what: &str,
        advice: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Reported> {
        self.parse_showing(report, what, advice, parse, |_| "something else".to_owned())
    }

    /// Its text, read by `parse`. The error has as much of it as `show` gives.
    fn parse_showing<T>(
        &self,
        report: &mut ConfigReport,
        what: &str,
        advice: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        show: impl FnOnce(&str) -> String,
    ) -> Result<T, Reported> {
        let text = self.text(report, what)?;
        let advice = if has_placeholder(text) {
            VARIABLES
        } else {
            advice
        };
        parse(text).ok_or_else(|| self.error(report, expected(what, &show(text), advice)))
    }

    /// All single values in it, itself included, with their texts.
    pub fn each_text(&self, see: &mut impl FnMut(&Self, &'n str)) {
        match &self.node.data {
            Data::Null => {}
            Data::Text(text) => see(self, text),
            Data::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    Self::new(item, &format!("{}[{index}]", self.path)).each_text(see);
                }
            }
            Data::Mapping(entries) => {
                for entry in entries {
                    let key = shown_key(&entry.key);
                    let dot = if self.path.is_empty() || key.is_empty() {
                        ""
                    } else {
                        "."
                    };
                    let path = format!("{}{dot}{key}", self.path);
                    Self::new(&entry.value, &path).each_text(see);
                }
            }
        }
    }

    /// Its entries; `what` says what they are.
    ///
    /// # Errors
    /// [`Reported`], if it is no list.
    pub fn list(&self, report: &mut ConfigReport, what: &str) -> Result<Vec<Self>, Reported> {
        let Data::List(items) = &self.node.data else {
            let advice = "start each entry with `- `";
            return Err(self.error(report, expected(what, self.node.kind(), advice)));
        };
        let item = |(index, node)| Self::new(node, &format!("{}[{index}]", self.path));
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// Its keys and values; `what` says what they are. Reports keys that are there twice.
    ///
    /// # Errors
    /// [`Reported`], if it is no mapping.
    pub fn mapping(&self, report: &mut ConfigReport, what: &str) -> Result<Mapping<'n>, Reported> {
        let Data::Mapping(entries) = &self.node.data else {
            let advice = "write `key: value` lines below it";
            return Err(self.error(report, expected(what, self.node.kind(), advice)));
        };
        let mapping = Mapping::new(entries, &self.path, self.node.line);
        mapping.refuse_duplicates(report);
        Ok(mapping)
    }
}

/// What to do about a value with a variable in it.
const VARIABLES: &str = "write the value itself: variables are not expanded in this file";

/// Whether `text` holds what other programs replace by a variable's value.
#[must_use]
pub fn has_placeholder(text: &str) -> bool {
    let inside = |(_, rest): (&str, &str)| rest.find('}').is_some_and(|end| end > 0);
    text.split_once("${").is_some_and(inside) || text.split_once("{{").is_some_and(inside)
}

/// Whether `text` has a word that may be a secret in the wrong place: a JSON Web Token, or a long
/// word of capital and small letters and digits, as generated secrets are. Ids, host names and
/// most paths have no such word.
#[must_use]
pub fn looks_secret(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "~._-+=".contains(c);
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    text.split(|c| !is_part(c)).any(|word| {
        let has = |wanted: fn(&char) -> bool| word.chars().any(|c| wanted(&c));
        let mixed = has(char::is_ascii_uppercase)
            && has(char::is_ascii_lowercase)
            && has(char::is_ascii_digit)
            && !word.chars().all(is_id);
        word.len() >= 24 && mixed || word.len() >= 12 && word.starts_with("eyJ")
    })
}

/// The letters with escapes in place of what ends a line or commands a terminal: the name of a
/// file may hold anything.
pub(crate) fn one_line(letters: impl Iterator<Item = char>) -> String {
    let mut line = String::new();
    for letter in letters {
        if letter.is_control() {
            line.extend(letter.escape_debug());
        } else {
            line.push(letter);
        }
    }
    line
}

/// A value as errors repeat it: in quotes, on one line, cut, and without what may be a
/// password in an address, or a secret.
#[must_use]
pub fn excerpt(text: &str) -> String {
    if text.contains('@') {
        return "a value with `@`".to_owned();
    }
    if looks_secret(text) {
        return "what looks like a secret".to_owned();
    }
    let mut short = one_line(text.chars().take(SHOWN));
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

/// Names in quotes, the last after `or`; `None`, if there are none.
pub fn one_of<'t>(names: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let (last, rest) = quoted.split_last()?;
    Some(match rest {
        [] => last.clone(),
        rest => format!("{} or {last}", rest.join(", ")),
    })
}

#[cfg(test)]
mod tests;
