//! Who and how many come in: the web configuration file as it is now.
//!
//! The file, and those that it names, are looked at for each connection and
//! each request, and read again when one has changed. A change that can not be
//! used is logged, and what was in force stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::passwords::Passwords;
use crate::clock::{Clock, Uptime};
use crate::config::{Mark, Mistakes, RateLimit, WebConfig};
use crate::exposition::OwnMetrics;
use crate::exposition::catalog::Handler;

/// The gate that all connections and requests pass; clones are the same one.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    /// `None`: everyone may come in.
    path: Option<PathBuf>,
    clock: Clock,
    current: ArcSwap<Current>,
    /// Held while files are read, so that they are read once.
    reading: Mutex<()>,
    passwords: Passwords,
    bucket: Mutex<Option<Bucket>>,
}

/// What is in force, and the files as they were when they were last read.
struct Current {
    config: Arc<WebConfig>,
    files: Vec<(PathBuf, Option<Mark>)>,
}

impl Current {
    fn is_fresh(&self) -> bool {
        self.files
            .iter()
            .all(|(path, mark)| Mark::of(path) == *mark)
    }
}

/// The requests that are saved up, and when that was worked out.
struct Bucket {
    limit: RateLimit,
    saved: f64,
    at: Uptime,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gate").field(&self.0.path).finish()
    }
}

impl Gate {
    /// A gate that lets everyone in, over plain HTTP.
    #[must_use]
    pub fn open(clock: Clock) -> Self {
        Self::new(None, clock, Arc::default(), Vec::new())
    }

    /// A gate as the file at `path` wants it.
    ///
    /// # Errors
    /// All [`Mistakes`] in it.
    pub fn load(path: &Path, clock: Clock) -> Result<Self, Mistakes> {
        let reading = WebConfig::load(path);
        let (config, warnings) = reading.result?;
        for warning in warnings {
            tracing::warn!(%warning, "web configuration");
        }
        let path = Some(path.to_owned());
        Ok(Self::new(path, clock, Arc::new(config), reading.files))
    }

    fn new(
        path: Option<PathBuf>,
        clock: Clock,
        config: Arc<WebConfig>,
        files: Vec<(PathBuf, Option<Mark>)>,
    ) -> Self {
        Self(Arc::new(Inner {
            path,
            clock,
            current: ArcSwap::from_pointee(Current { config, files }),
            reading: Mutex::default(),
            passwords: Passwords::new(),
            bucket: Mutex::default(),
        }))
    }

    /// Whether connections are encrypted, as far as is known.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.current.load().config.tls.is_some()
    }

    /// What is in force now. Files are read off the runtime's threads.
    pub(super) async fn config(&self) -> Arc<WebConfig> {
        let Some(path) = self.0.path.clone() else {
            return Arc::clone(&self.0.current.load().config);
        };
        let this = self.clone();
        let refresh = tokio::task::spawn_blocking(move || this.refresh(&path));
        match refresh.await {
            Ok(config) => config,
            // The process is stopping.
            Err(_) => Arc::clone(&self.0.current.load().config),
        }
    }

    fn refresh(&self, path: &Path) -> Arc<WebConfig> {
        let current = self.0.current.load();
        if current.is_fresh() {
            return Arc::clone(&current.config);
        }
        // It guards no data, so that whoever held it can have broken none.
        let _reading = self
            .0
            .reading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let current = self.0.current.load();
        if current.is_fresh() {
            return Arc::clone(&current.config);
        }
        let reading = WebConfig::load(path);
        let config = match reading.result {
            Ok((config, warnings)) => {
                for warning in warnings {
                    tracing::warn!(%warning, "web configuration");
                }
                tracing::info!(
                    "the web configuration or a file that it names has changed and is in force"
                );
                Arc::new(config)
            }
            Err(mistakes) => {
                tracing::error!(
                    %mistakes,
                    "the web configuration or a file that it names has changed and can not be used; the former stays in force"
                );
                Arc::clone(&current.config)
            }
        };
        self.0.current.store(Arc::new(Current {
            config: Arc::clone(&config),
            files: reading.files,
        }));
        config
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

/// Lets a request pass, or answers it; sets the configured headers. Whoever is
/// turned away is counted with the paths that do not exist.
pub(super) async fn pass(
    State((gate, own)): State<(Gate, OwnMetrics)>,
    request: Request,
    next: Next,
) -> Response {
    let config = gate.config().await;
    let mut response = if !gate.spend(config.rate_limit) {
        own.http_request(Handler::Other, StatusCode::TOO_MANY_REQUESTS.as_u16());
        let retry = [(RETRY_AFTER, HeaderValue::from_static("1"))];
        let reason = "too many requests, see rate_limit in the web configuration\n";
        (StatusCode::TOO_MANY_REQUESTS, retry, reason).into_response()
    } else if !config.users.is_empty()
        && !gate
            .0
            .passwords
            .admit(&config.users, request.headers())
            .await
    {
        own.http_request(Handler::Other, StatusCode::UNAUTHORIZED.as_u16());
        let challenge = r#"Basic realm="defender-scan-exporter", charset="UTF-8""#;
        let challenge = [(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))];
        (StatusCode::UNAUTHORIZED, challenge, "unauthorized\n").into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in &config.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use std::fs;
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

    #[tokio::test]
    async fn a_change_is_in_force_at_once_and_a_bad_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let write = |text: &str| fs::write(&path, text).unwrap();
        write("{}");
        let gate = Gate::load(&path, Clock::system()).unwrap();
        assert!(gate.config().await.rate_limit.is_none());
        write("rate_limit: {interval: 1s, burst: 5}");
        assert_eq!(gate.config().await.rate_limit.unwrap().burst, 5);
        write("rate_limit: {interval: 1s, burst: x}");
        assert_eq!(gate.config().await.rate_limit.unwrap().burst, 5);
        fs::remove_file(&path).unwrap();
        assert_eq!(gate.config().await.rate_limit.unwrap().burst, 5);
        write("rate_limit: {interval: 1s, burst: 6}");
        assert_eq!(gate.config().await.rate_limit.unwrap().burst, 6);
    }
}
