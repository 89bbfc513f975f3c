//! The same work on many things, shared among the cores.

use std::iter;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::Handle;

/// Threads at once, at most: the memory that each needs beside its work is room that is kept.
const MOST: usize = 4;

/// What `work` makes of each of `items`, in their order. Each `share` of them is worth a thread:
/// of fewer, nothing is done but on this one, and so is all that no thread can be started for.
///
/// # Panics
/// If `work` does.
pub fn map<T: Send, R: Send>(items: Vec<T>, share: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    // One core is as good a guess as any.
    let cores = thread::available_parallelism().map_or(1, Into::into);
    let threads = cores.min(MOST).min(items.len() / share);
    let queue = Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let done = || iter::from_fn(next).map(|(place, item)| (place, work(item)));
    // Where a test pauses the time of the runtime, it is paused on each of them.
    let runtime = Handle::try_current().ok();
    let help = || {
        let _runtime = runtime.as_ref().map(Handle::enter);
        done().collect::<Vec<_>>()
    };
    let mut results = thread::scope(|scope| {
        let start = |_| {
            let thread = thread::Builder::new().name("helper".to_owned());
            thread.spawn_scoped(scope, help).ok()
        };
        let helpers: Vec<_> = (1..threads).map_while(start).collect();
        let mut results: Vec<_> = done().collect();
        for helper in helpers {
            results.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        results
    });
    results.sort_unstable_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::panic::catch_unwind;
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, Timestamp};

    #[test]
    fn results_are_in_the_order_of_their_items() {
        for items in [0, 1, 2, 1000] {
            let doubled = map((0..items).collect(), 1, |item| 2 * item);
            assert_eq!(doubled, (0..items).map(|item| 2 * item).collect::<Vec<_>>());
        }
    }

    #[test]
    fn few_items_are_worth_no_further_thread() {
        let threads_of = |items| {
            let work = |()| {
                thread::sleep(Duration::from_millis(1));
                thread::current().id()
            };
            let threads = map(vec![(); items], 16, work);
            threads.into_iter().collect::<HashSet<_>>()
        };
        assert_eq!(threads_of(31), HashSet::from([thread::current().id()]));
        assert!(threads_of(100).len() <= MOST);
    }

    #[test]
    fn a_panic_is_passed_on() {
        let panicked = catch_unwind(|| map((0..100).collect(), 1, |item| assert_ne!(item, 99)));
        assert!(panicked.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_is_the_same_on_all_threads() {
        let clock = Clock::anchored(Timestamp::from_unix_millis(0));
        tokio::time::advance(Duration::from_hours(1)).await;
        let times = map(vec![(); 100], 1, |()| {
            thread::sleep(Duration::from_millis(1));
            clock.uptime()
        });
        assert_eq!(times, [clock.uptime(); 100]);
    }
}
