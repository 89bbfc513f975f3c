//! The time that a client may take to fetch an answer.
//!
//! It runs from the answer's first byte, whatever else the client does meanwhile: on
//! HTTP/2 it could go on for ever with a window of no bytes. Then the connection is
//! closed, and with it all that its answers hold.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body::Body as _;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::held::hold;

/// As long as the longest scrape of a usual configuration may take.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Of a connection: cancelled when a client takes too long.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadline(CancellationToken);

/// A timer that is stopped with its answer.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Deadline {
    /// Drives the connection; `None` if a client took too long.
    pub(super) async fn bound<T>(&self, connection: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(connection).await
    }

    fn start(&self) -> Running {
        let deadline = self.0.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            deadline.cancel();
        });
        Running(timer.abort_handle())
    }
}

/// Starts the time with each answer.
pub(super) async fn limit(request: Request, next: Next) -> Response {
    let deadline = request.extensions().get::<Deadline>().cloned();
    let response = next.run(request).await;
    match deadline {
        Some(deadline) if !response.body().is_end_stream() => hold(response, deadline.start()),
        _ => response,
    }
}
