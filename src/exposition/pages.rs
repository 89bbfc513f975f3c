//! The text of the families, cut into pages that are kept while what they were
//! written from stays the same.
//!
//! ```text
//!            page 1      page 2
//! family 1   chunk       chunk   ─► one after the other, so that a family
//! family 2   chunk       chunk      runs through all tenants
//! ```
//!
//! A page holds all families of some neighbours. Where it ends follows from the
//! neighbours' own names, so that one that appears moves no other page's ends.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};

use siphasher::sip::SipHasher13;

use super::catalog::Metric;
use super::chunk::Chunk;
use crate::config::Metrics;

/// What samples are written from.
pub(super) trait Written: Sized {
    /// What orders sources and names a page by its first.
    type Key: Ord;

    /// The most sources of a page.
    const LONGEST: usize;

    fn key(&self) -> Self::Key;

    /// Whether it gives the same text for sure.
    fn is_same(&self, other: &Self) -> bool;

    /// Whether a page ends here.
    fn ends_page(&self) -> bool;

    /// The families, in the order in which they are written.
    fn families() -> impl Iterator<Item = &'static Metric>;

    /// The chunk of each family; an empty one for those that are not published.
    fn render(sources: &[Self], metrics: &Metrics) -> Vec<Chunk>;
}

/// Whether a page ends at `name`: by its hash, one name in `every` is such.
pub(super) fn is_boundary(name: &str, every: u64) -> bool {
    let mut hasher = SipHasher13::new();
    name.hash(&mut hasher);
    hasher.finish().is_multiple_of(every)
}

/// The pages of all sources of one kind.
#[derive(Debug)]
pub(super) struct TextPages<S: Written>(BTreeMap<S::Key, TextPage<S>>);

#[derive(Debug)]
struct TextPage<S> {
    sources: Vec<S>,
    /// One a family.
    chunks: Vec<Chunk>,
}

impl<S: Written> Default for TextPages<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: Written> TextPages<S> {
    /// Rewrites the pages whose sources are not the same any more.
    pub(super) fn refresh(&mut self, sources: impl Iterator<Item = S>, metrics: &Metrics) {
        let mut before = std::mem::take(&mut self.0);
        let mut sources = sources.peekable();
        while sources.peek().is_some() {
            let mut page = Vec::new();
            for source in sources.by_ref() {
                let last = source.ends_page() || page.len() + 1 == S::LONGEST;
                page.push(source);
                if last {
                    break;
                }
            }
            let key = page[0].key();
            let page = TextPage::new(page, before.remove(&key), metrics);
            self.0.insert(key, page);
        }
    }

    /// Each family's chunks that say something.
    pub(super) fn families(&self) -> impl Iterator<Item = (&'static Metric, Vec<Chunk>)> {
        S::families().enumerate().map(|(index, metric)| {
            let chunks = self.0.values().map(|page| &page.chunks[index]);
            let chunks = chunks.filter(|chunk| !chunk.is_empty());
            (metric, chunks.cloned().collect())
        })
    }
}

impl<S: Written> TextPage<S> {
    fn new(sources: Vec<S>, before: Option<Self>, metrics: &Metrics) -> Self {
        let Some(before) = before else {
            let chunks = S::render(&sources, metrics);
            return Self { sources, chunks };
        };
        let same = sources.len() == before.sources.len()
            && sources
                .iter()
                .zip(&before.sources)
                .all(|(new, old)| new.is_same(old));
        if same {
            return before;
        }
        let chunks = S::render(&sources, metrics).into_iter().zip(&before.chunks);
        let chunks = chunks.map(|(new, old)| new.or_the_same(old)).collect();
        Self { sources, chunks }
    }
}
