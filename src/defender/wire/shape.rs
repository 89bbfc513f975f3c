//! Objects and lists of JSON, read liberally: property names ignoring case.
//!
//! Only what a [`Record`] asks for is kept; everything else is skipped by the parser without
//! being stored. That is how secrets in `scanAuthenticationParams` stay out of memory. Each
//! record becomes the model's item as soon as it is read: nothing is copied but what is kept.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::lenient::{Read, Unreadable};
use super::unread::Unread;

/// Something that is read from an object, property by property.
pub(super) trait Record<'de>: Default {
    /// What becomes of it.
    type Item;

    /// Takes the property `name`, which may be spelled in any case. Must take `map`'s
    /// value exactly once.
    fn property<A: MapAccess<'de>>(&mut self, name: &[u8], map: &mut A) -> Result<(), A::Error>;

    /// Adds the properties, known by name, whose values cannot be read: one for each such value.
    fn unreadable(&self, _into: &mut Vec<&'static str>) {}

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
pub(super) enum Shape<'de, R: Record<'de>> {
    /// `null`.
    Nothing,
    /// A plain value.
    Other,
    /// An object.
    One(Found<R::Item>),
    /// A list.
    Many(List<R::Item>),
}

/// What an object became.
pub(super) struct Found<T> {
    /// `None`: nothing.
    item: Option<T>,
    unreadable: Vec<&'static str>,
}

/// What a list of objects became.
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// Elements that became nothing, and values.
    pub(super) unread: Unread,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            unread: Unread::default(),
        }
    }
}

impl<T> List<T> {
    fn push(&mut self, found: Found<T>) {
        for property in found.unreadable {
            *self.unread.values.entry(property).or_default() += 1;
        }
        match found.item {
            Some(item) => self.items.push(item),
            None => self.unread.records += 1,
        }
    }

    /// A list of one.
    pub(super) fn of(found: Found<T>) -> Self {
        let mut list = Self::default();
        list.push(found);
        list
    }

    /// The other's elements come behind.
    pub(super) fn append(&mut self, other: Self) {
        self.items.extend(other.items);
        self.unread.add(other.unread);
    }
}

impl<T> Found<T> {
    pub(super) fn of<'de, R: Record<'de, Item = T>>(record: R) -> Self {
        let mut unreadable = Vec::new();
        record.unreadable(&mut unreadable);
        Self {
            item: record.item(),
            unreadable,
        }
    }

    /// Whether there is one.
    pub(super) const fn is_one(&self) -> bool {
        self.item.is_some()
    }

    /// No object.
    const fn nothing() -> Self {
        Self {
            item: None,
            unreadable: Vec::new(),
        }
    }
}

impl<'de, R: Record<'de>> Shape<'de, R> {
    /// The object, if it is one.
    pub(super) fn one(self) -> Read<R::Item> {
        match self {
            Self::One(found) => Ok(found.item),
            Self::Nothing => Ok(None),
            Self::Other | Self::Many(_) => Err(Unreadable),
        }
    }

    /// The list; an object counts as a list of one.
    pub(super) fn many(self) -> Read<List<R::Item>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Other => Err(Unreadable),
            Self::One(found) => Ok(Some(List::of(found))),
            Self::Many(list) => Ok(Some(list)),
        }
    }
}

impl<'de, R: Record<'de>> Deserialize<'de> for Shape<'de, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor::<R, true>(PhantomData))
    }
}

/// A list's element, which is no list itself.
struct Element<'de, R: Record<'de>>(Found<R::Item>);

impl<'de, R: Record<'de>> Deserialize<'de> for Element<'de, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = deserializer.deserialize_any(ShapeVisitor::<R, false>(PhantomData));
        shape.map(|shape| match shape {
            Shape::One(found) => Self(found),
            _ => Self(Found::nothing()),
        })
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

/// `LISTS`: whether a list is read; inside a list, another is not.
struct ShapeVisitor<R, const LISTS: bool>(PhantomData<R>);

impl<'de, R: Record<'de>, const LISTS: bool> Visitor<'de> for ShapeVisitor<R, LISTS> {
    type Value = Shape<'de, R>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Shape<'de, R>, E> {
        Ok(Shape::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape<'de, R>, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape<'de, R>, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape<'de, R>, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape<'de, R>, E> {
        Ok(Shape::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape<'de, R>, E> {
        Ok(Shape::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Shape<'de, R>, A::Error> {
        if !LISTS {
            return IgnoredAny.visit_seq(elements).map(|_| Shape::Other);
        }
        let mut list = List::default();
        while let Some(Element::<'de, R>(found)) = elements.next_element()? {
            list.push(found);
        }
        Ok(Shape::Many(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape<'de, R>, A::Error> {
        let mut record = R::default();
        while let Some(Name(name)) = map.next_key()? {
            record.property(&name, &mut map)?;
        }
        Ok(Shape::One(Found::of(record)))
    }
}
