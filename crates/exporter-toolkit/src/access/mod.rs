//! Who and how many come in, by the web configuration as it is now.

mod lane;
mod passwords;
mod watched;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use exporter_clock::{Clock, Uptime};

pub use self::watched::AccessError;

use self::passwords::{Admission, Passwords};
use self::watched::Watched;
use crate::config::{RateLimit, WebConfig};
use crate::event::{Event, Events};
use crate::server::{Peer, Refusals};

/// Decides about all connections and requests; clones are the same one.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    clock: Clock,
    events: Events,
    /// `None`: everyone may come in.
    file: Option<File>,
    passwords: Passwords,
    bucket: Mutex<Option<Bucket>>,
}

struct File {
    watched: Watched,
    refusals: Refusals,
}

/// The requests that are saved up, and when that was worked out.
struct Bucket {
    limit: RateLimit,
    saved: f64,
    at: Uptime,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.0.file.is_none();
        f.debug_struct("Access").field("open", &open).finish()
    }
}

impl Access {
    /// Lets everyone in, over plain HTTP.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Clock::system(), Events::default(), None)
    }

    /// Lets in whom the web configuration file at `path` wants, as it is at any time.
    ///
    /// # Errors
    /// [`AccessError`], if the file cannot be used or not be watched.
    pub fn watch(path: &Path) -> Result<Self, AccessError> {
        let clock = Clock::system();
        let events = Events::default();
        let file = File {
            watched: Watched::load(path, clock.clone(), events.clone())?,
            refusals: Refusals::new(clock.clone(), events.clone()),
        };
        Ok(Self::new(clock, events, Some(file)))
    }

    /// The same, which tells `listener` how reading the file goes and who is turned away, on
    /// any thread: it must not wait. There is one listener at most, and it stays.
    #[must_use]
    pub fn on_event(self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.0.events.set(listener);
        self
    }

    /// The router behind passwords, rate limit and headers, for a server of one's own.
    /// [`Server`](crate::Server) does so already.
    ///
    /// Without the extension [`Peer`] in requests, all clients share their turns.
    pub fn protect<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        router.layer(from_fn_with_state(self.clone(), pass))
    }

    fn new(clock: Clock, events: Events, file: Option<File>) -> Self {
        Self(Arc::new(Inner {
            clock,
            events,
            file,
            passwords: Passwords::new(),
            bucket: Mutex::default(),
        }))
    }

    /// Whether connections are encrypted, as far as is known.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        let file = self.0.file.as_ref();
        file.is_some_and(|file| file.watched.current().tls.is_some())
    }

    /// What is in force now.
    pub(crate) async fn config(&self) -> Arc<WebConfig> {
        match &self.0.file {
            Some(file) => file.watched.look().await,
            None => Arc::default(),
        }
    }

    /// Who was turned away; `None`, if everyone may come in.
    pub(crate) fn refusals(&self) -> Option<&Refusals> {
        self.0.file.as_ref().map(|file| &file.refusals)
    }

    /// Takes a request out of the bucket.
    ///
    /// # Errors
    /// How long it takes until one is left, if none is.
    fn spend(&self, limit: Option<RateLimit>) -> Result<(), Duration> {
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limit) = limit else {
            *bucket = None;
            return Ok(());
        };
        let now = self.0.clock.uptime();
        let full = Bucket {
            limit,
            saved: f64::from(limit.burst),
            at: now,
        };
        let bucket = bucket.get_or_insert_with(|| full);
        if bucket.limit != limit {
            bucket.limit = limit;
        }
        let earned = now.since(bucket.at).as_secs_f64() / limit.interval.as_secs_f64();
        bucket.saved = (bucket.saved + earned).min(f64::from(limit.burst));
        bucket.at = now;
        if bucket.saved < 1.0 {
            return Err(limit.interval.mul_f64(1.0 - bucket.saved));
        }
        bucket.saved -= 1.0;
        Ok(())
    }
}

const CHALLENGE: &str = r#"Basic realm="exporter", charset="UTF-8""#;

fn turn_away(
    access: &Access,
    status: StatusCode,
    (name, value): (HeaderName, HeaderValue),
    reason: &'static str,
) -> Response {
    access.0.events.emit(Event::RequestRefused(status));
    (status, [(name, value)], reason).into_response()
}

/// Says when to try again, in whole seconds.
fn retry(wait: Duration) -> (HeaderName, HeaderValue) {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    (RETRY_AFTER, seconds.max(1).into())
}

/// Lets a request pass, or answers it; sets the configured headers.
async fn pass(State(access): State<Access>, request: Request, next: Next) -> Response {
    let config = access.config().await;
    let mut response = if let Err(wait) = access.spend(config.rate_limit) {
        let reason = "too many requests, see rate_limit in the web configuration\n";
        turn_away(&access, StatusCode::TOO_MANY_REQUESTS, retry(wait), reason)
    } else if config.users.is_empty() {
        next.run(request).await
    } else {
        let peer = request.extensions().get().copied();
        let client = peer.and_then(Peer::group);
        let passwords = &access.0.passwords;
        match passwords
            .admit(&config.users, request.headers(), client)
            .await
        {
            Admission::Granted => next.run(request).await,
            Admission::Refused => turn_away(
                &access,
                StatusCode::UNAUTHORIZED,
                (WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE)),
                "unauthorized\n",
            ),
            Admission::Busy => {
                let reason = "too many passwords are being checked, try again\n";
                let soon = retry(Duration::from_secs(1));
                turn_away(&access, StatusCode::TOO_MANY_REQUESTS, soon, reason)
            }
        }
    };
    for (name, value) in &config.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NOW;

    #[tokio::test(start_paused = true)]
    async fn the_bucket_earns_and_saves_no_more_than_the_burst() {
        let access = Access::new(Clock::anchored(NOW), Events::default(), None);
        let limit = Some(RateLimit {
            interval: Duration::from_secs(2),
            burst: 3,
        });
        let spent = |wanted: usize| (0..wanted).filter(|_| access.spend(limit).is_ok()).count();
        assert_eq!(spent(10), 3);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(spent(10), 1);
        tokio::time::advance(Duration::from_mins(10)).await;
        assert_eq!(spent(10), 3);
        assert!(access.spend(None).is_ok());
        assert_eq!(spent(10), 3);
    }
    #[tokio::test(start_paused = true)]
    async fn who_has_spent_all_is_told_when_there_is_more() {
        let access = Access::new(Clock::anchored(NOW), Events::default(), None);
        let limit = Some(RateLimit {
            interval: Duration::from_secs(30),
            burst: 1,
        });
        assert_eq!(access.spend(limit), Ok(()));
        assert_eq!(access.spend(limit), Err(Duration::from_secs(30)));
        tokio::time::advance(Duration::from_secs(10)).await;
        let wait = access.spend(limit).unwrap_err();
        assert_eq!(retry(wait).1, "20");
        tokio::time::advance(wait).await;
        assert_eq!(access.spend(limit), Ok(()));
        for (millis, header) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            assert_eq!(retry(Duration::from_millis(millis)).1, header);
        }
    }
}
