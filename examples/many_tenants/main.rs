//! Measures the exporter with many tenants against the simulator:
//! start-up time, sign-ins, memory, the processor's time, the disk, and scrapes.
//!
//! `many_tenants EXPORTER [TENANTS] [DEFINITIONS] [SECONDS_AT_REST] [PROGRAM]`; see
//! `tests/measure/many_tenants.sh`. Linux only: it reads `/proc`. It waits two minutes before it
//! measures, or `SETTLING_SECONDS`. At the end the program is run with the address of the metrics
//! and the exporter's process id.

mod process;
mod report;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use defender_scan_exporter::clock::{Clock, Uptime};
use defender_simulator::{Endpoint, Options, Outcome, Simulator};

use self::process::{Exporter, copying};
use self::report::{Report, Scrape, Start};

/// How long the exporter may take to be ready.
const PATIENCE: Duration = Duration::from_mins(10);

/// The first history, the agents and what follows from them, and until it is seen how many calls
/// a tenant makes: so many seconds, unless the variable says otherwise.
const SETTLING: u64 = 120;
const SETTLING_VARIABLE: &str = "SETTLING_SECONDS";

/// Scrapes of which the mean is taken.
const SCRAPES: u32 = 10;

/// Tenants that change each second while changes are measured.
const CHANGING: usize = 100;

fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let mut arguments = std::env::args().skip(1);
    let exporter = arguments
        .next()
        .context("expected the exporter's path, but found none")?;
    let mut number = |default| {
        let given = arguments.next().map(|text| text.parse());
        given.unwrap_or(Ok(default))
    };
    let (tenants, definitions, seconds) = (number(1_000)?, number(100)?, number(120)?);
    let program = arguments.next();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(measure(
        &exporter,
        tenants,
        definitions,
        seconds,
        program.as_deref(),
    ))
}

/// A running exporter, and what it is measured with.
struct Measured {
    clock: Clock,
    simulator: Simulator,
    folder: tempfile::TempDir,
    exporter: Exporter,
    client: reqwest::Client,
    url: String,
    tenants: usize,
}

async fn measure(
    program: &str,
    tenants: usize,
    definitions: usize,
    seconds: usize,
    then: Option<&str>,
) -> anyhow::Result<()> {
    let (mut measured, start) = Measured::start(program, tenants, definitions).await?;
    let settling = std::env::var(SETTLING_VARIABLE).ok();
    let settling = settling.map_or(Ok(SETTLING), |text| text.parse())?;
    tokio::time::sleep(Duration::from_secs(settling)).await;
    let [settled, peak] = measured.exporter.memory()?;
    let begun = measured.clock.uptime();
    let (body, first) = measured.scrape().await?;
    let [_, peak_with_scrape] = measured.exporter.memory()?;
    let before = Commits::of(&body)?;

    let (cpu, written) = (measured.exporter.cpu()?, measured.exporter.written()?);
    let calls = measured.simulator.calls().len();
    let resting = measured.clock.uptime();
    tokio::time::sleep(Duration::from_secs(seconds.try_into()?)).await;
    let rested = measured.seconds_since(resting);
    let cpu = (measured.exporter.cpu()? - cpu) / rested;
    let written = measured.exporter.written()? - written;
    let calls = measured.simulator.calls().len() - calls;

    let (body, _) = measured.scrape().await?;
    let commits = Commits::of(&body)?;
    let minutes = measured.seconds_since(begun) / 60.0;
    let warm = measured.scrapes(cpu, Duration::ZERO).await?;
    let changing = measured.scrapes_while_tenants_change().await?;
    let text = String::from_utf8_lossy(&body);
    let up = text
        .lines()
        .filter(|line| line.starts_with("defender_up{") && line.ends_with(" 1"));
    let up = up.count();
    let report = Report {
        tenants,
        definitions,
        start,
        settled,
        peak,
        peak_with_scrape,
        cpu,
        calls,
        rested,
        written,
        commits: (commits.count - before.count) / minutes,
        state: fs::metadata(measured.folder.path().join("state/state.redb"))?.len(),
        series: text.lines().filter(|line| !line.starts_with('#')).count(),
        bytes: body.len(),
        copying: copying(&body),
        first: first.without(cpu),
        warm,
        changing,
    };
    report.print();
    let violations = measured.simulator.violations();
    println!("\ntenants up: {up}; calls beyond the budget: {violations}");
    if up != tenants || violations != 0 {
        bail!("not all tenants are well:\n{}", measured.log());
    }
    match then {
        Some(program) => {
            let url = format!("{}/metrics", measured.url);
            run(program, &url, measured.exporter.0.id()).await
        }
        None => Ok(()),
    }
}

