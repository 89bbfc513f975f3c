//! What a file can have wrong, and where.

use std::collections::HashMap;
use std::fmt;

use thiserror::Error;

use crate::value::one_line;

/// Where in the configuration something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// What was read, as it was named: usually a file.
    pub origin: String,
    /// Counted from 1; `None` if it concerns the whole.
    pub line: Option<usize>,
    /// Path of the key, such as `servers[0].name`; empty for the whole.
    pub key: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        Ok(())
    }
}

/// One thing that is wrong: what was expected, what was found, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{location}: {message}")]
pub struct ConfigError {
    /// Where.
    pub location: Location,
    /// What; best in the form of [`expected`].
    pub message: String,
}

/// Something that works, but is likely not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Where.
    pub location: Location,
    /// What.
    pub message: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.message)
    }
}

/// How many errors or warnings of one file are shown.
const SHOWN_OF_A_FILE: usize = 20;
/// How many are shown in all.
const SHOWN: usize = 100;

impl ConfigWarning {
    /// One line for each of `warnings`, but no more than anybody reads: the first 20 of each file
    /// and the first 100 of all, and how many more there are.
    #[must_use]
    pub fn lines(warnings: &[Self]) -> Vec<String> {
        lines(warnings, |warning| &warning.location, "warning")
    }
}

/// The first of `notes`, and how many more there are.
fn lines<T: fmt::Display>(
    notes: &[T],
    location: impl Fn(&T) -> &Location,
    what: &str,
) -> Vec<String> {
    let mut of_file: HashMap<&str, usize> = HashMap::new();
    let mut lines = Vec::new();
    for note in notes {
        let count = of_file.entry(&location(note).origin).or_default();
        *count += 1;
        if *count <= SHOWN_OF_A_FILE && lines.len() < SHOWN {
            lines.push(note.to_string());
        }
    }
    let more = notes.len() - lines.len();
    if more > 0 {
        let s = if more == 1 { "" } else { "s" };
        lines.push(format!("and {more} more {what}{s}"));
    }
    lines
}

/// All that is wrong with a configuration: at least one error, by file and line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors, in the order in which they stand.
    #[must_use]
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.0
    }

    /// One line for each error, but no more than anybody reads: the first 20 of each file and the
    /// first 100 of all, and how many more there are.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lines(&self.0, |error| &error.location, "error")
    }
}

/// [`ConfigErrors::lines`].
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

/// The form of all errors: `expected …, but found …; do …`. To repeat what the file
/// says, put it through [`excerpt`](crate::excerpt).
#[must_use]
pub fn expected(what: &str, found: &str, advice: &str) -> String {
    format!("expected {what}, but found {found}; {advice}")
}

/// Collects what is wrong while a configuration is read.
#[derive(Clone, Debug)]
pub struct ConfigReport {
    /// What was read, in this order; never empty.
    origins: Vec<String>,
    /// Which of them is being read.
    current: usize,
    /// With the numbers of their origins.
    errors: Vec<(usize, ConfigError)>,
    /// With the numbers of their origins.
    warnings: Vec<(usize, ConfigWarning)>,
}

/// An error was added to the [`ConfigReport`]; there is no other way to get one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported(());

impl Reported {
    /// For what the same error says as before.
    pub(crate) const fn again() -> Self {
        Self(())
    }
}

/// All values, or that some of them were reported. Goes through them to the end, where
/// `collect` would stop, so that all errors are reported.
///
/// # Errors
/// [`Reported`], if any of `results` is.
pub fn collect_all<T, C: Default + Extend<T>>(
    results: impl IntoIterator<Item = Result<T, Reported>>,
) -> Result<C, Reported> {
    let mut all = Ok(C::default());
    for result in results {
        match (result, &mut all) {
            (Ok(value), Ok(values)) => values.extend([value]),
            (Ok(_), Err(_)) => {}
            (Err(reported), _) => all = Err(reported),
        }
    }
    all
}

