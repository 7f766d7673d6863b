//! Protomux: many protocol channels over one message stream, as a state machine without IO.
//!
//! Both sides number their channels from 1. Frame: `channel ‖ type ‖ payload`; channel 0 is control, with the types batch (0),
//! open (1), reject (2) and close (3). Format: npm `protomux` 3.12.1 index.js.
//!
//! Feed what arrives to [`Mux::receive`], take what happened from [`Mux::poll_event`], and send what
//! [`Mux::poll_outgoing`] yields. Messages queued between two calls of it leave as one batch.
//!
//! A large frame is decoded piece by piece as events are taken: a driver may stop between any two events, do other
//! work, and go on later ([`Mux::has_backlog`]). What is wrong in a later piece is told by [`Mux::check`] and by the
//! next [`Mux::receive`].

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod inbox;
mod pending;
mod wire;

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use inbox::Inbox;
use pending::{Pending, Requests};
pub use wire::MuxError;
use wire::{Frame, Reader};

/// A batch is closed once it holds this many bytes, so that large messages leave early and frames stay far below the
/// 16 MiB that the stream can carry.
const BATCH_BYTES: usize = 256 * 1024;
/// Events decoded ahead of whoever takes them. A frame of 16 MiB can hold eight million messages (npm limits its batches
/// by bytes alone, 8 MiB), so they cannot be refused by their number, but need not all lie in memory at once either.
const EVENTS_AHEAD: usize = 4096;
/// Channel requests in one frame: there cannot be more channels than that, and each may cost an answer.
const MAX_OPENS_PER_FRAME: usize = MAX_CHANNELS;
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
    Pending(Pending),
    /// Paired with a channel of ours.
    Paired(ChannelId),
}

/// An event, or the request for a channel that may be withdrawn before anybody hears of it.
enum Queued {
    Event(Event),
    Request { remote: usize, serial: u64 },
}

