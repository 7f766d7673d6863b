//! Swarms on a local DHT, all in this process and on loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use dht::local::LocalNetwork;
use hyperswarm::{Connection, JoinOptions, KeyPair, Swarm, SwarmConfig, Threads, Topic};
use tokio::sync::mpsc;
use tokio::time::timeout;

const SERVER: JoinOptions = JoinOptions {
    server: true,
    client: false,
};
const CLIENT: JoinOptions = JoinOptions {
    server: false,
    client: true,
};
const PATIENCE: Duration = Duration::from_secs(30);

async fn network() -> LocalNetwork {
    dht::local::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
        .await
        .unwrap()
}

async fn swarm(network: &LocalNetwork, seed: u8) -> (Swarm, mpsc::Receiver<Connection>) {
    let config = SwarmConfig {
        key_pair: Some(KeyPair::from_seed([seed; 32])),
        bootstrap: Some(vec![network.bootstrap().to_string()]),
        ..SwarmConfig::default()
    };
    let swarm = Swarm::new(config).await.unwrap();
    let connections = swarm.connections();
    (swarm, connections)
}

async fn next(connections: &mut mpsc::Receiver<Connection>) -> Connection {
    timeout(PATIENCE, connections.recv())
        .await
        .expect("a connection in time")
        .expect("an open swarm")
}

async fn exchange(a: &mut Connection, b: &mut Connection) {
    a.send(Bytes::from_static(b"from a")).await.unwrap();
    b.send(Bytes::from_static(b"from b")).await.unwrap();
    assert_eq!(
        timeout(PATIENCE, b.recv()).await.unwrap().as_deref(),
        Some(&b"from a"[..])
    );
    assert_eq!(
        timeout(PATIENCE, a.recv()).await.unwrap().as_deref(),
        Some(&b"from b"[..])
    );
}

