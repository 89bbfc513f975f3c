//! JSON read liberally: property names ignoring case, values of any type.
//!
//! A value of the wrong type is as good as absent. Only what a [`Record`] asks
//! for is kept; everything else is skipped by the parser without being stored.
//! That is how secrets in `scanAuthenticationParams` stay out of memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A plain value: a flag, a number, a text, or nothing usable. A list with one
/// plain value counts as that value, as in `"ScanDefinitionIds": ["…"]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar {
    #[default]
    Absent,
    Flag(bool),
    Number(f64),
    Text(String),
}

impl Scalar {
    /// The text; a number as it is written. Blank text is absent.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.trim().is_empty() => Some(text),
            Self::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The flag, also if it was sent as text.
    pub(super) fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// The number, also if it was sent as text. Always finite.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "the API's numbers are int32")]
    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "the API's numbers are int32")]
    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        let first = list.next_element()?.unwrap_or_default();
        let mut alone = true;
        while list.next_element::<IgnoredAny>()?.is_some() {
            alone = false;
        }
        Ok(if alone { first } else { Scalar::Absent })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Scalar::Absent)
    }
}

/// Something that is read from an object, property by property.
pub(super) trait Record: Default {
    /// Takes the property `name`, in lower case. Must take `map`'s value exactly once.
    fn property<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A)
    -> Result<(), A::Error>;
}

/// Skips a property's value without keeping any of it.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// Where an object or a list of objects is expected: what was found.
#[derive(Debug)]
pub(super) enum Shape<R> {
    /// `null`, a plain value.
    Nothing,
    /// An object.
    One(R),
    /// A list; `None` stands for an element that is no object.
    Many(Vec<Option<R>>),
}

impl<R> Shape<R> {
    /// The object, if it is one.
    pub(super) fn one(self) -> Option<R> {
        match self {
            Self::One(record) => Some(record),
            Self::Nothing | Self::Many(_) => None,
        }
    }

    /// The list; an object counts as a list of one.
    pub(super) fn many(self) -> Option<Vec<Option<R>>> {
        match self {
            Self::Nothing => None,
            Self::One(record) => Some(vec![Some(record)]),
            Self::Many(records) => Some(records),
        }
    }
}

impl<'de, R: Record> Deserialize<'de> for Shape<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor(PhantomData))
    }
}

/// A property's name in lower case, without storage of its own. One that is longer than
/// any we know is as good as empty.
struct Name {
    letters: [u8; Self::LONGEST],
    length: usize,
}

impl Name {
    const LONGEST: usize = 64;

    fn new(name: &str) -> Self {
        let mut letters = [0; Self::LONGEST];
        let length = if name.len() > letters.len() {
            0
        } else {
            name.len()
        };
        letters[..length].copy_from_slice(&name.as_bytes()[..length]);
        letters.make_ascii_lowercase();
        Self { letters, length }
    }

    fn as_str(&self) -> &str {
        // They are a whole text's, of which ASCII alone was changed.
        str::from_utf8(&self.letters[..self.length]).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name::new(name))
    }
}

struct ShapeVisitor<R>(PhantomData<R>);

impl<'de, R: Record> Visitor<'de> for ShapeVisitor<R> {
    type Value = Shape<R>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Shape<R>, E> {
        Ok(Shape::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape<R>, E> {
        Ok(Shape::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape<R>, E> {
        Ok(Shape::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape<R>, E> {
        Ok(Shape::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape<R>, E> {
        Ok(Shape::Nothing)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape<R>, E> {
        Ok(Shape::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape<R>, A::Error> {
        let mut records = Vec::new();
        while let Some(element) = list.next_element::<Shape<R>>()? {
            records.push(element.one());
        }
        Ok(Shape::Many(records))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape<R>, A::Error> {
        let mut record = R::default();
        while let Some(name) = map.next_key::<Name>()? {
            record.property(name.as_str(), &mut map)?;
        }
        Ok(Shape::One(record))
    }
}
