//! The two faces, http and https, and connections that can be severed.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use h2::Reason;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::lock;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// `GOAWAY(NO_ERROR)` after no stream: RFC 9113, section 6.8.
const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// What a request may know of, and do to, its connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    ending: Arc<Mutex<Option<Ending>>>,
    /// Whether it came in by https.
    pub(super) secure: bool,
    http2: bool,
    /// Its number.
    pub(super) connection: usize,
}

/// How a connection ends, as soon as an answer is to be sent.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Reset,
    Closed,
    /// Closed, once these bytes of [`GO_AWAY`] have left.
    GoesAway(usize),
}

impl Peer {
    /// Resets the connection as soon as the answer is to be sent.
    pub(super) fn sever(&self) {
        *lock(&self.ending) = Some(Ending::Reset);
    }

    /// Closes the connection as soon as the answer is to be sent, over HTTP/2 with a word.
    pub(super) fn go_away(&self) {
        *lock(&self.ending) = Some(if self.http2 {
            Ending::GoesAway(0)
        } else {
            Ending::Closed
        });
    }

    /// Whether no answer reaches the client.
    pub(super) fn severed(&self) -> bool {
        lock(&self.ending).is_some()
    }
}

/// Listens on a free port of the loopback address, and serves until `stop`. Returns the port.
pub(super) async fn open(
    tls: Option<TlsAcceptor>,
    router: Router,
    numbers: Arc<AtomicUsize>,
    stop: CancellationToken,
) -> io::Result<(u16, JoinHandle<()>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    Ok((
        port,
        tokio::spawn(serve(listener, tls, router, numbers, stop)),
    ))
}

/// Each connection has a task of its own, so that a slow handshake holds up nobody.
async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    numbers: Arc<AtomicUsize>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file handles, most likely: let others run first.
            tokio::task::yield_now().await;
            continue;
        };
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let _ = stream.set_nodelay(true);
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            let io = match tls {
                None => Io::Plain(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Io::Tls(Box::new(stream)),
                    // Whoever does not trust the certificate goes away.
                    Err(_) => return,
                },
            };
            answer(io, number, router, stop).await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Answers what comes in by one connection.
async fn answer(io: Io, connection: usize, router: Router, stop: CancellationToken) {
    let protocol = match &io {
        Io::Plain(_) => None,
        Io::Tls(stream) => stream.get_ref().1.alpn_protocol(),
    };
    let peer = Peer {
        ending: Arc::default(),
        secure: matches!(io, Io::Tls(_)),
        http2: protocol == Some(b"h2"),
        connection,
    };
    let io = TokioIo::new(Connection {
        io,
        peer: peer.clone(),
    });
    let service = tower::service_fn(move |request: Request<_>| {
        let (router, peer) = (router.clone(), peer.clone());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let Ok(response) = router.oneshot(request).await;
            match response.extensions().get::<Reason>() {
                Some(reason) => Err(h2::Error::from(*reason)),
                None => Ok(response),
            }
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(service);
    let serving = builder.serve_connection(io, service);
    tokio::pin!(serving);
    tokio::select! {
        // Whoever breaks a connection off knows why.
        _ = &mut serving => return,
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// A connection that ends as its peer says.
#[derive(Debug)]
pub(super) struct Connection {
    io: Io,
    peer: Peer,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Ends the connection, if it is to end.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ending = *lock(&self.peer.ending);
        match (ending, &mut self.io) {
            (None, _) => return Poll::Ready(Ok(())),
            (Some(Ending::Reset), Io::Plain(stream)) => stream.set_zero_linger()?,
            (Some(Ending::Reset), Io::Tls(stream)) => stream.get_ref().0.set_zero_linger()?,
            (Some(Ending::GoesAway(left)), Io::Tls(stream)) if left < GO_AWAY.len() => {
                let mut stream = Pin::new(stream.as_mut());
                let written = ready!(stream.as_mut().poll_write(cx, &GO_AWAY[left..]))?;
                *lock(&self.peer.ending) = Some(Ending::GoesAway(left + written));
                return self.check(cx);
            }
            (Some(Ending::GoesAway(_)), Io::Tls(stream)) => {
                ready!(Pin::new(stream.as_mut()).poll_shutdown(cx))?;
            }
            (Some(Ending::Closed | Ending::GoesAway(_)), _) => {}
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

macro_rules! forward {
    ($self:ident, $method:ident, $cx:ident $(, $argument:ident)*) => {{
        let this = $self.get_mut();
        ready!(this.check($cx))?;
        match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).$method($cx $(, $argument)*),
            Io::Tls(stream) => Pin::new(stream.as_mut()).$method($cx $(, $argument)*),
        }
    }};
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, poll_write, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_shutdown, cx)
    }
}
