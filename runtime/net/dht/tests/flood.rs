//! A server under a flood of handshakes that cost their sender one packet each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::KeyPair;
use dht::hyper::command;
use dht::hyper::messages::{Handshake, Holepunch, Mode};
use dht::hyper::noise_payload::{NoisePayload, UdxInfo};
use dht::hyper::sign::NS;
use dht::id::Target;
use dht::rpc::message::Request;
use dht::{ConnectOptions, Node, NodeConfig, ServerOptions};
use secret_stream::noise::{Handshake as Noise, Pattern};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
/// More than sessions are kept at once, in all.
const FLOOD: u32 = 3000;

fn request(tid: u16, to: SocketAddrV4, target: Target, command: u64, value: Vec<u8>) -> Vec<u8> {
    let request = Request {
        tid,
        to,
        id: None,
        token: None,
        internal: false,
        command,
        target: Some(target),
        value: Some(value),
    };
    request.encode()
}

/// A valid handshake, said to be relayed for a client at an address that is another one each time.
fn handshake(i: u32, server: &KeyPair, to: SocketAddrV4, target: Target) -> Vec<u8> {
    let keys = KeyPair::generate();
    let mut noise = Noise::new(
        Pattern::IK,
        true,
        &keys,
        &NS.peer_handshake,
        Some(server.public_key),
    )
    .unwrap();
    let payload = NoisePayload {
        udx: Some(UdxInfo {
            reusable_socket: false,
            id: u64::from(i),
            seq: 0,
        }),
        secret_stream: Some(1),
        ..NoisePayload::default()
    };
    let hs = Handshake {
        mode: Mode::FromRelay,
        noise: noise.send(&payload.encode()).unwrap(),
        peer_address: Some(SocketAddrV4::new(Ipv4Addr::from(0x7f10_0000 + i), 9)),
        relay_address: None,
    };
    request(i as u16, to, target, command::PEER_HANDSHAKE, hs.encode())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes_keeps_nobody_out() {
    let network = dht::local::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
        .await
        .unwrap();
    let bootstrap = vec![network.bootstrap().to_string()];
    let config = NodeConfig {
        bootstrap: Some(bootstrap.clone()),
        ..NodeConfig::default()
    };
    let node = Node::start(config).await.unwrap();
    let keys = KeyPair::from_seed([1; 32]);
    let target = Target::of_key(&keys.public_key);
    let (connections, mut accepted) = mpsc::channel(32);
    let options = ServerOptions {
        connections,
        firewall: Box::new(|_| false),
        relays: Vec::new(),
    };
    let server = node.listen(keys.clone(), options);
    server.announced().await;
    let mut relays = server.relay_addresses();
    let SocketAddr::V4(local) = node.local_address() else {
        panic!("an IPv4 address")
    };
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, local.port());

    // Through others only: who asks the server itself is in at once.
    relays.retain(|address| *address != to);
    assert!(!relays.is_empty());
    let sent = Arc::new(AtomicUsize::new(0));
    let flood = tokio::spawn({
        let (keys, sent) = (keys.clone(), sent.clone());
        async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            for i in 0..FLOOD {
                socket
                    .send_to(&handshake(i, &keys, to, target), to)
                    .await
                    .unwrap();
                // Numbers of sessions, guessed: they prolong nothing.
                let punch = Holepunch {
                    mode: Mode::FromRelay,
                    id: u64::from(i),
                    payload: vec![0; 64],
                    peer_address: Some(to),
                };
                let bytes = request(i as u16, to, target, command::PEER_HOLEPUNCH, punch.encode());
                socket.send_to(&bytes, to).await.unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
        }
    });
    let mut attempts = 0;
    while attempts < 5 || sent.load(Ordering::Relaxed) < 2 * FLOOD as usize / 3 {
        let config = NodeConfig {
            bootstrap: Some(bootstrap.clone()),
            ..NodeConfig::default()
        };
        let client = Node::start(config).await.unwrap();
        let options = ConnectOptions {
            relay_addresses: relays.clone(),
            ..ConnectOptions::default()
        };
        attempts += 1;
        let begun = sent.load(Ordering::Relaxed);
        timeout(PATIENCE, client.connect(keys.public_key, options))
            .await
            .unwrap_or_else(|_| panic!("attempt {attempts} took too long"))
            .unwrap_or_else(|error| panic!("attempt {attempts}, after {begun} of the flood: {error}"));
        assert!(timeout(PATIENCE, accepted.recv()).await.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    flood.await.unwrap();
    println!("{attempts} clients came in while {FLOOD} handshakes did");
}
