//! Listening: one task a connection, plain or encrypted, HTTP/1.1 or HTTP/2,
//! within bounds on time and size that no client can stretch.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Gate;
use super::stall::Stall;
use crate::shutdown::GRACE;

/// How long a client may take to send the head of a request, and a connection may move no byte:
/// longer than the usual scrape interval. Otherwise slow clients could take all file descriptors.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long agreeing on TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long, and how many bytes, a client that was turned away may still send.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;
/// The largest head of a request, in bytes. Beyond it: 431. It is also how much of an answer
/// hyper writes at once: with a third of it, compressed scrapes took a fifth longer.
const MAX_HEAD: usize = 96 * 1024;
/// How many requests one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 32;

/// Serves until `shutdown` is cancelled; requests under way then have
/// [`GRACE`] to finish before this returns without them.
pub async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    gate: Gate,
    shutdown: CancellationToken,
) {
    let open = GracefulShutdown::new();
    while let Some((stream, _)) = shutdown.run_until_cancelled(listener.accept()).await {
        let connection = connection(
            Stall::new(stream, PATIENCE),
            router.clone(),
            gate.clone(),
            open.watcher(),
            shutdown.clone(),
        );
        tokio::spawn(connection);
    }
    drop(listener);
    if tokio::time::timeout(GRACE, open.shutdown()).await.is_err() {
        tracing::warn!("requests are still under way after the grace period; dropping them");
    }
}

async fn connection<S>(
    stream: S,
    router: Router,
    gate: Gate,
    watcher: Watcher,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(tls) = gate.config().await.tls.clone() else {
        return drive(stream, false, router, watcher).await;
    };
    let handshake = TlsAcceptor::from(tls).accept(stream).into_fallible();
    let handshake = tokio::time::timeout(HANDSHAKE, handshake);
    match shutdown.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            drive(stream, http2, router, watcher).await;
        }
        Some(Ok(Err((error, stream)))) => {
            tracing::debug!(%error, "TLS was not agreed on");
            linger(stream).await;
        }
        Some(Err(_)) => tracing::debug!("TLS was not agreed on in time"),
        None => {}
    }
}

/// Reads what a client that was turned away still sends: closing at once would
/// make its system drop the reason before the client has seen it.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let drain = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever comes of it, there is nothing left to do.
    let _ = tokio::time::timeout(LINGER, drain).await;
}

async fn drive<S>(stream: S, http2: bool, router: Router, watcher: Watcher)
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
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(error, "a connection broke");
    }
}