impl ConfigReport {
    /// An empty one; `origin` names in it what is read, such as the file.
    #[must_use]
    pub fn new(origin: &str) -> Self {
        Self {
            origins: vec![one_line(origin.chars())],
            current: 0,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// What is being read, as it was named.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.origins
            .get(self.current)
            .map_or("", |origin| origin.as_str())
    }

    /// Lets `read` read something else, such as a file that the first one names: what it reports
    /// is about `origin`, and comes after what is wrong with all that was read before.
    pub fn within<T>(&mut self, origin: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let around = self.current;
        let origin = one_line(origin.chars());
        let is_first = self.origins.first().is_some_and(|first| *first == origin);
        if is_first {
            self.current = 0;
        } else {
            self.current = self.origins.len();
            self.origins.push(origin);
        }
        let value = read(self);
        self.current = around;
        value
    }

    /// Adds an error about `key`, or about the whole if that is empty. For what no value
    /// stands for, such as a variable of the environment; otherwise there are
    /// [`YamlValue::error`](crate::YamlValue::error) and its like.
    pub fn error(
        &mut self,
        line: Option<usize>,
        key: &str,
        message: impl Into<String>,
    ) -> Reported {
        let location = self.location(line, key);
        let message = one_line(message.into().chars());
        self.errors
            .push((self.current, ConfigError { location, message }));
        Reported(())
    }

    /// Adds a warning about `key`, or about the whole if that is empty.
    pub fn warn(&mut self, line: Option<usize>, key: &str, message: impl Into<String>) {
        let location = self.location(line, key);
        let message = one_line(message.into().chars());
        self.warnings
            .push((self.current, ConfigWarning { location, message }));
    }

    /// How many errors there are so far, for [`Self::none_since`].
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors.len()
    }

    /// Whether there is no error beyond the first so many.
    ///
    /// # Errors
    /// [`Reported`], if there is one.
    pub fn none_since(&self, errors: usize) -> Result<(), Reported> {
        if self.errors.len() > errors {
            return Err(Reported(()));
        }
        Ok(())
    }

    pub(crate) fn location(&self, line: Option<usize>, key: &str) -> Location {
        Location {
            origin: self.origin().to_owned(),
            line,
            key: key.to_owned(),
        }
    }

