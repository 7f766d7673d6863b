//! Nodes that are named as relays of a server but bring something else than its answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use base::KeyPair;
use dht::hyper::command;
use dht::hyper::messages::{Handshake, Mode};
use dht::rpc::message::{Message, Reply};
use dht::{ConnectOptions, Node, NodeConfig, ServerOptions};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Well below the 30 seconds of a connection attempt.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers every handshake at once: with noise of that length, said to come from a server elsewhere.
async fn rogue(noise: Vec<u8>) -> SocketAddrV4 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
            let Ok(Message::Request(request)) = Message::decode(&buffer[..n]) else {
                continue;
            };
            let value = (request.command == command::PEER_HANDSHAKE && !request.internal).then(|| {
                let hs = Handshake {
                    mode: Mode::Reply,
                    noise: noise.clone(),
                    peer_address: Some(address),
                    relay_address: None,
                };
                hs.encode()
            });
            let reply = Reply {
                tid: request.tid,
                to: from.to_string().parse().unwrap(),
                id: None,
                token: None,
                closer_nodes: Vec::new(),
                error: 0,
                value,
            };
            socket.send_to(&reply.encode(), from).await.unwrap();
        }
    });
    address
}

async fn start(bootstrap: &str) -> Node {
    let config = NodeConfig {
        bootstrap: Some(vec![bootstrap.to_owned()]),
        ..NodeConfig::default()
    };
    Node::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_one_relay_does_not_end_the_attempt() {
    let network = dht::local::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
        .await
        .unwrap();
    let bootstrap = network.bootstrap().to_string();
    let server_node = start(&bootstrap).await;
    let key_pair = KeyPair::from_seed([1; 32]);
    let (connections, mut accepted) = mpsc::channel(32);
    let options = ServerOptions {
        connections,
        firewall: Box::new(|_| false),
        relays: Vec::new(),
    };
    let server = server_node.listen(key_pair.clone(), options);
    server.announced().await;
    let honest = server.relay_addresses();
    let rogues = [
        rogue(Vec::new()).await,
        rogue(vec![0; 48]).await,
        rogue(vec![7; 300]).await,
    ];
    let mut connected = 0;
    for attempt in 0..5 {
        // A fresh node each time: nothing is remembered of the rogues.
        let client = start(&bootstrap).await;
        let relays = rogues.iter().chain(&honest).copied().collect();
        let options = ConnectOptions {
            relay_addresses: relays,
            ..ConnectOptions::default()
        };
        let connection = timeout(PATIENCE, client.connect(key_pair.public_key, options)).await;
        match connection {
            Ok(Ok(_)) => connected += 1,
            Ok(Err(error)) => eprintln!("attempt {attempt}: {error}"),
            Err(_) => eprintln!("attempt {attempt}: took too long"),
        }
        if connected > attempt {
            assert!(timeout(PATIENCE, accepted.recv()).await.unwrap().is_some());
        }
    }
    assert_eq!(connected, 5, "of 5 attempts");

    // The same node remembers who brought garbage, and asks others first.
    let client = start(&bootstrap).await;
    for attempt in 0..2 {
        let options = ConnectOptions {
            relay_addresses: rogues.iter().chain(&honest).copied().collect(),
            ..ConnectOptions::default()
        };
        let begin = Instant::now();
        let connection = timeout(PATIENCE, client.connect(key_pair.public_key, options))
            .await
            .unwrap()
            .unwrap();
        eprintln!("attempt {attempt} with memory: {:?}", begin.elapsed());
        drop(connection);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_every_relay_is_named() {
    let network = dht::local::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
        .await
        .unwrap();
    let client = start(&network.bootstrap().to_string()).await;
    let rogue = rogue(vec![7; 300]).await;
    let options = ConnectOptions {
        relay_addresses: vec![rogue],
        ..ConnectOptions::default()
    };
    let error = timeout(
        PATIENCE,
        client.connect(KeyPair::from_seed([9; 32]).public_key, options),
    )
    .await
    .unwrap()
    .unwrap_err();
    assert!(error.to_string().contains(&rogue.to_string()), "{error}");
}
