//! Samples whose value is worked out at each scrape. All that comes before it
//! is written once.

use super::alike;
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
    pub(super) fn packed(mut self) -> Self {
        self.own.shrink_to_fit();
        self.samples.shrink_to_fit();
        self.last = String::new();
        self
    }

    fn write(
        &self,
        value: impl Fn(&S) -> Value,
        out: &mut String,
        mut written: impl FnMut(&str, usize),
    ) {
        // An age in milliseconds has seldom more digits.
        let starts = self
            .samples
            .iter()
            .map(|sample| sample.shared + 16)
            .sum::<usize>();
        out.reserve(starts + self.own.len());
        let (mut before, mut from) = (out.len(), 0);
        for sample in &self.samples {
            let start = out.len();
            out.extend_from_within(before..before + sample.shared);
            out.push_str(&self.own[from..sample.end]);
            number(out, value(&sample.source));
            out.push('\n');
            written(&out[start..], sample.shared);
            (before, from) = (start, sample.end);
        }
    }
}

impl Live {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Ages(ages) => ages.samples.is_empty(),
            Self::Used(used) => used.samples.is_empty(),
        }
    }

    /// Appends the samples as of `now`, and tells each line as it is `written`, with how
    /// much of its beginning is that of the line before.
    pub(super) fn write(&self, now: Timestamp, out: &mut String, written: impl FnMut(&str, usize)) {
        match self {
            Self::Ages(ages) => ages.write(|at| now.since(*at).into(), out, written),
            Self::Used(used) => used.write(
                |(quota, window)| quota.usage()[*window].used.into(),
                out,
                written,
            ),
        }
    }
}
