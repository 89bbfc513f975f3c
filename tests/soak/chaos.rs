//! The exporter, and what is done to it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use defender_scan_exporter::clock::{Clock, Uptime};
use defender_simulator::{CallRecord, Damage, Draft, Endpoint, Fault, Outcome, Simulator};
use fastrand::Rng;
use tempfile::TempDir;

use super::clients::Place;
use super::common::names::NameServer;
use super::common::nginx::Nginx;
use super::common::{self, Exporter, tools};
use super::truth::{are_detailed, of_page, of_world};

/// Tenants to which anything may happen.
const TENANTS: usize = 3;
/// The tenant each of whose answers has a strange record; nothing else happens to it.
const HARASSED: usize = TENANTS;
pub const ALL_TENANTS: usize = TENANTS + 1;
/// Tenants whose sessions must be asked for by their ids: one of the first, and the last.
pub const BARE: Range<usize> = HARASSED - 1..ALL_TENANTS;
const ENDPOINTS: [Endpoint; 5] = [
    Endpoint::Token,
    Endpoint::Definitions,
    Endpoint::History,
    Endpoint::Sessions,
    Endpoint::Agents,
];

pub struct Chaos {
    simulator: Arc<Simulator>,
    names: NameServer,
    /// Before the first tenants, over HTTP/2 and over HTTP/1.1.
    nginxes: [Nginx; 2],
    folder: Arc<TempDir>,
    /// The library that makes its disk slow.
    library: PathBuf,
    exporter: Option<Exporter>,
    place: Place,
    random: Rng,
    /// What was done how often.
    done: BTreeMap<&'static str, usize>,
    /// What earlier processes said.
    said: String,
    created: usize,
    /// What was last wrong with each endpoint's answers for the harassed tenant.
    damage: Vec<(Endpoint, Damage)>,
}

