//! Our peer that streams for as long as it runs, in a process of its own: what `tests/interop/stream.js` is for the other stack.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use hyperswarm::{JoinOptions, Swarm, SwarmConfig, Topic};

/// Length of a message.
const CHUNK: usize = 65_536;
/// How often the receiver says what it has.
const SAY_EVERY: Duration = Duration::from_millis(100);

/// Runs `send` or `recv` with a DHT node and a topic in hex, until the process is ended.
///
/// # Errors
/// If the arguments are not those, or the swarm does not start.
pub async fn stream(mode: &str, bootstrap: &str, topic: &str) -> Result<()> {
    let topic: [u8; 32] = hex::decode(topic)?
        .try_into()
        .ok()
        .context("a topic has 32 bytes")?;
    let swarm = Swarm::new(SwarmConfig {
        bootstrap: Some(vec![bootstrap.to_owned()]),
        ..SwarmConfig::default()
    })
    .await?;
    let sends = mode == "send";
    let mut connections = swarm.connections();
    let discovery = swarm.join(
        Topic(topic),
        JoinOptions {
            server: sends,
            client: !sends,
        },
    );
    if sends {
        discovery.flushed().await;
        println!("ready");
    }
    while let Some(mut connection) = connections.recv().await {
        tokio::spawn(async move {
            if sends {
                let chunk = bytes::Bytes::from(vec![7; CHUNK]);
                while connection.send(chunk.clone()).await.is_ok() {}
                return;
            }
            let (mut bytes, mut said) = (0, None::<tokio::time::Instant>);
            while let Some(message) = connection.recv().await {
                bytes += message.len();
                if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                    said = Some(tokio::time::Instant::now());
                    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    println!("at {} {bytes}", at.as_millis());
                }
            }
        });
    }
    Ok(())
}
