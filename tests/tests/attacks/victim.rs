//! What is attacked: `bosc seed` of 20 MB as a process of its own, watched through /proc, and the honest client.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bosc_tests::peers::{Place, noise};
use bosc_tests::process::{Process, run};

/// What the seed may take for the honest client meanwhile: queues of 4 MiB each of the driver and below, and the pages read.
pub(crate) const OF_AN_HONEST_CLIENT: u64 = 32 << 20;
const SIZE: usize = 20_000_000;

pub(crate) struct Victim {
    pub(crate) place: Place,
    pub(crate) link: String,
    seed: Process,
    fetches: u32,
}

/// The greatest memory of the seed since the watch began.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
}

impl Watch {
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.peak.load(Ordering::Relaxed)
    }
}

fn memory_of(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("the seed has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmRSS")?;
    Ok(kib.parse::<u64>()? << 10)
}

impl Victim {
    pub(crate) async fn start(name: &str) -> Result<Self> {
        let place = Place::new(name)?;
        let link = place.run("seeder", &["touch"])?.trim().to_owned();
        let folder = place.home.join("deployment");
        bosc_tests::peers::write_deployment(&folder, "Cool", "1.0.0", &link)?;
        fs::write(folder.join("large"), noise(SIZE, 5))?;
        place.run("seeder", &["stage", &link, "deployment"])?;
        let seed = place.seed("seeder", &link)?;
        Ok(Self {
            place,
            link,
            seed,
            fetches: 0,
        })
    }

    /// Bytes of memory that the seed holds.
    pub(crate) fn memory(&self) -> Result<u64> {
        memory_of(self.seed.id())
    }

    pub(crate) fn watch_memory(&self) -> Result<Watch> {
        let id = self.seed.id();
        let (stop, peak) = (
            Arc::<AtomicBool>::default(),
            Arc::new(AtomicU64::new(memory_of(id)?)),
        );
        let (stopped, highest) = (stop.clone(), peak.clone());
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                highest.fetch_max(memory_of(id).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Ok(Watch { stop, peak })
    }

    /// An honest client fetches everything, with a store of its own.
    pub(crate) async fn fetch(&mut self) -> Result<Duration> {
        self.fetches += 1;
        let (store, out) = (
            format!("client-{}", self.fetches),
            format!("out-{}", self.fetches),
        );
        let mut dump = self
            .place
            .bosc(&store, &["dump", &self.link, &out, "--timeout", "60"]);
        let home = self.place.home.clone();
        let fetch = move || -> Result<Duration> {
            let since = Instant::now();
            run(&mut dump)?;
            let took = since.elapsed();
            ensure!(fs::metadata(home.join(&out).join("large"))?.len() == SIZE as u64);
            fs::remove_dir_all(home.join(&out))?;
            fs::remove_dir_all(home.join(&store))?;
            Ok(took)
        };
        tokio::task::spawn_blocking(fetch).await?
    }

    /// The UDP ports at which the seed listens.
    pub(crate) fn ports(&self) -> Result<Vec<u16>> {
        let id = self.seed.id();
        let mut own = Vec::new();
        for file in fs::read_dir(format!("/proc/{id}/fd"))? {
            let Ok(target) = fs::read_link(file?.path()) else {
                continue;
            };
            let target = target.to_string_lossy().into_owned();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'));
            own.extend(inode.map(str::to_owned));
        }
        let mut ports = Vec::new();
        for line in fs::read_to_string(format!("/proc/{id}/net/udp"))?.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(inode)) = (fields.get(1), fields.get(9)) else {
                continue;
            };
            if own.iter().any(|own| own == inode) {
                let port = local.rsplit(':').next().unwrap_or_default();
                ports.push(u16::from_str_radix(port, 16)?);
            }
        }
        ensure!(!ports.is_empty(), "the seed has no UDP socket");
        Ok(ports)
    }

    pub(crate) fn expect_running(&mut self) -> Result<()> {
        ensure!(self.seed.is_running(), "the seed has ended");
        Ok(())
    }
}
