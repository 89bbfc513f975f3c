//! The endpoint with the metrics.

use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::in_flight::InFlight;
use super::negotiate::{self, negotiate};
use super::{Format, text};
use crate::server::{Peer, hold};

/// Why metrics could not be written. It is logged, and not shown to clients.
pub type GatherError = Box<dyn Error + Send + Sync>;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// The text format.
    pub format: Format,
    /// Whether the body is to be compressed with gzip.
    pub gzip: bool,
    /// The values of `name[]` in the query; empty: all families.
    pub names: Vec<String>,
}

impl Wanted {
    /// Whether a family is asked for, by the name that it has in the classic format.
    #[must_use]
    pub fn has(&self, family: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == family)
    }
}

type Gathered = Pin<Box<dyn Future<Output = Result<Body, GatherError>> + Send>>;
type Gather = dyn Fn(Wanted) -> Gathered + Send + Sync;

/// Serves metrics: negotiates format and coding, and bounds how many scrapes are under way.
#[derive(Clone)]
pub struct MetricsHandler {
    gather: Arc<Gather>,
    offered: &'static [Format],
    in_flight: InFlight,
    timeout: Option<Duration>,
}

impl fmt::Debug for MetricsHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsHandler").finish_non_exhaustive()
    }
}

impl MetricsHandler {
    /// Of whoever writes the body as it is wanted, compressed too.
    pub fn new<F, O>(gather: F) -> Self
    where
        F: Fn(Wanted) -> O + Send + Sync + 'static,
        O: Future<Output = Result<Body, GatherError>> + Send + 'static,
    {
        Self {
            gather: Arc::new(move |wanted| Box::pin(gather(wanted))),
            offered: &[Format::OpenMetrics, Format::Classic],
            in_flight: InFlight::new(0),
            timeout: None,
        }
    }

    /// Of a writer of `OpenMetrics` alone, such as that of `prometheus-client`; the classic
    /// format is made of it. It may take a while: it has a thread for blocking work.
    pub fn open_metrics<W>(write: W) -> Self
    where
        W: Fn(&mut String) -> fmt::Result + Send + Sync + 'static,
    {
        let write = Arc::new(write);
        Self::new(move |wanted| {
            let write = Arc::clone(&write);
            let work = move || {
                let mut text = String::new();
                write(&mut text)?;
                encoded(&text, &wanted)
            };
            async move { tokio::task::spawn_blocking(work).await? }
        })
    }

    /// Offers these formats alone; both by default.
    #[must_use]
    pub fn formats(mut self, offered: &'static [Format]) -> Self {
        self.offered = offered;
        self
    }

    /// Bounds how many scrapes are under way at once, of which one client address has half;
    /// 0, the default: no bound. Beyond it: 503.
    #[must_use]
    pub fn max_requests(mut self, max: usize) -> Self {
        self.in_flight = InFlight::new(max);
        self
    }

