//! A fuzzer for stable compilers: it changes what is in the corpora at random, from a
//! seed. It sees no coverage, so it finds less than libFuzzer in the same time.

use fastrand::Rng;

/// Words that mean something to one parser or another.
const WORDS: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "-1",
    "1e999",
    "\u{feff}",
    "\\ud800",
    "\n",
    "\r\n",
    "\0",
    "\u{1b}[31m",
    "value",
    "@odata.nextLink",
    "AADSTS",
    "s3cr3t-Canary~1",
    "%2F",
    "9223372036854775808",
    "0001-01-01T00:00:00Z",
    "P1DT",
    "99:99:99.9999999",
    "&a",
    "*a",
    "!!x",
    "---\n",
    "-----BEGIN CERTIFICATE-----",
    ";q=0.0001",
    "eyJ",
    "é",
    "\u{202e}",
];

/// One of `seeds`, changed in a few places.
pub(super) fn mutated(random: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..8) {
        let at = random.usize(..=data.len());
        let end = random.usize(at..=data.len().min(at + 64));
        match random.u8(..7) {
            0 => data.truncate(at),
            1 => drop(data.drain(at..end)),
            2 => {
                let piece = data[at..end].to_vec();
                let to = random.usize(..=data.len());
                data.splice(to..to, piece);
            }
            3 => {
                let other = &seeds[random.usize(..seeds.len())];
                let from = random.usize(..=other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            4 => {
                let word = WORDS[random.usize(..WORDS.len())];
                data.splice(at..at, word.bytes());
            }
            _ => {
                if let Some(byte) = data.get_mut(at) {
                    *byte = if random.bool() {
                        random.u8(..)
                    } else {
                        *byte ^ (1 << random.u8(..8))
                    };
                }
            }
        }
    }
    data.truncate(16 * 1024);
    data
}
