//! Rooms that npm `autobase` kept (tests/vectors/autobase/rooms.json, recorded by tests/vectors/scripts/autobase-rooms.js): from the same logs
//! come the same system core, views and keys, whichever way the logs arrive. `AUTOBASE_ROOMS` names a larger recording, for a longer test.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use autobase::cipher::{Keyring, SYSTEM_VIEW};
use autobase::messages::{Checkpointer, Info, Member, OplogMessage, info_key, member_key};
use autobase::state::signing::Signatures;
use autobase::state::{Apply, Base, Done, Left, Put, Step};
use autobase::views::{Signers, ViewKeys};
use autobase::{Head, Key, Linearizer};
use bytes::Bytes;
use hypercore::encryption::{BlockCipher, BlockOf};
use hypercore::manifest::{Manifest, Prologue, Signer};
use hypercore::merkle::{Batch, Node, tree_hash};
use hypercore::signature::signable;
use hypercore::{KeyPair, PublicKey};
use proptest::prelude::*;
use serde_json::Value;

static ROOMS: LazyLock<Vec<Room>> = LazyLock::new(|| {
    let path = std::env::var("AUTOBASE_ROOMS").ok();
    let text = path.map(|path| std::fs::read_to_string(path).unwrap());
    let recorded = include_str!("../../../../tests/vectors/autobase/rooms.json");
    let all: Value = serde_json::from_str(text.as_deref().unwrap_or(recorded)).unwrap();
    all["rooms"].as_array().unwrap().iter().map(Room::read).collect()
});

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

struct Room {
    key: Key,
    keys: ViewKeys,
    encryption: Option<Keyring>,
    writers: Vec<Key>,
    manifests: HashMap<Key, Manifest>,
    logs: HashMap<Key, Vec<OplogMessage>>,
    /// Blocks of the system core that stand, and what the bee put there.
    system: Vec<Vec<u8>>,
    puts: Vec<Put>,
    view: Vec<Bytes>,
    system_key: Key,
    view_key: Option<Key>,
    digests: Vec<Key>,
}

impl Room {
    fn read(value: &Value) -> Self {
        let key = Key(array(&value["key"]));
        let encryption_key = value["encryption_key"]
            .as_str()
            .map(|_| array(&value["encryption_key"]));
        let (mut writers, mut manifests, mut logs) = (Vec::new(), HashMap::new(), HashMap::new());
        for log in list(&value["logs"]) {
            let writer = Key(array(&log["key"]));
            let signer = Signer {
                namespace: array(&log["namespace"]),
                public_key: PublicKey(array(&log["public_key"])),
            };
            let blocks = list(&log["blocks"]).iter();
            let blocks = blocks.map(|block| OplogMessage::decode(&bytes(block)).unwrap());
            writers.push(writer);
            manifests.insert(writer, Manifest::multi(1, vec![signer]));
            logs.insert(writer, blocks.collect());
        }
        let system = list(&value["system"]);
        Self {
            key,
            keys: ViewKeys::new(key, encryption_key.as_ref()),
            encryption: encryption_key.map(|secret| Keyring::new(key, secret)),
            writers,
            manifests,
            logs,
            system: system.iter().map(|entry| bytes(&entry[0])).collect(),
            puts: system[1..]
                .iter()
                .map(|entry| (bytes(&entry[1]), bytes(&entry[2])))
                .collect(),
            view: list(&value["view"])
                .iter()
                .map(|block| bytes(block).into())
                .collect(),
            system_key: Key(array(&value["keys"][0])),
            view_key: value["keys"][1].as_str().map(|_| Key(array(&value["keys"][1]))),
            digests: list(&value["digests"]).iter().map(array).map(Key).collect(),
        }
    }

