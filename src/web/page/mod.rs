//! The status page and the page of a definition.
//!
//! ```text
//! shared ─► query ─► status ─► list
//!                          └─► detail ─► timeline
//! ```
//!
//! Templates are compiled and escape all they are given; links are relative, so
//! that they also work behind a proxy that adds a prefix. Nothing comes from
//! elsewhere, and everything works without the script.

mod assets;
mod detail;
mod list;
mod query;
mod shared;
mod status;
mod text;
mod timeline;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{DOCTYPE, Markup, html};

pub(super) use assets::asset;
use query::Query;
pub(super) use shared::Pages;
use status::Status;

use super::WebState;
use crate::clock::Timestamp;

/// Where the page of a definition is.
pub const DEFINITION: &str = "/definition";

/// Own files alone, and nothing that stands within the page.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// The status page.
pub(super) async fn status_page(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let key = format!("/?{query}");
    let render = move |state: &WebState| {
        let query = Query::read(&query);
        let tenants = state.snapshot.read();
        let status = Status::new(&tenants, &query, state.clock.wall());
        let body = list::body(&status, &query);
        let page = document("Status", state, status.now, &body);
        (StatusCode::OK, page)
    };
    pages.answer(key, render).await
}

/// The page of one definition.
pub(super) async fn definition_page(
    State(pages): State<Pages>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let key = format!("{DEFINITION}?{query}");
    let render = move |state: &WebState| definition(&query, state);
    pages.answer(key, render).await
}

fn definition(query: &str, state: &WebState) -> (StatusCode, Markup) {
    let tenants = state.snapshot.read();
    let now = state.clock.wall();
    let wanted = query::read_definition(query);
    let found = wanted.as_ref().and_then(|(tenant, id)| {
        let view = tenants.values().find(|view| view.name.as_str() == tenant)?;
        Some((view, status::find(view, id, now)?))
    });
    let Some((tenant, row)) = found else {
        let page = document("Not found", state, now, &detail::unknown());
        return (StatusCode::NOT_FOUND, page);
    };
    let body = detail::body(tenant, &row, now);
    let title = text::clean(&row.view.definition.scan_name, 80);
    (StatusCode::OK, document(&title, state, now, &body))
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
                        a href="./config" { "Configuration" }
                        a href="./-/healthy" { "Health" }
                        a href="./-/ready" { "Readiness" }
                    }
                }
                main #main tabindex="-1" { (body) }
                footer {
                    "Version " (env!("CARGO_PKG_VERSION"))
                    " (" (env!("DEFENDER_EXPORTER_REVISION")) "), as of "
                    span #as-of { (text::moment(now)) } ". "
                    "Data is fetched in the background: viewing this page makes no API calls."
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
