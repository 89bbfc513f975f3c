//! JSON to model: one answer of the API becomes one [`Page`].
//!
//! ```text
//! bytes ─► lenient (any case, any type) ─► record ─► model, one after the other
//! ```
//!
//! The service's `$metadata` and its reference pages disagree on names and on
//! types, so both are read. Errors name a position, never a piece of the body:
//! the list of definitions carries secrets.

mod errors;
mod lenient;
mod records;

use std::fmt;

use serde::Deserialize;
use serde::de::MapAccess;

use self::lenient::{List, Record, Scalar, Shape, is, skip};
pub use self::records::FromWire;

/// One page of records.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The records that could be read.
    pub items: Vec<T>,
    /// Where the next page is (`@odata.nextLink`); `None` on the last.
    pub next: Option<NextLink>,
    /// Records left out because they have no id.
    pub skipped: usize,
    /// The length of the answer, after decompression.
    pub bytes: usize,
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

/// Why an answer could not be read, and where. Holds nothing of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    problem: Problem,
    line: usize,
    column: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    Markup,
    Syntax,
    CutOff,
    NoValue,
    Compression,
}

impl DecodeError {
    /// The answer could not be decompressed.
    pub(super) const COMPRESSION: Self = Self {
        problem: Problem::Compression,
        line: 0,
        column: 0,
    };
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.line, self.column);
        match self.problem {
            Problem::Empty => f.write_str("expected JSON, but found an empty answer"),
            Problem::Markup => f.write_str(
                "expected JSON, but found markup, which the API never sends; is a proxy in between?",
            ),
            Problem::Syntax => write!(
                f,
                "expected JSON, but found something else at line {line}, column {column}"
            ),
            Problem::CutOff => write!(
                f,
                "expected more JSON, but the answer is cut off at line {line}, column {column}"
            ),
            Problem::NoValue => f.write_str("expected an object with a list \"value\""),
            Problem::Compression => f.write_str("expected gzip, but it cannot be decompressed"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads a page.
///
/// # Errors
/// [`DecodeError`], if the body is not JSON or has no list `value`.
pub(crate) fn page<T: FromWire>(body: &[u8]) -> Result<Page<T>, DecodeError> {
    let envelope = json::<Envelope<T>>(body)?.one();
    let envelope = envelope.unwrap_or_default();
    let List { items, skipped } = match envelope.value {
        Some(list) => list,
        None if T::ALONE => match envelope.alone.item() {
            Some(item) => return Ok(Page::last(item, body.len())),
            None => return Err(DecodeError::at(Problem::NoValue, 0, 0)),
        },
        None => return Err(DecodeError::at(Problem::NoValue, 0, 0)),
    };
    Ok(Page {
        items,
        next: envelope.next,
        skipped,
        bytes: body.len(),
    })
}

impl<T: FromWire> Page<T> {
    /// Reads a page of definitions, of sessions or of agents.
    ///
    /// # Errors
    /// [`DecodeError`], if the body is not JSON or has no list `value`.
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        page(body)
    }
}

impl<T> Page<T> {
    fn last(item: T, bytes: usize) -> Self {
        Self {
            items: vec![item],
            next: None,
            skipped: 0,
            bytes,
        }
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

/// What an error's body says; all empty if it says nothing that can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorBody {
    pub(super) code: String,
    pub(super) message: String,
    /// `target`: the correlation id.
    pub(super) correlation_id: String,
}

impl ErrorBody {
    /// Reads `{"error": {"code", "message", "target"}}`, or what is left of it.
    pub(super) fn read(body: &[u8]) -> Self {
        let outer = json::<Outer>(body).ok().and_then(Shape::one);
        outer.and_then(|outer| outer.0).unwrap_or_default()
    }
}

#[derive(Default)]
struct Outer(Option<ErrorBody>);

impl Record for Outer {
    type Item = Self;

    fn property<'de, A: MapAccess<'de>>(
        &mut self,
        name: &[u8],
        map: &mut A,
    ) -> Result<(), A::Error> {
        if is(name, "error") {
            self.0 = map.next_value::<Shape<ErrorBody>>()?.one();
            return Ok(());
        }
        skip(map)
    }

    fn item(self) -> Option<Self> {
        Some(self)
    }
}

impl Record for ErrorBody {
    type Item = Self;

    fn property<'de, A: MapAccess<'de>>(
        &mut self,
        name: &[u8],
        map: &mut A,
    ) -> Result<(), A::Error> {
        let field = if is(name, "code") {
            &mut self.code
        } else if is(name, "message") {
            &mut self.message
        } else if is(name, "target") {
            &mut self.correlation_id
        } else {
            return skip(map);
        };
        let text = map.next_value::<Scalar>()?.text();
        *field = text.unwrap_or_default().into_owned();
        Ok(())
    }

    fn item(self) -> Option<Self> {
        Some(self)
    }
}

fn json<R: Record>(body: &[u8]) -> Result<Shape<R>, DecodeError> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    match body.trim_ascii_start().first() {
        None => return Err(DecodeError::at(Problem::Empty, 0, 0)),
        Some(b'<') => return Err(DecodeError::at(Problem::Markup, 0, 0)),
        Some(_) => {}
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Shape::deserialize(&mut deserializer)
        .and_then(|shape| deserializer.end().map(|()| shape))
        .map_err(|error| {
            let problem = if error.is_eof() {
                Problem::CutOff
            } else {
                Problem::Syntax
            };
            DecodeError::at(problem, error.line(), error.column())
        })
}

impl DecodeError {
    const fn at(problem: Problem, line: usize, column: usize) -> Self {
        Self {
            problem,
            line,
            column,
        }
    }
}

#[cfg(test)]
mod tests;
