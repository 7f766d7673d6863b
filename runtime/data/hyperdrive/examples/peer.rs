//! Two ends of one connection, over TCP and without a swarm: one serves a folder as a drive, the other mirrors it. Either
//! end may also be npm (`NoiseSecretStream` over a socket, `store.replicate`).
//!
//! `peer serve ADDRESS STORE FOLDER` prints the drive's key and length and serves until stopped;
//! `peer fetch ADDRESS STORE OUT KEY [LENGTH]` waits for that length and mirrors.

use std::error::Error;
use std::time::Instant;

use core_store::CoreEvent;
use corestore::Corestore;
use hypercore::{Key, KeyPair};
use hyperdrive::{Hyperdrive, LocalDrive, MirrorOptions, mirror};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", address, store, folder] => serve(address, store, folder).await,
        ["fetch", address, store, out, key] => fetch(address, store, out, key, 1).await,
        ["fetch", address, store, out, key, length] => fetch(address, store, out, key, length.parse()?).await,
        _ => Err("usage: peer serve ADDRESS STORE FOLDER | peer fetch ADDRESS STORE OUT KEY [LENGTH]".into()),
    }
}

async fn serve(address: &str, store: &str, folder: &str) -> Result<(), Box<dyn Error>> {
    let store = Corestore::open(store)?;
    let drive = Hyperdrive::create(&store, "served").await?;
    let options = MirrorOptions {
        batch: true,
        dedup: true,
        ..MirrorOptions::default()
    };
    mirror(&LocalDrive::new(folder), &drive, options).finish().await?;
    let listener = TcpListener::bind(address).await?;
    println!("{} {}", hex::encode(drive.key().0), drive.core().length());
    let mut connections = Vec::new();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let connection = secret_stream::over(socket, false, &KeyPair::generate()).await?;
        connections.push(store.replicate(connection));
    }
}

async fn fetch(address: &str, store: &str, out: &str, key: &str, length: u64) -> Result<(), Box<dyn Error>> {
    let store = Corestore::open(store)?;
    let key: Key = key.parse()?;
    let drive = Hyperdrive::open(&store, key).await?;
    let mut events = drive.core().events();
    let started = Instant::now();
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let connection = secret_stream::over(socket, true, &KeyPair::generate()).await?;
    let _replication = store.replicate(connection);
    while drive.core().length() < length {
        if let CoreEvent::Append { length } = events.recv().await? {
            eprintln!("length {length} after {} ms", started.elapsed().as_millis());
        }
    }
    let totals = mirror(&drive, &LocalDrive::new(out), MirrorOptions::default())
        .finish()
        .await?;
    let blobs = drive.blobs().await?;
    let stored = blobs.count_stored(0, blobs.length());
    println!(
        "{totals:?} in {} ms, {stored} blocks of contents here",
        started.elapsed().as_millis()
    );
    Ok(())
}
