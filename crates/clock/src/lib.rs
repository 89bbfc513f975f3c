#![doc = include_str!("../README.md")]

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How far a time from elsewhere may lie ahead of ours. What is further ahead did not happen.
pub const AHEAD: Duration = Duration::from_hours(24);

/// A moment of wall-clock time, in whole milliseconds since the Unix epoch.
///
/// An optional one is as large: it is kept as the distance from a moment that is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

/// The bit of the sign. With it the other way round, signed numbers are in the order of unsigned
/// ones, and the least is zero.
const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch; for the least number, the one
    /// after it.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        match NonZeroU64::new(millis.cast_unsigned() ^ SIGN) {
            Some(distance) => Self(distance),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// Seconds since the Unix epoch, as Prometheus wants them.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact below the year 280 000")]
    pub fn unix_seconds(self) -> f64 {
        self.unix_millis() as f64 / 1000.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.unix_millis().saturating_sub(earlier.unix_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self::from_unix_millis(self.unix_millis().saturating_add(saturating_millis(rhs)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self::from_unix_millis(self.unix_millis().saturating_sub(saturating_millis(rhs)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp")
            .field(&self.unix_millis())
            .finish()
    }
}

/// RFC 3339 in UTC, or the bare number of milliseconds outside the years 0 to 9999.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let formatted =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.unix_millis()) * 1_000_000)
                .ok()
                .and_then(|moment| moment.format(&Rfc3339).ok());
        match formatted {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}ms", self.unix_millis()),
        }
    }
}

fn saturating_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A moment on the machine's own time scale: the time since it booted,
/// including time spent asleep. Comparable across processes of one boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

impl Uptime {
    /// The moment `since_boot` after the machine booted.
    #[must_use]
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// Time since the machine booted.
    #[must_use]
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Uptime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for Uptime {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs))
    }
}

/// One moment on both time scales, to translate between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the machine booted.
    pub uptime: Uptime,
    /// By the wall clock.
    pub wall: Timestamp,
}

impl Moment {
    /// When `uptime` is, or was, if the wall clock does not jump.
    #[must_use]
    pub fn wall_of(self, uptime: Uptime) -> Timestamp {
        if uptime > self.uptime {
            self.wall + uptime.since(self.uptime)
        } else {
            self.wall - self.uptime.since(uptime)
        }
    }

    /// The same the other way round.
    #[must_use]
    pub fn uptime_of(self, wall: Timestamp) -> Uptime {
        if wall > self.wall {
            self.uptime + wall.since(self.wall)
        } else {
            self.uptime - self.wall.since(wall)
        }
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self {
            uptime: self.uptime + rhs,
            wall: self.wall + rhs,
        }
    }
}

/// A source of both time scales; cheap to clone, clones share one time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Anchored(Arc<Anchor>),
}

#[derive(Debug)]
struct Anchor {
    wall: Timestamp,
    uptime: Uptime,
    origin: tokio::time::Instant,
    speed: u32,
    /// Sum of all wall-clock jumps so far, in milliseconds.
    jumped: AtomicI64,
}

impl Clock {
    /// The kernel's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Both scales hang on tokio's timer, which tests can pause and advance.
    /// `uptime` starts at one day, so that moments in the past can be expressed.
    #[must_use]
    pub fn anchored(wall: Timestamp) -> Self {
        Self::anchor(wall, Uptime(Duration::from_hours(24)), 1)
    }