    /// What was read with its warnings, if nothing is wrong; both kinds are ordered by what was
    /// read, and by line.
    ///
    /// # Errors
    /// [`ConfigErrors`], if any was reported, even if there is a value all the same.
    pub fn finish<T>(
        mut self,
        value: Result<T, Reported>,
    ) -> Result<(T, Vec<ConfigWarning>), ConfigErrors> {
        match value {
            Ok(value) if self.errors.is_empty() => {
                self.warnings
                    .sort_by_key(|(origin, warning)| (*origin, warning.location.line));
                let warnings = self.warnings.into_iter();
                Ok((value, warnings.map(|(_, warning)| warning).collect()))
            }
            _ => {
                self.errors
                    .sort_by_key(|(origin, error)| (*origin, error.location.line));
                let errors = self.errors.into_iter();
                Err(ConfigErrors(errors.map(|(_, error)| error).collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_ordered_by_line_and_the_whole_goes_first() {
        let mut report = ConfigReport::new("app.yml");
        report.error(Some(7), "b", "second");
        report.error(Some(2), "a[1].c", "first");
        report.warn(Some(1), "w", "is dropped");
        let reported = report.error(None, "", "the whole");
        let errors = report.finish(Err::<(), _>(reported)).unwrap_err();
        let text = "app.yml: the whole\napp.yml:2: a[1].c: first\napp.yml:7: b: second";
        assert_eq!(errors.to_string(), text);
        assert_eq!(errors.as_slice()[1].location.key, "a[1].c");
    }

    #[test]
    fn each_error_is_one_line_whatever_a_file_is_called() {
        let mut report = ConfigReport::new("a\nb.yml");
        let reported = report.within("c\u{1b}[2J\u{fffd}.yml", |report| {
            report.error(None, "", "found `d\re`")
        });
        let errors = report.finish(Err::<(), _>(reported)).unwrap_err();
        let text = "c\\u{1b}[2J\u{fffd}.yml: found `d\\re`";
        assert_eq!(errors.to_string(), text);
        assert_eq!(ConfigReport::new("a\nb.yml").origin(), "a\\nb.yml");
    }

    #[test]
    fn all_errors_of_a_list_are_reported() {
        let mut report = ConfigReport::new("app.yml");
        let mut read = |bad: [usize; 2]| {
            collect_all::<_, Vec<_>>((1..=5).map(|line| {
                if bad.contains(&line) {
                    return Err(report.error(Some(line), "", "wrong"));
                }
                Ok(line)
            }))
        };
        assert_eq!(read([0, 0]), Ok(vec![1, 2, 3, 4, 5]));
        let read = read([2, 4]);
        let errors = report.finish(read).unwrap_err();
        assert_eq!(errors.to_string(), "app.yml:2: wrong\napp.yml:4: wrong");
    }

    #[test]
    fn a_value_does_not_hide_an_error() {
        let mut report = ConfigReport::new("app.yml");
        report.error(None, "", "wrong");
        assert!(report.finish(Ok(1)).is_err());
    }

    #[test]
    fn what_is_read_within_has_its_own_origin() {
        let mut report = ConfigReport::new("app.yml");
        report.within("b.yml", |report| {
            report.error(Some(3), "b", "late");
            report.error(Some(1), "a", "early");
            report.within("app.yml", |report| {
                report.error(Some(9), "y", "of the first")
            });
            assert_eq!(report.origin(), "b.yml");
        });
        report.within("a.yml", |report| report.error(Some(1), "a", "last"));
        let reported = report.error(Some(7), "x", "of the first");
        let errors = report.finish(Err::<(), _>(reported)).unwrap_err();
        let text = "app.yml:7: x: of the first\napp.yml:9: y: of the first\nb.yml:1: a: early\nb.yml:3: b: late\na.yml:1: a: last";
        assert_eq!(errors.to_string(), text);
    }

    #[test]
    fn many_of_a_kind_are_counted() {
        let mut report = ConfigReport::new("app.yml");
        let mut errors = |origin: &str, count| {
            report.within(origin, |report| {
                for line in 1..=count {
                    report.error(Some(line), "", "wrong");
                    report.warn(Some(line), "", "odd");
                }
            });
        };
        errors("a.yml", 300);
        errors("b.yml", 2);
        let clone = report.clone();
        let reported = report.error(None, "", "whole");
        let errors = report.finish(Err::<(), _>(reported)).unwrap_err();
        assert_eq!(errors.as_slice().len(), 303);
        let lines = errors.lines();
        assert_eq!(lines.len(), 1 + 20 + 2 + 1);
        assert_eq!(lines[20], "a.yml:20: wrong");
        assert_eq!(lines[21], "b.yml:1: wrong");
        assert_eq!(lines[23], "and 280 more errors");
        let warnings: Vec<_> = clone.warnings.into_iter().map(|(_, one)| one).collect();
        let lines = ConfigWarning::lines(&warnings);
        assert_eq!(
            lines.last().map(String::as_str),
            Some("and 280 more warnings")
        );
        let of_many = (1..=7).map(|file| ConfigWarning {
            location: Location {
                origin: format!("{file}.yml"),
                line: None,
                key: String::new(),
            },
            message: "odd".to_owned(),
        });
        let of_many: Vec<_> = std::iter::repeat_n(of_many, 15).flatten().collect();
        assert_eq!(ConfigWarning::lines(&of_many).len(), SHOWN + 1);
    }

    #[test]
    fn warnings_come_with_the_value() {
        let mut report = ConfigReport::new("app.yml");
        report.warn(Some(2), "b", "late");
        report.warn(Some(1), "a", "early");
        let (value, warnings) = report.finish(Ok(1)).unwrap();
        let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(value, 1);
        assert_eq!(texts, ["app.yml:1: a: early", "app.yml:2: b: late"]);
    }
}
