//! How long a token is good for, whatever its issuer says: a bounded time.
//!
//! `azure_identity` adds the number in the answer to the present time as it is, which
//! panics where the sum is no date, and refuses answers whose number is a text, although
//! sign-in hosts send such. So the answer is put right before it gets there.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// A token that is to end sooner is tried all the same: the API is the one that knows.
const SHORTEST: Duration = Duration::from_mins(1);

/// The longest that Microsoft's services give.
const LONGEST: Duration = Duration::from_hours(24);

/// A lifetime within the bounds.
pub(super) fn bounded(lifetime: Duration) -> Duration {
    lifetime.clamp(SHORTEST, LONGEST)
}

/// The answer `body`, given at `now`, with a bounded lifetime in all forms that
/// `azure_identity` reads; `None` if it is no answer with a token.
pub(super) fn put_right(body: &[u8], now: Timestamp) -> Option<Vec<u8>> {
    let mut answer: Map<String, Value> = serde_json::from_slice(body).ok()?;
    answer.get("access_token")?;
    let number = |key| answer.get(key).and_then(number);
    let until_end = number("expires_on").map(|end| end - now.unix_seconds());
    // Whichever says that the token works: the first knows of time on the way, the second
    // does not need our clock.
    let says = [until_end, number("expires_in")].into_iter().flatten();
    let seconds = says.clone().find(|seconds| *seconds > 0.0);
    let lifetime = Duration::try_from_secs_f64(seconds.unwrap_or(0.0));
    let lifetime = bounded(lifetime.unwrap_or(LONGEST)).as_secs();
    let end = (now + Duration::from_secs(lifetime)).unix_millis() / 1_000;
    answer.insert("expires_in".to_owned(), lifetime.into());
    answer.insert("ext_expires_in".to_owned(), lifetime.into());
    answer.insert("expires_on".to_owned(), end.to_string().into());
    serde_json::to_vec(&answer).ok()
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|number: &f64| !number.is_nan()),
        value => value.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_000_000_500);

    fn lifetime(members: &str) -> u64 {
        let body = format!(r#"{{"access_token":"a"{members}}}"#);
        let body = put_right(body.as_bytes(), NOW).expect("it has a token");
        let answer: Value = serde_json::from_slice(&body).expect("it is JSON");
        let seconds = answer["expires_in"].as_u64().expect("it is whole");
        assert_eq!(answer["ext_expires_in"], seconds);
        assert_eq!(answer["expires_on"], (1_000_000 + seconds).to_string());
        seconds
    }

    #[test]
    fn lifetimes_of_any_form_are_bounded() {
        for (value, seconds) in [
            ("3599", 3_599),
            ("3599.5", 3_599),
            (r#""3599""#, 3_599),
            ("1000000000000", 86_400),
            ("9223372036854775807", 86_400),
            ("9223372036854775808", 86_400),
            ("1e300", 86_400),
            (r#""1e300""#, 86_400),
            (r#""inf""#, 86_400),
            (r#""NaN""#, 60),
            (r#""soon""#, 60),
            (r#""""#, 60),
            ("-9223372036854775808", 60),
            ("-1e300", 60),
            ("-1", 60),
            ("0", 60),
            ("-0.0", 60),
            ("null", 60),
            ("true", 60),
            ("[3599]", 60),
            (r#"{"seconds":3599}"#, 60),
        ] {
            assert_eq!(
                lifetime(&format!(r#","expires_in":{value}"#)),
                seconds,
                "{value}"
            );
        }
        assert_eq!(lifetime(""), 60);
    }

    #[test]
    fn the_end_counts_unless_it_has_passed() {
        for (end, seconds) in [
            (r#""1003600""#, 3_599),
            ("1003600", 3_599),
            ("1e300", 86_400),
            (r#""999999""#, 300),
            ("-9223372036854775808", 300),
            (r#""01/02/2026 03:04:05 +00:00""#, 300),
            ("null", 300),
        ] {
            let members = format!(r#","expires_in":300,"expires_on":{end}"#);
            assert_eq!(lifetime(&members), seconds, "{end}");
        }
    }

    #[test]
    fn what_is_no_token_stays_as_it_is() {
        for body in [
            "",
            "<html>",
            "[]",
            "1e400",
            r#"{"error":"x"}"#,
            r#"{"access_token":"#,
        ] {
            assert_eq!(put_right(body.as_bytes(), NOW), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_beyond_the_bounds(text in ".*", seconds: f64, whole: i64) {
            let texts = [
                serde_json::to_string(&text).unwrap(),
                seconds.to_string(),
                whole.to_string(),
            ];
            for value in texts {
                for key in ["expires_in", "expires_on"] {
                    let body = format!(r#"{{"access_token":"a","{key}":{value}}}"#);
                    if let Some(body) = put_right(body.as_bytes(), NOW) {
                        let answer: Value = serde_json::from_slice(&body).unwrap();
                        let seconds = answer["expires_in"].as_u64().unwrap();
                        prop_assert!((60..=86_400).contains(&seconds));
                    }
                }
            }
        }
    }
}
