//! One fault at one endpoint, from the start or in mid-life: a tenant of its own.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use defender_scan_exporter::clock::Clock;
use defender_simulator::{CallRecord, Endpoint, Front, LineFault, Outcome, Simulator};
use tokio::sync::Mutex;

use super::rows::{Cause, ENDPOINTS, Row};
use super::watch::{Samples, Watch};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What all cells share.
pub struct Bench {
    pub simulator: Simulator,
    /// The names that the exporter can resolve.
    hosts: PathBuf,
    /// Held by a cell whose fault takes much memory.
    heavy: Mutex<()>,
}

/// A cell of the matrix.
pub struct Cell {
    pub row: usize,
    pub column: usize,
    pub when: When,
    /// Its number in the simulator.
    pub tenant: usize,
    cause: Cause,
    reason: &'static str,
    slow: bool,
    heavy: bool,
    api: Front,
    authority: Front,
}

/// The name of a tenant's host, where names are what fails.
pub fn host_name(tenant: usize) -> String {
    format!("host-{tenant}.test")
}

/// When a fault begins, and by which protocol the exporter speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    Start,
    MidLife,
    MidLifeHttp1,
}

impl When {
    pub const ALL: [Self; 3] = [Self::Start, Self::MidLife, Self::MidLifeHttp1];

    pub fn text(self) -> &'static str {
        match self {
            Self::Start => "from the start",
            Self::MidLife => "in mid-life",
            Self::MidLifeHttp1 => "in mid-life over HTTP/1.1",
        }
    }
}

/// Where a cell is: row, column, when.
pub type Place = (usize, usize, When);

/// The names of the hosts of those cells where names are what fails.
pub fn host_names(rows: &[Row], places: &[Place]) -> Vec<String> {
    let places = places.iter().enumerate();
    let named = places.filter(|(_, (row, ..))| matches!(rows[*row].cause, Cause::Name));
    named.map(|(tenant, _)| host_name(tenant)).collect()
}

/// Which cells there are, those that wait for a minute first.
pub fn places(rows: &[Row]) -> Vec<Place> {
    let mut places = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        for column in 0..ENDPOINTS.len() {
            if row.reasons[column].is_some() {
                places.extend(When::ALL.map(|when| (number, column, when)));
            }
        }
    }
    let waits = |reason: Option<&str>| matches!(reason, Some("throttled" | "timeout"));
    places.sort_by_key(|(row, ..)| !waits(rows[*row].reasons[1]));
    places
}

async fn front(simulator: &Simulator, when: When) -> Front {
    let front = match when {
        When::Start | When::MidLife => simulator.front().await,
        When::MidLifeHttp1 => simulator.http1_front().await,
    };
    front.expect("a port is free")
}

/// All cells, with their ports.
pub async fn all(
    rows: &[Row],
    places: &[Place],
    simulator: &Simulator,
    folder: &Path,
) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (tenant, &(row, column, when)) in places.iter().enumerate() {
        let found = &rows[row];
        cells.push(Cell {
            row,
            column,
            when,
            tenant,
            cause: found.cause.clone(),
            reason: found.reasons[column].expect("only such places"),
            slow: found.slow,
            heavy: found.heavy,
            api: front(simulator, when).await,
            authority: front(simulator, when).await,
        });
    }
    let named = cells
        .iter()
        .filter(|cell| matches!(cell.cause, Cause::Name));
    let unknown = named.map(|cell| format!("#27.0.0.1 {}\n", host_name(cell.tenant)));
    let hosts = format!("127.0.0.1 localhost\n{}", unknown.collect::<String>());
    fs::write(folder.join("hosts"), hosts).expect("it can be written");
    cells
}

impl Bench {
    pub fn new(simulator: Simulator, folder: &Path) -> Self {
        Self {
            simulator,
            hosts: folder.join("hosts"),
            heavy: Mutex::default(),
        }
    }

    /// Makes a host's name known, or unknown.
    fn name(&self, tenant: usize, known: bool) {
        let text = fs::read_to_string(&self.hosts).expect("it can be read");
        let end = format!(" {}\n", host_name(tenant));
        let end = text.find(&end).expect("it has a line");
        let start = text[..end].rfind('\n').expect("it is not the first") + 1;
        // The exporter sees this very file as its own, and all others look their hosts up
        // meanwhile: one byte makes a comment of the line.
        let hosts = fs::OpenOptions::new().write(true).open(&self.hosts);
        let first = if known { b"1" } else { b"#" };
        let written = hosts.and_then(|hosts| hosts.write_all_at(first, start as u64));
        written.expect("it can be written");
    }

    /// Sets what is wrong from the start.
    pub fn prepare(&self, cell: &Cell) {
        if matches!(cell.cause, Cause::Name) {
            self.name(cell.tenant, true);
        }
        if cell.when == When::Start {
            cell.set(self, true);
        }
    }
}

impl Cell {
    pub fn name(&self) -> String {
        format!("cell-{}", self.tenant)
    }

