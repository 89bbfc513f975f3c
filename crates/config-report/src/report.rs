//! What a file can have wrong, and where.

use std::fmt;

use thiserror::Error;

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

/// All that is wrong with a configuration: at least one error, by line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors, in the order in which they stand.
    #[must_use]
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.0
    }
}

/// One error a line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
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
    origin: String,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigWarning>,
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
            origin: origin.to_owned(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
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
        let message = message.into();
        self.errors.push(ConfigError { location, message });
        Reported(())
    }

    /// Adds a warning about `key`, or about the whole if that is empty.
    pub fn warn(&mut self, line: Option<usize>, key: &str, message: impl Into<String>) {
        let location = self.location(line, key);
        let message = message.into();
        self.warnings.push(ConfigWarning { location, message });
    }

    fn location(&self, line: Option<usize>, key: &str) -> Location {
        Location {
            origin: self.origin.clone(),
            line,
            key: key.to_owned(),
        }
    }

    /// What was read with its warnings, if nothing is wrong; both kinds are ordered by line.
    ///
    /// # Errors
    /// [`ConfigErrors`], if any was reported, even if there is a value all the same.
    pub fn finish<T>(
        mut self,
        value: Result<T, Reported>,
    ) -> Result<(T, Vec<ConfigWarning>), ConfigErrors> {
        match value {
            Ok(value) if self.errors.is_empty() => {
                self.warnings.sort_by_key(|warning| warning.location.line);
                Ok((value, self.warnings))
            }
            _ => {
                self.errors.sort_by_key(|error| error.location.line);
                Err(ConfigErrors(self.errors))
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
