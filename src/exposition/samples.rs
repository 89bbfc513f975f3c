//! Samples whose value is worked out at each scrape. The text before the value is written once.

use std::sync::{Mutex, PoisonError};

use flate2::CompressError;

use super::format::{Value, number};
use super::gzip::{Deflated, Deflater};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::model::health::Collector;

/// What the value of a sample is worked out from.
#[derive(Clone, Debug)]
pub(super) enum ValueSource {
    /// How long ago that was.
    Age(Timestamp),
    /// How many calls of the budget, of what the collector spends, are in use in a window: 0 is
    /// the minute, 1 the hour.
    Used(Budget, Collector, usize),
}

impl ValueSource {
    fn value(&self, now: Timestamp) -> Value {
        match self {
            Self::Age(at) => now.since(*at).into(),
            Self::Used(budget, of, window) => budget.usage_of(*of)[*window].used.into(),
        }
    }
}

/// Samples of one family.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// The texts up to the values, one after the other.
    starts: String,
    /// Where each start ends, and what its value is worked out from.
    values: Vec<(usize, ValueSource)>,
    /// What ages compressed to last: all who scrape at the same moment share it.
    last: Mutex<Option<(Timestamp, Deflated)>>,
}

impl Samples {
    /// Adds a sample, whose start `write` appends.
    pub(super) fn add(&mut self, source: ValueSource, write: impl FnOnce(&mut String)) {
        write(&mut self.starts);
        self.values.push((self.starts.len(), source));
    }

    /// A copy of the right size: it leaves fewer gaps in memory than what was grown and shrunk.
    pub(super) fn packed(&self) -> Self {
        Self {
            starts: self.starts.clone(),
            values: self.values.clone(),
            last: Mutex::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The samples as of `now`.
    pub(super) fn write(&self, now: Timestamp) -> String {
        // An age in milliseconds has seldom more digits.
        let mut out = String::with_capacity(self.starts.len() + 16 * self.values.len());
        let mut from = 0;
        for (end, source) in &self.values {
            out.push_str(&self.starts[from..*end]);
            number(&mut out, source.value(now));
            out.push('\n');
            from = *end;
        }
        out
    }

    /// The samples as of `now`, compressed.
    pub(super) fn deflated(
        &self,
        now: Timestamp,
        deflater: &mut Deflater,
    ) -> Result<Deflated, CompressError> {
        if let Some((_, ValueSource::Used(..))) = self.values.first() {
            // Calls may have been made since a scrape of the same moment.
            return deflater.deflate(self.write(now).as_bytes());
        }
        // Whoever comes in between waits for it: it takes less than a millisecond.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, known)) if *at == now => Ok(known.clone()),
            _ => {
                let fresh = deflater.deflate(self.write(now).as_bytes())?;
                *last = Some((now, fresh.clone()));
                Ok(fresh)
            }
        }
    }
}
