//! Protomux: many protocol channels over one message stream, as a state machine without IO.
//!
//! Both sides number their channels from 1. Frame: `channel ‖ type ‖ payload`; channel 0 is control, with the types batch (0),
//! open (1), reject (2) and close (3). Format: npm `protomux` 3.12.1 index.js.
//!
//! Feed what arrives to [`Mux::receive`], take what happened from [`Mux::poll_event`], and send what
//! [`Mux::poll_outgoing`] yields. Messages queued between two calls of it leave as one batch.

mod wire;

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

pub use wire::MuxError;
use wire::{Frame, Reader};

/// A batch is closed once it holds this many bytes, so that large messages leave early and frames stay far below the
/// 16 MiB that the stream can carry.
const BATCH_BYTES: usize = 256 * 1024;
/// Channels that the peer opened and that nobody here answered yet.
const MAX_PENDING: usize = 1024;
/// Bytes buffered for such channels, all together.
const MAX_PENDING_BYTES: usize = 1024 * 1024;
/// Channels of one peer.
const MAX_CHANNELS: usize = 65_536;

/// A channel of this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(usize);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a channel that is not open here: answer with [`Mux::open`] or [`Mux::reject`].
    Requested {
        /// Protocol name.
        protocol: String,
        /// Id within the protocol, empty if none.
        id: Bytes,
    },
    /// Both sides opened the channel.
    Opened {
        /// The channel.
        channel: ChannelId,
        /// The peer's encoded handshake.
        handshake: Bytes,
    },
    /// A message arrived.
    Message {
        /// The channel.
        channel: ChannelId,
        /// Message type within the protocol.
        kind: u64,
        /// Encoded message.
        payload: Bytes,
    },
    /// The peer closed or rejected the channel.
    Closed {
        /// The channel.
        channel: ChannelId,
    },
}

type Topic = (String, Bytes);

struct Local {
    topic: Topic,
    /// The peer's number for it, once it opened it as well.
    remote: Option<usize>,
    /// Closed here before the peer answered; kept until it does, so that the number is not used anew too early.
    closed: bool,
}

enum Remote {
    /// Opened by the peer, not by us yet.
    Pending {
        handshake: Bytes,
        messages: Vec<(u64, Bytes)>,
    },
    /// Paired with a channel of ours.
    Paired(ChannelId),
}

/// The state of one connection's channels.
#[derive(Default)]
pub struct Mux {
    local: Vec<Option<Local>>,
    free: Vec<usize>,
    remote: Vec<Option<(Topic, Remote)>>,
    /// Ours that wait for the peer, oldest first.
    outgoing_opens: HashMap<Topic, VecDeque<ChannelId>>,
    pending: usize,
    pending_bytes: usize,
    events: VecDeque<Event>,
    outgoing: VecDeque<Frame>,
}

