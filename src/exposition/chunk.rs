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

use super::alike;

/// The header of RFC 1952 without name and time: deflate, fastest, system unknown.
const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A last block without content.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A piece of text, and what it compresses to once someone asked for it.
#[derive(Debug)]
pub(super) struct Chunk {
    text: Bytes,
    deflated: OnceLock<Deflated>,
}

/// Text as deflate blocks that end on a whole byte and refer to nothing before them.
#[derive(Debug)]
struct Deflated {
    blocks: Bytes,
    /// Checksum and length of the text.
    checksum: Hasher,
}

impl Deflated {
    /// Quickly: nobody will see it again.
    fn for_once(text: &[u8]) -> Self {
        Self::new(alike::deflate(text).into(), text)
    }

    fn new(blocks: Bytes, text: &[u8]) -> Self {
        let mut checksum = Hasher::new();
        checksum.update(text);
        Self { blocks, checksum }
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

    /// Keeps what it compresses to, if that is not yet.
    pub(super) fn compress(&self, deflater: &mut Deflater) -> Result<(), CompressError> {
        if self.deflated.get().is_none() {
            let fresh = deflater.deflate(&self.text)?;
            self.deflated.get_or_init(|| fresh);
        }
        Ok(())
    }
}

/// Compresses one text after the other.
pub(super) struct Deflater {
    state: Compress,
    room: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        Self {
            state: Compress::new(Compression::fast(), false),
            room: Vec::new(),
        }
    }
}

impl Deflater {
    fn deflate(&mut self, text: &[u8]) -> Result<Deflated, CompressError> {
        self.state.reset();
        self.room.clear();
        let mut rest = text;
        loop {
            self.room.reserve(rest.len() / 4 + 128);
            let before = self.state.total_in();
            self.state
                .compress_vec(rest, &mut self.room, FlushCompress::Sync)?;
            let taken = usize::try_from(self.state.total_in() - before).unwrap_or(rest.len());
            rest = &rest[taken..];
            // Room that is left says that all was flushed.
            if rest.is_empty() && self.room.len() < self.room.capacity() {
                break;
            }
        }
        Ok(Deflated::new(Bytes::copy_from_slice(&self.room), text))
    }
}

/// A gzip member that is put together piece by piece.
#[derive(Default)]
pub(super) struct Member {
    checksum: Hasher,
    length: u64,
}

impl Member {
    pub(super) fn start() -> Bytes {
        Bytes::from_static(HEADER)
    }

    /// The blocks of the piece that comes next, which is compressed for this once.
    pub(super) fn next(&mut self, text: &[u8]) -> Bytes {
        self.append(&Deflated::for_once(text), text.len())
    }

    /// The blocks of the kept piece that comes next.
    pub(super) fn next_chunk(&mut self, chunk: &Chunk) -> Bytes {
        match chunk.deflated.get() {
            Some(deflated) => self.append(deflated, chunk.text.len()),
            None => self.next(&chunk.text),
        }
    }

    fn append(&mut self, deflated: &Deflated, length: usize) -> Bytes {
        self.checksum.combine(&deflated.checksum);
        self.length += length as u64;
        deflated.blocks.clone()
    }

    /// What comes after the last piece.
    pub(super) fn end(self) -> Bytes {
        let [a, b, c, d, ..] = self.length.to_le_bytes();
        let checksum = self.checksum.finalize().to_le_bytes();
        [&LAST_BLOCK[..], &checksum, &[a, b, c, d]].concat().into()
    }
}
