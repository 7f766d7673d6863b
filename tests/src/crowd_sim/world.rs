//! The apps, the seeds and the links between them, and what each event makes of them.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use core_store::replication::uplink::{TURN, Uplink};
use hypercore::bitfield::Bitfield;
use hyperswarm::testing::End;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::apps::{App, Fetch, REFRESH, TOPIC};
use super::queue::{Event, Queue};
use super::report::Outcome;
use super::seeds::{Answer, Places, key, number};
use super::{PIECE, Scene};

/// Apps start within so long before the release; the crowd is in its usual state then.
const STARTS: Duration = Duration::from_secs(300);
const RELEASE: Duration = Duration::from_secs(600);
/// From one end of a connection to the other, connecting included.
const LATENCY: Duration = Duration::from_millis(100);
/// Pieces asked of one source at a time: the replication's 16 blocks where others fetch the same, and its first 64 elsewhere.
const SHARED_WINDOW: usize = 4;
const WINDOW: usize = 16;
/// Peers that an app which gives back dials, and that dial it.
const PEERS: usize = 24;
/// Apps that one finds before it has its share.
const TRIES: usize = 400;
/// Apps that a seed dials, and that dial it.
const OF_SEED: usize = 64 + 256;

pub(super) struct World<'a> {
    scene: &'a Scene,
    queue: Queue,
    rng: RefCell<StdRng>,
    apps: Vec<App>,
    places: Vec<Places>,
    /// Who is connected with an app that gives back, or may.
    links: Vec<Vec<u32>>,
    /// Of the apps, then of the seeds.
    uplinks: Vec<Uplink>,
    full: Bitfield,
    pieces: u64,
    released: bool,
    left: u32,
    outcome: Outcome,
}

impl<'a> World<'a> {
    pub(super) fn new(scene: &'a Scene) -> Self {
        let (queue, mut rng) = (Queue::new(), StdRng::seed_from_u64(scene.number));
        let pieces = scene.bytes.div_ceil(PIECE);
        let mut full = Bitfield::default();
        full.set_range(0, pieces, true);
        let shares = scene.giving > 0.0;
        let apps = (0..scene.apps).map(|_| {
            let gives = shares && rng.random::<f64>() < scene.giving;
            App::new(queue.now, scene.delay, rng.random(), gives)
        });
        let apps: Vec<App> = apps.collect();
        let rates = (0..scene.apps).map(|_| scene.app_rate);
        let rates = rates.chain((0..scene.seeds).map(|_| scene.seed_rate));
        let mut world = Self {
            uplinks: rates.map(|rate| Uplink::new(queue.now, rate)).collect(),
            places: (0..scene.seeds).map(|_| Places::new(queue.now)).collect(),
            links: Vec::new(),
            rng: RefCell::new(rng),
            outcome: Outcome::new(scene),
            left: scene.apps,
            released: false,
            scene,
            queue,
            apps,
            full,
            pieces,
        };
        if shares {
            world.connect();
        }
        world
    }

    fn random(&self) -> f64 {
        self.rng.borrow_mut().random()
    }

    fn chance(&self, below: u32) -> u32 {
        self.rng.borrow_mut().random_range(0..below)
    }

    /// Who found whom before the release: by chance, as far as there are places.
    fn connect(&mut self) {
        let (apps, seeds) = (self.scene.apps, self.scene.seeds);
        self.links = vec![Vec::new(); (apps + seeds) as usize];
        let mut inbound = vec![0; apps as usize];
        // Idle ones make room for others, so that places come to be shared evenly.
        let share = (PEERS as f64 * self.scene.giving).ceil() as usize;
        for app in 0..apps {
            // Some of those that were found have no place.
            let mut made = 0;
            for _ in 0..TRIES {
                let other = self.chance(apps);
                let gives = self.apps[other as usize].gives && other != app;
                if made < share
                    && gives
                    && inbound[other as usize] < PEERS
                    && !self.links[app as usize].contains(&other)
                {
                    made += 1;
                    inbound[other as usize] += 1;
                    self.link(app, other);
                }
            }
        }
        for seed in apps..apps + seeds {
            for _ in 0..OF_SEED {
                let app = self.chance(apps);
                if !self.links[app as usize].contains(&seed) {
                    self.link(app, seed);
                }
            }
        }
    }

    fn link(&mut self, one: u32, other: u32) {
        self.links[one as usize].push(other);
        self.links[other as usize].push(one);
    }

