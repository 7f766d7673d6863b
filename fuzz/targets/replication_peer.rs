//! A session of `hypercore/alpha` into [`Peer`]: messages that fit and damaged ones, answers of the store in any order, time. The
//! counterpart cannot make it keep more than its limits, send more than the budget, or ask for what makes no sense; and when it is
//! closed, every block that it had picked is free again.

#![no_main]

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bosc_fuzz::{Damage, live};
use bytes::Bytes;
use hypercore::bitfield::Bitfield;
use hypercore::manifest::Manifest;
use hypercore::merkle::{Node, SeekResult};
use hypercore::messages::{self, Range, Sync, Want, kind};
use hypercore::proof::{Data, DataBlock, DataUpgrade, Request, RequestBlock, RequestSeek, RequestUpgrade};
use hypercore::replication::{
    Action, Change, Done, Handshake, Head, InvalidRequest, Job, Peer, PeerError, Verdict, View,
};
use hypercore::wants::Wants;
use hypercore::{Key, PeerInfo, PublicKey};
use libfuzzer_sys::fuzz_target;

/// Requests of ours that may be under way: the window, and the few that do not count.
const MOST_ASKED: usize = 512 + 8;
/// What a peer may keep besides what the messages held: 36 pages of bits, and its tables.
const KEPT: usize = 1024 * 1024;
/// And for each message: a request that waits.
const KEPT_OF_EACH: usize = 2048;

#[derive(Debug, Arbitrary, Clone, Copy)]
enum Number {
    Small(u8),
    Medium(u16),
    Near40(i8),
    Near53(u8),
    Any(u64),
}

impl Number {
    fn get(self) -> u64 {
        match self {
            Self::Small(n) => n.into(),
            Self::Medium(n) => n.into(),
            Self::Near40(delta) => (1u64 << 40).wrapping_add_signed(delta.into()),
            Self::Near53(less) => (1u64 << 53) - u64::from(less),
            Self::Any(n) => n,
        }
    }
}

