//! TLS, client certificates and passwords on the real binary, asked by a real
//! Prometheus and by clients of other kinds.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::tools::needs;
use crate::common::web::{self, Authority, Served, client, hash};
use crate::common::{Process, eventually, free_port, get};
use reqwest::tls::{TlsInfo, Version};
use reqwest::{StatusCode, header};

const TLS: &str = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";

fn mutual(authority_file: &str) -> String {
    format!(
        "tls_server_config: {{cert_file: server.pem, key_file: server.key, \
         client_auth_type: RequireAndVerifyClientCert, client_ca_file: {authority_file}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_with_tls_client_certificate_and_password() {
    needs!("prometheus");
    let authority = Authority::new();
    let text =
        mutual("ca.pem") + &format!("basic_auth_users: {{prometheus: '{}'}}", hash("s3cr3t"));
    let served = Served::start(&authority, &text).await;
    let prometheus = authority.issue(&["prometheus.example"]);
    let stranger = Authority::new().issue(&["prometheus.example"]);
    for (name, content) in [
        ("client.pem", &prometheus.certificate),
        ("client.key", &prometheus.key),
        ("stranger.pem", &stranger.certificate),
        ("stranger.key", &stranger.key),
    ] {
        served.write(name, content);
    }
    let folder = served.process.folder.path().display();
    let tls = |name: &str| {
        format!(
            "{{ca_file: {folder}/ca.pem, cert_file: {folder}/{name}.pem, key_file: {folder}/{name}.key}}"
        )
    };
    let job = |name: &str, tls: String, password: &str| {
        format!(
            "  - {{job_name: {name}, scheme: https, tls_config: {tls}, \
             basic_auth: {{username: prometheus, password: {password}}}, \
             static_configs: [{{targets: ['127.0.0.1:{}']}}]}}\n",
            served.port
        )
    };
    let config =
        String::from("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n")
            + &job("good", tls("client"), "s3cr3t")
            + &job("password", tls("client"), "wrong")
            + &job("stranger", tls("stranger"), "s3cr3t")
            + &job("bare", format!("{{ca_file: {folder}/ca.pem}}"), "s3cr3t");
    served.write("prometheus.yml", &config);
    let port = free_port();
    let mut command = Command::new("prometheus");
    command.args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=prometheus",
        &format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    // In a folder of its own, so that the logs do not overwrite each other.
    let own = tempfile::tempdir().expect("a folder can be made");
    fs::copy(
        served.path("prometheus.yml"),
        own.path().join("prometheus.yml"),
    )
    .expect("the folder can be written");
    let _running = Process::start(own, &mut command);
    let targets = format!("http://127.0.0.1:{port}/api/v1/targets");
    let is_as_wanted = |(job, health, error): &(String, String, String)| {
        let (wanted, reason) = match job.as_str() {
            "good" => ("up", ""),
            "password" => ("down", "401"),
            _ => ("down", "tls"),
        };
        health == wanted && error.contains(reason)
    };
    // A scrape may also be too slow; the next one is not.
    eventually("all jobs are scraped as far as they may", async || {
        let (_, body) = get(&targets).await?;
        let body: serde_json::Value = serde_json::from_str(&body).ok()?;
        let active = body["data"]["activeTargets"].as_array()?.clone();
        let result = |target: &serde_json::Value| {
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
            let health = text(&target["health"])?;
            let scraped = health != "unknown";
            scraped.then_some((
                text(&target["labels"]["job"])?,
                health,
                text(&target["lastError"])?,
            ))
        };
        let results: Option<Vec<_>> = active.iter().map(result).collect();
        results.filter(|results| results.len() == 4 && results.iter().all(is_as_wanted))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_is_replaced_under_load_without_a_failed_scrape() {
    let authority = Authority::new();
    let served = Served::start(&authority, TLS).await;
    let client = client(&authority)
        .tls_info(true)
        .build()
        .expect("a client can be made");
    eventually("the exporter is ready", async || {
        let answer = client.get(served.url("https", "/-/ready")).send().await;
        answer
            .ok()
            .filter(|answer| answer.status() == StatusCode::OK)
    })
    .await;
    let (done, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, done, count) = (client.clone(), done.clone(), count.clone());
            let url = served.url("https", "/metrics");
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let answer = client.get(&url).send().await.expect("no scrape fails");
                    assert_eq!(answer.status(), StatusCode::OK);
                    assert!(
                        answer
                            .text()
                            .await
                            .expect("it is whole")
                            .contains("defender_up")
                    );
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..8 {
        let before = count.load(Ordering::Relaxed);
        let next = authority.issue(&["127.0.0.1"]);
        // Neither at once nor in one piece: in between they do not belong together.
        served.write("server.pem", &next.certificate[..100]);
        served.write("server.pem", &next.certificate);
        if round % 2 == 0 {
            eventually("scrapes go on with the former", async || {
                (count.load(Ordering::Relaxed) > before + 8).then_some(())
            })
            .await;
        }
        served.write("server.key", &next.key);
        eventually("the new certificate is shown", async || {
            let answer = client
                .get(served.url("https", "/-/healthy"))
                .send()
                .await
                .ok()?;
            let info = answer.extensions().get::<TlsInfo>()?;
            (info.peer_certificate()? == next.der).then_some(())
        })
        .await;
    }
    done.store(true, Ordering::Relaxed);
    for task in load {
        task.await.expect("no scrape failed");
    }
    assert!(count.load(Ordering::Relaxed) > 32);
    assert!(
        served
            .process
            .output()
            .contains("the previous configuration stays in effect")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_auth_type_lets_in_whom_it_names() {
    let authority = Authority::new();
    let served = Served::start(&authority, TLS).await;
    let signed = authority.issue(&["prometheus.example", "10.1.2.3"]);
    let stranger = Authority::new().issue(&["prometheus.example"]);
    let asks = async |identity: Option<&web::Issued>, newest: Version| {
        let mut builder = client(&authority).tls_version_max(newest);
        if let Some(issued) = identity {
            builder = builder.identity(issued.identity());
        }
        let client = builder.build().expect("a client can be made");
        let answer = client.get(served.url("https", "/-/healthy")).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    };
    let ca = "client_ca_file: ca.pem";
    let cases = [
        ("NoClientCert", "", [true, true, true]),
        ("RequestClientCert", "", [true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true]),
        ("VerifyClientCertIfGiven", ca, [true, false, true]),
        ("RequireAndVerifyClientCert", ca, [false, false, true]),
        (
            "RequireAndVerifyClientCert",
            "client_ca_file: ca.pem, client_allowed_sans: [a.example, 10.1.2.3]",
            [false, false, true],
        ),
        (
            "RequireAndVerifyClientCert",
            "client_ca_file: ca.pem, client_allowed_sans: [a.example]",
            [false, false, false],
        ),
        (
            "RequireAnyClientCert",
            "client_allowed_sans: [prometheus.example]",
            [false, true, true],
        ),
    ];
    for (auth, more, expected) in cases {
        served.write(
            "web.yml",
            &format!("tls_server_config: {{cert_file: server.pem, key_file: server.key, client_auth_type: {auth}, {more}}}\n"),
        );
        for newest in [Version::TLS_1_3, Version::TLS_1_2] {
            let what = format!("{auth} {more} {newest:?} lets in {expected:?}");
            // A request waits for the look at the file, but not long.
            eventually(&what, async || {
                let found = [
                    asks(None, newest).await,
                    asks(Some(&stranger), newest).await,
                    asks(Some(&signed), newest).await,
                ];
                (found == expected).then_some(())
            })
            .await;
        }
        assert_eq!(served.healthcheck("https"), Some(0), "{auth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_http2_follow_the_file() {
    let authority = Authority::new();
    let served = Served::start(&authority, TLS).await;
    let ask = async |newest: Version| {
        let client = client(&authority).tls_version_max(newest).build();
        let client = client.expect("a client can be made");
        let answer = client.get(served.url("https", "/metrics")).send().await;
        answer.ok().map(|answer| answer.version())
    };
    assert_eq!(ask(Version::TLS_1_3).await, Some(http::Version::HTTP_2));
    assert_eq!(ask(Version::TLS_1_2).await, Some(http::Version::HTTP_2));
    served.write(
        "web.yml",
        &format!("{TLS}http_server_config: {{http2: false}}\n"),
    );
    eventually("HTTP/2 is off", async || {
        let version = ask(Version::TLS_1_3).await;
        (version == Some(http::Version::HTTP_11)).then_some(())
    })
    .await;
    served.write("web.yml", &TLS.replace('}', ", min_version: TLS13}"));
    eventually("TLS 1.2 is off", async || {
        ask(Version::TLS_1_2).await.is_none().then_some(())
    })
    .await;
    assert_eq!(ask(Version::TLS_1_3).await, Some(http::Version::HTTP_2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_protects_everything_and_changes_without_a_restart() {
    let authority = Authority::new();
    let users = |password: &str| format!("basic_auth_users: {{alice: '{}'}}\n", hash(password));
    let headers = "http_server_config: {headers: {X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=1}}\n";
    let served = Served::start(&authority, &(users("s3cr3t") + headers)).await;
    let client = client(&authority).build().expect("a client can be made");
    let ask = async |path: &str, password: Option<&str>| {
        let mut request = client.get(served.url("http", path));
        if let Some(password) = password {
            request = request.basic_auth("alice", Some(password));
        }
        request.send().await.expect("it answers")
    };
    for path in [
        "/",
        "/metrics",
        "/-/healthy",
        "/-/ready",
        "/-/reload",
        "/nothing",
    ] {
        let refused = ask(path, None).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}");
        let challenge = &refused.headers()[header::WWW_AUTHENTICATE];
        assert!(
            challenge
                .to_str()
                .expect("it is text")
                .starts_with("Basic ")
        );
        assert_eq!(refused.headers()[header::X_FRAME_OPTIONS], "sameorigin");
        assert_eq!(refused.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(
            !refused
                .text()
                .await
                .expect("it is whole")
                .contains("defender")
        );
        assert_eq!(
            ask(path, Some("wrong")).await.status(),
            StatusCode::UNAUTHORIZED
        );
        let let_in = ask(path, Some("s3cr3t")).await;
        assert_ne!(let_in.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(
            let_in.headers()[header::STRICT_TRANSPORT_SECURITY],
            "max-age=1"
        );
    }
    let metrics = ask("/metrics", Some("s3cr3t"))
        .await
        .text()
        .await
        .expect("it is whole");
    assert!(
        metrics.contains("{handler=\"other\",code=\"401\"} 12\n"),
        "{metrics}"
    );
    assert_eq!(served.healthcheck("http"), Some(0));

    served.write("web.yml", &users("new"));
    eventually("the new password is in force", async || {
        let status = ask("/metrics", Some("new")).await.status();
        (status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(
        ask("/metrics", Some("s3cr3t")).await.status(),
        StatusCode::UNAUTHORIZED
    );
    served.write("web.yml", "basic_auth_users: {alice: oops}\n");
    assert_eq!(ask("/metrics", Some("new")).await.status(), StatusCode::OK);
    assert_eq!(
        ask("/metrics", None).await.status(),
        StatusCode::UNAUTHORIZED
    );
    served.write(
        "web.yml",
        &(users("new") + "rate_limit: {interval: 1h, burst: 2}\n"),
    );
    let mut statuses = Vec::new();
    eventually("the rate is limited", async || {
        let status = ask("/-/healthy", Some("new")).await.status().as_u16();
        statuses.push(status);
        (status == 429).then_some(())
    })
    .await;
    let (_, before) = statuses.split_last().expect("there is one");
    assert!(before.len() >= 2, "{statuses:?}");
    assert!(before.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(served.healthcheck("http"), Some(0));
    let log = served.process.output();
    assert!(!log.contains("s3cr3t") && !log.contains("$2b$"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_passwords_does_not_keep_a_known_scraper_waiting() {
    let authority = Authority::new();
    let costly = bcrypt::hash("s3cr3t", 10).expect("there is randomness");
    let text = format!("basic_auth_users: {{prometheus: '{costly}'}}\n");
    let served = Served::start(&authority, &text).await;
    let client = client(&authority).build().expect("a client can be made");
    let url = served.url("http", "/-/healthy");
    let scrape = async || {
        let request = client.get(&url).basic_auth("prometheus", Some("s3cr3t"));
        request.send().await.expect("it answers").status()
    };
    assert_eq!(scrape().await, StatusCode::OK);
    let refused = Arc::new(AtomicUsize::new(0));
    let attempts: Vec<_> = (0..100)
        .map(|number| {
            let (client, url, refused) = (client.clone(), url.clone(), refused.clone());
            tokio::spawn(async move {
                let request = client.get(url).basic_auth("prometheus", Some(number));
                let status = request.send().await.expect("it answers").status();
                assert_eq!(status, StatusCode::UNAUTHORIZED);
                refused.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    eventually("an attempt is refused", async || {
        (refused.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    assert_eq!(scrape().await, StatusCode::OK);
    let before = refused.load(Ordering::Relaxed);
    assert!(before < 90, "the scrape waited for {before} checks");
    for attempt in attempts {
        attempt.await.expect("it was refused");
    }
}
