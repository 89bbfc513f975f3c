//! One scrape a second, shared by all cells.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use defender_scan_exporter::clock::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The newest scrape, and how long the slowest took.
pub struct Watch {
    newest: watch::Receiver<Scrape>,
    task: JoinHandle<()>,
}

/// One scrape.
#[derive(Clone, Default)]
pub struct Scrape {
    by_tenant: Arc<HashMap<String, Samples>>,
    slowest: Duration,
}

impl Watch {
    pub fn start(url: String) -> Self {
        let (sender, newest) = watch::channel(Scrape::default());
        let task = tokio::spawn(async move {
            let clock = Clock::system();
            rustls::crypto::ring::default_provider()
                .install_default()
                .ok();
            let client = reqwest::Client::builder().no_proxy();
            let client = client.build().expect("a client can be made");
            let mut slowest = Duration::ZERO;
            loop {
                let started = clock.uptime();
                let answer = client.get(format!("{url}/metrics")).send().await;
                let text = answer.expect("/metrics answers").text().await;
                slowest = slowest.max(clock.uptime().since(started));
                let by_tenant = Arc::new(split(&text.expect("/metrics has text")));
                sender.send_replace(Scrape { by_tenant, slowest });
                // The scrape interval.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self { newest, task }
    }

    /// How long the slowest scrape took.
    pub fn slowest(&self) -> Duration {
        assert!(!self.task.is_finished(), "scrapes have failed");
        self.newest.borrow().slowest
    }

    /// Waits until a tenant's samples are `wanted`; says what was there instead.
    pub async fn until<T>(
        &self,
        tenant: &str,
        what: &str,
        patience: Duration,
        mut wanted: impl FnMut(&Samples) -> Option<T>,
    ) -> Result<T, String> {
        let mut newest = self.newest.clone();
        newest.mark_changed();
        let mut last = String::new();
        let search = async {
            loop {
                newest
                    .changed()
                    .await
                    .map_err(|_| "scrapes have failed".to_owned())?;
                let scrape = newest.borrow_and_update().clone();
                let Some(samples) = scrape.by_tenant.get(tenant) else {
                    continue;
                };
                if let Some(value) = wanted(samples) {
                    return Ok(value);
                }
                last = samples.troubles();
            }
        };
        let found = tokio::time::timeout(patience, search).await;
        found.unwrap_or_else(|_| Err(format!("never happened: {what}; {last}")))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The samples of one tenant.
#[derive(Clone, Default)]
pub struct Samples(Vec<(String, f64)>);

/// The samples by tenant: once for all cells, as a page of so many tenants is long.
fn split(text: &str) -> HashMap<String, Samples> {
    let mut by_tenant: HashMap<String, Samples> = HashMap::new();
    for line in text.lines().filter(|line| !line.contains("_bucket{")) {
        let tenant = line
            .split_once("tenant=\"")
            .and_then(|(_, rest)| rest.split('"').next());
        let (Some(tenant), Some((series, value))) = (tenant, line.rsplit_once(' ')) else {
            continue;
        };
        if let Ok(value) = value.parse() {
            let samples = by_tenant.entry(tenant.to_owned()).or_default();
            samples.0.push((series.to_owned(), value));
        }
    }
    by_tenant
}

impl Samples {
    /// The value of the first sample of that name with those labels.
    pub fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let fits = |series: &str| {
            series
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{'))
                && labels.iter().all(|label| series.contains(label))
        };
        self.0
            .iter()
            .find(|(series, _)| fits(series))
            .map(|(_, value)| *value)
    }

    /// Errors so far under that name by reason.
    pub fn errors(&self, name: &str, collector: Option<&str>) -> Vec<(String, f64)> {
        let collector = collector.map(|name| format!("collector=\"{name}\""));
        let ours = self.0.iter().filter(|(series, _)| {
            series.starts_with(name)
                && collector
                    .as_ref()
                    .is_none_or(|label| series.contains(label))
        });
        let reasons = ours.filter_map(|(series, value)| {
            let (_, rest) = series.split_once("reason=\"")?;
            Some((rest.split('"').next()?.to_owned(), *value))
        });
        reasons.collect()
    }

    /// How many definitions and agents are published.
    pub fn published(&self) -> [usize; 2] {
        ["defender_scan_active{", "defender_scan_agent_info{"].map(|name| {
            self.0
                .iter()
                .filter(|(series, _)| series.starts_with(name))
                .count()
        })
    }

    /// What is published, once all collectors have succeeded and none fails now.
    pub fn well(&self) -> Option<[usize; 2]> {
        let success = "defender_collector_last_success_timestamp_seconds";
        for collector in ["definitions", "history", "agents"] {
            self.value(success, &[&format!("\"{collector}\"")])?;
        }
        (self.value("defender_up", &[])? > 0.0).then(|| self.published())
    }

    /// What is above zero among the errors.
    pub fn troubles(&self) -> String {
        let errors = self
            .0
            .iter()
            .filter(|(series, value)| series.contains("_errors_total") && *value > 0.0);
        let mut said: Vec<_> = errors
            .map(|(series, value)| {
                let labels = series.split_once(',').map_or("", |(_, labels)| labels);
                format!("{labels} {value}")
            })
            .collect();
        said.push(format!("up {:?}", self.value("defender_up", &[])));
        said.join("; ")
    }
}
