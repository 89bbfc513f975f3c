//! Style sheet, script and icon, served from the binary. Links name a hash of
//! the content, so that browsers may keep them and never keep an old one.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// A file in the binary.
pub(super) struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

pub(super) const STYLE: Asset = Asset {
    name: "status.css",
    content_type: "text/css; charset=utf-8",
    content: include_str!("status.css"),
};

pub(super) const SCRIPT: Asset = Asset {
    name: "status.js",
    content_type: "text/javascript; charset=utf-8",
    content: include_str!("status.js"),
};

pub(super) const ICON: Asset = Asset {
    name: "icon.svg",
    content_type: "image/svg+xml",
    content: include_str!("icon.svg"),
};

impl Asset {
    /// A link, relative to the pages.
    pub(super) fn link(&self) -> String {
        format!("./-/assets/{}?v={:016x}", self.name, hash(self.content))
    }
}

/// FNV-1a.
fn hash(content: &str) -> u64 {
    content.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The file of that name.
pub(in crate::web) async fn asset(Path(name): Path<String>) -> Response {
    let mut known = [STYLE, SCRIPT, ICON].into_iter();
    let Some(asset) = known.find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (
            CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=31536000, immutable"),
        ),
    ];
    (headers, asset.content).into_response()
}
