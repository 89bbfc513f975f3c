//! One scrape: the chunks of all families, one after the other, as they are sent.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flate2::CompressError;

use super::Format;
use super::chunk::{Chunk, Family};
use super::gzip::{Deflater, HEADER, Tally};
use super::self_metrics::SelfMetrics;
use crate::clock::Timestamp;
use crate::config::Metrics;

/// Parts below this size, in bytes, are put together: each costs something to send.
const SMALL: usize = 2 * 1024;

/// How much is put together at most, give or take a part.
const TOGETHER: usize = 64 * 1024;

/// The text of one scrape, or what it compresses to, as an iterator of its parts. A chunk that
/// is worked out at each scrape is written when it is its turn, so that no more than one is held
/// at once.
pub struct Scrape {
    families: Arc<[Family]>,
    format: Format,
    now: Timestamp,
    /// The family and its chunk that come next; chunk 0 is the header.
    next: (usize, usize),
    /// The exporter's own metrics and the end of the text, until they were sent.
    rest: Option<Chunk>,
    /// The metrics that are published.
    metrics: Metrics,
    /// The gzip member under way; `None`: plain text, or all was sent.
    member: Option<GzipMember>,
    /// Small parts that go together.
    small: BytesMut,
    /// A part that waits for the small ones before it.
    waiting: Option<Bytes>,
}

#[derive(Default)]
struct GzipMember {
    tally: Tally,
    deflater: Deflater,
}

/// The exporter's own metrics, as far as they are published and wanted, and the end of the text.
fn rest_of(
    own: &SelfMetrics,
    format: Format,
    metrics: &Metrics,
    wanted: impl Fn(&str) -> bool,
) -> Chunk {
    let mut rest = String::new();
    own.write(&mut rest, format, metrics, wanted);
    rest.push_str(format.end());
    Chunk::of(&rest)
}

impl Scrape {
    pub(super) fn new(
        families: Arc<[Family]>,
        metrics: Metrics,
        now: Timestamp,
        own: &SelfMetrics,
        format: Format,
        gzip: bool,
    ) -> Self {
        Self {
            families,
            format,
            now,
            next: (0, 0),
            rest: Some(rest_of(own, format, &metrics, |_| true)),
            metrics,
            member: gzip.then(GzipMember::default),
            small: BytesMut::from(if gzip { HEADER } else { &[] }),
            waiting: None,
        }
    }

    /// The same, with the `wanted` metrics alone.
    #[must_use]
    pub fn only(mut self, own: &SelfMetrics, wanted: impl Fn(&str) -> bool) -> Self {
        let families = self.families.iter();
        let families = families.filter(|family| wanted(family.name()));
        self.families = families.cloned().collect();
        self.rest = Some(rest_of(own, self.format, &self.metrics, wanted));
        self
    }

    fn next_chunk(&mut self) -> Option<Chunk> {
        while let Some(family) = self.families.get(self.next.0) {
            let index = self.next.1;
            if index == 0 {
                self.next.1 = 1;
                return Some(family.header(self.format).clone());
            }
            if let Some(chunk) = family.chunks.get(index - 1) {
                self.next.1 += 1;
                return Some(chunk.clone());
            }
            self.next = (self.next.0 + 1, 0);
        }
        self.rest.take()
    }

    fn next_part(&mut self) -> Option<Result<Bytes, CompressError>> {
        let Some(chunk) = self.next_chunk() else {
            return Some(Ok(self.member.take()?.tally.end()));
        };
        let Some(GzipMember { tally, deflater }) = &mut self.member else {
            return Some(Ok(chunk.text(self.now)));
        };
        Some(chunk.deflated(self.now, deflater).map(|deflated| {
            tally.add(&deflated.tally);
            deflated.blocks
        }))
    }
}

impl Iterator for Scrape {
    type Item = Result<Bytes, CompressError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(waiting) = self.waiting.take() {
            return Some(Ok(waiting));
        }
        while self.small.len() < TOGETHER {
            match self.next_part() {
                Some(Ok(part)) if part.len() < SMALL => self.small.extend_from_slice(&part),
                Some(Ok(part)) if !self.small.is_empty() => {
                    self.waiting = Some(part);
                    break;
                }
                None if !self.small.is_empty() => break,
                end => return end,
            }
        }
        Some(Ok(self.small.split().freeze()))
    }
}
