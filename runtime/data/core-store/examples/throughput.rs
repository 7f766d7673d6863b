//! Measures how fast a core in a file takes blocks: appended here, and verified from a peer's proofs.
//! `cargo run --release -p bosc-hypercore --example throughput [MiB] [block KiB]`

use std::error::Error;
use std::time::Instant;

use bytes::Bytes;
use core_store::{Core, CoreOptions, Storage};
use hypercore::KeyPair;
use hypercore::proof::{Request, RequestBlock, RequestUpgrade};

/// Blocks in one append.
const BATCH: u64 = 16;

fn report(what: &str, bytes: u64, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    println!("{what}: {:.0} MB/s", bytes as f64 / 1e6 / seconds);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let total = arguments.next().transpose()?.unwrap_or(256) << 20;
    let size = arguments.next().transpose()?.unwrap_or(64) << 10;
    let count = total / size.max(1);
    let block = |index: u64| -> Bytes {
        (0..size)
            .map(|i| (i * 7 + index) as u8)
            .collect::<Vec<_>>()
            .into()
    };
    let blocks: Vec<Bytes> = (0..count).map(block).collect();
    let dir = std::env::temp_dir().join(format!("hypercore-throughput-{}", std::process::id()));
    std::fs::create_dir(&dir)?;

    let options = CoreOptions {
        key_pair: Some(KeyPair::from_seed([1; 32])),
        ..CoreOptions::default()
    };
    let writer = Core::open(&Storage::open(&dir.join("writer.db"))?, options)?;
    let start = Instant::now();
    for batch in blocks.chunks(BATCH as usize) {
        writer.append(batch)?;
    }
    report("append", count * size, start);

    let options = CoreOptions {
        manifest: writer.manifest(),
        ..CoreOptions::default()
    };
    let reader = Core::open(&Storage::open(&dir.join("reader.db"))?, options.clone())?;
    let upgrade = Some(RequestUpgrade {
        start: 0,
        length: count,
    });
    let request = Request {
        upgrade,
        ..Request::default()
    };
    let grown = writer.create_proof(&request)?.ok_or("no proof")?;
    // The number of levels a reader lacks depends on what it has; a reader in memory tells it without disturbing the measurement.
    let model = Core::open(&Storage::in_memory()?, options)?;
    model.verify(grown.clone())?;
    let mut proofs = Vec::new();
    let start = Instant::now();
    for index in 0..count {
        let nodes = model.missing_nodes(2 * index)?;
        let request = Request {
            block: Some(RequestBlock { index, nodes }),
            ..Request::default()
        };
        let data = writer.create_proof(&request)?.ok_or("no proof")?;
        model.verify(data.clone())?;
        proofs.push(data);
    }
    report("prove, and verify in memory", count * size, start);

    reader.verify(grown)?;
    let start = Instant::now();
    for data in proofs {
        reader.verify(data)?;
    }
    reader.flush()?;
    report("verify", count * size, start);
    drop((writer, reader));
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
