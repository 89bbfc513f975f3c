//! The values of labels: bounded and escaped.

/// The longest value of a label, in characters. Prometheus and others can be told to refuse
/// longer ones, and do so with the whole scrape; at 4 bytes each, none reaches 2 KiB.
const LONGEST_LABEL: usize = 512;

/// What is kept of a value that is too long, so that an ellipsis follows.
fn cut(value: &str) -> Option<&str> {
    // Nearly all are shorter in bytes, too.
    if value.len() <= LONGEST_LABEL {
        return None;
    }
    let mut ends = value.char_indices().map(|(end, _)| end);
    let end = ends.nth(LONGEST_LABEL - 1)?;
    ends.next().map(|_| &value[..end])
}

/// Appends labels with their values, bounded and escaped.
pub(super) fn pairs(out: &mut String, names: &[&str], values: &[&str]) {
    for (index, (name, value)) in names.iter().zip(values).enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.extend([name, "=\""]);
        match cut(value) {
            None => escape(out, value, true),
            Some(kept) => {
                escape(out, kept, true);
                out.push('…');
            }
        }
        out.push('"');
    }
}

/// Appends `text`, escaped. NUL, which ends the input for Prometheus' parser,
/// becomes the replacement character.
pub(super) fn escape(out: &mut String, text: &str, quotes: bool) {
    let special = |byte| matches!(byte, b'\\' | b'\n' | b'"' | b'\0');
    let mut rest = text;
    // All four are one byte long, and part of no other character.
    while let Some(position) = rest.bytes().position(special) {
        out.push_str(&rest[..position]);
        out.push_str(match rest.as_bytes()[position] {
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'"' if quotes => "\\\"",
            b'"' => "\"",
            _ => "\u{fffd}",
        });
        rest = &rest[position + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_ends_with_an_ellipsis() {
        for letter in ["x", "é", "🦀"] {
            for length in [511, 512, 513, 100_000] {
                let mut out = String::new();
                pairs(&mut out, &["a"], &[&letter.repeat(length)]);
                let value = &out["a=\"".len()..out.len() - 1];
                assert_eq!(value.chars().count(), length.min(512));
                assert_eq!(value.ends_with('…'), length > 512);
            }
        }
    }
}
