//! A stream that breaks when nothing has moved on it for too long: an idle
//! client, one that reads or writes too slowly, or one that is gone. What a client
//! sends does not make up for what it does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream with a bound on the time without a byte in either direction.
pub(super) struct IdleTimeout<S> {
    stream: S,
    patience: Duration,
    reading: Wait,
    writing: Wait,
}

/// Running since something first had to wait; `None` after a byte moved.
type Wait = Option<Pin<Box<Sleep>>>;

impl<S> IdleTimeout<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            reading: None,
            writing: None,
        }
    }
}

/// What is ready, or the end of patience.
fn bound<T>(
    poll: Poll<io::Result<T>>,
    wait: &mut Wait,
    patience: Duration,
    context: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    if poll.is_ready() {
        *wait = None;
        return poll;
    }
    let wait = wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
    ready!(wait.as_mut().poll(context));
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl<S> IdleTimeout<S> {
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            // Whoever is sent something need not say anything.
            self.reading = None;
        }
        bound(poll, &mut self.writing, self.patience, context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let poll = Pin::new(&mut this.stream).poll_read(context, buffer);
        bound(poll, &mut this.reading, this.patience, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Moves no byte: a flush that is done says nothing about the client.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(90);

    #[tokio::test(start_paused = true)]
    async fn who_neither_sends_nor_reads_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut near = IdleTimeout::new(near, PATIENCE);
        let read = near.read_u8().await.unwrap_err();
        assert_eq!(read.kind(), io::ErrorKind::TimedOut);

        let (near, _far) = tokio::io::duplex(16);
        let mut near = IdleTimeout::new(near, PATIENCE);
        let written = near.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(written.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_and_does_not_read_is_given_up() {
        let (near, far) = tokio::io::duplex(16);
        let (_unread, mut far) = tokio::io::split(far);
        let (mut read, mut write) = tokio::io::split(IdleTimeout::new(near, PATIENCE));
        let pings = tokio::spawn(async move {
            while far.write_u8(1).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        tokio::spawn(async move { while read.read_u8().await.is_ok() {} });
        let written = write.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(written.kind(), io::ErrorKind::TimedOut);
        pings.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_but_moves_is_not() {
        let (near, mut far) = tokio::io::duplex(1);
        let mut near = IdleTimeout::new(near, PATIENCE);
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(PATIENCE.mul_f64(0.9)).await;
                far.write_u8(1).await.unwrap();
            }
        });
        for _ in 0..10 {
            assert_eq!(near.read_u8().await.unwrap(), 1);
        }
    }
}
