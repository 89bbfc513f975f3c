//! A real nginx between the exporter and the service, over HTTP/2 and over HTTP/1.1: what happens
//! in mid-life to it, or to what is behind it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use defender_scan_exporter::clock::Clock;
use defender_simulator::{Front, LineFault, Simulator};

use super::common::nginx::Nginx;
use super::common::settings::{budget, write_text};
use super::common::{Exporter, options};
use super::watch::{Samples, Watch};
use super::{all_is_counted, cell::PATIENCE};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    NoBackend,
    SilentBackend,
    Stall,
    DeadConnections,
    Reloads,
}

const RELOADS: usize = 10;

/// Under which reason it is counted, of sign-ins and of calls of the API. `None`: nothing fails.
const ROWS: [(&str, Trouble, [Option<&str>; 2]); 5] = [
    (
        "nothing listens behind it",
        Trouble::NoBackend,
        [Some("server"), Some("server")],
    ),
    (
        "silence behind it",
        Trouble::SilentBackend,
        [Some("timeout"), Some("timeout")],
    ),
    (
        "its worker stalls, and goes on",
        Trouble::Stall,
        [Some("timeout"), Some("timeout")],
    ),
    (
        "its worker dies with open connections, and another takes over",
        Trouble::DeadConnections,
        [None, Some("timeout")],
    ),
    (
        "ten reloads (HTTP/2: GOAWAY)",
        Trouble::Reloads,
        [None, None],
    ),
];

struct Cell {
    what: String,
    tenant: usize,
    trouble: Trouble,
    signs_in: bool,
    reason: Option<&'static str>,
    nginx: Nginx,
    backend: Front,
}

/// The table that the documentation keeps.
pub fn promised() -> String {
    let mut text = String::from("| behind or of an nginx | token | API |\n| --- | --- | --- |\n");
    for (name, _, reasons) in ROWS {
        let said = reasons.map(|reason| reason.map_or("–".to_owned(), |it| format!("`{it}`")));
        writeln!(text, "| {name} | {} |", said.join(" | ")).expect("a string");
    }
    text
}

async fn cells(simulator: &Simulator) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (name, trouble, reasons) in ROWS {
        for (signs_in, reason) in [true, false].into_iter().zip(reasons) {
            for http2 in [true, false] {
                let backend = simulator.http1_front().await.expect("a port is free");
                let target = format!("https://127.0.0.1:{}", backend.port());
                cells.push(Cell {
                    what: format!("{name}, signs in: {signs_in}, HTTP/2: {http2}"),
                    tenant: cells.len(),
                    trouble,
                    signs_in,
                    reason,
                    nginx: Nginx::start(&target, http2).await,
                    backend,
                });
            }
        }
    }
    cells
}

