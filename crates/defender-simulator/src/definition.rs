//! One scan definition and the runs it has had: the truth behind the answers.
//!
//! A definition plans its next run ahead, from a random generator of its own.
//! So what happens depends on the seed alone, and not on when somebody asks.

use std::time::Duration;

use fastrand::Rng;

use exporter_clock::Timestamp;

const HOUR: Duration = Duration::from_hours(1);
/// Older runs are forgotten, so that a fast demo does not grow without end.
const KEPT_RUNS: usize = 30;
/// Runs of a periodic definition before the simulation starts.
const EARLIER_RUNS: u32 = 6;

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every target was scanned.
    Success,
    /// Some targets were scanned. `latestScan` calls this a success.
    Partial,
    /// No target was scanned.
    Failure,
    /// A status no documentation names, as it goes over the wire.
    Other(String),
    /// It is not over; lists and history have it all the same, in several words.
    Running,
}

/// A finished run of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The session's id.
    pub session_id: String,
    /// When it ran, as both `latestScan` and history say.
    pub at: Timestamp,
    /// When it became visible, in both at once.
    pub finished: Timestamp,
    /// How it went.
    pub status: Outcome,
    /// How many targets it had; `None` goes over the wire as null.
    pub targets: Option<u32>,
    /// How many of them were scanned; `None` goes over the wire as null.
    pub succeeded: Option<u32>,
}

impl Run {
    /// Changes how it went, and how many of its targets were scanned.
    pub(super) fn end(&mut self, status: Outcome) {
        self.succeeded = match &status {
            Outcome::Success | Outcome::Other(_) => self.targets,
            Outcome::Partial => self.targets.map(|targets| targets.div_ceil(2)),
            Outcome::Failure | Outcome::Running => self.targets.map(|_| 0),
        };
        self.status = status;
    }
}

/// How a definition behaves in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Mostly succeeds.
    Steady,
    /// Often succeeds for some targets only.
    Flaky,
    /// Always fails.
    Failing,
    /// Ran in the past, and no longer does although it is active.
    Stopped,
    /// Runs for a while, then stays out for twelve intervals, and so on.
    Fading,
    /// Runs only when told to.
    Manual,
}

/// What to make a definition from.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its name; an empty one goes over the wire as null.
    pub name: String,
    /// Hours between two runs; `None`: it runs once.
    pub interval_hours: Option<u32>,
    /// Whether it is switched on.
    pub active: bool,
    /// How it behaves.
    pub profile: Profile,
}

impl Draft {
    /// An active definition that runs daily, but only when told to.
    #[must_use]
    pub fn manual(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            interval_hours: Some(24),
            active: true,
            profile: Profile::Manual,
        }
    }
}

/// A scan definition as it really is.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The id, not always a valid GUID.
    pub id: String,
    /// The name; an empty one goes over the wire as null.
    pub name: String,
    /// `Network`, `Windows`, `Linux` or `AdvancedActive`.
    pub scan_type: &'static str,
    /// Whether it is switched on.
    pub active: bool,
    /// Hours between two runs; `None`: it runs once.
    pub interval_hours: Option<u32>,
    /// How it behaves.
    pub profile: Profile,
    /// The finished runs, the newest last; at most 30 are kept.
    pub runs: Vec<Run>,
    /// Its number within the tenant, which decides small print of its answers.
    pub(super) ordinal: usize,
    /// The password, community or key of its `scanAuthenticationParams`.
    pub(super) secret: String,
    rng: Rng,
    planned: u32,
    next: Option<Run>,
}

