//! The places of a seed: who gets one, and who has to leave for it, as a swarm decides.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base::PublicKey;
use hyperswarm::SwarmConfig;
use hyperswarm::testing::{Guest, Place, who_leaves};

/// Within it nobody is sent away after he was served; the swarm's own limit decides, this only saves asking it.
const AT_LEAST: Duration = Duration::from_secs(5);

/// Somebody who has a place.
#[derive(Debug, Clone, Copy)]
struct Seated {
    app: u32,
    since: Instant,
    served: Instant,
}

/// The places of one seed.
#[derive(Debug)]
pub(super) struct Places {
    seated: Vec<Seated>,
    places: usize,
    /// Before it nobody leaves.
    full_until: Instant,
}

/// What came of asking for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is one.
    Welcome,
    /// There is one, since somebody else left.
    InsteadOf(u32),
    /// There is none.
    Full,
}

impl Places {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            seated: Vec::new(),
            places: SwarmConfig::default().max_inbound,
            full_until: now,
        }
    }

    /// Somebody dials. A new connection is sent the head of the cores, and so is served.
    pub(super) fn ask(&mut self, now: Instant, app: u32) -> Answer {
        let mut answer = Answer::Welcome;
        if self.seated.len() >= self.places {
            if now < self.full_until {
                return Answer::Full;
            }
            let guests: Vec<Guest> = self.seated.iter().map(|seated| guest(now, seated)).collect();
            let Some(leaving) = who_leaves(&guests, Some(place(app)), self.places) else {
                let served = self.seated.iter().map(|seated| seated.served + AT_LEAST).min();
                self.full_until = served.unwrap_or(now);
                return Answer::Full;
            };
            let leaving = number(&leaving);
            self.leave(leaving);
            answer = Answer::InsteadOf(leaving);
        }
        self.seated.push(Seated {
            app,
            since: now,
            served: now,
        });
        answer
    }

    pub(super) fn leave(&mut self, app: u32) {
        self.seated.retain(|seated| seated.app != app);
    }

    /// Something was sent to somebody.
    pub(super) fn served(&mut self, at: Instant, app: u32) {
        if let Some(seated) = self.seated.iter_mut().find(|seated| seated.app == app) {
            seated.served = seated.served.max(at);
        }
    }

    pub(super) fn guests(&self) -> impl Iterator<Item = u32> + '_ {
        self.seated.iter().map(|seated| seated.app)
    }
}

fn guest(now: Instant, seated: &Seated) -> Guest {
    Guest {
        key: key(seated.app),
        place: Some(place(seated.app)),
        connected_for: now.saturating_duration_since(seated.since),
        unserved_for: now.saturating_duration_since(seated.served),
    }
}

/// The name of an app, or of a seed, on the network.
pub(super) fn key(number: u32) -> PublicKey {
    let mut key = [0; 32];
    key.iter_mut()
        .zip(number.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    PublicKey(key)
}

/// The number in a name.
pub(super) fn number(key: &PublicKey) -> u32 {
    let mut number = [0; 4];
    number.iter_mut().zip(key.0).for_each(|(to, from)| *to = from);
    u32::from_le_bytes(number)
}

/// Each has an address of its own.
fn place(app: u32) -> Place {
    Place::of(SocketAddr::from((app.wrapping_add(1 << 26).to_be_bytes(), 1)))
}
