//! Who is asking: basic authentication against bcrypt hashes.
//!
//! A check costs as much for an unknown user as for a known one. What came of
//! it is remembered, so that a scrape pays for the first one only. Checks run
//! one at a time on a thread of their own; what is remembered does not wait.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use tokio::sync::Semaphore;

use crate::config::PasswordHash;

/// How many good and how many bad sign-ins are remembered. Apart, so that
/// whoever tries passwords does not make a scraper's be forgotten.
const REMEMBERED: usize = 100;

/// Users, with the hashes of their passwords.
type Users = BTreeMap<String, PasswordHash>;

/// Checks passwords.
#[derive(Clone)]
pub(super) struct Passwords(Arc<Inner>);

struct Inner {
    /// Two random keys, with which sign-ins are hashed to be remembered.
    keys: (u64, u64),
    /// One check at a time, as in exporter-toolkit: each keeps a core busy.
    checks: Arc<Semaphore>,
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
            checks: Arc::new(Semaphore::new(1)),
            known: Mutex::default(),
        }))
    }

    /// Whether `headers` name one of `users` with the right password.
    pub(super) async fn admit(&self, users: &Users, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else {
            return false;
        };
        let (hash, is_user) = match users.get(&user) {
            Some(hash) => (hash, true),
            None => match self.decoy(users, &user) {
                Some(hash) => (hash, false),
                None => return false,
            },
        };
        let key = self.key(&user, hash, &password);
        if let Some(good) = self.known(|known| known.get(key)) {
            return good;
        }
        // Only a closed semaphore gives an error, and nobody closes it.
        let Ok(permit) = Arc::clone(&self.0.checks).acquire_owned().await else {
            return false;
        };
        // Whoever asked the same has been answered while this one waited.
        if let Some(good) = self.known(|known| known.get(key)) {
            return good;
        }
        let (this, hash) = (self.clone(), hash.clone());
        let check = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let good = hash.matches(&password) && is_user;
            this.known(|known| known.put(key, good));
            good
        });
        check.await.unwrap_or(false)
    }

    /// The hash of a user that `user`, who is unknown, is checked against: always
    /// the same, so that the time tells nothing, whatever costs the hashes have.
    fn decoy<'u>(&self, users: &'u Users, user: &str) -> Option<&'u PasswordHash> {
        let mut hasher = SipHasher24::new_with_keys(self.0.keys.0, self.0.keys.1);
        user.hash(&mut hasher);
        let count = u64::try_from(users.len()).ok()?;
        let index = hasher.finish().checked_rem(count)?;
        users.values().nth(usize::try_from(index).ok()?)
    }

    fn key(&self, user: &str, hash: &PasswordHash, password: &[u8]) -> u128 {
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
                let found = passwords.admit(&users, &headers(user, password)).await;
                assert_eq!(found, expected, "{user}:{password}");
            }
        }
        assert!(!passwords.admit(&users, &HeaderMap::new()).await);
        for value in [
            "Basic",
            "Basic !",
            "Basic YWxpY2U=",
            "Bearer YWxpY2U6czNjcjN0",
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert!(!passwords.admit(&users, &headers).await, "{value}");
        }
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, "bAsIc YWxpY2U6czNjcjN0".parse().unwrap())]);
        assert!(passwords.admit(&users, &headers).await);
    }

    #[tokio::test]
    async fn an_unknown_user_costs_a_check_too_and_answers_are_remembered() {
        let (passwords, users) = (Passwords::new(), users(4));
        let asked = [("alice", "wrong"), ("mallory", "wrong")];
        for (number, (user, password)) in asked.into_iter().enumerate() {
            assert!(!passwords.admit(&users, &headers(user, password)).await);
            // Only a check puts an answer there.
            assert_eq!(passwords.known(|known| known.bad.len()), number + 1);
        }
        assert_eq!(
            passwords.decoy(&users, "mallory"),
            passwords.decoy(&users, "mallory")
        );
        // While no check can be made, what is known is answered and nothing else.
        let checks = Arc::clone(&passwords.0.checks);
        let _held = checks.acquire().await.unwrap();
        let ask = async |user, password, patience| {
            let headers = headers(user, password);
            tokio::time::timeout(patience, passwords.admit(&users, &headers)).await
        };
        for (user, password) in asked {
            assert_eq!(ask(user, password, Duration::from_mins(1)).await, Ok(false));
        }
        let new = ask("mallory", "new", Duration::from_millis(100)).await;
        assert!(new.is_err());
    }

    #[tokio::test]
    async fn a_changed_hash_is_another_question() {
        let passwords = Passwords::new();
        let right = headers("alice", "s3cr3t");
        assert!(passwords.admit(&users(4), &right).await);
        let text = format!(
            "basic_auth_users: {{alice: '{}'}}",
            bcrypt::hash("other", 4).unwrap()
        );
        let changed = WebConfig::parse(&text, "test").unwrap().0.users;
        assert!(!passwords.admit(&changed, &right).await);
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