impl Definition {
    /// Definition number `ordinal` of the population a tenant starts with,
    /// with a past that ends at `start`.
    pub(super) fn native(seed: u64, ordinal: usize, start: Timestamp) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (profile, usual) = match ordinal % 8 {
            0 => (Profile::Steady, Some(1)),
            1 => (Profile::Flaky, Some(4)),
            2 => (Profile::Failing, Some(24)),
            3 => (Profile::Stopped, Some(4)),
            4 => (Profile::Manual, Some(24)),
            5 => (Profile::Fading, Some(1)),
            6 => (Profile::Steady, Some(168)),
            _ => (Profile::Steady, None),
        };
        let interval_hours = match usual {
            Some(_) if ordinal >= 8 && profile != Profile::Fading => {
                rng.choice([1, 4, 24, 168]).or(usual)
            }
            usual => usual,
        };
        let place = ["Zürich", "Dublin", "Kyoto", "Austin", "Pune"][rng.usize(..5)];
        let kind = [
            "core switches",
            "access points",
            "database hosts",
            "printers",
        ][rng.usize(..4)];
        let draft = Draft {
            name: format!("{place} {kind} {ordinal}"),
            interval_hours,
            active: !matches!(ordinal % 16, 7 | 11),
            profile,
        };
        let mut definition = Self::blank(draft, ordinal, rng);
        definition.live_through_past(start);
        definition
    }

    /// A definition without a past, whose first run comes after `now`.
    pub(super) fn new(seed: u64, ordinal: usize, draft: Draft, now: Timestamp) -> Self {
        let mut definition = Self::blank(draft, ordinal, Rng::with_seed(seed));
        if definition.active && !matches!(definition.profile, Profile::Manual | Profile::Stopped) {
            let wait = definition.interval().mul_f64(definition.rng.f64());
            definition.next = Some(definition.plan(now + wait));
        }
        definition
    }

    fn blank(draft: Draft, ordinal: usize, mut rng: Rng) -> Self {
        let scan_type = match ordinal % 8 {
            3 => "Windows",
            5 => "Linux",
            6 => "AdvancedActive",
            _ => "Network",
        };
        let mut id = guid(&mut rng);
        if ordinal % 9 == 8 {
            // As in the reference pages' samples: not hexadecimal.
            id.replace_range(4..13, "vv57-asdf");
        }
        let secret = match ordinal % 4 {
            0 => format!("Sup3rSecretCommunity-{:016x}", rng.u64(..)),
            2 => format!(
                "-----BEGIN PRIVATE KEY-----\nSIMULATED{:032x}\n-----END PRIVATE KEY-----",
                rng.u128(..)
            ),
            _ => format!("P@ssw0rd!Sim-{:016x}", rng.u64(..)),
        };
        Self {
            id,
            name: draft.name,
            scan_type,
            active: draft.active,
            interval_hours: draft.interval_hours,
            profile: draft.profile,
            runs: Vec::new(),
            ordinal,
            secret,
            rng,
            planned: 0,
            next: None,
        }
    }

    /// The newest finished run.
    #[must_use]
    pub fn latest(&self) -> Option<&Run> {
        self.runs.last()
    }

    /// The secret, or the line of it that tells: line ends may be escaped.
    pub(super) fn secret_line(&self) -> String {
        let mut lines = self.secret.lines();
        let line = lines.find(|line| !line.starts_with("-----"));
        line.unwrap_or_default().to_owned()
    }

    /// Finishes every run that is over by `now`, and plans the one after it.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some(run) = self.next.take_if(|run| run.finished <= now) {
            let at = run.at;
            self.remember(run);
            self.next = self.following(at);
        }
    }

    /// Runs it: over at `now`. Returns the session's id.
    pub(super) fn run_now(&mut self, status: Outcome, now: Timestamp) -> String {
        let mut run = self.plan(now);
        // Two runs within one millisecond would have no order.
        if let Some(latest) = self.latest() {
            run.at = run.at.max(latest.at + Duration::from_millis(1));
        }
        run.finished = now;
        run.end(status);
        let session_id = run.session_id.clone();
        self.remember(run);
        session_id
    }

    /// Switches it on or off. A run under way goes on.
    pub(super) fn set_active(&mut self, active: bool, now: Timestamp) {
        self.active = active;
        if !active {
            self.next.take_if(|run| run.at > now);
        } else if self.next.is_none() {
            self.next = self.following(now);
        }
    }

    /// From now on it stays active and no longer happens.
    pub(super) fn stop_happening(&mut self, now: Timestamp) {
        self.profile = Profile::Stopped;
        self.next.take_if(|run| run.at > now);
    }

    fn interval(&self) -> Duration {
        HOUR * self.interval_hours.unwrap_or(1)
    }

    fn live_through_past(&mut self, start: Timestamp) {
        let interval = self.interval();
        // The newest run before the start: recent enough to be on time, old
        // enough to be over.
        let mut newest = start - interval.mul_f64(0.3 + 0.6 * self.rng.f64());
        match self.profile {
            Profile::Manual => return,
            Profile::Stopped => newest = newest - interval * self.rng.u32(5..20),
            _ => {}
        }
        let earlier = if self.interval_hours.is_some() {
            EARLIER_RUNS
        } else {
            1
        };
        for back in (0..earlier).rev() {
            let mut run = self.plan(newest - interval * back);
            if back == 0 && self.profile == Profile::Flaky {
                run.status = Outcome::Partial;
                run.targets = Some(8);
                run.succeeded = Some(5);
            }
            self.remember(run);
        }
        self.next = self.following(newest);
    }

    /// The run after one at `at`, if there is to be one.
    fn following(&mut self, at: Timestamp) -> Option<Run> {
        let manual = matches!(self.profile, Profile::Manual | Profile::Stopped);
        if !self.active || manual || self.interval_hours.is_none() {
            return None;
        }
        let fades = self.profile == Profile::Fading && self.planned % 14 == EARLIER_RUNS + 3;
        let intervals = if fades { 12 } else { 1 };
        Some(self.plan(at + self.interval() * intervals))
    }

    fn plan(&mut self, at: Timestamp) -> Run {
        self.planned += 1;
        let dice = self.rng.u32(..100);
        let status = match self.profile {
            Profile::Failing => Outcome::Failure,
            Profile::Flaky if dice < 60 => Outcome::Partial,
            Profile::Flaky if dice < 75 => Outcome::Failure,
            _ if dice < 6 => Outcome::Failure,
            _ if dice < 14 => Outcome::Partial,
            _ => Outcome::Success,
        };
        let targets = self.rng.u32(2..=24);
        let succeeded = match status {
            Outcome::Success | Outcome::Other(_) => targets,
            Outcome::Partial => self.rng.u32(1..targets),
            Outcome::Failure | Outcome::Running => 0,
        };
        let counted = self.rng.u32(..13) > 0;
        // Up to a fifth of the interval, and a quarter of an hour at most.
        let longest = (self.interval() / 5).min(HOUR / 4);
        let took = longest.mul_f64(0.2 + 0.8 * self.rng.f64());
        Run {
            session_id: format!("{:032x}", self.rng.u128(..)),
            at,
            finished: at + took,
            status,
            targets: counted.then_some(targets),
            succeeded: counted.then_some(succeeded),
        }
    }

    fn remember(&mut self, run: Run) {
        let place = self.runs.partition_point(|known| known.at <= run.at);
        self.runs.insert(place, run);
        if self.runs.len() > KEPT_RUNS {
            self.runs.remove(0);
        }
    }
}

/// A random version 4 GUID.
pub(super) fn guid(rng: &mut Rng) -> String {
    let hex = format!("{:032x}", rng.u128(..));
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}
