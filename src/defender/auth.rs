//! A tenant's token: got in time, kept while it works, renewed when refused.
//!
//! ```text
//! token ─► fresh? ─────────────────────────────► it
//!             └► one task at a time: failed lately? ─► the old one, or that error
//!                                       └► issuer ─► the new one
//! ```
//!
//! `azure_identity` alone would fail while the token still works, keep no short
//! token, let all waiters fail one after the other, and not forget a token that
//! the API refused. Ends are counted on the clock that never jumps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

pub use super::auth_error::AuthError;
use super::http::HttpClient;
use super::issuer::{Issued, Issuer, issuer};
use crate::clock::{Clock, Timestamp, Uptime};
use crate::config::Tenant;
use crate::health::AuthReason;

/// A new token is fetched so long before the end of the old one, or after half
/// of its life if that is later.
const REFRESH_BEFORE: Duration = Duration::from_mins(6);

/// So long before its end a token counts as gone.
const UNUSABLE_BEFORE: Duration = Duration::from_secs(30);

/// The longest time for one sign-in.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a failed sign-in: doubled after each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

const SCHEME: &str = "Bearer ";

/// A bearer token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(HeaderValue);

impl Bearer {
    /// Checks that the token can be sent.
    ///
    /// # Errors
    /// [`AuthError`], if it is empty or has letters that a header can not have.
    pub fn new(token: &str) -> Result<Self, AuthError> {
        let sendable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::try_from(format!("{SCHEME}{token}")).ok();
        let mut header = header.filter(|_| sendable).ok_or_else(|| {
            AuthError::new(
                AuthReason::Other,
                "expected a token of visible ASCII letters, but found something else",
            )
        })?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// The value of the header `Authorization`; marked as sensitive.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The token, to be taken out of texts.
    pub(super) fn secret(&self) -> &str {
        let header = self.0.to_str().unwrap_or_default();
        header.strip_prefix(SCHEME).unwrap_or_default()
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer([redacted])")
    }
}

/// Hands out a tenant's token.
pub struct TokenSource {
    clock: Clock,
    issuer: Box<dyn Issuer>,
    current: ArcSwapOption<Held>,
    /// Held while a token is fetched, so that one task fetches and the others wait.
    failed: Mutex<Option<Failed>>,
}

/// The token in use.
#[derive(Debug)]
struct Held {
    bearer: Bearer,
    /// From when on a new one is wanted.
    refresh: Uptime,
    /// From when on it counts as gone.
    gone: Uptime,
    end: Uptime,
}

/// The last sign-in failed.
#[derive(Debug)]
struct Failed {
    error: AuthError,
    pause: Duration,
    again: Uptime,
}

impl TokenSource {
    /// The source that the tenant's configuration names. Reads nothing yet.
    #[must_use]
    pub fn new(tenant: &Tenant, http: HttpClient, clock: Clock) -> Self {
        Self::with_issuer(issuer(tenant, http, clock.clone()), clock)
    }

    fn with_issuer(issuer: Box<dyn Issuer>, clock: Clock) -> Self {
        Self {
            clock,
            issuer,
            current: ArcSwapOption::empty(),
            failed: Mutex::new(None),
        }
    }

    /// A token that works for 30 s at least, as far as its issuer said.
    ///
    /// # Errors
    /// [`AuthError`], if there is none left and no new one can be had. For some
    /// seconds after a failure the same error is returned without a new attempt.
    pub async fn token(&self) -> Result<Bearer, AuthError> {
        if let Some(bearer) = self.held(|held| held.refresh) {
            return Ok(bearer);
        }
        let mut failed = self.failed.lock().await;
        // Another task may have fetched one meanwhile.
        if let Some(bearer) = self.held(|held| held.refresh) {
            return Ok(bearer);
        }
        let fetched = self.fetch(&mut failed).await;
        // While the old one works, a failure to replace it does no harm.
        fetched.or_else(|error| self.held(|held| held.gone).ok_or(error))
    }

    /// A token other than `refused`, which the API answered with 401. Everything
    /// that the sign-in needs is read anew.
    ///
    /// # Errors
    /// As of [`Self::token`]; also if no other token can be had than `refused`.
    pub async fn renew(&self, refused: &Bearer) -> Result<Bearer, AuthError> {
        self.forget(refused).await;
        let bearer = self.token().await?;
        if bearer == *refused {
            self.forget(refused).await;
            return Err(AuthError::refused());
        }
        Ok(bearer)
    }

    async fn forget(&self, refused: &Bearer) {
        // Nobody fetches meanwhile, so no newer token is lost.
        let _alone = self.failed.lock().await;
        let current = self.current.load();
        if current.as_ref().is_some_and(|held| held.bearer == *refused) {
            self.current.store(None);
        }
    }

    /// When the current token ends; `None` if there is none.
    #[must_use]
    pub fn expiry(&self) -> Option<Timestamp> {
        let current = self.current.load();
        let left = current.as_ref()?.end.since(self.clock.uptime());
        (!left.is_zero()).then(|| self.clock.wall() + left)
    }

    /// When the client certificate ends, as of the last sign-in; `None` if there is none.
    #[must_use]
    pub fn certificate_expiry(&self) -> Option<Timestamp> {
        self.issuer.certificate_end()
    }

    /// The current token, before that moment of its life.
    fn held(&self, until: impl FnOnce(&Held) -> Uptime) -> Option<Bearer> {
        let current = self.current.load();
        let held = current.as_ref()?;
        (self.clock.uptime() < until(held)).then(|| held.bearer.clone())
    }

    async fn fetch(&self, failed: &mut Option<Failed>) -> Result<Bearer, AuthError> {
        let last = failed.as_ref();
        if let Some(last) = last.filter(|last| self.clock.uptime() < last.again) {
            return Err(last.error.clone());
        }
        let issued = tokio::time::timeout(TIMEOUT, self.issuer.issue()).await;
        match issued.unwrap_or_else(|_| Err(AuthError::timeout(self.issuer.whom()))) {
            Ok(issued) => {
                *failed = None;
                Ok(self.hold(issued))
            }
            Err(error) => {
                let pause = last.map_or(FIRST_PAUSE, |last| (last.pause * 2).min(LONGEST_PAUSE));
                *failed = Some(Failed {
                    error: error.clone(),
                    pause,
                    again: self.clock.uptime() + pause,
                });
                Err(error)
            }
        }
    }

    fn hold(&self, issued: Issued) -> Bearer {
        let Issued { bearer, lifetime } = issued;
        let now = self.clock.uptime();
        let usable = lifetime.saturating_sub(UNUSABLE_BEFORE);
        let fresh = lifetime.saturating_sub(REFRESH_BEFORE).max(lifetime / 2);
        self.current.store(Some(Arc::new(Held {
            bearer: bearer.clone(),
            refresh: now + fresh.min(usable),
            gone: now + usable,
            end: now + lifetime,
        })));
        bearer
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("current", &self.current.load())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
