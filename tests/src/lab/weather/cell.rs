//! What is measured in one weather: a stream of either stack, and what it does to others.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::link::Weather;
use super::probe::Pings;
use super::transfer::Flow;
use super::wan::Wan;
use crate::lab::meet::{Meeting, Stack};

/// How much a queue holds where nothing else is said: what leaves in this time.
const QUEUE: Duration = Duration::from_millis(100);
/// How long two peers may take to meet.
const MEET: Duration = Duration::from_secs(60);
/// How long a flow has been alone when another one starts, and how long both find their shares before they are compared.
const ALONE: Duration = Duration::from_secs(3);

/// The weather between two hosts, the same in both directions.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Percent.
    pub loss: f64,
    /// Without any queue.
    pub round_trip: Duration,
    /// Megabits in a second; `None` for no limit.
    pub megabits: Option<u64>,
    /// What else is special.
    pub special: Special,
}

/// What a cell has beside loss, delay and rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Special {
    /// Nothing.
    None,
    /// So many packets in a row get lost, on average.
    Bursts(f64),
    /// Up to this much jitter.
    Jitter(Duration),
    /// So many percent of packets come so much late.
    Late(f64, Duration),
    /// A queue of so many bytes.
    Queue(u64),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %, {} ms, ", self.loss, self.round_trip.as_millis())?;
        match self.megabits {
            Some(rate) => write!(f, "{rate} Mbit/s")?,
            None => write!(f, "no limit")?,
        }
        match self.special {
            Special::None => Ok(()),
            Special::Bursts(packets) => write!(f, ", bursts of {packets}"),
            Special::Jitter(most) => write!(f, ", jitter of {} ms", most.as_millis()),
            Special::Late(share, by) => write!(f, ", {share} % come {} ms late", by.as_millis()),
            Special::Queue(bytes) => write!(f, ", a queue of {} kB", bytes / 1000),
        }
    }
}

impl Cell {
    /// Loss in percent, round trip in milliseconds, megabits in a second.
    pub fn new(loss: f64, round_trip: u64, megabits: Option<u64>) -> Self {
        Self {
            loss,
            round_trip: Duration::from_millis(round_trip),
            megabits,
            special: Special::None,
        }
    }

    /// The same with something special.
    pub fn with(self, special: Special) -> Self {
        Self { special, ..self }
    }

    /// What leaves each host.
    pub fn weather(&self) -> Weather {
        let rate = self.megabits.map(|megabits| megabits * 1_000_000 / 8);
        let mut weather = Weather {
            loss: self.loss / 100.0,
            rate,
            queue: rate.map_or(u64::MAX, |rate| (rate as f64 * QUEUE.as_secs_f64()) as u64),
            ..Weather::round_trip(self.round_trip)
        };
        match self.special {
            Special::None => {}
            Special::Bursts(packets) => weather.burst = packets,
            Special::Jitter(most) => weather.jitter = most,
            Special::Late(share, by) => (weather.late, weather.late_by) = (share / 100.0, by),
            Special::Queue(bytes) => weather.queue = bytes,
        }
        weather
    }

    /// So many hosts in this weather, and a DHT that is as far away but loses nothing.
    ///
    /// # Errors
    /// As [`Wan::new`].
    pub fn wan(&self, hosts: usize) -> Result<Wan> {
        let weathers = vec![self.weather(); hosts];
        Wan::new(&weathers, Some(Weather::round_trip(self.round_trip)))
    }

    /// Bytes in a second of a stream in this weather, from its first byte on.
    ///
    /// # Errors
    /// As [`Flow::start`] and [`Flow::run`].
    pub fn stream(&self, stack: Stack, time: Duration, program: &Path) -> Result<f64> {
        let wan = self.wan(2)?;
        let mut flow = Flow::start(&wan, stack, 0, 1, program)?;
        flow.run(time)?;
        let rate = flow.rate();
        flow.end();
        Ok(rate)
    }

    /// How long it takes to find a peer over a topic and hear of it.
    ///
    /// # Errors
    /// If a peer does not start or they do not meet.
    pub fn connect(&self, stack: Stack) -> Result<Duration> {
        let wan = self.wan(2)?;
        let meeting = Meeting {
            server: (stack, wan.host(0)?),
            client: (stack, wan.host(1)?),
            bootstrap: &wan.bootstrap(),
            relay: None,
        };
        meeting
            .hold(MEET)?
            .with_context(|| format!("two {} peers did not meet: {self}", stack.name()))
    }

    /// What a ping takes beside a stream from the same host: the median and the 95th percentile without, and both with it.
    ///
    /// # Errors
    /// As [`Cell::stream`].
    pub fn pings(&self, stack: Stack, time: Duration, program: &Path) -> Result<[(Duration, Duration); 2]> {
        let wan = self.wan(2)?;
        let idle = Pings::start(&wan, 0, 1)?;
        std::thread::sleep(Duration::from_secs(1));
        let idle = idle.end()?;
        let mut flow = Flow::start(&wan, stack, 0, 1, program)?;
        let loaded = Pings::start(&wan, 0, 1)?;
        flow.run(time)?;
        let loaded = loaded.end()?;
        flow.end();
        Ok([percentiles(&idle)?, percentiles(&loaded)?])
    }

    /// Bytes in a second of two streams that leave the same host, the second of which started later, while both run.
    ///
    /// # Errors
    /// As [`Cell::stream`].
    pub fn two(&self, stacks: [Stack; 2], time: Duration, program: &Path) -> Result<[f64; 2]> {
        let wan = self.wan(3)?;
        let [first, second] = stacks;
        let mut a = Flow::start(&wan, first, 0, 1, program)?;
        a.run(ALONE)?;
        let mut b = Flow::start(&wan, second, 0, 2, program)?;
        b.run(ALONE + time)?;
        let to = b.last().at;
        a.run(to.saturating_sub(a.first().at))?;
        let from = b.first().at + ALONE;
        let rates = [a.rate_within(from, to), b.rate_within(from, to)];
        a.end();
        b.end();
        Ok(rates)
    }
}

fn percentiles(sorted: &[Duration]) -> Result<(Duration, Duration)> {
    let at = |percent: usize| sorted.get(sorted.len() * percent / 100);
    match (at(50), at(95)) {
        (Some(median), Some(most)) => Ok((*median, *most)),
        _ => anyhow::bail!("no ping was answered"),
    }
}
