//! The disk of the state: slow, hanging, full, or taken away.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::common::process::slow_disk;
use crate::common::settings::{self, entry};
use crate::common::{Exporter, eventually, options};
use defender_scan_exporter::clock::Clock;
use defender_simulator::{Endpoint, Fault, Outcome, Simulator};
use tempfile::TempDir;

/// What is promised while a disk is slow or hangs; each is measured many times.
const HEALTH: Duration = Duration::from_millis(100);
const SCRAPE: Duration = Duration::from_millis(500);
const END: Duration = Duration::from_secs(5);

/// Other tests run on the same processors.
const MARGIN: u32 = 5;

/// An exporter of `tenants` tenants, whose disk takes as long as `disk` says.
struct Slow {
    simulator: Simulator,
    exporter: Exporter,
    disk: PathBuf,
}

impl Slow {
    async fn start(tenants: usize) -> Self {
        Self::start_with(tenants, &[]).await
    }

    async fn start_with(tenants: usize, variables: &[(&str, &str)]) -> Self {
        let mut options = options();
        (options.tenants, options.definitions) = (tenants, 20);
        let simulator = Simulator::start(options)
            .await
            .expect("the simulator starts");
        let folder = Arc::new(TempDir::new().expect("a folder can be made"));
        let entries: Vec<_> = (0..tenants).map(entry).collect();
        settings::write(&simulator, folder.path(), &entries, "20s");
        let disk = folder.path().join("disk");
        fs::write(&disk, "0").expect("the folder can be written");
        let library = slow_disk(folder.path());
        let exporter = Exporter::start_adjusted(Arc::clone(&folder), |command| {
            command.env("LD_PRELOAD", library).env("SLOW_DISK", &disk);
            command.envs(variables.iter().copied());
        })
        .await;
        exporter.ready().await;
        Self {
            simulator,
            exporter,
            disk,
        }
    }

    fn takes(&self, milliseconds: i64) {
        let draft = self.disk.with_extension("draft");
        fs::write(&draft, milliseconds.to_string()).expect("the folder can be written");
        fs::rename(draft, &self.disk).expect("the folder can be written");
    }

    fn calls(&self) -> usize {
        let calls = self.simulator.calls();
        let of_api = calls.iter().filter(|call| call.endpoint != Endpoint::Token);
        of_api.count()
    }

