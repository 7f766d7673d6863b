//! What is attacked: `bosc seed` of 20 MB as a process of its own, and the honest client.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bosc_tests::peers::{Place, noise};
use bosc_tests::process::{Process, wait_until};
use bosc_tests::watch::Watched;

/// What the seed may take for the honest client meanwhile: queues of 4 MiB each of the driver and below, and the pages read.
pub(crate) const OF_AN_HONEST_CLIENT: u64 = 32 << 20;
const SIZE: usize = 20_000_000;

pub(crate) struct Victim {
    pub(crate) place: Place,
    pub(crate) link: String,
    seed: Process,
    fetches: u32,
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

    /// The seed's process.
    pub(crate) fn process(&self) -> Watched {
        Watched(self.seed.id())
    }

    /// The seed is killed hard and started again.
    pub(crate) fn kill_and_restart(&mut self) -> Result<()> {
        self.seed.kill();
        self.seed = self.place.seed("seeder", &self.link)?;
        Ok(())
    }

    /// Begins a fetch with a store of its own. Blocks.
    pub(crate) fn begin_fetch(&mut self) -> Result<Fetch> {
        self.fetches += 1;
        let (store, out) = (
            format!("client-{}", self.fetches),
            format!("out-{}", self.fetches),
        );
        let mut dump = self
            .place
            .bosc(&store, &["dump", &self.link, &out, "--timeout", "60"]);
        let since = Instant::now();
        let process = Process::start(&store, &mut dump, &self.place.logs())?;
        Ok(Fetch {
            process,
            since,
            store: self.place.home.join(store),
            out: self.place.home.join(out),
        })
    }

    /// An honest client fetches everything, with a store of its own.
    pub(crate) async fn fetch(&mut self) -> Result<Duration> {
        let fetch = self.begin_fetch()?;
        tokio::task::spawn_blocking(move || fetch.finish()).await?
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

/// A fetch under way.
pub(crate) struct Fetch {
    process: Process,
    since: Instant,
    store: PathBuf,
    out: PathBuf,
}

impl Fetch {
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Bytes on its disk so far.
    pub(crate) fn stored(&self) -> u64 {
        let files = fs::read_dir(&self.store).into_iter().flatten().flatten();
        files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    }

    /// Waits for its end and looks at what it fetched. Blocks.
    pub(crate) fn finish(mut self) -> Result<Duration> {
        wait_until("the fetch ends", Duration::from_secs(90), || {
            Ok((!self.process.is_running()).then_some(()))
        })?;
        let took = self.since.elapsed();
        let fetched = fs::metadata(self.out.join("large")).map_or(0, |file| file.len());
        ensure!(fetched == SIZE as u64, "{fetched} of {SIZE} bytes were fetched");
        fs::remove_dir_all(&self.out)?;
        fs::remove_dir_all(&self.store)?;
        Ok(took)
    }
}
