//! A relay with clients in memory, and real sockets for what it passes on.

use secret_stream::ConnectionInfo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{PairError, Request, pair};

/// A client: its end of the connection, its socket, and a stream of it.
struct Peer {
    connection: Connection,
    socket: Socket,
    stream: udx::Stream,
}

async fn socket() -> Socket {
    Socket::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

async fn peer(server: &Server, through: &Socket) -> Peer {
    let (theirs, ours) = Connection::memory_pair();
    let socket = socket().await;
    let (server, through, address) = (server.clone(), through.clone(), socket.local_addr());
    let way = move || Some((through.clone(), address));
    tokio::spawn(async move { server.serve(ours, way).await });
    let stream = socket.create_stream(socket.free_stream_id());
    Peer {
        connection: theirs,
        socket,
        stream,
    }
}

fn ask(is_initiator: bool, token: u8, peer: &Peer) -> Request {
    Request {
        is_initiator,
        token: Token([token; 32]),
        stream_id: peer.stream.local_id(),
    }
}

async fn until(what: &str, check: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(5);
    while !check() {
        assert!(Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn two_clients_speak_through_the_relay_until_one_leaves() {
    let (server, through) = (Server::new(Limits::default()), socket().await);
    let (a, b) = (peer(&server, &through).await, peer(&server, &through).await);
    let (of_a, of_b) = (ask(true, 7, &a), ask(false, 7, &b));
    let (for_a, for_b) = tokio::join!(pair(a.connection, of_a), pair(b.connection, of_b));
    let (for_a, for_b) = (for_a.unwrap(), for_b.unwrap());
    let (mut one, mut two) = (a.stream, b.stream);
    one.connect(for_a.stream_id, through.local_addr()).unwrap();
    two.connect(for_b.stream_id, through.local_addr()).unwrap();
    one.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    two.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello");
    let status = server.status();
    assert_eq!(
        (status.clients, status.waiting, status.pairs, status.paired),
        (2, 0, 1, 1)
    );
    assert!(status.bytes > 5);
    drop(for_a);
    until("the pair ends with a client", || server.status().pairs == 0).await;
    assert_eq!(server.status().clients, 1);
    assert!(server.status().bytes >= status.bytes);
    drop((for_b, a.socket, b.socket));
}

#[tokio::test]
async fn who_asks_for_more_than_its_share_is_told_at_once() {
    let limits = Limits {
        clients: 2,
        pairs_per_client: 1,
        rate: None,
    };
    let (server, through) = (Server::new(limits), socket().await);
    let greedy = peer(&server, &through).await;
    let mut mux = Mux::new();
    let channel = mux.open(PROTOCOL, &greedy.connection.info().public_key.0, &[]);
    for token in 0..3 {
        let pair = Pair {
            is_initiator: true,
            token: Token([token; 32]),
            id: 1,
            seq: 0,
        };
        mux.send(channel, PAIR, &pair.encode());
    }
    while let Some(frame) = mux.poll_outgoing() {
        greedy.connection.send(frame).await.unwrap();
    }
    let end = greedy.connection.closed();
    tokio::time::timeout(Duration::from_secs(5), end).await.unwrap();
    until("its place is free", || server.status().clients == 0).await;
    assert_eq!(server.status().refused, 1);
    let (_a, _b) = (peer(&server, &through).await, peer(&server, &through).await);
    until("two places are taken", || server.status().clients == 2).await;
    let c = peer(&server, &through).await;
    let request = ask(true, 1, &c);
    assert_eq!(pair(c.connection, request).await.unwrap_err(), PairError::Refused);
}

#[tokio::test]
async fn a_channel_of_another_ones_key_is_refused() {
    let (server, through) = (Server::new(Limits::default()), socket().await);
    let mut eve = peer(&server, &through).await;
    let ConnectionInfo { public_key, .. } = eve.connection.info().clone();
    let mut mux = Mux::new();
    let mut other = public_key.0;
    other[0] ^= 1;
    let channel = mux.open(PROTOCOL, &other, &[]);
    while let Some(frame) = mux.poll_outgoing() {
        eve.connection.send(frame).await.unwrap();
    }
    let answer = eve.connection.recv().await.unwrap();
    mux.receive(&answer).unwrap();
    assert_eq!(mux.poll_event(), Some(Event::Closed { channel }));
}

#[tokio::test]
async fn idle_clients_make_room_for_who_wants_a_pair() {
    let limits = Limits {
        clients: 2,
        ..Limits::default()
    };
    let (server, through) = (Server::new(limits), socket().await);
    let idle = peer(&server, &through).await;
    let first = peer(&server, &through).await;
    until("two places are taken", || server.status().clients == 2).await;
    for client in lock(&server.shared.state).clients.values_mut() {
        client.used -= Duration::from_secs(10);
    }
    let waits = ask(true, 1, &first);
    let paired = tokio::spawn(pair(first.connection, waits));
    until("one waits", || server.status().waiting == 1).await;
    let second = peer(&server, &through).await;
    let end = tokio::time::timeout(Duration::from_secs(5), idle.connection.closed());
    assert!(end.await.is_ok(), "the idle one is sent away");
    let request = ask(false, 1, &second);
    assert!(pair(second.connection, request).await.is_ok() && paired.await.unwrap().is_ok());
    assert_eq!((server.status().clients, server.status().refused), (2, 0));
}

#[tokio::test]
async fn who_has_come_for_nothing_is_sent_away_after_a_minute_and_a_pair_is_kept() {
    let (server, through) = (Server::new(Limits::default()), socket().await);
    let (a, b) = (peer(&server, &through).await, peer(&server, &through).await);
    let idle = peer(&server, &through).await;
    let (of_a, of_b) = (ask(true, 7, &a), ask(false, 7, &b));
    let pairs = tokio::join!(pair(a.connection, of_a), pair(b.connection, of_b));
    assert!(pairs.0.is_ok() && pairs.1.is_ok());
    until("three are there", || server.status().clients == 3).await;
    let later = Instant::now() + Duration::from_secs(61);
    lock(&server.shared.state).look_over(later);
    assert_eq!((server.status().clients, server.status().pairs), (2, 1));
    tokio::time::timeout(Duration::from_secs(5), idle.connection.closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_flood_of_messages_ends_the_connection() {
    let (server, through) = (Server::new(Limits::default()), socket().await);
    let loud = peer(&server, &through).await;
    let mut mux = Mux::new();
    let channel = mux.open(PROTOCOL, &loud.connection.info().public_key.0, &[]);
    while let Some(frame) = mux.poll_outgoing() {
        loud.connection.send(frame).await.unwrap();
    }
    let unpair = Unpair {
        token: Token([1; 32]),
    }
    .encode();
    for _ in 0..2000 {
        mux.send(channel, UNPAIR, &unpair);
        while let Some(frame) = mux.poll_outgoing() {
            if loud.connection.send(frame).await.is_err() {
                return;
            }
        }
    }
    panic!("it may say what it likes");
}
