//! Measures one connection, like the JavaScript stream.js: `stream send|recv BOOTSTRAP TOPIC MB`.
//! The sender announces and sends 64 KiB messages and then `end`; the receiver looks it up and prints times and MB/s.

use std::error::Error;
use std::time::Instant;

use bytes::Bytes;
use hyperswarm::{JoinOptions, Swarm, SwarmConfig};

const CHUNK: usize = 65_536;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, bootstrap, topic, megabytes] = args.as_slice() else {
        return Err("usage: stream send|recv BOOTSTRAP TOPIC MB".into());
    };
    let sends = mode == "send";
    let topic: [u8; 32] = hex::decode(topic)?
        .try_into()
        .map_err(|_| "a topic is 64 hexadecimal digits")?;
    let chunks = (megabytes.parse::<f64>()? * 1e6) as usize / CHUNK;
    let start = Instant::now();
    let config = SwarmConfig {
        bootstrap: Some(vec![bootstrap.clone()]),
        ..SwarmConfig::default()
    };
    let swarm = Swarm::new(config).await?;
    let mut connections = swarm.connections();
    let discovery = swarm.join(
        topic,
        JoinOptions {
            server: sends,
            client: !sends,
        },
    );
    tokio::spawn(async move {
        discovery.flushed().await;
        eprintln!("flushed after {} ms", start.elapsed().as_millis());
    });
    while let Some(mut connection) = connections.recv().await {
        eprintln!("connected after {} ms", start.elapsed().as_millis());
        if sends {
            tokio::spawn(async move {
                let (chunk, begun) = (Bytes::from(vec![7; CHUNK]), Instant::now());
                for _ in 0..chunks {
                    if connection.send(chunk.clone()).await.is_err() {
                        return eprintln!("connection lost");
                    }
                }
                let _ = connection.send(Bytes::from_static(b"end")).await;
                println!("rust sent {} ms", begun.elapsed().as_millis());
                while connection.recv().await.is_some() {}
            });
            continue;
        }
        let (mut received, mut begun) = (0, None);
        while let Some(message) = connection.recv().await {
            let begun = *begun.get_or_insert_with(Instant::now);
            received += message.len();
            if &message[..] == b"end" {
                let (mb, s) = (received as f64 / 1e6, begun.elapsed().as_secs_f64());
                println!("rust recv {mb:.1} MB {s:.3} s {:.1} MB/s", mb / s);
                swarm.destroy().await;
                return Ok(());
            }
        }
        eprintln!("connection closed after {received} bytes");
    }
    Ok(())
}
