//! The routes:
//!
//! | path | answer |
//! | --- | --- |
//! | the telemetry path | the metrics |
//! | `/` | the status page, unless the metrics are there |
//! | `/definition` | the page of one definition |
//! | `/config` | the configuration in force, without secrets |
//! | `/-/assets/…` | what these pages are made of |
//! | `/-/healthy` | 200 while the process serves |
//! | `/-/ready` | 200, or 503 with the reasons |
//! | `/-/reload` | POST alone: 200, 500 with the reasons, or 403 if it is not enabled |
//!
//! Anything else is 404, another method than GET and HEAD is 405. Every answer is counted.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};
use exporter_toolkit::metrics::{GatherError, MetricsHandler, Wanted};
use futures::stream;

use super::reload::reload;
use super::renderer::Renderer;
use super::{WebState, page, ready};
use crate::exposition::catalog::Handler;
use crate::exposition::{Exposition, SelfMetrics};

/// The path of the configuration in force.
pub const CONFIG: &str = "/config";

/// What a scrape needs.
#[derive(Clone)]
struct Scraped {
    state: WebState,
    exposition: Exposition,
    renderer: Renderer,
}

/// All routes over `state`.
pub fn router(state: WebState) -> Router {
    let own = state.own.clone();
    let counted = |handler, route: MethodRouter<WebState>| {
        route.layer(from_fn_with_state((own.clone(), handler), count))
    };
    let metrics_path = state.telemetry_path.as_str().to_owned();
    let mut router = Router::new();
    if metrics_path != "/" {
        let pages = [
            ("/", get(page::status_page)),
            (page::DEFINITION, get(page::definition_page)),
            ("/-/assets/{name}", get(page::asset)),
        ];
        let shown = page::Pages::new(state.clone());
        for (path, route) in pages {
            let route = counted(Handler::Status, route.with_state(shown.clone()));
            router = router.route(path, route);
        }
    }
    let scraped = Scraped {
        exposition: Exposition::new(state.config.clone()),
        renderer: Renderer::default(),
        state: state.clone(),
    };
    let metrics = MetricsHandler::new(move |wanted| metrics(scraped.clone(), wanted))
        .max_requests(state.max_requests)
        .route();
    let config = state.config.clone();
    let config = get(move || async move {
        let headers = [
            (CONTENT_TYPE, "text/plain; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
        ];
        (headers, config.yaml())
    });
    let not_found = any(|| async { (StatusCode::NOT_FOUND, "not found\n") });
    router
        .route(&metrics_path, counted(Handler::Metrics, metrics))
        .route(
            "/-/healthy",
            counted(Handler::Healthy, get(|| async { "healthy\n" })),
        )
        .route(CONFIG, counted(Handler::Config, config))
        .route("/-/ready", counted(Handler::Ready, get(readiness)))
        .route("/-/reload", counted(Handler::Reload, post(reload)))
        .fallback_service(counted(Handler::Other, not_found).with_state(state.clone()))
        .with_state(state)
}

/// The metrics as they are wanted, in pieces.
async fn metrics(routes: Scraped, wanted: Wanted) -> Result<Body, GatherError> {
    let Scraped {
        state,
        exposition,
        renderer,
    } = routes;
    let Wanted { format, gzip, .. } = wanted;
    let own = state.own.clone();
    let tenants = state.snapshot.read();
    let again = exposition.scrape_again(&tenants, &state.clock, &state.own, format, gzip);
    let scrape = if let Some(again) = again {
        again
    } else {
        // Waiting for its turn, it holds no view that has become old.
        drop(tenants);
        let rendered = renderer.run(move || {
            let tenants = state.snapshot.read();
            exposition.scrape(&tenants, &state.clock, &state.own, format, gzip)
        });
        rendered.await.ok_or("a panic")??
    };
    let scrape = if wanted.names.is_empty() {
        scrape
    } else {
        scrape.only(&own, |name| wanted.has(name))
    };
    Ok(Body::from_stream(stream::iter(scrape)))
}

async fn readiness(State(state): State<WebState>) -> (StatusCode, String) {
    let reasons = ready::not_ready(&state.snapshot.read(), &state.expected.read());
    if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
    }
}

