//! Look-ups of host names, apart from everything else that takes time.
//!
//! ```text
//! request ─► look-up of its host, shared by all who ask ─► slot ─► thread ─► getaddrinfo
//! ```
//!
//! `getaddrinfo` cannot be given up: it keeps its thread for half a minute where no name server
//! answers. So there are few such threads; hosts whose name servers have answered have slots of
//! their own, which silent name servers cannot take; and the process does not wait for any
//! look-up at its end.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, watch};

/// Look-ups at a time of hosts whose name servers answered the last time, and as many of others.
const SLOTS: usize = 8;

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum LookupError {
    /// No name server answered, or not in time.
    #[error("no name server answered")]
    NoAnswer,
    /// Anything else, in the words of the system.
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for LookupError {
    fn from(error: io::Error) -> Self {
        let text = error.to_string();
        // `EAI_AGAIN` in the words of glibc and of musl; the standard library does not show the code.
        let silent = ["Temporary failure in name resolution", "Try again"];
        if silent.iter().any(|words| text.ends_with(words)) {
            return Self::NoAnswer;
        }
        Self::Failed(text)
    }
}

type Answer = Result<Arc<[SocketAddr]>, LookupError>;

/// Looks a host up, and blocks meanwhile.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks names up, with bounds of its own.
#[derive(Clone)]
pub(super) struct Lookups {
    shared: Arc<Shared>,
    /// How long a request waits for an answer.
    limit: Duration,
}

struct Shared {
    look_up: Box<LookUp>,
    state: Mutex<State>,
    /// For hosts that were answered for the last time, and for others.
    slots: [Semaphore; 2],
}

#[derive(Default)]
struct State {
    under_way: HashMap<String, Arc<watch::Sender<Option<Answer>>>>,
    answered: HashSet<String>,
}

impl Lookups {
    /// Look-ups by the system.
    pub(super) fn new() -> Self {
        Self::with(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    fn with(look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        let shared = Shared {
            look_up: Box::new(look_up),
            state: Mutex::default(),
            slots: [Semaphore::new(SLOTS), Semaphore::new(SLOTS)],
        };
        Self {
            shared: Arc::new(shared),
            limit: Duration::MAX,
        }
    }

    /// The same, for requests that wait that long.
    pub(super) fn within(&self, limit: Duration) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            limit,
        }
    }

    async fn answer(self, host: String) -> Answer {
        let mut answer = self.shared.ask(&host);
        let waiting = answer.wait_for(Option::is_some);
        match tokio::time::timeout(self.limit, waiting).await {
            Ok(Ok(answer)) => answer.clone().unwrap_or(Err(LookupError::NoAnswer)),
            // Nothing in time; or the runtime ends.
            Err(_) | Ok(Err(_)) => Err(LookupError::NoAnswer),
        }
    }
}

impl Resolve for Lookups {
    fn resolve(&self, name: Name) -> Resolving {
        let answer = self.clone().answer(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = answer.await?.to_vec();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the answer will be: of the look-up under way, or of a new one.
    fn ask(self: &Arc<Self>, host: &str) -> watch::Receiver<Option<Answer>> {
        let mut state = self.state();
        if let Some(answer) = state.under_way.get(host) {
            return answer.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        state.under_way.insert(host.to_owned(), Arc::clone(&sender));
        tokio::spawn(Arc::clone(self).run(host.to_owned(), sender));
        receiver
    }

    async fn run(self: Arc<Self>, host: String, sender: Arc<watch::Sender<Option<Answer>>>) {
        let known = self.state().answered.contains(&host);
        let [first, second] = &self.slots;
        // The semaphores are never closed.
        let _slot = if known { first } else { second }.acquire().await;
        {
            let mut state = self.state();
            if sender.is_closed() {
                // Whoever asked has given up meanwhile.
                state.under_way.remove(&host);
                return;
            }
        }
        let answer = self.look_up(&host).await;
        let mut state = self.state();
        if answer == Err(LookupError::NoAnswer) {
            state.answered.remove(&host);
        } else {
            state.answered.insert(host.clone());
        }
        state.under_way.remove(&host);
        sender.send_replace(Some(answer));
    }

    async fn look_up(self: &Arc<Self>, host: &str) -> Answer {
        let (sender, mut answer) = mpsc::channel(1);
        let look_up = || {
            let (shared, name, sender) = (Arc::clone(self), host.to_owned(), sender.clone());
            // Whoever asked may have gone.
            move || drop(sender.try_send((shared.look_up)(&name)))
        };
        let thread = std::thread::Builder::new().name("look-up".to_owned());
        if thread.spawn(look_up()).is_err() {
            // At the limit of threads: one of the runtime's, which are kept.
            drop(tokio::task::spawn_blocking(look_up()));
        }
        drop(sender);
        match answer.recv().await {
            Some(found) => Ok(found?.into()),
            None => Err(LookupError::Failed("the lookup was aborted".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);

    /// Look-ups that block where the host's name says so, until the sender is dropped.
    fn silent_for_some() -> (Lookups, Arc<[AtomicUsize; 2]>, mpsc::Sender<()>) {
        let (hold, release) = mpsc::channel::<()>();
        let release = Mutex::new(release);
        let counts: Arc<[AtomicUsize; 2]> = Arc::default();
        let seen = Arc::clone(&counts);
        let lookups = Lookups::with(move |host| {
            seen[0].fetch_add(1, Ordering::SeqCst);
            if host.starts_with("silent") {
                seen[1].fetch_add(1, Ordering::SeqCst);
                let _ = release.lock().map(|release| release.recv());
            }
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))])
        });
        (lookups.within(LIMIT), counts, hold)
    }

    #[tokio::test]
    async fn silent_name_servers_take_no_slot_of_a_host_that_was_found() {
        let (lookups, counts, _hold) = silent_for_some();
        // A thread of its own answers, which may have to wait for a processor.
        let good = || {
            let patient = lookups.within(Duration::from_mins(1));
            patient.answer("good".to_owned())
        };
        assert!(good().await.is_ok());
        let silent = (0..100).map(|n| lookups.clone().answer(format!("silent-{n}")));
        let silent = futures::future::join_all(silent);
        let again = async {
            let full = async {
                while counts[1].load(Ordering::SeqCst) < SLOTS {
                    tokio::time::sleep(LIMIT / 100).await;
                }
            };
            let full = tokio::time::timeout(Duration::from_mins(1), full).await;
            full.expect("the silent ones take all other slots");
            good().await
        };
        let (silent, again) = tokio::join!(silent, again);
        assert!(again.is_ok(), "{again:?}");
        let unanswered = |answer: &Answer| *answer == Err(LookupError::NoAnswer);
        assert!(silent.iter().all(unanswered), "{silent:?}");
        assert_eq!(counts[1].load(Ordering::SeqCst), SLOTS, "no more threads");
    }

    #[tokio::test]
    async fn look_ups_of_one_host_are_one() {
        let (lookups, counts, hold) = silent_for_some();
        for _ in 0..3 {
            let all = (0..50).map(|_| lookups.clone().answer("silent".to_owned()));
            futures::future::join_all(all).await;
        }
        assert_eq!(counts[0].load(Ordering::SeqCst), 1);
        let waiting = lookups.within(Duration::from_mins(1));
        let waiting = tokio::spawn(waiting.answer("silent".to_owned()));
        tokio::task::yield_now().await;
        drop(hold);
        assert!(waiting.await.expect("no panic").is_ok(), "a late answer");
    }

    #[test]
    fn silence_is_told_from_a_name_that_is_not_known() {
        let of = |text: &str| {
            let text = format!("failed to lookup address information: {text}");
            LookupError::from(io::Error::other(text))
        };
        for text in ["Temporary failure in name resolution", "Try again"] {
            assert_eq!(of(text), LookupError::NoAnswer);
        }
        for text in [
            "Name or service not known",
            "Name does not resolve",
            "No address associated with hostname",
        ] {
            assert!(matches!(of(text), LookupError::Failed(_)), "{text}");
        }
    }
}
