//! A day of the simulated service, as a real poller saw it, in a real Prometheus.
//!
//! Wall time jumps from scrape to scrape, and each waits until the poller has
//! caught up; so a day takes half a minute, and how fast the machine is does not
//! matter. The scrapes get the times at which they were taken, and promtool
//! makes blocks of them.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use defender_scan_exporter::budget::{Budget, Limits};
use defender_scan_exporter::clock::{Clock, Timestamp};
use defender_scan_exporter::config::{Config, Poll};
use defender_scan_exporter::defender::{Client, HttpClient, TokenSource};
use defender_scan_exporter::exposition::{Format, SelfMetrics, render};
use defender_scan_exporter::polling::poller::{ApiAccess, Poller};
use defender_scan_exporter::polling::snapshot::{Snapshot, Tenants};
use defender_scan_exporter::polling::tenant::KnownTenant;
use defender_scan_exporter::schedule::Schedule;
use defender_simulator::{Agent, Definition, Draft, Endpoint, Fault, Options, Outcome, Simulator};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::common::{self, Process, eventually, free_port, get};

pub const STEP: Duration = Duration::from_mins(4);
const STEPS: u32 = 24 * 60 / 4;
/// Calls a minute and an hour: a day of polls happens within a minute.
const AMPLE: (usize, usize) = (1_000_000, 10_000_000);
/// Tenant 1 answers with errors between these steps.
const OUTAGE: std::ops::Range<u32> = 120..165;

/// A tenant's definitions and agents as they really are.
#[derive(Clone, Debug)]
pub struct Known {
    pub definitions: Vec<Definition>,
    pub agents: Vec<Agent>,
}

/// A Prometheus that holds the day, and the world at the end of it.
pub struct Day {
    prometheus: Process,
    /// Where it keeps the day.
    data: PathBuf,
    url: String,
    /// Of each tenant that can be polled, at the time of the last scrape.
    pub world: [Known; 2],
    /// When the first and the last scrape were taken.
    pub start: f64,
    pub end: f64,
}

/// The real poller of each tenant, without a socket for scrapes.
struct Exporter {
    snapshot: Snapshot,
    clock: Clock,
    own: SelfMetrics,
    stop: CancellationToken,
}

impl Exporter {
    fn start(config: &Config, clock: &Clock) -> Self {
        let snapshot = Snapshot::default();
        let stop = CancellationToken::new();
        let http = HttpClient::new(&config.http, clock.clone()).expect("the client can be made");
        for tenant in &config.tenants {
            let poll = Poll {
                definitions: Duration::from_millis(20),
                agents: Duration::from_millis(40),
                ..Poll::default()
            };
            let budget = Budget::new(clock.clone(), Limits::new(AMPLE.0, AMPLE.1));
            let access = ApiAccess {
                client: Client::new(http.clone(), tenant.api_base_url.clone(), clock.clone()),
                tokens: TokenSource::new(tenant, http.clone(), clock.clone()),
            };
            let poller = Poller::new(
                KnownTenant::new(
                    tenant.name.clone(),
                    tenant.into(),
                    tenant.definitions.clone(),
                    budget.clone(),
                ),
                Schedule::new(poll, clock.uptime(), 1),
                budget,
                access,
                snapshot.clone(),
                None,
                clock.clone(),
            );
            tokio::spawn(poller.run(clock.uptime(), stop.clone()));
        }
        let own = SelfMetrics::new(clock.wall());
        Self {
            snapshot,
            clock: clock.clone(),
            own,
            stop,
        }
    }

    /// Whether the definitions of tenant `number` have been fetched since `moment`.
    fn fetched(&self, number: usize, moment: Timestamp) -> bool {
        let tenants = self.snapshot.read();
        let name = format!("tenant-{number}");
        let tenant = tenants.values().find(|tenant| tenant.name.as_str() == name);
        tenant.is_some_and(|tenant| {
            let health = &tenant.health;
            let done = health.definitions.last_success >= Some(moment)
                && health.agents.last_success >= Some(moment);
            done && health.up == Some(true)
        })
    }

