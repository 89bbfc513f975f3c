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
use std::iter::zip;

use siphasher::sip::SipHasher13;

use super::catalog::Metric;
use super::chunk::Chunk;
use crate::config::Metrics;
use crate::parallel;

/// So many pages that are to be written are worth a thread of their own.
const SHARE: usize = 16;

/// What samples are written from.
pub(super) trait Written: Sized + Send {
    /// What orders sources and names a page by its first.
    type Key: Ord + Send;

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
    /// Rewrites the pages whose sources are not the same any more: many on several cores.
    pub(super) fn refresh(&mut self, sources: impl Iterator<Item = S>, metrics: &Metrics) {
        let mut before = std::mem::take(&mut self.0);
        let mut outdated = Vec::new();
        let mut sources = sources.peekable();
        while sources.peek().is_some() {
            let page = next_page(&mut sources);
            let key = page[0].key();
            match before.remove(&key) {
                Some(known) if known.is_of(&page) => drop(self.0.insert(key, known)),
                known => outdated.push((key, page, known)),
            }
        }
        let written = parallel::map(outdated, SHARE, |(key, sources, before)| {
            (key, TextPage::new(sources, before.as_ref(), metrics))
        });
        self.0.extend(written);
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

/// The sources of the page that comes next.
fn next_page<S: Written>(sources: &mut impl Iterator<Item = S>) -> Vec<S> {
    let mut page = Vec::new();
    for source in sources {
        let last = source.ends_page() || page.len() + 1 == S::LONGEST;
        page.push(source);
        if last {
            break;
        }
    }
    page
}

impl<S: Written> TextPage<S> {
    /// A page of `sources`, which shares with the one `before` what is the same.
    fn new(sources: Vec<S>, before: Option<&Self>, metrics: &Metrics) -> Self {
        let mut chunks = S::render(&sources, metrics);
        for (new, old) in zip(
            &mut chunks,
            before.into_iter().flat_map(|page| &page.chunks),
        ) {
            new.share(old);
        }
        Self { sources, chunks }
    }

    /// Whether it was written from the same for sure.
    fn is_of(&self, sources: &[S]) -> bool {
        self.sources.len() == sources.len()
            && zip(&self.sources, sources).all(|(old, new)| new.is_same(old))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;
    use crate::clock::Timestamp;
    use crate::exposition::catalog;

    /// The first numbers of the pages that were written.
    static WRITTEN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

    /// A number, and what is said of it.
    struct Source(u32, &'static str);

    impl Written for Source {
        type Key = u32;

        const LONGEST: usize = 10;

        fn key(&self) -> u32 {
            self.0
        }

        fn is_same(&self, other: &Self) -> bool {
            self.1 == other.1
        }

        fn ends_page(&self) -> bool {
            false
        }

        fn families() -> impl Iterator<Item = &'static Metric> {
            std::iter::once(&catalog::UP)
        }

        fn render(sources: &[Self], _: &Metrics) -> Vec<Chunk> {
            WRITTEN.lock().unwrap().insert(sources[0].0);
            let text = sources
                .iter()
                .map(|Source(number, word)| format!("{number} {word}\n"));
            vec![Chunk::of(&text.collect::<String>())]
        }
    }

    #[test]
    fn many_pages_come_in_order_and_only_those_that_changed_are_written() {
        let mut pages = TextPages::default();
        let mut refreshed = |changed: Option<u32>| {
            let word = |number| {
                if Some(number) == changed {
                    "new"
                } else {
                    "old"
                }
            };
            let sources = || (0..5_000).map(|number| Source(number, word(number)));
            pages.refresh(sources(), &Metrics::default());
            let now = Timestamp::from_unix_millis(0);
            let chunks = pages.families().flat_map(|(_, chunks)| chunks);
            let text: Vec<u8> = chunks
                .flat_map(|chunk| Vec::from(chunk.text(now)))
                .collect();
            let expected = sources().map(|Source(number, word)| format!("{number} {word}\n"));
            assert_eq!(
                String::from_utf8(text).unwrap(),
                expected.collect::<String>()
            );
            std::mem::take(&mut *WRITTEN.lock().unwrap())
        };
        assert_eq!(refreshed(None).len(), 500);
        assert_eq!(refreshed(Some(1_234)), BTreeSet::from([1_230]));
        assert_eq!(refreshed(Some(1_234)), BTreeSet::new());
    }
}
