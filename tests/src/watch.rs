//! What an attack or a crowd costs a process: its memory and its processor time, read from /proc while it lasts.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A process by its id.
#[derive(Debug, Clone, Copy)]
pub struct Watched(pub u32);

/// A watch that goes on until it is asked.
pub struct Watch {
    of: Watched,
    before: u64,
    cpu: Duration,
    since: Instant,
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
}

/// What it came to.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Bytes above what was held before.
    pub grown: u64,
    /// Processor time for each second, 1 is one processor.
    pub cpu: f64,
}

impl Watched {
    /// Bytes of memory that it holds.
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory(self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).context("it has ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|rest| rest.split_whitespace().next())
            .context("no VmRSS")?;
        Ok(kib.parse::<u64>()? << 10)
    }

    /// Processor time that it has taken so far, in the system as well.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu(self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).context("it has ended")?;
        // Behind the name, which may hold anything: user and system time are the fields 14 and 15.
        let fields = stat
            .rsplit_once(')')
            .context("no name in stat")?
            .1
            .split_whitespace();
        let ticks: Result<Vec<u32>, _> = fields.skip(11).take(2).map(str::parse).collect();
        Ok(TICK * ticks?.iter().sum::<u32>())
    }

    /// Looks at it from now on.
    ///
    /// # Errors
    /// If it has ended.
    pub fn watch(self) -> Result<Watch> {
        let before = self.memory()?;
        let watch = Watch {
            of: self,
            before,
            cpu: self.cpu()?,
            since: Instant::now(),
            stop: Arc::default(),
            peak: Arc::new(AtomicU64::new(before)),
        };
        let (stopped, highest) = (watch.stop.clone(), watch.peak.clone());
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                highest.fetch_max(self.memory().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Ok(watch)
    }

    /// What is kept above `before` once that is at most `most`, or when `limit` is over; and when that was.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn settle(self, before: u64, most: u64, limit: Duration) -> Result<(u64, Duration)> {
        let since = Instant::now();
        loop {
            let kept = self.memory()?.saturating_sub(before);
            if kept <= most || since.elapsed() >= limit {
                return Ok((kept, since.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Watch {
    /// Bytes held when it began.
    pub fn before(&self) -> u64 {
        self.before
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn stop(self) -> Result<Cost> {
        self.stop.store(true, Ordering::Relaxed);
        let used = self.of.cpu()?.saturating_sub(self.cpu);
        Ok(Cost {
            grown: self.peak.load(Ordering::Relaxed).saturating_sub(self.before),
            cpu: used.as_secs_f64() / self.since.elapsed().as_secs_f64(),
        })
    }
}