    /// One scrape, each sample with the target's labels and its time.
    fn scrape(&self, tenants: &Tenants, into: &mut String) {
        self.own.http_request(
            defender_scan_exporter::exposition::catalog::Handler::Metrics,
            200,
        );
        let text = render(tenants, &self.clock, &self.own, Format::OpenMetrics);
        let now = self.clock.wall().unix_seconds();
        let target = "job=\"defender\",instance=\"exporter:10063\"";
        writeln!(into, "# TYPE up gauge\nup{{{target}}} 1 {now:.3}")
            .expect("a string can be written");
        for line in text.lines().filter(|line| *line != "# EOF") {
            if line.starts_with('#') {
                writeln!(into, "{line}").expect("a string can be written");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let series = match series.split_once('{') {
                Some((name, labels)) => format!("{name}{{{target},{labels}"),
                None => format!("{series}{{{target}}}"),
            };
            writeln!(into, "{series} {value} {now:.3}").expect("a string can be written");
        }
    }
}

/// Lets the day happen, and starts a Prometheus that holds it.
pub async fn live() -> Day {
    let system = Clock::system().wall();
    let clock = Clock::anchored(system - Duration::from_hours(26));
    let mut options = Options::new(clock.clone());
    (options.per_minute, options.per_hour) = AMPLE;
    options.last_scanned = true;
    options.tenants = 3;
    options.definitions = 12;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    simulator.world().set_secret_expired(2, true);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = common::configuration(&simulator, folder.path(), (1_000, 50_000), &[]);
    let (config, _) = Config::load(&file).expect("the configuration is right");
    let exporter = Exporter::start(&config, &clock);
    let start = clock.wall().unix_seconds();
    let mut scrapes = String::new();
    for step in 0..=STEPS {
        happen(&simulator, step);
        let moment = clock.wall();
        eventually("the tenants are polled", async || {
            // During the outage, and while the poller waits after it, there is nothing to wait for.
            let outage = OUTAGE.contains(&step);
            (exporter.fetched(0, moment) && (outage || exporter.fetched(1, moment))).then_some(())
        })
        .await;
        if step < STEPS {
            exporter.scrape(&exporter.snapshot.read(), &mut scrapes);
            clock.jump(i64::try_from(STEP.as_millis()).expect("it is short"));
        }
    }
    let (tenants, world) = settled(&simulator, &exporter).await;
    exporter.scrape(&tenants, &mut scrapes);
    let end = clock.wall().unix_seconds();
    exporter.stop.cancel();
    scrapes.push_str("# EOF\n");
    let (prometheus, url, data) = prometheus(&scrapes);
    let day = Day {
        prometheus,
        data,
        url,
        world,
        start,
        end,
    };
    eventually("Prometheus has the day", async || {
        let found = day.instant("defender_up").await.ok()?;
        (!found.is_empty()).then_some(())
    })
    .await;
    day.record();
    day
}

/// What goes wrong during the day, besides what always does.
fn happen(simulator: &Simulator, step: u32) {
    if step == 1 {
        let mut world = simulator.world();
        let id = world
            .add_definition(0, Draft::manual("odd \"name\" \\ Zürich"))
            .expect("there is a tenant");
        world.run_now(0, &id, Outcome::Other("Cancelled".to_owned()));
        let nameless = world
            .add_definition(0, Draft::manual(""))
            .expect("there is a tenant");
        world.run_now(0, &nameless, Outcome::Failure);
    }
    // At the end of the day one is somewhat late, and one overdue: a limit that is wrong counts wrongly.
    if [STEPS - 38, STEPS - 22].contains(&step) {
        let mut world = simulator.world();
        let draft = Draft {
            interval_hours: Some(1),
            ..Draft::manual(&format!("hourly by hand {step}"))
        };
        let id = world.add_definition(1, draft).expect("there is a tenant");
        world.run_now(1, &id, Outcome::Success);
    }
    if step == OUTAGE.start || step == OUTAGE.end {
        let fault = Fault::error(500, "InternalError", "broken");
        let fault = (step == OUTAGE.start).then_some(fault);
        for endpoint in [Endpoint::Definitions, Endpoint::Agents] {
            simulator.set_tenant_fault(1, endpoint, fault.clone());
        }
    }
    if step == 200 {
        let retry_after = Some("1".to_owned());
        let fault = Fault::Times(1, Box::new(Fault::Throttle { retry_after }));
        simulator.set_tenant_fault(1, Endpoint::Definitions, Some(fault));
    }
}

/// Waits until what is published is what the world says; returns both.
async fn settled(simulator: &Simulator, exporter: &Exporter) -> (Arc<Tenants>, [Known; 2]) {
    eventually("the newest runs are known", async || {
        let tenants = exporter.snapshot.read();
        let world = simulator.world();
        let known = [0, 1].map(|tenant| Known {
            definitions: world.definitions(tenant).to_vec(),
            agents: world.agents(tenant).to_vec(),
        });
        let published = |number: usize, known: &Definition| {
            let name = format!("tenant-{number}");
            let mut views = tenants.values();
            let view = views.find(|view| view.name.as_str() == name)?;
            let mut definitions = view.definitions.iter();
            let found = definitions.find(|found| found.definition.id.as_str() == known.id)?;
            let run = found.last_run.as_ref();
            Some(run.map(|run| (run.at, run.status.code())))
        };
        let agrees = known.iter().enumerate().all(|(number, tenant)| {
            tenant.definitions.iter().all(|known| {
                let run = known.latest().map(|run| (run.at, code(&run.status)));
                published(number, known) == Some(run)
            })
        });
        agrees.then_some((tenants, known))
    })
    .await
}

/// The code of a status, as the documentation of the metric says.
pub fn code(outcome: &Outcome) -> i8 {
    match outcome {
        Outcome::Failure => 0,
        Outcome::Success => 1,
        Outcome::Partial => 2,
        Outcome::Other(_) | Outcome::Running => -1,
    }
}

/// A Prometheus that holds these scrapes alone, and its address.
fn prometheus(scrapes: &str) -> (Process, String, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("scrapes"), scrapes).expect("the folder can be written");
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([path("scrapes"), path("data")])
        .output()
        .expect("expected promtool, but found none; run tests/run.sh");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::remove_file(path("scrapes")).expect("the folder can be written");
    let data = path("data");
    let (process, url) = serve(folder, "prometheus");
    (process, url, data)
}

