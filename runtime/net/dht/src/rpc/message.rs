//! Requests and replies as datagrams (npm dht-rpc lib/io.js).
//!
//! ```text
//! request  0x03 flags:1 tid:u16 to:address [id:32] [token:32] command:uint [target:32] [value:buffer]
//!          flags 1 = id, 2 = token, 4 = internal (dht-rpc's own commands), 8 = target, 16 = value
//! reply    0x13 flags:1 tid:u16 to:address [id:32] [token:32] [closer:addresses] [error:uint] [value:buffer]
//!          flags 1 = id, 2 = token, 4 = closer nodes, 8 = error, 16 = value
//! ```
//! `to` is the address the sender sees of the receiver: that is how nodes learn their own.

use std::net::SocketAddrV4;

use base::wire::{DecodeError, Reader, Writer};

use crate::id::{NodeId, Target, Token};
use crate::wire::{ReadAddress, WriteAddress};

/// First byte of a request: type 0, protocol version 3.
pub const REQUEST: u8 = 0x03;
/// First byte of a reply: type 1, protocol version 3.
pub const REPLY: u8 = 0x13;

/// Commands of dht-rpc itself (flag `internal`).
pub(crate) mod internal {
    /// Answer at once.
    pub(crate) const PING: u64 = 0;
    /// Answer to another port of the same host (value: u16).
    pub(crate) const PING_NAT: u64 = 1;
    /// Answer with the closest known nodes.
    pub(crate) const FIND_NODE: u64 = 2;
    /// A node you told me about is down (value: address).
    pub(crate) const DOWN_HINT: u64 = 3;
    /// Answer after some time (value: u32 milliseconds).
    pub(crate) const DELAYED_PING: u64 = 4;
}

/// Reply error: no such command here.
pub const UNKNOWN_COMMAND: u64 = 1;
/// Reply error: the token is of another address or too old.
pub(crate) const INVALID_TOKEN: u64 = 2;

/// A request on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Transaction id; the reply bears the same.
    pub tid: u16,
    /// The receiver as the sender sees it.
    pub to: SocketAddrV4,
    /// Id of a persistent sender.
    pub id: Option<NodeId>,
    /// Token from an earlier reply, proving that the sender owns its address.
    pub token: Option<Token>,
    /// Whether `command` is one of dht-rpc's own.
    pub internal: bool,
    /// Command number.
    pub command: u64,
    /// Key the command is about.
    pub target: Option<Target>,
    /// Body.
    pub value: Option<Vec<u8>>,
}

impl Request {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let flags = u8::from(self.id.is_some())
            | u8::from(self.token.is_some()) << 1
            | u8::from(self.internal) << 2
            | u8::from(self.target.is_some()) << 3
            | u8::from(self.value.is_some()) << 4;
        w.u8(REQUEST).u8(flags).u16(self.tid).address(self.to);
        put_proofs(&mut w, self.id, self.token);
        w.uint(self.command);
        if let Some(target) = &self.target {
            w.raw(&target.0);
        }
        if let Some(value) = &self.value {
            w.buffer(value);
        }
        w.finish()
    }
}

/// A reply on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Transaction id of the request.
    pub tid: u16,
    /// The requester as the replier sees it.
    pub to: SocketAddrV4,
    /// Id of a persistent replier.
    pub id: Option<NodeId>,
    /// Token to use in a later request that stores something.
    pub token: Option<Token>,
    /// Nodes closer to the target.
    pub closer_nodes: Vec<SocketAddrV4>,
    /// 0 = fine.
    pub error: u64,
    /// Body.
    pub value: Option<Vec<u8>>,
}

impl Reply {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let flags = u8::from(self.id.is_some())
            | u8::from(self.token.is_some()) << 1
            | u8::from(!self.closer_nodes.is_empty()) << 2
            | u8::from(self.error > 0) << 3
            | u8::from(self.value.is_some()) << 4;
        w.u8(REPLY).u8(flags).u16(self.tid).address(self.to);
        put_proofs(&mut w, self.id, self.token);
        if !self.closer_nodes.is_empty() {
            w.addresses(&self.closer_nodes);
        }
        if self.error > 0 {
            w.uint(self.error);
        }
        if let Some(value) = &self.value {
            w.buffer(value);
        }
        w.finish()
    }
}