async fn count(
    State((own, handler)): State<(SelfMetrics, Handler)>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    own.http_request(handler, response.status().as_u16());
    response
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::body::to_bytes;
    use axum::http::header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
    use flate2::read::GzDecoder;
    use tower::ServiceExt;

    use super::super::tests::{state, tenant};
    use super::super::{Expected, ReloadRequests, TelemetryPath};
    use super::*;
    use crate::model::TenantName;

    async fn ask(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    }

    async fn text(response: Response) -> String {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn metrics_are_negotiated() {
        let router = router(state());
        let response = ask(&router, "GET", "/metrics", &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        let content_type = response.headers()[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
        assert_eq!(response.headers()[VARY], "Accept, Accept-Encoding");
        assert!(!text(response).await.contains("# EOF"));

        let headers = [
            ("accept", "application/openmetrics-text;version=1.0.0"),
            ("accept-encoding", "gzip"),
        ];
        let response = ask(&router, "GET", "/metrics", &headers).await;
        let content_type = response.headers()[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(content_type.starts_with("application/openmetrics-text"));
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let mut text = String::new();
        GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        assert!(text.ends_with("# EOF\n"));
        assert!(text.contains("http_requests_total{handler=\"metrics\",code=\"200\"} 1\n"));
    }

    #[tokio::test]
    async fn metrics_can_be_asked_for_by_name() {
        let router = router(state());
        let read = async |query: &str, headers: &[(&str, &str)]| {
            let path = format!("/metrics?{query}");
            let response = ask(&router, "GET", &path, headers).await;
            to_bytes(response.into_body(), usize::MAX).await.unwrap()
        };
        let families = |text: &str| -> Vec<String> {
            let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
            let names = types.filter_map(|line| line.split(' ').next());
            names.map(str::to_owned).collect()
        };
        let query = "name[]=defender_up&name%5B%5D=defender_exporter_http_requests_total";
        let names = ["defender_up", "defender_exporter_http_requests_total"];
        let plain = String::from_utf8(read(query, &[]).await.to_vec()).unwrap();
        assert_eq!(families(&plain), names);
        let zipped = read(query, &[("accept-encoding", "gzip")]).await;
        let mut text = String::new();
        GzDecoder::new(&zipped[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(families(&text), names);
        assert_eq!(read("name[]=nothing", &[]).await, "");
        let all = String::from_utf8(read("", &[]).await.to_vec()).unwrap();
        assert!(families(&all).len() > 20, "{all}");
    }

    #[tokio::test]
    async fn methods_and_unknown_paths() {
        let state = state();
        let router = router(state.clone());
        let asset = "/-/assets/status.css";
        for path in ["/", asset, "/config", "/metrics", "/-/healthy", "/-/ready"] {
            let response = ask(&router, "HEAD", path, &[]).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(text(response).await, "", "{path}");
            let response = ask(&router, "POST", path, &[]).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(response.headers()["allow"], "GET,HEAD", "{path}");
        }
        for path in ["/nowhere", "/metrics/", "/-/"] {
            for method in ["GET", "POST"] {
                let response = ask(&router, method, path, &[]).await;
                assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            }
        }
        let tenants = state.snapshot.read();
        let format = crate::exposition::Format::Classic;
        let metrics = crate::exposition::render(&tenants, &state.clock, &state.own, format);
        assert!(
            metrics.contains("{handler=\"other\",code=\"404\"} 6\n"),
            "{metrics}"
        );
        assert!(
            metrics.contains("{handler=\"ready\",code=\"405\"} 1\n"),
            "{metrics}"
        );
    }

    #[tokio::test]
    async fn readiness_names_who_is_missing() {
        let state = state();
        state
            .expected
            .set(["contoso", "fabrikam"].map(TenantName::new).to_vec());
        let router = router(state.clone());
        let response = ask(&router, "GET", "/-/ready", &[]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let reasons = text(response).await;
        assert_eq!(
            reasons,
            "tenant fabrikam: its first poll has not finished\n"
        );
        let mut view = tenant("fabrikam", &state.clock);
        view.health.up = Some(false);
        state.snapshot.publish(view);
        let response = ask(&router, "GET", "/-/ready", &[]).await;
        assert_eq!(text(response).await, "ready\n");
    }

    #[tokio::test]
    async fn reloading_takes_a_post_and_leave() {
        let mut state = state();
        for (method, code) in [("GET", 405), ("HEAD", 405), ("PUT", 405), ("POST", 403)] {
            let response = ask(&router(state.clone()), method, "/-/reload", &[]).await;
            assert_eq!(response.status().as_u16(), code, "{method}");
        }
        let (requests, mut waiting) = ReloadRequests::channel();
        state.reload = Some(requests);
        let router = router(state);
        for (outcome, code) in [(Ok(()), 200), (Err("line 3".to_owned()), 500)] {
            let asked = ask(&router, "POST", "/-/reload", &[]);
            let answer = async { waiting.recv().await.unwrap().send(outcome.clone()) };
            let (response, sent) = tokio::join!(asked, answer);
            sent.unwrap();
            assert_eq!(response.status().as_u16(), code);
            let reasons = outcome.err().unwrap_or_default();
            assert!(text(response).await.contains(&reasons));
        }
        drop(waiting);
        let response = ask(&router, "POST", "/-/reload", &[]).await;
        assert_eq!(response.status().as_u16(), 503);
    }

    #[tokio::test]
    async fn metrics_may_take_the_root() {
        let mut state = state();
        state.telemetry_path = "/".parse::<TelemetryPath>().unwrap();
        state.expected = Expected::default();
        state.max_requests = 0;
        let response = ask(&router(state), "GET", "/", &[]).await;
        assert!(text(response).await.contains("defender_up"));
    }

    #[tokio::test]
    async fn the_page_is_locked_down() {
        assert!(!page::POLICY.contains("unsafe") && !page::POLICY.contains('*'));
        let response = ask(&router(state()), "GET", "/", &[]).await;
        let headers = response.headers();
        assert_eq!(headers[CONTENT_SECURITY_POLICY], page::POLICY);
        assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
    }
}
