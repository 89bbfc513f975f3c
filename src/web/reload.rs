//! `/-/reload`: asks for the configuration to be read again.

use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::{mpsc, oneshot};

use super::WebState;

/// A request, to be answered with its outcome: the reasons, if nothing changed.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// Where to ask for a reload; clones share it.
#[derive(Clone, Debug)]
pub struct ReloadRequests(mpsc::Sender<ReloadRequest>);

impl ReloadRequests {
    /// The two ends. Few requests wait; the others are held up before.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (requests, waiting) = mpsc::channel(1);
        (Self(requests), waiting)
    }

    /// Waits for the outcome; `None` if nobody reloads any more.
    async fn ask(&self) -> Option<Result<(), String>> {
        let (request, outcome) = oneshot::channel();
        self.0.send(request).await.ok()?;
        outcome.await.ok()
    }
}

/// The answer to `POST /-/reload`, once it is done.
pub(super) async fn reload(state: State<WebState>) -> (StatusCode, String) {
    let Some(requests) = &state.reload else {
        let reason = "the lifecycle API is not enabled, see --web.enable-lifecycle\n";
        return (StatusCode::FORBIDDEN, reason.to_owned());
    };
    match requests.ask().await {
        Some(Ok(())) => (StatusCode::OK, "reloaded\n".to_owned()),
        Some(Err(reasons)) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "the configuration was not reloaded: the previous one stays in effect:\n{reasons}\n"
            ),
        ),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the exporter is stopping\n".to_owned(),
        ),
    }
}
