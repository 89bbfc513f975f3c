//! Agreeing on TLS, and what becomes of clients with which that fails: each is told why
//! as far as the protocol allows, counted, and named in the log, one a reason and minute.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::{Error, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::Peer;
use crate::event::{Event, Events, HandshakeFailure};
use exporter_clock::{Clock, Uptime};

/// How long agreeing on TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long, and how many bytes, a client that was turned away may still send.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;
/// How often a reason is logged at most.
const QUIET: Duration = Duration::from_mins(1);

/// What a client hears that speaks plain HTTP, in the words of Go's servers.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 48\r\n\
    Connection: close\r\n\r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// Who was turned away.
pub(crate) struct Refusals {
    clock: Clock,
    events: Events,
    logged: Mutex<HashMap<HandshakeFailure, Logged>>,
}

/// When a reason was last logged, and how often it was not since.
struct Logged {
    at: Uptime,
    more: u64,
}

impl Refusals {
    pub(crate) fn new(clock: Clock, events: Events) -> Self {
        Self {
            clock,
            events,
            logged: Mutex::default(),
        }
    }

    fn note(&self, peer: Peer, reason: HandshakeFailure, error: &io::Error) {
        self.events.emit(Event::HandshakeFailed(reason));
        let Some(more) = self.is_due(reason) else {
            return;
        };
        let what = reason.as_label();
        // Port scanners and probes of load balancers do no more than that.
        if reason == HandshakeFailure::Closed {
            tracing::debug!(client = %peer, reason = what, %error, more, "a client hung up before TLS was agreed on");
        } else {
            tracing::warn!(client = %peer, reason = what, %error, more, "TLS handshake failed");
        }
    }

    /// Whether it is time to log this reason, and how often it was not logged before.
    fn is_due(&self, reason: HandshakeFailure) -> Option<u64> {
        let now = self.clock.uptime();
        // A map stays a map, whatever happened to who held it.
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        match logged.get_mut(&reason) {
            Some(last) if now.since(last.at) < QUIET => {
                last.more += 1;
                None
            }
            last => {
                let more = last.map_or(0, |last| last.more);
                logged.insert(reason, Logged { at: now, more: 0 });
                Some(more)
            }
        }
    }
}

/// Agrees with a client, or turns it away.
pub(super) async fn accept<S>(
    stream: S,
    tls: Arc<ServerConfig>,
    peer: Peer,
    refusals: Option<&Refusals>,
) -> Option<TlsStream<Sniffed<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = Sniffed {
        stream,
        begun: false,
    };
    let handshake = TlsAcceptor::from(tls).accept(stream).into_fallible();
    let (error, stream) = match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err((error, stream))) => (error, Some(stream)),
        Err(_) => (io::ErrorKind::TimedOut.into(), None),
    };
    let reason = classify(&error);
    if let Some(refusals) = refusals {
        refusals.note(peer, reason, &error);
    }
    if let Some(mut stream) = stream {
        // Whatever comes of it, there is nothing left to do.
        if reason == HandshakeFailure::PlainHttp {
            let _ = tokio::time::timeout(LINGER, stream.stream.write_all(PLAIN_HTTP)).await;
        }
        linger(stream.stream).await;
    }
    None
}

fn classify(error: &io::Error) -> HandshakeFailure {
    match error.kind() {
        io::ErrorKind::TimedOut => return HandshakeFailure::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => return HandshakeFailure::Closed,
        _ => {}
    }
    let inner = error.get_ref();
    let plain: Option<&PlainHttp> = inner.and_then(|inner| inner.downcast_ref());
    if plain.is_some() {
        return HandshakeFailure::PlainHttp;
    }
    match inner.and_then(|inner| inner.downcast_ref()) {
        Some(Error::NoCertificatesPresented) => HandshakeFailure::NoCertificate,
        Some(Error::InvalidCertificate(_)) => HandshakeFailure::BadCertificate,
        Some(Error::PeerIncompatible(_)) => HandshakeFailure::Incompatible,
        Some(Error::AlertReceived(_)) => HandshakeFailure::Alert,
        _ => HandshakeFailure::Protocol,
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

/// The client speaks plain HTTP.
#[derive(Debug, thiserror::Error)]
#[error("the client sent plain HTTP")]
struct PlainHttp;

/// A stream that fails if its first byte is one of a method's name: no record of TLS
/// begins with a letter. It does so before the TLS library sees it and answers in TLS.
pub(super) struct Sniffed<S> {
    stream: S,
    begun: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let (false, Some(first)) = (self.begun, buffer.filled().get(before)) {
            self.begun = true;
            if first.is_ascii_alphabetic() {
                buffer.set_filled(before);
                return Poll::Ready(Err(io::Error::other(PlainHttp)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NOW;

    #[test]
    fn what_clients_hear_has_the_length_that_it_says() {
        let text = std::str::from_utf8(PLAIN_HTTP).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_is_logged_once_a_minute() {
        let refusals = Refusals::new(Clock::anchored(NOW), Events::default());
        let alert = || refusals.is_due(HandshakeFailure::Alert);
        assert_eq!(alert(), Some(0));
        assert_eq!((alert(), alert()), (None, None));
        assert_eq!(refusals.is_due(HandshakeFailure::Timeout), Some(0));
        tokio::time::advance(QUIET).await;
        assert_eq!(alert(), Some(2));
        assert_eq!(alert(), None);
    }

    #[tokio::test]
    async fn plain_http_is_told_from_tls_however_it_is_cut() {
        for (bytes, plain) in [(&b"GET / HTTP/1.1"[..], true), (b"\x16\x03\x01", false)] {
            let (near, mut far) = tokio::io::duplex(1);
            tokio::spawn(async move { far.write_all(bytes).await });
            let mut sniffed = Sniffed {
                stream: near,
                begun: false,
            };
            let mut read = Vec::new();
            let outcome = sniffed.read_to_end(&mut read).await;
            assert_eq!(outcome.is_err(), plain);
        }
    }
}
