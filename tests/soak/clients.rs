//! Clients that scrape without an end, as Prometheus does and as it does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

/// Where the exporter is now; it moves when it is started again.
pub type Place = Arc<Mutex<String>>;

pub struct Clients {
    running: JoinSet<()>,
    answered: Arc<AtomicU64>,
}

impl Clients {
    pub fn start(count: u64, place: &Place) -> Self {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let answered = Arc::new(AtomicU64::new(0));
        let mut running = JoinSet::new();
        for number in 0..count {
            running.spawn(scrape(number, Arc::clone(place), Arc::clone(&answered)));
        }
        for number in 0..count / 5 {
            running.spawn(disturb(number, Arc::clone(place)));
        }
        Self { running, answered }
    }

    /// Ends them; returns how many scrapes were answered.
    pub async fn stop(mut self) -> u64 {
        assert!(self.running.try_join_next().is_none(), "a client failed");
        self.running.shutdown().await;
        self.answered.load(Ordering::Relaxed)
    }
}

/// A client that sends half of a request, nonsense, or a request whose answer it never reads.
async fn disturb(number: u64, place: Place) {
    let mut random = fastrand::Rng::with_seed(number);
    let texts: [&[u8]; 4] = [
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"\x16\x03\x01\0\x05hello",
    ];
    loop {
        let url = place.lock().expect("unpoisoned").clone();
        let address = url.trim_start_matches("http://");
        if let Ok(mut stream) = tokio::net::TcpStream::connect(address).await {
            let text = texts[random.usize(..texts.len())];
            // It may be turned away at once.
            stream.write_all(text).await.ok();
            // It holds the connection, and says no more.
            tokio::time::sleep(Duration::from_millis(random.u64(..5_000))).await;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(50..500))).await;
    }
}

async fn scrape(number: u64, place: Place, answered: Arc<AtomicU64>) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_mins(1))
        // Some keep their connection, some do not; some hang up before the answer.
        .pool_max_idle_per_host(usize::from(number.is_multiple_of(2)))
        .build()
        .expect("a client can be made");
    let mut random = fastrand::Rng::with_seed(number);
    let accept = [
        "*/*",
        "application/openmetrics-text;version=1.0.0",
        "text/html",
    ];
    loop {
        let url = format!("{}/metrics", place.lock().expect("unpoisoned"));
        let request = client
            .get(url)
            .header("accept", accept[random.usize(..accept.len())])
            .header(
                "accept-encoding",
                if random.bool() { "gzip" } else { "identity" },
            );
        if random.u8(..10) == 0 {
            let soon = Duration::from_millis(random.u64(..20));
            tokio::time::timeout(soon, request.send()).await.ok();
        } else if let Ok(answer) = request.send().await {
            let status = answer.status().as_u16();
            let whole = answer.bytes().await.is_ok();
            assert!(status == 200 || status == 503, "{status}");
            answered.fetch_add(u64::from(status == 200 && whole), Ordering::Relaxed);
        }
        // The scrape interval.
        tokio::time::sleep(Duration::from_millis(random.u64(200..2_000))).await;
    }
}
