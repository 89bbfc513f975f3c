//! The snapshot as text that Prometheus reads.
//!
//! ```text
//! catalog (names, types, help) ──────────────┐
//! snapshot ─► definitions, tenants ─► pages ─┴─► scrape ─► text or gzip, chunk by chunk
//!             registry ─► self_metrics ──────────┘ ▲
//! request headers ─► negotiate ────────────────────┘
//! ```
//!
//! A *family* is a header and *chunks* of *samples*. A chunk is kept while what it was written
//! from stays the same, and so is what it compresses to. At each scrape only the ages, the use of
//! the budgets and the exporter's own metrics are written. Families that the configuration excludes
//! are not written at all; once it excludes others, all text is written anew.

pub mod catalog;
mod chunk;
mod definitions;
pub mod format;
mod gzip;
mod label;
mod pages;
pub mod reference;
mod samples;
mod scrape;
mod self_metrics;
mod tenants;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use exporter_toolkit::Format;
pub use flate2::CompressError;
pub use scrape::Scrape;
pub use self_metrics::SelfMetrics;

use self::chunk::{Family, Header};
use self::definitions::TenantDefinition;
use self::gzip::Deflater;
use self::pages::TextPages;
use crate::clock::{Clock, Timestamp};
use crate::config::{InForce, Metrics};
use crate::polling::snapshot::{TenantView, Tenants};

/// The text of the last snapshot that was scraped; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// Without and with the lines that say when counters began, which `OpenMetrics` alone has.
    kept: Arc<[Mutex<Cache>; 2]>,
    /// Says which metrics are published.
    config: InForce,
}

#[derive(Debug, Default)]
struct Cache {
    tenants: Arc<Tenants>,
    /// The metrics that were published.
    metrics: Metrics,
    definition_pages: TextPages<TenantDefinition>,
    tenant_pages: TextPages<Arc<TenantView>>,
    headers: HashMap<&'static str, Arc<Header>>,
    families: Arc<[Family]>,
    /// Whether all that is kept has been compressed.
    is_compressed: bool,
}

impl Exposition {
    /// Publishes the metrics that `config` says, from the scrape after each change of it.
    #[must_use]
    pub fn new(config: InForce) -> Self {
        let kept = Arc::default();
        Self { kept, config }
    }

    /// All metrics as of now, compressed if `gzip`. Writes and compresses what
    /// changed since the last scrape, so it may take a while.
    ///
    /// # Errors
    /// [`CompressError`], if the compressor fails, for which there is no known reason.
    pub fn scrape(
        &self,
        tenants: &Arc<Tenants>,
        clock: &Clock,
        own: &SelfMetrics,
        format: Format,
        gzip: bool,
    ) -> Result<Scrape, CompressError> {
        let (metrics, kept) = self.kept(format);
        // What is kept is consistent between any two statements: poison is harmless.
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let families = kept.families(tenants, &metrics, gzip)?;
        drop(kept);
        let now = moment(clock);
        Ok(Scrape::new(families, metrics, now, own, format, gzip))
    }

    /// The same where nothing changed since the last scrape of this kind, at once; or `None`.
    #[must_use]
    pub fn scrape_again(
        &self,
        tenants: &Arc<Tenants>,
        clock: &Clock,
        own: &SelfMetrics,
        format: Format,
        gzip: bool,
    ) -> Option<Scrape> {
        let (metrics, kept) = self.kept(format);
        let kept = kept.try_lock().ok()?;
        let families = kept.known(tenants, &metrics, gzip)?;
        drop(kept);
        let now = moment(clock);
        Some(Scrape::new(families, metrics, now, own, format, gzip))
    }

    /// What is published in `format`, and what is kept of it.
    fn kept(&self, format: Format) -> (Metrics, &Mutex<Cache>) {
        let metrics = self.config.metrics();
        let created = metrics.created_timestamps && format == Format::OpenMetrics;
        (
            metrics.with_created_timestamps(created),
            &self.kept[usize::from(created)],
        )
    }
}

impl Cache {
    fn known(
        &self,
        tenants: &Arc<Tenants>,
        metrics: &Metrics,
        gzip: bool,
    ) -> Option<Arc<[Family]>> {
        let same = Arc::ptr_eq(&self.tenants, tenants) && self.metrics == *metrics;
        (same && (self.is_compressed || !gzip)).then(|| Arc::clone(&self.families))
    }

    fn families(
        &mut self,
        tenants: &Arc<Tenants>,
        metrics: &Metrics,
        gzip: bool,
    ) -> Result<Arc<[Family]>, CompressError> {
        if self.metrics != *metrics {
            // No page has the right families any more.
            *self = Self {
                metrics: metrics.clone(),
                ..Self::default()
            };
        }
        if !Arc::ptr_eq(&self.tenants, tenants) {
            self.refresh(tenants);
        }
        if gzip && !self.is_compressed {
            let mut deflater = Deflater::default();
            for chunk in self.families.iter().flat_map(|family| &family.chunks) {
                chunk.compress(&mut deflater)?;
            }
            self.is_compressed = true;
        }
        Ok(Arc::clone(&self.families))
    }

    fn refresh(&mut self, tenants: &Arc<Tenants>) {
        if !same_definitions(&self.tenants, tenants) {
            self.definition_pages
                .refresh(TenantDefinition::all(tenants), &self.metrics);
        }
        self.tenant_pages
            .refresh(tenants.values().cloned(), &self.metrics);
        let families = self.definition_pages.families();
        let families = families.chain(self.tenant_pages.families());
        // A family without samples leaves no trace.
        let families = families.filter(|(_, chunks)| !chunks.is_empty());
        let families = families.map(|(metric, chunks)| {
            let header = self.headers.entry(metric.name);
            Family::new(header.or_insert_with(|| Header::of(metric).into()), chunks)
        });
        self.families = families.collect();
        self.is_compressed = false;
        self.tenants = Arc::clone(tenants);
    }
}

/// What ages are as of: the whole second, so that all who scrape within it share them.
fn moment(clock: &Clock) -> Timestamp {
    let millis = clock.wall().unix_millis();
    Timestamp::from_unix_millis(millis - millis.rem_euclid(1000))
}

/// Whether the definitions are the same lists as before: a poll without news publishes them again.
fn same_definitions(before: &Tenants, now: &Tenants) -> bool {
    before.size() == now.size()
        && before.values().zip(now.values()).all(|(before, now)| {
            before.name == now.name && Arc::ptr_eq(&before.definitions, &now.definitions)
        })
}

/// All metrics as of now, as one text, of which nothing is kept.
#[must_use]
pub fn render(tenants: &Tenants, clock: &Clock, own: &SelfMetrics, format: Format) -> String {
    let tenants = Arc::new(tenants.clone());
    let scrape = Exposition::default().scrape(&tenants, clock, own, format, false);
    // Nothing is compressed, so nothing can fail.
    let parts = scrape.into_iter().flatten().flatten();
    let bytes: Vec<u8> = parts.flat_map(Vec::from).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
