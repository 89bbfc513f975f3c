//! Time on the processor, and rows of the table.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often each is measured; the least counts.
const ROUNDS: usize = 25;

/// The time on the processor so far, by a clock of the thread or of the process.
fn spent(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

fn once(clock: ClockId, work: &mut dyn FnMut()) -> Duration {
    let before = spent(clock);
    work();
    spent(clock).saturating_sub(before)
}

/// The least time of each, measured by turns, so that a busy minute disturbs all.
pub fn least<const N: usize>(works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    least_by(ClockId::ThreadCPUTime, works)
}

/// The same of works that are shared among threads: the time of all threads counts.
pub fn least_of_all_threads<const N: usize>(works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    least_by(ClockId::ProcessCPUTime, works)
}

fn least_by<const N: usize>(clock: ClockId, mut works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut least = [Duration::MAX; N];
    for _ in 0..ROUNDS {
        for (least, work) in least.iter_mut().zip(&mut works) {
            *least = once(clock, *work).min(*least);
        }
    }
    least
}

/// Prints one row.
pub fn row(what: &str, definitions: usize, time: Duration, baseline: &str, base: Duration) {
    println!(
        "| {what} | {definitions} | {:.3} ms | {baseline} | {:.3} ms | {:.3} |",
        time.as_secs_f64() * 1e3,
        base.as_secs_f64() * 1e3,
        time.as_secs_f64() / base.as_secs_f64()
    );
}
