//! Several cores that replicate over links with delays, slow disks and cuts, in virtual time: everything arrives, soon, and with
//! few messages, whatever the seed.

mod exchange;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use core_store::replication::{CoreView, work};
use core_store::{Core, CoreEvent, Download, DownloadRange, Storage};
use hypercore::messages::kind;
use hypercore::replication::{Action, Change, Done, Peer, View};
use proptest::prelude::*;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use exchange::{core_of, handshakes, reader};

/// One step of virtual time.
const STEP: Duration = Duration::from_millis(5);

/// Numbers that depend on the seed alone.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }
}

/// What a link does to what passes.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    /// Delays of messages and of the disk, at most, in milliseconds.
    delay: u64,
    disk: u64,
    /// Answers take this long on top.
    slow: u64,
    /// Answers have a bit flipped.
    lies: bool,
}

/// One end of a link.
struct End {
    core: usize,
    peer: Peer,
    events: broadcast::Receiver<CoreEvent>,
    /// What arrives here, in order, and what the disk is done with.
    arriving: BTreeMap<(Instant, u64), (u64, Bytes)>,
    done: BTreeMap<(Instant, u64), Done>,
    last: Instant,
}

struct Link {
    ends: [End; 2],
    weather: Weather,
    open: bool,
    /// Why a peer was dropped.
    caught: Option<String>,
}

struct World {
    cores: Vec<Core>,
    links: Vec<Link>,
    now: Instant,
    dice: Dice,
    messages: u64,
    order: u64,
}

impl World {
    fn new(seed: u64, writer: Core, readers: usize) -> Self {
        let mut cores = vec![writer];
        for _ in 0..readers {
            cores.push(reader(&cores[0]));
        }
        Self {
            cores,
            links: Vec::new(),
            now: Instant::now(),
            dice: Dice(seed),
            messages: 0,
            order: 0,
        }
    }

    fn connect(&mut self, a: usize, b: usize, weather: Weather) {
        let [left, right] = handshakes(self.links.len() as u8);
        let end = |core: usize, handshake: &_| {
            let view = &self.cores[core];
            End {
                core,
                peer: Peer::new(view.key(), CoreView(view).head(), handshake),
                events: view.events(),
                arriving: BTreeMap::new(),
                done: BTreeMap::new(),
                last: self.now,
            }
        };
        let mut ends = [end(a, &left), end(b, &right)];
        let hello = ends.each_ref().map(|end| end.peer.handshake());
        ends[0].peer.handle_open(&hello[1]).unwrap();
        ends[1].peer.handle_open(&hello[0]).unwrap();
        self.links.push(Link {
            ends,
            weather,
            open: true,
            caught: None,
        });
    }

    fn cut(&mut self, link: usize) {
        let link = &mut self.links[link];
        link.open = false;
        for end in &mut link.ends {
            end.peer.close(&mut CoreView(&self.cores[end.core]));
        }
    }

    /// One step of one link; an error is a peer that was caught.
    fn step_link(&mut self, index: usize) -> Result<(), hypercore::replication::PeerError> {
        for side in 0..2 {
            let link = &mut self.links[index];
            let weather = link.weather;
            let end = &mut link.ends[side];
            let core = &self.cores[end.core];
            let later = end.arriving.split_off(&(self.now, u64::MAX));
            for (_, (kind, bytes)) in std::mem::replace(&mut end.arriving, later) {
                end.peer
                    .handle_message(kind, &bytes, self.now, &mut CoreView(core))?;
            }
            let later = end.done.split_off(&(self.now, u64::MAX));
            for (_, done) in std::mem::replace(&mut end.done, later) {
                end.peer.handle_done(done, self.now, &mut CoreView(core))?;
            }
            loop {
                let change = match end.events.try_recv() {
                    Ok(CoreEvent::Truncate { length, .. }) => Change::Truncated(length),
                    Ok(CoreEvent::Append { length }) => Change::Grown(length),
                    Ok(CoreEvent::Download { index, .. }) => Change::Stored(index),
                    Ok(_) => continue,
                    Err(TryRecvError::Lagged(_)) => Change::Missed,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                };
                end.peer.handle_change(change);
            }
            end.peer.poll(self.now, 256 * 1024, &mut CoreView(core));
            let mut sent = Vec::new();
            while let Some(action) = end.peer.poll_action() {
                self.order += 1;
                match action {
                    Action::Send(kind, bytes) => sent.push((kind, bytes)),
                    Action::Publish(_) => {}
                    Action::Store(job) => {
                        let done = work(core, job, &mut usize::MAX.clone()).unwrap();
                        let at = self.now + self.dice.millis(weather.disk);
                        end.done.insert((at, self.order), done);
                    }
                }
            }
            let other = &mut link.ends[1 - side];
            for (kind, mut bytes) in sent {
                self.messages += 1;
                self.order += 1;
                let mut at = self.now + self.dice.millis(weather.delay);
                if kind == kind::DATA {
                    at += Duration::from_millis(weather.slow);
                    if weather.lies && bytes.len() > 60 {
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 16;
                    }
                }
                // A connection keeps the order.
                other.last = other.last.max(at);
                other
                    .arriving
                    .insert((other.last, self.order), (kind, bytes.into()));
            }
        }
        Ok(())
    }

