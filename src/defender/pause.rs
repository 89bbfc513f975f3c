//! The pause that an answer asks for: its header `Retry-After`.

use std::time::{Duration, SystemTime};

use crate::clock::Timestamp;

/// The longest pause that is believed: anything longer is a mistake.
const LONGEST: Duration = Duration::from_hours(24);

/// Whether `Retry-After` of an answer with this status is obeyed.
pub(super) const fn may_ask(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Reads `Retry-After`: seconds, or an HTTP date. A date counts from the answer's own `date`, so
/// that this machine's clock does not matter; from `wall` if there is none that can be read.
/// Nonsense is `None`, a date in the past is no time, and a day is the longest.
pub(super) fn asked(
    retry_after: Option<&str>,
    date: Option<&str>,
    wall: Timestamp,
) -> Option<Duration> {
    let text = retry_after?.trim();
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let from = date.and_then(http_date).unwrap_or(wall);
        http_date(text)?.since(from)
    };
    Some(pause.min(LONGEST))
}

/// Reads an HTTP date of 1970 or later.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let date = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_millis(0) + date)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(784_111_777_000);

    #[test]
    fn reads_retry_after() {
        for (text, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("99999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:00:00 GMT", Some(86_400)),
            ("", None),
            ("-5", None),
            ("soon", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(asked(Some(text), None, NOW), expected, "{text}");
        }
        assert_eq!(asked(None, None, NOW), None);
    }

    /// The clock may be minutes ahead or behind; the answer's own clock is what its date means.
    #[test]
    fn a_date_counts_from_the_answers_own() {
        let until = Some("Sun, 06 Nov 1994 08:50:37 GMT");
        for (date, seconds) in [
            ("Sun, 06 Nov 1994 08:50:07 GMT", 30),
            ("Sun, 06 Nov 1994 08:51:00 GMT", 0),
            ("yesterday", 60),
        ] {
            let pause = asked(until, Some(date), NOW);
            assert_eq!(pause, Some(Duration::from_secs(seconds)), "{date}");
        }
    }
}
