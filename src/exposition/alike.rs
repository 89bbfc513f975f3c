//! Deflate for text whose lines begin as the line before: many times quicker than a
//! compressor that has to search, and nearly as small.
//!
//! Samples of one family differ in an id and a value. So what a line shares with the line
//! before is a copy of it, and all else is written letter by letter, in the fixed codes of
//! RFC 1951, section 3.2.6.

/// The longest copy, but for one that has a code of its own.
const LONGEST: usize = 257;
/// The shortest that deflate knows.
const SHORTEST: usize = 3;
/// The farthest that a copy may reach back.
const FARTHEST: usize = 32 * 1024;

/// Deflate blocks that end on a whole byte and refer to nothing before them.
pub(super) fn deflate(text: &[u8]) -> Vec<u8> {
    let mut lines = Lines::default();
    let mut before: &[u8] = &[];
    for line in text.split_inclusive(|letter| *letter == b'\n') {
        lines.push(line, shared(line, before));
        before = line;
    }
    lines.end()
}

/// How much of its beginning a line shares with the line before.
pub(super) fn shared(line: &[u8], before: &[u8]) -> usize {
    line.iter().zip(before).take_while(|(a, b)| a == b).count()
}

/// Compresses one line after the other.
pub(super) struct Lines {
    bits: Bits,
    /// The length of the line before.
    before: usize,
}

impl Default for Lines {
    fn default() -> Self {
        let mut bits = Bits::default();
        bits.reserve(16);
        // A block of fixed codes that is not the last.
        bits.push(0b010, 3);
        Self { bits, before: 0 }
    }
}

impl Lines {
    /// Adds a line, of which so much is `shared` with the line before.
    pub(super) fn push(&mut self, line: &[u8], shared: usize) {
        // Nine bits a letter at most, 31 a copy, and what is held.
        self.bits.reserve(line.len() + line.len() / 8 + 16);
        let mut copied = shared.min(LONGEST);
        if copied < SHORTEST || self.before > FARTHEST {
            copied = 0;
        } else {
            self.bits.copy(copied, self.before);
        }
        self.bits.letters(&line[copied..]);
        self.before = line.len();
    }

    /// Blocks that end on a whole byte.
    pub(super) fn end(mut self) -> Vec<u8> {
        let bits = &mut self.bits;
        bits.reserve(32);
        // The block's end, then an empty block without codes, which begins and ends on a whole byte.
        bits.push(0, 7);
        bits.push(0, 3);
        bits.whole_byte();
        bits.push(0xffff_0000, 32);
        bits.whole_byte();
        bits.bytes.truncate(bits.written);
        self.bits.bytes
    }
}

/// Bits, the lowest of each byte first.
#[derive(Default)]
struct Bits {
    /// Up to where they are `written`, and zeros: room that is there already is quicker.
    bytes: Vec<u8>,
    written: usize,
    /// Those that do not make up a word yet.
    rest: u64,
    /// How many: less than 64.
    held: u32,
}

impl Bits {
    /// Makes room for so many bytes, and a word more.
    fn reserve(&mut self, bytes: usize) {
        let wanted = self.written + bytes + 8;
        if wanted > self.bytes.len() {
            self.bytes.resize(2 * wanted, 0);
        }
    }

    /// Appends the lowest `count` bits, 64 at most, of which the others are 0.
    fn push(&mut self, bits: u64, count: u32) {
        self.rest |= bits << self.held;
        let held = self.held + count;
        if held < u64::BITS {
            self.held = held;
            return;
        }
        self.bytes[self.written..][..8].copy_from_slice(&self.rest.to_le_bytes());
        self.written += 8;
        self.rest = left(bits, self.held);
        self.held = held - u64::BITS;
    }

    /// Appends zeros up to a whole byte.
    fn whole_byte(&mut self) {
        self.bytes[self.written..][..8].copy_from_slice(&self.rest.to_le_bytes());
        self.written += self.held.div_ceil(8) as usize;
        self.rest = 0;
        self.held = 0;
    }

