//! Many peers that ask for much and read nothing, over real drivers: what is made for them lies in memory.

mod exchange;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use core_store::replication::{Replication, replicate};
use core_store::{Core, CoreEvent, Storage};
use hypercore::crypto::replication_capability;
use hypercore::messages::{PROTOCOL, encode_handshake, encode_request, kind};
use hypercore::proof::{Request, RequestBlock};
use protomux::{Event, Mux};
use secret_stream::Connection;
use tokio::time::timeout;

const PEERS: usize = 24;
const BLOCKS: u64 = 192;
const BLOCK: usize = 64 * 1024;
/// What may lie in memory for all of them when nothing more is made: the 32 MiB that they share, and a batch of as much as each
/// had room for. One alone may have 4 MiB, 24 times which is 96.
const MOST: u64 = 64 << 20;
const QUIET: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(10);

/// A peer that has asked for every block.
struct Asking {
    connection: Connection,
    mux: Mux,
    _theirs: Replication,
}

async fn ask(core: &Core) -> Asking {
    let (connection, theirs) = Connection::memory_pair();
    let replication = replicate(theirs, vec![core.clone()], Arc::new(|_| None));
    let mut mux = Mux::new();
    let info = connection.info();
    let capability = replication_capability(info.is_initiator, &core.key().0, &info.handshake_hash);
    let channel = mux.open(PROTOCOL, &core.discovery_key().0, &encode_handshake(&capability));
    for index in 0..BLOCKS {
        let block = Some(RequestBlock { index, nodes: 0 });
        let request = Request {
            block,
            ..Request::default()
        };
        mux.send(channel, kind::REQUEST, &encode_request(index + 1, &request));
    }
    while let Some(frame) = mux.poll_outgoing() {
        connection.send(frame).await.unwrap();
    }
    Asking {
        connection,
        mux,
        _theirs: replication,
    }
}

impl Asking {
    /// Reads until every block has come.
    async fn read(&mut self) {
        let mut answers = 0;
        while answers < BLOCKS {
            let frame = timeout(PATIENCE, self.connection.recv()).await;
            let frame = frame.unwrap_or_else(|_| panic!("only {answers} answers came"));
            self.mux.receive(&frame.unwrap()).unwrap();
            while let Some(event) = self.mux.poll_event() {
                if let Event::Message { kind: kind::DATA, .. } = event {
                    answers += 1;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_reads_nothing_shares_what_lies_in_memory_and_each_that_reads_gets_all() {
    let core = exchange::core_of(&Storage::in_memory().unwrap(), 1);
    core.append(&vec![Bytes::from(vec![7; BLOCK]); BLOCKS as usize])
        .unwrap();
    let made = Arc::new(AtomicU64::new(0));
    let (mut events, counted) = (core.events(), made.clone());
    tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            if let CoreEvent::Upload { bytes, .. } = event {
                counted.fetch_add(bytes, Ordering::Relaxed);
            }
        }
        // What was not heard of cannot be counted.
        counted.store(u64::MAX, Ordering::Relaxed);
    });
    let mut all = Vec::new();
    for _ in 0..PEERS {
        all.push(ask(&core).await);
    }
    let mut before = None;
    while before != Some(made.load(Ordering::Relaxed)) {
        before = Some(made.load(Ordering::Relaxed));
        tokio::time::sleep(QUIET).await;
    }
    let made = made.load(Ordering::Relaxed);
    assert!(
        made >= (PEERS * BLOCK) as u64,
        "each was answered: {made} bytes were made"
    );
    assert!(made <= MOST, "{made} bytes lie in memory");
    // One that reads is not held up by those that do not.
    all[PEERS / 2].read().await;
    all.remove(PEERS / 2);
    for asking in &mut all {
        asking.read().await;
    }
}