#[derive(Debug, Arbitrary)]
enum Message {
    Sync {
        fork: u8,
        length: Number,
        remote_length: Number,
        flags: u8,
    },
    Request {
        id: u8,
        block: Option<(Number, u8)>,
        hash: Option<(Number, Number)>,
        seek: Option<Number>,
        upgrade: Option<(Number, Number)>,
    },
    Cancel(u8),
    /// The answer to the request of that place among those under way.
    Data {
        which: u8,
        other: bool,
        upgrade: bool,
        manifest: bool,
        value: Vec<u8>,
    },
    NoData(u8),
    Want(Number, Number),
    Unwant(Number, Number),
    Bitfield(Number, Vec<u32>),
    Range(bool, Number, Number),
    Other(u8, Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum Step {
    Message(Message, Option<Damage>),
    Repeat(Message, u8),
    /// The store is done with the job of that place.
    Done(u8, u8),
    Poll {
        millis: u16,
        budget: u16,
    },
    Seconds(u8),
    Grow(u8),
    Truncate(u8),
    Stored(u16),
    Missed,
    WantBlock(u16),
    WantRange(u8, Option<u16>),
    Seek(u16),
}

struct Fake {
    head: Head,
    have: Bitfield,
    wants: Wants,
}

impl View for Fake {
    fn head(&mut self) -> Head {
        self.head.contiguous = self.have.first_unset(0).min(self.head.length);
        self.head
    }
    fn has_range(&self, start: u64, end: u64) -> bool {
        self.have.count(start, end) == end.saturating_sub(start)
    }
    fn words(&self, start: u64, length: u64) -> Vec<u32> {
        self.have.words(start, length)
    }
    fn is_idle(&self) -> bool {
        self.wants.is_idle()
    }
    fn is_shared(&self) -> bool {
        self.wants.is_shared()
    }
    fn pick(&mut self, held: &Bitfield, length: u64, refused: &dyn Fn(u64) -> bool, max: usize) -> Vec<u64> {
        let picked = self.wants.pick(&self.have, held, length, refused, max);
        assert!(picked.iter().all(|index| *index < self.head.length));
        picked
    }
    fn unmark(&mut self, index: u64) {
        self.wants.unmark(index);
    }
    fn sought(&self) -> Option<RequestSeek> {
        self.wants.seeks().map(|(_, seek)| seek).next()
    }
}

struct Session {
    peer: Peer,
    view: Fake,
    now: Instant,
    jobs: VecDeque<Job>,
    /// Numbers of our requests under way, with the block asked for.
    asked: Vec<(u64, Option<u64>)>,
    published: Option<PeerInfo>,
}

fuzz_target!(|steps: Vec<Step>| {
    let before = live();
    let head = Head {
        length: 40,
        contiguous: 0,
        fork: 0,
        knows_manifest: false,
        has_manifest: true,
    };
    let mut have = Bitfield::default();
    have.set_range(3, 30, true);
    let info = |is_initiator| Handshake {
        is_initiator,
        hash: [3; 64],
        remote_public_key: hypercore::PublicKey([2; 32]),
    };
    let key = Key([5; 32]);
    let mut peer = Peer::new(key, head, &info(true));
    let other = Peer::new(key, head, &info(false)).handshake();
    peer.handle_open(&other).expect("a good handshake");
    let mut session = Session {
        peer,
        view: Fake {
            head,
            have,
            wants: Wants::default(),
        },
        now: Instant::now(),
        jobs: VecDeque::new(),
        asked: Vec::new(),
        published: None,
    };
    let mut fed = 0;
    for step in steps.iter().take(200) {
        let ended = session.step(step, &mut fed).is_err();
        session.drain(usize::MAX);
        if ended {
            break;
        }
        let kept = live().wrapping_sub(before);
        assert!(
            kept as isize <= (KEPT + fed) as isize,
            "{kept} bytes kept, {fed} for what was fed"
        );
    }
    session.peer.close(&mut session.view);
    assert_eq!(
        session.view.wants.inflight(),
        0,
        "all that was picked is free again"
    );
});

impl Session {
    fn step(&mut self, step: &Step, fed: &mut usize) -> Result<(), PeerError> {
        match step {
            Step::Message(message, damage) => {
                let (kind, mut bytes) = self.encode(message);
                damage.iter().for_each(|damage| damage.apply(&mut bytes));
                *fed += KEPT_OF_EACH + bytes.len();
                self.peer
                    .handle_message(kind, &bytes.into(), self.now, &mut self.view)?;
            }
            Step::Repeat(message, times) => {
                let (kind, bytes) = self.encode(message);
                let bytes = Bytes::from(bytes);
                for _ in 0..*times {
                    *fed += KEPT_OF_EACH + bytes.len();
                    self.peer.handle_message(kind, &bytes, self.now, &mut self.view)?;
                }
            }
            Step::Done(which, how) => {
                if !self.jobs.is_empty() {
                    let job = self.jobs.remove(usize::from(*which) % self.jobs.len());
                    let done = job.map(|job| self.done(job, *how));
                    if let Some(done) = done {
                        self.peer.handle_done(done, self.now, &mut self.view)?;
                    }
                }
            }
            Step::Poll { millis, budget } => {
                self.now += Duration::from_millis((*millis).into());
                let budget = usize::from(*budget) * 4;
                self.peer.poll(self.now, budget, &mut self.view);
                self.drain(budget);
            }
            Step::Seconds(seconds) => self.now += Duration::from_secs((*seconds).into()),
            Step::Grow(by) => {
                let start = self.view.head.length;
                self.view.head.length += u64::from(*by);
                self.view
                    .have
                    .set_range(start, self.view.head.length, by % 2 == 0);
                self.peer.handle_change(Change::Grown(self.view.head.length));
            }
            Step::Truncate(length) => {
                let length = u64::from(*length).min(self.view.head.length);
                self.view.have.set_range(length, self.view.head.length, false);
                self.view.head.length = length;
                self.view.head.fork += 1;
                self.peer.handle_change(Change::Truncated(length));
            }
            Step::Stored(index) => {
                let index = u64::from(*index);
                if index < self.view.head.length {
                    self.view.have.set(index, true);
                    self.peer.handle_change(Change::Stored(index));
                }
            }
            Step::Missed => self.peer.handle_change(Change::Missed),
            Step::WantBlock(index) => self.view.wants.add_block((*index).into()),
            Step::WantRange(start, length) => {
                let start = u64::from(*start);
                self.view
                    .wants
                    .add_range(start, length.map(|length| start + u64::from(length)));
            }
            Step::Seek(bytes) => drop(self.view.wants.add_seek(RequestSeek {
                bytes: (*bytes).into(),
                padding: u64::from(*bytes % 3),
            })),
        }
        Ok(())
    }

    /// Takes all actions; what is told of the core must keep to the budget, and what is asked must make sense.
    fn drain(&mut self, budget: usize) {
        let mut told = 0;
        let mut actions = 0;
        while let Some(action) = self.peer.poll_action() {
            actions += 1;
            assert!(actions <= 4096, "too many actions at once");
            match action {
                Action::Publish(info) => self.published = Some(info),
                Action::Store(job) => {
                    self.jobs.push_back(job);
                    assert!(self.jobs.len() <= 4096, "too many jobs");
                }
                Action::Send(kind, bytes) => {
                    if kind == kind::BITFIELD {
                        told += bytes.len();
                    }
                    self.sent(kind, &Bytes::from(bytes));
                }
            }
        }
        // One answer may start with the last byte of the budget.
        assert!(
            told <= budget.saturating_add(40 * 1024),
            "{told} bytes told for {budget}"
        );
    }

    fn sent(&mut self, kind: u64, bytes: &Bytes) {
        match kind {
            kind::REQUEST => {
                let (id, request) = messages::decode_request(bytes).expect("a request of ours");
                let block = request.block.map(|block| block.index);
                if let Some(upgrade) = request.upgrade {
                    assert!(upgrade.length > 0);
                }
                self.asked.push((id, block));
                let ids: HashSet<u64> = self.asked.iter().map(|(id, _)| *id).collect();
                assert_eq!(ids.len(), self.asked.len(), "a number is used once");
                assert!(
                    self.asked.len() <= MOST_ASKED,
                    "{} requests under way",
                    self.asked.len()
                );
            }
            kind::CANCEL => {
                let id = messages::decode_id(bytes).expect("a number");
                self.asked.retain(|(asked, _)| *asked != id);
            }
            kind::SYNC => assert!(Sync::decode(bytes).is_ok()),
            kind::DATA => assert!(messages::decode_data(bytes).is_ok()),
            kind::NO_DATA => assert!(messages::decode_id(bytes).is_ok()),
            kind::WANT => assert!(Want::decode(bytes).is_ok()),
            kind::BITFIELD => assert!(messages::decode_bitfield(bytes).is_ok()),
            kind::RANGE => {
                let range = Range::decode(bytes).expect("a range of ours");
                assert!(range.length > 0);
            }
            other => panic!("a message of type {other}"),
        }
    }

    fn done(&mut self, job: Job, how: u8) -> Done {
        match job {
            Job::Verify { id, data } => {
                let verdict = match how % 8 {
                    0 => Verdict::Invalid("it does not hold"),
                    1 => Verdict::Stale,
                    2 => Verdict::Taken {
                        block: false,
                        upgraded: true,
                    },
                    3 => Verdict::Taken {
                        block: false,
                        upgraded: false,
                    },
                    _ => {
                        let block = data
                            .block
                            .as_ref()
                            .filter(|block| block.index < self.view.head.length);
                        if let Some(block) = block {
                            self.view.have.set(block.index, true);
                        }
                        Verdict::Taken {
                            block: block.is_some(),
                            upgraded: data.upgrade.is_some(),
                        }
                    }
                };
                Done::Verified { id, verdict }
            }
            Job::Prove { id, request } => match how % 4 {
                0 => Done::Later { id, request },
                1 => Done::Proved { id, answer: Ok(None) },
                2 => Done::Proved {
                    id,
                    answer: Err(InvalidRequest),
                },
                _ => Done::Proved {
                    id,
                    answer: Ok(Some(Box::default())),
                },
            },
            Job::Locate { blocks } => {
                let located = blocks.into_iter().map(|index| (index, (how % 50).into()));
                Done::Located(located.collect())
            }
            Job::Seek { seek } => {
                let (start, length) = (u64::from(how & 0xf0), 1u64 << (how % 5));
                let result = match how % 3 {
                    0 => SeekResult::Beyond,
                    1 => SeekResult::Found { block: 0, offset: 0 },
                    _ => SeekResult::Within {
                        start,
                        end: start + length,
                    },
                };
                Done::Sought { seek, result }
            }
            Job::Reaches { from } => Done::Reaches {
                from,
                of: (self.view.head.fork, self.view.head.length + u64::from(how & 1)),
                reaches: how & 2 == 0,
            },
        }
    }

    fn encode(&mut self, message: &Message) -> (u64, Vec<u8>) {
        match message {
            Message::Sync {
                fork,
                length,
                remote_length,
                flags,
            } => {
                let bit = |at: u8| flags >> at & 1 == 1;
                let sync = Sync {
                    fork: (fork % 4).into(),
                    length: length.get(),
                    remote_length: remote_length.get(),
                    can_upgrade: bit(0),
                    uploading: bit(1),
                    downloading: bit(2),
                    has_manifest: bit(3),
                    allow_push: bit(4),
                };
                (kind::SYNC, sync.encode())
            }
            Message::Request {
                id,
                block,
                hash,
                seek,
                upgrade,
            } => {
                let request = Request {
                    block: block.map(|(index, nodes)| RequestBlock {
                        index: index.get(),
                        nodes: nodes.into(),
                    }),
                    hash: hash.map(|(index, nodes)| RequestBlock {
                        index: index.get(),
                        nodes: nodes.get(),
                    }),
                    seek: seek.map(|bytes| RequestSeek {
                        bytes: bytes.get(),
                        padding: 0,
                    }),
                    upgrade: upgrade.map(|(start, length)| RequestUpgrade {
                        start: start.get(),
                        length: length.get(),
                    }),
                    ..Request::default()
                };
                (kind::REQUEST, messages::encode_request((*id).into(), &request))
            }
            Message::Cancel(id) => (kind::CANCEL, messages::encode_id((*id).into())),
            Message::Data {
                which,
                other,
                upgrade,
                manifest,
                value,
            } => {
                let count = self.asked.len();
                let (id, block) = match count {
                    0 => (u64::from(*which), None),
                    _ => self.asked.remove(usize::from(*which) % count),
                };
                let data = Data {
                    fork: 0,
                    block: block.map(|index| DataBlock {
                        index: index + u64::from(*other),
                        value: value.clone().into(),
                        nodes: vec![Node {
                            index: 1,
                            size: 2,
                            hash: [3; 32],
                        }],
                    }),
                    upgrade: upgrade.then(|| DataUpgrade {
                        start: self.view.head.length,
                        length: 1,
                        nodes: Vec::new(),
                        additional_nodes: Vec::new(),
                        signature: vec![0; 64],
                    }),
                    manifest: manifest.then(|| Manifest::single(PublicKey([1; 32]))),
                    ..Data::default()
                };
                (kind::DATA, messages::encode_data(id, &data))
            }
            Message::NoData(which) => {
                let count = self.asked.len();
                let id = match count {
                    0 => u64::from(*which),
                    _ => self.asked.remove(usize::from(*which) % count).0,
                };
                (kind::NO_DATA, messages::encode_no_data(id, 1))
            }
            Message::Want(start, length) | Message::Unwant(start, length) => {
                let want = Want {
                    start: start.get(),
                    length: length.get(),
                    any: false,
                };
                let kind = if matches!(message, Message::Want(..)) {
                    kind::WANT
                } else {
                    kind::UNWANT
                };
                (kind, want.encode())
            }
            Message::Bitfield(start, words) => (
                kind::BITFIELD,
                messages::encode_bitfield(start.get() / 32 * 32, words),
            ),
            Message::Range(drop, start, length) => {
                let range = Range {
                    drop: *drop,
                    start: start.get(),
                    length: length.get(),
                };
                (kind::RANGE, range.encode())
            }
            Message::Other(kind, bytes) => ((*kind).into(), bytes.clone()),
        }
    }
}
