//! Identifiers, and how two of them compare.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Declares an identifier, and how two of them compare.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident: by spelling) => {
        identifier! {
            $(#[$doc])*
            #[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
            $name
        }
    };
    ($(#[$doc:meta])* $name:ident: by meaning) => {
        identifier! { $(#[$doc])* $name }

        impl $name {
            /// The text in the case that all spellings share.
            #[must_use]
            pub fn meaning(&self) -> Cow<'_, str> {
                let is_hex = self.0.bytes().any(|byte| byte.is_ascii_uppercase()) && is_hex(&self.0);
                if is_hex { self.0.to_ascii_lowercase().into() } else { Cow::Borrowed(&self.0) }
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                // Nearly always equal ones are spelled alike, and that is quicker to see.
                self.0 == other.0 || (self.0.eq_ignore_ascii_case(&other.0) && is_hex(&self.0))
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                let [this, that] = [self, other].map(|id| id.0.bytes().map(|byte| byte.to_ascii_lowercase()));
                this.cmp(that).then_with(|| {
                    if is_hex(&self.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
                })
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.meaning().hash(state);
            }
        }
    };
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it came.
            #[must_use]
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }

            /// The text as it came.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Whether an identifier is made of hexadecimal digits, as GUIDs and machine ids are: then
/// its case means nothing. Others are opaque, and may be Base64.
fn is_hex(id: &str) -> bool {
    let mut bytes = id.bytes();
    bytes.all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_' | b'{' | b'}'))
}

identifier! {
    /// The configured name of a tenant: unique, `[A-Za-z0-9_.-]{1,64}`.
    TenantName: by spelling
}
identifier! {
    /// A scan definition's id: opaque, not always a valid GUID. The case of a GUID does not
    /// matter, its spelling is kept.
    DefinitionId: by meaning
}
identifier! {
    /// A scan session's id: opaque, as [`DefinitionId`] is.
    SessionId: by meaning
}
identifier! {
    /// A scanning agent's id: opaque, as [`DefinitionId`] is.
    AgentId: by meaning
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn the_case_of_hexadecimal_ids_means_nothing_and_that_of_others_does() {
        let pairs = [
            (
                "4AD8D463-6B3A-4894-B42A-A2DE9EA0A8AE",
                "4ad8d463-6b3a-4894-b42a-a2de9ea0a8ae",
                true,
            ),
            ("{4AD8D463-6B3A}_ABCDEF", "{4ad8d463-6b3a}_abcdef", true),
            ("Zm9v", "zm9v", false),
            ("abc", "abcd", false),
            ("", "a", false),
        ];
        for (one, other, same) in pairs {
            let ids = [DefinitionId::new(one), DefinitionId::new(other)];
            assert_eq!(ids[0] == ids[1], same, "{one}");
            assert_eq!(HashSet::from(ids.clone()).len() == 1, same, "{one}");
            assert_eq!(BTreeSet::from(ids.clone()).len() == 1, same, "{one}");
            assert_eq!(ids[0].as_str(), one, "the spelling is kept");
        }
        assert_ne!(TenantName::new("ABC"), TenantName::new("abc"));
    }
}
