//! Users and the hashes of their passwords.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr as _;

use bcrypt::HashParts;
use config_report::{ConfigReport, MappingEntry, Reported, YamlValue, collect_all, expected};

/// Beyond this cost a check takes more than a second, and whoever tries
/// passwords keeps others from signing in.
const HIGH_COST: u32 = 14;

/// The highest of the usual costs, at which a check takes some 300 ms.
const USUAL_COST: u32 = 12;

/// Salt and hash in the form of bcrypt; both are made up.
const DECOY: &str = "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde";

/// A bcrypt hash of a password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Whether `password` is the one. Takes as long as the hash's cost wants,
    /// some 70 ms for 10: not for a thread that others wait for.
    #[must_use]
    pub fn matches(&self, password: &[u8]) -> bool {
        // It has been read before, so that there is no error; if there were, nobody gets in.
        bcrypt::verify(password, &self.0).unwrap_or(false)
    }

    /// What strangers are checked against: a hash of this one's cost, but no more than
    /// is usual, that no password is known for.
    #[must_use]
    pub fn decoy(&self) -> Self {
        let cost = HashParts::from_str(&self.0).map_or(USUAL_COST, |parts| parts.get_cost());
        let cost = cost.min(USUAL_COST);
        Self(format!("$2b${cost:02}${DECOY}"))
    }

    /// As it stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// `basic_auth_users`. Hashes are not repeated in errors: weak passwords can be found by them.
pub(super) fn read(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<BTreeMap<String, PasswordHash>, Reported> {
    let section = value.mapping(report, "a mapping of users to bcrypt hashes")?;
    let entries = section.entries();
    collect_all(entries.iter().map(|entry| {
        let hash = hash(entry, report)?;
        Ok((entry.key.to_owned(), hash))
    }))
}

fn hash(entry: &MappingEntry<'_>, report: &mut ConfigReport) -> Result<PasswordHash, Reported> {
    let what = "a bcrypt hash such as `$2y$10$…`";
    let advice = "make one with `htpasswd -nBC 10 USER`";
    let Some(value) = &entry.value else {
        return Err(entry.error(report, expected(what, "nothing", advice)));
    };
    let text = value.text(report, what)?;
    let Ok(parts) = HashParts::from_str(text) else {
        return Err(value.error(report, expected(what, "another form", advice)));
    };
    let cost = parts.get_cost();
    if !(4..=31).contains(&cost) {
        let text = expected("a cost from 4 to 31", "another cost in the hash", advice);
        return Err(value.error(report, text));
    }
    if cost > HIGH_COST {
        let text = format!(
            "the cost of this hash is {cost}: each check takes seconds or more; 10 to 12 is usual"
        );
        value.warn(report, text);
    }
    Ok(PasswordHash(text.to_owned()))
}
