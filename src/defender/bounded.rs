//! A transport for `azure_identity`, which by itself reads answers of any length
//! into memory: this one breaks off what no sign-in host says.

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::{StreamExt as _, TryStreamExt as _};

/// The largest answer that is read, in bytes after decompression. Tokens have kilobytes.
const LIMIT: usize = 1024 * 1024;

/// A client whose answers end at the limit.
#[derive(Debug)]
pub(super) struct Bounded<C>(pub(super) C);

#[async_trait]
impl<C: HttpClient> HttpClient for Bounded<C> {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.0.execute_request(request).await?;
        let (status, headers, body) = answer.deconstruct();
        let mut left = LIMIT;
        let body = body.into_stream().map(move |part| {
            let part = part?;
            left = left.checked_sub(part.len()).ok_or_else(too_large)?;
            Ok(part)
        });
        Ok(AsyncRawResponse::new(status, headers, body.boxed()))
    }
}

fn too_large() -> Error {
    let text = format!("the answer is larger than {LIMIT} bytes");
    Error::with_message(ErrorKind::DataConversion, text)
}