impl Chaos {
    pub async fn start(simulator: Arc<Simulator>, seed: u64) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
        let target = simulator.https_url().replace("localhost", "127.0.0.1");
        let mut chaos = Self {
            simulator,
            names: NameServer::start().await,
            nginxes: [
                Nginx::start(&target, true).await,
                Nginx::start(&target, false).await,
            ],
            library: common::process::slow_disk(folder.path()),
            folder,
            exporter: None,
            place: Place::new(Mutex::new(String::new())),
            random: Rng::with_seed(seed),
            done: BTreeMap::new(),
            said: String::new(),
            created: 0,
            damage: Vec::new(),
        };
        chaos.configure();
        chaos.jump("+0");
        chaos.disk(0);
        chaos.launch().await;
        chaos
    }

    pub fn url(&self) -> Place {
        Arc::clone(&self.place)
    }

    fn exporter(&mut self) -> &mut Exporter {
        self.exporter.as_mut().expect("it was started")
    }

    pub fn process(&mut self) -> u32 {
        self.exporter().process.id()
    }

    /// Starts it, with a wall clock that can be moved and a boot clock that cannot.
    async fn launch(&mut self) {
        let clock = self.folder.path().join("clock");
        let disk = self.folder.path().join("disk");
        let faketime = tools::faketime().expect("libfaketime is installed");
        let libraries = format!("{}:{}", faketime.display(), self.library.display());
        let started = Exporter::start_adjusted(Arc::clone(&self.folder), |command| {
            command.env("LD_PRELOAD", libraries);
            command.env("SLOW_DISK", disk);
            command.env("FAKETIME_TIMESTAMP_FILE", clock);
            command.env("FAKETIME_NO_CACHE", "1");
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        })
        .await;
        self.place
            .lock()
            .expect("unpoisoned")
            .clone_from(&started.url);
        self.exporter = Some(started);
    }

    fn configure(&self) {
        let simulator = &self.simulator;
        let of_nginxes = self.nginxes.iter().map(|nginx| &*nginx.authority.pem);
        let roots: String = of_nginxes.chain([simulator.ca_pem()]).collect();
        let origin = |tenant: usize| match self.nginxes.get(tenant) {
            Some(nginx) => nginx.origin(),
            None => simulator.https_url(),
        };
        let (folder, budget) = (self.folder.path(), (300, 15_000));
        common::configuration_at(simulator, folder, budget, &[], &roots, origin);
    }

    /// Moves its wall clock.
    fn jump(&self, offset: &str) {
        self.replace("clock", offset);
    }

    /// Makes each commit of its state take so long; a negative time is a full disk.
    fn disk(&self, milliseconds: i32) {
        self.replace("disk", &milliseconds.to_string());
    }

    fn replace(&self, name: &str, text: &str) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, text).expect("the folder can be written");
        fs::rename(draft, self.folder.path().join(name)).expect("the folder can be written");
    }

    /// Each answer for one of the tenants has a strange record, each time another.
    fn harass(&mut self) {
        self.damage.clear();
        for endpoint in ENDPOINTS.into_iter().skip(1) {
            let damage = Damage::of_one_record(&mut self.random);
            self.damage.push((endpoint, damage.clone()));
            self.simulator
                .set_tenant_fault(HARASSED, endpoint, Some(Fault::Damaged(damage)));
        }
    }

    /// Something happens in the world.
    fn change(&mut self) {
        let tenant = self.random.usize(..ALL_TENANTS);
        let mut world = self.simulator.world();
        let ids: Vec<_> = world
            .definitions(tenant)
            .iter()
            .map(|known| known.id.clone())
            .collect();
        let any = (!ids.is_empty()).then(|| ids[self.random.usize(..ids.len())].clone());
        let (choice, flag) = (self.random.u8(..8), self.random.bool());
        match (choice, any) {
            (0, _) | (_, None) => {
                self.created += 1;
                let name = format!("new {}\n\u{1b}[31m\"<b>", self.created);
                world.add_definition(tenant, Draft::manual(&name));
            }
            (1, Some(id)) if ids.len() > 4 => {
                world.remove_definition(tenant, &id);
            }
            (2, Some(id)) => {
                world.set_active(tenant, &id, flag);
            }
            (3, Some(id)) => {
                world.set_name(tenant, &id, "another name");
            }
            (_, Some(id)) => {
                let outcomes = [Outcome::Success, Outcome::Partial, Outcome::Failure];
                let outcome = outcomes[self.random.usize(..outcomes.len())].clone();
                world.run_now(tenant, &id, outcome);
            }
        }
    }

    /// Does one thing after the other until then.
    pub async fn run(&mut self, end: Uptime, kills: bool) {
        while Clock::system().uptime() < end {
            self.harass();
            let what = match self.random.u8(..22) {
                0..5 => {
                    let endpoint = self.random.usize(..ENDPOINTS.len());
                    let tenant = self.random.usize(..TENANTS);
                    let fault = self.random.bool().then(|| Fault::any(&mut self.random));
                    self.simulator
                        .set_tenant_fault(tenant, ENDPOINTS[endpoint], fault);
                    "fault"
                }
                5..8 => {
                    self.simulator.revoke_tokens(self.random.usize(..TENANTS));
                    "token revoked"
                }
                8..10 => {
                    let hours = self.random.i32(-48..=48);
                    self.jump(&format!("{hours:+}h"));
                    "clock jump"
                }
                10..12 => {
                    self.reload();
                    "reload"
                }
                12 if kills => {
                    self.kill().await;
                    "kill"
                }
                13 => {
                    let times = [0, 0, 0, 50, 300, 2_000, 7_000, -1];
                    let time = times[self.random.usize(..times.len())];
                    self.disk(time);
                    "disk"
                }
                14 => {
                    self.names.set_silent(!self.names.is_silent());
                    "name server"
                }
                15..17 => self.connections().await,
                _ => {
                    self.change();
                    "change"
                }
            };
            *self.done.entry(what).or_default() += 1;
            let pause = Duration::from_millis(self.random.u64(50..700));
            // Faults overlap, and some time passes between them.
            tokio::time::sleep(pause).await;
        }
    }

    /// Something happens to all connections through an nginx.
    async fn connections(&mut self) -> &'static str {
        let nginx = &self.nginxes[self.random.usize(..self.nginxes.len())];
        match self.random.u8(..5) {
            0..2 => {
                nginx.die().await;
                "dead connections"
            }
            2 => {
                nginx.stall();
                "stall"
            }
            3 => {
                nginx.go_on();
                "end of a stall"
            }
            _ => {
                nginx.reload();
                "nginx reload"
            }
        }
    }

    /// Another configuration, and SIGHUP; one of three is not good.
    fn reload(&mut self) {
        self.configure();
        let file = self.folder.path().join("exporter.yml");
        let good = fs::read_to_string(&file).expect("it was written");
        let text = match self.random.u8(..3) {
            0 => good.replace("tenants:", "tenant:"),
            1 => good.replace("definitions: 1s", "definitions: 2s"),
            _ => good,
        };
        fs::write(&file, text).expect("the folder can be written");
        self.exporter().process.signal("HUP");
    }

    async fn kill(&mut self) {
        let mut old = self.exporter.take().expect("it was started");
        assert!(old.process.is_running(), "{}", old.process.output());
        old.process.signal("KILL");
        old.process.exit().await;
        self.said += &old.process.output();
        drop(old);
        // It does not start on a full disk.
        self.disk(0);
        self.configure();
        self.launch().await;
    }

    /// Nothing more goes wrong, for long enough that what was under way is over.
    pub async fn calm(&mut self) {
        for (tenant, endpoint) in (0..TENANTS).flat_map(|tenant| ENDPOINTS.map(|end| (tenant, end)))
        {
            self.simulator.set_tenant_fault(tenant, endpoint, None);
        }
        self.names.set_silent(false);
        self.jump("+0");
        self.disk(0);
        self.configure();
        self.exporter().process.signal("HUP");
        // The calm itself: as long as calls, back-offs and idle threads last.
        tokio::time::sleep(Duration::from_secs(5)).await;
        // Nothing but a call that fails finds that out.
        for nginx in &self.nginxes {
            nginx.die().await;
        }
        for _ in 0..10 * TENANTS {
            self.change();
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }

    /// Waits until the page equals the world.
    pub async fn settle(&mut self, patience: Duration) {
        let end = Clock::system().uptime() + patience;
        loop {
            let expected = of_world(&self.simulator, ALL_TENANTS);
            let page = self.exporter().metrics().await.0;
            let found = of_page(&page);
            if found == expected && are_detailed(&page, BARE) {
                return;
            }
            if Clock::system().uptime() > end {
                let differs = expected
                    .iter()
                    .filter(|(key, value)| found.get(*key) != Some(value));
                let differs = differs.map(|(key, value)| {
                    let (known, runs) = (found.get(key), self.runs(key));
                    format!("{key:?}: expected {value:?}, found {known:?}; it ran {runs:?}\n")
                });
                let more = found.keys().filter(|key| !expected.contains_key(*key));
                let more = more.map(|key| format!("{key:?}: there is none\n"));
                let differences: String = differs.chain(more).collect();
                let output = self.exporter().process.output();
                let damage = &self.damage;
                panic!(
                    "{output}\nthe page never equals the world:\n{differences}the last tenant's damage: {damage:?}"
                );
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// When a definition ran last, and how it went: the newest first.
    fn runs(&self, (tenant, id): &(String, String)) -> Vec<(i64, Outcome)> {
        let world = self.simulator.world();
        let tenant = tenant.trim_start_matches("tenant-").parse();
        let known = world.definition(tenant.expect("it has a number"), id);
        let runs = known.map_or(&[] as &[_], |known| &known.runs).iter().rev();
        runs.take(5)
            .map(|run| (run.at.unix_millis(), run.status.clone()))
            .collect()
    }

    pub fn summary(&mut self) -> String {
        let said = self.said.clone() + &self.exporter().process.output();
        let silent = said.matches("name servers do not answer").count();
        let (done, calls) = (&self.done, self.simulator.calls());
        let of_sessions = |call: &&CallRecord| call.endpoint == Endpoint::Sessions;
        let by_id = calls.iter().filter(of_sessions).count();
        let calls = calls.len();
        format!(
            "{done:?}, {calls} calls, {by_id} for sessions by their ids; {silent} times name servers did not answer"
        )
    }

    /// It lives, and has said nothing that it should not.
    pub fn assert_clean(&mut self) {
        assert!(self.exporter().process.is_running());
        let said = std::mem::take(&mut self.said) + &self.exporter().process.output();
        assert!(!said.contains("panicked"), "{said}");
        assert!(!said.contains('\u{1b}'), "a terminal would obey a name");
        for secret in self.simulator.secrets() {
            assert!(!said.contains(&secret), "{secret} leaked");
        }
    }
}
