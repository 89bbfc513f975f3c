//! JSON to model: one answer of the API becomes one [`Page`].
//!
//! ```text
//! bytes ─► lenient (any case, any type) ─► record ─► model, one after the other
//!   └─► mend (damaged texts and numbers), if they cannot be read as they are ─┘
//! ```
//!
//! The service's `$metadata` and its reference pages disagree on names and on
//! types, so both are read. Errors name a position, never a piece of the body:
//! the list of definitions carries secrets.

mod error_body;
mod errors;
mod lenient;
mod mend;
mod read;
mod records;
mod shape;
mod unknown;
mod unread;

use std::cell::OnceCell;

use serde::Deserialize;
use serde::de::MapAccess;

pub(super) use self::error_body::ErrorBody;
use self::lenient::{Read, Scalar, Unreadable};
use self::mend::mend;
pub use self::records::FromWire;
use self::shape::{Found, List, Record, Shape, is};
use self::unknown::unknown;
pub use self::unread::Unread;
use crate::clock::{AHEAD, Timestamp};

/// How the link to the next page may be named: by `OData` 4.0, 4.01 and 3, and by other services
/// of the vendor.
const LINKS: [&str; 4] = ["@odata.nextLink", "@nextLink", "odata.nextLink", "nextLink"];

/// One page of records.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The records that could be read.
    pub items: Vec<T>,
    /// Where the next page is (`@odata.nextLink`); `None` on the last.
    pub next: Option<NextLink>,
    /// Why the link to the next page is not followed, if it was refused; then `next` is `None`.
    pub refused_link: Option<String>,
    /// What could not be read.
    pub unread: Unread,
    /// The length of the answer, after decompression.
    pub bytes: usize,
    /// When it was sent: what happened long after that is taken for a mistake.
    pub as_of: Timestamp,
}

impl<T> Page<T> {
    /// A page of nothing.
    #[must_use]
    pub fn empty(as_of: Timestamp) -> Self {
        Self {
            items: Vec::new(),
            next: None,
            refused_link: None,
            unread: Unread::default(),
            bytes: 0,
            as_of,
        }
    }
}

/// Where the next page is, as the service wrote it: not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NextLink(Box<str>);

impl NextLink {
    /// Wraps the link as it came.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The link as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an answer could not be read, and where. Holds nothing of the answer but names of
/// properties.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Success, but no answer yet (202), a part of one (206), or none.
    #[error("expected HTTP 200, but found HTTP {0}; is a proxy in between?")]
    Status(u16),
    /// No body.
    #[error("expected JSON, but found an empty response")]
    Empty,
    /// HTML or XML.
    #[error("expected JSON, but found markup, which the API never sends; is a proxy in between?")]
    Markup,
    /// No JSON.
    #[error("expected JSON, but found something else at line {line}, column {column}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
    /// JSON that does not end.
    #[error("expected more JSON, but the response is cut off at line {line}, column {column}")]
    CutOff {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
    /// Records, and an error beside them: there may be more.
    #[error("expected records, but found an error alongside them")]
    WithError,
    /// Nothing that looks like a page.
    #[error("expected an object with a list \"value\"{}", but_found(.unknown))]
    NoValue {
        /// What the object has instead.
        unknown: Vec<String>,
    },
    /// Records of which none could be read.
    #[error("expected records with an id, but none of {records} could be read{}; look for a newer version of the exporter", but_found(.unknown))]
    NoRecord {
        /// How many there were.
        records: usize,
        /// What they have instead.
        unknown: Vec<String>,
    },
    /// Definitions none of which says when it last ran, as that could not be read.
    #[error(
        "expected times of runs, but none of {values} could be read; look for a newer version of the exporter"
    )]
    NoTime {
        /// How many there were.
        values: usize,
    },
    /// No gzip, or damaged.
    #[error("expected gzip, but the response cannot be decompressed")]
    Compression,
    /// A compression that was not asked for.
    #[error(
        "expected gzip or no compression, but found {0:?}, which was not requested; is a proxy in between?"
    )]
    Encoding(String),
}

fn but_found(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    format!(", but found {}", names.join(", "))
}

