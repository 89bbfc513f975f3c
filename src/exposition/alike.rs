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
    let mut bits = Bits::with_capacity(text.len() / 2 + 64);
    // A block of fixed codes that is not the last.
    bits.push(0b010, 3);
    let (mut before, mut rest): (&[u8], _) = (&[], text);
    while !rest.is_empty() {
        let alike = alike(rest, before);
        if alike > 0 {
            bits.copy(alike, before.len());
        }
        let end = rest[alike..].iter().position(|letter| *letter == b'\n');
        let line = end.map_or(rest.len(), |end| alike + end + 1);
        (before, rest) = rest.split_at(line);
        bits.letters(&before[alike..]);
    }
    // Its end, then an empty block without codes, which begins and ends on a whole byte.
    bits.push(0, 7);
    bits.push(0, 3);
    bits.whole_byte();
    bits.push(0xffff_0000, 32);
    bits.whole_byte();
    bits.bytes
}

/// How much of its beginning a line shares with the line before, in whole words: to look
/// closer would take longer than it saves.
fn alike(line: &[u8], before: &[u8]) -> usize {
    if before.len() > FARTHEST {
        return 0;
    }
    let (line, _) = line.as_chunks::<8>();
    let (before, _) = before.as_chunks::<8>();
    let both = line.iter().zip(before).take(LONGEST / 8);
    8 * both.take_while(|(a, b)| a == b).count()
}

/// Bits, the lowest of each byte first.
struct Bits {
    bytes: Vec<u8>,
    /// Those that do not make up a word yet.
    rest: u128,
    /// How many: less than 64.
    held: u32,
}

impl Bits {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            rest: 0,
            held: 0,
        }
    }

    /// Appends the lowest `count` bits, of which the others are 0.
    fn push(&mut self, bits: u64, count: u32) {
        self.rest |= u128::from(bits) << self.held;
        self.held += count;
        if self.held >= u64::BITS {
            let [word, rest] = [self.rest, self.rest >> u64::BITS];
            self.bytes.extend_from_slice(&word.to_le_bytes()[..8]);
            self.rest = rest;
            self.held -= u64::BITS;
        }
    }

    /// Appends zeros up to a whole byte.
    fn whole_byte(&mut self) {
        let held = self.held.div_ceil(8);
        let bytes = self.rest.to_le_bytes();
        self.bytes.extend_from_slice(&bytes[..held as usize]);
        self.rest = 0;
        self.held = 0;
    }

    /// Appends a code, whose highest bit comes first.
    fn code(&mut self, code: u16, length: u32) {
        self.push((code.reverse_bits() >> (u16::BITS - length)).into(), length);
    }

    fn letters(&mut self, text: &[u8]) {
        let (eights, rest) = text.as_chunks();
        for eight in eights {
            let word = u64::from_le_bytes(*eight);
            if eight.is_ascii() {
                // Eight codes of eight bits at once: in each byte, the highest bit comes first.
                let codes = word + 0x3030_3030_3030_3030;
                self.push(codes.reverse_bits().swap_bytes(), u64::BITS);
            } else {
                self.each(eight);
            }
        }
        self.each(rest);
    }

    fn each(&mut self, letters: &[u8]) {
        for letter in letters {
            match u16::from(*letter) {
                letter @ 0..=143 => self.code(0x30 + letter, 8),
                letter => self.code(0x190 + letter - 144, 9),
            }
        }
    }

    /// Appends a copy of `length` bytes that were `distance` bytes before.
    fn copy(&mut self, length: usize, distance: usize) {
        let (code, extra, count) = graded(length - SHORTEST, 4);
        match code {
            0..=22 => self.code(code + 1, 7),
            _ => self.code(0xc0 + code - 23, 8),
        }
        self.push(extra, count);
        let (code, extra, count) = graded(distance - 1, 2);
        self.code(code, 5);
        self.push(extra, count);
    }
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
