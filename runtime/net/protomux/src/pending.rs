//! Channels that the peer opened and that nobody here answered yet.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::Topic;
use crate::wire::MuxError;

/// How many, and how many early messages each may hold.
const MAX_PENDING: usize = 1024;
/// Bytes held for them, all together: names, ids, handshakes, early messages.
const MAX_PENDING_BYTES: usize = 1024 * 1024;
/// What one costs besides, and one of its messages.
const CHANNEL_COST: usize = 256;
const MESSAGE_COST: usize = 64;

/// One of them.
pub(crate) struct Pending {
    /// Tells it from others that had the same number.
    pub(crate) serial: u64,
    pub(crate) handshake: Bytes,
    pub(crate) messages: Vec<(u64, Bytes)>,
    cost: usize,
}

/// All of them, by topic, with what they cost.
#[derive(Default)]
pub(crate) struct Requests {
    /// By topic: the peer's numbers, oldest first.
    by_topic: HashMap<Topic, BTreeMap<u64, usize>>,
    count: usize,
    bytes: usize,
    next_serial: u64,
}

impl Requests {
    /// Takes in a request for the channel that the peer numbered `remote`.
    pub(crate) fn add(
        &mut self,
        topic: &Topic,
        remote: usize,
        handshake: Bytes,
    ) -> Result<Pending, MuxError> {
        // The topic is held twice: as a key, and by the channel.
        let cost = CHANNEL_COST + 2 * topic.0.len() + topic.1.len() + handshake.len();
        if self.count >= MAX_PENDING || self.bytes + cost > MAX_PENDING_BYTES {
            return Err(MuxError::TooMuchPending);
        }
        self.count += 1;
        self.bytes += cost;
        self.next_serial += 1;
        let serial = self.next_serial;
        self.by_topic
            .entry(topic.clone())
            .or_default()
            .insert(serial, remote);
        Ok(Pending {
            serial,
            handshake,
            messages: Vec::new(),
            cost,
        })
    }

    /// Keeps an early message.
    pub(crate) fn keep(&mut self, pending: &mut Pending, kind: u64, payload: Bytes) -> Result<(), MuxError> {
        let cost = MESSAGE_COST + payload.len();
        if pending.messages.len() >= MAX_PENDING || self.bytes + cost > MAX_PENDING_BYTES {
            return Err(MuxError::TooMuchPending);
        }
        self.bytes += cost;
        pending.cost += cost;
        pending.messages.push((kind, payload));
        Ok(())
    }

    /// The peer's number of the oldest request for `topic`.
    pub(crate) fn oldest(&self, topic: &Topic) -> Option<usize> {
        self.by_topic.get(topic)?.values().next().copied()
    }

    /// Forgets a request that was answered or withdrawn.
    pub(crate) fn remove(&mut self, topic: &Topic, pending: &Pending) {
        if let Some(of_topic) = self.by_topic.get_mut(topic)
            && of_topic.remove(&pending.serial).is_some()
        {
            self.count -= 1;
            self.bytes -= pending.cost;
            if of_topic.is_empty() {
                self.by_topic.remove(topic);
            }
        }
    }
}
