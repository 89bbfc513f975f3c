//! Who and how many come in, by the web configuration as it is now.

mod lane;
mod passwords;
mod watched;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use exporter_clock::{Clock, Uptime};

pub use self::watched::AccessError;

use self::passwords::{Admission, Passwords};
use self::watched::Watched;
use crate::config::{RateLimit, WebConfig};
use crate::event::{Event, OnEvent};
use crate::server::{Peer, Refusals};

/// Decides about all connections and requests; clones are the same one.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    clock: Clock,
    on_event: OnEvent,
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
    pub fn open(clock: Clock) -> Self {
        Self::new(clock, Arc::new(|_| ()), None)
    }

    /// Lets in whom the web configuration file at `path` wants, as it is at any time. How
    /// reading it goes, and who is turned away, goes to `on_event`.
    ///
    /// # Errors
    /// [`AccessError`], if the file cannot be used or not be watched.
    pub fn watch(
        path: &Path,
        clock: Clock,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, AccessError> {
        let on_event: OnEvent = Arc::new(on_event);
        let file = File {
            watched: Watched::load(path, clock.clone(), Arc::clone(&on_event))?,
            refusals: Refusals::new(clock.clone(), Arc::clone(&on_event)),
        };
        Ok(Self::new(clock, on_event, Some(file)))
    }

    fn new(clock: Clock, on_event: OnEvent, file: Option<File>) -> Self {
        Self(Arc::new(Inner {
            clock,
            on_event,
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

    /// Takes a request out of the bucket, if one is left.
    fn spend(&self, limit: Option<RateLimit>) -> bool {
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limit) = limit else {
            *bucket = None;
            return true;
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
        let enough = bucket.saved >= 1.0;
        if enough {
            bucket.saved -= 1.0;
        }
        enough
    }
}

const RETRY: (HeaderName, &str) = (RETRY_AFTER, "1");
const CHALLENGE: (HeaderName, &str) = (
    WWW_AUTHENTICATE,
    r#"Basic realm="defender-scan-exporter", charset="UTF-8""#,
);

fn turn_away(
    access: &Access,
    status: StatusCode,
    (name, value): (HeaderName, &'static str),
    reason: &'static str,
) -> Response {
    (access.0.on_event)(Event::RequestRefused(status));
    let header = [(name, HeaderValue::from_static(value))];
    (status, header, reason).into_response()
}

/// Lets a request pass, or answers it; sets the configured headers.
pub(crate) async fn pass(State(access): State<Access>, request: Request, next: Next) -> Response {
    let config = access.config().await;
    let mut response = if !access.spend(config.rate_limit) {
        let reason = "too many requests, see rate_limit in the web configuration\n";
        turn_away(&access, StatusCode::TOO_MANY_REQUESTS, RETRY, reason)
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
                CHALLENGE,
                "unauthorized\n",
            ),
            Admission::Busy => {
                let reason = "too many passwords are being checked, try again\n";
                turn_away(&access, StatusCode::TOO_MANY_REQUESTS, RETRY, reason)
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
    use std::time::Duration;

    use super::*;
    use crate::NOW;

    #[tokio::test(start_paused = true)]
    async fn the_bucket_earns_and_saves_no_more_than_the_burst() {
        let access = Access::open(Clock::anchored(NOW));
        let limit = Some(RateLimit {
            interval: Duration::from_secs(2),
            burst: 3,
        });
        let spent = |wanted: usize| (0..wanted).filter(|_| access.spend(limit)).count();
        assert_eq!(spent(10), 3);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(spent(10), 1);
        tokio::time::advance(Duration::from_mins(10)).await;
        assert_eq!(spent(10), 3);
        assert!(access.spend(None));
        assert_eq!(spent(10), 3);
    }
}