/// The state of one connection's channels.
#[derive(Default)]
pub struct Mux {
    local: Vec<Option<Local>>,
    /// Numbers of channels that are no more, oldest first, each with how many events must have been taken before it may be used
    /// anew: what still waits is of the old channel.
    free: VecDeque<(usize, u64)>,
    /// Events taken so far.
    taken: u64,
    /// How many of ours are open or opening, by topic.
    open: HashMap<Topic, usize>,
    remote: Vec<Option<(Topic, Remote)>>,
    /// Ours that wait for the peer, oldest first.
    outgoing_opens: HashMap<Topic, VecDeque<ChannelId>>,
    /// The peer's that wait for us.
    requests: Requests,
    events: VecDeque<Queued>,
    inbox: Inbox,
    failed: Option<MuxError>,
    outgoing: VecDeque<Frame>,
    /// Whether the refusal of a channel 0 is on its way already.
    zero_refused: bool,
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
        let free = self.free.front().filter(|(_, after)| *after <= self.taken);
        let index = match free.map(|(index, _)| *index) {
            Some(index) => {
                self.free.pop_front();
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
        *self.open.entry(topic.clone()).or_default() += 1;
        self.outgoing
            .push_back(Frame::open(index + 1, protocol, id, handshake));
        match self.requests.oldest(&topic) {
            Some(remote) => self.pair(channel, remote),
            None => self.outgoing_opens.entry(topic).or_default().push_back(channel),
        }
        channel
    }

    /// Whether a channel of this protocol and id is open or opening here.
    pub fn is_open(&self, protocol: &str, id: &[u8]) -> bool {
        self.open
            .contains_key(&(protocol.to_owned(), Bytes::copy_from_slice(id)))
    }

    /// Refuses what the peer asked for.
    pub fn reject(&mut self, protocol: &str, id: &[u8]) {
        let topic = (protocol.to_owned(), Bytes::copy_from_slice(id));
        while let Some(index) = self.requests.oldest(&topic) {
            if let Some(Some((_, Remote::Pending(pending)))) = self.remote.get_mut(index).map(Option::take) {
                self.requests.remove(&topic, &pending);
            }
            self.outgoing.push_back(Frame::reject(index + 1));
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
            None => {
                local.closed = true;
                let topic = local.topic.clone();
                self.count_closed(&topic);
            }
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
        self.send_owned(channel, kind, payload.to_vec());
    }

    /// As [`Mux::send`], without a copy: for large messages.
    pub fn send_owned(&mut self, channel: ChannelId, kind: u64, payload: Vec<u8>) {
        let local = self.local.get(channel.0).and_then(Option::as_ref);
        if local.is_some_and(|local| !local.closed) {
            self.outgoing
                .push_back(Frame::message(channel.0 + 1, kind, payload));
        }
    }

    /// The next frame to send. Everything queued goes into one batch, up to 256 KiB.
    pub fn poll_outgoing(&mut self) -> Option<Bytes> {
        self.zero_refused = false;
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

    /// The next thing that happened. `None` once everything received was looked at, or after an error.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            let next = self.events.pop_front();
            self.taken += u64::from(next.is_some());
            match next {
                Some(Queued::Event(event)) => return Some(event),
                Some(Queued::Request { remote, serial }) => {
                    if let Some(Some((topic, Remote::Pending(pending)))) = self.remote.get(remote)
                        && pending.serial == serial
                    {
                        let (protocol, id) = topic.clone();
                        return Some(Event::Requested { protocol, id });
                    }
                }
                None if self.inbox.is_empty() => return None,
                None => self.decode_some().err().map_or((), |error| self.fail(error)),
            }
        }
    }

    /// Whether [`Mux::poll_event`] has more to look at. Feed it nothing more until this is false, or memory grows with
    /// what the peer sends.
    pub fn has_backlog(&self) -> bool {
        !self.events.is_empty() || !self.inbox.is_empty()
    }

    /// Whether the peer kept to the protocol as far as was looked at.
    ///
    /// # Errors
    /// If not; close the connection then.
    pub fn check(&self) -> Result<(), MuxError> {
        self.failed.map_or(Ok(()), Err)
    }

    /// Takes in one frame.
    ///
    /// # Errors
    /// If the peer broke the protocol, in this frame or in what was left of earlier ones; close the connection then.
    pub fn receive(&mut self, frame: &Bytes) -> Result<(), MuxError> {
        self.check()?;
        if frame.is_empty() {
            return Ok(()); // Keep-alive.
        }
        let result = self.inbox.push(frame).and_then(|()| self.decode_some());
        if let Err(error) = result {
            self.fail(error);
        }
        result
    }

    fn fail(&mut self, error: MuxError) {
        self.failed = Some(error);
        self.inbox.clear();
    }

    /// Decodes until enough events wait, or nothing is left.
    fn decode_some(&mut self) -> Result<(), MuxError> {
        while self.events.len() < EVENTS_AHEAD {
            let Some((frame, channel, body)) = self.inbox.next_message()? else {
                break;
            };
            self.receive_on(channel, Reader::part(&frame, body))?;
        }
        Ok(())
    }

    fn receive_on(&mut self, channel: usize, mut reader: Reader<'_>) -> Result<(), MuxError> {
        let kind = reader.uint()?;
        let Some(index) = channel.checked_sub(1) else {
            return match kind {
                // The inbox takes batches apart; this is one inside another.
                0 => Err(MuxError::NestedBatch),
                1 => {
                    self.inbox.count_open(MAX_OPENS_PER_FRAME)?;
                    self.on_open(reader)
                }
                2 => self.on_reject(reader.number()?),
                3 => {
                    self.on_close(reader.number()?);
                    Ok(())
                }
                _ => Ok(()), // A control message of a later version.
            };
        };
        match self.remote.get_mut(index).and_then(Option::as_mut) {
            None => {} // Closed meanwhile.
            Some((_, Remote::Paired(channel))) => {
                let (channel, payload) = (*channel, reader.rest());
                self.events.push_back(Queued::Event(Event::Message {
                    channel,
                    kind,
                    payload,
                }));
            }
            Some((_, Remote::Pending(pending))) => {
                self.requests.keep(pending, kind, reader.copy())?;
            }
        }
        Ok(())
    }

    fn on_open(&mut self, mut reader: Reader<'_>) -> Result<(), MuxError> {
        let number = reader.number()?;
        let protocol = reader.string()?;
        let id = reader.copied_buffer()?;
        let handshake = reader.copy();
        let Some(index) = number.checked_sub(1) else {
            if !std::mem::replace(&mut self.zero_refused, true) {
                self.outgoing.push_back(Frame::reject(0));
            }
            return Ok(());
        };
        if index == self.remote.len() && index < MAX_CHANNELS {
            self.remote.push(None);
        }
        if self.remote.get(index).is_none_or(Option::is_some) {
            return Err(MuxError::BadChannel);
        }
        let topic = (protocol, id);
        let waiting = self.outgoing_opens.get_mut(&topic).and_then(VecDeque::pop_front);
        if self.outgoing_opens.get(&topic).is_some_and(VecDeque::is_empty) {
            self.outgoing_opens.remove(&topic);
        }
        let remote = match waiting {
            None => {
                let pending = self.requests.add(&topic, index, handshake)?;
                self.events.push_back(Queued::Request {
                    remote: index,
                    serial: pending.serial,
                });
                Remote::Pending(pending)
            }
            Some(channel) => {
                let local = self.local.get_mut(channel.0).and_then(Option::as_mut);
                match local.filter(|local| !local.closed) {
                    // We closed before this answer came; the peer learns of it from our close.
                    None => {
                        self.release(channel.0);
                        return Ok(());
                    }
                    Some(local) => local.remote = Some(index),
                }
                self.events
                    .push_back(Queued::Event(Event::Opened { channel, handshake }));
                Remote::Paired(channel)
            }
        };
        if let Some(slot) = self.remote.get_mut(index) {
            *slot = Some((topic, remote));
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
        if !closed {
            self.events.push_back(Queued::Event(Event::Closed {
                channel: ChannelId(index),
            }));
        }
        self.release(index);
        Ok(())
    }

    fn on_close(&mut self, number: usize) {
        let Some(index) = number.checked_sub(1) else {
            return;
        };
        match self.remote.get_mut(index).and_then(Option::take) {
            None => {}
            Some((_, Remote::Paired(channel))) => {
                self.events.push_back(Queued::Event(Event::Closed { channel }));
                self.release(channel.0);
            }
            // The event that told of it is void now.
            Some((topic, Remote::Pending(pending))) => self.requests.remove(&topic, &pending),
        }
    }

    /// Answers the peer's request for a channel with one of ours.
    fn pair(&mut self, channel: ChannelId, remote: usize) {
        if let Some(local) = self.local.get_mut(channel.0).and_then(Option::as_mut) {
            local.remote = Some(remote);
        }
        let Some((topic, state)) = self.remote.get_mut(remote).and_then(Option::as_mut) else {
            return;
        };
        if let Remote::Pending(pending) = std::mem::replace(state, Remote::Paired(channel)) {
            self.requests.remove(topic, &pending);
            self.events.push_back(Queued::Event(Event::Opened {
                channel,
                handshake: pending.handshake,
            }));
            for (kind, payload) in pending.messages {
                self.events.push_back(Queued::Event(Event::Message {
                    channel,
                    kind,
                    payload,
                }));
            }
        }
    }

    /// A channel is no more. Its last event is queued already.
    fn release(&mut self, index: usize) {
        if let Some(local) = self.local.get_mut(index).and_then(Option::take) {
            let after = self.taken + self.events.len() as u64;
            self.free.push_back((index, after));
            if !local.closed {
                self.count_closed(&local.topic);
            }
        }
    }

    fn count_closed(&mut self, topic: &Topic) {
        if let Some(count) = self.open.get_mut(topic) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(topic);
            }
        }
    }
}

#[cfg(test)]
mod tests;
