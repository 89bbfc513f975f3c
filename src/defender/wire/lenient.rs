//! Plain values of JSON, read liberally, whatever their type.
//!
//! A value of the wrong type is as good as absent, however deeply it nests, but [`Unreadable`]
//! says that there was one. Texts are borrowed from the answer.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Where whole numbers do not keep their digits any more: beyond 64 bits.
pub(super) const TOO_LARGE: f64 = 9.2e18;

/// There is a value, and it cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct Unreadable;

/// What became of a value: `None` if it is `null`, or means the same.
pub(super) type Read<T> = Result<Option<T>, Unreadable>;

/// A plain value: a flag, a number, a text, or nothing usable. A list with one
/// plain value counts as that value, as in `"ScanDefinitionIds": ["…"]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'de> {
    /// `null`.
    #[default]
    Absent,
    /// An object, or a list of anything but one plain value.
    Other,
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
    pub(super) fn text(self) -> Read<Cow<'de, str>> {
        match self {
            Self::Text(text) if text.chars().all(char::is_whitespace) => Ok(None),
            // JSON has NUL only as an escape.
            Self::Text(Cow::Owned(text)) if text.contains('\0') => {
                Ok(Some(text.replace('\0', "\u{fffd}").into()))
            }
            Self::Text(text) => Ok(Some(text)),
            Self::Integer(number) => Ok(Some(number.to_string().into())),
            Self::Number(number) => Ok(Some(number.to_string().into())),
            Self::Absent => Ok(None),
            Self::Flag(_) | Self::Other => Err(Unreadable),
        }
    }

    /// The flag, also if it was sent as text or as 0 or 1.
    pub(super) fn flag(self) -> Read<bool> {
        match self {
            Self::Flag(flag) => Ok(Some(flag)),
            other => match other.text()?.as_deref() {
                None => Ok(None),
                Some(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(Some(true)),
                Some(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(Some(false)),
                Some(_) => Err(Unreadable),
            },
        }
    }

    /// The number, also if it was sent as text. Always finite.
    #[expect(clippy::cast_precision_loss, reason = "the API's numbers are int32")]
    pub(super) fn number(self) -> Read<f64> {
        let number = match self {
            Self::Integer(number) => number as f64,
            Self::Number(number) => number,
            other => match other.text()? {
                None => return Ok(None),
                Some(text) => text.trim().parse().map_err(|_| Unreadable)?,
            },
        };
        if number.is_finite() {
            Ok(Some(number))
        } else {
            Err(Unreadable)
        }
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
            return IgnoredAny.visit_seq(list).map(|_| Scalar::Other);
        }
        let first = list.next_element()?.map(|Plain(value)| value);
        let mut alone = true;
        while list.next_element::<IgnoredAny>()?.is_some() {
            alone = false;
        }
        Ok(first.filter(|_| alone).unwrap_or(Scalar::Other))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar<'de>, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Scalar::Other)
    }
}

/// An identifier as text. A whole number keeps all its digits.
pub(super) struct Id<'de>(Read<Cow<'de, str>>);

impl<'de> Id<'de> {
    pub(super) fn text(self) -> Read<Cow<'de, str>> {
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
