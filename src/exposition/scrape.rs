//! One scrape: the pieces of the text, one after the other, as they are sent.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flate2::CompressError;

use super::Format;
use super::alike;
use super::chunk::{Chunk, Deflated, Deflater, HEADER, Tally};
use super::pages::Piece;
use super::per_scrape::Live;
use super::self_metrics::SelfMetrics;
use crate::clock::Timestamp;

/// Pieces below this size, in bytes, are put together: each costs something to send.
const SMALL: usize = 2 * 1024;

/// How much is put together at most, give or take a piece.
const TOGETHER: usize = 64 * 1024;

/// All families of all tenants at one moment of the snapshot.
#[derive(Debug, Default)]
pub(super) struct Families(Vec<Part>);

#[derive(Debug)]
enum Part {
    Header(Header),
    Piece(Piece),
}

/// How a family begins: in `OpenMetrics`, in the classic format.
pub(super) type Header = [Arc<Chunk>; 2];

/// What is the same at each scrape, and the samples after it that are not.
#[derive(Debug, Default)]
pub(super) struct Section {
    pieces: Vec<Bytes>,
    /// Of what the pieces say, if they are compressed.
    tally: Tally,
    live: Option<Arc<Live>>,
}

impl Families {
    /// Adds a family, unless it has no samples: then it leaves no trace.
    pub(super) fn add(&mut self, header: &Header, pieces: Vec<Piece>) {
        if !pieces.is_empty() {
            self.0.push(Part::Header(header.clone()));
            self.0.extend(pieces.into_iter().map(Part::Piece));
        }
    }

    /// What is sent of them; compresses what is not yet, if `gzip`.
    pub(super) fn sections(
        &self,
        format: Format,
        gzip: bool,
    ) -> Result<Arc<[Section]>, CompressError> {
        let mut deflater = Deflater::default();
        let mut sections = Vec::new();
        let mut section = Section::default();
        for part in &self.0 {
            let chunk = match (part, format) {
                (Part::Header([chunk, _]), Format::OpenMetrics)
                | (Part::Header([_, chunk]), Format::Classic)
                | (Part::Piece(Piece::Text(chunk)), _) => chunk,
                (Part::Piece(Piece::Live(live)), _) => {
                    section.live = Some(Arc::clone(live));
                    sections.push(std::mem::take(&mut section));
                    continue;
                }
            };
            if gzip {
                let known = chunk.deflated(&mut deflater)?;
                section.tally.add(&known.tally);
                section.pieces.push(known.blocks.clone());
            } else {
                section.pieces.push(chunk.text().clone());
            }
        }
        sections.push(section);
        Ok(sections.into())
    }
}

/// The text of one scrape, or what it compresses to, as an iterator of its
/// pieces. What is worked out at each scrape is when it is its turn, so that no
/// more than a piece of it is held at once.
pub struct Scrape {
    sections: Arc<[Section]>,
    /// Which section it is at.
    section: usize,
    /// Which piece of the section comes next.
    piece: usize,
    now: Timestamp,
    /// The exporter's own metrics and the end of the text, until they were sent.
    rest: Option<String>,
    /// Of what was compressed so far; `None`: plain text, or all was sent.
    member: Option<Tally>,
    /// Small pieces that go together.
    small: BytesMut,
    /// A piece that has to wait for the small ones before it.
    waiting: Option<Bytes>,
}

impl Scrape {
    pub(super) fn new(
        sections: Arc<[Section]>,
        now: Timestamp,
        own: &SelfMetrics,
        format: Format,
        gzip: bool,
    ) -> Self {
        let mut rest = String::new();
        own.write(&mut rest, format);
        rest.push_str(format.end());
        let mut small = BytesMut::new();
        if gzip {
            small.extend_from_slice(HEADER);
        }
        Self {
            sections,
            section: 0,
            piece: 0,
            now,
            rest: Some(rest),
            member: gzip.then(Tally::default),
            small,
            waiting: None,
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let Some(section) = self.sections.get(self.section) else {
            return self.end();
        };
        if let Some(piece) = section.pieces.get(self.piece) {
            self.piece += 1;
            return Some(piece.clone());
        }
        self.section += 1;
        self.piece = 0;
        let live = section.live.as_ref();
        let Some(member) = &mut self.member else {
            return Some(live.map_or_else(Bytes::new, |live| live.write(self.now).into()));
        };
        member.add(&section.tally);
        let deflated = live.map(|live| live.deflate(self.now)).unwrap_or_default();
        member.add(&deflated.tally);
        Some(deflated.blocks)
    }

    fn end(&mut self) -> Option<Bytes> {
        let Some(rest) = self.rest.take() else {
            return Some(self.member.take()?.end());
        };
        let Some(member) = &mut self.member else {
            return Some(rest.into());
        };
        let rest = Deflated::new(alike::deflate(rest.as_bytes()), rest.as_bytes());
        member.add(&rest.tally);
        Some(rest.blocks)
    }
}

impl Iterator for Scrape {
    type Item = Bytes;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(waiting) = self.waiting.take() {
            return Some(waiting);
        }
        while self.small.len() < TOGETHER {
            match self.next_piece() {
                Some(piece) if piece.len() < SMALL => self.small.extend_from_slice(&piece),
                Some(piece) if self.small.is_empty() => return Some(piece),
                Some(piece) => {
                    self.waiting = Some(piece);
                    break;
                }
                None if self.small.is_empty() => return None,
                None => break,
            }
        }
        Some(self.small.split().freeze())
    }
}
