//! Time on the processor, and rows of the table.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often each is measured; the least counts.
const ROUNDS: usize = 25;

/// The thread's time on the processor so far.
fn spent() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

fn once(work: &mut dyn FnMut()) -> Duration {
    let before = spent();
    work();
    spent().saturating_sub(before)
}

/// The least time of each, measured by turns, so that a busy minute disturbs all.
pub fn least<const N: usize>(mut works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut least = [Duration::MAX; N];
    for _ in 0..ROUNDS {
        for (least, work) in least.iter_mut().zip(&mut works) {
            *least = once(*work).min(*least);
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