impl<T: FromWire> Page<T> {
    /// Reads a page of definitions, of sessions or of agents that was sent at `as_of`. It may
    /// be one of which nothing could be read: [`Unread::failure`] says so.
    ///
    /// # Errors
    /// [`DecodeError`], if the body is not JSON, or has no list `value`.
    pub fn read(body: &[u8], as_of: Timestamp) -> Result<Self, DecodeError> {
        let mended = OnceCell::new();
        let envelope = json::<Envelope<T>>(body, &mended)?.one().ok().flatten();
        let envelope = envelope.unwrap_or_default();
        if envelope.is_error {
            return Err(DecodeError::WithError);
        }
        let names = unknown::<T::Record<'_>>(body);
        let (next, mut list) = match (envelope.value, Found::of(envelope.alone)) {
            (Some(list), _) => (envelope.next, list),
            (None, alone) if T::ALONE && alone.is_one() => (Ok(None), List::of(alone)),
            (None, _) => return Err(DecodeError::NoValue { unknown: names }),
        };
        for item in &mut list.items {
            item.forget_after(as_of + AHEAD);
        }
        Ok(Self {
            items: list.items,
            refused_link: next
                .as_ref()
                .err()
                .map(|Unreadable| "is not a string".to_owned()),
            next: next.unwrap_or_default(),
            unread: Unread {
                unknown: names,
                ..list.unread
            },
            bytes: body.len(),
            as_of,
        })
    }
}

struct Envelope<'de, T: FromWire> {
    value: Option<List<T>>,
    next: Read<NextLink>,
    /// Whether there is an error beside the list.
    is_error: bool,
    /// The record itself, where it comes without a list around it.
    alone: T::Record<'de>,
}

impl<T: FromWire> Default for Envelope<'_, T> {
    fn default() -> Self {
        Self {
            value: None,
            next: Ok(None),
            is_error: false,
            alone: T::Record::default(),
        }
    }
}

impl<'de, T: FromWire> Record<'de> for Envelope<'de, T> {
    type Item = Self;

    fn property<A: MapAccess<'de>>(&mut self, name: &[u8], map: &mut A) -> Result<(), A::Error> {
        if is(name, "value") {
            // What comes twice is one list in two parts.
            if let Ok(Some(list)) = map.next_value::<Shape<T::Record<'de>>>()?.many() {
                self.value.get_or_insert_default().append(list);
            }
        } else if LINKS.iter().any(|link| is(name, link)) {
            // A page with a link that cannot be read is not the last.
            match map.next_value()? {
                Scalar::Text(text) if !text.trim().is_empty() => {
                    self.next = Ok(Some(NextLink::new(&text)));
                }
                Scalar::Text(_) | Scalar::Absent => {}
                _ => self.next = Err(Unreadable),
            }
        } else if is(name, "error") || is(name, "@odata.error") {
            self.is_error |= map.next_value::<Scalar>()? != Scalar::Absent;
        } else {
            self.alone.property(name, map)?;
        }
        Ok(())
    }

    fn item(self) -> Option<Self> {
        Some(self)
    }
}

/// What a body holds, or `mended`, to which it is mended where it must be.
fn json<'de, R: Record<'de>>(
    body: &'de [u8],
    mended: &'de OnceCell<String>,
) -> Result<Shape<'de, R>, DecodeError> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let first = body.trim_ascii_start().first();
    match first {
        None => return Err(DecodeError::Empty),
        Some(b'<') => return Err(DecodeError::Markup),
        Some(_) => {}
    }
    match parse(body) {
        Err(DecodeError::Syntax { .. }) if matches!(first, Some(b'{' | b'[')) => {
            parse(mended.get_or_init(|| mend(body)).as_bytes())
        }
        parsed => parsed,
    }
}

fn parse<'de, R: Record<'de>>(body: &'de [u8]) -> Result<Shape<'de, R>, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Shape::deserialize(&mut deserializer)
        .and_then(|shape| deserializer.end().map(|()| shape))
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            if error.is_eof() {
                DecodeError::CutOff { line, column }
            } else {
                DecodeError::Syntax { line, column }
            }
        })
}

#[cfg(test)]
mod tests;
