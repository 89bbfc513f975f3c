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
mod records;
mod unknown;

use serde::Deserialize;
use serde::de::MapAccess;

pub(super) use self::error_body::ErrorBody;
use self::lenient::{List, Record, Scalar, Shape, is};
use self::mend::mend;
pub use self::records::FromWire;
use self::unknown::unknown;
use crate::clock::Timestamp;

/// One page of records.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The records that could be read.
    pub items: Vec<T>,
    /// Where the next page is (`@odata.nextLink`); `None` on the last.
    pub next: Option<NextLink>,
    /// Where the link to the next page leads, if it was refused; then `next` is `None`.
    pub refused_link: Option<String>,
    /// Records that could not be read: no objects, or without what identifies them.
    pub skipped: usize,
    /// Names of properties that this version does not know.
    pub unknown: Vec<String>,
    /// The length of the answer, after decompression.
    pub bytes: usize,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            next: None,
            refused_link: None,
            skipped: 0,
            unknown: Vec::new(),
            bytes: 0,
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
    /// No body.
    #[error("expected JSON, but found an empty answer")]
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
    #[error("expected more JSON, but the answer is cut off at line {line}, column {column}")]
    CutOff {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
    /// Nothing that looks like a page.
    #[error("expected an object with a list \"value\"{}", but_found(.unknown))]
    NoValue {
        /// What the object has instead.
        unknown: Vec<String>,
    },
    /// A page of records of which none could be read.
    #[error("expected records with an id, but of {records} none could be read{}; look for a newer version of the exporter", but_found(.unknown))]
    NoRecord {
        /// How many there were.
        records: usize,
        /// What they have instead.
        unknown: Vec<String>,
    },
    /// No gzip, or damaged.
    #[error("expected gzip, but it cannot be decompressed")]
    Compression,
    /// A compression that was not asked for.
    #[error(
        "expected gzip or no compression, but found {0:?}, which was not asked for; is a proxy in between?"
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
    /// Reads a page of definitions, of sessions or of agents. `latest`: what happened after
    /// that is taken for a mistake.
    ///
    /// # Errors
    /// [`DecodeError`], if the body is not JSON, has no list `value`, or nothing in it can be
    /// read.
    pub fn read(body: &[u8], latest: Timestamp) -> Result<Self, DecodeError> {
        let envelope = json::<Envelope<T>>(body)?.one().unwrap_or_default();
        let unknown = unknown::<T::Record>(body);
        let (next, list) = match (envelope.value, envelope.alone.item()) {
            (Some(list), _) => (envelope.next, list),
            (None, Some(alone)) if T::ALONE => (None, List::of(alone)),
            (None, _) => return Err(DecodeError::NoValue { unknown }),
        };
        let List { mut items, skipped } = list;
        if items.is_empty() && skipped > 0 {
            let records = skipped;
            return Err(DecodeError::NoRecord { records, unknown });
        }
        for item in &mut items {
            item.forget_after(latest);
        }
        Ok(Self {
            items,
            next,
            refused_link: None,
            skipped,
            unknown,
            bytes: body.len(),
        })
    }
}

struct Envelope<T: FromWire> {
    value: Option<List<T>>,
    next: Option<NextLink>,
    /// The record itself, where it comes without a list around it.
    alone: T::Record,
}

impl<T: FromWire> Default for Envelope<T> {
    fn default() -> Self {
        Self {
            value: None,
            next: None,
            alone: T::Record::default(),
        }
    }
}

impl<T: FromWire> Record for Envelope<T> {
    type Item = Self;

    fn property<'de, A: MapAccess<'de>>(
        &mut self,
        name: &[u8],
        map: &mut A,
    ) -> Result<(), A::Error> {
        if is(name, "value") {
            self.value = map.next_value::<Shape<T::Record>>()?.many();
        } else if is(name, "@odata.nextLink") || is(name, "odata.nextLink") {
            let link = map.next_value::<Scalar>()?.text();
            self.next = link.as_deref().map(NextLink::new);
        } else {
            self.alone.property(name, map)?;
        }
        Ok(())
    }

    fn item(self) -> Option<Self> {
        Some(self)
    }
}

fn json<R: Record>(body: &[u8]) -> Result<Shape<R>, DecodeError> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    match body.trim_ascii_start().first() {
        None => return Err(DecodeError::Empty),
        Some(b'<') => return Err(DecodeError::Markup),
        Some(_) => {}
    }
    match parse(body) {
        Err(DecodeError::Syntax { .. }) => parse(mend(body).as_bytes()),
        parsed => parsed,
    }
}

fn parse<R: Record>(body: &[u8]) -> Result<Shape<R>, DecodeError> {
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
