//! The status page and the page of a definition.
//!
//! ```text
//! query ─► status ─► list
//!                └─► detail ─► timeline
//! ```
//!
//! Templates are compiled and escape all they are given; links are relative, so
//! that they also work behind a proxy that adds a prefix. Nothing comes from
//! elsewhere, and everything works without the script.

mod assets;
mod detail;
mod list;
mod query;
mod status;
mod text;
mod timeline;

use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

pub(super) use assets::asset;
use query::Query;
use status::Status;

use super::WebState;
use crate::clock::Timestamp;

/// Where the page of a definition is.
pub(super) const DEFINITION: &str = "/definition";

/// Own files alone, and nothing that stands within the page.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// The status page. Off the runtime's threads: ten thousand definitions are
/// looked through and sorted.
pub(super) async fn status_page(
    State(state): State<WebState>,
    RawQuery(query): RawQuery,
) -> Response {
    let rendering = tokio::task::spawn_blocking(move || {
        let query = Query::read(query.as_deref().unwrap_or_default());
        let tenants = state.snapshot.read();
        let status = Status::new(&tenants, &query, state.clock.wall());
        let body = list::body(&status, &query);
        document("Status", &state, status.now, &body)
    });
    answer(StatusCode::OK, rendering.await)
}

/// The page of one definition.
pub(super) async fn definition_page(
    State(state): State<WebState>,
    RawQuery(query): RawQuery,
) -> Response {
    let tenants = state.snapshot.read();
    let now = state.clock.wall();
    let wanted = query::read_definition(query.as_deref().unwrap_or_default());
    let found = wanted.as_ref().and_then(|(tenant, id)| {
        let view = tenants.values().find(|view| view.name.as_str() == tenant)?;
        Some((view, status::find(view, id, now)?))
    });
    let Some((tenant, row)) = found else {
        let page = document("Not found", &state, now, &detail::unknown());
        return answer(StatusCode::NOT_FOUND, Ok(page));
    };
    let body = detail::body(tenant, &row, now);
    let title = text::clean(&row.view.definition.scan_name, 80);
    answer(StatusCode::OK, Ok(document(&title, &state, now, &body)))
}

fn answer(status: StatusCode, page: Result<Markup, tokio::task::JoinError>) -> Response {
    let page = match page {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(%error, "the status page could not be rendered");
            let reason = "the status page could not be rendered, see the log\n";
            return (StatusCode::INTERNAL_SERVER_ERROR, reason).into_response();
        }
    };
    let policy = [(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    (status, policy, Html(page.into_string())).into_response()
}

/// What both pages have around them.
fn document(title: &str, state: &WebState, now: Timestamp, body: &Markup) -> Markup {
    let metrics = state.telemetry_path.as_str().trim_start_matches('/');
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – Defender scan exporter" }
                link rel="icon" type="image/svg+xml" href=(assets::ICON.link());
                link rel="stylesheet" href=(assets::STYLE.link());
                script src=(assets::SCRIPT.link()) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="./" { "Defender scan exporter" }
                    nav aria-label="Endpoints" {
                        a href=(format!("./{metrics}")) { "Metrics" }
                        a href="./-/healthy" { "Health" }
                        a href="./-/ready" { "Readiness" }
                    }
                }
                main #main tabindex="-1" { (body) }
                footer {
                    "Version " (env!("CARGO_PKG_VERSION"))
                    " (" (env!("DEFENDER_EXPORTER_REVISION")) "), as of "
                    span #as-of { (text::moment(now)) } ". "
                    "What is shown was fetched in the background; looking at it costs no call."
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
