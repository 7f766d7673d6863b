//! Streams over real sockets on loopback.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use udx::{CloseReason, FirstPacket, Socket, Stream};

const LOOPBACK: &str = "127.0.0.1:0";

async fn socket() -> Socket {
    Socket::bind(LOOPBACK.parse().unwrap()).await.unwrap()
}

async fn pair() -> (Stream, Stream) {
    let (a, b) = (socket().await, socket().await);
    let (sa, sb) = (a.create_stream(1), b.create_stream(2));
    sa.connect(2, b.local_addr()).unwrap();
    sb.connect(1, a.local_addr()).unwrap();
    (sa, sb)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
}

#[tokio::test]
async fn bytes_arrive_both_ways_and_both_ends_close() {
    let (mut a, mut b) = pair().await;
    let data = pattern(3_000_000);
    let sent = data.clone();
    let there = tokio::spawn(async move {
        a.write_all(&sent).await.unwrap();
        a.shutdown().await.unwrap();
        let mut back = Vec::new();
        a.read_to_end(&mut back).await.unwrap();
        (back, a.closed().await, a.stats())
    });
    let mut got = Vec::new();
    b.read_to_end(&mut got).await.unwrap();
    assert!(got == data);
    b.write_all(b"thanks").await.unwrap();
    b.shutdown().await.unwrap();
    let (back, reason, stats) = there.await.unwrap();
    assert_eq!(back, b"thanks");
    assert_eq!(reason, CloseReason::Ended);
    assert_eq!(b.closed().await, CloseReason::Ended);
    assert!(stats.bytes_sent > 3_000_000 && stats.packets_received > 0 && !stats.rtt.is_zero());
    assert_eq!(stats.mtu, 1500);
}

#[tokio::test]
async fn dropping_after_shutdown_still_delivers_everything() {
    let (mut a, mut b) = pair().await;
    let data = pattern(200_000);
    a.write_all(&data).await.unwrap();
    a.shutdown().await.unwrap();
    drop(a);
    let mut got = Vec::new();
    b.read_to_end(&mut got).await.unwrap();
    assert!(got == data);
}

#[tokio::test]
async fn dropping_without_shutdown_resets_the_peer() {
    let (a, mut b) = pair().await;
    drop(a);
    let error = b.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(b.closed().await, CloseReason::Reset);
    assert_eq!(
        b.write_u8(0).await.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn other_datagrams_come_out_untouched() {
    let (a, b) = (socket().await, socket().await);
    let mut messages = b.messages();
    assert!(b.messages().recv().await.is_none(), "they can be taken once");
    let looks_like_udx = [255u8, 1, 1, 0, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for datagram in [&b"\x03rpc"[..], &[], &[1], &looks_like_udx] {
        a.send_to_with_ttl(datagram, b.local_addr(), 5).await.unwrap();
        let (got, from) = messages.recv().await.unwrap();
        assert_eq!((&got[..], from), (datagram, a.local_addr()));
    }
    let large = pattern(2000);
    a.send_to(&large, b.local_addr()).await.unwrap();
    assert_eq!(messages.recv().await.unwrap().0, large);
}

#[tokio::test]
async fn the_first_packet_tells_where_the_peer_is() {
    let (a, b) = (socket().await, socket().await);
    // The receiving stream may use any socket of its set: the packet comes through another than the first.
    let other = b
        .udx()
        .bind(&LOOPBACK.parse::<SocketAddr>().unwrap().into())
        .unwrap();
    let mut receiving = b.create_stream(7);
    let (tell, told) = std::sync::mpsc::channel();
    let mut first = true;
    receiving.on_first_packet(move |socket, from| {
        tell.send((socket.local_addr(), from)).unwrap();
        // As if the first one came too early.
        if std::mem::take(&mut first) {
            FirstPacket::Drop
        } else {
            FirstPacket::Connect(8)
        }
    });
    let mut sending = a.create_stream(8);
    sending.connect(7, other.local_addr()).unwrap();
    sending.write_all(b"knock").await.unwrap();
    let mut got = [0; 5];
    receiving.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"knock");
    assert_eq!(
        told.try_iter().collect::<Vec<_>>(),
        vec![(other.local_addr(), a.local_addr()); 2]
    );
    assert_eq!(receiving.remote_addr(), Some(a.local_addr()));
    assert!(receiving.uses(&other) && !receiving.uses(&b));
    receiving.write_all(b"who").await.unwrap();
    sending.read_exact(&mut got[..3]).await.unwrap();
    assert_eq!(&got[..3], b"who");
}

#[tokio::test]
async fn without_a_hook_strangers_are_ignored_and_what_came_early_waits_for_connect() {
    let (a, b) = (socket().await, socket().await);
    let mut receiving = b.create_stream(7);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    receiving.on_first_packet(move |_, from| {
        let _ = tell.send(from);
        FirstPacket::Accept
    });
    let mut sending = a.create_stream(8);
    sending.connect(7, b.local_addr()).unwrap();
    sending.write_all(b"early").await.unwrap();
    let from = told.recv().await.unwrap();
    assert!(!receiving.is_connected());
    let mut got = [0; 5];
    receiving.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"early");
    receiving.connect(8, from).unwrap();
    receiving.write_all(b"later").await.unwrap();
    sending.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"later");
    assert_eq!(
        receiving.connect(8, from).unwrap_err().kind(),
        std::io::ErrorKind::AlreadyExists
    );
}

