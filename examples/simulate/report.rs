//! What came of a run, beside what could have come of it.

use std::fmt;
use std::time::Duration;

use defender_scan_exporter::clock::Uptime;
use defender_scan_exporter::config::Poll;

use super::run::{Scenario, as_f64, limits};

const HOUR: Duration = Duration::from_hours(1);

/// Delays in steps of 0.1 s.
#[derive(Debug, Default)]
struct Delays(Vec<u64>);

impl Delays {
    fn add(&mut self, delay: Duration) {
        let step = usize::try_from(delay.as_millis() / 100).unwrap_or(usize::MAX);
        let step = step.min(864_000);
        if self.0.len() <= step {
            self.0.resize(step + 1, 0);
        }
        self.0[step] += 1;
    }

    /// The delay that `share` of all do not exceed, in seconds.
    fn quantile(&self, share: f64) -> f64 {
        let all: u64 = self.0.iter().sum();
        let mut seen = 0;
        for (step, count) in self.0.iter().enumerate() {
            seen += count;
            if seen > 0 && to_f64(seen) >= share * to_f64(all) {
                return as_f64(step + 1) / 10.0;
            }
        }
        0.0
    }

    fn count(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

/// Whether anything went wrong lately, or is still being caught up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calm {
    No,
    /// Not since the last list.
    ListingDiff,
    /// Not since then: all that it listed is known.
    Since(Uptime),
}

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    pub scenario: Scenario,
    start: Uptime,
    /// Windows of the service's clock with more calls than the limit.
    pub violations: usize,
    /// When the service saw calls, from the start on.
    pub arrivals: Vec<Duration>,
    /// Calls that had to be made.
    pub least: f64,
    delays: Delays,
    /// The most by which a delay exceeded the interval of the list, its latency and that of
    /// one call of history, in seconds: where nothing had gone wrong and one call was enough.
    pub excess: f64,
    /// Delays that `excess` looks at.
    pub undisturbed: u64,
    /// Until history of every definition was fetched once.
    pub cold_start: Option<Duration>,
    calm: Calm,
    /// From the start of the list before to the start of the last one.
    since_list: Duration,
    list_took: Duration,
    pages: usize,
    lists: usize,
    changed_batches: usize,
    failures: usize,
    restarts: usize,
    span: Duration,
}

impl Report {
    pub fn new(scenario: Scenario, start: Uptime) -> Self {
        Self {
            scenario,
            start,
            violations: 0,
            arrivals: Vec::new(),
            least: 0.0,
            delays: Delays::default(),
            excess: f64::NEG_INFINITY,
            undisturbed: 0,
            cold_start: None,
            calm: Calm::No,
            since_list: Duration::ZERO,
            list_took: Duration::ZERO,
            pages: 1,
            lists: 0,
            changed_batches: 0,
            failures: 0,
            restarts: 0,
            span: Duration::ZERO,
        }
    }

    pub fn failed(&mut self) {
        self.failures += 1;
        self.disturbed();
    }

    /// The service said how many ids it allows: learning that costs a call.
    pub fn oversized(&mut self) {
        self.failed();
    }

    pub fn restarted(&mut self) {
        self.restarts += 1;
        self.disturbed();
    }

    fn disturbed(&mut self) {
        self.calm = Calm::No;
    }

    pub fn listed(&mut self, pages: usize, took: Duration, changed: usize, paused: bool) {
        self.lists += 1;
        self.pages = pages;
        self.since_list = self.list_took.max(self.interval());
        self.list_took = took;
        self.changed_batches += changed.div_ceil(self.scenario.batch);
        if changed > self.scenario.batch {
            // Several calls, one after the other: another bound.
            self.disturbed();
        } else if self.calm == Calm::No && !paused {
            self.calm = Calm::ListingDiff;
        }
    }

    /// The details of a run that ended at `run` are known now.
    pub fn detail(&mut self, now: Uptime, run: Uptime, took: Duration) {
        let delay = now.since(run);
        self.delays.add(delay);
        if matches!(self.calm, Calm::Since(moment) if run > moment) {
            self.undisturbed += 1;
            let bound = self.since_list + self.list_took + took;
            self.excess = self.excess.max(delay.as_secs_f64() - bound.as_secs_f64());
        }
    }

    pub fn fetched(&mut self, now: Uptime, covered: usize, settled: bool) {
        if self.calm == Calm::ListingDiff && settled {
            self.calm = Calm::Since(now);
        }
        if covered >= self.scenario.definitions {
            self.cold_start.get_or_insert(now.since(self.start));
        }
    }

    /// `swept`: how many definitions a day only the sweep fetches.
    pub fn finish(&mut self, violations: usize, arrivals: &[Uptime], end: Uptime, swept: f64) {
        self.violations = violations;
        self.arrivals = arrivals.iter().map(|at| at.since(self.start)).collect();
        self.span = end.since(self.start);
        let agents = self.span.div_duration_f64(Poll::default().agents);
        let days = self.span.div_duration_f64(HOUR * 24);
        self.least = as_f64(self.lists * self.pages + self.changed_batches + self.failures)
            + agents
            + days * swept / as_f64(self.scenario.batch);
    }

    /// The interval of the list.
    fn interval(&self) -> Duration {
        let hour = u32::try_from(2 * self.pages).unwrap_or(u32::MAX);
        let calls = u32::try_from(limits().hour.calls).unwrap_or(u32::MAX);
        Poll::default().definitions.max(HOUR * hour / calls)
    }

    /// The earliest moment at which history of everything can have been fetched: with all
    /// calls that the lists leave.
    pub fn cold_start_bound(&self) -> Duration {
        let calls = self.scenario.definitions.div_ceil(self.scenario.batch);
        let lists = as_f64(self.pages) * HOUR.div_duration_f64(self.interval())
            + HOUR.div_duration_f64(Poll::default().agents);
        let left = as_f64(limits().hour.calls) - lists;
        HOUR.mul_f64(as_f64(calls) / left)
    }

    /// The share of the allowed calls that were made.
    pub fn used(&self) -> f64 {
        as_f64(self.arrivals.len())
            / (as_f64(limits().hour.calls) * self.span.div_duration_f64(HOUR))
    }

    /// Calls made against calls that had to be made.
    pub fn ratio(&self) -> f64 {
        as_f64(self.arrivals.len()) / self.least
    }

    /// Headings of the columns of `Display`.
    pub const HEADINGS: &'static str = "| definitions | ids a call | runs seen | restarts | failures | violations | calls | ÷ least | budget used | delay p50 | p95 | max | over the bound | cold start | its bound |\n| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |";
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario {
            definitions, batch, ..
        } = self.scenario;
        write!(
            f,
            "| {definitions} | {batch} | {} | {} | {} | {} | {} | {:.3} | {:.1} % | {:.1} s | {:.1} s | {:.1} s | {} | {} | {} |",
            self.delays.count(),
            self.restarts,
            self.failures,
            self.violations,
            self.arrivals.len(),
            self.ratio(),
            self.used() * 100.0,
            self.delays.quantile(0.5),
            self.delays.quantile(0.95),
            self.delays.quantile(1.0),
            if self.undisturbed == 0 {
                "–".to_owned()
            } else {
                format!("{:.1} s", self.excess)
            },
            self.cold_start.map_or("–".to_owned(), minutes),
            minutes(self.cold_start_bound()),
        )
    }
}

fn minutes(duration: Duration) -> String {
    format!("{:.1} min", duration.as_secs_f64() / 60.0)
}