    pub(super) fn run(mut self) -> Outcome {
        let shares = !self.links.is_empty();
        if !shares {
            for app in 0..self.scene.apps {
                let at = self.queue.now + STARTS.mul_f64(self.random());
                self.plan_lookup(app, at);
            }
        }
        let release = self.queue.now + RELEASE;
        while self.left > 0 && self.queue.elapsed() < RELEASE + self.scene.until {
            if !self.released && self.queue.next_at().is_none_or(|at| at >= release) {
                self.queue.now = release;
                self.release();
            }
            let Some(event) = self.queue.next() else { break };
            match event {
                Event::Lookup(app) => self.lookup(app),
                Event::Dial(app) => self.dial(app),
                Event::Hear(app) => self.hear(app),
                Event::Due(app) => self.due(app),
                Event::Sent { app, from, index } => self.sent(app, from, index),
                Event::Piece { app, from, index } => self.piece(app, from, index),
            }
        }
        if shares {
            let rounds = f64::from(self.scene.apps) / REFRESH.as_secs_f64();
            self.outcome.steady(rounds, rounds * self.scene.giving);
        }
        self.outcome
    }

    /// Time since the release.
    fn since(&self) -> Duration {
        self.queue.elapsed().saturating_sub(RELEASE)
    }

    fn release(&mut self) {
        self.released = true;
        let told: Vec<u32> = if self.links.is_empty() {
            self.places.iter().flat_map(Places::guests).collect()
        } else {
            let seeds = self.links.iter().skip(self.scene.apps as usize);
            seeds.flatten().copied().collect()
        };
        told.into_iter()
            .for_each(|app| self.queue.after(LATENCY, Event::Hear(app)));
    }

    fn plan_lookup(&mut self, app: u32, at: Instant) {
        self.apps[app as usize].next_lookup = Some(at);
        self.queue.at(at, Event::Lookup(app));
    }

    fn lookup(&mut self, app: u32) {
        let now = self.queue.now;
        if self.apps[app as usize].next_lookup != Some(now) {
            return;
        }
        if self.released {
            self.outcome.lookups.add(self.since(), 1);
        }
        for seed in 0..self.scene.seeds {
            let name = key(self.scene.apps + seed);
            let draw = || self.rng.borrow_mut().random();
            self.apps[app as usize].queue.found(now, name, TOPIC, &[], draw);
        }
        let pause = self.apps[app as usize].pause().mul_f64(0.8 + 0.4 * self.random());
        self.plan_lookup(app, now + pause);
        self.plan_dial(app);
    }

    fn plan_dial(&mut self, app: u32) {
        let planned = &mut self.apps[app as usize];
        let next = planned.queue.next().map(|at| at.max(self.queue.now));
        if let Some(at) = next.filter(|at| {
            planned
                .next_dial
                .is_none_or(|planned| planned > *at || planned <= self.queue.now)
        }) {
            planned.next_dial = Some(at);
            self.queue.at(at, Event::Dial(app));
        }
    }

    fn dial(&mut self, app: u32) {
        let now = self.queue.now;
        if self.apps[app as usize].next_dial != Some(now) {
            return;
        }
        self.apps[app as usize].next_dial = None;
        loop {
            let draw = || self.rng.borrow_mut().random();
            let Some((name, _)) = self.apps[app as usize].queue.take(now, draw) else {
                break;
            };
            if self.released {
                self.outcome.dials.add(self.since(), 1);
            }
            let seed = number(&name) - self.scene.apps;
            match self.places[seed as usize].ask(now, app) {
                Answer::Full => {
                    let end = End::Failed("it has no place".to_owned());
                    self.apps[app as usize].queue.closed(now, &name, end);
                }
                answer => {
                    if let Answer::InsteadOf(other) = answer {
                        self.sent_away(other, seed);
                    }
                    self.welcome(app, seed);
                }
            }
        }
        self.plan_dial(app);
    }

    fn welcome(&mut self, app: u32, seed: u32) {
        let now = self.queue.now;
        let guest = &mut self.apps[app as usize];
        guest.queue.opened(now, &key(self.scene.apps + seed));
        guest.seeds.push(seed);
        self.wants(app);
        if self.released {
            self.queue.after(LATENCY, Event::Hear(app));
            self.ask(app, self.scene.apps + seed);
        }
    }

    fn sent_away(&mut self, app: u32, seed: u32) {
        let now = self.queue.now;
        let end = End::SentAway(self.rng.borrow_mut().random());
        let guest = &mut self.apps[app as usize];
        guest.seeds.retain(|other| *other != seed);
        self.wants(app);
        let guest = &mut self.apps[app as usize];
        guest.queue.closed(now, &key(self.scene.apps + seed), end);
        if guest.seeds.is_empty() {
            let pause = guest.pause().mul_f64(0.8 + 0.4 * self.random());
            self.plan_lookup(app, now + pause);
        }
        self.plan_dial(app);
    }

