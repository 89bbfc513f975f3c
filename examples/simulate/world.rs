//! The service's side: definitions that run, come and go, and what its answers hold.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use defender_scan_exporter::clock::Uptime;
use defender_scan_exporter::model::DefinitionId;

/// How long a definition's intervals are, in hours: 1 h to 7 d.
const INTERVALS: [u64; 8] = [1, 2, 4, 8, 12, 24, 72, 168];

/// What happened to a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// It was created.
    Appeared,
    /// It was deleted.
    Vanished,
    /// A run of it ended.
    Ran,
}

/// One definition as the service knows it.
#[derive(Clone, Debug)]
pub struct Definition {
    pub id: DefinitionId,
    interval: Duration,
    pub exists: bool,
    /// The last runs, newest first: an answer may be older than the newest of them.
    runs: [Option<Uptime>; 2],
}

impl Definition {
    /// The latest run that an answer given at `seen` holds.
    pub fn latest(&self, seen: Uptime) -> Option<Uptime> {
        self.runs.into_iter().flatten().find(|run| *run <= seen)
    }
}

/// All definitions and what will happen to them.
pub struct World {
    pub definitions: Vec<Definition>,
    due: BinaryHeap<Reverse<(Uptime, usize, Event)>>,
    /// What happened since it was last asked for, in order.
    news: Vec<(Uptime, usize, Event)>,
    random: fastrand::Rng,
    /// How many exist.
    pub living: usize,
}

impl World {
    /// `number` definitions, each of which ran within its last interval.
    pub fn new(number: usize, now: Uptime, seed: u64) -> Self {
        let mut world = Self {
            definitions: Vec::new(),
            due: BinaryHeap::new(),
            news: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            living: 0,
        };
        for _ in 0..number {
            world.create(now);
        }
        world.news.clear();
        for index in 0..number {
            world.news.push((now, index, Event::Appeared));
        }
        world
    }

    /// One more definition; its last run was before now, its next comes within its interval.
    fn create(&mut self, now: Uptime) {
        let index = self.definitions.len();
        let hours = INTERVALS[self.random.usize(..INTERVALS.len())];
        let interval = Duration::from_hours(hours);
        let next = now + interval.mul_f64(self.random.f64());
        self.definitions.push(Definition {
            id: DefinitionId::new(&format!("{index:08}")),
            interval,
            exists: true,
            runs: [Some(next - interval), None],
        });
        self.living += 1;
        self.due.push(Reverse((next, index, Event::Ran)));
        self.news.push((now, index, Event::Appeared));
    }

    /// One definition is deleted, another created: at random, so often as `turnover` says.
    pub fn turn_over(&mut self, now: Uptime) {
        let victim = self.random.usize(..self.definitions.len());
        if std::mem::take(&mut self.definitions[victim].exists) {
            self.living -= 1;
            self.news.push((now, victim, Event::Vanished));
            self.create(now);
        }
    }

    /// Lets everything happen that happens until `now`.
    pub fn advance(&mut self, now: Uptime) {
        while let Some(Reverse((at, index, event))) = self.due.peek().copied() {
            if at > now {
                break;
            }
            self.due.pop();
            let definition = &mut self.definitions[index];
            if !definition.exists {
                continue;
            }
            definition.runs = [Some(at), definition.runs[0]];
            self.news.push((at, index, event));
            // Scans take their time: no two intervals are alike.
            let next = at + definition.interval.mul_f64(0.95 + 0.1 * self.random.f64());
            self.due.push(Reverse((next, index, Event::Ran)));
        }
    }

    /// What a list given at `seen` tells beside the one before.
    pub fn list(&mut self, seen: Uptime) -> Vec<(Uptime, usize, Event)> {
        self.news.sort_by_key(|(at, _, _)| *at);
        let later = self.news.partition_point(|(at, _, _)| *at <= seen);
        let rest = self.news.split_off(later);
        std::mem::replace(&mut self.news, rest)
    }

    /// How many definitions a `sweep` concerns that do not run within it.
    pub fn swept(&self, sweep: Duration) -> f64 {
        let living = self
            .definitions
            .iter()
            .filter(|definition| definition.exists);
        let idle = |definition: &Definition| {
            let runs = sweep.div_duration_f64(definition.interval);
            (1.0 - runs).max(0.0)
        };
        living.map(idle).sum()
    }
}