    /// Bounds how long metrics may take to be gathered; no bound by default. Beyond it: 503.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The route, which takes GET and HEAD.
    pub fn route<S: Clone + Send + Sync + 'static>(self) -> MethodRouter<S> {
        get(
            move |peer: Option<Extension<Peer>>, headers: HeaderMap, RawQuery(query): RawQuery| {
                self.answer(peer.map(|Extension(peer)| peer), headers, query)
            },
        )
    }

    async fn answer(
        self,
        peer: Option<Peer>,
        headers: HeaderMap,
        query: Option<String>,
    ) -> Response {
        let slot = match self.in_flight.take(peer.and_then(Peer::remote)) {
            Ok(slot) => slot,
            Err(reason) => return (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
        };
        let negotiated = negotiate(&headers, self.offered);
        let gzip = negotiate::gzip(&headers);
        let gathered = (self.gather)(Wanted {
            format: negotiated.format,
            gzip,
            names: names(query.as_deref().unwrap_or_default()),
        });
        let gathered = match self.timeout {
            Some(timeout) => tokio::time::timeout(timeout, gathered).await,
            None => Ok(gathered.await),
        };
        let body = match gathered {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => {
                tracing::error!(error, "the metrics could not be rendered");
                let reason = "the metrics could not be rendered, see the log\n";
                return (StatusCode::INTERNAL_SERVER_ERROR, reason).into_response();
            }
            Err(_) => {
                let reason = "rendering the metrics took too long\n";
                return (StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
            }
        };
        // The scrape is under way until its last piece was sent, or the client hung up.
        let mut response = hold(body.into_response(), slot);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, negotiated.content_type());
        headers.insert(VARY, HeaderValue::from_static(negotiate::VARY));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// The values of `name[]`, which browsers and libraries escape.
fn names(query: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let names = pairs.filter(|(key, _)| key == "name[]");
    names.map(|(_, name)| name.into_owned()).collect()
}

fn encoded(text: &str, wanted: &Wanted) -> Result<Body, GatherError> {
    let text = text::render(text, wanted.format, |family| wanted.has(family));
    if !wanted.gzip {
        return Ok(text.into());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::SocketAddr;

    use axum::Router;
    use axum::body::to_bytes;
    use axum::extract::Request;
    use flate2::read::GzDecoder;
    use tower::ServiceExt as _;

    use super::*;

    const TEXT: &str = "# TYPE room_readings counter\nroom_readings_total 3\n# TYPE room_up gauge\nroom_up 1\n# EOF\n";

    fn writing(text: &'static str) -> MetricsHandler {
        MetricsHandler::open_metrics(move |out| fmt::Write::write_str(out, text))
    }

    async fn ask(handler: &MetricsHandler, uri: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let router: Router = Router::new().route("/metrics", handler.clone().route());
        router.oneshot(request).await.unwrap()
    }

    async fn text(response: Response) -> String {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn format_and_coding_are_negotiated() {
        let handler = writing(TEXT);
        let classic = ask(&handler, "/metrics", &[]).await;
        assert_eq!(classic.headers()[VARY], "Accept, Accept-Encoding");
        assert!(
            classic.headers()[CONTENT_TYPE]
                .to_str()
                .unwrap()
                .starts_with("text/plain")
        );
        assert!(
            text(classic)
                .await
                .starts_with("# TYPE room_readings_total counter\n")
        );
        let headers = [
            ("accept", "application/openmetrics-text"),
            ("accept-encoding", "gzip"),
        ];
        let response = ask(&handler, "/metrics", &headers).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let mut read = String::new();
        GzDecoder::new(&bytes[..])
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, TEXT);
        let only = handler.formats(&[Format::Classic]);
        assert!(
            !text(ask(&only, "/metrics", &headers[..1]).await)
                .await
                .contains("EOF")
        );
    }

    #[tokio::test]
    async fn families_can_be_asked_for_by_name() {
        let handler = writing(TEXT);
        let one = ask(&handler, "/metrics?x=1&name%5B%5D=room_up", &[]).await;
        assert_eq!(text(one).await, "# TYPE room_up gauge\nroom_up 1\n");
        let both = "/metrics?name[]=room_up&name[]=room_readings_total";
        assert_eq!(
            text(ask(&handler, both, &[]).await).await.lines().count(),
            4
        );
        assert_eq!(text(ask(&handler, "/metrics?name[]=", &[]).await).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_or_takes_too_long_is_said_and_no_secret_is() {
        let failing = MetricsHandler::open_metrics(|_| Err(fmt::Error));
        let response = ask(&failing, "/metrics", &[]).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let failing = MetricsHandler::new(|_| async { Err("s3cr3t".into()) });
        assert!(
            !text(ask(&failing, "/metrics", &[]).await)
                .await
                .contains("s3cr3t")
        );
        let panicking = MetricsHandler::open_metrics(|_| panic!("as wanted"));
        let response = ask(&panicking, "/metrics", &[]).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let hanging = MetricsHandler::new(|_| std::future::pending());
        let response = ask(&hanging.timeout(Duration::from_secs(10)), "/metrics", &[]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn too_many_scrapes_are_refused() {
        let router: Router = Router::new().route("/metrics", writing(TEXT).max_requests(3).route());
        let scrape = async |address: &str| {
            let mut request = Request::get("/metrics");
            let peer = Peer::from(address.parse::<SocketAddr>().unwrap());
            request.extensions_mut().unwrap().insert(peer);
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let is_good = response.status() == StatusCode::OK;
            assert!(is_good || response.status() == StatusCode::SERVICE_UNAVAILABLE);
            is_good.then_some(response)
        };
        let first = scrape("[2001:db8::1]:1").await;
        let second = scrape("[2001:db8::2]:1").await;
        assert!(first.is_some() && second.is_some());
        assert!(scrape("[2001:db8::3]:1").await.is_none(), "one network");
        let third = scrape("192.0.2.1:1").await;
        assert!(third.is_some() && scrape("127.0.0.1:1").await.is_none());
        // Until they were sent or given up.
        drop([first, second]);
        let local = [scrape("127.0.0.1:1").await, scrape("127.0.0.1:2").await];
        assert!(local.iter().all(Option::is_some));
        text(third.unwrap()).await;
        assert!(scrape("127.0.0.1:3").await.is_some(), "they may be many");
    }
}
