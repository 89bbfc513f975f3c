//! Who is asking: basic authentication against bcrypt hashes.
//!
//! What came of a check is remembered, so that a scrape pays for the first one only.
//! Checks are made on threads of their own, few at once, and those of unknown names on
//! one apart: whoever tries names does not keep users waiting. See `lane.rs`.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::lane::{Check, Client, Lane};
use crate::config::PasswordHash;

/// How many good and how many bad sign-ins are remembered. Apart, so that
/// whoever tries passwords does not make a scraper's be forgotten.
const REMEMBERED: usize = 100;

/// How many checks are made at once, for known names and for others: each keeps a core
/// busy. Two, so that one user's costly hash does not hold up the others.
const KNOWN_NAMES: usize = 2;
const STRANGERS: usize = 1;

/// How much of a password bcrypt looks at, in bytes.
const SIGNIFICANT: usize = 72;

/// Users, with the hashes of their passwords.
type Users = BTreeMap<String, PasswordHash>;

/// What came of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// A user with the right password.
    Granted,
    /// Anybody else.
    Refused,
    /// Too many are being checked.
    Busy,
}

impl From<bool> for Admission {
    fn from(good: bool) -> Self {
        if good { Self::Granted } else { Self::Refused }
    }
}

/// Checks passwords.
#[derive(Clone)]
pub(super) struct Passwords(Arc<Inner>);

struct Inner {
    /// Two random keys, with which sign-ins are hashed to be remembered.
    keys: (u64, u64),
    users: Mutex<Lane>,
    strangers: Mutex<Lane>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    good: HashSet<u128>,
    bad: HashSet<u128>,
}

impl Known {
    fn get(&self, key: u128) -> Option<bool> {
        if self.good.contains(&key) {
            Some(true)
        } else {
            self.bad.contains(&key).then_some(false)
        }
    }

    fn put(&mut self, key: u128, good: bool) {
        let set = if good { &mut self.good } else { &mut self.bad };
        if set.len() >= REMEMBERED {
            // The set's order is random.
            let victim = set.iter().next().copied();
            victim.map(|victim| set.remove(&victim));
        }
        set.insert(key);
    }
}

impl Passwords {
    pub(super) fn new() -> Self {
        // The standard library's random keys, one hasher each.
        let random = || RandomState::new().hash_one(());
        Self(Arc::new(Inner {
            keys: (random(), random()),
            users: Mutex::new(Lane::new(KNOWN_NAMES)),
            strangers: Mutex::new(Lane::new(STRANGERS)),
            known: Mutex::default(),
        }))
    }

    /// Whether `headers`, sent by `client`, name one of `users` with the right password.
    pub(super) async fn admit(
        &self,
        users: &Users,
        headers: &HeaderMap,
        client: Client,
    ) -> Admission {
        let Some((user, mut password)) = credentials(headers) else {
            return Admission::Refused;
        };
        let hash = users.get(&user);
        let key = self.key(&user, hash, &password);
        if let Some(good) = self.known(|known| known.get(key)) {
            return good.into();
        }
        let Some(checked) = hash.cloned().or_else(|| self.decoy(users, &user)) else {
            return Admission::Refused;
        };
        password.truncate(SIGNIFICANT);
        let is_user = hash.is_some();
        let outcome = self
            .lane(is_user)
            .ask(client, Check::new(key, checked, password));
        self.start(is_user);
        outcome.await.map_or(Admission::Busy, Admission::from)
    }

    /// Starts a thread if there is a check for one.
    fn start(&self, is_user: bool) {
        let Some(check) = self.lane(is_user).next() else {
            return;
        };
        let (this, key) = (self.clone(), check.key);
        let name = "password".to_owned();
        let thread = thread::Builder::new().name(name);
        if let Err(error) = thread.spawn(move || this.work(is_user, check)) {
            tracing::warn!(%error, "cannot start a thread to check a password: the client is asked to authenticate again");
            self.lane(is_user).end(key, None);
        }
    }

    /// Makes this check and those that wait.
    fn work(&self, is_user: bool, mut check: Check) {
        loop {
            // A check that panicked has let nobody in, and the next ones are made all the same.
            let matches = || check.hash.matches(&check.password);
            let good = catch_unwind(AssertUnwindSafe(matches)).unwrap_or(false) && is_user;
            self.known(|known| known.put(check.key, good));
            let mut lane = self.lane(is_user);
            lane.end(check.key, Some(good));
            let Some(next) = lane.next() else {
                return;
            };
            check = next;
        }
    }

    fn lane(&self, is_user: bool) -> MutexGuard<'_, Lane> {
        let lane = if is_user {
            &self.0.users
        } else {
            &self.0.strangers
        };
        // It is consistent between any two statements: poison is harmless.
        lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `user`, who is unknown, is checked against: of the cost of some user's hash,
    /// always the same, so that the time tells nothing as long as costs are the usual ones.
    fn decoy(&self, users: &Users, user: &str) -> Option<PasswordHash> {
        let mut hasher = SipHasher24::new_with_keys(self.0.keys.0, self.0.keys.1);
        user.hash(&mut hasher);
        let count = u64::try_from(users.len()).ok()?;
        let index = hasher.finish().checked_rem(count)?;
        let hash = users.values().nth(usize::try_from(index).ok()?)?;
        Some(hash.decoy())
    }

