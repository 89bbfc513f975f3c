//! A gzip member put together of parts that were compressed apart.
//!
//! ```text
//! header ─► deflate blocks of each part, to the byte ─► empty last block ─► CRC, length
//! ```
//!
//! Each part is compressed by itself and flushed to a whole byte, so that parts can be put one
//! after the other; their checksums can be combined.

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::{Compress, CompressError, Compression, FlushCompress};

/// The beginning of a member, see RFC 1952: deflate, no name, no time, fastest, system unknown.
pub(super) const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A last block without content.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Text as deflate blocks that end on a whole byte and refer to nothing before them.
#[derive(Clone, Debug)]
pub(super) struct Deflated {
    pub(super) blocks: Bytes,
    pub(super) tally: Tally,
}

/// Checksum and length of the text of a gzip member.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    checksum: Hasher,
    length: u64,
}

impl Tally {
    /// Counts the next part.
    pub(super) fn add(&mut self, next: &Self) {
        self.checksum.combine(&next.checksum);
        self.length += next.length;
    }

    /// The end of the member.
    pub(super) fn end(self) -> Bytes {
        let [a, b, c, d, ..] = self.length.to_le_bytes();
        let checksum = self.checksum.finalize().to_le_bytes();
        [&LAST_BLOCK[..], &checksum, &[a, b, c, d]].concat().into()
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
    pub(super) fn deflate(&mut self, text: &[u8]) -> Result<Deflated, CompressError> {
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
        let mut checksum = Hasher::new();
        checksum.update(text);
        Ok(Deflated {
            blocks: Bytes::copy_from_slice(&self.room),
            tally: Tally {
                checksum,
                length: text.len() as u64,
            },
        })
    }
}
