//! A server answers the same handshake through several relays with the same first reply, and connects once.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use base::{KeyPair, PublicKey};
use dht::hyper::command;
use dht::hyper::messages::{Handshake, Mode};
use dht::hyper::noise_payload::{NoisePayload, UdxInfo};
use dht::hyper::sign::NS;
use dht::id::Target;
use dht::rpc::message::{Message, Reply, Request};
use dht::{Node, NodeConfig, ServerOptions};
use secret_stream::noise::{Handshake as Noise, Pattern};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

async fn ask(socket: &UdpSocket, to: SocketAddrV4, tid: u16, target: Target, noise: &[u8]) -> Option<Reply> {
    let value = Handshake {
        mode: Mode::FromClient,
        noise: noise.to_vec(),
        peer_address: None,
        relay_address: None,
    };
    let request = Request {
        tid,
        to,
        id: None,
        token: None,
        internal: false,
        command: command::PEER_HANDSHAKE,
        target: Some(target),
        value: Some(value.encode()),
    };
    socket.send_to(&request.encode(), to).await.unwrap();
    let mut buffer = [0; 2048];
    loop {
        let (n, _) = timeout(PATIENCE, socket.recv_from(&mut buffer))
            .await
            .ok()?
            .unwrap();
        match Message::decode(&buffer[..n]) {
            Ok(Message::Reply(reply)) if reply.tid == tid => return Some(reply),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_per_handshake_through_however_many_relays() {
    let network = dht::local::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
        .await
        .unwrap();
    let config = NodeConfig {
        bootstrap: Some(vec![network.bootstrap().to_string()]),
        ..NodeConfig::default()
    };
    let node = Node::start(config).await.unwrap();
    let key_pair = KeyPair::from_seed([1; 32]);
    let target = Target::of_key(&key_pair.public_key);
    let (connections, mut accepted) = mpsc::channel(8);
    let options = ServerOptions {
        connections,
        firewall: Box::new(|key| key == &PublicKey([9; 32])),
        relays: Vec::new(),
    };
    let server = node.listen(key_pair.clone(), options);
    server.announced().await;
    let relays = server.relay_addresses();
    assert!(relays.len() >= 3, "itself and two relays at least: {relays:?}");

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let payload = NoisePayload {
        udx: Some(UdxInfo {
            reusable_socket: false,
            id: 7,
            seq: 0,
        }),
        secret_stream: Some(1),
        ..NoisePayload::default()
    };
    let client_keys = KeyPair::from_seed([2; 32]);
    let start = || {
        Noise::new(
            Pattern::IK,
            true,
            &client_keys,
            &NS.peer_handshake,
            Some(key_pair.public_key),
        )
        .unwrap()
    };
    let mut noise = start();
    let message = noise.send(&payload.encode()).unwrap();
    let mut answers = Vec::new();
    for (tid, relay) in (1..).zip(&relays) {
        let reply = ask(&client, *relay, tid, target, &message)
            .await
            .expect("an answer");
        let hs = Handshake::decode(&reply.value.unwrap()).unwrap();
        assert_eq!(hs.mode, Mode::Reply);
        if let Some(server) = hs.peer_address {
            assert_eq!(server.to_string(), node.local_address().to_string());
        }
        answers.push(hs.noise);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the same first reply");
    let theirs = NoisePayload::decode(&noise.recv(&answers[0]).unwrap()).unwrap();
    assert!(theirs.udx.is_some() && theirs.error == 0);
    assert!(noise.is_complete());
    // The first came straight from us, so the server connects to where it came from. Once.
    let first = timeout(PATIENCE, accepted.recv()).await.unwrap().unwrap();
    assert_eq!(first.connection.info().remote_public_key, client_keys.public_key);
    assert!(accepted.try_recv().is_err());

    // Another handshake of the same peer is another session.
    let mut again = start();
    let message = again.send(&payload.encode()).unwrap();
    let reply = ask(&client, relays[0], 99, target, &message).await.unwrap();
    assert_ne!(
        Handshake::decode(&reply.value.unwrap()).unwrap().noise,
        answers[0]
    );
    assert!(timeout(PATIENCE, accepted.recv()).await.unwrap().is_some());
}
