//! What came of a scene: who had the release when, what the seeds sent, and what the network had to bear; as a table and a drawing.

use std::fmt::Write;
use std::time::Duration;

use super::{PIECE, Scene};

/// Seconds over which a rate is taken.
const SPAN: u64 = 10;

/// Counts over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Counts {
    pub(super) fn add(&mut self, at: Duration, count: u64) {
        let span = (at.as_secs() / SPAN) as usize;
        if self.0.len() <= span {
            self.0.resize(span + 1, 0);
        }
        if let Some(sum) = self.0.get_mut(span) {
            *sum += count;
        }
    }

    /// All of them.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The most in a second, over ten seconds.
    pub fn peak(&self) -> f64 {
        self.0.iter().max().copied().unwrap_or(0) as f64 / SPAN as f64
    }
}

/// What came of a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    apps: u32,
    seeds: u32,
    pieces: u64,
    /// When each app had the release, after it was made, in order; who has it not yet is not among them.
    pub updated: Vec<Duration>,
    /// Bytes that the seeds sent together.
    pub seeds_sent: Counts,
    /// Attempts to connect to a seed.
    pub dials: Counts,
    /// Lookups of the topic.
    pub lookups: Counts,
    /// Lookups and announcements a second that do not depend on time.
    pub steady: (f64, f64),
}

impl Outcome {
    pub(super) fn new(scene: &Scene) -> Self {
        Self {
            apps: scene.apps,
            seeds: scene.seeds,
            pieces: scene.bytes.div_ceil(PIECE),
            updated: Vec::new(),
            seeds_sent: Counts::default(),
            dials: Counts::default(),
            lookups: Counts::default(),
            steady: (0.0, 0.0),
        }
    }

    pub(super) fn sent(&mut self, at: Duration) {
        self.seeds_sent.add(at, PIECE);
    }

    pub(super) fn steady(&mut self, lookups: f64, announcements: f64) {
        self.steady = (lookups, announcements);
    }

    /// The part of all that was fetched which the seeds sent.
    pub fn seeds_share(&self) -> f64 {
        let all = self.pieces * PIECE * u64::from(self.apps);
        self.seeds_sent.sum() as f64 / all as f64
    }

    /// When that part of the apps had the release.
    pub fn time_of(&self, part: f64) -> Option<Duration> {
        let nth = (f64::from(self.apps) * part).ceil().max(1.0) as usize;
        self.updated.get(nth - 1).copied()
    }

    /// A table's row, of those that [`HEAD`] names.
    pub fn row(&self, name: &str) -> String {
        let mut row = format!("| {name} |");
        for part in PARTS {
            let time = self.time_of(part);
            let _ = match time {
                Some(time) => write!(row, " {} |", minutes(time)),
                None => write!(row, " – |"),
            };
        }
        let _ = write!(
            row,
            " {:.0} GB ({:.0} %) | {:.0} Mbit/s | {:.0} | {:.0} |",
            self.seeds_sent.sum() as f64 / 1e9,
            100.0 * self.seeds_share(),
            self.seeds_sent.peak() * 8.0 / 1e6 / f64::from(self.seeds),
            self.dials.peak(),
            self.lookups.peak() + self.steady.0 + self.steady.1,
        );
        row
    }
}

const PARTS: [f64; 6] = [0.01, 0.25, 0.5, 0.75, 0.9, 1.0];

/// The head of a table of rows.
pub const HEAD: &str = "| | 1 % | 25 % | 50 % | 75 % | 90 % | all | the seeds sent | each at most | dials a second | lookups and announcements a second |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

fn minutes(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// Draws which part of the apps has the release when, as an SVG.
pub fn plot(outcomes: &[(String, Outcome)]) -> String {
    const WIDE: f64 = 640.0;
    const HIGH: f64 = 300.0;
    const LEFT: f64 = 50.0;
    const COLORS: [&str; 4] = ["#c0392b", "#2471a3", "#1e8449", "#7d3c98"];
    let last = outcomes.iter().filter_map(|(_, outcome)| outcome.updated.last());
    let longest = last.max().map_or(1.0, |time| time.as_secs_f64() / 60.0).max(1.0);
    let x = |minutes: f64| LEFT + minutes / longest * (WIDE - LEFT - 20.0);
    let y = |part: f64| HIGH - 40.0 - part * (HIGH - 60.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDE} {HIGH}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.0}H{:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{percent} %</text>",
            WIDE - 20.0,
            LEFT - 6.0,
            at + 4.0
        );
    }
    let step = [1.0, 5.0, 10.0, 15.0, 30.0, 60.0]
        .into_iter()
        .find(|step| longest / step < 12.0);
    let step = step.unwrap_or(120.0);
    for tick in 0..=(longest / step) as u32 {
        let minutes = f64::from(tick) * step;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{minutes:.0} min</text>",
            x(minutes),
            HIGH - 24.0
        );
    }
    for (at, (name, outcome)) in outcomes.iter().enumerate() {
        let color = COLORS.get(at % COLORS.len()).copied().unwrap_or("#000");
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
        for percent in 1..=100 {
            let part = f64::from(percent) / 100.0;
            if let Some(time) = outcome.time_of(part) {
                let _ = write!(path, "L{:.1} {:.1}", x(time.as_secs_f64() / 60.0), y(part));
            }
        }
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/><text x=\"{:.0}\" y=\"{:.0}\" fill=\"{color}\">{name}</text>",
            LEFT + 12.0 + 190.0 * at as f64,
            HIGH - 6.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