    /// What a sign-in is remembered by: the user, whether there is one, that user's hash,
    /// and the password.
    fn key(&self, user: &str, hash: Option<&PasswordHash>, password: &[u8]) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.0.keys.0, self.0.keys.1);
        (user, hash, password).hash(&mut hasher);
        hasher.finish128().as_u128()
    }

    fn known<T>(&self, use_it: impl FnOnce(&mut Known) -> T) -> T {
        // A set stays a set, whatever happened to who held it.
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        use_it(&mut known)
    }
}

/// User and password of the header `Authorization`.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut user = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    let password = user.split_off(colon + 1);
    user.pop();
    Some((String::from_utf8(user).ok()?, password))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bcrypt::HashParts;

    use super::*;
    use crate::config::WebConfig;

    /// `alice` has the password `s3cr3t`, at the given cost; `bob` has `hunter2`.
    fn users(cost: u32) -> Users {
        let hash = |password| bcrypt::hash(password, cost).unwrap();
        let text = format!(
            "basic_auth_users: {{alice: '{}', bob: '{}'}}",
            hash("s3cr3t"),
            hash("hunter2")
        );
        WebConfig::parse(&text, "test").unwrap().0.users
    }

    fn headers(user: &str, password: &str) -> HeaderMap {
        let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let value = format!("Basic {encoded}").parse().unwrap();
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    const NOBODY: Client = None;

    async fn admit(passwords: &Passwords, users: &Users, headers: &HeaderMap) -> bool {
        passwords.admit(users, headers, NOBODY).await == Admission::Granted
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_is_let_in() {
        let (passwords, users) = (Passwords::new(), users(4));
        for _ in 0..2 {
            for (user, password, expected) in [
                ("alice", "s3cr3t", true),
                ("bob", "hunter2", true),
                ("alice", "hunter2", false),
                ("alice", "", false),
                ("Alice", "s3cr3t", false),
                ("mallory", "s3cr3t", false),
                ("mallory", "hunter2", false),
                ("", "", false),
            ] {
                let found = admit(&passwords, &users, &headers(user, password)).await;
                assert_eq!(found, expected, "{user}:{password}");
            }
        }
        assert!(!admit(&passwords, &users, &HeaderMap::new()).await);
        for value in [
            "Basic",
            "Basic !",
            "Basic YWxpY2U=",
            "Bearer YWxpY2U6czNjcjN0",
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert!(!admit(&passwords, &users, &headers).await, "{value}");
        }
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, "bAsIc YWxpY2U6czNjcjN0".parse().unwrap())]);
        assert!(admit(&passwords, &users, &headers).await);
    }

    #[tokio::test]
    async fn an_unknown_user_costs_a_check_too_and_answers_are_remembered() {
        let (passwords, users) = (Passwords::new(), users(4));
        let asked = [("alice", "wrong"), ("mallory", "wrong")];
        for (number, (user, password)) in asked.into_iter().enumerate() {
            assert!(!admit(&passwords, &users, &headers(user, password)).await);
            // Only a check puts an answer there.
            assert_eq!(passwords.known(|known| known.bad.len()), number + 1);
        }
        let decoy = passwords.decoy(&users, "mallory");
        assert_eq!(decoy, passwords.decoy(&users, "mallory"));
        let decoy = decoy.unwrap();
        let cost = |hash: &PasswordHash| hash.as_str().parse::<HashParts>().unwrap().get_cost();
        assert_eq!(cost(&decoy), 4);
        for (costly, capped) in [(10, 10), (12, 12), (13, 12), (31, 12)] {
            let costly = decoy.as_str().replace("$04$", &format!("${costly}$"));
            let text = format!("basic_auth_users: {{alice: '{costly}'}}");
            let (config, _) = WebConfig::parse(&text, "test").unwrap();
            let decoy = passwords.decoy(&config.users, "mallory").unwrap();
            assert_eq!(cost(&decoy), capped);
        }
        // While no check can be made, what is known is answered and nothing else.
        *passwords.lane(false) = Lane::new(0);
        *passwords.lane(true) = Lane::new(0);
        for (user, password) in asked {
            assert!(!admit(&passwords, &users, &headers(user, password)).await);
        }
        let new = headers("mallory", "new");
        let new = passwords.admit(&users, &new, NOBODY);
        let new = tokio::time::timeout(Duration::from_millis(100), new).await;
        assert!(new.is_err());
    }

    #[tokio::test]
    async fn a_changed_user_or_hash_is_another_question() {
        let passwords = Passwords::new();
        let hash = bcrypt::hash("s3cr3t", 4).unwrap();
        let users = |text: &str| {
            let text = format!("basic_auth_users: {{{}}}", text.replace('@', &hash));
            WebConfig::parse(&text, "test").unwrap().0.users
        };
        let right = headers("alice", "s3cr3t");
        let other = format!("alice: '{}'", bcrypt::hash("other", 4).unwrap());
        // Removed, misspelt and corrected while somebody has the same hash, and another's hash.
        for (text, expected) in [
            ("alice: '@', bob: '@'", true),
            ("bob: '@'", false),
            ("alicia: '@'", false),
            ("alice: '@'", true),
            (&other, false),
            ("bob: '@'", false),
            ("alice: '@', bob: '@'", true),
        ] {
            for _ in 0..2 {
                let found = admit(&passwords, &users(text), &right).await;
                assert_eq!(found, expected, "{text}");
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_bad_ones_do_not_push_good_ones_out() {
        let mut known = Known::default();
        known.put(1, true);
        for key in 2..1_000 {
            known.put(key, false);
        }
        assert_eq!(known.get(1), Some(true));
        assert_eq!(known.bad.len(), REMEMBERED);
    }
}
