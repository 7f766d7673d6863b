//! A crowd of many thousand apps that take one release, in virtual time: the state machines that apps and seeds run, with links that
//! are rates. No sockets and no clock; the same seed number gives the same run. `docs/crowds.md` says what it leaves out.

mod apps;
mod queue;
mod report;
mod seeds;
mod world;

use std::time::Duration;

pub use self::report::{Counts, HEAD, Outcome, plot};

/// Bytes of a piece: four usual chunks, so that there are fewer events.
pub const PIECE: u64 = 256 * 1024;

/// What is to happen.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Apps that are running when the release is made.
    pub apps: u32,
    /// Seeds that have it from the start.
    pub seeds: u32,
    /// Bytes that an app has to fetch.
    pub bytes: u64,
    /// What the uplink of a seed carries, in bytes a second.
    pub seed_rate: u64,
    /// What a home's downlink carries, in bytes a second.
    pub downlink: u64,
    /// What an app gives, in bytes a second.
    pub app_rate: u64,
    /// The part of the apps that give back, from 0 to 1; 0 is a release without `bosc.seed`.
    pub giving: f64,
    /// The longest random delay; `None` is the updater's own.
    pub delay: Option<Duration>,
    /// When it ends if not all have the release before.
    pub until: Duration,
    /// What chance is drawn from.
    pub number: u64,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            apps: 100_000,
            seeds: 5,
            bytes: 20_000_000,
            seed_rate: 125_000_000,
            downlink: 6_250_000,
            app_rate: 500_000,
            giving: 0.0,
            delay: None,
            until: Duration::from_secs(3 * 3600),
            number: 1,
        }
    }
}

/// Plays a scene to its end.
pub fn play(scene: &Scene) -> Outcome {
    world::World::new(scene).run()
}
