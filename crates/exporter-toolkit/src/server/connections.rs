//! One task a connection, plain or encrypted, HTTP/1.1 or HTTP/2,
//! within bounds on time and size that no client can stretch.

use std::time::Duration;

use axum::middleware::from_fn;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::Layer as _;

use super::deadline::{self, Deadline};
use super::idle_timeout::IdleTimeout;
use super::requests::{check_head, clean_path};
use super::{Peer, handshake};
use crate::access::Access;
use crate::security_headers::security_headers;

/// How long a client may take to send the head of a request, and a connection may move no byte:
/// longer than the usual scrape interval. Otherwise slow clients could take all file descriptors.
const PATIENCE: Duration = Duration::from_secs(90);
/// The largest head of a request, in bytes. Beyond it: 431. It is also how much of an answer
/// hyper writes at once: with a third of it, compressed scrapes took a fifth longer.
const MAX_HEAD: usize = 96 * 1024;
/// How many requests one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 32;

/// Serves whom `access` lets in until `shutdown` is cancelled; requests under way then have
/// `grace` to finish before this returns without them.
pub(super) async fn accept<L>(
    mut listener: L,
    router: Router,
    access: Access,
    shutdown: CancellationToken,
    grace: Duration,
) where
    L: Listener,
    L::Addr: Into<Peer>,
{
    let router = access
        .protect(router.layer(from_fn(clean_path)))
        .layer(from_fn(security_headers))
        .layer(from_fn(check_head))
        .layer(from_fn(deadline::limit));
    let open = GracefulShutdown::new();
    while let Some((stream, address)) = shutdown.run_until_cancelled(listener.accept()).await {
        let connection = connection(
            IdleTimeout::new(stream, PATIENCE),
            address.into(),
            router.clone(),
            access.clone(),
            open.watcher(),
            shutdown.clone(),
        );
        tokio::spawn(connection);
    }
    drop(listener);
    if tokio::time::timeout(grace, open.shutdown()).await.is_err() {
        tracing::warn!(
            "requests are still in flight after the grace period: closing their connections"
        );
    }
}

async fn connection<S>(
    stream: S,
    peer: Peer,
    router: Router,
    access: Access,
    watcher: Watcher,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(tls) = access.config().await.tls.clone() else {
        return drive(stream, peer, false, router, watcher).await;
    };
    let handshake = handshake::accept(stream, tls, peer, access.refusals());
    if let Some(Some(stream)) = shutdown.run_until_cancelled(handshake).await {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        drive(stream, peer, http2, router, watcher).await;
    }
}

async fn drive<S>(stream: S, peer: Peer, http2: bool, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        // Whoever has said all may still listen: `printf … | nc -N`.
        .half_close(true)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS);
    let deadline = Deadline::default();
    let router = Extension(peer).layer(Extension(deadline.clone()).layer(router));
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let connection = watcher.watch(connection.into_owned());
    match deadline.bound(connection).await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(error, client = %peer, "a connection broke"),
        None => {
            tracing::info!(client = %peer, "a client took too long to read a response: its connection was closed");
        }
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
