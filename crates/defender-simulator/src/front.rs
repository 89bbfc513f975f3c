//! A port before the https face that fails as networks and certificates do,
//! for whoever goes through it and for nobody else.
//!
//! It passes bytes on and reads none. Whenever its fault changes, the connections
//! through it break.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::certificates::Certificates;

/// What goes wrong before any request is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Nothing listens.
    Refused,
    /// Connections are accepted, and nothing is ever said.
    Silent,
    /// Connections are accepted and reset.
    Reset,
    /// The certificate is for another name.
    WrongName,
    /// The certificate ended years ago.
    Expired,
    /// The certificate's authority is not known.
    UnknownIssuer,
}

/// One such port; it closes when dropped.
#[derive(Debug)]
pub struct Front {
    port: u16,
    fault: watch::Sender<Option<LineFault>>,
    task: JoinHandle<()>,
}

impl Front {
    pub(super) async fn open(target: u16, certificates: Certificates) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (fault, faults) = watch::channel(None);
        let task = tokio::spawn(run(listener, port, target, faults, certificates));
        Ok(Self { port, fault, task })
    }

    /// Its port on the loopback address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its origin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Lets it go wrong, or go right again, and breaks every connection.
    pub fn set(&self, fault: Option<LineFault>) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    listener: TcpListener,
    port: u16,
    target: u16,
    mut faults: watch::Receiver<Option<LineFault>>,
    certificates: Certificates,
) {
    let mut listener = Some(listener);
    loop {
        let fault = *faults.borrow_and_update();
        if fault == Some(LineFault::Refused) {
            listener = None;
            // Bound, so that nobody else gets the port, but not listening.
            let _held = hold(port).await;
            if faults.changed().await.is_err() {
                return;
            }
            continue;
        }
        let open = match listener.take() {
            Some(open) => open,
            None => match hold(port).await.listen(1024) {
                Ok(open) => open,
                // Somebody else listens there for a moment.
                Err(_) => continue,
            },
        };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                changed = faults.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                accepted = open.accept() => if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, fault, target, certificates.clone()));
                },
                Some(_) = connections.join_next() => {}
            }
        }
        listener = Some(open);
    }
}

/// A socket with the port; waits for it if need be.
async fn hold(port: u16) -> TcpSocket {
    loop {
        let bound = TcpSocket::new_v4().and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
            Ok(socket)
        });
        match bound {
            Ok(socket) => return socket,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// What comes of one connection; whoever is on the other end sees why.
async fn serve(
    mut stream: TcpStream,
    fault: Option<LineFault>,
    target: u16,
    certificates: Certificates,
) {
    let refuse = |tls: TlsAcceptor, stream| async move {
        // Whoever accepts such a certificate gets no further either.
        let _ = tls.accept(stream).await;
    };
    match fault {
        None => {
            if let Ok(mut face) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                let _ = stream.set_nodelay(true);
                let _ = face.set_nodelay(true);
                let _ = copy_bidirectional(&mut stream, &mut face).await;
            }
        }
        Some(LineFault::Refused | LineFault::Reset) => {
            let _ = stream.set_zero_linger();
        }
        Some(LineFault::Silent) => std::future::pending().await,
        Some(LineFault::WrongName) => refuse(certificates.wrong_name, stream).await,
        Some(LineFault::Expired) => refuse(certificates.expired, stream).await,
        Some(LineFault::UnknownIssuer) => refuse(certificates.unknown_issuer, stream).await,
    }
}
