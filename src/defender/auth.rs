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
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use arc_swap::ArcSwapOption;
use futures::FutureExt as _;
use tokio::sync::Mutex;

pub use super::auth_error::AuthError;
use super::http::HttpClient;
use super::issuer::{Issued, Issuer, issuer};
use crate::clock::{Clock, Timestamp, Uptime};
use crate::config::Tenant;
use crate::config::small_file;
use crate::model::health::AuthReason;

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
    state: Arc<State>,
}

/// What outlives a change of the tenant's other settings.
#[derive(Default)]
struct State {
    current: ArcSwapOption<Held>,
    /// Held while a token is fetched, so that one task fetches and the others wait.
    last: Mutex<Last>,
}

/// The last sign-in.
#[derive(Default)]
struct Last {
    failed: Option<Failed>,
    /// A hash of what the credential's files held; `None` if it has no files.
    files: Option<u64>,
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

/// Why the last sign-in failed.
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
            state: Arc::default(),
        }
    }

    /// The same, going on with the token of `former`, which must sign in as this one does.
    #[must_use]
    pub fn succeeding(self, former: &Self) -> Self {
        let state = Arc::clone(&former.state);
        Self { state, ..self }
    }

    /// Ends the pause after a failed sign-in: what it needs may have changed.
    pub async fn end_pause(&self) {
        self.state.last.lock().await.failed = None;
    }

    /// Waits until the credential's files differ from what the last sign-in found, and ends
    /// the pause after its failure. Waits for ever if there are no files.
    pub async fn credential_changed(&self) {
        loop {
            self.clock.sleep_until(self.clock.uptime() + LOOK).await;
            let mut last = self.state.last.lock().await;
            if last.files.is_some() && self.files().await != last.files {
                last.failed = None;
                return;
            }
        }
    }

    /// A hash of what is in the credential's files, or of why they cannot be read.
    async fn files(&self) -> Option<u64> {
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
    /// [`AuthError`], if there is none left and no new one can be had. For some
    /// seconds after a failure the same error is returned without a new attempt.
    pub async fn token(&self) -> Result<Bearer, AuthError> {
        if let Some(bearer) = self.held(|held| held.refresh) {
            return Ok(bearer);
        }
        let mut last = self.state.last.lock().await;
        // Another task may have fetched one meanwhile.
        if let Some(bearer) = self.held(|held| held.refresh) {
            return Ok(bearer);
        }
        let fetched = self.fetch(&mut last).await;
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

    /// Asks for a newer token than `bearer` next: what a token allows was settled when it was
    /// made. As long as there is no newer one, the old one serves.
    pub async fn outdate(&self, bearer: &Bearer) {
        let _alone = self.state.last.lock().await;
        let current = self.state.current.load_full();
        if let Some(held) = current.filter(|held| held.bearer == *bearer) {
            self.state.current.store(Some(Arc::new(Held {
                bearer: bearer.clone(),
                refresh: self.clock.uptime(),
                ..*held
            })));
        }
    }

    async fn forget(&self, refused: &Bearer) {
        // Nobody fetches meanwhile, so no newer token is lost.
        let _alone = self.state.last.lock().await;
        let current = self.state.current.load();
        if current.as_ref().is_some_and(|held| held.bearer == *refused) {
            self.state.current.store(None);
        }
    }

    /// When the current token ends; `None` if there is none.
    #[must_use]
    pub fn expiry(&self) -> Option<Timestamp> {
        let current = self.state.current.load();
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
        let current = self.state.current.load();
        let held = current.as_ref()?;
        (self.clock.uptime() < until(held)).then(|| held.bearer.clone())
    }

    async fn fetch(&self, last: &mut Last) -> Result<Bearer, AuthError> {
        if let Some(failed) = last.failed.as_ref()
            && self.clock.uptime() < failed.again
        {
            return Err(failed.error.clone());
        }
        last.files = self.files().await;
        // What panics in a library costs this sign-in, and not the process.
        let issuing = AssertUnwindSafe(self.issuer.issue()).catch_unwind();
        let issued = match tokio::time::timeout(TIMEOUT, issuing).await {
            Ok(Ok(issued)) => issued,
            Ok(Err(_)) => Err(AuthError::panicked(self.issuer.whom())),
            Err(_) => Err(AuthError::timeout(self.issuer.whom())),
        };
        match issued {
            Ok(issued) => {
                last.failed = None;
                Ok(self.hold(issued))
            }
            Err(error) => {
                let longer = |failed: &Failed| (failed.pause * 2).min(LONGEST_PAUSE);
                let pause = last.failed.as_ref().map_or(FIRST_PAUSE, longer);
                last.failed = Some(Failed {
                    error: error.clone(),
                    pause,
                    again: self.clock.uptime() + pause.max(error.retry_after.unwrap_or_default()),
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
        self.state.current.store(Some(Arc::new(Held {
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
            .field("current", &self.state.current.load())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