/// Who the sender is, and that it owns its address.
fn put_proofs(w: &mut Writer, id: Option<NodeId>, token: Option<Token>) {
    if let Some(NodeId(id)) = id {
        w.raw(&id);
    }
    if let Some(Token(token)) = token {
        w.raw(&token);
    }
}

/// Either kind of datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Something is asked of us.
    Request(Request),
    /// An answer to something we asked.
    Reply(Reply),
}

impl Message {
    /// Parses a datagram. Anything that is not a whole, current-version message is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let kind = r.u8()?;
        let flags = r.uint()?;
        let tid = r.u16()?;
        let to = r.address()?;
        let has = |bit: u64| flags & bit != 0;
        let id = if has(1) { Some(NodeId(r.fixed()?)) } else { None };
        let token = if has(2) { Some(Token(r.fixed()?)) } else { None };
        match kind {
            REQUEST => Ok(Self::Request(Request {
                tid,
                to,
                id,
                token,
                internal: has(4),
                command: r.uint()?,
                target: if has(8) { Some(Target(r.fixed()?)) } else { None },
                value: if has(16) { Some(r.buffer()?.to_vec()) } else { None },
            })),
            REPLY => Ok(Self::Reply(Reply {
                tid,
                to,
                id,
                token,
                closer_nodes: if has(4) { r.addresses()? } else { Vec::new() },
                error: if has(8) { r.uint()? } else { 0 },
                value: if has(16) { Some(r.buffer()?.to_vec()) } else { None },
            })),
            _ => Err(DecodeError),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = SocketAddrV4> {
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddrV4::new(Ipv4Addr::from(ip), port))
    }

    /// What a JavaScript number holds.
    fn uint() -> impl Strategy<Value = u64> {
        0u64..=1 << 53
    }

    prop_compose! {
        fn request()(
            tid: u16, to in address(), id: Option<[u8; 32]>, token: Option<[u8; 32]>, internal: bool,
            command in uint(), target: Option<[u8; 32]>, value in proptest::option::of(any::<Vec<u8>>()),
        ) -> Request {
            let (id, token, target) = (id.map(NodeId), token.map(Token), target.map(Target));
            Request { tid, to, id, token, internal, command, target, value }
        }
    }

    prop_compose! {
        fn reply()(
            tid: u16, to in address(), id: Option<[u8; 32]>, token: Option<[u8; 32]>,
            closer_nodes in proptest::collection::vec(address(), 0..25), error in uint(),
            value in proptest::option::of(any::<Vec<u8>>()),
        ) -> Reply {
            Reply { tid, to, id: id.map(NodeId), token: token.map(Token), closer_nodes, error, value }
        }
    }

    proptest! {
        #[test]
        fn requests_round_trip(m in request()) {
            prop_assert_eq!(Message::decode(&m.encode()), Ok(Message::Request(m)));
        }

        #[test]
        fn replies_round_trip(m in reply()) {
            prop_assert_eq!(Message::decode(&m.encode()), Ok(Message::Reply(m)));
        }

        #[test]
        fn damaged_messages_that_decode_still_round_trip(request in request(), reply in reply(), at in any::<prop::sample::Index>(), byte: u8) {
            for mut bytes in [request.encode(), reply.encode()] {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                if let Ok(message) = Message::decode(&bytes) {
                    let again = match &message {
                        Message::Request(request) => request.encode(),
                        Message::Reply(reply) => reply.encode(),
                    };
                    prop_assert_eq!(Message::decode(&again), Ok(message));
                }
            }
        }

        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>, kind in 0u8..3) {
            if let (Some(first), 0..2) = (bytes.first_mut(), kind) { *first = [REQUEST, REPLY][usize::from(kind)]; }
            let _ = Message::decode(&bytes);
        }
    }
}