    /// The tree hash of a view of these blocks, sealed if the room is encrypted.
    fn tree(&self, view: &str, blocks: &[impl AsRef<[u8]>]) -> [u8; 32] {
        let cipher = self.encryption.as_ref().map(|keys| keys.view(view));
        // Which core it is does not matter to a view's cipher, only that its manifest is of version 1.
        let of = BlockOf {
            key: &self.key,
            manifest: Some(&Manifest::multi(0, Vec::new())),
        };
        let mut tree = Batch::empty(0);
        for (index, block) in (0..).zip(blocks) {
            let plain = block.as_ref();
            let sealed = cipher
                .as_ref()
                .map(|cipher| cipher.seal(of, index, 0, plain).unwrap());
            tree.append(&Node::leaf(index, sealed.as_deref().unwrap_or(plain)));
        }
        tree_hash(&tree.roots)
    }

    fn signers_of(&self, indexers: &[Key]) -> Vec<Manifest> {
        indexers.iter().map(|key| self.manifests[key].clone()).collect()
    }
}

fn base(room: &Room) -> Base {
    Base {
        key: room.key,
        keys: room.keys.clone(),
        manifest_version: 1,
    }
}

/// For what does not stand yet behind that state.
fn linearizer(room: &Room, info: &Info) -> Linearizer {
    let first = Head {
        key: room.key,
        length: 0,
    };
    match info.indexers.as_slice() {
        [] => Linearizer::new(&[first], &[]).unwrap(),
        indexers => Linearizer::new(indexers, &info.heads).unwrap(),
    }
}

/// One who follows a room, with its cores in memory. The system core's bee is the list of its puts.
struct Follower<'a> {
    room: &'a Room,
    linearizer: Linearizer,
    apply: Apply,
    puts: Vec<Put>,
    view: Vec<Bytes>,
    /// System cores that it came by, each with the view's.
    cores: Vec<(Key, Key)>,
    /// How many times members were read.
    learned: usize,
}

impl<'a> Follower<'a> {
    fn new(room: &'a Room) -> Self {
        let left = Left {
            views: vec![("log".to_owned(), None)],
            ..Left::default()
        };
        let apply = Apply::new(base(room), left);
        Self {
            room,
            linearizer: linearizer(room, &Info::default()),
            apply,
            puts: Vec::new(),
            view: Vec::new(),
            cores: Vec::new(),
            learned: 0,
        }
    }

    /// What stands in the bee: block 0 is its header.
    fn bee(&self) -> BTreeMap<&[u8], &[u8]> {
        let puts = self.puts.iter();
        puts.map(|(key, value)| (&key[..], &value[..])).collect()
    }

    fn member(&self, key: &Key) -> Option<Member> {
        let bee = self.bee();
        bee.get(&member_key(key)[..])
            .map(|value| Member::decode(value).unwrap())
    }

    fn learn(&mut self, keys: &[Key]) {
        assert!(!keys.is_empty());
        for key in keys {
            let stored = self.member(key);
            self.apply.learn(*key, stored);
            self.learned += 1;
        }
    }

    /// The state that the system core has at a length.
    fn info_at(&self, length: u64) -> Info {
        if length == 0 {
            return Info::default();
        }
        let (key, value) = &self.puts[length as usize - 2];
        assert_eq!(*key, info_key(), "what is cut to ends a step");
        Info::decode(value).unwrap()
    }

    fn cut_system(&mut self, length: u64) {
        self.puts.truncate((length as usize).saturating_sub(1));
    }

    /// Reads what is wanted of those logs, as far as `until` says.
    fn read(&mut self, until: &HashMap<Key, usize>) {
        loop {
            let mut more = false;
            for key in self.linearizer.unknown() {
                self.follow(key);
                more = true;
            }
            let followed: Vec<Key> = self.linearizer.followed().collect();
            for key in followed {
                while let Some(length) = self.linearizer.wanted(&key) {
                    let log = self.room.logs.get(&key);
                    let message = log.and_then(|log| log.get(length as usize - 1));
                    let Some(message) = message.filter(|_| length as usize <= until[&key]) else {
                        break;
                    };
                    self.linearizer.offer(Head { key, length }, message).unwrap();
                }
            }
            if self.linearizer.advance() == 0 && !more {
                return;
            }
        }
    }

