//! Where the exporter listens: the addresses of the command line, or the
//! sockets that systemd passes on.

mod address;

use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV6};

use listenfd::ListenFd;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, socket_with};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};

pub use self::address::{ListenAddress, ListenAddressError};

/// How many connections may wait to be accepted, as elsewhere in the runtime.
const BACKLOG: i32 = 1024;

/// A socket that clients can connect to.
#[derive(Debug)]
pub enum Socket {
    /// Of the network.
    Tcp(TcpListener),
    /// Of this machine.
    Unix(UnixListener),
}

impl Socket {
    /// The address that was bound, if it is one of the network.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            Self::Unix(_) => Ok(None),
        }
    }
}

/// Its address, or that it is one of this machine.
impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Ok(Some(address)) => address.fmt(f),
            Ok(None) => f.write_str("a UNIX socket"),
            Err(error) => error.fmt(f),
        }
    }
}

/// What to do about an address that cannot be bound.
fn bind_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "choose another --web.listen-address or free this one",
        io::ErrorKind::PermissionDenied => {
            "choose a port above 1023, or grant the right to use this one"
        }
        io::ErrorKind::AddrNotAvailable => "name an address of this machine",
        _ => "choose another --web.listen-address",
    }
}

/// Why there is no socket to listen on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// An address cannot be bound.
    #[error(
        "cannot listen on {address}; {advice}", advice = bind_advice(source)
    )]
    Bind {
        /// The address.
        address: ListenAddress,
        /// What the system says.
        source: io::Error,
    },
    /// systemd passed no sockets on.
    #[error(
        "expected sockets from systemd, but found none; start this from a unit that has a socket, or leave out --web.systemd-socket"
    )]
    NoSockets,
    /// systemd passed on a socket of a kind that cannot be served.
    #[error(
        "expected a TCP or UNIX stream socket from systemd, but found another kind as number {number}; see ListenStream= in its unit"
    )]
    Kind {
        /// Which, counted from 1.
        number: usize,
        /// What the system says, if it says anything.
        source: Option<io::Error>,
    },
    /// A socket of systemd's cannot be used.
    #[error("cannot use a socket from systemd")]
    Socket(#[source] io::Error),
}

/// Binds all `addresses`.
///
/// # Errors
/// [`ListenError`] of the first that cannot be bound.
pub async fn bind(addresses: &[ListenAddress]) -> Result<Vec<Socket>, ListenError> {
    let mut sockets = Vec::new();
    for address in addresses {
        let bound = bind_one(address).await;
        let bound = bound.map_err(|source| ListenError::Bind {
            address: address.clone(),
            source,
        });
        sockets.push(Socket::Tcp(bound?));
    }
    Ok(sockets)
}

/// The sockets that systemd has opened for this process.
///
/// # Errors
/// [`ListenError`], if there is none, or one that cannot be served.
pub fn from_systemd() -> Result<Vec<Socket>, ListenError> {
    // Reads and removes variables of the environment: early, while nothing else looks at it.
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Err(ListenError::NoSockets);
    }
    (0..passed.len())
        .map(|index| socket(&mut passed, index))
        .collect()
}

fn socket(passed: &mut ListenFd, index: usize) -> Result<Socket, ListenError> {
    // One of another kind stays in its place.
    if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
        let usable = listener.set_nonblocking(true);
        let usable = usable.and_then(|()| TcpListener::from_std(listener));
        return usable.map(Socket::Tcp).map_err(ListenError::Socket);
    }
    let other = |source| ListenError::Kind {
        number: index + 1,
        source,
    };
    let listener = passed.take_unix_listener(index);
    let listener = listener.map_err(|error| other(Some(error)))?;
    let listener = listener.ok_or_else(|| other(None))?;
    let usable = listener.set_nonblocking(true);
    let usable = usable.and_then(|()| UnixListener::from_std(listener));
    usable.map(Socket::Unix).map_err(ListenError::Socket)
}

/// Binds the first of an address's candidates that can be bound.
async fn bind_one(address: &ListenAddress) -> io::Result<TcpListener> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for candidate in address.resolve()? {
        let bound = match candidate {
            SocketAddr::V6(address) if address.ip().is_unspecified() => everywhere(address),
            address => TcpListener::bind(address).await,
        };
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
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
