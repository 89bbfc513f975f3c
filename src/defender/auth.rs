//! A tenant's token: got in time, kept while it works, renewed when refused. [`TokenSource`] alone
//! knows which token is in use, when the next sign-in may be tried, and what the API refused.
//!
//! ```text
//! token ─► fresh? ───────────────────────────► it
//!             └► a failure still waited out? ─► the old one, or that error
//!                  └► issuer ─► the new one
//! ```
//!
//! `azure_identity` alone would fail while the token still works, keep no short
//! token, and not forget a token that the API refused. Ends are counted on the clock
//! that never jumps.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use ::http::HeaderValue;
use futures::FutureExt as _;

pub use super::auth_error::AuthError;
use super::http::HttpClient;
use super::issuer::{Issued, Issuer, issuer};
use crate::backoff::Backoff;
use crate::clock::{Clock, Timestamp, Uptime};
use crate::config::Tenant;
use crate::model::health::AuthReason;
use exporter_toolkit::small_file;

/// A new token is fetched so long before the end of the old one, or after half
/// of its life if that is later.
const REFRESH_BEFORE: Duration = Duration::from_mins(6);

/// So long before its end a token counts as gone.
const UNUSABLE_BEFORE: Duration = Duration::from_secs(30);

/// The longest time for one sign-in.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The shortest wait after a failed sign-in; the longest is that of every [`Backoff`].
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How often the files of a credential that does not work are looked at.
const LOOK: Duration = Duration::from_secs(2);

const SCHEME: &str = "Bearer ";

/// A bearer token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(HeaderValue);

impl Bearer {
    /// Checks that the token can be sent.
    ///
    /// # Errors
    /// [`AuthError`], if it is empty or has letters that a header cannot have.
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
    current: Option<CurrentToken>,
    /// The token that the API refused: the next sign-in must bring another.
    refused: Option<Bearer>,
    /// Why the last sign-in failed, and until when no other is tried.
    failed: Option<(AuthError, Uptime)>,
    backoff: Backoff,
    /// A hash of what the credential's files held at the last sign-in; `None` if it has no files.
    files: Option<u64>,
    /// The end of the client certificate that was read last.
    certificate_end: Option<Timestamp>,
}

