//! One scrape: the pieces of the text, one after the other, as they are sent.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flate2::CompressError;

use super::chunk::{Chunk, Deflater, Member};
use super::format::Format;
use super::live::Live;
use super::pages::Piece;
use crate::clock::Timestamp;

/// Pieces below this size, in bytes, are put together: each costs something to send.
const SMALL: usize = 8 * 1024;

/// How much is put together at most, give or take a piece.
const TOGETHER: usize = 64 * 1024;

/// All families of all tenants at one moment of the snapshot.
#[derive(Debug, Default)]
pub(super) struct Families(Vec<Part>);

#[derive(Debug)]
enum Part {
    /// A family begins: in `OpenMetrics`, in the classic format.
    Header([Arc<Chunk>; 2]),
    Piece(Piece),
}

impl Families {
    /// Adds a family, unless it has no samples: then it leaves no trace.
    pub(super) fn add(&mut self, header: &[Arc<Chunk>; 2], pieces: Vec<Piece>) {
        if !pieces.is_empty() {
            self.0.push(Part::Header(header.clone()));
            self.0.extend(pieces.into_iter().map(Part::Piece));
        }
    }

    /// Compresses what is not yet.
    pub(super) fn deflate(&self) -> Result<(), CompressError> {
        let mut deflater = Deflater::default();
        for part in &self.0 {
            match part {
                Part::Header(headers) => {
                    for header in headers {
                        header.compress(&mut deflater)?;
                    }
                }
                Part::Piece(Piece::Text(chunk)) => chunk.compress(&mut deflater)?,
                Part::Piece(Piece::Live(_)) => {}
            }
        }
        Ok(())
    }
}

/// The text of one scrape, or what it compresses to, as an iterator of its
/// pieces. What is worked out at each scrape is when it is its turn, so that no
/// more than a piece of it is held at once.
pub struct Scrape {
    families: Arc<Families>,
    position: usize,
    format: Format,
    now: Timestamp,
    /// The exporter's own metrics and the end of the text, until they were sent.
    rest: Option<String>,
    /// The member that is written; `None`: plain text, or all was sent.
    member: Option<Member>,
    /// Small pieces that go together.
    small: BytesMut,
    /// A piece that has to wait for the small ones before it.
    waiting: Option<Bytes>,
}

/// A piece before it is compressed.
enum Next {
    Kept(Arc<Chunk>),
    Live(Arc<Live>),
    Text(String),
}

impl Scrape {
    pub(super) fn new(
        families: Arc<Families>,
        format: Format,
        now: Timestamp,
        rest: String,
        gzip: bool,
    ) -> Self {
        let mut small = BytesMut::new();
        if gzip {
            small.extend_from_slice(&Member::start());
        }
        Self {
            families,
            position: 0,
            format,
            now,
            rest: Some(rest),
            member: gzip.then(Member::default),
            small,
            waiting: None,
        }
    }

    fn next_part(&mut self) -> Option<Next> {
        let part = self.families.0.get(self.position);
        self.position += 1;
        Some(match part {
            Some(Part::Header([open_metrics, classic])) => {
                Next::Kept(Arc::clone(match self.format {
                    Format::OpenMetrics => open_metrics,
                    Format::Classic => classic,
                }))
            }
            Some(Part::Piece(Piece::Text(chunk))) => Next::Kept(Arc::clone(chunk)),
            Some(Part::Piece(Piece::Live(live))) => Next::Live(Arc::clone(live)),
            None => Next::Text(self.rest.take()?),
        })
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let Some(next) = self.next_part() else {
            return Some(self.member.take()?.end());
        };
        let member = self.member.as_mut();
        Some(match (next, member) {
            (Next::Kept(chunk), Some(member)) => member.next_chunk(&chunk),
            (Next::Live(live), Some(member)) => member.next(live.write(self.now).as_bytes()),
            (Next::Text(text), Some(member)) => member.next(text.as_bytes()),
            (Next::Kept(chunk), None) => chunk.text().clone(),
            (Next::Live(live), None) => live.write(self.now).into(),
            (Next::Text(text), None) => text.into(),
        })
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
