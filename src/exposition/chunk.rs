//! A piece of the text that is kept between scrapes, and how pieces make up a
//! gzip member.
//!
//! ```text
//! header ─► deflate blocks of each piece, to the byte ─► empty last block ─► CRC, length
//! ```
//!
//! Each piece is compressed by itself and flushed to a whole byte, so that
//! pieces can be put one after the other; their checksums can be combined. What
//! is kept is compressed once, whoever else asks for it.

use std::sync::OnceLock;

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::{Compress, CompressError, Compression, FlushCompress};

/// What a member begins with, see RFC 1952: deflate, no name, no time, fastest, system unknown.
pub(super) const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A last block without content.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A piece of text, and what it compresses to once someone asked for it.
#[derive(Debug)]
pub(super) struct Chunk {
    text: Bytes,
    deflated: OnceLock<Deflated>,
}

/// Text as deflate blocks that end on a whole byte and refer to nothing before them.
#[derive(Clone, Debug, Default)]
pub(super) struct Deflated {
    pub(super) blocks: Bytes,
    pub(super) tally: Tally,
}

impl Deflated {
    /// The blocks of `text`.
    pub(super) fn new(blocks: impl Into<Bytes>, text: &[u8]) -> Self {
        let mut checksum = Hasher::new();
        checksum.update(text);
        Self {
            blocks: blocks.into(),
            tally: Tally {
                checksum,
                length: text.len() as u64,
            },
        }
    }
}

/// Checksum and length of what a gzip member says.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    checksum: Hasher,
    length: u64,
}

impl Tally {
    /// Counts what comes next.
    pub(super) fn add(&mut self, next: &Self) {
        self.checksum.combine(&next.checksum);
        self.length += next.length;
    }

    /// What comes after the last piece.
    pub(super) fn end(self) -> Bytes {
        let [a, b, c, d, ..] = self.length.to_le_bytes();
        let checksum = self.checksum.finalize().to_le_bytes();
        [&LAST_BLOCK[..], &checksum, &[a, b, c, d]].concat().into()
    }
}

impl Chunk {
    pub(super) fn new(text: String) -> Self {
        Self {
            // Without the room that it might have grown into.
            text: Bytes::from(text.into_boxed_str().into_boxed_bytes()),
            deflated: OnceLock::new(),
        }
    }

    pub(super) fn text(&self) -> &Bytes {
        &self.text
    }

    /// What it compresses to, which is kept.
    pub(super) fn deflated(&self, deflater: &mut Deflater) -> Result<&Deflated, CompressError> {
        if let Some(known) = self.deflated.get() {
            return Ok(known);
        }
        let fresh = deflater.deflate(&self.text)?;
        Ok(self.deflated.get_or_init(|| fresh))
    }
}

/// Compresses one text after the other.
#[derive(Default)]
pub(super) struct Deflater {
    /// 300 kB, made for the first text: often all is compressed already.
    state: Option<Compress>,
    room: Vec<u8>,
}

impl Deflater {
    fn deflate(&mut self, text: &[u8]) -> Result<Deflated, CompressError> {
        let fresh = || Compress::new(Compression::fast(), false);
        let state = self.state.get_or_insert_with(fresh);
        state.reset();
        self.room.clear();
        let mut rest = text;
        loop {
            self.room.reserve(rest.len() / 4 + 128);
            let before = state.total_in();
            state.compress_vec(rest, &mut self.room, FlushCompress::Sync)?;
            let taken = usize::try_from(state.total_in() - before).unwrap_or(rest.len());
            rest = &rest[taken..];
            // Room that is left says that all was flushed.
            if rest.is_empty() && self.room.len() < self.room.capacity() {
                break;
            }
        }
        Ok(Deflated::new(Bytes::copy_from_slice(&self.room), text))
    }
}