    fn follow(&mut self, key: Key) {
        let member = self.member(&key);
        let head = Head {
            key,
            length: member.map_or(0, |member| member.length),
        };
        self.linearizer
            .follow(head, member.is_none_or(|member| member.is_removed))
            .unwrap();
    }

    fn update(&mut self, until: &HashMap<Key, usize>) {
        loop {
            self.read(until);
            let Some(update) = self.linearizer.update() else {
                return;
            };
            self.apply.begin(&self.linearizer, update);
            let done = self.run();
            if done.reboot {
                self.reboot(done.indexed_length);
            }
        }
    }

    fn run(&mut self) -> Done {
        loop {
            let step = self.apply.next(&mut self.linearizer);
            match step {
                Step::Cut { system_length } => {
                    self.cut_system(system_length);
                    let info = self.info_at(system_length);
                    self.apply.cut(info);
                }
                Step::CutViews(lengths) => lengths
                    .iter()
                    .for_each(|(_, length)| self.view.truncate(*length as usize)),
                Step::Learn(keys) => self.learn(&keys),
                Step::Apply(nodes) => {
                    for node in nodes {
                        let log = &self.room.logs[&node.at.key];
                        let message = &log[node.at.length as usize - 1];
                        assert_eq!(message.node.heads, node.heads);
                        self.app(message.node.value.as_ref().unwrap());
                    }
                    self.apply.applied(&[self.view.len() as u64]);
                }
                Step::NameViews(naming) => {
                    let manifests = self.room.signers_of(&naming.indexers);
                    assert_eq!(naming.views, [(0, self.view.len() as u64)]);
                    self.apply.named(&manifests, &[self.room.tree("log", &self.view)]);
                }
                Step::Put(puts) => self.puts.extend(puts),
                Step::Done(done) => return done,
            }
        }
    }

    /// What the app of the script does.
    fn app(&mut self, value: &Bytes) {
        let op: Value = serde_json::from_slice(value).unwrap();
        if op["add"].is_string() {
            let (key, indexer) = (Key(array(&op["add"])), op["indexer"].as_bool().unwrap());
            while let Err(unknown) = self.apply.add_writer(&mut self.linearizer, key, indexer) {
                self.learn(&[unknown.0]);
            }
        } else if op["remove"].is_string() {
            let key = Key(array(&op["remove"]));
            while let Err(unknown) = self.apply.remove_writer(&mut self.linearizer, key) {
                self.learn(&[unknown.0]);
            }
        } else {
            self.view.push(value.clone());
        }
    }

    fn reboot(&mut self, length: u64) {
        let info = self.info_at(length);
        self.cut_system(length);
        self.check_standing(length);
        self.linearizer = linearizer(self.room, &info);
        // The system core goes on in another one.
        let indexers: Vec<Key> = info.indexers.iter().map(|head| head.key).collect();
        let manifests = self.room.signers_of(&indexers);
        let prologue = Prologue {
            hash: self.room.tree(SYSTEM_VIEW, &self.room.system[..length as usize]),
            length,
        };
        let signers = Signers::first(&manifests);
        let manifest = self.room.keys.system(&signers, Some(prologue), None, None);
        let system_key = manifest.key();
        // So does the view, under the name that was given to it when the indexers changed.
        let length = info.views.first().map_or(0, |view| view.length);
        let prologue = Prologue {
            hash: self.room.tree("log", &self.view[..length as usize]),
            length,
        };
        let manifest = self
            .room
            .keys
            .manifest(&signers, "log", Some(prologue), &[], None);
        if let Some(view) = info.views.first() {
            assert_eq!(manifest.key(), view.key);
        }
        self.cores.push((system_key, manifest.key()));
        self.apply.rebooted(info);
        let (_, length, _) = self.apply.views().next().unwrap();
        self.view.truncate(length as usize);
        let members: Vec<Key> = self.room.writers.clone();
        for key in members {
            if let Some(member) = self.member(&key) {
                let head = Head {
                    key,
                    length: member.length,
                };
                self.linearizer.follow(head, member.is_removed).unwrap();
                self.linearizer.set_removed(&key, member.is_removed);
            }
        }
    }

