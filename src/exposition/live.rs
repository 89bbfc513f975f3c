//! Samples whose value is worked out at each scrape. All that comes before it
//! is written once.

use super::format::{Value, number};
use crate::clock::Timestamp;
use crate::quota::Quota;

/// Samples of one family.
#[derive(Debug)]
pub(super) enum Live {
    /// How long ago that was.
    Ages(Rows<Timestamp>),
    /// How much of the budget's window is in use: 0 for the minute's, 1 for the hour's.
    Used(Rows<(Quota, usize)>),
}

/// Samples up to their values, and what the values follow from.
#[derive(Debug)]
pub(super) struct Rows<S> {
    starts: String,
    /// Where a sample's start ends.
    rows: Vec<(usize, S)>,
}

impl<S> Default for Rows<S> {
    fn default() -> Self {
        Self {
            starts: String::new(),
            rows: Vec::new(),
        }
    }
}

impl<S> Rows<S> {
    /// Adds a sample, whose start `write` appends.
    pub(super) fn add(&mut self, source: S, write: impl FnOnce(&mut String)) {
        write(&mut self.starts);
        self.rows.push((self.starts.len(), source));
    }

    /// Without the room that they might have grown into.
    pub(super) fn packed(mut self) -> Self {
        self.starts.shrink_to_fit();
        self.rows.shrink_to_fit();
        self
    }

    fn write(&self, value: impl Fn(&S) -> Value) -> String {
        // An age in milliseconds has seldom more digits.
        let mut out = String::with_capacity(self.starts.len() + 16 * self.rows.len());
        let mut from = 0;
        for (to, source) in &self.rows {
            out.push_str(&self.starts[from..*to]);
            number(&mut out, value(source));
            out.push('\n');
            from = *to;
        }
        out
    }
}

impl Live {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Ages(ages) => ages.rows.is_empty(),
            Self::Used(used) => used.rows.is_empty(),
        }
    }

    /// The samples as of `now`.
    pub(super) fn write(&self, now: Timestamp) -> String {
        match self {
            Self::Ages(ages) => ages.write(|at| now.since(*at).into()),
            Self::Used(used) => used.write(|(quota, window)| quota.usage()[*window].used.into()),
        }
    }
}
