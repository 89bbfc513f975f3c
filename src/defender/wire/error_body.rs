//! What the body of an error says, whoever sent it.
//!
//! | sender | body |
//! | --- | --- |
//! | the service | `{"error": {"code", "message", "target": "<correlation id>"}}` |
//! | API Management | `{"statusCode", "message"}` |
//! | Web API | `{"Message"}` |
//! | OAuth | `{"error": "<code>", "error_description"}` |
//! | RFC 9457 | `{"title", "detail"}` |
//! | Front Door and other gateways | HTML, or plain text |

use std::cell::OnceCell;

use serde::de::MapAccess;

use super::json;
use super::lenient::Scalar;
use super::shape::{Record, Shape, is, skip};

/// What an error's body says; all empty if it says nothing that can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct ErrorBody {
    pub(in super::super) code: String,
    pub(in super::super) message: String,
    /// `target`: the correlation id.
    pub(in super::super) correlation_id: String,
    /// Whether the service itself sent it, and no gateway: an object `error` with a `code`.
    is_own: bool,
}

impl ErrorBody {
    /// Reads a body of any of the known shapes, or what is left of it.
    pub(in super::super) fn read(body: &[u8]) -> Self {
        let outer = object::<Outer>(body);
        let Some(Outer(own)) = outer else {
            return Self {
                message: visible(&String::from_utf8_lossy(body)),
                ..Self::default()
            };
        };
        match own {
            Some(own) if !own.code.is_empty() => Self {
                is_own: true,
                ..own
            },
            Some(own) if !own.message.is_empty() => own,
            _ => {
                let top = object::<Self>(body);
                top.unwrap_or_default()
            }
        }
    }

    /// Whether the service says, with 404, that there is nothing of what a list would hold.
    pub(in super::super) fn finds_nothing(&self) -> bool {
        let is = |code: &str| self.code.eq_ignore_ascii_case(code);
        self.is_own && (is("ResourceNotFound") || is("NotFound"))
    }
}

fn object<R: for<'de> Record<'de, Item = R>>(body: &[u8]) -> Option<R> {
    json::<R>(body, &OnceCell::new()).ok()?.one().ok().flatten()
}

#[derive(Default)]
struct Outer(Option<ErrorBody>);

impl<'de> Record<'de> for Outer {
    type Item = Self;

    fn property<A: MapAccess<'de>>(&mut self, name: &[u8], map: &mut A) -> Result<(), A::Error> {
        if is(name, "error") {
            self.0 = map.next_value::<Shape<ErrorBody>>()?.one().ok().flatten();
            return Ok(());
        }
        skip(map)
    }

    fn item(self) -> Option<Self> {
        Some(self)
    }
}

impl<'de> Record<'de> for ErrorBody {
    type Item = Self;

    fn property<A: MapAccess<'de>>(&mut self, name: &[u8], map: &mut A) -> Result<(), A::Error> {
        let any = |known: &[&str]| known.iter().any(|known| is(name, known));
        let field = if any(&["code", "error"]) {
            &mut self.code
        } else if any(&["message", "error_description", "detail", "title"]) {
            &mut self.message
        } else if any(&["target"]) {
            &mut self.correlation_id
        } else {
            return skip(map);
        };
        if let Some(text) = map.next_value::<Scalar>()?.text().ok().flatten()
            // A title says least, whether it comes first or last.
            && (!any(&["title"]) || field.is_empty())
        {
            *field = text.into_owned();
        }
        Ok(())
    }

    fn item(self) -> Option<Self> {
        Some(self)
    }
}

/// Elements of HTML whose content nobody sees.
const HIDDEN: [&str; 2] = ["script", "style"];

/// The text that a browser would show of HTML, its title first. Plain text stays as it is. JSON
/// of an unknown shape is nothing to show: there is no telling what it holds.
fn visible(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.chars().next() {
        Some('{' | '[') => return String::new(),
        Some('<') => {}
        _ => return text.to_owned(),
    }
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        shown.push_str(before);
        shown.push(' ');
        let hidden = HIDDEN.into_iter().find(|name| begins(tag, name));
        rest = if let Some(name) = hidden {
            let end = tag
                .match_indices("</")
                .find(|(at, _)| begins(&tag[at + 2..], name));
            end.map_or("", |(at, _)| &tag[at + 1..])
        } else if tag.starts_with("!--") {
            tag.split_once("-->").map_or("", |(_, after)| after)
        } else {
            tag
        };
        if hidden.is_some() || !tag.starts_with("!--") {
            rest = rest.split_once('>').map_or("", |(_, after)| after);
        }
    }
    shown.push_str(rest);
    for (entity, letter) in [
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        shown = shown.replace(entity, letter);
    }
    shown
}

fn begins(text: &str, name: &str) -> bool {
    let start = text.get(..name.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> (String, String) {
        let body = ErrorBody::read(body.as_bytes());
        (body.code, body.message.trim().to_owned())
    }

    #[test]
    fn reads_the_services_own() {
        assert_eq!(
            ErrorBody::read(br#"{"Error":{"Code":"X","message":null,"target":"id"}}"#),
            ErrorBody {
                code: "X".into(),
                message: String::new(),
                correlation_id: "id".into(),
                is_own: true,
            }
        );
    }

    #[test]
    fn the_message_of_a_gateway_is_not_lost() {
        for (body, code, message) in [
            (
                r#"{"statusCode": 429, "message": "Rate limit is exceeded. Try again in 42 seconds."}"#,
                "",
                "Rate limit is exceeded. Try again in 42 seconds.",
            ),
            (
                r#"{"Message":"Authorization has been denied for this request."}"#,
                "",
                "Authorization has been denied for this request.",
            ),
            (
                r#"{"error":{"code":"","message":"No route"}}"#,
                "",
                "No route",
            ),
            (
                r#"{"error":{"code":""},"message":"No route"}"#,
                "",
                "No route",
            ),
            (
                r#"{"error":"invalid_token","error_description":"It has expired"}"#,
                "invalid_token",
                "It has expired",
            ),
            (
                r#"{"title":"Not Found","detail":"No such path","status":404}"#,
                "",
                "No such path",
            ),
            (
                r#"{"detail":"No such path","title":"Not Found"}"#,
                "",
                "No such path",
            ),
            (
                r#"{"type":"about:blank","title":"Not Found"}"#,
                "",
                "Not Found",
            ),
            (
                "The service is unavailable.",
                "",
                "The service is unavailable.",
            ),
            ("", "", ""),
            (r#"{"other":"x"}"#, "", ""),
            ("[{}]", "", ""),
        ] {
            let found = read(body);
            assert_eq!(found, (code.to_owned(), message.to_owned()), "{body}");
            assert!(!ErrorBody::read(body.as_bytes()).is_own, "{body}");
        }
    }

    #[test]
    fn of_html_remains_what_a_browser_shows() {
        let words = |body: &str| {
            let message = read(body).1;
            message.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        for (body, expected) in [
            (
                "<!DOCTYPE html><html><head><title>Service unavailable</title><style>a>b{}</style></head><body><!-- <p>x</p> --><h2>Our services aren&#39;t available</h2><SCRIPT>if (a<b) alert('x')</Script></body></html>",
                "Service unavailable Our services aren't available",
            ),
            ("\u{feff} <html>x &lt; y", "x < y"),
            ("<", ""),
            ("<script>", ""),
            ("<script>x</scrip", ""),
            ("<style", ""),
            ("<!-- x", ""),
            ("<p>ä</p", "ä"),
        ] {
            assert_eq!(words(body), expected, "{body}");
        }
    }
}
