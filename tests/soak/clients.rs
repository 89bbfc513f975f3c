//! Clients that scrape without an end, as Prometheus does and as it does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
        Self { running, answered }
    }

    /// Ends them; returns how many scrapes were answered.
    pub async fn stop(mut self) -> u64 {
        assert!(self.running.try_join_next().is_none(), "a client failed");
        self.running.shutdown().await;
        self.answered.load(Ordering::Relaxed)
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
        tokio::time::sleep(Duration::from_millis(random.u64(200..2_000))).await;
    }
}
