//! What an answer says of the end of its endpoint: `Deprecation` (RFC 9745, and its drafts),
//! `Sunset` (RFC 8594), and 410.

use ::http::HeaderMap;
use ::http::header::HeaderName;

use super::client::text;
use super::pause::http_date;
use crate::model::health::Lifecycle;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// Reads an answer's status and headers. `None` if they say nothing: an error without a word
/// of it, which may come from a gateway. A next page that is gone is a link that expired.
pub(super) fn read(status: u16, headers: &HeaderMap, is_first: bool) -> Option<Lifecycle> {
    let found = Lifecycle {
        // A date, also one to come, or in the drafts `true`. A Boolean of RFC 9651 may say no.
        is_deprecated: text(headers, DEPRECATION)
            .map(str::trim)
            .is_some_and(|text| !matches!(text, "" | "false" | "?0")),
        sunset: text(headers, SUNSET).and_then(http_date),
        is_gone: status == 410 && is_first,
    };
    let is_success = (200..300).contains(&status);
    (is_success || found != Lifecycle::default()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn reads_headers_and_410() {
        let sunset = Timestamp::from_unix_millis(1_801_440_000_000);
        let none = Lifecycle::default();
        let deprecated = Lifecycle {
            is_deprecated: true,
            ..none
        };
        let ends = Lifecycle {
            sunset: Some(sunset),
            ..none
        };
        let gone = Lifecycle {
            is_gone: true,
            ..none
        };
        let date = "Mon, 01 Feb 2027 00:00:00 GMT";
        for (status, name, value, expected) in [
            (200, "deprecation", "@1688169599", Some(deprecated)),
            (200, "deprecation", "true", Some(deprecated)),
            (200, "deprecation", date, Some(deprecated)),
            (200, "deprecation", "?0", Some(none)),
            (200, "deprecation", "false", Some(none)),
            (200, "sunset", date, Some(ends)),
            (503, "sunset", date, Some(ends)),
            (200, "sunset", "soon", Some(none)),
            (200, "sunset", "Mon, 01 Feb 1927 00:00:00 GMT", Some(none)),
            (200, "date", date, Some(none)),
            (503, "date", date, None),
            (404, "date", date, None),
            (410, "date", date, Some(gone)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            let found = read(status, &headers, true);
            assert_eq!(found, expected, "{status} {name}: {value}");
        }
        assert_eq!(read(410, &HeaderMap::new(), false), None);
    }
}