    /// Between two lists; hosts that are not called `localhost` are polled more slowly.
    pub fn interval(&self) -> &'static str {
        match self.cause {
            Cause::Name => "10s",
            _ => "4s",
        }
    }

    fn is_from_start(&self) -> bool {
        self.when == When::Start
    }

    fn endpoint(&self) -> Endpoint {
        ENDPOINTS[self.column]
    }

    /// The addresses of the API and of the sign-in host.
    pub fn addresses(&self) -> (String, String) {
        let url = |front: &Front| match self.cause {
            Cause::Name => format!("https://{}:{}", host_name(self.tenant), front.port()),
            _ => front.url(),
        };
        match (&self.cause, self.endpoint()) {
            // Only the host in question has the name that goes away.
            (Cause::Name, Endpoint::Token) => (self.api.url(), url(&self.authority)),
            (Cause::Name, _) => (url(&self.api), self.authority.url()),
            _ => (url(&self.api), url(&self.authority)),
        }
    }

    fn front(&self) -> &Front {
        match self.endpoint() {
            Endpoint::Token => &self.authority,
            _ => &self.api,
        }
    }

    /// Lets it go wrong, or go right again.
    fn set(&self, bench: &Bench, wrong: bool) {
        match &self.cause {
            Cause::Answer(fault) => {
                let fault = wrong.then(|| fault.clone());
                bench
                    .simulator
                    .set_tenant_fault(self.tenant, self.endpoint(), fault);
            }
            Cause::Line(fault) => self.front().set(wrong.then_some(*fault)),
            Cause::Name => {
                bench.name(self.tenant, !wrong);
                // What is open stays open whatever happens to names.
                self.front().set(Some(LineFault::Reset));
                self.front().set(None);
            }
        }
    }

    /// Makes the exporter use the endpoint.
    fn provoke(&self, bench: &Bench) {
        match self.endpoint() {
            Endpoint::Token => bench.simulator.revoke_tokens(self.tenant),
            Endpoint::History => {
                // All of them: of a single one that is refused, the id is to blame.
                let mut world = bench.simulator.world();
                let known = world.definitions(self.tenant).iter();
                let ids: Vec<_> = known.map(|known| known.id.clone()).collect();
                for id in ids {
                    world.run_now(self.tenant, &id, Outcome::Success);
                }
            }
            _ => {}
        }
    }

    fn errors(&self, samples: &Samples) -> Vec<(String, f64)> {
        match self.endpoint() {
            Endpoint::Token => samples.errors("defender_auth_errors_total", None),
            _ => samples.errors("defender_collector_errors_total", Some(self.collector())),
        }
    }

    fn collector(&self) -> &'static str {
        match self.endpoint() {
            Endpoint::History => "history",
            Endpoint::Agents => "agents",
            _ => "definitions",
        }
    }

    /// Runs it; returns how long after the fault's end it worked again.
    pub async fn run(&self, bench: &Bench, watch: &Watch) -> Result<Duration, String> {
        let name = self.name();
        let good = if self.is_from_start() {
            None
        } else {
            Some(
                watch
                    .until(&name, "all is well at first", PATIENCE, Samples::well)
                    .await?,
            )
        };
        // From the start all are wrong at once; later, one large one after the other.
        let _alone = if self.heavy && !self.is_from_start() {
            Some(bench.heavy.lock().await)
        } else {
            None
        };
        let before = watch
            .until(&name, "it is known", PATIENCE, |samples| {
                let errors = self.errors(samples);
                (!errors.is_empty()).then_some(errors)
            })
            .await?;
        if !self.is_from_start() {
            self.set(bench, true);
            self.provoke(bench);
        }
        let count = |errors: &[(String, f64)]| {
            let found = errors.iter().find(|(reason, _)| reason == self.reason);
            found.map_or(0.0, |(_, count)| *count)
        };
        let base = if self.is_from_start() {
            0.0
        } else {
            count(&before)
        };
        let what = format!("it is counted as {}", self.reason);
        let counted = watch
            .until(&name, &what, PATIENCE, |samples| {
                let errors = self.errors(samples);
                (count(&errors) > base).then(|| (samples.clone(), samples.published()))
            })
            .await?;
        let (samples, published) = counted;
        self.only_that(&samples)?;
        if let Some(good) = good
            && published != good
        {
            return Err(format!("{good:?} were published, now {published:?}"));
        }
        self.set(bench, false);
        self.recovers(bench, watch).await
    }

    /// Nothing else was counted, but for what was under way when the line broke, and
    /// timeouts, which a slow machine adds.
    fn only_that(&self, samples: &Samples) -> Result<(), String> {
        let excused = |reason: &str| {
            reason == "timeout" || (matches!(self.cause, Cause::Line(_)) && reason == "connect")
        };
        let errors = self.errors(samples);
        let other = errors
            .iter()
            .find(|(reason, count)| reason != self.reason && *count > 0.0 && !excused(reason));
        other.map_or(Ok(()), |(reason, _)| {
            let all = samples.troubles();
            Err(format!("counted as {reason} too: {all}"))
        })
    }

    async fn recovers(&self, bench: &Bench, watch: &Watch) -> Result<Duration, String> {
        let end = Clock::system().uptime();
        if self.slow {
            return Ok(Duration::ZERO);
        }
        let first = || {
            let calls = bench.simulator.calls();
            let mut calls = calls.iter().filter(|call| call.arrived > end);
            let ours = |call: &&CallRecord| {
                (call.tenant, call.endpoint) == (Some(self.tenant), self.endpoint())
            };
            let first = calls.find(ours)?;
            // 0 as long as there is no answer yet.
            (first.status > 0).then_some((first.status, first.arrived))
        };
        let (status, arrived) = watch
            .until(&self.name(), "all is well again", PATIENCE, |samples| {
                first().filter(|_| samples.well().is_some())
            })
            .await?;
        if status != 200 {
            return Err(format!("the first call after the end got {status}"));
        }
        Ok(arrived.since(end))
    }
}