    fn hear(&mut self, app: u32) {
        let told = &mut self.apps[app as usize];
        if std::mem::replace(&mut told.heard, true) {
            return;
        }
        told.schedule.handle_append(self.queue.now);
        if let Some(due) = told.schedule.next_due() {
            self.queue.at(due, Event::Due(app));
        }
        for other in self.links.get(app as usize).into_iter().flatten() {
            if self.apps.get(*other as usize).is_some_and(|other| !other.heard) {
                self.queue.after(LATENCY, Event::Hear(*other));
            }
        }
    }

    fn due(&mut self, app: u32) {
        let shares = !self.links.is_empty();
        let origin = shares.then(|| self.rng.borrow_mut().random());
        let pieces = self.pieces;
        let due = &mut self.apps[app as usize];
        due.schedule.handle_check();
        due.fetch = Some(Box::new(Fetch::new(pieces, origin)));
        due.free = self.queue.now;
        let sources = if shares {
            self.links[app as usize].clone()
        } else {
            due.seeds.iter().map(|seed| self.scene.apps + seed).collect()
        };
        sources.into_iter().for_each(|from| self.ask(app, from));
        self.wants(app);
        self.plan_dial(app);
    }

    /// An app that fetches and has a place nowhere says so to its queue, and looks the topic up soon.
    fn wants(&mut self, app: u32) {
        let now = self.queue.now;
        let wanting = &mut self.apps[app as usize];
        let wants = wanting.fetch.is_some() && wanting.seeds.is_empty();
        let was_away = wanting.queue.is_sent_away(&TOPIC);
        wanting.queue.set_wanting(now, wants);
        if wants && was_away {
            let pause = wanting.pause();
            self.plan_lookup(app, now + pause);
        }
    }

    /// Asks a source for what it has, as much as may be asked at a time.
    fn ask(&mut self, app: u32, from: u32) {
        let window = if self.links.is_empty() {
            WINDOW
        } else {
            SHARED_WINDOW
        };
        let fetch = &self.apps[app as usize].fetch;
        if fetch.as_ref().is_none_or(|fetch| fetch.asked(from) >= window) {
            return;
        }
        let Some(mut fetch) = self.apps[app as usize].fetch.take() else {
            return;
        };
        let held = match self.apps.get(from as usize) {
            None => Some(&self.full),
            Some(source) if !source.gives => None,
            Some(source) if source.done => Some(&self.full),
            Some(source) => source.fetch.as_ref().map(|fetch| &fetch.have),
        };
        let room = window - fetch.asked(from);
        let picked = held.map(|held| fetch.wants.pick(&fetch.have, held, self.pieces, &|_| false, room));
        let picked = picked.unwrap_or_default();
        fetch.ask(from, picked.len());
        self.apps[app as usize].fetch = Some(fetch);
        for index in picked {
            let sent = self.upload(from);
            let index = index as u32;
            self.queue.at(sent + LATENCY, Event::Sent { app, from, index });
            if let Some(places) = self.places.get_mut(from.wrapping_sub(self.scene.apps) as usize) {
                places.served(sent, app);
                self.outcome.sent(
                    sent.saturating_duration_since(self.queue.now)
                        + self.queue.elapsed().saturating_sub(RELEASE),
                );
            }
        }
    }

    /// When a source has sent one more piece.
    fn upload(&mut self, from: u32) -> Instant {
        let seed = from >= self.scene.apps;
        let rate = if seed {
            self.scene.seed_rate
        } else {
            self.scene.app_rate
        };
        let uplink = &mut self.uplinks[from as usize];
        let begins = uplink.turn(self.queue.now);
        uplink.charge(PIECE as usize - TURN);
        begins + Duration::from_secs_f64(PIECE as f64 / rate as f64)
    }

    /// A piece came to the downlink, where others may be before it.
    fn sent(&mut self, app: u32, from: u32, index: u32) {
        let takes = Duration::from_secs_f64(PIECE as f64 / self.scene.downlink as f64);
        let free = &mut self.apps[app as usize].free;
        *free = (*free).max(self.queue.now) + takes;
        self.queue.at(*free, Event::Piece { app, from, index });
    }

    fn piece(&mut self, app: u32, from: u32, index: u32) {
        let taker = &mut self.apps[app as usize];
        let Some(fetch) = taker.fetch.as_mut() else { return };
        fetch.take(from, u64::from(index));
        if fetch.left == 0 {
            taker.fetch = None;
            taker.done = true;
            taker.queue.set_wanting(self.queue.now, false);
            self.left -= 1;
            let since = self.since();
            self.outcome.updated.push(since);
        } else {
            self.ask(app, from);
        }
        if !self.apps[app as usize].gives {
            return;
        }
        // Others may ask for it now.
        let links = std::mem::take(&mut self.links[app as usize]);
        for other in &links {
            if self
                .apps
                .get(*other as usize)
                .is_some_and(|other| other.fetch.is_some())
            {
                self.ask(*other, app);
            }
        }
        self.links[app as usize] = links;
    }
}
