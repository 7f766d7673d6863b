//! Packets as libudx writes them (tests/vectors/scripts/udx.js): a plain socket plays the recorded peer, and what our side
//! writes in the same situations is compared with what libudx wrote.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use udx::{CloseReason, Socket, Stream};

const PATIENCE: Duration = Duration::from_secs(5);
/// Where a header has its fields.
const KIND: usize = 2;
const SEQ: std::ops::Range<usize> = 12..16;

fn step(name: &str) -> Vec<u8> {
    let v: Value = serde_json::from_str(include_str!("../../../../tests/vectors/udx/packets.json")).unwrap();
    hex::decode(v["steps"][name].as_str().unwrap()).unwrap()
}

/// A packet as the script made them by hand, for our side.
fn packet(kind: u8, seq: u32, ack: u32, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![255, 1, kind, 0];
    for number in [0x0102_0304, 1 << 20, seq, ack] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(rest);
    out
}

/// The recorded packet with the window left out, which is each side's own.
fn without_window(packet: &[u8]) -> Vec<u8> {
    [&packet[..8], &packet[12..]].concat()
}

/// Our stream, connected as the recorded one was but to id 0x01020304 on both sides, and its peer.
async fn pair() -> (Stream, UdpSocket, std::net::SocketAddr) {
    let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stream = socket.create_stream(0x0102_0304);
    stream.connect(0x0102_0304, peer.local_addr().unwrap()).unwrap();
    (stream, peer, socket.local_addr())
}

/// The next packet that is like that.
async fn next(peer: &UdpSocket, is: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let find = async {
        loop {
            let (n, _) = peer.recv_from(&mut buffer).await.unwrap();
            // Probes of the path's size have padding.
            if buffer[3] == 0 && is(&buffer[..n]) {
                return buffer[..n].to_vec();
            }
        }
    };
    timeout(PATIENCE, find).await.expect("a packet of the kind")
}

#[tokio::test]
async fn our_packets_are_libudxs() {
    let (mut stream, peer, to) = pair().await;
    stream.write_all(b"hello").await.unwrap();
    let data = next(&peer, |p| p[KIND] & 1 != 0).await;
    assert_eq!(without_window(&data), without_window(&step("data")));

    peer.send_to(&packet(0, 0, 1, b""), to).await.unwrap();
    peer.send_to(&packet(1, 0, 1, b"abc"), to).await.unwrap();
    let expected = step("ack_of_data");
    let ack = next(&peer, |p| p[KIND] == 0 && p[16..20] == expected[16..20]).await;
    assert_eq!(without_window(&ack), without_window(&expected));

    for (seq, byte) in [(2, b"c"), (3, b"d"), (5, b"f")] {
        peer.send_to(&packet(1, seq, 1, byte), to).await.unwrap();
    }
    let expected = step("sack");
    let sack = next(&peer, |p| p[KIND] == 4 && p.len() == expected.len()).await;
    assert_eq!(without_window(&sack), without_window(&expected));

    for (seq, byte) in [(1, b"b"), (4, b"e")] {
        peer.send_to(&packet(1, seq, 1, byte), to).await.unwrap();
    }
    let expected = step("ack_of_all");
    let ack = next(&peer, |p| p[KIND] == 0 && p[16..20] == expected[16..20]).await;
    assert_eq!(without_window(&ack), without_window(&expected));
    let mut got = [0; 8];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abcbcdef");

    stream.shutdown().await.unwrap();
    let end = next(&peer, |p| p[KIND] & 2 != 0).await;
    assert_eq!(without_window(&end), without_window(&step("end_after_all")));

    let (stream, peer, _) = pair().await;
    stream.destroy();
    let destroy = next(&peer, |p| p[KIND] & 16 != 0).await;
    assert_eq!(without_window(&destroy), without_window(&step("destroy")));
}

#[tokio::test]
async fn libudxs_packets_are_understood() {
    let (mut stream, peer, to) = pair().await;
    peer.send_to(&step("data"), to).await.unwrap();
    let end = step("end");
    assert_eq!(end[SEQ], 1u32.to_le_bytes());
    peer.send_to(&end, to).await.unwrap();
    let mut got = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(got, b"hello");

    // It has 1, 2, 3 and 5 of six packets: only the other is sent again.
    let (mut stream, peer, to) = pair().await;
    for n in 0..6u8 {
        stream.write_all(&[n]).await.unwrap();
        next(&peer, |p| {
            p[KIND] & 1 != 0 && p[SEQ] == u32::from(n).to_le_bytes()
        })
        .await;
    }
    peer.send_to(&step("sack"), to).await.unwrap();
    let again = next(&peer, |p| p[KIND] & 1 != 0).await;
    assert_eq!((&again[SEQ], &again[20..]), (&1u32.to_le_bytes()[..], &[1][..]));

    let (stream, peer, to) = pair().await;
    peer.send_to(&step("destroy"), to).await.unwrap();
    let reason = timeout(PATIENCE, stream.closed()).await.unwrap();
    assert_eq!(reason, CloseReason::Reset);
}
