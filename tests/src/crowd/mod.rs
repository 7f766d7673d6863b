//! One `bosc seed` and many clients of it at once: when they are done, what that costs the seed, and how soon a place is free
//! when they leave.

mod client;

use std::fmt;
use std::fs;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::peers::{Place, noise};
use crate::process::{Process, wait_until};
use crate::watch::Watched;

pub use client::{Group, run};

/// The file that lets prepared clients begin, and the one that has those that stay leave.
const GO: &str = "go";
const LEAVE: &str = "leave";
/// How long a crowd may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Processes that the clients of a crowd share.
const PROCESSES: usize = 4;

/// A client that has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Which one.
    pub number: usize,
    /// When it was first connected, from the beginning of all.
    pub connected: Duration,
    /// When it had everything.
    pub done: Duration,
    /// How often it was connected.
    pub connections: u32,
    /// How many of its attempts to connect failed.
    pub failures: u32,
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connected, done) = (self.connected.as_millis(), self.done.as_millis());
        let (connections, failures) = (self.connections, self.failures);
        write!(
            f,
            "done {} {connected} {done} {connections} {failures}",
            self.number
        )
    }
}

impl FromStr for Arrival {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let numbers = line.strip_prefix("done ").context("no client is done")?;
        let numbers: Result<Vec<u64>, _> = numbers.split(' ').map(str::parse).collect();
        let Ok([number, connected, done, connections, failures]) = <[u64; 5]>::try_from(numbers?) else {
            anyhow::bail!("five numbers are wanted, not {line:?}");
        };
        Ok(Self {
            number: usize::try_from(number)?,
            connected: Duration::from_millis(connected),
            done: Duration::from_millis(done),
            connections: u32::try_from(connections)?,
            failures: u32::try_from(failures)?,
        })
    }
}

/// What a crowd came to.
#[derive(Debug)]
pub struct Outcome {
    /// The clients, the first that was done first.
    pub arrivals: Vec<Arrival>,
    /// The most memory that the seed held, in bytes, and how much of it before anybody came.
    pub memory: u64,
    /// See `memory`.
    pub before: u64,
    /// Processor time of the seed.
    pub seed: Duration,
    /// Processor time of the clients.
    pub clients: Duration,
}

impl Outcome {
    /// When so many hundredths of the clients were done.
    pub fn done(&self, hundredths: usize) -> Duration {
        let last = self.arrivals.len().saturating_sub(1);
        let at = self.arrivals.get(last * hundredths.min(100) / 100);
        at.map_or(Duration::ZERO, |arrival| arrival.done)
    }
}

/// What clients do once they have everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// They stay connected, and ask for nothing more.
    NotAtAll,
    /// They leave as a program that is asked to end.
    Politely,
    /// They are gone, as a machine that loses its power.
    Killed,
}

/// A seed with one file, and the DHT at which it is found.
pub struct Seeded {
    place: Place,
    link: String,
    seed: Process,
    groups: usize,
}

/// Clients that were started.
struct Started {
    processes: Vec<(Process, usize)>,
    folders: Vec<std::path::PathBuf>,
}

impl Seeded {
    /// Starts a seed of so many bytes in `target/test-logs/<name>`.
    ///
    /// # Errors
    /// If `bosc` is not built, or does not start.
    pub fn start(name: &str, bytes: usize) -> Result<Self> {
        let place = Place::new(name)?;
        let link = place.run("store", &["touch"])?.trim().to_owned();
        let folder = place.home.join("deployment");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("file"), noise(bytes, 11))?;
        let package = format!(r#"{{"name":"crowd","version":"1.0.0","upgrade":"{link}"}}"#);
        fs::write(folder.join("package.json"), package)?;
        place.run("store", &["stage", &link, "deployment"])?;
        let seed = place.seed("store", &link)?;
        Ok(Self {
            place,
            link,
            seed,
            groups: 0,
        })
    }