#[test]
fn a_server_whose_app_is_busy_is_met_and_heard_all_the_same() {
    let threads = Threads::start("test-net", 2).unwrap();
    let app = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (_network, server, mut at_server, client, mut at_client) = app.block_on(threads.run(async {
        let network = network().await;
        let (server, at_server) = swarm(&network, 1).await;
        let (client, at_client) = swarm(&network, 2).await;
        (network, server, at_server, client, at_client)
    }));
    app.block_on(async { server.join(Topic([7; 32]), SERVER).flushed().await });
    // From here on the app's own threads do nothing.
    let _searching = threads.handle().block_on(async {
        let searching = client.join(Topic([7; 32]), CLIENT);
        let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
        exchange(&mut a, &mut b).await;
        searching
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_a_server_and_they_talk() {
    let network = network().await;
    let (server, mut at_server) = swarm(&network, 1).await;
    let (client, mut at_client) = swarm(&network, 2).await;
    server.join(Topic([7; 32]), SERVER).flushed().await;
    client.join(Topic([7; 32]), CLIENT).flushed().await;
    client.flush().await;
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
    assert_eq!(a.info().remote_public_key, client.public_key());
    assert_eq!(b.info().remote_public_key, server.public_key());
    assert_eq!(a.info().handshake_hash, b.info().handshake_hash);
    assert!(b.info().is_initiator && !a.info().is_initiator);
    exchange(&mut a, &mut b).await;
    assert_eq!((server.connection_count(), client.connection_count()), (1, 1));
    assert!(!client.firewalled() && client.remote_address().is_some());
    client.destroy().await;
    assert_eq!(
        timeout(PATIENCE, a.recv()).await.unwrap(),
        None,
        "the server sees the end"
    );
    assert!(
        timeout(PATIENCE, at_client.recv()).await.unwrap().is_none(),
        "so does the user of the swarm"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_later_is_found() {
    let network = network().await;
    let (client, mut at_client) = swarm(&network, 3).await;
    client.join(Topic([8; 32]), CLIENT).flushed().await;
    let (server, mut at_server) = swarm(&network, 4).await;
    server.join(Topic([8; 32]), SERVER).flushed().await;
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
    exchange(&mut a, &mut b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_dial_each_other_end_up_with_one_connection() {
    let network = network().await;
    let (one, mut at_one) = swarm(&network, 5).await;
    let (two, mut at_two) = swarm(&network, 6).await;
    let both = JoinOptions::default();
    let (a, b) = (one.join(Topic([9; 32]), both), two.join(Topic([9; 32]), both));
    tokio::join!(a.flushed(), b.flushed());
    // Either may see a connection that the other dropped as a duplicate: the last is the one that lives.
    let talk = async {
        let (mut a, mut b) = (next(&mut at_one).await, next(&mut at_two).await);
        loop {
            if a.info().handshake_hash == b.info().handshake_hash {
                exchange(&mut a, &mut b).await;
                return (a, b);
            }
            tokio::select! {
                Some(newer) = at_one.recv() => a = newer,
                Some(newer) = at_two.recv() => b = newer,
            }
        }
    };
    let (a, b) = timeout(PATIENCE, talk).await.expect("one common connection");
    assert_ne!(a.info().is_initiator, b.info().is_initiator);
    assert_eq!((one.connection_count(), two.connection_count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_left_topic_is_not_found_any_more() {
    let network = network().await;
    let (server, _at_server) = swarm(&network, 10).await;
    let topic = server.join(Topic([11; 32]), SERVER);
    topic.flushed().await;
    let lookup = async |expected: bool| {
        let (client, _) = swarm(&network, 12).await;
        client.node().bootstrapped().await;
        let mut query = client.node().lookup(Topic([11; 32]), Vec::new());
        let mut found = false;
        while let Some(peers) = query.next().await {
            found |= peers.peers.iter().any(|p| p.public_key == server.public_key());
        }
        assert_eq!(found, expected);
    };
    lookup(true).await;
    topic.leave().await;
    lookup(false).await;
    server.join(Topic([11; 32]), SERVER).flushed().await;
    lookup(true).await;
    server.destroy().await;
    lookup(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_swarm_takes_nobody_more() {
    let network = network().await;
    let config = SwarmConfig {
        bootstrap: Some(vec![network.bootstrap().to_string()]),
        max_inbound: 1,
        ..SwarmConfig::default()
    };
    let server = Swarm::new(config).await.unwrap();
    let mut at_server = server.connections();
    server.join(Topic([13; 32]), SERVER).flushed().await;
    let (first, mut at_first) = swarm(&network, 14).await;
    first.join(Topic([13; 32]), CLIENT);
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_first).await);
    exchange(&mut a, &mut b).await;
    let (second, mut at_second) = swarm(&network, 15).await;
    second.join(Topic([13; 32]), CLIENT).flushed().await;
    // The server gives no answer, and the place becomes free when the first goes.
    assert_eq!(server.connection_count(), 1);
    first.destroy().await;
    assert_eq!(timeout(PATIENCE, a.recv()).await.unwrap(), None);
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_second).await);
    exchange(&mut a, &mut b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_connected_to_again() {
    let network = network().await;
    let (client, mut at_client) = swarm(&network, 16).await;
    client.join(Topic([17; 32]), CLIENT);
    for round in 0..2 {
        let (server, mut at_server) = swarm(&network, 18).await;
        server.join(Topic([17; 32]), SERVER).flushed().await;
        let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
        exchange(&mut a, &mut b).await;
        server.destroy().await;
        assert_eq!(timeout(PATIENCE, b.recv()).await.unwrap(), None, "round {round}");
    }
}

#[tokio::test]
async fn a_swarm_without_bootstrap_is_alone_but_works() {
    let config = SwarmConfig {
        bootstrap: Some(vec![]),
        ..SwarmConfig::default()
    };
    let swarm = Swarm::new(config).await.unwrap();
    let topic = swarm.join(Topic([1; 32]), CLIENT);
    timeout(PATIENCE, topic.flushed()).await.unwrap();
    timeout(PATIENCE, swarm.flush()).await.unwrap();
    timeout(PATIENCE, swarm.destroy()).await.unwrap();
    let bad = SwarmConfig {
        bootstrap: Some(vec!["nonsense".into()]),
        ..SwarmConfig::default()
    };
    let error = Swarm::new(bad).await.err().unwrap().to_string();
    assert!(
        error.contains("nonsense") && error.contains("host:port"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_joined_twice_stays_until_both_handles_left() {
    let network = network().await;
    let (server, _at_server) = swarm(&network, 20).await;
    let (first, second) = (
        server.join(Topic([21; 32]), SERVER),
        server.join(Topic([21; 32]), SERVER),
    );
    second.flushed().await;
    let (client, _) = swarm(&network, 22).await;
    client.node().bootstrapped().await;
    let found = async || {
        let mut query = client.node().lookup(Topic([21; 32]), Vec::new());
        let mut found = false;
        while let Some(peers) = query.next().await {
            found |= peers.peers.iter().any(|p| p.public_key == server.public_key());
        }
        found
    };
    first.leave().await;
    first.leave().await;
    assert!(found().await, "leaving twice by one handle counts once");
    second.leave().await;
    assert!(!found().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_survive_that_the_dht_comes_later_and_is_replaced() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let start = async |seed: u8, options: JoinOptions| {
        let config = SwarmConfig {
            key_pair: Some(KeyPair::from_seed([seed; 32])),
            bootstrap: Some(vec![format!("127.0.0.1:{port}")]),
            ..SwarmConfig::default()
        };
        let swarm = Swarm::new(config).await.unwrap();
        swarm.join(Topic([30; 32]), options);
        let connections = swarm.connections();
        (swarm, connections)
    };
    let (_server, mut at_server) = start(31, SERVER).await;
    let (client, mut at_client) = start(32, CLIENT).await;
    let network = dht::local::start(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
        .await
        .unwrap();
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
    exchange(&mut a, &mut b).await;
    client.destroy().await;
    drop(network);
    let network = loop {
        // The old sockets close in the background.
        match dht::local::start(IpAddr::V4(Ipv4Addr::LOCALHOST), port).await {
            Ok(network) => break network,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let (_client, mut at_client) = start(33, CLIENT).await;
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
    exchange(&mut a, &mut b).await;
    drop(network);
}

/// Connections of as many identities to `server`, from one node, that never say anything.
async fn idle_crowd(network: &LocalNetwork, server: &Swarm, count: usize) -> Vec<dht::PeerConnection> {
    let config = dht::NodeConfig {
        bootstrap: Some(vec![network.bootstrap().to_string()]),
        ..dht::NodeConfig::default()
    };
    let node = dht::Node::start(config).await.unwrap();
    let mut crowd = Vec::new();
    while crowd.len() < count {
        let one = node.connect(server.public_key(), dht::ConnectOptions::default());
        crowd.push(timeout(PATIENCE, one).await.unwrap().unwrap());
    }
    // The node ends with its last connection.
    Box::leak(Box::new(node));
    crowd
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_in_all_places_make_room_for_a_client() {
    let network = network().await;
    let config = SwarmConfig {
        bootstrap: Some(vec![network.bootstrap().to_string()]),
        max_inbound: 32,
        ..SwarmConfig::default()
    };
    let server = Swarm::new(config).await.unwrap();
    let mut at_server = server.connections();
    server.join(Topic([40; 32]), SERVER).flushed().await;
    let taken = tokio::spawn(async move {
        let mut all = Vec::new();
        for _ in 0..32 {
            all.push(next(&mut at_server).await);
        }
        (all, at_server)
    });
    let crowd = idle_crowd(&network, &server, 32).await;
    let (_idle, mut at_server) = taken.await.unwrap();
    assert_eq!(server.connection_count(), 32);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let start = std::time::Instant::now();
    let (client, mut at_client) = swarm(&network, 41).await;
    client.join(Topic([40; 32]), CLIENT);
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
    assert_eq!(a.info().remote_public_key, client.public_key());
    exchange(&mut a, &mut b).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(server.connection_count() <= 32);
    drop(crowd);
}

/// A server with one place, taken by a client that is idle, and then by another; what the first has of its connection.
async fn displaced(network: &LocalNetwork, seed: u8) -> (Swarm, Connection, mpsc::Receiver<Connection>) {
    let config = SwarmConfig {
        bootstrap: Some(vec![network.bootstrap().to_string()]),
        max_inbound: 1,
        ..SwarmConfig::default()
    };
    let server = Swarm::new(config).await.unwrap();
    let mut at_server = server.connections();
    server.join(Topic([seed; 32]), SERVER).flushed().await;
    let (first, mut at_first) = swarm(network, seed + 1).await;
    first.join(Topic([seed; 32]), CLIENT);
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_first).await);
    exchange(&mut a, &mut b).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (second, mut at_second) = swarm(network, seed + 2).await;
    second.join(Topic([seed; 32]), CLIENT);
    let mut a = next(&mut at_server).await;
    assert_eq!(a.info().remote_public_key, second.public_key());
    tokio::spawn(async move {
        let mut b = next(&mut at_second).await;
        exchange(&mut a, &mut b).await;
        let mut all = vec![a, b];
        while let Some(more) = at_server.recv().await {
            all.push(more);
        }
        drop((server, second));
    });
    (first, b, at_first)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_that_is_displaced_is_told_in_good_order_and_keeps_away() {
    let network = network().await;
    let (first, mut connection, _at_first) = displaced(&network, 70).await;
    assert_eq!(timeout(PATIENCE, connection.recv()).await.unwrap(), None);
    let reason = timeout(PATIENCE, connection.closed()).await.unwrap();
    assert!(matches!(reason, secret_stream::CloseReason::Remote), "{reason}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(first.stats().total.dialled, 1, "it came back at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_displaced_client_is_back_within_seconds_when_it_wants_something() {
    let network = network().await;
    let (first, mut connection, mut at_first) = displaced(&network, 80).await;
    assert_eq!(timeout(PATIENCE, connection.recv()).await.unwrap(), None);
    let start = std::time::Instant::now();
    first.set_wanting(true);
    next(&mut at_first).await;
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    assert!(first.stats().total.dialled > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_what_no_connected_peer_brings_finds_another_within_ten_seconds() {
    let network = network().await;
    let (partial, _at_partial) = swarm(&network, 90).await;
    partial.join(Topic([90; 32]), SERVER).flushed().await;
    let (client, mut at_client) = swarm(&network, 91).await;
    client.join(Topic([90; 32]), CLIENT);
    let _connection = next(&mut at_client).await;
    // It looked once more before it was connected.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (other, _at_other) = swarm(&network, 92).await;
    other.join(Topic([90; 32]), SERVER).flushed().await;
    assert!(
        timeout(Duration::from_secs(2), at_client.recv()).await.is_err(),
        "it looks for nobody while it wants nothing"
    );
    let start = std::time::Instant::now();
    client.set_wanting(true);
    let found = next(&mut at_client).await;
    assert_eq!(found.info().remote_public_key, other.public_key());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_serves_more_clients_than_it_dials() {
    let network = network().await;
    let (server, mut at_server) = swarm(&network, 42).await;
    server.join(Topic([42; 32]), SERVER).flushed().await;
    let taken = tokio::spawn(async move {
        let mut all = Vec::new();
        while all.len() < 65 {
            all.push(next(&mut at_server).await);
        }
        all
    });
    // Sixty-four from one node, and one from another, at once.
    let crowd = idle_crowd(&network, &server, 64).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (client, mut at_client) = swarm(&network, 43).await;
    client.join(Topic([42; 32]), CLIENT);
    let b = next(&mut at_client).await;
    assert_eq!(b.info().remote_public_key, server.public_key());
    assert_eq!(taken.await.unwrap().len(), 65);
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_of_clients_that_left_are_free_at_once() {
    let network = network().await;
    let (server, mut at_server) = swarm(&network, 44).await;
    server.join(Topic([44; 32]), SERVER).flushed().await;
    let mut clients = Vec::new();
    let mut held = Vec::new();
    for seed in 100..110 {
        let (client, mut at_client) = swarm(&network, seed).await;
        client.join(Topic([44; 32]), CLIENT);
        let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
        exchange(&mut a, &mut b).await;
        held.push((a, b));
        clients.push(client);
    }
    assert_eq!(server.connection_count(), 10);
    let start = std::time::Instant::now();
    futures::future::join_all(clients.iter().map(Swarm::destroy)).await;
    while server.connection_count() > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{} left",
            server.connection_count()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_kept_out() {
    let network = network().await;
    let (server, mut at_server) = swarm(&network, 45).await;
    server.join(Topic([45; 32]), SERVER).flushed().await;
    let (client, mut at_client) = swarm(&network, 46).await;
    client.join(Topic([45; 32]), CLIENT);
    let (mut a, mut b) = (next(&mut at_server).await, next(&mut at_client).await);
    exchange(&mut a, &mut b).await;
    let (sender, _receiver) = a.split();
    sender.close_as_liar("a block that does not belong to its tree");
    assert_eq!(
        timeout(PATIENCE, b.recv()).await.unwrap(),
        None,
        "it is cut at once"
    );
    let again = timeout(Duration::from_secs(5), at_server.recv()).await;
    assert!(again.is_err(), "it came back");
    assert_eq!(server.connection_count(), 0);
    // The other way round: one that we dial is not dialled again.
    let (other, mut at_other) = swarm(&network, 47).await;
    other.join(Topic([45; 32]), CLIENT);
    let (_a, _b) = (next(&mut at_server).await, next(&mut at_other).await);
    other.ban(&server.public_key(), "it offers what it does not have");
    let again = timeout(Duration::from_secs(5), at_other.recv()).await;
    assert!(again.is_err(), "it was dialled again");
}

#[test]
fn a_server_that_died_without_a_word_is_replaced_within_six_seconds() {
    let (to_test, from_server) = std::sync::mpsc::channel();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let network = runtime.block_on(network());
    let bootstrap = network.bootstrap().to_string();
    // A server on a thread of its own, which stops dead once it has sent something.
    let start_server = move |dies: bool| {
        let (told, bootstrap) = (to_test.clone(), bootstrap.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let config = SwarmConfig {
                    key_pair: Some(KeyPair::from_seed([50; 32])),
                    bootstrap: Some(vec![bootstrap]),
                    ..SwarmConfig::default()
                };
                let server = Swarm::new(config).await.unwrap();
                let mut at_server = server.connections();
                server.join(Topic([50; 32]), SERVER).flushed().await;
                let mut client = next(&mut at_server).await;
                client.send(Bytes::from(vec![7; 1000])).await.unwrap();
                client.recv().await;
                let _ = told.send(());
                if dies {
                    // Nobody wakes it before the test is over.
                    std::thread::sleep(2 * PATIENCE);
                }
                client.recv().await;
            });
        });
    };
    runtime.block_on(async {
        start_server(true);
        let (client, mut at_client) = swarm(&network, 51).await;
        client.join(Topic([50; 32]), CLIENT);
        let mut first = next(&mut at_client).await;
        assert_eq!(first.recv().await.unwrap().len(), 1000);
        first.send(Bytes::from(vec![8; 1000])).await.unwrap();
        tokio::task::spawn_blocking(move || from_server.recv_timeout(PATIENCE).unwrap())
            .await
            .unwrap();
        let died = std::time::Instant::now();
        start_server(false);
        let mut second = next(&mut at_client).await;
        assert_eq!(
            timeout(PATIENCE, second.recv()).await.unwrap().unwrap().len(),
            1000
        );
        println!("replaced after {:?}", died.elapsed());
        assert!(died.elapsed() < Duration::from_secs(6), "{:?}", died.elapsed());
        second.send(Bytes::from(vec![8; 1000])).await.unwrap();
    });
}
