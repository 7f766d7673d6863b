//! Replicates one core with whoever is at the other end of a TCP connection, such as npm `hypercore` with
//! `stream.pipe(core.replicate(isInitiator)).pipe(stream)`.
//!
//! `tcp serve <folder> <blocks>` appends random blocks, prints key and port, and serves until killed, appending one more
//! block a second; `tcp fetch <port> <key>` fetches everything and prints what it took.

use std::time::{Duration, Instant};

use core_store::DownloadRange;
use corestore::{Corestore, GetOptions};
use hypercore::KeyPair;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", folder, blocks] => serve(folder, blocks.parse()?).await,
        ["fetch", port, key] => fetch(port.parse()?, key).await,
        _ => Err("usage: tcp serve <folder> <blocks> | tcp fetch <port> <key>".into()),
    }
}

async fn serve(folder: &str, blocks: u64) -> Result<(), Box<dyn std::error::Error>> {
    let store = Corestore::open(folder)?;
    let core = store.get(GetOptions {
        name: Some("tcp".into()),
        ..GetOptions::default()
    })?;
    while core.length() < blocks {
        let batch: Vec<bytes::Bytes> = (0..64.min(blocks - core.length()))
            .map(|_| {
                (0..65_536)
                    .map(|_| rand::random::<u8>())
                    .collect::<Vec<u8>>()
                    .into()
            })
            .collect();
        core.append(&batch)?;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{} {}", hex::encode(core.key().0), listener.local_addr()?.port());
    let writer = core.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writer.append(&["live".into()]).is_err() {
                return;
            }
        }
    });
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let connection = secret_stream::over(socket, false, &KeyPair::generate()).await?;
        store.replicate(connection);
    }
}

async fn fetch(port: u16, key: &str) -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("tcp-fetch-{}", std::process::id()));
    let store = Corestore::open(&folder)?;
    let core = store.get(GetOptions {
        key: Some(key.parse()?),
        ..GetOptions::default()
    })?;
    let start = Instant::now();
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    store.replicate(secret_stream::over(socket, true, &KeyPair::generate()).await?);
    let mut events = core.events();
    while core.length() == 0 {
        events.recv().await?;
    }
    println!("length {} after {:?}", core.length(), start.elapsed());
    core.download(DownloadRange {
        start: 0,
        end: Some(core.length()),
    })
    .done()
    .await?;
    let seconds = start.elapsed().as_secs_f64();
    let megabytes = core.byte_length() as f64 / 1e6;
    println!(
        "fetched {megabytes:.1} MB in {seconds:.2} s, {:.1} MB/s",
        megabytes / seconds
    );
    store.close()?;
    drop((core, store));
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
