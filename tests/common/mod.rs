//! What the end-to-end tests share: the real binary, a real Prometheus, and the
//! simulator that stands in for the service.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod messages;
pub mod names;
pub mod nginx;
pub mod process;
pub mod settings;
pub mod tenants;
pub mod tools;
pub mod web;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use defender_scan_exporter::clock::Clock;
use defender_simulator::{CallRecord, Endpoint, Options, Simulator};
use tempfile::TempDir;

pub use process::Process;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `check` gives a value.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// Calls a minute and an hour of a budget that does not matter to a test.
const AMPLE: (usize, usize) = (1_000, 50_000);

/// The options of a simulator on real time, with an ample budget.
pub fn options() -> Options {
    let mut options = Options::new(Clock::system());
    (options.per_minute, options.per_hour) = AMPLE;
    options
}

/// Keeps no connection: each test has a runtime of its own.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let client = builder.pool_max_idle_per_host(0).build();
    client.expect("a client can be made")
});

/// The body at `url`, with its status.
pub async fn get(url: &str) -> Option<(u16, String)> {
    request(reqwest::Method::GET, url).await
}

/// The same for any method.
pub async fn request(method: reqwest::Method, url: &str) -> Option<(u16, String)> {
    let answer = CLIENT.request(method, url).send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.text().await.ok()?))
}

/// The exporter's command line, ready for more arguments. Without SIGXFSZ, a file
/// that may not grow is an error to the program, as on a full disk, and not its end.
pub fn binary() -> Command {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "trap '' XFSZ; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_defender-scan-exporter"),
    ]);
    command.env_clear().env("RUST_BACKTRACE", "1");
    command
}

/// The configuration of every tenant of `simulator`, in YAML, and its root certificate's file.
pub fn configuration(
    simulator: &Simulator,
    folder: &Path,
    budget: (usize, usize),
    ids: &[&str],
) -> PathBuf {
    let (url, roots) = (simulator.https_url(), simulator.ca_pem());
    configuration_at(simulator, folder, budget, ids, roots, |_| url.clone())
}

/// The same, of tenants whose hosts are at an origin of their own each, with these roots.
pub fn configuration_at(
    simulator: &Simulator,
    folder: &Path,
    budget: (usize, usize),
    ids: &[&str],
    roots: &str,
    origin: impl Fn(usize) -> String,
) -> PathBuf {
    let (per_minute, per_hour) = budget;
    let ca = folder.join("ca.pem");
    fs::write(&ca, roots).expect("the folder can be written");
    let mut text = String::from("tenants:\n");
    for number in 0.. {
        let Some(identity) = simulator.tenant(number) else {
            break;
        };
        let secret = folder.join(format!("secret-{number}"));
        fs::write(&secret, &identity.client_secret).expect("the folder can be written");
        let (url, secret) = (origin(number), secret.display());
        write!(
            text,
            "  - name: tenant-{number}\n    tenant_id: {}\n    api_base_url: {url}\n    authority_host: {url}\n    \
             credential: {{type: client_secret, client_id: {}, client_secret_file: {secret}}}\n    \
             poll: {{definitions: 1s, agents: 10s}}\n    quota: {}\n    definitions: {{ids: {ids:?}}}\n",
            identity.tenant_id,
            identity.client_id,
            settings::budget(per_minute, per_hour)
        )
        .expect("a string can be written");
    }
    writeln!(text, "http: {{ca_file: {}, timeout: 5s}}", ca.display())
        .expect("a string can be written");
    let file = folder.join("exporter.yml");
    fs::write(&file, text).expect("the folder can be written");
    file
}

/// A running exporter.
pub struct Exporter {
    pub process: Process,
    pub url: String,
}

impl Exporter {
    /// Starts the real binary against every tenant of `simulator`.
    pub async fn start(simulator: &Simulator) -> Self {
        Self::start_with(simulator, AMPLE, &[]).await
    }