    fn letters(&mut self, text: &[u8]) {
        if !text.is_ascii() {
            return self.each(text);
        }
        let (eights, last) = text.as_chunks();
        let (room, _) = self.bytes[self.written..].as_chunks_mut();
        for (room, eight) in room.iter_mut().zip(eights) {
            let codes = codes(*eight);
            *room = (self.rest | codes << self.held).to_le_bytes();
            self.rest = left(codes, self.held);
        }
        self.written += 8 * eights.len();
        let mut eight = [0; 8];
        eight[..last.len()].copy_from_slice(last);
        let count = 8 * u32::try_from(last.len()).unwrap_or(0);
        self.push(codes(eight) & ((1 << count) - 1), count);
    }

    fn each(&mut self, letters: &[u8]) {
        for letter in letters {
            let (code, count) = match u16::from(*letter) {
                letter @ 0..=143 => (0x30 + letter, 8),
                letter => (0x190 + letter - 144, 9),
            };
            self.push(reversed(code, count), count);
        }
    }

    /// Appends a copy of `length` bytes that were `distance` bytes before.
    fn copy(&mut self, length: usize, distance: usize) {
        let (code, extra, more) = graded(length - SHORTEST, 4);
        let (code, count) = match code {
            0..=22 => (code + 1, 7),
            _ => (0xc0 + code - 23, 8),
        };
        self.push(reversed(code, count) | extra << count, count + more);
        let (code, extra, more) = graded(distance - 1, 2);
        self.push(reversed(code, 5) | extra << 5, 5 + more);
    }
}

/// What is left of a word of which so many bits found no room, as others were `held` there.
fn left(word: u64, held: u32) -> u64 {
    // In two steps: with none held, nothing is left.
    word >> 1 >> (u64::BITS - 1 - held)
}

/// The codes of eight ASCII letters, of eight bits each: their highest bits come first.
fn codes(eight: [u8; 8]) -> u64 {
    let codes = u64::from_le_bytes(eight) + 0x3030_3030_3030_3030;
    codes.reverse_bits().swap_bytes()
}

/// A code of `count` bits, whose highest comes first.
fn reversed(code: u16, count: u32) -> u64 {
    (code.reverse_bits() >> (u16::BITS - count)).into()
}

/// How deflate writes lengths and distances: a code, of which there are `each` for a number
/// of extra bits, and these bits.
fn graded(value: usize, each: usize) -> (u16, u64, u32) {
    let count = (value / each).checked_ilog2().unwrap_or(0);
    let code = each * count as usize + (value >> count);
    let extra = value & ((1 << count) - 1);
    // Both are less than 32 Ki.
    (u16::try_from(code).unwrap_or(u16::MAX), extra as u64, count)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::DeflateDecoder;
    use proptest::prelude::*;

    use super::*;

    /// What it says, read by another.
    fn read(text: &[u8]) -> Vec<u8> {
        let mut blocks = deflate(text);
        blocks.extend([3, 0]);
        let mut read = Vec::new();
        DeflateDecoder::new(blocks.as_slice())
            .read_to_end(&mut read)
            .expect("it is deflate");
        read
    }

    #[test]
    fn copies_of_every_length_and_distance_are_read_back() {
        for same in 0..=LONGEST + 20 {
            let text = format!("{0}a\n{0}b\n", "x".repeat(same));
            assert_eq!(read(text.as_bytes()), text.as_bytes(), "{same}");
        }
        for length in (0..FARTHEST + 100).step_by(331) {
            let text = format!("same {}\nsame\n", "x".repeat(length));
            assert_eq!(read(text.as_bytes()), text.as_bytes(), "{length}");
        }
    }

    #[test]
    fn samples_of_a_family_shrink_to_half() {
        let sample = |id: u32| format!("defender_scan_last_age_seconds{{id=\"{id:08x}\"}} 1.5\n");
        let text: String = (0..1_000).map(sample).collect();
        assert!(deflate(text.as_bytes()).len() < text.len() / 2);
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in prop::collection::vec(any::<u8>(), 0..500), lines in "([a-cé\n]{0,9}){0,40}") {
            prop_assert_eq!(read(&text), text);
            prop_assert_eq!(read(lines.as_bytes()), lines.as_bytes());
        }
    }
}
