//! What was measured, as a table.

/// The smallest body, in bytes, whose scrape takes a time that can be told.
const COUNTABLE: usize = 100 << 20;

/// How the start went, in seconds after it.
pub struct Start {
    pub listening: f64,
    pub ready: f64,
    /// The processor's time until then.
    pub cpu: f64,
    /// When the last tenant's first list was asked for.
    pub polled: f64,
    /// The most sign-ins in any second.
    pub most_sign_ins: usize,
}

/// What a scrape cost, in seconds.
#[derive(Clone, Copy)]
pub struct Scrape {
    /// On the wall.
    pub wall: f64,
    /// Of the processor.
    pub cpu: f64,
}

impl Scrape {
    /// The same without the share of the processor that all else takes.
    pub fn without(self, rest: f64) -> Self {
        Self {
            cpu: self.cpu - rest * self.wall,
            ..self
        }
    }
}

/// All that was measured.
pub struct Report {
    pub tenants: usize,
    pub definitions: usize,
    pub start: Start,
    pub settled: u64,
    pub peak: u64,
    pub peak_with_scrape: u64,
    /// Share of one core at rest.
    pub cpu: f64,
    /// Calls at rest.
    pub calls: usize,
    /// Seconds at rest.
    pub rested: f64,
    /// Bytes written at rest.
    pub written: u64,
    /// Commits a minute.
    pub commits: f64,
    pub state: u64,
    pub series: usize,
    pub bytes: usize,
    /// Seconds of the processor to copy a body.
    pub copying: f64,
    pub first: Scrape,
    pub warm: Scrape,
    pub changing: Scrape,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people, of a few digits"
)]
impl Report {
    pub fn print(&self) {
        let mib = |bytes: u64| bytes / (1 << 20);
        let (tenants, definitions) = (self.tenants, self.definitions);
        println!("| {tenants} tenants × {definitions} definitions | |\n| --- | --- |");
        self.print_start();
        println!("| memory at rest (resident) | {} MiB |", mib(self.settled));
        println!(
            "| memory at its highest | {} MiB; {} MiB with a scrape |",
            mib(self.peak),
            mib(self.peak_with_scrape)
        );
        println!(
            "| processor at rest | {:.1} % of one core, {} calls in {:.0} s |",
            self.cpu * 100.0,
            self.calls,
            self.rested
        );
        self.print_disk();
        println!(
            "| a scrape | {:.1} MiB, {} series |",
            self.bytes as f64 / f64::from(1 << 20),
            self.series
        );
        println!("| copying such a body | {:.3} s |", self.copying);
        self.print_scrape("first scrape", self.first);
        self.print_scrape("warm scrape", self.warm);
        self.print_scrape("scrape while 100 tenants change a second", self.changing);
    }

    fn print_start(&self) {
        let start = &self.start;
        println!("| until it listens | {:.1} s |", start.listening);
        println!(
            "| until all tenants were polled (`/-/ready`) | {:.1} s, {:.1} s of processor time |",
            start.ready, start.cpu
        );
        println!(
            "| until the last tenant's first call | {:.1} s |",
            start.polled
        );
        println!(
            "| sign-ins in any second, at most | {} |",
            start.most_sign_ins
        );
    }

    fn print_disk(&self) {
        let minutes = self.rested / 60.0;
        let written = self.written as f64 / 1e6;
        println!(
            "| written to disk at rest | {:.2} MB a minute, {:.0} bytes a call |",
            written / minutes,
            self.written as f64 / self.calls.max(1) as f64
        );
        println!(
            "| durable transactions at rest | {:.0} a minute, {:.2} a call |",
            self.commits,
            self.commits * minutes / self.calls.max(1) as f64
        );
        println!("| state on disk | {} MiB |", self.state >> 20);
    }

    /// The processor's time comes in steps, so that of a small body says nothing.
    fn print_scrape(&self, what: &str, scrape: Scrape) {
        let wall = scrape.wall;
        if self.bytes < COUNTABLE {
            println!("| {what} | {wall:.3} s |");
            return;
        }
        println!(
            "| {what} | {wall:.2} s, {:.3} s of processor time, {:.2} × copying |",
            scrape.cpu,
            scrape.cpu / self.copying
        );
    }
}