    /// The same, but with a list of the definitions that are wanted.
    pub async fn start_with_ids(simulator: &Simulator, ids: &[&str]) -> Self {
        Self::start_with(simulator, AMPLE, ids).await
    }

    /// The same, with a budget of so many calls a minute and an hour.
    pub async fn start_with_quota(simulator: &Simulator, budget: (usize, usize)) -> Self {
        Self::start_with(simulator, budget, &[]).await
    }

    async fn start_with(simulator: &Simulator, budget: (usize, usize), ids: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        configuration(simulator, folder.path(), budget, ids);
        Self::start_in(folder.into()).await
    }

    /// Starts it in a folder that has its configuration, and maybe its state, already.
    async fn start_in(folder: Arc<TempDir>) -> Self {
        Self::launch(folder, &[], |_| ()).await
    }

    /// The same, but `adjust` may set what the command line and its environment are.
    pub async fn start_adjusted(
        folder: impl Into<Arc<TempDir>>,
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        Self::launch(folder.into(), &[], adjust).await
    }

    /// The same, with more flags.
    pub async fn start_with_flags(folder: Arc<TempDir>, flags: &[&str]) -> Self {
        Self::launch(folder, flags, |_| ()).await
    }

    async fn launch(
        folder: Arc<TempDir>,
        flags: &[&str],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = binary();
        let file = folder.path().join("exporter.yml");
        // Without one, the environment is the configuration.
        if file.exists() {
            command.arg("--config.file").arg(file);
        }
        if !flags.iter().any(|flag| flag.starts_with("--storage.path")) {
            command
                .arg("--storage.path")
                .arg(folder.path().join("state"));
        }
        command.args(flags).args([
            "--web.listen-address",
            "127.0.0.1:0",
            "--log.level",
            "debug",
        ]);
        adjust(&mut command);
        let process = Process::start(folder, &mut command);
        let port = eventually("", async || {
            let output = process.output();
            let written = ["address=127.0.0.1:", r#""address":"127.0.0.1:"#];
            let after = written.iter().find_map(|form| output.split(form).nth(1))?;
            let port = after.split(|c: char| !c.is_ascii_digit()).next()?;
            (port.len() < after.len()).then(|| port.to_owned())
        });
        let port = tokio::time::timeout(PATIENCE * 9 / 10, port).await;
        let port = port.unwrap_or_else(|_| panic!("it never listens\n{}", process.output()));
        let url = format!("http://127.0.0.1:{port}");
        Self { process, url }
    }

    /// Kills it with SIGKILL, unless it has ended, and starts it again with the state it left.
    pub async fn kill_and_restart(self) -> Self {
        let folder = Arc::clone(&self.process.folder);
        drop(self);
        Self::start_in(folder).await
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        get(&format!("{}{path}", self.url))
            .await
            .unwrap_or_else(|| panic!("no answer\n{}", self.process.output()))
    }

    /// The answer to a request to reload; needs `--web.enable-lifecycle`.
    pub async fn reload(&self) -> (u16, String) {
        request(reqwest::Method::POST, &format!("{}/-/reload", self.url))
            .await
            .unwrap_or_else(|| panic!("no answer\n{}", self.process.output()))
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics(self.get("/metrics").await.1)
    }

    /// Waits until a sample has a value that is `wanted`.
    pub async fn shows(&self, name: &str, labels: &[&str], wanted: impl Fn(f64) -> bool) {
        eventually(
            &format!("{name}{labels:?} has the wanted value"),
            async || {
                let value = self.metrics().await.value(name, labels)?;
                wanted(value).then_some(())
            },
        )
        .await;
    }

    /// Waits until the history of its first tenant is known: a run that comes later is counted.
    pub async fn has_history(&self) {
        let name = "defender_collector_last_success_timestamp_seconds";
        self.shows(name, &["\"history\""], |at| at > 0.0).await;
    }

    /// Waits until it says `pattern`, in which `…` stands for anything.
    pub async fn says(&self, pattern: &str) {
        let waiting = eventually("", async || {
            let said = self
                .process
                .output()
                .replace("\\\"", "\"")
                .replace("\\'", "'");
            messages::is_in(pattern, &said).then_some(())
        });
        let said = tokio::time::timeout(PATIENCE / 2, waiting).await;
        assert!(
            said.is_ok(),
            "never said: {pattern}\n{}",
            self.process.output()
        );
    }

    /// Waits until the list of definitions was asked for so many more times, and the last of these
    /// answers is published.
    pub async fn next_polls(&self, simulator: &Simulator, polls: usize) {
        let count = || {
            let of_list = |call: &CallRecord| call.endpoint == Endpoint::Definitions;
            simulator
                .calls()
                .iter()
                .filter(|call| of_list(call))
                .count()
        };
        // Once again, so that the last has been answered.
        let enough = count() + polls + 1;
        eventually("the list is asked for", async || {
            (count() >= enough).then_some(())
        })
        .await;
        // One save at a time, and then its publication: the second from now on has begun later.
        for _ in 0..2 {
            let before = self.published_lists().await;
            eventually("a list is published", async || {
                (self.published_lists().await > before).then_some(())
            })
            .await;
        }
    }

    /// How many answers to requests for the list of definitions are published.
    async fn published_lists(&self) -> f64 {
        let Metrics(all) = self.metrics().await;
        let of_list = |line: &&str| {
            line.starts_with("defender_api_requests_total{")
                && line.contains("endpoint=\"definitions\"")
        };
        let counts = all.lines().filter(of_list);
        counts
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until every tenant has been polled.
    pub async fn ready(&self) {
        eventually("the exporter is ready", async || {
            (self.get("/-/ready").await.0 == 200).then_some(())
        })
        .await;
    }
}

/// A scrape in the classic text format.
pub struct Metrics(pub String);

impl Metrics {
    /// The value of the one sample of `name` whose labels hold all of `labels`.
    pub fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let mut samples = self.0.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        let sample = samples.next()?;
        assert!(
            samples.next().is_none(),
            "several samples of {name} {labels:?}"
        );
        sample.rsplit(' ').next()?.parse().ok()
    }
}

/// A real Prometheus that scrapes one exporter every second.
pub struct Prometheus {
    pub process: Process,
    pub url: String,
}

impl Prometheus {
    pub fn start(exporter: &Exporter) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let target = exporter.url.trim_start_matches("http://");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: defender\n    \
             static_configs: [{{targets: ['{target}']}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).expect("the folder can be written");
        let port = free_port();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start(folder, &mut command);
        Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    /// Values of an instant query by the value of label `by`.
    pub async fn query(&self, expression: &str, by: &str) -> Vec<(String, f64)> {
        let address = format!("{}/api/v1/query", self.url);
        let Ok(url) = url::Url::parse_with_params(&address, [("query", expression)]) else {
            return Vec::new();
        };
        let Some((200, body)) = get(url.as_str()).await else {
            return Vec::new();
        };
        let body: serde_json::Value =
            serde_json::from_str(&body).expect("Prometheus answers in JSON");
        let results = body["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let sample = |result: &serde_json::Value| {
            let value = result["value"][1].as_str()?.parse().ok()?;
            Some((
                result["metric"][by].as_str().unwrap_or_default().to_owned(),
                value,
            ))
        };
        results.iter().filter_map(sample).collect()
    }
}

/// Held by a test that sets how many files this process may open: all tests share that.
pub static OPEN_FILES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A port of the loopback address that is free, and is not given to another test: below
/// those that the system hands out to connections, and each but once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test binaries that run beside each other begin in different places.
    let first = std::process::id().wrapping_mul(97);
    loop {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + u16::try_from(next % 20_000).expect("it is less than that");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
