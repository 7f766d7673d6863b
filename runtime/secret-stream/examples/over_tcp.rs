//! Moves megabytes over an encrypted TCP connection, to measure or to check against npm `@hyperswarm/secret-stream`.
//!
//! `over_tcp listen|connect <port> send|recv <megabytes>`; the listener is the responder.

use std::time::Instant;

use bytes::Bytes;
use secret_stream::{KeyPair, over};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [role, port, mode, megabytes] = args.as_slice() else {
        return Err("usage: over_tcp listen|connect <port> send|recv <megabytes>".into());
    };
    let address = format!("127.0.0.1:{port}");
    let is_initiator = role == "connect";
    let tcp = match is_initiator {
        true => TcpStream::connect(address).await?,
        false => TcpListener::bind(address).await?.accept().await?.0,
    };
    tcp.set_nodelay(true)?;
    let mut connection = over(tcp, is_initiator, &KeyPair::generate()).await?;
    println!("connected: {:02x?}", connection.info().handshake_hash.get(..8));
    let total = megabytes.parse::<usize>()? * 1_000_000;
    let start = Instant::now();
    let mut moved = 0;
    if mode == "send" {
        let block = Bytes::from(vec![7; 65536]);
        while moved < total {
            connection.send(block.slice(..(total - moved).min(65536))).await?;
            moved += 65536;
        }
        connection.send(Bytes::from_static(b"end")).await?;
        println!("peer said {:?}", connection.recv().await);
        connection.close();
    } else {
        while let Some(message) = connection.recv().await {
            if message == "end" {
                break;
            }
            moved += message.len();
        }
        println!(
            "received {moved} bytes, {:.1} MB/s",
            moved as f64 / 1e6 / start.elapsed().as_secs_f64()
        );
        connection.send(Bytes::from_static(b"done")).await?;
        println!("then {:?}", connection.recv().await);
    }
    println!("closed: {}", connection.closed().await);
    Ok(())
}