    /// Has so many clients fetch everything, all at once; each leaves when it is done.
    ///
    /// # Errors
    /// If they do not all get everything in ten minutes.
    pub fn crowd(&mut self, count: usize) -> Result<Outcome> {
        let mut started = self.prepare(count, false)?;
        let seed = Watched(self.seed.id());
        let (watch, cpu) = (seed.watch()?, seed.cpu()?);
        started.tell(GO)?;
        let (arrivals, clients) = started.arrivals()?;
        let used = seed.cpu()?.saturating_sub(cpu);
        let before = watch.before();
        let grown = watch.stop()?.grown;
        for (process, _) in &mut started.processes {
            ensure!(process.ends_within(LIMIT), "clients do not end");
        }
        Ok(Outcome {
            arrivals,
            memory: before + grown,
            before,
            seed: used,
            clients,
        })
    }

    /// Has so many clients fetch everything and stay. Then they leave, or not; says how long the next client takes that comes at that
    /// moment.
    ///
    /// # Errors
    /// If one of them does not get everything in ten minutes.
    pub fn departure(&mut self, count: usize, leaving: Leaving) -> Result<Arrival> {
        let mut next = self.prepare(1, false)?;
        let mut started = self.prepare(count, true)?;
        started.tell(GO)?;
        started.arrivals()?;
        match leaving {
            Leaving::NotAtAll => {}
            Leaving::Politely => started.tell(LEAVE)?,
            Leaving::Killed => started
                .processes
                .iter_mut()
                .for_each(|(process, _)| process.kill()),
        }
        next.tell(GO)?;
        let (arrivals, _) = next.arrivals()?;
        let arrival = arrivals.first().copied().context("nobody was done")?;
        drop(started);
        Ok(arrival)
    }

    /// Starts processes with so many clients, which wait for the word.
    fn prepare(&mut self, count: usize, stay: bool) -> Result<Started> {
        let parts = PROCESSES.min(count.max(1));
        let mut started = Started {
            processes: Vec::new(),
            folders: Vec::new(),
        };
        let mut first = 0;
        for part in 0..parts {
            let share = count / parts + usize::from(part < count % parts);
            self.groups += 1;
            let name = format!("clients-{}", self.groups);
            let folder = self.place.home.join(&name);
            fs::create_dir_all(&folder)?;
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["clients", &self.place.bootstrap, &self.link]);
            command.arg(&folder).args([first, share].map(|n| n.to_string()));
            command.args(stay.then_some("stay"));
            let process = Process::start(&name, &mut command, &self.place.logs())?;
            started.processes.push((process, share));
            started.folders.push(folder);
            first += share;
        }
        for (process, _) in &mut started.processes {
            process.wait_for("that it is prepared", LIMIT, |line| {
                (line == "prepared").then_some(())
            })?;
        }
        Ok(started)
    }
}

impl Started {
    fn tell(&self, what: &str) -> Result<()> {
        for folder in &self.folders {
            fs::write(folder.join(what), "")?;
        }
        Ok(())
    }

    /// Waits for all; when each was done, the first first, and what processor time it took them.
    fn arrivals(&mut self) -> Result<(Vec<Arrival>, Duration)> {
        let (mut arrivals, mut spent) = (Vec::new(), Duration::ZERO);
        let until = Instant::now() + LIMIT;
        for (process, share) in &mut self.processes {
            for _ in 0..*share {
                let left = until.saturating_duration_since(Instant::now());
                arrivals.push(process.wait_for("that a client is done", left, |line| line.parse().ok())?);
            }
            spent += process.wait_for("what its clients took", LIMIT, |line| {
                let milliseconds = line.strip_prefix("spent ")?.parse().ok()?;
                Some(Duration::from_millis(milliseconds))
            })?;
        }
        arrivals.sort_by_key(|arrival: &Arrival| arrival.done);
        Ok((arrivals, spent))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for (process, _) in &mut self.processes {
            process.kill();
        }
        for folder in &self.folders {
            // What killed clients left; the disk is not to fill over many crowds.
            let _ = wait_until("it is gone", Duration::from_secs(1), || {
                Ok(fs::remove_dir_all(folder).is_ok().then_some(()))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_read_as_it_was_written() {
        let arrival = Arrival {
            number: 7,
            connected: Duration::from_millis(12),
            done: Duration::from_millis(3_456),
            connections: 2,
            failures: 1,
        };
        assert_eq!(arrival.to_string().parse::<Arrival>().ok(), Some(arrival));
        assert!("done 1 2 3".parse::<Arrival>().is_err() && "spent 5".parse::<Arrival>().is_err());
    }
}