/// Starts this Prometheus over the data of a folder.
fn serve(folder: TempDir, name: &str) -> (Process, String) {
    let config = "global: {scrape_interval: 1m}\nstorage: {tsdb: {out_of_order_time_window: 2d}}\n";
    fs::write(folder.path().join("prometheus.yml"), config).expect("the folder can be written");
    let port = free_port();
    let mut command = Command::new(super::program(name));
    command
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg("--web.enable-remote-write-receiver");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    (
        Process::start(folder, &mut command),
        format!("http://127.0.0.1:{port}"),
    )
}

/// A series of an answer: its labels and its values.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Value,
    pub values: Vec<f64>,
}

impl Series {
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }

    pub fn last(&self) -> f64 {
        self.values.last().copied().unwrap_or(f64::NAN)
    }
}

impl Day {
    /// An instant query at the end of the day.
    pub async fn instant(&self, expression: &str) -> Result<Vec<Series>, String> {
        let time = self.end.to_string();
        self.ask("query", &[("query", expression), ("time", &time)])
            .await
    }

    /// A query over the whole day.
    pub async fn range(&self, expression: &str) -> Result<Vec<Series>, String> {
        let (start, end, step) = (
            self.start.to_string(),
            self.end.to_string(),
            STEP.as_secs().to_string(),
        );
        let parameters = [
            ("query", expression),
            ("start", &start),
            ("end", &end),
            ("step", &step),
        ];
        self.ask("query_range", &parameters).await
    }

    /// The same day in another Prometheus.
    pub async fn in_another(&self, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let copied = Command::new("cp")
            .arg("-r")
            .args([&self.data, &folder.path().join("data")])
            .status()
            .expect("cp starts");
        assert!(copied.success());
        fs::remove_file(folder.path().join("data/lock")).ok();
        let data = folder.path().join("data");
        let (prometheus, url) = serve(folder, name);
        let day = Self {
            prometheus,
            data,
            url,
            world: self.world.clone(),
            start: self.start,
            end: self.end,
        };
        eventually("Prometheus has the day", async || {
            let found = day.instant("job_tenant:defender_scans:count").await.ok()?;
            (!found.is_empty()).then_some(())
        })
        .await;
        day
    }

    /// Evaluates the project's rules over the day.
    fn record(&self) {
        let step = STEP.as_secs().to_string();
        let output = Command::new("python3")
            .arg(super::root().join("dashboards/preview/record.py"))
            .args([
                &self.url,
                &self.start.to_string(),
                &self.end.to_string(),
                &step,
            ])
            .output()
            .expect("expected python3, but found none; run tests/run.sh");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "run tests/run.sh\n{said}");
    }

    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Vec<Series>, String> {
        let address = format!("{}/api/v1/{path}", self.url);
        let url =
            url::Url::parse_with_params(&address, parameters).map_err(|error| error.to_string())?;
        let (status, body) = get(url.as_str())
            .await
            .ok_or_else(|| format!("no answer\n{}", self.prometheus.output()))?;
        if status != 200 {
            return Err(body);
        }
        let body: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let number = |pair: &Value| {
            pair[1]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or(f64::NAN)
        };
        let found = super::lint::list(&body["data"]["result"])
            .iter()
            .map(|series| {
                let values = match series.get("value") {
                    Some(pair) => vec![number(pair)],
                    None => super::lint::list(&series["values"])
                        .iter()
                        .map(number)
                        .collect(),
                };
                Series {
                    labels: series["metric"].clone(),
                    values,
                }
            });
        Ok(found.collect())
    }
}
