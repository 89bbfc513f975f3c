//! What a configuration can have wrong, and where.

use std::fmt;

use thiserror::Error;

/// Where in the configuration something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named, or `environment`.
    pub origin: String,
    /// Counted from 1; `None` if it concerns the whole.
    pub line: Option<usize>,
    /// Path of the key, such as `tenants[0].name`; empty for the whole.
    pub key: String,
}

impl fmt::Display for Place {
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
#[error("{place}: {text}")]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What; never holds a secret.
    pub text: String,
}

/// Something that works, but is likely not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What; never holds a secret.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// All that is wrong with a configuration: at least one mistake, by line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The mistakes, in the order in which they stand.
    #[must_use]
    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }
}

/// One mistake a line.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

/// The style of all mistakes: `expected …, but found …; do …`.
pub(super) fn expected(what: &str, found: &str, advice: &str) -> String {
    format!("expected {what}, but found {found}; {advice}")
}

/// Collects what is wrong while a configuration is read.
pub(super) struct Report {
    origin: String,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

/// It is in the report as a mistake.
pub(super) struct Reported;

impl Report {
    pub(super) fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn mistake(&mut self, line: Option<usize>, key: &str, text: String) {
        let place = self.place(line, key);
        self.mistakes.push(Mistake { place, text });
    }

    pub(super) fn warn(&mut self, line: Option<usize>, key: &str, text: String) {
        let place = self.place(line, key);
        self.warnings.push(Warning { place, text });
    }

    fn place(&self, line: Option<usize>, key: &str) -> Place {
        Place {
            origin: self.origin.clone(),
            line,
            key: key.to_owned(),
        }
    }

    /// The warnings that go with `value`, if nothing is wrong.
    ///
    /// # Errors
    /// [`Mistakes`], if there are any or there is no value.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<(T, Vec<Warning>), Mistakes> {
        match value {
            Some(value) if self.mistakes.is_empty() => {
                self.warnings.sort_by_key(|warning| warning.place.line);
                Ok((value, self.warnings))
            }
            _ => {
                self.mistakes.sort_by_key(|mistake| mistake.place.line);
                Err(Mistakes(self.mistakes))
            }
        }
    }
}
