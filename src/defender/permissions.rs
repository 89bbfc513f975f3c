//! The permissions that a token names. They are read without checking its signature, and serve
//! to explain refusals only: the API alone decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::Bearer;

/// The most permissions that are kept, and the longest name.
const MOST: usize = 20;
const LONGEST: usize = 64;

/// Those that allow to read scans: for applications, and for users.
const SUFFICIENT: [&str; 4] = [
    "Machine.Read.All",
    "Machine.ReadWrite.All",
    "Machine.Read",
    "Machine.ReadWrite",
];

/// The permissions in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions(Vec<String>);

/// Of the claims of Entra's access tokens, those that count.
#[derive(Deserialize)]
struct Claims {
    /// Of an application.
    #[serde(default)]
    roles: Vec<String>,
    /// Of a user, separated by blanks.
    #[serde(default)]
    scp: String,
}

impl Permissions {
    /// Those that the token names; `None` if it cannot be read.
    #[must_use]
    pub fn of(bearer: &Bearer) -> Option<Self> {
        let mut parts = bearer.secret().split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        // Serde takes a list for a struct as well.
        let claims: serde_json::Map<_, _> = serde_json::from_slice(&payload).ok()?;
        let claims: Claims = serde_json::from_value(claims.into()).ok()?;
        let named = claims.scp.split_ascii_whitespace().map(str::to_owned);
        let named = claims.roles.into_iter().chain(named);
        let is_name = |name: &String| {
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            (1..=LONGEST).contains(&name.len()) && name.bytes().all(plain)
        };
        Some(Self(named.filter(is_name).take(MOST).collect()))
    }

    /// Whether one of them allows to read scans.
    #[must_use]
    pub fn suffice(&self) -> bool {
        self.0
            .iter()
            .any(|name| SUFFICIENT.contains(&name.as_str()))
    }
}

/// Their names, or `no permissions`.
impl std::fmt::Display for Permissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            f.write_str("no permissions")
        } else {
            f.write_str(&self.0.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(claims: &str) -> Option<Permissions> {
        let token = ["{}", claims, "signature"].map(|part| URL_SAFE_NO_PAD.encode(part));
        Permissions::of(&Bearer::new(&token.join(".")).unwrap())
    }

    #[test]
    fn applications_have_roles_and_users_scopes() {
        for (claims, shown, suffice) in [
            (
                r#"{"roles":["Machine.Read.All"]}"#,
                "Machine.Read.All",
                true,
            ),
            (
                r#"{"roles":["Alert.Read.All","Score.Read.All"]}"#,
                "Alert.Read.All, Score.Read.All",
                false,
            ),
            (
                r#"{"scp":"Machine.Read User.Read"}"#,
                "Machine.Read, User.Read",
                true,
            ),
            (r#"{"roles":[]}"#, "no permissions", false),
            ("{}", "no permissions", false),
            (r#"{"roles":["a b","","x\u0007"]}"#, "no permissions", false),
        ] {
            let found = of(claims).unwrap();
            assert_eq!(
                (found.to_string().as_str(), found.suffice()),
                (shown, suffice)
            );
        }
    }

    #[test]
    fn what_is_no_such_token_says_nothing() {
        for claims in [
            "",
            "[]",
            r#"{"roles":"Machine.Read.All"}"#,
            r#"{"roles":[1]}"#,
        ] {
            assert_eq!(of(claims), None, "{claims}");
        }
        for token in ["opaque", "a.b", "a.b.c", "a.e30.c.d", "!.!.!"] {
            assert_eq!(
                Permissions::of(&Bearer::new(token).unwrap()),
                None,
                "{token}"
            );
        }
    }
}