    /// Forgets everything but the cores and the steps that do not stand, as a program that was stopped.
    fn restart(&mut self) {
        let length = self.puts.len() as u64 + u64::from(!self.puts.is_empty());
        let indexed_length = self.apply.indexed_length();
        let views = self.apply.views();
        let left = Left {
            info: self.info_at(length),
            length,
            indexed_length,
            updates: self.apply.updates().copied().collect(),
            views: views.map(|(name, _, mapped)| (name.to_owned(), mapped)).collect(),
        };
        let steps = left.updates.clone();
        self.apply = Apply::new(base(self.room), left);
        self.linearizer = linearizer(self.room, &self.info_at(indexed_length));
        // What stands says where logs begin, all of it who is removed.
        let tip = self.puts.split_off((indexed_length as usize).saturating_sub(1));
        let standing: Vec<_> = self.room.writers.iter().map(|key| self.member(key)).collect();
        self.puts.extend(tip);
        for (key, member) in self.room.writers.iter().zip(standing) {
            let now = self.member(key);
            let is_removed = match now {
                Some(now) => now.is_removed,
                None => length > 0 || *key != self.room.key,
            };
            if now.is_some() || member.is_some() {
                let head = Head {
                    key: *key,
                    length: member.map_or(0, |member| member.length),
                };
                self.linearizer.follow(head, is_removed).unwrap();
                self.linearizer.set_removed(key, is_removed);
            }
        }
        for Head { key, length } in steps.iter().map(|step| step.at) {
            if self.linearizer.length(&key).is_none() {
                self.follow(key);
            }
            while self.linearizer.length(&key).unwrap() < length {
                let next = self.linearizer.wanted(&key).unwrap();
                let message = &self.room.logs[&key][next as usize - 1];
                self.linearizer
                    .offer(Head { key, length: next }, message)
                    .unwrap();
                self.linearizer.advance();
            }
        }
        // It is applied already.
        if let Some(update) = self.linearizer.update() {
            assert_eq!((update.undo, update.indexed), (0, vec![]));
            assert_eq!(
                self.linearizer.tip().len() as u64,
                steps.iter().map(|step| step.batch).sum::<u64>()
            );
        }
    }

    /// Whether the first blocks of the system core are upstream's.
    fn check_standing(&self, length: u64) {
        let standing = &self.puts[..(length as usize).saturating_sub(1)];
        for (number, (ours, theirs)) in (1..).zip(standing.iter().zip(&self.room.puts)) {
            assert_eq!(
                hex::encode(&ours.0),
                hex::encode(&theirs.0),
                "key of block {number}"
            );
            if ours.0 == info_key() {
                let (ours, theirs) = (Info::decode(&ours.1), Info::decode(&theirs.1));
                assert_eq!(ours, theirs, "state at block {number}");
            }
            assert_eq!(ours.1, theirs.1, "value of block {number}");
        }
    }

    /// Whether all that stands is what stands upstream.
    fn check(&self) {
        let length = self.apply.indexed_length();
        assert_eq!(length, self.room.system.len() as u64);
        self.check_standing(length);
        assert_eq!(self.view[..self.room.view.len()], self.room.view[..]);
        let info = self.info_at(length);
        assert_eq!(info.views.first().map(|view| view.key), self.room.view_key);
        let last = self.cores.last().map(|(system, _)| *system);
        assert_eq!(last, Some(self.room.system_key));
        // What other writers named on the way, we came by as well.
        for digest in &self.room.digests {
            assert!(self.cores.iter().any(|(system, _)| system == digest), "{digest}");
        }
    }
}

fn signed_by(room: &Room, key: &Key, message: &[u8], signature: &[u8; 64]) -> bool {
    let signer = &room.manifests[key].signers[0];
    KeyPair::verify(&signer.public_key, message, signature)
}

