//! The two faces, http and https, and connections that can be severed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What a request may know of, and do to, its connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    severed: Arc<AtomicBool>,
    /// Whether it came in by https.
    pub(super) secure: bool,
}

impl Peer {
    /// Resets the connection as soon as the answer is to be sent.
    pub(super) fn sever(&self) {
        self.severed.store(true, Ordering::Relaxed);
    }

    pub(super) fn severed(&self) -> bool {
        self.severed.load(Ordering::Relaxed)
    }
}

impl Connected<IncomingStream<'_, Face>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Face>) -> Self {
        stream.io().peer.clone()
    }
}

/// A listener whose connections have passed the handshake, if there is one.
#[derive(Debug)]
pub(super) struct Face {
    address: SocketAddr,
    connections: mpsc::Receiver<(Connection, SocketAddr)>,
}

impl Face {
    /// Listens on a free port of the loopback address.
    pub(super) async fn open(tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (sender, connections) = mpsc::channel(64);
        tokio::spawn(accept(listener, tls, sender));
        Ok(Self {
            address,
            connections,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Accepts until the face is dropped. Each handshake has a task of its own, so
/// that a slow one holds up nobody.
async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    sender: mpsc::Sender<(Connection, SocketAddr)>,
) {
    loop {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else {
            // Out of file handles, most likely: let others run first.
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (tls, sender) = (tls.clone(), sender.clone());
        tokio::spawn(async move {
            let io = match tls {
                None => Io::Plain(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Io::Tls(Box::new(stream)),
                    // Whoever does not trust the certificate goes away.
                    Err(_) => return,
                },
            };
            let peer = Peer {
                severed: Arc::default(),
                secure: matches!(io, Io::Tls(_)),
            };
            let _ = sender.send((Connection { io, peer }, address)).await;
        });
    }
}

impl Listener for Face {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            // The accepting task ends only with its runtime.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A connection that ends in a reset once it is severed.
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
    fn check(&self) -> io::Result<()> {
        if !self.peer.severed() {
            return Ok(());
        }
        let stream = match &self.io {
            Io::Plain(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        };
        stream.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

macro_rules! forward {
    ($self:ident, $method:ident $(, $argument:ident)*) => {{
        let this = $self.get_mut();
        this.check()?;
        match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Io::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
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