impl Mux {
    /// A fresh connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a channel, answering the peer's request for it if there is one.
    pub fn open(&mut self, protocol: &str, id: &[u8], handshake: &[u8]) -> ChannelId {
        let topic = (protocol.to_owned(), Bytes::copy_from_slice(id));
        let local = Local {
            topic: topic.clone(),
            remote: None,
            closed: false,
        };
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(slot) = self.local.get_mut(index) {
                    *slot = Some(local);
                }
                index
            }
            None => {
                self.local.push(Some(local));
                self.local.len() - 1
            }
        };
        let channel = ChannelId(index);
        self.outgoing
            .push_back(Frame::open(index + 1, protocol, id, handshake));
        let waiting = self
            .remote
            .iter()
            .position(|slot| matches!(slot, Some((other, Remote::Pending { .. })) if *other == topic));
        match waiting {
            Some(remote) => self.pair(channel, remote),
            None => self.outgoing_opens.entry(topic).or_default().push_back(channel),
        }
        channel
    }

    /// Whether a channel of this protocol and id is open or opening here.
    pub fn is_open(&self, protocol: &str, id: &[u8]) -> bool {
        self.local
            .iter()
            .flatten()
            .any(|local| !local.closed && local.topic.0 == protocol && local.topic.1 == id)
    }

    /// Refuses what the peer asked for.
    pub fn reject(&mut self, protocol: &str, id: &[u8]) {
        for (index, slot) in self.remote.iter_mut().enumerate() {
            let asked = slot.as_ref().is_some_and(|((p, i), _)| p == protocol && i == id);
            if let Some((_, Remote::Pending { messages, .. })) =
                slot.take_if(|slot| asked && matches!(slot.1, Remote::Pending { .. }))
            {
                self.pending -= 1;
                self.pending_bytes -= messages.iter().map(|(_, payload)| payload.len()).sum::<usize>();
                self.outgoing.push_back(Frame::reject(index + 1));
            }
        }
    }

    /// Closes a channel.
    pub fn close(&mut self, channel: ChannelId) {
        let Some(local) = self
            .local
            .get_mut(channel.0)
            .and_then(Option::as_mut)
            .filter(|local| !local.closed)
        else {
            return;
        };
        self.outgoing.push_back(Frame::close(channel.0 + 1));
        match local.remote {
            None => local.closed = true,
            Some(remote) => {
                if let Some(slot) = self.remote.get_mut(remote) {
                    *slot = None;
                }
                self.release(channel.0);
            }
        }
    }

    /// Queues a message. Messages to closed channels vanish, as they would if the close crossed them on the wire.
    pub fn send(&mut self, channel: ChannelId, kind: u64, payload: &[u8]) {
        if self
            .local
            .get(channel.0)
            .and_then(Option::as_ref)
            .is_some_and(|local| !local.closed)
        {
            self.outgoing
                .push_back(Frame::message(channel.0 + 1, kind, payload));
        }
    }

    /// The next frame to send. Everything queued goes into one batch, up to 256 KiB.
    pub fn poll_outgoing(&mut self) -> Option<Bytes> {
        let first = self.outgoing.pop_front()?;
        let mut size = first.len();
        let mut batch = vec![first];
        while size < BATCH_BYTES {
            let Some(frame) = self.outgoing.pop_front() else {
                break;
            };
            size += frame.len();
            batch.push(frame);
        }
        Some(wire::encode_batch(&batch))
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes in one frame.
    ///
    /// # Errors
    /// If the peer breaks the protocol; close the connection then.
    pub fn receive(&mut self, frame: &Bytes) -> Result<(), MuxError> {
        if frame.is_empty() {
            return Ok(()); // Keep-alive.
        }
        let mut reader = Reader::new(frame);
        let channel = reader.uint()?;
        self.receive_on(channel, reader, true)
    }

    fn receive_on(
        &mut self,
        channel: usize,
        mut reader: Reader<'_>,
        batch_allowed: bool,
    ) -> Result<(), MuxError> {
        let kind = reader.uint()?;
        let Some(index) = channel.checked_sub(1) else {
            return match kind {
                0 if batch_allowed => self.on_batch(reader),
                0 => Err(MuxError::NestedBatch),
                1 => self.on_open(reader),
                2 => self.on_reject(reader.uint()?),
                3 => {
                    self.on_close(reader.uint()?);
                    Ok(())
                }
                _ => Ok(()), // A control message of a later version.
            };
        };
        match self.remote.get_mut(index).and_then(Option::as_mut) {
            None => {} // Closed meanwhile.
            Some((_, Remote::Paired(channel))) => {
                let (channel, payload) = (*channel, reader.rest());
                self.events.push_back(Event::Message {
                    channel,
                    kind: kind as u64,
                    payload,
                });
            }
            Some((_, Remote::Pending { messages, .. })) => {
                let payload = reader.rest();
                self.pending_bytes += payload.len();
                messages.push((kind as u64, payload));
                if self.pending_bytes > MAX_PENDING_BYTES || messages.len() > MAX_PENDING {
                    return Err(MuxError::TooMuchPending);
                }
            }
        }
        Ok(())
    }

    fn on_batch(&mut self, mut reader: Reader<'_>) -> Result<(), MuxError> {
        let mut channel = reader.uint()?;
        while !reader.is_empty() {
            let length = reader.uint()?;
            if length == 0 {
                channel = reader.uint()?;
                continue;
            }
            let message = reader.take(length)?;
            self.receive_on(channel, message, false)?;
        }
        Ok(())
    }

    fn on_open(&mut self, mut reader: Reader<'_>) -> Result<(), MuxError> {
        let number = reader.uint()?;
        let protocol = reader.string()?;
        let id = reader.buffer()?;
        let handshake = reader.rest();
        let Some(index) = number.checked_sub(1) else {
            self.outgoing.push_back(Frame::reject(0));
            return Ok(());
        };
        if index == self.remote.len() && index < MAX_CHANNELS {
            self.remote.push(None);
        }
        let topic = (protocol, id);
        let slot = self
            .remote
            .get_mut(index)
            .filter(|slot| slot.is_none())
            .ok_or(MuxError::BadChannel)?;
        let waiting = self.outgoing_opens.get_mut(&topic).and_then(VecDeque::pop_front);
        if waiting.is_none() && self.pending >= MAX_PENDING {
            return Err(MuxError::TooMuchPending);
        }
        *slot = Some((
            topic.clone(),
            Remote::Pending {
                handshake,
                messages: Vec::new(),
            },
        ));
        self.pending += 1;
        if self.outgoing_opens.get(&topic).is_some_and(VecDeque::is_empty) {
            self.outgoing_opens.remove(&topic);
        }
        match waiting {
            None => {
                let (protocol, id) = topic;
                self.events.push_back(Event::Requested { protocol, id });
            }
            Some(channel)
                if self
                    .local
                    .get(channel.0)
                    .and_then(Option::as_ref)
                    .is_some_and(|l| l.closed) =>
            {
                // We closed before this answer came; the peer learns of it from our close.
                self.pending -= 1;
                if let Some(slot) = self.remote.get_mut(index) {
                    *slot = None;
                }
                self.release(channel.0);
            }
            Some(channel) => self.pair(channel, index),
        }
        Ok(())
    }

    fn on_reject(&mut self, number: usize) -> Result<(), MuxError> {
        let index = number.checked_sub(1).ok_or(MuxError::BadChannel)?;
        let local = self
            .local
            .get(index)
            .and_then(Option::as_ref)
            .filter(|local| local.remote.is_none());
        let local = local.ok_or(MuxError::BadChannel)?;
        let (topic, closed) = (local.topic.clone(), local.closed);
        if let Some(waiting) = self.outgoing_opens.get_mut(&topic) {
            waiting.retain(|channel| channel.0 != index);
            if waiting.is_empty() {
                self.outgoing_opens.remove(&topic);
            }
        }
        self.release(index);
        if !closed {
            self.events.push_back(Event::Closed {
                channel: ChannelId(index),
            });
        }
        Ok(())
    }

    fn on_close(&mut self, number: usize) {
        let Some(index) = number.checked_sub(1) else {
            return;
        };
        let Some(slot) = self.remote.get_mut(index) else {
            return;
        };
        match slot.take() {
            None => {}
            Some((_, Remote::Paired(channel))) => {
                self.release(channel.0);
                self.events.push_back(Event::Closed { channel });
            }
            Some((topic, Remote::Pending { messages, .. })) => {
                self.pending -= 1;
                self.pending_bytes -= messages.iter().map(|(_, payload)| payload.len()).sum::<usize>();
                let (protocol, id) = topic;
                self.events.retain(|event| !matches!(event, Event::Requested { protocol: p, id: i } if *p == protocol && *i == id));
            }
        }
    }

    fn pair(&mut self, channel: ChannelId, remote: usize) {
        if let Some(local) = self.local.get_mut(channel.0).and_then(Option::as_mut) {
            local.remote = Some(remote);
        }
        let Some((_, state)) = self.remote.get_mut(remote).and_then(Option::as_mut) else {
            return;
        };
        if let Remote::Pending { handshake, messages } = std::mem::replace(state, Remote::Paired(channel)) {
            self.pending -= 1;
            self.events.push_back(Event::Opened { channel, handshake });
            for (kind, payload) in messages {
                self.pending_bytes -= payload.len();
                self.events.push_back(Event::Message {
                    channel,
                    kind,
                    payload,
                });
            }
        }
    }

    fn release(&mut self, index: usize) {
        if let Some(slot) = self.local.get_mut(index) {
            *slot = None;
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests;
