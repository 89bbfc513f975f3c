//! Text from elsewhere, made safe to print: what ends a line, commands a terminal, reverses
//! the reading direction or is invisible is written as an escape.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Controls (C0, DEL and C1), separators of lines and paragraphs, marks of direction, and
/// whatever else Unicode says has no glyph of its own.
static UNPRINTABLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]")
        // A constant that the tests below compile.
        .expect("the pattern is valid")
});

/// The text on one line, with escapes such as `\u{202e}`.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    UNPRINTABLE.replace_all(text, |found: &Captures<'_>| {
        found[0].escape_unicode().to_string()
    })
}

/// The text line by line, with escapes such as `\u{202e}`.
#[must_use]
pub fn lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(line).collect();
    lines.join("\n")
}

/// A JSON document on one line that means the same, with escapes such as `\u202e`.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    UNPRINTABLE.replace_all(document, |found: &Captures<'_>| {
        let mut units = [0; 2];
        let mut escaped = String::new();
        for character in found[0].chars() {
            for unit in character.encode_utf16(&mut units) {
                // Writing into a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind that has done harm in a log: Trojan Source (CVE-2021-42574) has the marks.
    const HARMFUL: &str = "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\
        \u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\
        \u{2067}\u{2068}\u{2069}\u{206a}\u{3164}\u{feff}\u{fff9}\u{1d173}\u{e0041}";

    #[test]
    fn each_is_escaped_and_nothing_else() {
        for harmful in HARMFUL.chars() {
            let text = format!("a{harmful}b");
            assert_eq!(line(&text), format!("a{}b", harmful.escape_unicode()));
        }
        for plain in ["", "plain", "ä€漢字 🙂 \\ \" = {}", "עברית العربية"] {
            assert_eq!(line(plain), plain);
            assert_eq!(json(plain), plain);
        }
        assert_eq!(lines("a\u{9b}\nb\r\n"), "a\\u{9b}\nb\\u{d}\n");
    }

    #[test]
    fn a_json_document_means_the_same() {
        // Raw controls below U+0020 are no JSON; serde_json has escaped them.
        let document = serde_json::to_string(HARMFUL).unwrap();
        let escaped = json(&document);
        assert!(!UNPRINTABLE.is_match(&escaped), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), HARMFUL);
    }
}