    /// What health checks, scrapes and pages take: the third quartile of many, as a busy machine
    /// holds up single ones.
    async fn took(&self) -> [Duration; 3] {
        let clock = Clock::system();
        let mut took = [const { Vec::new() }; 3];
        for _ in 0..30 {
            for (path, took) in ["/-/healthy", "/metrics", "/"].iter().zip(&mut took) {
                let start = clock.uptime();
                assert_eq!(self.exporter.get(path).await.0, 200, "{path}");
                took.push(clock.uptime().since(start));
            }
            // So that the requests extend over several commits.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        took.map(|mut took| {
            took.sort_unstable();
            took[took.len() * 3 / 4]
        })
    }

    async fn holds(&self, disk: &str) {
        let took = self.took().await;
        let [health, scrape, page] = took;
        eprintln!("{disk}: health {health:?}, scrape {scrape:?}, page {page:?}");
        assert!(health < HEALTH * MARGIN, "{disk}: {took:?}");
        assert!(scrape < SCRAPE * MARGIN, "{disk}: {took:?}");
        assert!(page < SCRAPE * MARGIN, "{disk}: {took:?}");
    }

    /// Errors that the disk must not be taken for.
    async fn errors(&self) -> Vec<String> {
        let metrics = self.exporter.metrics().await;
        let errors = metrics.0.lines().filter(|line| {
            line.starts_with("defender_collector_errors_total{") && !line.ends_with(" 0")
        });
        errors.map(str::to_owned).collect()
    }

    async fn ends(mut self, disk: &str) {
        let clock = Clock::system();
        let start = clock.uptime();
        self.exporter.process.signal("TERM");
        let status = self.exporter.process.exit().await;
        let took = clock.uptime().since(start);
        eprintln!("{disk}: ended {took:?} after SIGTERM");
        assert!(status.success(), "{disk}: {status}");
        assert!(took < END + Duration::from_secs(20), "{disk}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_holds_up_nothing_but_the_calls_that_wait_for_it() {
    let slow = Slow::start(20).await;
    slow.takes(300);
    slow.exporter.says("the disk is slow").await;
    slow.holds("300 ms a sync").await;
    let before = slow.calls();
    eventually("calls leave all the same", async || {
        (slow.calls() > before + 40).then_some(())
    })
    .await;
    assert_eq!(slow.errors().await, [""; 0]);
    let commits = "defender_exporter_store_commit_duration_seconds_count";
    slow.exporter
        .shows(commits, &[], |commits| commits > 10.0)
        .await;
    slow.ends("300 ms a sync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_stops_the_calls_and_nothing_else() {
    let slow = Slow::start(20).await;
    slow.takes(3_600_000);
    slow.exporter.says("the disk does not respond").await;
    slow.exporter
        .shows("defender_exporter_store_errors_total", &[], |errors| {
            errors > 0.0
        })
        .await;
    let before = slow.calls();
    slow.holds("a hanging disk").await;
    assert_eq!(slow.calls(), before, "no call leaves without its row");
    assert_eq!(slow.errors().await, [""; 0]);
    // Pollers that had something to save when it began do not hold up a reload.
    let mut entries: Vec<_> = (0..20).map(entry).collect();
    for entry in &mut entries {
        entry.poll = "{definitions: 2s, agents: 10s}".to_owned();
    }
    let folder = Arc::clone(&slow.exporter.process.folder);
    settings::write(&slow.simulator, folder.path(), &entries, "20s");
    slow.exporter.process.signal("HUP");
    slow.exporter.says("reloaded…changed=20").await;
    slow.takes(0);
    slow.exporter.says("the disk responds again").await;
    eventually("it goes on", async || (slow.calls() > before).then_some(())).await;
    slow.takes(3_600_000);
    eventually("it hangs once more", async || {
        let said = slow.exporter.process.output();
        (said.matches("the disk does not respond").count() == 2).then_some(())
    })
    .await;
    slow.ends("a hanging disk").await;
}

/// What an answer brings that was under way as the disk began to hang is not held back by it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_hanging_disk_cannot_save_is_published_all_the_same() {
    let slow = Slow::start(1).await;
    let id = slow.simulator.world().definitions(0)[0].id.clone();
    let late = Some(Fault::Late(Duration::from_secs(10)));
    slow.simulator.set_fault(Endpoint::Definitions, late);
    let lists = || {
        let calls = slow.simulator.calls();
        let lists = calls
            .iter()
            .filter(|call| call.endpoint == Endpoint::Definitions);
        lists.count()
    };
    let before = lists();
    eventually("a list is under way", async || {
        (lists() > before).then_some(())
    })
    .await;
    slow.takes(3_600_000);
    slow.simulator.world().run_now(0, &id, Outcome::Success);
    let run = slow.simulator.world().definition(0, &id).and_then(|known| {
        let run = known.latest()?;
        Some(run.at.unix_seconds())
    });
    let run = run.expect("it ran");
    let name = "defender_scan_last_timestamp_seconds";
    slow.exporter
        .shows(name, &[&id], |at| at >= run - 1.0)
        .await;
    slow.exporter.says("the disk does not respond").await;
}

/// A counter that was seen does not go back, whenever the process is killed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_disk_has_not_saved_yet_is_not_published() {
    let slow = Slow::start(1).await;
    slow.takes(1_500);
    let labels = ["endpoint=\"definitions\"", "code=\"200\""];
    let counted = async |exporter: &Exporter| {
        let metrics = exporter.metrics().await;
        metrics.value("defender_api_requests_total", &labels)
    };
    let before = counted(&slow.exporter).await.expect("it is published");
    let seen = eventually("more is published", async || {
        let now = counted(&slow.exporter).await;
        now.filter(|now| *now > before + 1.0)
    })
    .await;
    let Slow {
        exporter,
        simulator,
        ..
    } = slow;
    simulator.set_fault(Endpoint::Definitions, Some(Fault::Hang));
    let exporter = exporter.kill_and_restart().await;
    let after = counted(&exporter).await.expect("it is published");
    assert!(after >= seen, "{after} after {seen}");
}

