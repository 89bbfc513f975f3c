//! A transport for `azure_identity`, which by itself reads answers of any length
//! into memory, believes what they say, and hides the headers of refusals: this one breaks
//! off what no sign-in host sends, puts right how long a token is good for, and keeps the
//! pause that an answer asks for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::StreamExt as _;

use super::{lifetime, pause};
use crate::clock::Clock;

/// The largest answer that is read, in bytes after decompression. Tokens have kilobytes.
const LIMIT: usize = 1024 * 1024;

/// The pause that the last answer asked for.
#[derive(Clone, Debug)]
pub(super) struct Hint {
    last: Arc<Mutex<Option<Duration>>>,
    clock: Clock,
}

impl Hint {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            last: Arc::default(),
            clock,
        }
    }

    /// At most a day; `None` if there was none.
    pub(super) fn last(&self) -> Option<Duration> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, status: u16, headers: &Headers) {
        let text = |name| headers.get_optional_str(&HeaderName::from_static(name));
        let asked = pause::asked(text("retry-after"), text("date"), self.clock.wall());
        let asked = asked.filter(|_| pause::may_ask(status));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }
}

/// A client whose answers end at the limit.
#[derive(Debug)]
pub(super) struct Bounded {
    client: reqwest::Client,
    hint: Hint,
}

impl Bounded {
    pub(super) fn new(client: reqwest::Client, hint: Hint) -> Self {
        Self { client, hint }
    }
}

#[async_trait]
impl HttpClient for Bounded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.client.execute_request(request).await?;
        let (status, headers, mut parts) = answer.deconstruct();
        self.hint.note(status.into(), &headers);
        let mut body = Vec::new();
        while let Some(part) = parts.next().await {
            let part = part?;
            if body.len() + part.len() > LIMIT {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        if status.is_success()
            && let Some(right) = lifetime::put_right(&body, self.hint.clock.wall())
        {
            body = right;
        }
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

fn too_large() -> Error {
    let text = format!("the answer is larger than {LIMIT} bytes");
    Error::with_message(ErrorKind::DataConversion, text)
}