#[tokio::test]
async fn a_slow_reader_holds_the_writer_back() {
    let (mut a, mut b) = pair().await;
    let chunk = vec![5u8; 1 << 20];
    let mut written = 0usize;
    while tokio::time::timeout(Duration::from_millis(300), a.write_all(&chunk))
        .await
        .is_ok()
    {
        written += chunk.len();
        assert!(written < 32 << 20, "unbounded");
    }
    let reader = tokio::spawn(async move {
        let mut total = 0usize;
        let mut buffer = vec![0; 1 << 16];
        while total < written {
            total += b.read(&mut buffer).await.unwrap();
        }
        b
    });
    let b = tokio::time::timeout(Duration::from_secs(5), reader)
        .await
        .expect("the window reopens")
        .unwrap();
    drop(b);
}

#[tokio::test]
async fn sockets_close_when_nobody_uses_them() {
    let a = socket().await;
    let addr = a.local_addr();
    let stream = a.create_stream(3);
    drop(stream);
    drop(a);
    // The receiving task lets go of the port as soon as it runs.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        if std::net::UdpSocket::bind(addr).is_ok() {
            return;
        }
    }
    panic!("the port is still taken");
}

#[tokio::test]
async fn closing_a_socket_destroys_its_streams_and_frees_the_port() {
    let (a, b) = (socket().await, socket().await);
    let addr = a.local_addr();
    let (mut sa, mut sb) = (a.create_stream(1), b.create_stream(2));
    sa.connect(2, b.local_addr()).unwrap();
    sb.connect(1, addr).unwrap();
    sa.write_u8(1).await.unwrap();
    assert_eq!(sb.read_u8().await.unwrap(), 1);
    a.close();
    assert_eq!(sa.closed().await, CloseReason::Destroyed);
    assert_eq!(
        sb.read_u8().await.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        a.send_to(b"x", addr).await.unwrap_err().kind(),
        std::io::ErrorKind::NotConnected
    );
    drop((a, sa));
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        if std::net::UdpSocket::bind(addr).is_ok() {
            return;
        }
    }
    panic!("the port is still taken");
}

#[tokio::test]
async fn works_over_ipv6_and_between_families() {
    let Ok(b) = Socket::bind("[::]:0".parse().unwrap()).await else {
        return;
    };
    let a = socket().await;
    let mut messages = b.messages();
    let to = SocketAddr::new("127.0.0.1".parse().unwrap(), b.local_addr().port());
    a.send_to(b"four", to).await.unwrap();
    let (_, from) = messages.recv().await.unwrap();
    assert_eq!(from, a.local_addr(), "IPv4 sources look like IPv4");
    let (mut sa, mut sb) = (a.create_stream(1), b.create_stream(2));
    sa.connect(2, to).unwrap();
    sb.connect(1, from).unwrap();
    sb.write_all(b"hello").await.unwrap();
    sa.write_all(b"world").await.unwrap();
    let mut got = [0; 5];
    sa.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello");
    sb.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"world");
}

/// A UDX packet, to be sent by hand: flags, stream id, window, number, acknowledgement, payload.
fn packet(kind: u8, id: u32, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![255, 1, kind, 0];
    for number in [id, 1 << 20, seq, ack] {
        packet.extend_from_slice(&number.to_le_bytes());
    }
    packet.extend_from_slice(payload);
    packet
}

