//! Scrapes: the first, the next, after a change, plain and compressed.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use defender_scan_exporter::clock::Clock;
use defender_scan_exporter::exposition::{self, Exposition, Format, SelfMetrics};
use defender_scan_exporter::polling::snapshot::Tenants;
use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::fixture;
use crate::measure::{least_of_all_threads, row};

type Labels = Vec<(&'static str, String)>;

struct Scraped {
    clock: Clock,
    own: SelfMetrics,
    tenants: Arc<Tenants>,
}

impl Scraped {
    /// Sends it nowhere.
    fn drain(&self, exposition: &Exposition, tenants: &Arc<Tenants>, gzip: bool) {
        let format = Format::OpenMetrics;
        let scrape = exposition.scrape(tenants, &self.clock, &self.own, format, gzip);
        for part in scrape.into_iter().flatten().flatten() {
            black_box(part.len());
        }
    }
}

/// The families of definitions in `prometheus-client`.
fn registry(tenants: &Tenants) -> Registry {
    let names = [
        "last_timestamp_seconds",
        "last_age_seconds",
        "last_success_timestamp_seconds",
        "status_code",
        "interval_seconds",
        "active",
        "targets",
        "targets_succeeded",
        "definition_info",
    ];
    let mut registry = Registry::default();
    for name in names {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (tenant, view) in tenants {
            for definition in view.definitions.iter() {
                let mut labels = labels(tenant.as_str(), definition.definition.id.as_str());
                if name == "definition_info" {
                    let scan_name = definition.definition.scan_name.to_string();
                    labels.extend([
                        ("scan_name", scan_name),
                        ("scan_type", "Network".to_owned()),
                        ("target_type", "Ip".to_owned()),
                        ("agent_id", fixture::guid(1)),
                    ]);
                }
                family.get_or_create(&labels).set(1_790_000_000.123);
            }
        }
        registry.register(format!("defender_scan_{name}"), name, family);
    }
    let sessions = Family::<Labels, Counter>::default();
    for (tenant, view) in tenants {
        for definition in view.definitions.iter() {
            for status in exposition::catalog::STATUSES {
                let mut labels = labels(tenant.as_str(), definition.definition.id.as_str());
                labels.push(("status", status.to_owned()));
                sessions.get_or_create(&labels).inc();
            }
        }
    }
    registry.register("defender_scan_sessions", "sessions", sessions);
    registry
}

fn labels(tenant: &str, definition: &str) -> Labels {
    vec![
        ("tenant", tenant.to_owned()),
        ("definition_id", definition.to_owned()),
    ]
}

pub fn run(definitions: usize) {
    let clock = Clock::system();
    let scraped = Scraped {
        tenants: fixture::tenants(definitions, &clock),
        own: SelfMetrics::new(fixture::NOW),
        clock,
    };
    // So fast that no two scrapes are in the same second and share ages, and not at all.
    let [moving, standing] = [10_000, 0].map(|speed| Scraped {
        clock: Clock::accelerated(speed),
        own: scraped.own.clone(),
        tenants: Arc::clone(&scraped.tenants),
    });
    let tenants = &scraped.tenants;
    let [polled, changed] =
        [fixture::after_a_poll, fixture::after_a_change].map(|after| after(tenants));
    let body = exposition::render(tenants, &scraped.clock, &scraped.own, Format::OpenMetrics);
    let mut copy = body.clone().into_bytes();
    let registry = registry(tenants);
    let mut encoded = String::new();

    let [warm, second] = [(); 2].map(|()| Exposition::default());
    let [polling, changing, changing_gzip] = [(); 3].map(|()| Exposition::default());
    let [mut polls, mut turn, mut turn_gzip] = [false; 3];
    for warm in [&warm, &second] {
        scraped.drain(warm, tenants, true);
    }
    scraped.drain(&polling, tenants, false);
    scraped.drain(&changing, tenants, false);
    scraped.drain(&changing_gzip, tenants, true);
    let [
        copied,
        cold,
        same,
        poll,
        news,
        client,
        cold_gzip,
        same_gzip,
        same_second,
        news_gzip,
        gzip,
    ] = least_of_all_threads([
        &mut || {
            copy.copy_from_slice(black_box(body.as_bytes()));
            black_box(&copy);
        },
        &mut || scraped.drain(&Exposition::default(), tenants, false),
        &mut || scraped.drain(&warm, tenants, false),
        &mut || {
            polls = !polls;
            scraped.drain(&polling, if polls { &polled } else { tenants }, false);
        },
        &mut || {
            turn = !turn;
            scraped.drain(&changing, if turn { &changed } else { tenants }, false);
        },
        &mut || {
            encoded.clear();
            black_box(encode(&mut encoded, &registry)).ok();
        },
        &mut || scraped.drain(&Exposition::default(), tenants, true),
        &mut || moving.drain(&warm, tenants, true),
        &mut || standing.drain(&second, tenants, true),
        &mut || {
            turn_gzip = !turn_gzip;
            let next = if turn_gzip { &changed } else { tenants };
            moving.drain(&changing_gzip, next, true);
        },
        &mut || {
            let mut zipper = GzEncoder::new(Vec::new(), Compression::fast());
            zipper.write_all(body.as_bytes()).ok();
            black_box(zipper.finish()).ok();
        },
    ]);
    let copying = format!("memcpy of {} bytes", body.len());
    let [copying, client_name, gzip_name] = [&copying, "prometheus-client", "gzip -1 (flate2)"];
    for (what, time, baseline, base) in [
        ("warm scrape", same, copying, copied),
        ("scrape after a poll without news", poll, copying, copied),
        ("scrape after a change", news, copying, copied),
        ("cold scrape", cold, copying, copied),
        ("cold scrape", cold, client_name, client),
        ("warm scrape", same, client_name, client),
        ("warm gzip scrape", same_gzip, gzip_name, gzip),
        (
            "gzip scrape in the same second",
            same_second,
            gzip_name,
            gzip,
        ),
        ("gzip scrape after a change", news_gzip, gzip_name, gzip),
        ("cold gzip scrape", cold_gzip, gzip_name, gzip),
    ] {
        row(what, definitions, time, baseline, base);
    }
}