/// The token in use.
#[derive(Clone, Debug)]
struct CurrentToken {
    bearer: Bearer,
    /// From when on a new one is wanted.
    refresh: Uptime,
    /// From when on it counts as gone.
    gone: Uptime,
    end: Uptime,
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
            current: None,
            refused: None,
            failed: None,
            backoff: Backoff::starting_at(FIRST_WAIT, fastrand::u64(..)),
            files: None,
            certificate_end: None,
        }
    }

    /// The same, with the token of `former`, which must sign in as this one does. A failure of
    /// `former` is not waited out.
    #[must_use]
    pub fn succeeding(self, former: &Self) -> Self {
        Self {
            current: former.current.clone(),
            refused: former.refused.clone(),
            certificate_end: former.certificate_end,
            ..self
        }
    }

    /// Waits until the credential's files differ from what the last sign-in found; the next one
    /// may then be tried at once. Waits for ever if there are no files.
    pub async fn credential_changed(&mut self) {
        loop {
            self.clock.sleep_until(self.clock.uptime() + LOOK).await;
            if self.files.is_some() && self.hash_files().await != self.files {
                self.failed = None;
                return;
            }
        }
    }

    /// A hash of what is in the credential's files, or of why they cannot be read.
    async fn hash_files(&self) -> Option<u64> {
        let paths = self.issuer.files();
        let mut hasher = DefaultHasher::new();
        for path in &paths {
            let content = small_file::read(path, small_file::CERTIFICATES).await;
            let content = content.map(|content| content.bytes);
            content.map_err(|error| error.kind()).hash(&mut hasher);
        }
        (!paths.is_empty()).then(|| hasher.finish())
    }

    /// A token that works for 30 s at least, as far as its issuer said.
    ///
    /// # Errors
    /// [`AuthError`], if there is none left and no new one can be had. Until
    /// [`Self::retry_at`] the same error is returned without a new attempt.
    pub async fn token(&mut self) -> Result<Bearer, AuthError> {
        if let Some(bearer) = self.held(|held| held.refresh) {
            return Ok(bearer);
        }
        let fetched = self.fetch().await;
        // While the old one works, a failure to replace it does no harm.
        fetched.or_else(|error| self.held(|held| held.gone).ok_or(error))
    }

    /// When the next sign-in may be tried; `None` if the last one did not fail.
    #[must_use]
    pub fn retry_at(&self) -> Option<Uptime> {
        self.failed.as_ref().map(|(_, until)| *until)
    }

    /// The API answered `bearer` with 401: the next token is another, and everything that the
    /// sign-in needs is read anew. Where no other can be had, that is an error once.
    pub fn refuse(&mut self, bearer: Bearer) {
        self.current.take_if(|held| held.bearer == bearer);
        self.refused = Some(bearer);
    }

    /// Asks for a newer token than `bearer` next: what a token allows was settled when it was
    /// made. As long as there is no newer one, the old one serves.
    pub fn outdate(&mut self, bearer: &Bearer) {
        let now = self.clock.uptime();
        if let Some(held) = self.current.as_mut().filter(|held| held.bearer == *bearer) {
            held.refresh = now;
        }
    }

    /// When the current token ends; `None` if there is none.
    #[must_use]
    pub fn expiry(&self) -> Option<Timestamp> {
        let left = self.current.as_ref()?.end.since(self.clock.uptime());
        (!left.is_zero()).then(|| self.clock.wall() + left)
    }

    /// When the client certificate ends, as of the last sign-in; `None` if there is none.
    #[must_use]
    pub fn certificate_expiry(&self) -> Option<Timestamp> {
        self.certificate_end
    }

    /// The current token, before that moment of its life.
    fn held(&self, until: impl FnOnce(&CurrentToken) -> Uptime) -> Option<Bearer> {
        let held = self.current.as_ref()?;
        (self.clock.uptime() < until(held)).then(|| held.bearer.clone())
    }

    async fn fetch(&mut self) -> Result<Bearer, AuthError> {
        if let Some((error, until)) = &self.failed
            && self.clock.uptime() < *until
        {
            return Err(error.clone());
        }
        // Before the time for one sign-in begins.
        self.issuer.turn().await;
        self.files = self.hash_files().await;
        // What panics in a library costs this sign-in, and not the process.
        let issuing = AssertUnwindSafe(self.issuer.issue()).catch_unwind();
        let issued = match tokio::time::timeout(TIMEOUT, issuing).await {
            Ok(Ok(issued)) => issued,
            Ok(Err(_)) => Err(AuthError::panicked(self.issuer.whom())),
            Err(_) => Err(AuthError::timeout(self.issuer.whom())),
        };
        self.certificate_end = self.issuer.certificate_end().or(self.certificate_end);
        let refused = self.refused.take();
        let issued = issued.and_then(|issued| match refused {
            Some(refused) if refused == issued.bearer => Err(AuthError::refused()),
            _ => Ok(issued),
        });
        match issued {
            Ok(issued) => {
                self.failed = None;
                self.backoff.reset();
                Ok(self.hold(issued))
            }
            Err(error) => {
                let wait = self
                    .backoff
                    .next_wait()
                    .max(error.retry_after.unwrap_or_default());
                self.failed = Some((error.clone(), self.clock.uptime() + wait));
                Err(error)
            }
        }
    }

    fn hold(&mut self, issued: Issued) -> Bearer {
        let Issued { bearer, lifetime } = issued;
        let now = self.clock.uptime();
        let usable = lifetime.saturating_sub(UNUSABLE_BEFORE);
        let fresh = lifetime.saturating_sub(REFRESH_BEFORE).max(lifetime / 2);
        self.current = Some(CurrentToken {
            bearer: bearer.clone(),
            refresh: now + fresh.min(usable),
            gone: now + usable,
            end: now + lifetime,
        });
        bearer
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
