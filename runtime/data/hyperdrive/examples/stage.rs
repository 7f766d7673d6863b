//! Mirrors a folder into a drive of a local store, and the drive into another folder, and tells how long each took.
//!
//! `cargo run --release -p bosc-hyperdrive --example stage -- FOLDER STORE [OUT]`

use std::time::Instant;

use corestore::Corestore;
use futures::TryStreamExt;
use hyperdrive::{Drive, DriveError, Hyperdrive, LocalDrive, MirrorOptions, mirror};

#[tokio::main]
async fn main() -> Result<(), DriveError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(store)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: stage FOLDER STORE [OUT]");
        return Ok(());
    };
    let store = Corestore::open(store)?;
    let drive = Hyperdrive::create(&store, "stage").await?;
    let options = MirrorOptions {
        batch: true,
        dedup: true,
        ..MirrorOptions::default()
    };
    let before = drive.blobs().await?.byte_length();
    copy("staged", &LocalDrive::new(folder), &drive, options).await?;
    let added = drive.blobs().await?.byte_length() - before;
    println!(
        "pear://{} length {}, {added} bytes of contents added",
        drive.key(),
        drive.core().length()
    );
    if let Some(out) = arguments.next() {
        copy(
            "mirrored",
            &drive,
            &LocalDrive::new(out),
            MirrorOptions::default(),
        )
        .await?;
    }
    Ok(())
}

async fn copy(
    what: &str,
    src: &dyn Drive,
    dst: &dyn Drive,
    options: MirrorOptions,
) -> Result<(), DriveError> {
    let started = Instant::now();
    let mut run = mirror(src, dst, options);
    let mut changes = 0;
    while run.try_next().await?.is_some() {
        changes += 1;
    }
    let totals = run.totals();
    let took = started.elapsed().as_millis();
    println!(
        "{what} {} files, {changes} changes, {} bytes in {took} ms",
        totals.files, totals.bytes_added
    );
    Ok(())
}
