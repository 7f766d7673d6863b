//! Logs of several writers, honest or not, given in any order, and applied: nothing panics, no node comes twice, what is said to hold
//! holds, and the system core can be cut to every step.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use autobase::messages::{Info, Member, OplogMessage, OplogNode, member_key};
use autobase::state::{Apply, Base, Left, Put, Step};
use autobase::views::ViewKeys;
use autobase::{Head, Key, Linearizer, NodeId};
use hypercore::manifest::{Manifest, Signer};
use libfuzzer_sys::fuzz_target;

const WRITERS: u8 = 6;
/// Longer sessions are not deeper, but slower.
const STEPS: usize = 400;

#[derive(Arbitrary, Debug)]
enum Act {
    Offer {
        writer: u8,
        heads: Vec<(u8, u8)>,
        batch: u8,
        value: Option<Value>,
        optimistic: bool,
        skip: bool,
    },
    Update,
    Ack(u8, bool),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Value {
    Text,
    Add(u8, bool),
    Remove(u8),
    Acknowledge(u8),
}

fn key(writer: u8) -> Key {
    Key([writer % WRITERS + 1; 32])
}

fn begin(writer: u8) -> Head {
    Head {
        key: key(writer),
        length: 0,
    }
}

struct Session {
    room: Linearizer,
    apply: Apply,
    values: BTreeMap<Head, Value>,
    puts: Vec<Put>,
    view: u64,
    applied: Vec<Head>,
}

impl Session {
    fn stored(&self, writer: &Key) -> Option<Member> {
        let put = self.puts.iter().rev().find(|(key, _)| *key == member_key(writer));
        put.map(|(_, value)| Member::decode(value).expect("of our own"))
    }

    fn learn(&mut self, writer: Key) {
        let stored = self.stored(&writer);
        self.apply.learn(writer, stored);
    }

    fn info(&self, length: u64) -> Info {
        let last = usize::try_from(length)
            .ok()
            .and_then(|length| self.puts.get(length.checked_sub(2)?));
        last.map_or_else(Info::default, |(_, value)| {
            Info::decode(value).expect("a step's end")
        })
    }

    fn cut(&mut self, length: u64) {
        self.puts.truncate((length as usize).saturating_sub(1));
    }

    fn act(&mut self, value: Value) {
        match value {
            Value::Text => self.view += 1,
            Value::Add(writer, indexer) => {
                while self
                    .apply
                    .add_writer(&mut self.room, key(writer), indexer)
                    .is_err()
                {
                    self.learn(key(writer));
                }
            }
            Value::Remove(writer) => {
                while self.apply.remove_writer(&mut self.room, key(writer)).is_err() {
                    self.learn(key(writer));
                }
            }
            Value::Acknowledge(writer) => {
                while self.apply.ack_writer(key(writer)).is_err() {
                    self.learn(key(writer));
                }
            }
        }
    }

    /// Returns whether the indexers changed: the session ends there.
    fn update(&mut self) -> bool {
        self.room.advance();
        let Some(update) = self.room.update() else {
            return false;
        };
        assert_eq!(self.applied.len(), update.shared + update.undo);
        let all: Vec<_> = update.indexed.iter().chain(self.room.tip()).copied().collect();
        let at = |id: &NodeId| self.room.node(*id).expect("in the order").at;
        self.applied = all.iter().map(at).collect();
        let mut distinct = self.applied.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), self.applied.len());
        self.applied.drain(..update.indexed.len());
        self.apply.begin(&self.room, update);
        loop {
            match self.apply.next(&mut self.room) {
                Step::Cut { system_length } => {
                    self.cut(system_length);
                    let info = self.info(system_length);
                    self.apply.cut(info);
                }
                Step::CutViews(lengths) => self.view = lengths[0].1,
                Step::Learn(writers) => {
                    assert!(!writers.is_empty());
                    writers.into_iter().for_each(|writer| self.learn(writer));
                }
                Step::Apply(nodes) => {
                    for node in nodes {
                        self.act(self.values[&node.at]);
                    }
                    self.apply.applied(&[self.view]);
                }
                Step::NameViews(naming) => {
                    let manifest = |key: &Key| {
                        let signer = Signer {
                            namespace: key.0,
                            public_key: hypercore::PublicKey(key.0),
                        };
                        Manifest::multi(1, vec![signer])
                    };
                    let manifests: Vec<Manifest> = naming.indexers.iter().map(manifest).collect();
                    self.apply.named(&manifests, &vec![[7; 32]; naming.views.len()]);
                }
                Step::Put(puts) => {
                    self.puts.extend(puts);
                    assert_eq!(self.apply.system().length(), self.puts.len() as u64 + 1);
                }
                Step::Done(done) => return done.reboot,
            }
        }
    }
}

fuzz_target!(|acts: Vec<Act>| {
    let base = Base {
        key: key(0),
        keys: ViewKeys::new(key(0), None),
        manifest_version: 1,
    };
    let left = Left {
        views: vec![("view".to_owned(), None)],
        ..Left::default()
    };
    let mut session = Session {
        room: Linearizer::new(&[begin(0)], &[]).expect("one"),
        apply: Apply::new(base, left),
        values: BTreeMap::new(),
        puts: Vec::new(),
        view: 0,
        applied: Vec::new(),
    };
    for writer in 0..WRITERS {
        session.room.follow(begin(writer), writer > 0).expect("few");
    }
    let mut reached = [0; WRITERS as usize];
    for act in acts.iter().take(STEPS) {
        match act {
            Act::Offer {
                writer,
                heads,
                batch,
                value,
                optimistic,
                skip,
            } => {
                let reached = &mut reached[usize::from(writer % WRITERS)];
                let at = Head {
                    key: key(*writer),
                    length: *reached + 1 + u64::from(*skip),
                };
                let head = |(writer, length): &(u8, u8)| Head {
                    key: Key([writer % 8; 32]),
                    length: (*length).into(),
                };
                let mut message = OplogMessage::new(OplogNode {
                    heads: heads.iter().take(20).map(head).collect(),
                    batch: if *batch < 224 { 1 } else { u64::from(*batch - 224) },
                    value: value.map(|_| "value".into()),
                });
                message.optimistic = *optimistic;
                if session.room.offer(at, &message).is_ok() {
                    *reached = at.length;
                    session.values.extend(value.map(|value| (at, value)));
                }
            }
            Act::Update => {
                if session.update() {
                    break;
                }
            }
            Act::Ack(writer, pending) => {
                session.room.should_ack(&key(*writer), *pending);
            }
        }
    }
});
