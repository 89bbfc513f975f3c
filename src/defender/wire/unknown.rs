//! The names of properties that this version does not know: how one sees that the service
//! has changed what it sends.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::shape::{Name, Record, is};
use crate::defender::scrub::scrub;

/// How many records are looked at: all of a list are alike.
const SAMPLE: usize = 20;
/// How many names are kept, and how many characters of each.
const MOST: usize = 10;
const LONGEST: usize = 64;

/// The names of unknown properties in the answer's first records and around them.
pub(super) fn unknown<'de, R: Record<'de>>(body: &'de [u8]) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    // Whether the answer can be read at all is not the question here.
    let _ = Names::<R>::into(&mut names).deserialize(&mut deserializer);
    names.into_iter().collect()
}

/// Looks for names in an answer, a list of records or a record.
struct Names<'n, R> {
    names: &'n mut BTreeSet<String>,
    record: PhantomData<R>,
}

impl<'n, R> Names<'n, R> {
    fn into(names: &'n mut BTreeSet<String>) -> Self {
        Self {
            names,
            record: PhantomData,
        }
    }

    fn add(&mut self, name: &[u8]) {
        // "@odata.context" and the like.
        let is_annotation = name.starts_with(b"@") || name.starts_with(b"odata.");
        if !is_annotation && self.names.len() < MOST {
            let name = scrub(&String::from_utf8_lossy(name), &[]);
            self.names.insert(name.chars().take(LONGEST).collect());
        }
    }
}

impl<'de, R: Record<'de>> DeserializeSeed<'de> for Names<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// What is neither a list nor an object is an error of the default implementations.
impl<'de, R: Record<'de>> Visitor<'de> for Names<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for _ in 0..SAMPLE {
            if list
                .next_element_seed(Names::<R>::into(self.names))?
                .is_none()
            {
                return Ok(());
            }
        }
        Err(A::Error::custom("seen enough"))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            if is(&name, "value") {
                map.next_value_seed(Names::<R>::into(self.names))?;
            } else {
                if !R::knows(&name) {
                    self.add(&name);
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
