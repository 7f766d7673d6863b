//! What goes into and comes out of the RPC state machine.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::RequestId;
use super::message::internal;
use crate::id::{NodeId, Target, Token};

/// Names one of the node's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(pub u32);

impl SocketId {
    /// The socket requests go out from while the node may be firewalled.
    pub const CLIENT: Self = Self(0);
    /// The socket with the stable port.
    pub const SERVER: Self = Self(1);
}

/// Names a query until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueryId(pub(super) u64);

/// How a node starts.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// Nodes to start from.
    pub bootstrap: Vec<SocketAddrV4>,
    /// Local port of the server socket.
    pub server_port: u16,
    /// The address at which everybody reaches the server socket, if that is certain (loopback, a bootstrapper).
    pub known_address: Option<SocketAddrV4>,
    /// Be part of everybody's routing table from the start.
    pub persistent: bool,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// From which socket.
    pub socket: SocketId,
    /// Where to.
    pub to: SocketAddrV4,
    /// Hops it may take; 0 = the system's default.
    pub ttl: u32,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Who answered.
    pub from: SocketAddrV4,
    /// Its id, if it is persistent and the id fits its address.
    pub from_id: Option<NodeId>,
    /// Our address as it sees it.
    pub to: SocketAddrV4,
    /// Token for a following request.
    pub token: Option<Token>,
    /// 0 = fine.
    pub error: u64,
    /// Body.
    pub value: Option<Vec<u8>>,
    /// Time from the last sending to the answer.
    pub rtt: Duration,
}

/// A request somebody made of us that this layer does not answer itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The socket it came in on.
    pub socket: SocketId,
    /// Who asks.
    pub from: SocketAddrV4,
    /// Its id, if persistent.
    pub from_id: Option<NodeId>,
    /// Our address as it sees it.
    pub to: SocketAddrV4,
    /// Transaction id.
    pub tid: u16,
    /// A token of ours, already checked.
    pub token: Option<Token>,
    /// Whether it is one of dht-rpc's own commands.
    pub internal: bool,
    /// The command.
    pub command: u64,
    /// What about.
    pub target: Option<Target>,
    /// Body.
    pub value: Option<Vec<u8>>,
}

/// How to answer an [`Incoming`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// 0 = fine.
    pub error: u64,
    /// Body.
    pub value: Option<Vec<u8>>,
    /// Give a token.
    pub token: bool,
    /// Name closer nodes.
    pub closer: bool,
    /// Send it to another address than the asker's.
    pub to: Option<SocketAddrV4>,
    /// Send it from another socket.
    pub socket: Option<SocketId>,
}

/// A request to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// To whom.
    pub to: SocketAddrV4,
    /// Token from its last reply.
    pub token: Option<Token>,
    /// Whether it is one of dht-rpc's own commands.
    pub internal: bool,
    /// The command.
    pub command: u64,
    /// What about.
    pub target: Option<Target>,
    /// Body.
    pub value: Option<Vec<u8>>,
    /// Send from this socket instead of the usual one.
    pub socket: Option<SocketId>,
    /// How often to send it again.
    pub retries: u32,
}

impl Outgoing {
    /// A request of the layer above, sent up to four times.
    pub fn new(to: SocketAddrV4, command: u64) -> Self {
        Self {
            to,
            token: None,
            internal: false,
            command,
            target: None,
            value: None,
            socket: None,
            retries: 3,
        }
    }

    /// A ping.
    pub fn ping(to: SocketAddrV4) -> Self {
        Self {
            internal: true,
            ..Self::new(to, internal::PING)
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request was answered, or not (`None`).
    Done(RequestId, Option<Response>),
    /// A query got an answer.
    QueryReply(QueryId, Response),
    /// A query is over; the closest that answered, nearest first.
    QueryDone(QueryId, Vec<Response>),
    /// Somebody asks something.
    Request(Incoming),
    /// The first round through the network is over.
    Bootstrapped,
}
