//! The snapshot as text that Prometheus reads.
//!
//! ```text
//! catalog (names, types, help) ──────────────┐
//! snapshot ─► definitions, tenants ─► pages ─┴─► scrape ─► text or gzip, piece by piece
//!             registry ─► own ───────────────────┘ ▲
//! request headers ─► negotiate ────────────────────┘
//! ```
//!
//! What was written is kept while what it was written from stays the same. At
//! each scrape only the ages, the use of the budgets and the exporter's own
//! metrics are written.

mod alike;
pub mod catalog;
mod chunk;
mod definitions;
pub mod format;
mod label;
mod pages;
mod per_scrape;
pub mod reference;
mod scrape;
mod self_metrics;
mod tenants;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use exporter_toolkit::Format;
pub use flate2::CompressError;
pub use scrape::Scrape;
pub use self_metrics::SelfMetrics;

use self::catalog::Metric;
use self::chunk::Chunk;
use self::definitions::Row;
use self::pages::Pages;
use self::scrape::{Families, Header, Section};
use crate::clock::{Clock, Timestamp};
use crate::polling::snapshot::{TenantView, Tenants};

/// The text of the last snapshot that was scraped; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Exposition(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    tenants: Arc<Tenants>,
    definition_pages: Pages<Row>,
    tenant_pages: Pages<Arc<TenantView>>,
    headers: HashMap<&'static str, Header>,
    families: Families,
    /// What was asked for: in which format, compressed or not.
    sections: HashMap<(Format, bool), Arc<[Section]>>,
}

impl Exposition {
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
        // What is kept is consistent between any two statements: poison is harmless.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sections = kept.sections(tenants, format, gzip)?;
        drop(kept);
        Ok(Scrape::new(sections, moment(clock), own, format, gzip))
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
        let kept = self.0.try_lock().ok()?;
        let sections = kept.known(tenants, format, gzip)?;
        drop(kept);
        Some(Scrape::new(sections, moment(clock), own, format, gzip))
    }
}

impl Kept {
    fn known(&self, tenants: &Arc<Tenants>, format: Format, gzip: bool) -> Option<Arc<[Section]>> {
        let same = Arc::ptr_eq(&self.tenants, tenants);
        self.sections.get(&(format, gzip)).filter(|_| same).cloned()
    }

    fn sections(
        &mut self,
        tenants: &Arc<Tenants>,
        format: Format,
        gzip: bool,
    ) -> Result<Arc<[Section]>, CompressError> {
        if let Some(known) = self.known(tenants, format, gzip) {
            return Ok(known);
        }
        if !Arc::ptr_eq(&self.tenants, tenants) {
            self.refresh(tenants);
        }
        let sections = self.families.sections(format, gzip)?;
        self.sections.insert((format, gzip), Arc::clone(&sections));
        Ok(sections)
    }

    fn refresh(&mut self, tenants: &Arc<Tenants>) {
        self.sections.clear();
        if !same_definitions(&self.tenants, tenants) {
            self.definition_pages.refresh(Row::all(tenants));
        }
        self.tenant_pages.refresh(tenants.values().cloned());
        self.families = Families::default();
        let definitions = self.definition_pages.families();
        for (metric, pieces) in definitions.chain(self.tenant_pages.families()) {
            let header = self.headers.entry(metric.name);
            let header = header.or_insert_with(|| header_of(metric));
            self.families.add(header, pieces);
        }
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
    before.len() == now.len()
        && before.values().zip(now.values()).all(|(before, now)| {
            before.name == now.name && Arc::ptr_eq(&before.definitions, &now.definitions)
        })
}

fn header_of(metric: &Metric) -> Header {
    [Format::OpenMetrics, Format::Classic].map(|format| {
        let mut text = String::new();
        format::header(&mut text, metric, format);
        Arc::new(Chunk::new(text))
    })
}

/// All metrics as of now, as one text, of which nothing is kept.
#[must_use]
pub fn render(tenants: &Tenants, clock: &Clock, own: &SelfMetrics, format: Format) -> String {
    let tenants = Arc::new(tenants.clone());
    let scrape = Exposition::default().scrape(&tenants, clock, own, format, false);
    // Nothing is compressed, so nothing can fail.
    let pieces = scrape.into_iter().flatten();
    let bytes: Vec<u8> = pieces.flat_map(Vec::from).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
