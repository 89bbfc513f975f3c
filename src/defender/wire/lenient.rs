//! JSON read liberally: property names ignoring case, values of any type.
//!
//! A value of the wrong type is as good as absent, however deeply it nests. Only what a
//! [`Record`] asks for is kept; everything else is skipped by the parser without being
//! stored. That is how secrets in `scanAuthenticationParams` stay out of memory.
//!
//! Texts are borrowed from the answer, and each record becomes the model's item as
//! soon as it is read: nothing is copied but what is kept.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Where whole numbers do not keep their digits any more: beyond 64 bits.
pub(super) const TOO_LARGE: f64 = 9.2e18;

/// A plain value: a flag, a number, a text, or nothing usable. A list with one
/// plain value counts as that value, as in `"ScanDefinitionIds": ["…"]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'de> {
    #[default]
    Absent,
    Flag(bool),
    Integer(i128),
    /// With a fraction or an exponent, or [`TOO_LARGE`].
    Number(f64),
    /// A copy only where the answer has escapes.
    Text(Cow<'de, str>),
}

impl<'de> Scalar<'de> {
    /// The text, or the number as text. Blank text is absent. NUL becomes U+FFFD: samples
    /// cannot hold it, and two texts that are published alike should be alike from the start.
    pub(super) fn text(self) -> Option<Cow<'de, str>> {
        match self {
            Self::Text(text) if text.chars().all(char::is_whitespace) => None,
            Self::Text(text) if text.contains('\0') => Some(text.replace('\0', "\u{fffd}").into()),
            Self::Text(text) => Some(text),
            Self::Integer(number) => Some(number.to_string().into()),
            Self::Number(number) => Some(number.to_string().into()),
            Self::Absent | Self::Flag(_) => None,
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
    #[expect(clippy::cast_precision_loss, reason = "the API's numbers are int32")]
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor::<true>)
    }
}

/// A list's element, which is no list itself.
struct Plain<'de>(Scalar<'de>);

impl<'de> Deserialize<'de> for Plain<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(ScalarVisitor::<false>)
            .map(Self)
    }
}

/// `LISTS`: a list of one value is that value.
struct ScalarVisitor<const LISTS: bool>;

impl<'de, const LISTS: bool> Visitor<'de> for ScalarVisitor<LISTS> {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar<'de>, A::Error> {
        if !LISTS {
            return IgnoredAny.visit_seq(list).map(|_| Scalar::Absent);
        }
        let first = list.next_element()?.map(|Plain(value)| value);
        let mut alone = true;
        while list.next_element::<IgnoredAny>()?.is_some() {
            alone = false;
        }
        Ok(first.filter(|_| alone).unwrap_or_default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar<'de>, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Scalar::Absent)
    }
}

/// An identifier as text. A whole number keeps all its digits.
pub(super) struct Id<'de>(Option<Cow<'de, str>>);

impl<'de> Id<'de> {
    pub(super) fn text(self) -> Option<Cow<'de, str>> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Id<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            // Its digits are lost; mended, it is a text.
            Scalar::Number(number) if number.abs() >= TOO_LARGE => {
                Err(D::Error::custom("a number of too many digits"))
            }
            value => Ok(Self(value.text())),
        }
    }
}

/// Something that is read from an object, property by property.
pub(super) trait Record: Default {
    /// What becomes of it.
    type Item;

    /// Takes the property `name`, which may be spelled in any case. Must take `map`'s
    /// value exactly once.
    fn property<'de, A: MapAccess<'de>>(
        &mut self,
        name: &[u8],
        map: &mut A,
    ) -> Result<(), A::Error>;

    /// Whether `name` is read, or known to be of no use.
    fn knows(_name: &[u8]) -> bool {
        true
    }

    /// `None` if that is missing without which it means nothing.
    fn item(self) -> Option<Self::Item>;
}

/// Skips a property's value without keeping any of it.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// Where an object or a list of objects is expected: what was found.
pub(super) enum Shape<R: Record> {
    /// `null`, a plain value.
    Nothing,
    /// An object.
    One(Option<R::Item>),
    /// A list.
    Many(List<R::Item>),
}

/// What a list of objects became.
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// Elements that became nothing.
    pub(super) skipped: usize,
}

impl<T> List<T> {
    const fn new() -> Self {
        Self {
            items: Vec::new(),
            skipped: 0,
        }
    }

    /// A list of one.
    pub(super) fn of(item: T) -> Self {
        Self {
            items: vec![item],
            skipped: 0,
        }
    }

    fn push(&mut self, item: Option<T>) {
        match item {
            Some(item) => self.items.push(item),
            None => self.skipped += 1,
        }
    }
}

impl<R: Record> Shape<R> {
    /// The object, if it is one.
    pub(super) fn one(self) -> Option<R::Item> {
        match self {
            Self::One(item) => item,
            Self::Nothing | Self::Many(_) => None,
        }
    }

    /// The list; an object counts as a list of one.
    pub(super) fn many(self) -> Option<List<R::Item>> {
        match self {
            Self::Nothing => None,
            Self::One(item) => {
                let mut list = List::new();
                list.push(item);
                Some(list)
            }
            Self::Many(list) => Some(list),
        }
    }
}

impl<'de, R: Record> Deserialize<'de> for Shape<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor::<R, true>(PhantomData))
    }
}

/// A list's element, which is no list itself.
struct Element<R: Record>(Option<R::Item>);

impl<'de, R: Record> Deserialize<'de> for Element<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = deserializer.deserialize_any(ShapeVisitor::<R, false>(PhantomData));
        shape.map(|shape| Self(shape.one()))
    }
}

/// Whether a property's name is the known one, in any case.
#[inline]
pub(super) fn is(name: &[u8], known: &str) -> bool {
    // Nearly always it is spelled as we do, and equality is quicker to see.
    name == known.as_bytes() || name.eq_ignore_ascii_case(known.as_bytes())
}

/// A property's name. As bytes: whether they are a text does not matter to any that we know.
pub(super) struct Name<'de>(pub(super) Cow<'de, [u8]>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_vec())))
    }

    fn visit_borrowed_bytes<E>(self, name: &'de [u8]) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }
}

/// `LISTS`: a list is a list, and not nothing.
struct ShapeVisitor<R, const LISTS: bool>(PhantomData<R>);

impl<'de, R: Record, const LISTS: bool> Visitor<'de> for ShapeVisitor<R, LISTS> {
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Shape<R>, A::Error> {
        if !LISTS {
            return IgnoredAny.visit_seq(elements).map(|_| Shape::Nothing);
        }
        let mut list = List::new();
        while let Some(Element::<R>(item)) = elements.next_element()? {
            list.push(item);
        }
        Ok(Shape::Many(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape<R>, A::Error> {
        let mut record = R::default();
        while let Some(Name(name)) = map.next_key()? {
            record.property(&name, &mut map)?;
        }
        Ok(Shape::One(record.item()))
    }
}
