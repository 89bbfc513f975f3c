//! What those who come in, or try to, can take: checks of passwords, and the
//! patience of a file system that hangs. And where the exporter listens for them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::process::in_namespaces;
use crate::common::tools::needs;
use crate::common::web::{Authority, Served, hash, ports};
use crate::common::{Process, binary, eventually, get};
use defender_scan_exporter::clock::Clock;
use reqwest::{Client, StatusCode};

/// A client that comes from this address of the loopback network.
fn client(from: [u8; 4]) -> Client {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let builder = Client::builder().no_proxy().pool_max_idle_per_host(0);
    let address = IpAddr::V4(Ipv4Addr::from(from));
    let built = builder.local_address(address).build();
    built.expect("a client can be made")
}

async fn sign_in(client: &Client, url: &str, user: &str, password: &str) -> StatusCode {
    let request = client.get(url).basic_auth(user, Some(password));
    request.send().await.expect("it answers").status()
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_wrong_passwords_do_not_keep_others_out() {
    let costly = bcrypt::hash("s3cr3t", 10).expect("there is randomness");
    let text = format!("basic_auth_users: {{prometheus: '{costly}', other: '{costly}'}}\n");
    let served = Served::start(&Authority::new(), &text).await;
    let url = served.url("http", "/-/healthy");
    let refused = Arc::new(AtomicUsize::new(0));
    let attacker = client([127, 0, 0, 2]);
    let attempts: Vec<_> = (0..400)
        .map(|number| {
            let (attacker, url, refused) = (attacker.clone(), url.clone(), refused.clone());
            tokio::spawn(async move {
                let status = sign_in(&attacker, &url, "prometheus", &number.to_string()).await;
                assert!([401, 429].contains(&status.as_u16()), "{status}");
                refused.fetch_add(1, Ordering::Relaxed);
                status.as_u16()
            })
        })
        .collect();
    eventually("an attempt is refused", async || {
        (refused.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    for (from, user) in [([127, 0, 0, 3], "prometheus"), ([127, 0, 0, 4], "other")] {
        let status = sign_in(&client(from), &url, user, "s3cr3t").await;
        assert_eq!(status, StatusCode::OK, "{user}");
    }
    let before = refused.load(Ordering::Relaxed);
    println!("an unseen scraper was let in after {before} of 400 attempts");
    assert!(before < 300, "it waited for {before} of 400 attempts");
    let mut busy = 0;
    for attempt in attempts {
        busy += usize::from(attempt.await.expect("it was refused") == 429);
    }
    assert!(busy > 0, "what waits is bounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_a_costly_hash_do_not_slow_a_good_login() {
    let (cheap, costly) = (hash("s3cr3t"), hash("x").replace("$04$", "$18$"));
    let text = format!("basic_auth_users: {{alice: '{cheap}', slow: '{costly}'}}\n");
    let served = Served::start(&Authority::new(), &text).await;
    eventually("the costly hash is warned of", async || {
        let log = served.process.output();
        log.contains("the cost of this hash is 18").then_some(())
    })
    .await;
    let url = served.url("http", "/-/healthy");
    let mut strangers = Vec::new();
    for number in 0..8 {
        let (url, stranger) = (url.clone(), client([127, 0, 0, 2]));
        strangers.push(tokio::spawn(async move {
            sign_in(&stranger, &url, &format!("stranger{number}"), "x").await
        }));
    }
    // And one who knows the name of the costly hash, which takes half a minute.
    let (slow, from) = (url.clone(), client([127, 0, 0, 5]));
    let slow = tokio::spawn(async move { sign_in(&from, &slow, "slow", "wrong").await });
    let clock = Clock::system();
    let begun = clock.uptime();
    let status = sign_in(&client([127, 0, 0, 3]), &url, "alice", "s3cr3t").await;
    let taken = clock.uptime().since(begun);
    println!("a good login took {taken:?}");
    assert_eq!(status, StatusCode::OK);
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    for stranger in strangers {
        let status = stranger.await.expect("it is answered");
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    println!("eight strangers took {:?}", clock.uptime().since(begun));
    assert!(!slow.is_finished(), "the costly check is still made");
    slow.abort();
}

/// Mounts a file system at its argument that answers nothing, for as long as it runs.
const HANGING_MOUNT: &str = r#"
import ctypes, os, sys, time
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"hanging", sys.argv[1].encode(), b"fuse", 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)
time.sleep(3600)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_web_configuration_on_a_mount_that_hangs_stops_no_request() {
    needs!("ip", "python3", "/dev/fuse");
    let test = "access_bounds::a_web_configuration_on_a_mount_that_hangs_stops_no_request";
    if !in_namespaces(&["--mount", "--net"], "ip link set lo up", test) {
        return;
    }
    let users = format!("basic_auth_users: {{alice: '{}'}}\n", hash("s3cr3t"));
    let served = Served::start(&Authority::new(), &users).await;
    let url = served.url("http", "/metrics");
    let alice = client([127, 0, 0, 1]);
    assert_eq!(sign_in(&alice, &url, "alice", "s3cr3t").await, 200);

    let mount = served.path("mount");
    fs::create_dir(&mount).expect("the folder can be written");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut python = Command::new("python3");
    python.args(["-c", HANGING_MOUNT]).arg(&mount);
    let hanging = Process::start(folder, &mut python);
    eventually("it is mounted", async || {
        hanging.output().contains("mounted").then_some(())
    })
    .await;
    let web = served.path("web.yml");
    fs::remove_file(&web).expect("it is there");
    symlink(mount.join("web.yml"), &web).expect("a link can be made");
    let clock = Clock::system();
    let begun = clock.uptime();
    for _ in 0..100 {
        assert_eq!(sign_in(&alice, &url, "alice", "s3cr3t").await, 200);
        assert_eq!(sign_in(&alice, &url, "alice", "wrong").await, 401);
    }
    println!("200 requests took {:?}", clock.uptime().since(begun));
    assert!(clock.uptime().since(begun) < Duration::from_secs(20));
    eventually("it is said", async || {
        sign_in(&alice, &url, "alice", "s3cr3t").await;
        let log = served.process.output();
        log.contains("the file system does not respond")
            .then_some(())
    })
    .await;
    // Whatever becomes of the mount, the file counts again once it is there.
    drop(hanging);
    fs::remove_file(&web).expect("the link is there");
    served.write("web.yml", &users.replace("alice", "bob"));
    eventually("the new file is in force", async || {
        (sign_in(&alice, &url, "bob", "s3cr3t").await == 200).then_some(())
    })
    .await;
    assert_eq!(sign_in(&alice, &url, "alice", "s3cr3t").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_interfaces_are_both_stacks_and_zones_are_understood() {
    needs!("ip", "curl");
    let test = "access_bounds::all_interfaces_are_both_stacks_and_zones_are_understood";
    let prepare = "ip link set lo up && ip -6 address add fe80::1/64 dev lo nodad \
                   && echo 1 >/proc/sys/net/ipv6/bindv6only";
    if !in_namespaces(&["--net"], prepare, test) {
        return;
    }
    let zone = "--web.listen-address=[fe80::1%lo]:0";
    for (arguments, urls) in [
        (
            &["--web.listen-address=:8001"][..],
            &["127.0.0.1:8001", "[::1]:8001"][..],
        ),
        (
            &["--web.listen-address=[::]:8002"],
            &["127.0.0.1:8002", "[::1]:8002"],
        ),
        (
            &["--web.listen-address=0.0.0.0:8003"],
            &["127.0.0.1:8003", "[::1]:8003"],
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let _served = Served::start_with(folder, arguments).await;
        for address in urls {
            let (status, _) = get(&format!("http://{address}/-/healthy"))
                .await
                .unwrap_or_else(|| panic!("nothing at {address}"));
            assert_eq!(status, 200);
        }
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let served = Served::start_with(folder, &[zone]).await;
    let port = eventually("the address with a zone is logged", async || {
        ports(&served.process, "[fe80::1%1]").first().copied()
    })
    .await;
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*"])
        .arg(format!("http://[fe80::1%25lo]:{port}/-/healthy"))
        .output();
    assert_eq!(output.expect("curl runs").stdout, b"healthy\n");
    let nowhere = zone.replace("%lo", "%nowhere");
    let output = binary().args(["demo", &nowhere]).output();
    let said = String::from_utf8_lossy(&output.expect("it starts").stderr).into_owned();
    assert!(
        said.contains("cannot listen on [fe80::1%nowhere]:0"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_flags_and_variables_are_as_good_as_none() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut command = binary();
    for name in [
        "CONFIG_FILE",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "SHARD",
        "TOTAL_SHARDS",
        "WEB_CONFIG_FILE",
        "WEB_ENABLE_LIFECYCLE",
        "WEB_LISTEN_ADDRESS",
        "WEB_MAX_REQUESTS",
        "WEB_SYSTEMD_SOCKET",
        "WEB_TELEMETRY_PATH",
    ] {
        command.env(format!("DEFENDER_EXPORTER_{name}"), "");
    }
    command.args(["demo", "--config.file=", "--web.config.file="]);
    command.arg("--web.listen-address=127.0.0.1:0");
    let process = Process::start(folder, &mut command);
    let port = eventually("it listens", async || {
        ports(&process, "127.0.0.1").first().copied()
    })
    .await;
    let (status, _) = get(&format!("http://127.0.0.1:{port}/metrics"))
        .await
        .expect("it answers");
    assert_eq!(status, 200);
}