#[tokio::test]
async fn packets_from_elsewhere_neither_reset_nor_feed_nor_acknowledge() {
    let (mut a, mut b) = pair().await;
    a.write_all(b"honest").await.unwrap();
    let mut got = [0; 6];
    b.read_exact(&mut got).await.unwrap();
    let stranger = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let to = b.socket().unwrap().local_addr();
    let before = b.stats().packets_received;
    for (kind, payload) in [(1, &b"forged"[..]), (2, b""), (16, b""), (0, b"")] {
        stranger
            .send_to(&packet(kind, 2, 1, 0, payload), to)
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(b.stats().packets_received, before, "not even looked at");
    a.write_all(b"second").await.unwrap();
    b.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"second");
    b.write_all(b"and back").await.unwrap();
    let mut back = [0; 8];
    a.read_exact(&mut back).await.unwrap();
}

#[tokio::test]
async fn an_address_that_somebody_else_named_gets_a_few_packets_and_no_more() {
    let ours = socket().await;
    let victim = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let attacker = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let mut stream = ours.create_stream(1);
    stream.expect_proof();
    stream.connect(2, victim.local_addr().unwrap()).unwrap();
    let writing = tokio::spawn(async move {
        let _ = tokio::time::timeout(Duration::from_secs(4), stream.write_all(&pattern(3_000_000))).await;
        stream
    });
    // It acknowledges what it never saw, from its own address.
    for ack in 0..150u32 {
        let forged = packet(0, 1, 0, ack, b"");
        attacker.send_to(&forged, ours.local_addr()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (mut received, mut buffer) = (0, vec![0; 65536]);
    while let Ok(length) = victim.try_recv(&mut buffer) {
        received += length;
    }
    assert!(
        (1..=5_000).contains(&received),
        "{received} bytes reached the victim"
    );
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn a_proven_peer_is_followed_to_where_it_sends_from() {
    let (ours, theirs) = (socket().await, socket().await);
    let wrong = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let mut a = ours.create_stream(1);
    let proof = a.expect_proof();
    a.connect(2, wrong.local_addr().unwrap()).unwrap();
    let mut b = theirs.create_stream(2);
    b.connect(1, ours.local_addr()).unwrap();
    b.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    a.read_exact(&mut got).await.unwrap();
    assert_eq!(
        a.remote_addr(),
        Some(wrong.local_addr().unwrap()),
        "not moved by an unproven packet"
    );
    proof.confirm();
    assert_eq!(a.remote_addr(), Some(theirs.local_addr()));
    let data = pattern(1_000_000);
    let sent = data.clone();
    let writing = tokio::spawn(async move {
        a.write_all(&sent).await.unwrap();
        a
    });
    let mut got = vec![0; data.len()];
    tokio::time::timeout(Duration::from_secs(20), b.read_exact(&mut got))
        .await
        .unwrap()
        .unwrap();
    assert!(got == data);
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn large_datagrams_that_belong_to_no_stream_are_dropped() {
    let (ours, stranger) = (socket().await, socket().await);
    let mut messages = ours.messages();
    let unknown = packet(1, 77, 0, 0, &[0; 40_000]);
    for datagram in [&[1; 60_000][..], &[2; 2049], &unknown, &[3; 2048]] {
        stranger.send_to(datagram, ours.local_addr()).await.unwrap();
    }
    let (first, _) = tokio::time::timeout(Duration::from_secs(5), messages.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((first.len(), first.first()), (2048, Some(&3)));
    // What nobody takes is bounded in bytes.
    for _ in 0..20_000 {
        stranger.send_to(&[4; 2048], ours.local_addr()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut waiting = 0;
    while let Ok((datagram, _)) = messages.try_recv() {
        waiting += datagram.len();
    }
    assert!(waiting <= 4 << 20, "{waiting} bytes waited");
}

#[tokio::test]
async fn an_address_written_as_ipv6_is_the_same_peer() {
    let any: SocketAddr = "[::]:0".parse().unwrap();
    let Ok(a) = Socket::bind(any).await else {
        // Counted as skipped: written past the harness, which shows no output of tests that pass.
        let _ = writeln!(std::io::stdout(), "SKIPPED an IPv6 test of udx: no IPv6 here");
        return;
    };
    let b = socket().await;
    let (mut sa, mut sb) = (a.create_stream(1), b.create_stream(2));
    let mapped = format!("[::ffff:127.0.0.1]:{}", b.local_addr().port());
    sa.connect(2, mapped.parse().unwrap()).unwrap();
    sb.connect(1, SocketAddr::new([127, 0, 0, 1].into(), a.local_addr().port()))
        .unwrap();
    sb.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    tokio::time::timeout(Duration::from_secs(5), sa.read_exact(&mut got))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&got, b"hello");
}