impl Measured {
    async fn start(
        program: &str,
        tenants: usize,
        definitions: usize,
    ) -> anyhow::Result<(Self, Start)> {
        let clock = Clock::system();
        let mut options = Options::new(clock.clone());
        options.tenants = tenants;
        options.definitions = definitions;
        options.last_scanned = true;
        // Of pages of a hundred, the list of so many would take more calls than a minute has.
        options.page_size = 1_000;
        let simulator = Simulator::start(options).await?;
        let folder = tempfile::tempdir()?;
        configure(&simulator, folder.path(), tenants, "")?;
        let begun = clock.uptime();
        let exporter = Command::new(program)
            .current_dir(folder.path())
            .args(["--config.file=exporter.yml", "--storage.path=state"])
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log"))?)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let mut measured = Self {
            clock,
            simulator,
            folder,
            exporter: Exporter(exporter),
            client: reqwest::Client::builder().no_proxy().build()?,
            url: String::new(),
            tenants,
        };
        measured.url = measured.address(begun).await?;
        let listening = measured.seconds_since(begun);
        measured.ready(begun).await?;
        let ready = measured.seconds_since(begun);
        let start = Start {
            listening,
            ready,
            cpu: measured.exporter.cpu()?,
            polled: measured.last_first_poll(begun)?,
            most_sign_ins: measured.most_sign_ins(),
        };
        Ok((measured, start))
    }

    async fn address(&self, begun: Uptime) -> anyhow::Result<String> {
        loop {
            if let Some((_, rest)) = self.log().split_once("address=") {
                let address = rest.split_whitespace().next().unwrap_or_default();
                return Ok(format!("http://{address}"));
            }
            if self.clock.uptime().since(begun) > PATIENCE {
                bail!("it does not listen:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ready(&self, begun: Uptime) -> anyhow::Result<()> {
        let url = format!("{}/-/ready", self.url);
        while self.client.get(&url).send().await?.status() != 200 {
            if self.clock.uptime().since(begun) > PATIENCE {
                bail!("it does not become ready:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// How many seconds after the start the simulator saw the last tenant's first list.
    fn last_first_poll(&self, begun: Uptime) -> anyhow::Result<f64> {
        let mut first = vec![None; self.tenants];
        for call in self.simulator.calls() {
            let is_list = call.endpoint == Endpoint::Definitions;
            if let Some(number) = call.tenant.filter(|_| is_list) {
                first[number].get_or_insert(call.arrived);
            }
        }
        let last = first.into_iter().flatten().max();
        let last = last.context("expected lists at the simulator, but found none")?;
        Ok(last.since(begun).as_secs_f64())
    }

    /// The most sign-ins that the simulator saw in any second.
    fn most_sign_ins(&self) -> usize {
        let calls = self.simulator.calls();
        let of_sign_in = calls.iter().filter(|call| call.endpoint == Endpoint::Token);
        let mut arrived: Vec<_> = of_sign_in.map(|call| call.arrived).collect();
        arrived.sort_unstable();
        let second = Duration::from_secs(1);
        let within = |(index, first): (usize, &Uptime)| {
            let rest = arrived[index..].iter();
            rest.take_while(|at| at.since(*first) < second).count()
        };
        arrived.iter().enumerate().map(within).max().unwrap_or(0)
    }

    async fn scrape(&self) -> anyhow::Result<(Vec<u8>, Scrape)> {
        let (begun, cpu) = (self.clock.uptime(), self.exporter.cpu()?);
        let answer = self.client.get(format!("{}/metrics", self.url));
        let body = answer.send().await?.bytes().await?;
        let scrape = Scrape {
            wall: self.seconds_since(begun),
            cpu: self.exporter.cpu()? - cpu,
        };
        Ok((body.into(), scrape))
    }

    /// The mean of several scrapes, a `pause` after each; `rest` is the share of the processor
    /// that all else takes.
    async fn scrapes(&self, rest: f64, pause: Duration) -> anyhow::Result<Scrape> {
        let (begun, cpu) = (self.clock.uptime(), self.exporter.cpu()?);
        let mut wall = 0.0;
        for _ in 0..SCRAPES {
            wall += self.scrape().await?.1.wall;
            tokio::time::sleep(pause).await;
        }
        let all = self.exporter.cpu()? - cpu - rest * self.seconds_since(begun);
        Ok(Scrape {
            wall: wall / f64::from(SCRAPES),
            cpu: all / f64::from(SCRAPES),
        })
    }

    /// The same while many tenants are polled each second, and one definition of each has run.
    async fn scrapes_while_tenants_change(&mut self) -> anyhow::Result<Scrape> {
        let interval = (self.tenants / CHANGING).clamp(5, 60);
        let poll = format!("  poll: {{definitions: {interval}s}}\n");
        configure(&self.simulator, self.folder.path(), self.tenants, &poll)?;
        self.exporter.reload()?;
        let (mut tenant, second) = (0, Duration::from_secs(1));
        let mut change = || {
            for _ in 0..CHANGING.min(self.tenants) {
                let mut world = self.simulator.world();
                let id = world.definitions(tenant).first().map(|one| one.id.clone());
                if let Some(id) = id {
                    world.run_now(tenant, &id, Outcome::Success);
                }
                tenant = (tenant + 1) % self.tenants;
            }
        };
        for _ in 0..2 * interval {
            change();
            tokio::time::sleep(second).await;
        }
        let (begun, cpu) = (self.clock.uptime(), self.exporter.cpu()?);
        for _ in 0..SCRAPES {
            change();
            tokio::time::sleep(second).await;
        }
        let rest = (self.exporter.cpu()? - cpu) / self.seconds_since(begun);
        let (begun, cpu) = (self.clock.uptime(), self.exporter.cpu()?);
        let mut wall = 0.0;
        for _ in 0..SCRAPES {
            change();
            tokio::time::sleep(second).await;
            wall += self.scrape().await?.1.wall;
        }
        let all = self.exporter.cpu()? - cpu - rest * self.seconds_since(begun);
        Ok(Scrape {
            wall: wall / f64::from(SCRAPES),
            cpu: all / f64::from(SCRAPES),
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn seconds_since(&self, begun: Uptime) -> f64 {
        self.clock.uptime().since(begun).as_secs_f64()
    }
}

/// How many durable transactions the exporter made so far.
struct Commits {
    count: f64,
}

impl Commits {
    fn of(body: &[u8]) -> anyhow::Result<Self> {
        let name = "defender_exporter_store_commit_duration_seconds_count ";
        let text = String::from_utf8_lossy(body);
        let count = text.lines().find_map(|line| line.strip_prefix(name));
        let count = count.context("expected a count of commits, but found none")?;
        Ok(Self {
            count: count.parse()?,
        })
    }
}

async fn run(program: &str, url: &str, process: u32) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(program);
    let status = command.arg(url).arg(process.to_string()).status().await?;
    anyhow::ensure!(
        status.success(),
        "expected {program} to succeed, but found {status}"
    );
    Ok(())
}

fn configure(
    simulator: &Simulator,
    folder: &Path,
    tenants: usize,
    further: &str,
) -> anyhow::Result<()> {
    fs::write(folder.join("ca.pem"), simulator.ca_pem())?;
    let url = simulator.https_url();
    let mut text = String::from("http: {ca_file: ca.pem}\ntenants:\n");
    for number in 0..tenants {
        let tenant = simulator
            .tenant(number)
            .context("the simulator lacks one")?;
        write!(
            text,
            "- name: tenant-{number}\n  tenant_id: {}\n  api_base_url: {url}\n  authority_host: {url}\n  \
             credential: {{type: client_secret, client_id: {}, client_secret: {}}}\n{further}",
            tenant.tenant_id,
            tenant.client_id,
            serde_json::to_string(&tenant.client_secret)?,
        )?;
    }
    fs::write(folder.join("exporter.yml"), text)?;
    Ok(())
}
