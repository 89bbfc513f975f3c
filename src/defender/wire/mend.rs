//! Damaged texts, numbers and words made readable: a name that was cut inside of an emoji costs
//! that name, and not the answer that it came in.

use serde_json::from_str;

use super::lenient::TOO_LARGE;

/// Takes the place of what is no text.
const REPLACEMENT: char = '\u{fffd}';

/// What other languages write where JSON has no value.
const NOTHING: [&str; 6] = ["NaN", "nan", "Infinity", "-Infinity", "None", "undefined"];

/// The body with U+FFFD for what JSON forbids within texts: invalid UTF-8, half a surrogate
/// pair, unknown escapes, raw control characters. A number that is too large, or written as
/// JSON forbids (`0123`, `True`), becomes a text, and what is nothing (`NaN`) `null`. All else stays as it was.
pub(super) fn mend(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let mut mended = String::with_capacity(body.len() + body.len() / 8);
    let mut rest = &*body;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' => string(rest, &mut mended),
            '{' | '}' | '[' | ']' | ':' | ',' => keep(rest, &mut mended),
            other if other.is_whitespace() => keep(rest, &mut mended),
            _ => bare(rest, &mut mended),
        };
    }
    mended
}

/// Takes one character as it is; returns what follows.
fn keep<'b>(text: &'b str, mended: &mut String) -> &'b str {
    let mut rest = text.chars();
    mended.extend(rest.next());
    rest.as_str()
}

/// Takes a text from its opening to its closing quotation mark; returns what follows.
fn string<'b>(text: &'b str, mended: &mut String) -> &'b str {
    mended.push('"');
    let mut rest = &text[1..];
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                mended.push('"');
                return &rest[1..];
            }
            '\\' => escape(rest, mended),
            control if control < ' ' => {
                mended.push(REPLACEMENT);
                1
            }
            other => {
                mended.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    rest
}

/// Takes one escape, or the two of a surrogate pair; returns how long it was.
fn escape(text: &str, mended: &mut String) -> usize {
    let length = match text.as_bytes().get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(2),
        Some(b'u') => match (unit(text), text.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => Some(12),
            (None | Some(0xd800..=0xdfff), _) => None,
            (Some(_), _) => Some(6),
        },
        _ => None,
    };
    if let Some(length) = length {
        mended.push_str(&text[..length]);
        return length;
    }
    mended.push(REPLACEMENT);
    if unit(text).is_some() { 6 } else { 1 }
}

/// The UTF-16 unit of an escape `\uXXXX` that the text begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// Takes what stands outside of texts, up to what separates values; returns what follows.
fn bare<'b>(text: &'b str, mended: &mut String) -> &'b str {
    let ends = |letter: char| "{}[]:,\"".contains(letter) || letter.is_whitespace();
    let end = text.find(ends).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let keeps_digits = |number: f64| number.abs() < TOO_LARGE;
    if matches!(word, "true" | "false" | "null") || from_str(word).is_ok_and(keeps_digits) {
        mended.push_str(word);
    } else if NOTHING.contains(&word)
        || word.contains(|letter: char| letter.is_control() || letter == '\\')
    {
        mended.push_str("null");
    } else {
        mended.extend(["\"", word, "\""]);
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_damaged_is_replaced_and_nothing_else() {
        for (damaged, mended) in [
            (r#"{"a\ud83d":"\ud83d"}"#, "{\"a\u{fffd}\":\"\u{fffd}\"}"),
            (
                r#""\udc00\ud83d\ud83d\ude00""#,
                "\"\u{fffd}\u{fffd}\\ud83d\\ude00\"",
            ),
            (
                r#""\x41\u12g4\u+123\u""#,
                "\"\u{fffd}x41\u{fffd}u12g4\u{fffd}u+123\u{fffd}u\"",
            ),
            ("\"a\tb\nc\0\"", "\"a\u{fffd}b\u{fffd}c\u{fffd}\""),
            (
                "[1e309,-1e309,NaN,-Infinity,1e308,\"NaN\"]",
                r#"["1e309","-1e309",null,null,"1e308","NaN"]"#,
            ),
            (
                "[0123,1.,.5,+1 ,-,0x1F,True,true,nul,null]",
                r#"["0123","1.",".5","+1" ,"-","0x1F","True",true,"nul",null]"#,
            ),
            ("{a:'b', \\:\u{1}}", "{\"a\":\"'b'\", null:null}"),
            (
                "{\n\t\"a\": \"\\\"\\\\\" , \"é🦀\": 1.50}",
                "{\n\t\"a\": \"\\\"\\\\\" , \"é🦀\": 1.50}",
            ),
            ("\"cut off \\", "\"cut off \u{fffd}"),
        ] {
            assert_eq!(mend(damaged.as_bytes()), mended, "{damaged}");
        }
        assert_eq!(mend(b"\"\xff\xf0\x9f\""), "\"\u{fffd}\u{fffd}\"");
    }

    proptest! {
        #[test]
        fn sound_json_stays_as_it_was(text in any::<String>(), number in -9.1e18..9.1e18) {
            let json = serde_json::json!({ "text": text, "number": number, "list": [text] });
            let json = json.to_string();
            prop_assert_eq!(mend(json.as_bytes()), json);
        }

        #[test]
        fn any_bytes_in_a_text_are_readable(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            bytes.retain(|byte| !matches!(byte, b'"' | b'\\'));
            let body = [b"{\"a\":\"", &*bytes, b"\"}"].concat();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&mend(&body)).is_ok());
        }

        #[test]
        fn any_escapes_in_a_text_are_readable(escapes in prop::collection::vec("[a-z]|u[0-9a-fD-G]{4}|ud[89a-f][0-9]{2}", 1..9)) {
            let body = format!("\"\\{}\"", escapes.join("\\"));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&mend(body.as_bytes())).is_ok());
        }
    }
}
