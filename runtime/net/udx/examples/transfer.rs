//! Moves megabytes between two processes, to measure or to check against another UDX implementation.
//!
//! `transfer send|recv <own port> <own id> <peer port> <peer id> <megabytes>`; the receiver prints the rate and
//! whether the bytes were right, then both end the stream.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, port, id, peer_port, peer_id, megabytes] = args.as_slice() else {
        return Err("usage: transfer send|recv <own port> <own id> <peer port> <peer id> <megabytes>".into());
    };
    let socket = udx::Socket::bind(format!("127.0.0.1:{port}").parse()?).await?;
    let mut stream = socket.create_stream(id.parse()?);
    stream.connect(peer_id.parse()?, format!("127.0.0.1:{peer_port}").parse()?)?;
    let total = megabytes.parse::<usize>()? * 1_000_000;
    let pattern: Vec<u8> = (0..256 * 1024).map(|n| (n % 251) as u8).collect();
    let start = Instant::now();
    let mut moved = 0;
    if mode == "send" {
        while moved < total {
            // Each piece continues the pattern of period 251.
            let from = moved % 251;
            let length = (total - moved).min(64 * 1024);
            stream
                .write_all(pattern.get(from..from + length).unwrap_or_default())
                .await?;
            moved += length;
        }
        stream.shutdown().await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        println!(
            "{:?}, peer said {:?}",
            stream.stats(),
            String::from_utf8_lossy(&rest)
        );
    } else {
        let mut buffer = vec![0; 256 * 1024];
        let mut right = true;
        let mut first = None;
        loop {
            let count = stream.read(&mut buffer[..128 * 1024]).await?;
            if count == 0 {
                break;
            }
            first.get_or_insert_with(Instant::now);
            let from = moved % 251;
            right &= buffer.get(..count) == pattern.get(from..from + count);
            moved += count;
        }
        let seconds = first.unwrap_or(start).elapsed().as_secs_f64();
        println!(
            "received {moved} bytes, right: {}, {:.1} MB/s",
            right && moved == total,
            moved as f64 / 1e6 / seconds
        );
        stream.write_all(b"done").await?;
        stream.shutdown().await?;
    }
    println!("closed: {}", stream.closed().await);
    Ok(())
}