    /// Wall time starts at the system's and runs `speed` times as fast as
    /// uptime, which stays real. For the demo, whose scans go stale while you watch.
    #[must_use]
    pub fn accelerated(speed: u32) -> Self {
        let system = Self::system();
        Self::anchor(system.wall(), system.uptime(), speed)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn anchor(wall: Timestamp, uptime: Uptime, speed: u32) -> Self {
        let origin = tokio::time::Instant::now();
        let jumped = AtomicI64::new(0);
        Self(Source::Anchored(Arc::new(Anchor {
            wall,
            uptime,
            origin,
            speed,
            jumped,
        })))
    }

    /// The wall-clock time. It may jump between two calls.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
                Timestamp::from_unix_millis(i64::try_from(now).unwrap_or(i64::MAX))
            }
            Source::Anchored(anchor) => {
                let moment = anchor.wall + anchor.origin.elapsed() * anchor.speed;
                let jumped = anchor.jumped.load(Ordering::Relaxed);
                Timestamp::from_unix_millis(moment.unix_millis().saturating_add(jumped))
            }
        }
    }

    /// The time since boot. It never goes back.
    #[must_use]
    pub fn uptime(&self) -> Uptime {
        match &self.0 {
            Source::System => Uptime(since_boot()),
            Source::Anchored(anchor) => anchor.uptime + anchor.origin.elapsed(),
        }
    }

    /// This moment on both scales.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment {
            uptime: self.uptime(),
            wall: self.wall(),
        }
    }

    /// Which boot of the machine [`Clock::uptime`] counts from: uptimes of
    /// different boots cannot be compared, nor can those of time namespaces that
    /// count from another moment. `None` if the system does not say.
    #[must_use]
    pub fn boot_id(&self) -> Option<String> {
        match &self.0 {
            Source::System => {
                let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
                let offset = boot_offset().map(|offset| format!(" {offset}"));
                Some(format!("{}{}", id.trim(), offset.unwrap_or_default()))
            }
            Source::Anchored(_) => Some("anchored".to_owned()),
        }
    }

    /// Moves the wall clock by `millis`, as an administrator or NTP would.
    /// Only an anchored clock can be moved; on the system's this does nothing.
    pub fn jump(&self, millis: i64) {
        if let Source::Anchored(anchor) = &self.0 {
            anchor.jumped.fetch_add(millis, Ordering::Relaxed);
        }
    }

    /// Sleeps until `moment`; returns at once if it has passed.
    pub async fn sleep_until(&self, moment: Uptime) {
        tokio::time::sleep(moment.since(self.uptime())).await;
    }
}

/// By how much this time namespace moves the time since boot, if it does
/// (`time_namespaces(7)`): seconds and nanoseconds.
fn boot_offset() -> Option<String> {
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").ok()?;
    let offset = offsets
        .lines()
        .find_map(|line| line.strip_prefix("boottime"))?;
    let numbers: Vec<&str> = offset.split_whitespace().collect();
    (numbers != ["0", "0"]).then(|| numbers.join("."))
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_advance_moves_both_scales() {
        let clock = Clock::anchored(Timestamp::from_unix_millis(1_000));
        let before = clock.uptime();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.wall(), Timestamp::from_unix_millis(3_000));
        assert_eq!(clock.uptime().since(before), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_moves_wall_time_alone() {
        let clock = Clock::anchored(Timestamp::from_unix_millis(1_000));
        let before = clock.uptime();
        clock.jump(-5_000);
        assert_eq!(clock.wall(), Timestamp::from_unix_millis(-4_000));
        assert_eq!(clock.uptime(), before);
    }

    #[test]
    fn moments_are_in_the_order_of_their_numbers_and_take_no_room_for_none() {
        let numbers = [i64::MIN + 1, -1_000, -1, 0, 1, 1_000, i64::MAX];
        let moments = numbers.map(Timestamp::from_unix_millis);
        assert!(moments.is_sorted_by(|earlier, later| earlier < later));
        assert_eq!(moments.map(Timestamp::unix_millis), numbers);
        assert_eq!(Timestamp::from_unix_millis(i64::MIN), moments[0]);
        assert_eq!(format!("{:?}", moments[1]), "Timestamp(-1000)");
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<i64>());
    }

    #[test]
    fn a_future_moment_is_no_time_ago() {
        let early = Timestamp::from_unix_millis(0);
        let late = Timestamp::from_unix_millis(10);
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.since(early), Duration::from_millis(10));
    }

    #[test]
    fn prints_rfc_3339_and_survives_the_extremes() {
        assert_eq!(
            Timestamp::from_unix_millis(1_500).to_string(),
            "1970-01-01T00:00:01.5Z"
        );
        assert_eq!(
            Timestamp::from_unix_millis(i64::MAX).to_string(),
            format!("{}ms", i64::MAX)
        );
    }
}
