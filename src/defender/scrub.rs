//! Server text made fit for a log line: no secret, one line, a bounded length.

/// The longest piece of server text that is kept, in characters.
const LIMIT: usize = 300;

/// What stands for something that is not repeated.
pub(super) const REDACTED: &str = "[redacted]";

/// Replaces each of `secrets`, however a server may have escaped it, and
/// whatever looks like a credential; folds white space and control
/// characters; cuts what is too long.
pub(super) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        for spelling in spellings(secret) {
            text = text.replace(&spelling, REDACTED);
        }
    }
    // Cut last: a secret that is cut in two would no longer be found.
    shortened(fold(&without_credentials(&text)), LIMIT)
}

/// The text, or its first `limit` characters and an ellipsis.
pub(super) fn shortened(text: String, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The secret as sent, percent-encoded, and escaped as JSON and Rust escape it.
fn spellings(secret: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = serde_json::Value::from(secret).to_string();
    vec![
        secret.to_owned(),
        form.replace('+', "%20"),
        form,
        json.trim_matches('"').to_owned(),
        secret.escape_debug().to_string(),
    ]
}

/// The shortest word that may be a credential.
const CREDENTIAL: usize = 12;

/// Replaces words that look like credentials: a server may echo secrets that
/// this program does not know, such as those of the scans.
fn without_credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_credential_letter) {
        let (before, word) = rest.split_at(start);
        let end = word
            .find(|letter| !is_credential_letter(letter))
            .unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        clean.push_str(before);
        clean.push_str(if is_credential(word) { REDACTED } else { word });
        rest = after;
    }
    clean.push_str(rest);
    clean
}

/// Long with letters and digits mixed, or begun as every JSON Web Token is;
/// but no GUID, no date, and none of Entra's codes, which help and are public.
fn is_credential(word: &str) -> bool {
    let has = |wanted: fn(&char) -> bool| word.chars().any(|letter| wanted(&letter));
    let mixed = has(char::is_ascii_alphabetic) && has(char::is_ascii_digit);
    let public = is_guid(word)
        || is_date(word)
        || word
            .trim_end_matches('.')
            .strip_prefix("AADSTS")
            .is_some_and(is_number);
    word.starts_with("eyJ") || (word.len() >= CREDENTIAL && mixed && !public)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_guid(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    let parts: Vec<&str> = word.split('-').collect();
    let hex = word
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    hex && parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
}

/// `2026-11-23T09`, as far as the first colon.
fn is_date(word: &str) -> bool {
    let pattern = b"0000-00-00T00";
    let fits = |(byte, pattern): (u8, &u8)| {
        if *pattern == b'0' {
            byte.is_ascii_digit()
        } else {
            byte == *pattern
        }
    };
    word.len() == pattern.len() && word.bytes().zip(pattern).all(fits)
}

fn is_credential_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "._-~+/=%!@#$&*".contains(letter)
}

fn fold(text: &str) -> String {
    text.split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        let secret = "a b\"c\\d/e~";
        for text in [
            "a b\"c\\d/e~",
            "a+b%22c%5Cd%2Fe%7E",
            "a%20b%22c%5Cd%2Fe%7E",
            "a b\\\"c\\\\d/e~",
        ] {
            assert_eq!(scrub(&format!("<{text}>"), &[secret]), "<[redacted]>");
        }
    }

    #[test]
    fn tokens_are_found_and_lines_folded() {
        assert_eq!(
            scrub("Bearer eyJhbGciOi.J9-_x=\r\n\tno\u{1b}[31m eyJ", &[""]),
            "Bearer [redacted] no [31m [redacted]"
        );
    }

    #[test]
    fn what_looks_like_a_credential_is_not_repeated() {
        for text in [
            "Xy8Q~abcdEFGH1234",
            "community=public-0123abcd",
            "c2VjcmV0LTEyMzQ1Njc4",
        ] {
            assert_eq!(scrub(text, &[]), REDACTED);
        }
        for text in [
            "AADSTS7000215: Invalid client secret provided.",
            "Trace ID: 0d3d4e5f-1111-4222-8333-444455556666 Timestamp: 2026-11-23T09:48:01Z",
            "Missing application roles. API required roles: Machine.Read.All",
        ] {
            assert_eq!(scrub(text, &[]), text);
        }
    }

    #[test]
    fn long_text_is_cut_after_scrubbing() {
        let text = format!("{}secret", "ä".repeat(LIMIT - 3));
        let scrubbed = scrub(&text, &["secret"]);
        assert_eq!(scrubbed.chars().count(), LIMIT + 1);
        assert!(scrubbed.ends_with("[re…"));
    }
}
