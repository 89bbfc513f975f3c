//! Work that takes a while, on a thread of its own: what changed of ten thousand
//! definitions may be megabytes of text.
//!
//! The runtime's threads are not kept from answering meanwhile. Nor are its blocking
//! threads asked, which others may fill with what hangs.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

/// Does one thing after the other; clones do them together.
#[derive(Clone, Debug)]
pub(super) struct Renderer(Arc<Semaphore>);

impl Default for Renderer {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Renderer {
    /// What comes of `work`, once it is its turn; `None` if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let (sender, outcome) = oneshot::channel();
        let job = move || {
            let result = work();
            drop(turn);
            // Whoever asked may have gone.
            let _ = sender.send(result);
        };
        let job = Arc::new(Mutex::new(Some(job)));
        let run = move || {
            // Taken out by the first, and only taken while it is held: it cannot be poisoned.
            let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(job) = job {
                job();
            }
        };
        let name = "render".to_owned();
        let thread = thread::Builder::new().name(name).spawn(run.clone());
        if let Err(error) = thread {
            tracing::warn!(%error, "cannot start a thread to render a page: it is rendered on a shared thread");
            run();
        }
        outcome.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_panic_costs_what_was_asked_for_and_nothing_else() {
        let renderer = Renderer::default();
        assert_eq!(renderer.run(|| 1).await, Some(1));
        assert_eq!(renderer.run(|| panic!("as wanted")).await, None::<u8>);
        assert_eq!(renderer.run(|| 2).await, Some(2));
    }

    #[test]
    fn it_needs_none_of_the_runtimes_blocking_threads() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        runtime.spawn_blocking(move || held.recv());
        let rendered = runtime.block_on(async {
            let renderer = Renderer::default();
            tokio::time::timeout(Duration::from_mins(1), renderer.run(|| 1)).await
        });
        drop(release);
        assert_eq!(rendered, Ok(Some(1)));
    }
}