impl Cell {
    async fn begin(&self) {
        match self.trouble {
            Trouble::NoBackend => self.backend.set(Some(LineFault::Refused)),
            Trouble::SilentBackend => self.backend.set(Some(LineFault::Silent)),
            Trouble::Stall => self.nginx.stall(),
            Trouble::DeadConnections => self.nginx.die().await,
            Trouble::Reloads => {
                for _ in 0..RELOADS {
                    self.nginx.reload();
                    // The fault is that it reloads again and again.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn end(&self) {
        match self.trouble {
            Trouble::NoBackend | Trouble::SilentBackend => self.backend.set(None),
            Trouble::Stall => self.nginx.go_on(),
            Trouble::DeadConnections | Trouble::Reloads => {}
        }
    }

    fn errors(&self, samples: &Samples) -> Vec<(String, f64)> {
        if self.signs_in {
            samples.errors("defender_auth_errors_total", None)
        } else {
            samples.errors("defender_collector_errors_total", None)
        }
    }

    async fn known(&self, watch: &Watch) -> Result<Vec<(String, f64)>, String> {
        let errors = |samples: &Samples| Some(self.errors(samples));
        watch
            .until(&self.name(), "it is known", PATIENCE, errors)
            .await
    }

    fn name(&self) -> String {
        format!("cell-{}", self.tenant)
    }

    /// Whether anything else has failed, but for timeouts, which a slow machine adds.
    fn has_others(&self, errors: &BTreeSet<String>) -> bool {
        let mut errors = errors.iter().map(String::as_str);
        errors.any(|reason| reason != "timeout" && Some(reason) != self.reason)
    }

    /// Waits until all collectors have succeeded after this moment.
    async fn succeeds(&self, watch: &Watch, what: &str) -> Result<[usize; 2], String> {
        #[expect(clippy::cast_precision_loss, reason = "a time of our days")]
        let now = Clock::system().wall().unix_millis() as f64 / 1_000.0 + 1.0;
        let name = "defender_collector_last_success_timestamp_seconds";
        let well = |samples: &Samples| {
            let good = samples.well()?;
            let polled = ["definitions", "agents"]
                .iter()
                .all(|collector| samples.value(name, &[&format!("\"{collector}\"")]) >= Some(now));
            polled.then_some(good)
        };
        watch
            .until(&format!("cell-{}", self.tenant), what, PATIENCE, well)
            .await
    }

    async fn run(&self, simulator: &Simulator, watch: &Watch) -> Result<(), String> {
        let good = self.succeeds(watch, "all is well at first").await?;
        let before = self.known(watch).await?;
        self.begin().await;
        if self.signs_in {
            simulator.revoke_tokens(self.tenant);
        }
        if let Some(reason) = self.reason {
            let what = format!("it is counted as {reason}");
            let counted = |samples: &Samples| {
                let errors = grown(&before, &self.errors(samples));
                errors
                    .contains(reason)
                    .then(|| (errors, samples.published()))
            };
            let mut found = watch.until(&self.name(), &what, PATIENCE, counted).await;
            if found.is_err() && self.trouble == Trouble::DeadConnections {
                // The client may just have been replaced, which is for all tenants, and have had no
                // connection that could die.
                self.begin().await;
                found = watch.until(&self.name(), &what, PATIENCE, counted).await;
            }
            let (errors, published) = found?;
            if self.has_others(&errors) || published != good {
                return Err(format!(
                    "{errors:?}; {good:?} were published, now {published:?}"
                ));
            }
            self.end();
            self.succeeds(watch, "all is well again").await?;
        } else {
            self.succeeds(watch, "all is well still").await?;
            let errors = grown(&before, &self.known(watch).await?);
            if self.has_others(&errors) {
                return Err(format!("{errors:?}"));
            }
        }
        // What died reads the requests that it has been sent, and the service sees them now.
        self.nginx.go_on();
        Ok(())
    }
}

/// The reasons of which there are more than before.
fn grown(before: &[(String, f64)], after: &[(String, f64)]) -> BTreeSet<String> {
    let pairs = after.iter().zip(before);
    let grown = pairs.filter(|((_, after), (_, before))| after > before);
    grown.map(|((reason, _), _)| reason.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_behind_an_nginx() {
    let mut options = options();
    (options.definitions, options.agents) = (3, 2);
    options.tenants = 4 * ROWS.len();
    let simulator = Simulator::start(options).await.expect("it starts");
    let cells = cells(&simulator).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut text = String::from("http: {ca_file: ca.pem, timeout: 10s}\ntenants:\n");
    let mut roots = simulator.ca_pem().to_owned();
    for cell in &cells {
        let identity = simulator.tenant(cell.tenant).expect("there is a tenant");
        let mut origins = [simulator.https_url(), cell.nginx.origin()];
        if cell.signs_in {
            origins.reverse();
        }
        let [authority, api] = origins;
        write!(
            text,
            "  - name: cell-{}\n    tenant_id: {}\n    api_base_url: {api}\n    authority_host: {authority}\n    \
             credential: {{type: client_secret, client_id: {}, client_secret: '{}'}}\n    \
             poll: {{definitions: 1s, agents: 10s}}\n    quota: {}\n",
            cell.tenant, identity.tenant_id, identity.client_id, identity.client_secret,
            budget(1_000, 50_000)
        )
        .expect("a string can be written");
        roots += &cell.nginx.authority.pem;
    }
    std::fs::write(folder.path().join("ca.pem"), roots).expect("it can be written");
    write_text(folder.path(), &text);
    let mut exporter = Exporter::start_adjusted(folder, |_| ()).await;
    let watch = Watch::start(exporter.url.clone());
    let running = cells.iter().map(|cell| cell.run(&simulator, &watch));
    let results = futures::future::join_all(running).await;
    let failures = cells.iter().zip(results).filter_map(|(cell, result)| {
        let why = result.err()?;
        Some(format!("{}: {why}", cell.what))
    });
    let failures: Vec<_> = failures.collect();
    assert!(exporter.process.is_running(), "it has ended");
    assert!(failures.is_empty(), "{failures:#?}");
    for cell in &cells {
        let unseen = all_is_counted(&simulator, &exporter, cell.tenant).await;
        println!("{}: {unseen} calls were counted and not seen", cell.what);
        // Each may close a connection with two calls under way. With a revoked token a call is
        // nobody's to the service.
        let most = 2 * RELOADS + usize::from(cell.signs_in);
        assert!(cell.trouble != Trouble::Reloads || unseen <= most);
    }
    assert_eq!(simulator.misplaced(), 0, "a credential went astray");
}
