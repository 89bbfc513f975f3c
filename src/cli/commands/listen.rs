//! Where the exporter listens: the addresses of the command line, or the
//! sockets that systemd passes on.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::serve::ListenerExt as _;
use listenfd::ListenFd;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, socket_with};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::cli::{Flags, ListenAddress};
use crate::web::{self, Gate};

/// How many connections may wait to be accepted, as elsewhere in the runtime.
const BACKLOG: i32 = 1024;

/// A socket that clients can connect to.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    /// The address that was bound, if it is one of the network.
    pub(super) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            Self::Unix(_) => Ok(None),
        }
    }

    /// Serves until `shutdown` is cancelled.
    pub(super) async fn serve(self, router: Router, gate: Gate, shutdown: CancellationToken) {
        match self {
            Self::Tcp(listener) => {
                // Else the last piece of an answer waits up to 40 ms for an acknowledgement.
                let listener = listener.tap_io(|stream| {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "answers may be delayed");
                    }
                });
                web::serve(listener, router, gate, shutdown).await;
            }
            Self::Unix(listener) => web::serve(listener, router, gate, shutdown).await,
        }
    }
}

/// All sockets that `flags` ask for, bound.
pub(super) async fn sockets(flags: &Flags) -> anyhow::Result<Vec<Socket>> {
    if flags.systemd_socket {
        return passed_on();
    }
    let mut sockets = Vec::new();
    for address in &flags.listen_addresses {
        sockets.push(Socket::Tcp(bind(address).await?));
    }
    Ok(sockets)
}

/// The sockets that systemd has opened for this process.
fn passed_on() -> anyhow::Result<Vec<Socket>> {
    // Reads and removes variables of the environment: early, while nothing else looks at it.
    let mut passed = ListenFd::from_env();
    ensure!(
        passed.len() > 0,
        "expected sockets from systemd, but found none; start this from a unit that has a socket, or leave out --web.systemd-socket"
    );
    (0..passed.len())
        .map(|index| socket(&mut passed, index))
        .collect()
}

fn socket(passed: &mut ListenFd, index: usize) -> anyhow::Result<Socket> {
    let problem = || {
        format!(
            "expected a TCP or UNIX stream socket from systemd, but found another as number {}; see ListenStream= in its unit",
            index + 1
        )
    };
    // One of another kind stays in its place.
    if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
        listener.set_nonblocking(true)?;
        return Ok(Socket::Tcp(TcpListener::from_std(listener)?));
    }
    let listener = passed.take_unix_listener(index).with_context(problem)?;
    let listener = listener.with_context(problem)?;
    listener.set_nonblocking(true)?;
    Ok(Socket::Unix(UnixListener::from_std(listener)?))
}

/// Binds the first of an address's candidates that can be bound.
async fn bind(address: &ListenAddress) -> anyhow::Result<TcpListener> {
    let problem = || {
        format!(
            "expected to listen on {address}; choose another --web.listen-address or free this one"
        )
    };
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for candidate in address.resolve().with_context(problem)? {
        let bound = match candidate {
            SocketAddr::V6(address) if address.ip().is_unspecified() => everywhere(address),
            address => TcpListener::bind(address).await,
        };
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure).with_context(problem)
}

/// Listens on all interfaces by IPv6 and by IPv4, whatever `net.ipv6.bindv6only` says.
fn everywhere(address: SocketAddrV6) -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    set_ipv6_v6only(&socket, false)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}
