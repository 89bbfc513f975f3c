//! Who and how many come in, by the web configuration as it is now.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::handshake::Refusals;
use super::passwords::{Admission, Passwords};
use super::peer::Peer;
use super::watched::{GateError, Watched};
use crate::clock::{Clock, Uptime};
use crate::config::{RateLimit, WebConfig};
use crate::exposition::SelfMetrics;
use crate::exposition::catalog::Handler;

/// The gate that all connections and requests pass; clones are the same one.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    clock: Clock,
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

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.0.file.is_none();
        f.debug_struct("Gate").field("open", &open).finish()
    }
}

impl Gate {
    /// A gate that lets everyone in, over plain HTTP.
    #[must_use]
    pub fn open(clock: Clock) -> Self {
        Self::new(clock, None)
    }

    /// A gate as the file at `path` wants it. How reading it goes, and which clients are
    /// turned away, is counted in `own`.
    ///
    /// # Errors
    /// [`GateError`], if the file cannot be used or not be watched.
    pub fn load(path: &Path, clock: Clock, own: SelfMetrics) -> Result<Self, GateError> {
        let file = File {
            watched: Watched::load(path, clock.clone(), own.clone())?,
            refusals: Refusals::new(clock.clone(), own),
        };
        Ok(Self::new(clock, Some(file)))
    }

    fn new(clock: Clock, file: Option<File>) -> Self {
        Self(Arc::new(Inner {
            clock,
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
    pub(super) async fn config(&self) -> Arc<WebConfig> {
        match &self.0.file {
            Some(file) => file.watched.look().await,
            None => Arc::default(),
        }
    }

    /// Who was turned away; `None`, if everyone may come in.
    pub(super) fn refusals(&self) -> Option<&Refusals> {
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
    own: &SelfMetrics,
    status: StatusCode,
    (name, value): (HeaderName, &'static str),
    reason: &'static str,
) -> Response {
    own.http_request(Handler::Other, status.as_u16());
    let header = [(name, HeaderValue::from_static(value))];
    (status, header, reason).into_response()
}

/// Lets a request pass, or answers it; sets the configured headers. Whoever is
/// turned away is counted with the paths that do not exist.
pub(super) async fn pass(
    State((gate, own)): State<(Gate, SelfMetrics)>,
    request: Request,
    next: Next,
) -> Response {
    let config = gate.config().await;
    let mut response = if !gate.spend(config.rate_limit) {
        let reason = "too many requests, see rate_limit in the web configuration\n";
        turn_away(&own, StatusCode::TOO_MANY_REQUESTS, RETRY, reason)
    } else if config.users.is_empty() {
        next.run(request).await
    } else {
        let peer = request.extensions().get().copied();
        let client = peer.and_then(Peer::group);
        let passwords = &gate.0.passwords;
        match passwords
            .admit(&config.users, request.headers(), client)
            .await
        {
            Admission::Granted => next.run(request).await,
            Admission::Refused => {
                turn_away(&own, StatusCode::UNAUTHORIZED, CHALLENGE, "unauthorized\n")
            }
            Admission::Busy => {
                let reason = "too many passwords are being checked, try again\n";
                turn_away(&own, StatusCode::TOO_MANY_REQUESTS, RETRY, reason)
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
    use crate::web::tests::NOW;

    #[tokio::test(start_paused = true)]
    async fn the_bucket_earns_and_saves_no_more_than_the_burst() {
        let gate = Gate::open(Clock::anchored(NOW));
        let limit = Some(RateLimit {
            interval: Duration::from_secs(2),
            burst: 3,
        });
        let spent = |wanted: usize| (0..wanted).filter(|_| gate.spend(limit)).count();
        assert_eq!(spent(10), 3);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(spent(10), 1);
        tokio::time::advance(Duration::from_mins(10)).await;
        assert_eq!(spent(10), 3);
        assert!(gate.spend(None));
        assert_eq!(spent(10), 3);
    }
}
