//! Samples whose value is worked out at each scrape. All that comes before it
//! is written once.

use std::sync::{Mutex, PoisonError};

use super::alike::{self, Lines};
use super::chunk::Deflated;
use super::format::{Value, number};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::model::health::Collector;

/// Whose budget, of what the collector spends, and which window of it: 0 for the minute's, 1 for
/// the hour's.
pub(super) type Used = (Budget, Collector, usize);

/// Samples of one family.
#[derive(Debug)]
pub(super) enum Live {
    /// How long ago that was.
    Ages(Ages),
    /// How much of the budget's window is in use.
    Used(Rows<Used>),
}

/// How long ago something was, and what that compressed to last.
#[derive(Debug)]
pub(super) struct Ages {
    moments: Rows<Timestamp>,
    /// Whoever scrapes at the same moment shares it.
    last: Mutex<Option<(Timestamp, Deflated)>>,
}

impl Ages {
    fn write(&self, now: Timestamp, written: impl FnMut(&str, usize)) -> String {
        self.moments.write(|at| now.since(*at).into(), written)
    }
}

/// Samples up to their values, and what the values follow from.
#[derive(Debug)]
pub(super) struct Rows<S> {
    samples: Vec<Sample<S>>,
    /// What each start has of its own, one after the other.
    own: String,
    /// The last start.
    last: String,
}

#[derive(Debug)]
struct Sample<S> {
    /// How much of its start is that of the sample before.
    shared: usize,
    /// Where its own part ends.
    end: usize,
    source: S,
}

impl<S> Default for Rows<S> {
    fn default() -> Self {
        Self {
            samples: Vec::new(),
            own: String::new(),
            last: String::new(),
        }
    }
}

impl<S> Rows<S> {
    /// Adds a sample, whose start `write` appends.
    pub(super) fn add(&mut self, source: S, write: impl FnOnce(&mut String)) {
        let mut start = String::with_capacity(self.last.len());
        write(&mut start);
        let shared = alike::shared(start.as_bytes(), self.last.as_bytes());
        let shared = start.floor_char_boundary(shared);
        self.own.push_str(&start[shared..]);
        self.last = start;
        self.samples.push(Sample {
            shared,
            end: self.own.len(),
            source,
        });
    }

    /// Without the room that they might have grown into.
    fn packed(mut self) -> Self {
        self.own.shrink_to_fit();
        self.samples.shrink_to_fit();
        self.last = String::new();
        self
    }

    /// The samples. Each line is told as it is `written`, with how much of its beginning
    /// is that of the line before.
    fn write(&self, value: impl Fn(&S) -> Value, mut written: impl FnMut(&str, usize)) -> String {
        // An age in milliseconds has seldom more digits.
        let room = self.samples.iter().map(|sample| sample.shared + 16);
        let mut out = String::with_capacity(room.sum::<usize>() + self.own.len());
        let (mut before, mut from) = (0, 0);
        for sample in &self.samples {
            let start = out.len();
            out.extend_from_within(before..before + sample.shared);
            out.push_str(&self.own[from..sample.end]);
            number(&mut out, value(&sample.source));
            out.push('\n');
            written(&out[start..], sample.shared);
            (before, from) = (start, sample.end);
        }
        out
    }
}

impl Live {
    /// How long ago the moments were.
    pub(super) fn ages(moments: Rows<Timestamp>) -> Self {
        Self::Ages(Ages {
            moments: moments.packed(),
            last: Mutex::default(),
        })
    }

    /// How much of the budgets' windows is in use.
    pub(super) fn used(quotas: Rows<Used>) -> Self {
        Self::Used(quotas.packed())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Ages(ages) => ages.moments.samples.is_empty(),
            Self::Used(used) => used.samples.is_empty(),
        }
    }

    /// The samples as of `now`.
    pub(super) fn write(&self, now: Timestamp) -> String {
        match self {
            Self::Ages(ages) => ages.write(now, |_, _| {}),
            Self::Used(used) => used.write(usage, |_, _| {}),
        }
    }

    /// The samples as of `now`, compressed.
    pub(super) fn deflate(&self, now: Timestamp) -> Deflated {
        let ages = match self {
            Self::Ages(ages) => ages,
            Self::Used(used) => return deflate(|written| used.write(usage, written)),
        };
        // Whoever comes in between waits for it: it takes less than a millisecond.
        let mut last = ages.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, known)) if *at == now => known.clone(),
            _ => {
                let fresh = deflate(|written| ages.write(now, written));
                *last = Some((now, fresh.clone()));
                fresh
            }
        }
    }
}

/// Compresses what `write` says of its lines.
fn deflate(write: impl FnOnce(&mut dyn FnMut(&str, usize)) -> String) -> Deflated {
    let mut lines = Lines::default();
    let text = write(&mut |line, shared| lines.push(line.as_bytes(), shared));
    Deflated::new(lines.end(), text.as_bytes())
}

fn usage((budget, of, window): &Used) -> Value {
    budget.usage_of(*of)[*window].used.into()
}
