//! What the exporter would know of the definitions. It stands for `Tenant`,
//! which compares whole lists: here only what differs is looked at, so that a
//! month of lists of 100 000 definitions takes seconds.

use std::collections::BTreeSet;

use defender_scan_exporter::clock::Uptime;
use defender_scan_exporter::model::DefinitionId;
use defender_scan_exporter::schedule::ListingDiff;

use super::world::{Event, World};

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    listed: bool,
    /// The latest run that the list named.
    run: Option<Uptime>,
    /// The latest run whose details are known.
    details: Option<Uptime>,
}

#[derive(Debug, Default)]
pub struct Observer {
    known: Vec<Known>,
    /// Those whose details are behind the list.
    behind: BTreeSet<usize>,
    covered: usize,
    restarted: bool,
}

impl Observer {
    /// Takes in a complete list that the service gave at `seen`.
    pub fn list(&mut self, world: &mut World, seen: Uptime) -> ListingDiff {
        let mut listed = ListingDiff {
            names_runs: true,
            ..ListingDiff::default()
        };
        let news = world.list(seen);
        self.known.resize(world.definitions.len(), Known::default());
        if std::mem::take(&mut self.restarted) {
            let behind = self.behind.iter();
            listed
                .changed
                .extend(behind.map(|index| world.definitions[*index].id.clone()));
        }
        for (_, index, event) in news {
            let definition = &world.definitions[index];
            let known = &mut self.known[index];
            match event {
                Event::Vanished if known.listed => {
                    known.listed = false;
                    self.behind.remove(&index);
                    listed.vanished.push(definition.id.clone());
                    continue;
                }
                // Never seen, or gone before it was.
                _ if !definition.exists => continue,
                Event::Appeared if !known.listed => {
                    known.listed = true;
                    listed.appeared.push(definition.id.clone());
                }
                _ => {}
            }
            let latest = definition.latest(seen);
            if latest > known.run {
                known.run = latest;
                self.behind.insert(index);
                listed.changed.push(definition.id.clone());
            }
        }
        listed
    }

    /// Takes in history that the service gave at `seen`, and calls `found` with each run that
    /// was not known. Returns those whose latest run it does not hold.
    pub fn fetch(
        &mut self,
        world: &World,
        ids: &[DefinitionId],
        seen: Uptime,
        mut found: impl FnMut(Uptime),
    ) -> BTreeSet<DefinitionId> {
        let mut unsettled = BTreeSet::new();
        for id in ids {
            let index: usize = id.as_str().parse().expect("ids are numbers");
            let known = &mut self.known[index];
            let latest = world.definitions[index].latest(seen);
            if known.details.is_none() {
                self.covered += 1;
            } else if let Some(run) = latest.filter(|_| latest > known.details) {
                found(run);
            }
            known.details = known.details.max(latest);
            if known.details >= known.run {
                self.behind.remove(&index);
            } else {
                unsettled.insert(id.clone());
            }
        }
        unsettled
    }

    /// A new process begins with what the old one knew; returns the definitions.
    pub fn restart<'a>(&mut self, world: &'a World) -> impl Iterator<Item = &'a DefinitionId> {
        self.restarted = true;
        let listed = self.known.iter().map(|known| known.listed);
        let definitions = world.definitions.iter().zip(listed.collect::<Vec<_>>());
        definitions
            .filter(|(_, listed)| *listed)
            .map(|(definition, _)| &definition.id)
    }

    /// Definitions whose history was fetched at least once.
    pub fn covered(&self) -> usize {
        self.covered
    }

    /// Whether the details of every listed run are known.
    pub fn is_settled(&self) -> bool {
        self.behind.is_empty()
    }
}
