//! A transport for `azure_identity`, which by itself reads answers of any length
//! into memory, and believes what they say: this one breaks off what no sign-in host
//! sends, and puts right how long a token is good for.

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::StreamExt as _;

use super::lifetime;
use crate::clock::Clock;

/// The largest answer that is read, in bytes after decompression. Tokens have kilobytes.
const LIMIT: usize = 1024 * 1024;

/// A client whose answers end at the limit.
#[derive(Debug)]
pub(super) struct Bounded<C>(pub(super) C);

#[async_trait]
impl<C: HttpClient> HttpClient for Bounded<C> {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.0.execute_request(request).await?;
        let (status, headers, mut parts) = answer.deconstruct();
        let mut body = Vec::new();
        while let Some(part) = parts.next().await {
            let part = part?;
            if body.len() + part.len() > LIMIT {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        if status.is_success()
            && let Some(right) = lifetime::put_right(&body, Clock::system().wall())
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