#[test]
fn what_indexers_say_of_signatures_is_understood_and_said_alike() {
    let (mut checked, mut plain) = (0, 0);
    for room in ROOMS.iter() {
        let mut follower = Follower::new(room);
        follower.update(&all(room));
        let views: HashMap<Key, Key> = follower.cores.into_iter().collect();
        for (writer, log) in &room.logs {
            let (mut ours, mut read) = (Signatures::default(), Signatures::default());
            for (at, message) in (1..).zip(log) {
                let digest = message.digest.as_ref().expect("said by all");
                // Of what is pointed to, only that is read which is not known, as after a restart.
                let mut restarted = Signatures::default();
                for reader in [&mut read, &mut restarted] {
                    let wanted = reader.wanted(at, message).into_iter();
                    let earlier = wanted
                        .map(|number| (number, log[number as usize - 1].clone()))
                        .collect();
                    assert!(reader.take(at, message, &earlier));
                    assert!(!reader.take(at, message, &earlier), "said before");
                }
                assert_eq!(read, restarted);
                let key = read.system_key().unwrap();
                assert_eq!(ours.digest(at, key), *digest);
                let Some(checkpoint) = &message.checkpoint else {
                    continue;
                };
                let here = |one: &Checkpointer| one.checkpoint.clone();
                if let Some(system) = checkpoint.system.as_ref().and_then(here) {
                    let encryption = checkpoint.encryption.as_ref().and_then(here).unwrap();
                    let user = checkpoint.user.iter().flatten().map(here).collect();
                    ours.sign(at, system.clone(), encryption, user);
                    // It covers the system core as we have it, sealed, and the view as it was then.
                    let length = system.length as usize;
                    if length <= room.system.len() {
                        let hash = room.tree(SYSTEM_VIEW, &room.system[..length]);
                        // It is over the core that the writer was at. One that is changing over names the next already.
                        let valid = |core: &&Key| {
                            let message = signable(&core.0, &hash, system.length, 0);
                            signed_by(room, writer, &message, &system.signature)
                        };
                        let core = views.keys().find(valid).expect("signed over a core of the room");
                        plain += usize::from(*core == key);
                        let info = Info::decode(&room.puts[length - 2].1).unwrap();
                        for (view, signed) in info.views.iter().zip(&ours.user) {
                            let by = &signed.as_ref().unwrap().by;
                            let hash = room.tree("log", &room.view[..by.length as usize]);
                            let message = signable(&views[core].0, &hash, by.length, 0);
                            assert_eq!(by.length, view.length);
                            assert!(signed_by(room, writer, &message, &by.signature));
                            checked += 1;
                        }
                        assert!(!ours.are_due(&info));
                        let mut further = info.clone();
                        further.views[0].length += 1;
                        assert!(ours.are_due(&further));
                    }
                }
                assert_eq!(ours.checkpoint(at), *checkpoint);
            }
        }
    }
    assert!(checked > 50 && plain > 50, "{checked} {plain}");
}

fn all(room: &Room) -> HashMap<Key, usize> {
    room.logs.iter().map(|(key, log)| (*key, log.len())).collect()
}

#[test]
fn from_the_logs_come_upstreams_system_core_views_and_keys() {
    assert!(ROOMS.len() >= 11);
    for (number, room) in ROOMS.iter().enumerate() {
        println!("room {number}");
        let mut follower = Follower::new(room);
        follower.update(&all(room));
        follower.check();
    }
}

proptest! {
    #[test]
    fn however_the_logs_grow_it_comes_to_the_same(
        which in any::<prop::sample::Index>(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 1usize..6, 0u8..10), 0..60),
    ) {
        let room = which.get(&ROOMS[..]);
        let mut follower = Follower::new(room);
        let mut until: HashMap<Key, usize> = room.writers.iter().map(|key| (*key, 0)).collect();
        for (writer, more, restart) in steps {
            let key = writer.get(&room.writers);
            let reached = until.get_mut(key).unwrap();
            *reached = (*reached + more).min(room.logs[key].len());
            follower.update(&until);
            if restart == 0 {
                follower.restart();
            }
        }
        follower.update(&all(room));
        follower.check();
    }
}
