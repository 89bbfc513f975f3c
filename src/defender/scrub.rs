//! Server text made fit for a log line: no secret, one line, a bounded length.

/// The longest piece of server text that is kept, in characters.
const LIMIT: usize = 300;

const REDACTED: &str = "[redacted]";

/// Replaces each of `secrets`, however a server may have escaped it, and
/// whatever looks like a bearer token; folds white space and control
/// characters; cuts what is too long.
pub(super) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        for spelling in spellings(secret) {
            text = text.replace(&spelling, REDACTED);
        }
    }
    // Cut last: a secret that is cut in two would no longer be found.
    let folded = fold(&without_tokens(&text));
    match folded.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &folded[..end]),
        None => folded,
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

/// Replaces runs of token letters that begin as every JSON Web Token does.
fn without_tokens(text: &str) -> String {
    let mut rest = text;
    let mut clean = String::with_capacity(text.len());
    while let Some(start) = rest.find("eyJ") {
        let (before, token) = rest.split_at(start);
        let end = token.find(|letter: char| !is_token_letter(letter));
        clean.push_str(before);
        clean.push_str(REDACTED);
        rest = end.map_or("", |end| &token[end..]);
    }
    clean.push_str(rest);
    clean
}

fn is_token_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | '=' | '+' | '/')
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
    fn long_text_is_cut_after_scrubbing() {
        let text = format!("{}secret", "ä".repeat(LIMIT - 3));
        let scrubbed = scrub(&text, &["secret"]);
        assert_eq!(scrubbed.chars().count(), LIMIT + 1);
        assert!(scrubbed.ends_with("[re…"));
    }
}
