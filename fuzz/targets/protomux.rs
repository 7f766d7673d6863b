//! Frames into [`Mux`], well-formed and damaged, between calls of this side: events come in an order that makes sense, memory stays
//! within what arrived, and what it sends another `Mux` takes in.

#![no_main]

use std::collections::HashSet;

use arbitrary::Arbitrary;
use bosc_fuzz::{Damage, live};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use protomux::{ChannelId, Event, Mux, MuxError};

#[derive(Debug, Arbitrary)]
enum Frame {
    Open {
        number: u8,
        topic: u8,
        handshake: Vec<u8>,
    },
    Reject(u8),
    Close(u8),
    Message {
        number: u8,
        kind: u8,
        payload: Vec<u8>,
    },
    Batch(Vec<(u8, Vec<u8>)>),
    Raw(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum Step {
    Receive(Frame, Option<Damage>),
    Open(u8),
    Reject(u8),
    Close(u8),
    Send(u8, Vec<u8>),
    /// Takes so many events.
    Events(u8),
    Flush,
}

fn topic(n: u8) -> (&'static str, [u8; 1]) {
    (["a", "b", "hypercore/alpha"][usize::from(n % 3)], [n % 5])
}

impl Frame {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Open {
                number,
                topic: n,
                handshake,
            } => {
                let (name, id) = topic(*n);
                let mut out = vec![0, 1, number % 8, name.len() as u8];
                out.extend_from_slice(name.as_bytes());
                out.extend([1, id[0]]);
                out.extend_from_slice(handshake);
                out
            }
            Self::Reject(number) => vec![0, 2, number % 8],
            Self::Close(number) => vec![0, 3, number % 8],
            Self::Message {
                number,
                kind,
                payload,
            } => [&[1 + number % 8, *kind % 250][..], payload].concat(),
            Self::Batch(messages) => {
                let mut out = vec![0, 0];
                for (at, (channel, message)) in messages.iter().enumerate() {
                    if at > 0 {
                        out.push(0);
                    }
                    let message = &message[..message.len().min(200)];
                    out.extend([channel % 8, message.len() as u8]);
                    out.extend_from_slice(message);
                }
                out
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

/// What is known of the channels of this side.
#[derive(Default)]
struct Known {
    ours: Vec<ChannelId>,
    opened: HashSet<ChannelId>,
}

impl Known {
    fn event(&mut self, event: Event) {
        match event {
            Event::Requested { .. } => {}
            Event::Opened { channel, .. } => {
                assert!(self.ours.contains(&channel));
                assert!(self.opened.insert(channel), "opened twice");
            }
            Event::Message { channel, .. } => {
                assert!(
                    self.opened.contains(&channel),
                    "a message before the channel was open"
                );
            }
            Event::Closed { channel } => {
                assert!(self.ours.contains(&channel));
                self.ours.retain(|ours| *ours != channel);
                self.opened.remove(&channel);
            }
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let before = live();
    let mut mux = Mux::new();
    let mut other = Mux::new();
    let mut known = Known::default();
    let mut fed = 0;
    for step in steps.iter().take(200) {
        match step {
            Step::Receive(frame, damage) => {
                let mut bytes = frame.encode();
                damage.iter().for_each(|damage| damage.apply(&mut bytes));
                // A channel costs its tables, a message its place.
                fed += 1024 + 200 * bytes.len();
                if mux.receive(&bytes.into()).is_err() {
                    break;
                }
            }
            Step::Open(n) => {
                let (protocol, id) = topic(*n);
                let channel = mux.open(protocol, &id, b"hello");
                assert!(
                    !known.ours.contains(&channel),
                    "used anew before its end was told"
                );
                known.ours.push(channel);
                fed += 2048;
                assert!(mux.is_open(protocol, &id));
            }
            Step::Reject(n) => {
                let (protocol, id) = topic(*n);
                mux.reject(protocol, &id);
            }
            Step::Close(n) => {
                let count = known.ours.len();
                if count > 0 {
                    // What of it lies in the queue is taken first: afterwards nobody listens.
                    drain(&mut mux, &mut known);
                    let count = known.ours.len();
                    if count == 0 {
                        continue;
                    }
                    let channel = known.ours.swap_remove(usize::from(*n) % count);
                    mux.close(channel);
                    known.opened.remove(&channel);
                }
            }
            Step::Send(n, payload) => {
                if let Some(channel) = known.ours.get(usize::from(*n) % known.ours.len().max(1)) {
                    mux.send(*channel, 1, payload);
                    fed += 256 + 4 * payload.len();
                }
            }
            Step::Events(count) => {
                for _ in 0..*count {
                    let Some(event) = mux.poll_event() else {
                        break;
                    };
                    known.event(event);
                }
            }
            Step::Flush => flush(&mut mux, &mut other),
        }
        if mux.check().is_err() {
            break;
        }
        let kept = live().wrapping_sub(before) as isize;
        assert!(kept <= (64 * 1024 + fed) as isize, "{kept} bytes kept for {fed}");
    }
    drain(&mut mux, &mut known);
    assert!(!mux.has_backlog());
    if mux.check().is_err() {
        assert!(
            mux.receive(&Bytes::from_static(&[1, 1])).is_err(),
            "an error is final"
        );
    }
    flush(&mut mux, &mut other);
});

fn drain(mux: &mut Mux, known: &mut Known) {
    while let Some(event) = mux.poll_event() {
        known.event(event);
    }
}

/// The frames that go out are well-formed.
fn flush(mux: &mut Mux, other: &mut Mux) {
    while let Some(frame) = mux.poll_outgoing() {
        let taken = other.receive(&frame);
        // It knows nothing of its own channels, so it may not like the numbers that are named.
        assert!(
            matches!(
                taken,
                Ok(()) | Err(MuxError::BadChannel | MuxError::TooMuchPending)
            ),
            "{taken:?}"
        );
        while other.poll_event().is_some() {}
        if taken.is_err() {
            *other = Mux::new();
        }
    }
}
