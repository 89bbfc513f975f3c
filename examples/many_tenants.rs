//! Measures the exporter with many tenants against the simulator:
//! start-up time, memory, and the processor's time at rest.
//!
//! `many_tenants EXPORTER [TENANTS] [DEFINITIONS] [SECONDS_AT_REST] [PROGRAM]`; see
//! `tests/measure/many_tenants.sh`. Linux only: it reads `/proc`. At the end the
//! program is run with the address of the metrics and the exporter's process id.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use defender_scan_exporter::clock::Clock;
use defender_simulator::{Options, Simulator};

/// How long the exporter may take to be ready.
const PATIENCE: Duration = Duration::from_mins(10);
/// Ticks of the processor's time a second, which is the same on all Linux systems of today.
const TICKS: f64 = 100.0;

/// Killed and reaped, whatever happens.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Exporter {
    /// Resident memory in bytes: now, and at its highest.
    fn memory(&self) -> anyhow::Result<[u64; 2]> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        let kib = |name| field(name).context("expected memory figures in /proc, but found none");
        Ok([kib("VmRSS:")? * 1024, kib("VmHWM:")? * 1024])
    }

    /// Seconds of the processor's time so far.
    fn cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("expected fields in /proc")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / TICKS)
    }
}

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

async fn measure(
    program: &str,
    tenants: usize,
    definitions: usize,
    seconds: usize,
    then: Option<&str>,
) -> anyhow::Result<()> {
    let clock = Clock::system();
    let mut options = Options::new(clock.clone());
    options.tenants = tenants;
    options.definitions = definitions;
    options.last_scanned = true;
    // Of pages of a hundred, the list of so many would take more calls than a minute has.
    options.page_size = 1_000;
    let simulator = Simulator::start(options).await?;
    let folder = tempfile::tempdir()?;
    configure(&simulator, folder.path(), tenants)?;

    let begun = clock.uptime();
    let exporter = Command::new(program)
        .current_dir(folder.path())
        .args(["--config.file=exporter.yml", "--storage.path=state"])
        .arg("--web.listen-address=127.0.0.1:0")
        .stdin(Stdio::null())
        .stderr(fs::File::create(folder.path().join("log"))?)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let exporter = Exporter(exporter);
    let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let url = loop {
        if let Some((_, rest)) = log().split_once("address=") {
            let address = rest.split_whitespace().next().unwrap_or_default();
            break format!("http://{address}");
        }
        if clock.uptime().since(begun) > PATIENCE {
            bail!("it does not listen:\n{}", log());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let listening = clock.uptime().since(begun);
    let client = reqwest::Client::builder().no_proxy().build()?;
    while client.get(format!("{url}/-/ready")).send().await?.status() != 200 {
        if clock.uptime().since(begun) > PATIENCE {
            bail!("it does not become ready:\n{}", log());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ready = clock.uptime().since(begun);
    let cpu_to_ready = exporter.cpu()?;
    // The first history, the agents and what follows from them.
    tokio::time::sleep(Duration::from_mins(2)).await;
    let [settled, peak] = exporter.memory()?;
    let (cpu, calls) = (exporter.cpu()?, simulator.calls().len());
    let resting = clock.uptime();
    tokio::time::sleep(Duration::from_secs(seconds.try_into()?)).await;
    let rested = clock.uptime().since(resting).as_secs_f64();
    let cpu = (exporter.cpu()? - cpu) / rested;
    let calls = simulator.calls().len() - calls;
    let begun = clock.uptime();
    let body = client
        .get(format!("{url}/metrics"))
        .send()
        .await?
        .bytes()
        .await?;
    let scrape = clock.uptime().since(begun);
    let [_, peak_with_scrape] = exporter.memory()?;
    let text = String::from_utf8_lossy(&body);
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    let up = text
        .lines()
        .filter(|line| line.starts_with("defender_up{") && line.ends_with(" 1"))
        .count();
    let state = fs::metadata(folder.path().join("state/state.redb"))?.len();

    let mib = |bytes: u64| bytes / (1 << 20);
    println!("| {tenants} tenants × {definitions} definitions | |\n| --- | --- |");
    println!("| until it listens | {:.1} s |", listening.as_secs_f64());
    println!(
        "| until all tenants were polled (`/-/ready`) | {:.1} s, {cpu_to_ready:.1} s of processor time |",
        ready.as_secs_f64()
    );
    println!("| memory at rest (resident) | {} MiB |", mib(settled));
    println!(
        "| memory at its highest | {} MiB; {} MiB with a scrape |",
        mib(peak),
        mib(peak_with_scrape)
    );
    println!(
        "| processor at rest | {:.1} % of one core, {calls} calls in {rested:.0} s |",
        cpu * 100.0
    );
    println!("| state on disk | {} MiB |", mib(state));
    println!(
        "| a scrape | {:.1} s, {} MiB, {series} series |",
        scrape.as_secs_f64(),
        mib(body.len() as u64)
    );
    println!(
        "\ntenants up: {up}; calls beyond the budget: {}",
        simulator.violations()
    );
    if up != tenants || simulator.violations() != 0 {
        bail!("not all tenants are well:\n{}", log());
    }
    match then {
        Some(program) => run(program, &format!("{url}/metrics"), exporter.0.id()).await,
        None => Ok(()),
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

fn configure(simulator: &Simulator, folder: &Path, tenants: usize) -> anyhow::Result<()> {
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
             credential: {{type: client_secret, client_id: {}, client_secret: {}}}\n",
            tenant.tenant_id,
            tenant.client_id,
            serde_json::to_string(&tenant.client_secret)?,
        )?;
    }
    fs::write(folder.join("exporter.yml"), text)?;
    Ok(())
}
