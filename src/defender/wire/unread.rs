//! What of an answer could not be read.

use std::collections::BTreeMap;

use super::{DecodeError, FromWire};

/// What of an answer, or of several, could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Records that are no objects, or without what identifies them.
    pub records: usize,
    /// Values that count as absent: how many, by property.
    pub values: BTreeMap<&'static str, usize>,
    /// Names of properties that this version does not know.
    pub unknown: Vec<String>,
}

impl Unread {
    /// Adds what could not be read of another page.
    pub fn add(&mut self, page: Self) {
        self.records += page.records;
        for (property, values) in page.values {
            *self.values.entry(property).or_default() += values;
        }
        if self.unknown.is_empty() {
            self.unknown = page.unknown;
        }
    }

    /// Why what was read, `items`, is as good as nothing; `None` if it is of use.
    #[must_use]
    pub fn failure<T: FromWire>(&self, items: &[T]) -> Option<DecodeError> {
        let unread = |properties: &[&str]| {
            let values = properties.iter().filter_map(|name| self.values.get(name));
            values.sum::<usize>()
        };
        let values = unread(T::TIMES);
        if items.is_empty() && self.records > 0 {
            let (records, unknown) = (self.records, self.unknown.clone());
            Some(DecodeError::NoRecord { records, unknown })
        } else if values > 0 && !items.iter().any(T::has_time) {
            Some(DecodeError::NoTime { values })
        } else {
            None
        }
    }
}