/// A disk that is full at one moment and not at the next: one line says so, however often.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_now_and_then_is_said_once() {
    let slow = Slow::start(3).await;
    let failures = "defender_exporter_store_errors_total";
    let commits = "defender_exporter_store_commit_duration_seconds_count";
    for _ in 0..6 {
        for (takes, counter) in [(-1, failures), (0, commits)] {
            slow.takes(takes);
            let before = slow.exporter.metrics().await.value(counter, &[]);
            let before = before.expect("it is published");
            let grows = |now| now > before;
            slow.exporter.shows(counter, &[], grows).await;
        }
    }
    let before = slow.calls();
    eventually("calls leave", async || {
        (slow.calls() > before).then_some(())
    })
    .await;
    let said = slow.exporter.process.output();
    let lines = |text: &str| said.matches(text).count();
    assert_eq!(lines("the state cannot be written"), 1, "{said}");
    // That of a busy machine may be slow besides.
    let others = lines("store::trouble") - lines("the disk is slow");
    assert_eq!(others, 1, "nothing else is said yet: {said}");
}

/// On such a file system nothing keeps a second process out: that is said, and it works.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_without_locks_is_warned_of_once() {
    let slow = Slow::start_with(1, &[("NO_LOCKS", "1")]).await;
    let said = slow.exporter.process.output();
    assert_eq!(
        said.matches("the file system does not support locks")
            .count(),
        1,
        "{said}"
    );
    let labels = ["tenant=\"tenant-0\""];
    slow.exporter
        .shows("defender_up", &labels, |up| up > 0.5)
        .await;
}

/// The file is taken away under the running exporter.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_removed_is_written_anew_with_all_that_counts() {
    let slow = Slow::start(2).await;
    let folder = Arc::clone(&slow.exporter.process.folder);
    let state = folder.path().join("state/state.redb");
    fs::remove_file(&state).expect("it is there");
    slow.exporter
        .says("the state was removed, replaced or truncated")
        .await;
    let before = slow.calls();
    eventually("it goes on", async || {
        (slow.calls() > before + 6 && state.exists()).then_some(())
    })
    .await;
    let used = |metrics: &crate::common::Metrics| {
        let labels = ["tenant=\"tenant-1\"", "\"hour\""];
        metrics.value("defender_api_quota_used", &labels)
    };
    let before = used(&slow.exporter.metrics().await).expect("it is published");
    let definitions = scans(&slow.exporter).await;
    let Slow { exporter, .. } = slow;
    let exporter = exporter.kill_and_restart().await;
    let after = used(&exporter.metrics().await).expect("it is published");
    assert!(after >= before, "{after} of {before} calls are known");
    assert_eq!(scans(&exporter).await, definitions, "all was saved again");
}

/// However the file is lost, what is known of a tenant that is polled but once an hour is in the
/// new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_is_written_anew_by_tenants_at_rest_too() {
    let simulator = Simulator::start(options()).await;
    let simulator = simulator.expect("the simulator starts");
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let mut tenant = entry(0);
    tenant.poll = "{definitions: 1h, agents: 1h}".to_owned();
    settings::write(&simulator, folder.path(), &[tenant], "40s");
    let state = folder.path().join("state");
    let file = state.join("state.redb");
    let away = folder.path().join("away");
    let lose: [&dyn Fn() -> std::io::Result<()>; 4] = [
        &|| fs::remove_file(&file),
        &|| fs::File::create(&file).map(drop),
        &|| fs::rename(&state, &away).and_then(|()| fs::create_dir(&state)),
        &|| {
            fs::copy(away.join("state.redb"), folder.path().join("older"))?;
            fs::rename(folder.path().join("older"), &file)
        },
    ];
    let mut exporter = Exporter::start_with_flags(folder.clone(), &[]).await;
    exporter.ready().await;
    let requests = "defender_api_requests_total";
    let history = ["endpoint=\"history\"", "code=\"200\""];
    exporter
        .shows(requests, &history, |calls| calls > 0.5)
        .await;
    let known = async |exporter: &Exporter| {
        let labels = ["endpoint=\"definitions\"", "code=\"200\""];
        let requests = exporter.metrics().await.value(requests, &labels);
        (scans(exporter).await, requests)
    };
    let before = known(&exporter).await;
    assert!(!before.0.is_empty() && before.1 > Some(0.5), "{before:?}");
    // All that is known from here on is from before.
    simulator.set_tenant_fault(0, Endpoint::Definitions, Some(Fault::Hang));
    for (round, lose) in (0_u32..).zip(&lose) {
        // Each start asks for agents once; after that it is at rest.
        let agents = ["endpoint=\"agents\"", "code=\"200\""];
        let asked = |calls| calls > f64::from(round) + 0.5;
        exporter.shows(requests, &agents, asked).await;
        let commits = async || {
            let name = "defender_exporter_store_commit_duration_seconds_count";
            exporter
                .metrics()
                .await
                .value(name, &[])
                .unwrap_or_default()
        };
        lose().expect("the folder can be written");
        exporter
            .says("the state was removed, replaced or truncated")
            .await;
        let written = commits().await;
        eventually("the tenant is in the new file", async || {
            (commits().await > written + 2.5).then_some(())
        })
        .await;
        exporter = exporter.kill_and_restart().await;
        assert_eq!(known(&exporter).await, before, "loss {round}");
    }
}

