//! A transport for `azure_identity`, which by itself reads answers of any length
//! into memory, believes what they say, and hides the headers of refusals: this one breaks
//! off what no sign-in host sends, puts right how long a token is good for, and keeps what a
//! refusal says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::StreamExt as _;

use super::error::Detail;
use super::wire::ErrorBody;
use super::{lifetime, pause};
use crate::clock::Clock;

/// The largest answer that is read, in bytes after decompression. Tokens have kilobytes.
const LIMIT: usize = 1024 * 1024;

/// An answer that is no success.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// What it says. It may repeat secrets.
    pub(super) detail: Detail,
    /// The pause that it asks for, at most a day.
    pub(super) retry_after: Option<Duration>,
}

/// The last answer, if it was no success.
#[derive(Clone, Debug)]
pub(super) struct LastRefusal {
    last: Arc<Mutex<Option<Refusal>>>,
    clock: Clock,
}

impl LastRefusal {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            last: Arc::default(),
            clock,
        }
    }

    pub(super) fn take(&self) -> Option<Refusal> {
        self.lock().take()
    }

    fn note(&self, status: u16, headers: &Headers, body: &[u8]) {
        let text = |name| headers.get_optional_str(&HeaderName::from_static(name));
        let asked = pause::asked(text("retry-after"), text("date"), self.clock.wall());
        *self.lock() = Some(Refusal {
            detail: Detail::new(status, ErrorBody::read(body)),
            retry_after: asked.filter(|_| pause::may_ask(status)),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client whose answers end at the limit.
#[derive(Debug)]
pub(super) struct Bounded {
    client: reqwest::Client,
    refusal: LastRefusal,
}

impl Bounded {
    pub(super) fn new(client: reqwest::Client, refusal: LastRefusal) -> Self {
        Self { client, refusal }
    }
}

#[async_trait]
impl HttpClient for Bounded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.client.execute_request(request).await?;
        let (status, headers, mut parts) = answer.deconstruct();
        if !status.is_success() {
            // The pause that it asks for counts even if the body breaks off.
            self.refusal.note(status.into(), &headers, &[]);
        }
        let mut body = Vec::new();
        while let Some(part) = parts.next().await {
            let part = part?;
            if body.len() + part.len() > LIMIT {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        if !status.is_success() {
            self.refusal.note(status.into(), &headers, &body);
        } else if let Some(right) = lifetime::put_right(&body, self.refusal.clock.wall()) {
            body = right;
        }
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

fn too_large() -> Error {
    let text = format!("the response is larger than {LIMIT} bytes");
    Error::with_message(ErrorKind::DataConversion, text)
}
