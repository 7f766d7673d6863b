//! Moves megabytes over an encrypted TCP or UDX connection, to measure or to check against npm `@hyperswarm/secret-stream`.
//!
//! `megabytes listen|connect <port> send|recv <megabytes>` for TCP; the listener is the responder.
//! `megabytes listen-udx|connect-udx <port> …` for UDX: the listener has stream id 1 on that port, the other side
//! id 2 on the next port.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use secret_stream::{KeyPair, over};
use tokio::net::{TcpListener, TcpStream};
use udx::Socket;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [role, port, mode, megabytes] = args.as_slice() else {
        return Err(
            "usage: megabytes listen|connect|listen-udx|connect-udx <port> send|recv <megabytes>".into(),
        );
    };
    let address: SocketAddr = format!("127.0.0.1:{port}").parse()?;
    let next = SocketAddr::new(address.ip(), address.port() + 1);
    let key_pair = KeyPair::generate();
    let mut connection = match role.as_str() {
        "connect" => over(TcpStream::connect(address).await?, true, &key_pair).await?,
        "listen" => {
            over(
                TcpListener::bind(address).await?.accept().await?.0,
                false,
                &key_pair,
            )
            .await?
        }
        "connect-udx" => {
            let stream = Socket::bind(next).await?.create_stream(2);
            stream.connect(1, address)?;
            over(stream, true, &key_pair).await?
        }
        _ => {
            let stream = Socket::bind(address).await?.create_stream(1);
            stream.connect(2, next)?;
            over(stream, false, &key_pair).await?
        }
    };
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
