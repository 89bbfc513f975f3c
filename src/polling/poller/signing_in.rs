//! A token before each call, and what is said when there is none.

use std::collections::BTreeSet;

use super::Poller;
use crate::defender::{AuthError, Bearer};
use crate::model::health::{AuthReason, Collector, Reason};

/// How many different texts of failures in a row are logged. After that only those of another
/// class are.
const MOST: usize = 16;

/// What was logged already.
#[derive(Debug, Default)]
pub(super) struct LogDedup(BTreeSet<(AuthReason, String)>);

impl LogDedup {
    /// Whether a failure is new, and so to be logged. Texts that differ only in what
    /// varies each time, such as correlation ids and times, are the same.
    fn is_new(&mut self, error: &AuthError) -> bool {
        let class_is_new = !self.0.iter().any(|(reason, _)| *reason == error.reason);
        if self.0.len() >= MOST && !class_is_new {
            return false;
        }
        self.0.insert((error.reason, constant(&error.text)))
    }

    /// Forgets all; returns whether there was anything.
    fn clear(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

/// The words of a text without those that hold digits, except codes of errors.
fn constant(text: &str) -> String {
    let varies =
        |word: &&str| word.contains(|c: char| c.is_ascii_digit()) && !word.starts_with("AADSTS");
    let words: Vec<&str> = text.split(' ').filter(|word| !varies(word)).collect();
    words.join(" ")
}

impl Poller {
    /// A token, or `None` after a failure that has been dealt with.
    pub(super) async fn token(&mut self) -> Option<Bearer> {
        let now = self.clock.uptime();
        if !self.schedule.wants_token(now) {
            return None;
        }
        if self.schedule.retries_forbidden(now)
            && let Some(forbidden) = self.forbidden.take()
        {
            self.tokens.outdate(&forbidden);
        }
        match self.tokens.token().await {
            Ok(bearer) => {
                self.schedule.set_no_token(None);
                if self.auth_failures.clear() {
                    tracing::info!(tenant = %self.tenant.name(), "sign-in works again");
                }
                Some(bearer)
            }
            Err(error) => {
                self.schedule.set_no_token(self.tokens.retry_at());
                self.no_token(&error);
                None
            }
        }
    }

    fn no_token(&mut self, error: &AuthError) {
        if self.auth_failures.is_new(error) {
            let retry_in = self.retry_in(self.schedule.held_until());
            tracing::error!(tenant = %self.tenant.name(), reason = error.reason.as_label(), %error, %retry_in, "sign-in failed");
        }
        self.tenant.health.count_auth_error(error.reason);
        // Whose success says that it works again.
        let collector = if self.schedule.goes_without_list() {
            Collector::History
        } else {
            Collector::Definitions
        };
        self.count_failure(collector, Reason::Auth, &error.to_string(), error.advice);
        self.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(reason: AuthReason, text: &str) -> AuthError {
        AuthError::new(reason, text)
    }

    #[test]
    fn another_text_of_the_same_class_is_new() {
        let mut said = LogDedup::default();
        let id = "Trace ID: 0d3d4e5f-1111-4222-8333-444455556666 at 2026-11-23T09:48:01Z";
        let other = "Trace ID: 1d3d4e5f-1111-4222-8333-444455556667 at 2026-11-23T09:49:02Z";
        for (text, new) in [
            (format!("AADSTS50058: no session. {id}"), true),
            (format!("AADSTS50058: no session. {other}"), false),
            (format!("AADSTS50059: no tenant. {other}"), true),
            (format!("AADSTS50058: no session. {id}"), false),
        ] {
            assert_eq!(said.is_new(&error(AuthReason::Other, &text)), new, "{text}");
        }
        assert!(said.clear());
        assert!(said.is_new(&error(AuthReason::Other, &format!("AADSTS50058: {id}"))));
    }

    #[test]
    fn texts_that_never_repeat_are_logged_so_often_and_no_more() {
        let mut said = LogDedup::default();
        let texts = (0..1_000).map(|n| "x".repeat(n));
        let new = texts.filter(|text| said.is_new(&error(AuthReason::Other, text)));
        assert_eq!(new.count(), MOST);
        assert!(said.is_new(&error(AuthReason::Connect, "no connection")));
        assert!(!said.is_new(&error(AuthReason::Connect, "no connection, again")));
    }
}
