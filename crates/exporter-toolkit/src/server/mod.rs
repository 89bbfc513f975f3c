//! Serving: sockets, who may come in, and the connections.

mod connections;
mod deadline;
mod handshake;
mod held;
mod idle_timeout;
mod peer;
pub(crate) mod requests;

use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use thiserror::Error;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use self::handshake::Refusals;
pub use self::held::hold;
pub use self::peer::Peer;

use crate::access::{Access, AccessError};
use crate::event::Event;
use crate::flags::WebFlags;
use crate::listen::{self, ListenError, Socket};

/// How long requests under way may take after the end was asked for, unless told otherwise.
const GRACE: Duration = Duration::from_secs(4);

/// Why nothing can be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// There is no socket to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The web configuration cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// Serves `router` where and to whom `flags` say, until `stop` is over; logs where.
///
/// # Errors
/// [`ServeError`], if there is nothing to listen on or the web configuration cannot be used.
pub async fn serve<const PORT: u16>(
    router: Router,
    flags: &WebFlags<PORT>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let server = Server::bind(flags).await?;
    let tls = server.is_tls();
    for socket in server.sockets() {
        tracing::info!(address = %socket, tls, "listening");
    }
    server.serve(router, stop).await;
    Ok(())
}

/// Bound sockets, and who may come in.
#[derive(Debug)]
pub struct Server {
    sockets: Vec<Socket>,
    access: Access,
    grace: Duration,
}

impl Server {
    /// Binds the sockets that `flags` ask for, and reads the web configuration.
    ///
    /// # Errors
    /// [`ServeError`], if there is nothing to listen on or the web configuration cannot be used.
    pub async fn bind<const PORT: u16>(flags: &WebFlags<PORT>) -> Result<Self, ServeError> {
        let sockets = if flags.systemd_socket {
            listen::from_systemd()?
        } else {
            listen::bind(&flags.listen_addresses).await?
        };
        let access = match &flags.config_file {
            Some(file) => Access::watch(file)?,
            None => Access::open(),
        };
        Ok(Self::new(sockets, access))
    }

    /// Of sockets that are bound already.
    #[must_use]
    pub fn new(sockets: Vec<Socket>, access: Access) -> Self {
        Self {
            sockets,
            access,
            grace: GRACE,
        }
    }

    /// Tells `listener` what happens: see [`Access::on_event`].
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.access = self.access.on_event(listener);
        self
    }

    /// Sets how long requests under way may take after the end was asked for; 4 s by default.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }

    /// Whether connections are encrypted, as far as is known.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.access.is_tls()
    }

    /// Serves until `stop` is over; requests under way may then end, within bounds.
    ///
    /// # Panics
    /// If a task that accepts connections does.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for socket in self.sockets {
            let (router, access) = (router.clone(), self.access.clone());
            let (shutdown, grace) = (shutdown.clone(), self.grace);
            match socket {
                Socket::Tcp(listener) => {
                    // Else the last piece of an answer waits up to 40 ms for an acknowledgement.
                    let listener = listener.tap_io(|stream| {
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "answers may be delayed");
                        }
                    });
                    tasks.spawn(connections::accept(
                        listener, router, access, shutdown, grace,
                    ));
                }
                Socket::Unix(listener) => {
                    tasks.spawn(connections::accept(
                        listener, router, access, shutdown, grace,
                    ));
                }
            }
        }
        let ended = |ended: Result<(), JoinError>| {
            // Nobody aborts a task, so the error is a panic.
            if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
                std::panic::resume_unwind(panic);
            }
        };
        tokio::select! {
            () = stop => shutdown.cancel(),
            Some(first) = tasks.join_next() => ended(first),
        }
        while let Some(next) = tasks.join_next().await {
            ended(next);
        }
    }
}

/// Waits for SIGTERM or SIGINT, for [`serve`].
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let caught = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt)] = caught else {
        // Without a handler, both end the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
