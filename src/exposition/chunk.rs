//! Parts of a scrape: a family is a header and chunks of samples.
//!
//! A chunk is either text that is kept between scrapes, and compressed once for all who ask; or
//! it is samples whose values are worked out at each scrape.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::CompressError;

use super::Format;
use super::catalog::Metric;
use super::format;
use super::gzip::{Deflated, Deflater};
use super::samples::Samples;
use crate::clock::Timestamp;

/// All samples of one metric.
#[derive(Clone, Debug)]
pub(super) struct Family {
    header: Arc<Header>,
    pub(super) chunks: Vec<Chunk>,
}

/// How a family begins, in each format.
#[derive(Debug)]
pub(super) struct Header {
    name: &'static str,
    open_metrics: Chunk,
    classic: Chunk,
}

impl Header {
    pub(super) fn of(metric: &Metric) -> Self {
        let write = |format| {
            let mut text = String::new();
            format::header(&mut text, metric, format);
            Chunk::of(&text)
        };
        Self {
            name: metric.name,
            open_metrics: write(Format::OpenMetrics),
            classic: write(Format::Classic),
        }
    }
}

impl Family {
    pub(super) fn new(header: &Arc<Header>, chunks: Vec<Chunk>) -> Self {
        let header = Arc::clone(header);
        Self { header, chunks }
    }

    /// The metric's name, as the classic format has it.
    pub(super) fn name(&self) -> &'static str {
        self.header.name
    }

    pub(super) fn header(&self, format: Format) -> &Chunk {
        match format {
            Format::OpenMetrics => &self.header.open_metrics,
            Format::Classic => &self.header.classic,
        }
    }
}

/// A part of one family.
#[derive(Clone, Debug)]
pub(super) enum Chunk {
    /// The same at each scrape.
    Kept(Arc<Kept>),
    /// Worked out at each scrape.
    PerScrape(Arc<Samples>),
}

/// Text, and what it compresses to once someone asked for it.
#[derive(Debug)]
pub(super) struct Kept {
    text: Bytes,
    deflated: OnceLock<Deflated>,
}

impl Chunk {
    pub(super) fn of(text: &str) -> Self {
        Self::Kept(Arc::new(Kept {
            // A copy of the right size leaves fewer gaps in memory than what was grown and shrunk.
            text: Bytes::copy_from_slice(text.as_bytes()),
            deflated: OnceLock::new(),
        }))
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Kept(kept) => kept.text.is_empty(),
            Self::PerScrape(samples) => samples.is_empty(),
        }
    }

    /// Becomes the chunk `before` if that has the same text: it may have been compressed.
    pub(super) fn share(&mut self, before: &Self) {
        if let (Self::Kept(new), Self::Kept(old)) = (&mut *self, before)
            && new.text == old.text
        {
            Arc::clone_from(new, old);
        }
    }

    /// The text as of `now`.
    pub(super) fn text(&self, now: Timestamp) -> Bytes {
        match self {
            Self::Kept(kept) => kept.text.clone(),
            Self::PerScrape(samples) => samples.write(now).into(),
        }
    }

    /// The text as of `now`, compressed; the result is kept.
    pub(super) fn deflated(
        &self,
        now: Timestamp,
        deflater: &mut Deflater,
    ) -> Result<Deflated, CompressError> {
        match self {
            Self::Kept(kept) => kept.deflated(deflater).cloned(),
            Self::PerScrape(samples) => samples.deflated(now, deflater),
        }
    }

    /// Compresses what is kept, unless it has been.
    pub(super) fn compress(&self, deflater: &mut Deflater) -> Result<(), CompressError> {
        match self {
            Self::Kept(kept) => kept.deflated(deflater).map(drop),
            Self::PerScrape(_) => Ok(()),
        }
    }
}

impl Kept {
    fn deflated(&self, deflater: &mut Deflater) -> Result<&Deflated, CompressError> {
        if let Some(known) = self.deflated.get() {
            return Ok(known);
        }
        let fresh = deflater.deflate(&self.text)?;
        Ok(self.deflated.get_or_init(|| fresh))
    }
}