async fn scans(exporter: &Exporter) -> Vec<String> {
    let metrics = exporter.metrics().await;
    let ids = metrics
        .0
        .lines()
        .filter(|line| line.starts_with("defender_scan_definition_info"));
    ids.map(str::to_owned).collect()
}

/// A state that an older program wrote while it was in use, and was killed.
struct OldState {
    packed: &'static [u8],
    /// What it published then.
    published: &'static str,
    /// Directory and application of its tenants.
    tenants: [[&'static str; 2]; 2],
    api: &'static str,
}

const OLD_STATES: [OldState; 2] = [
    OldState {
        packed: include_bytes!("fixtures/state-2.redb.gz"),
        published: include_str!("fixtures/state-2.txt"),
        tenants: [
            [
                "3f0e6d0e-0000-4000-8000-000000000001",
                "3f0e6d0e-0000-4000-8000-000000000009",
            ],
            [
                "3f0e6d0e-0000-4000-8000-000000000002",
                "3f0e6d0e-0000-4000-8000-000000000009",
            ],
        ],
        api: "http://127.0.0.1:1",
    },
    OldState {
        packed: include_bytes!("fixtures/state-3.redb.gz"),
        published: include_str!("fixtures/state-3.txt"),
        tenants: [
            [
                "68019fd1-37ed-44a6-854c-5903705883a0",
                "1f281a5a-bae8-4ef8-82d8-6c5520e8827c",
            ],
            [
                "132e579d-0b66-4975-85e3-ad74f9c0d626",
                "aee8c75a-eb3c-45a0-857d-eae67ab3517b",
            ],
        ],
        api: "https://localhost:42475",
    },
];

/// Of the third version, too, all calls count that did.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_an_older_version_publishes_what_it_did() {
    for old in OLD_STATES {
        let folder = Arc::new(TempDir::new().expect("a folder can be made"));
        let state = folder.path().join("state");
        fs::create_dir(&state).expect("the folder can be written");
        let mut file =
            fs::File::create(state.join("state.redb")).expect("the folder can be written");
        let mut unpacked = flate2::read::GzDecoder::new(old.packed);
        std::io::copy(&mut unpacked, &mut file).expect("it is packed");
        let api = old.api;
        let tenants = (1..).zip(old.tenants);
        let tenants = tenants.map(|(number, [directory, application])| {
            format!(
                "  - {{name: demo-{number}, tenant_id: {directory}, \
                 api_base_url: '{api}', authority_host: 'https://127.0.0.1:1', \
                 credential: {{type: client_secret, client_id: {application}, client_secret: x}}}}\n"
            )
        });
        let text = format!("tenants:\n{}", tenants.collect::<String>());
        fs::write(folder.path().join("exporter.yml"), text).expect("the folder can be written");
        let exporter = Exporter::start_adjusted(folder, |_| ()).await;
        let metrics = exporter.metrics().await;
        let published: std::collections::BTreeSet<_> = metrics.0.lines().collect();
        assert!(old.published.lines().count() >= 250);
        for line in old.published.lines() {
            assert!(published.contains(line), "{line}");
        }
    }
}
