//! The exporter's process, as `/proc` shows it.

use std::fs;
use std::process::Child;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

/// Ticks of the processor's time a second, which is the same on all Linux systems of today.
const TICKS: f64 = 100.0;

/// Copies that are measured; the least counts.
const COPIES: usize = 5;

/// Killed and reaped, whatever happens.
pub struct Exporter(pub Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Exporter {
    /// Resident memory in bytes: now, and at its highest.
    pub fn memory(&self) -> anyhow::Result<[u64; 2]> {
        let kib = |name| self.field("status", name);
        Ok([kib("VmRSS:")? * 1024, kib("VmHWM:")? * 1024])
    }

    /// Bytes that it had written to disks so far.
    pub fn written(&self) -> anyhow::Result<u64> {
        self.field("io", "write_bytes:")
    }

    /// Seconds of the processor's time so far.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("expected fields in /proc")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / TICKS)
    }

    /// Asks it to read its configuration again.
    pub fn reload(&self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::HUP)?;
        Ok(())
    }

    fn field(&self, file: &str, name: &str) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.0.id()))?;
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        value.with_context(|| format!("expected {name} in /proc, but found none"))
    }
}

/// The processor's time, in seconds, that this thread needs to copy so many bytes into new memory.
pub fn copying(bytes: &[u8]) -> f64 {
    let spent = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        Duration::new(now.tv_sec.unsigned_abs(), nanos).as_secs_f64()
    };
    let copies = (0..COPIES).map(|_| {
        let before = spent();
        std::hint::black_box(bytes.to_vec());
        spent() - before
    });
    copies.fold(f64::INFINITY, f64::min)
}
