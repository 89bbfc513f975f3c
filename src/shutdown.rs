//! Stopping in good order: a signal cancels one token, everyone who serves or
//! polls watches it, and a grace period bounds how long they may take.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long work in flight may take after a signal, before it is dropped.
pub const GRACE: Duration = Duration::from_secs(4);

/// Returns a token that is cancelled at the first SIGTERM or SIGINT.
///
/// # Errors
/// If the process may not install signal handlers.
pub fn on_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        cancelled.cancel();
    });
    Ok(token)
}

/// The SIGHUPs from now on: each asks for a reload, and none ends the process.
///
/// # Errors
/// If the process may not install signal handlers.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