    /// Lets time pass until `end` says so, and returns how much did; `None` if that takes longer than `limit`.
    fn run(&mut self, limit: Duration, mut each: impl FnMut(&mut Self) -> bool) -> Option<Duration> {
        let start = self.now;
        while self.now - start < limit {
            for link in 0..self.links.len() {
                if self.links[link].open
                    && let Err(error) = self.step_link(link)
                {
                    self.links[link].caught = Some(error.to_string());
                    self.cut(link);
                }
            }
            if each(self) {
                return Some(self.now - start);
            }
            self.now += STEP;
        }
        None
    }

    /// Why the first peer was dropped that was.
    fn first_caught(&self) -> Option<&str> {
        self.links.iter().find_map(|link| link.caught.as_deref())
    }

    fn everybody_has_all(&self) -> bool {
        let writer = &self.cores[0];
        self.cores.iter().all(|core| {
            (core.fork(), core.length()) == (writer.fork(), writer.length())
                && core.contiguous_length() == writer.length()
        })
    }

    /// Fork, length and blocks without a gap of each.
    fn states(&self) -> Vec<(u64, u64, u64)> {
        let state = |core: &Core| (core.fork(), core.length(), core.contiguous_length());
        self.cores.iter().map(state).collect()
    }

    /// Every reader wants everything.
    fn download(&self) -> Vec<Download> {
        let all = DownloadRange::default();
        self.cores.iter().skip(1).map(|core| core.download(all)).collect()
    }
}

fn block(dice: &mut Dice) -> Bytes {
    vec![dice.below(256) as u8; 30 + dice.below(200) as usize].into()
}

fn append(world: &mut World, count: u64) {
    let blocks: Vec<Bytes> = (0..count).map(|_| block(&mut world.dice)).collect();
    world.cores[0].append(&blocks).unwrap();
}

fn world(seed: u64, readers: usize) -> World {
    World::new(seed, core_of(&Storage::in_memory().unwrap(), 1), readers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 16))]

    /// A writer that appends and truncates, readers in a row, links that are cut and made anew: all converge.
    #[test]
    fn a_chain_of_readers_converges_through_cuts_and_truncations(seed: u64, readers in 1usize..5, delay in 0u64..200, disk in 0u64..40) {
        let mut world = world(seed, readers);
        let weather = Weather { delay, disk, ..Weather::default() };
        append(&mut world, 40);
        (0..readers).for_each(|at| world.connect(at, at + 1, weather));
        let _wanted = world.download();
        for _ in 0..12 {
            match world.dice.below(4) {
                0 => {
                    let length = world.cores[0].length().saturating_sub(world.dice.below(20));
                    world.cores[0].truncate(length, None).unwrap();
                }
                1 => {
                    let at = world.dice.below(readers as u64) as usize;
                    let open = world.links.iter().position(|link| link.open && link.ends[0].core == at);
                    world.cut(open.unwrap());
                    world.connect(at, at + 1, weather);
                }
                _ => {
                    let count = 1 + world.dice.below(30);
                    append(&mut world, count);
                }
            }
            let pause = world.dice.millis(400);
            let until = world.now + pause;
            world.run(Duration::from_secs(1), |world| world.now >= until);
            prop_assert_eq!(world.first_caught(), None, "an honest peer was dropped");
        }
        append(&mut world, 1);
        let took = world.run(Duration::from_secs(60), |world| world.everybody_has_all());
        prop_assert!(took.is_some(), "not converged after 60 s: {:?}", world.states());
        // Nothing goes on when nothing is wanted any more.
        let before = world.messages;
        world.run(Duration::from_secs(10), |_| false);
        prop_assert!(world.messages - before < 200, "{} messages while idle", world.messages - before);
    }
}

#[test]
fn nine_slow_peers_of_ten_cost_seconds() {
    let mut world = world(7, 1);
    append(&mut world, 400);
    for number in 0..10 {
        let slow = if number == 4 { 0 } else { 30_000 };
        let weather = Weather {
            delay: 40,
            disk: 5,
            slow,
            ..Weather::default()
        };
        world.connect(0, 1, weather);
    }
    let _wanted = world.download();
    let took = world
        .run(Duration::from_secs(300), |world| world.everybody_has_all())
        .expect("it arrives");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_liar_among_honest_peers_is_caught_and_harms_nothing() {
    for seed in 0..8 {
        let mut world = world(seed, 1);
        append(&mut world, 300);
        world.connect(
            0,
            1,
            Weather {
                delay: 5,
                lies: true,
                ..Weather::default()
            },
        );
        world.connect(
            0,
            1,
            Weather {
                delay: 60,
                disk: 10,
                ..Weather::default()
            },
        );
        let _wanted = world.download();
        let took = world.run(Duration::from_secs(60), |world| world.everybody_has_all());
        assert!(took.is_some(), "seed {seed}");
        assert!(!world.links[0].open, "seed {seed}: the liar is dropped");
        assert_eq!(
            world.cores[1].tree_hash(300).unwrap(),
            world.cores[0].tree_hash(300).unwrap()
        );
    }
}
