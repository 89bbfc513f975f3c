//! The page at `/` of an exporter that has no other: what it is, and where its metrics are.

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ring::digest::{SHA256, digest};

const STYLE: &str = "body{font-family:system-ui,sans-serif;margin:0}\
    header{background:#e6522c;color:#fff;padding:1rem}header h1{margin:0;font-size:1.5rem}\
    main{padding:1rem}label{display:inline-block;min-width:8rem}";

/// A page with a name, a version, links and a form.
///
/// Text is escaped, and browsers load nothing and run nothing on it.
#[derive(Clone, Debug, Default)]
pub struct LandingPage {
    name: String,
    description: String,
    version: String,
    links: Vec<[String; 3]>,
    form: Option<Form>,
    prefix: String,
}

#[derive(Clone, Debug)]
struct Form {
    action: String,
    fields: Vec<[String; 3]>,
}

impl LandingPage {
    /// The page of the exporter with this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Says what the exporter is for.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Says which version it is.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Adds a link to a path of the exporter, or to a whole URL; `about` may be empty.
    #[must_use]
    pub fn link(mut self, href: &str, text: &str, about: &str) -> Self {
        self.links.push([href, text, about].map(str::to_owned));
        self
    }

    /// Sets the form, which gets `action`; each field has a label, a name and what is shown
    /// while it is empty.
    #[must_use]
    pub fn form(mut self, action: &str, fields: &[[&str; 3]]) -> Self {
        self.form = Some(Form {
            action: action.to_owned(),
            fields: fields
                .iter()
                .map(|field| field.map(str::to_owned))
                .collect(),
        });
        self
    }

    /// Puts all paths below a prefix, which a proxy may want: `/room`.
    #[must_use]
    pub fn route_prefix(mut self, prefix: &str) -> Self {
        let inside = prefix.trim_matches('/');
        self.prefix = if inside.is_empty() {
            String::new()
        } else {
            format!("/{inside}")
        };
        self
    }

    /// The route of the page: `/`, or that below the prefix.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let path = format!("{}/", self.prefix);
        let page = self.render().into_string();
        let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'"
        );
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (CONTENT_SECURITY_POLICY, policy),
        ];
        let answer = (headers, page);
        Router::new().route(&path, get(move || std::future::ready(answer.clone())))
    }

    /// Where a link leads.
    fn target(&self, href: &str) -> String {
        if href.contains("://") {
            return href.to_owned();
        }
        format!("{}/{}", self.prefix, href.trim_start_matches('/'))
    }

    fn render(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.name) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header { h1 { (self.name) } }
                    main {
                        @if !self.description.is_empty() { p { (self.description) } }
                        @if !self.version.is_empty() { p { "Version: " (self.version) } }
                        ul {
                            @for [href, text, about] in &self.links {
                                li {
                                    a href=(self.target(href)) { (text) }
                                    @if !about.is_empty() { ": " (about) }
                                }
                            }
                        }
                        @if let Some(form) = &self.form {
                            form action=(self.target(&form.action)) {
                                @for [label, name, placeholder] in &form.fields {
                                    p {
                                        label for=(name) { (label) } " "
                                        input id=(name) name=(name) placeholder=(placeholder);
                                    }
                                }
                                button { "Submit" }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_follow_the_prefix_and_text_is_escaped() {
        let page = LandingPage::new("Room <Exporter>")
            .version("1.0")
            .link("/metrics", "Metrics", "all of them")
            .link("https://example.com/x", "Documentation", "")
            .form("/probe", &[["Target", "target", "\"host\""]]);
        let plain = page.clone().render().into_string();
        for part in [
            "<title>Room &lt;Exporter&gt;</title>",
            "<a href=\"/metrics\">Metrics</a>: all of them</li>",
            "<a href=\"https://example.com/x\">Documentation</a></li>",
            "<form action=\"/probe\">",
            "placeholder=\"&quot;host&quot;\"",
        ] {
            assert!(plain.contains(part), "{part}: {plain}");
        }
        for prefix in ["/room", "room/", "/room/"] {
            let below = page.clone().route_prefix(prefix).render().into_string();
            assert!(below.contains("href=\"/room/metrics\""), "{below}");
            assert!(below.contains("action=\"/room/probe\""), "{below}");
        }
    }
}
