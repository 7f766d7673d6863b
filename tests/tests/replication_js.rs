//! Cores between corestore and npm `corestore` over TCP, in both directions: several on one connection, live appends,
//! truncation. Needs Node with the packages of tests/interop (or of the folder that BOSC_INTEROP names).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use core_store::{Core, DownloadRange};
use corestore::{Corestore, GetOptions};
use secret_stream::KeyPair;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A JavaScript peer; ends with the test.
fn node(args: &[&str]) -> Result<Child> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("BOSC_INTEROP").map_or(here.join("interop"), Into::into);
    let modules = folder.join("node_modules");
    ensure!(
        modules.join("corestore").is_dir(),
        "no corestore in {}; run `npm ci` in tests/interop",
        modules.display()
    );
    Command::new("node")
        .arg(here.join("tests/replication_js/peer.js"))
        .args(args)
        .env("NODE_PATH", modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("Node is not installed")
}

async fn line(lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>) -> Result<Vec<String>> {
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .context("the JavaScript peer is silent")??;
    Ok(line
        .context("the JavaScript peer ended")?
        .split(' ')
        .map(str::to_owned)
        .collect())
}

async fn complete(core: &Core, hash: &str) -> Result<()> {
    timeout(PATIENCE, async {
        let mut events = core.events();
        // Of one moment: a truncation may come between two questions.
        while hex::encode(core.tree().hash()) != hash {
            let _ = events.recv().await;
        }
        core.download(DownloadRange::default()).done().await?;
        anyhow::Ok(())
    })
    .await
    .with_context(|| format!("stuck at length {}", core.length()))??;
    ensure!(core.contiguous_length() == core.length());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_follows_javascript() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut peer = node(&["seed", &folder.path().to_string_lossy()])?;
    let mut lines = BufReader::new(peer.stdout.take().context("stdout")?).lines();
    let told = line(&mut lines).await?;
    ensure!(told.len() == 7, "{told:?}");
    let store = Corestore::in_memory()?;
    let socket = TcpStream::connect(("127.0.0.1", told[0].parse()?)).await?;
    store.replicate(secret_stream::over(socket, true, &KeyPair::generate()).await?);
    let mut cores = Vec::new();
    for i in 0..3 {
        let key = Some(told[1 + i].parse()?);
        let core = store.get(GetOptions {
            key,
            ..GetOptions::default()
        })?;
        complete(&core, &told[4 + i]).await?;
        ensure!(core.length() == 700);
        cores.push(core);
    }
    peer.stdin.as_mut().context("stdin")?.write_all(b"cut\n").await?;
    let hash = line(&mut lines).await?;
    complete(&cores[0], &hash[0]).await?;
    ensure!((cores[0].length(), cores[0].fork()) == (402, 1));
    ensure!(cores[0].get(401).await? == "the cut");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_follows_rust() -> Result<()> {
    let store = Corestore::in_memory()?;
    let mut cores = Vec::new();
    for i in 0..3usize {
        let name = Some(format!("core {i}"));
        let core = store.get(GetOptions {
            name,
            ..GetOptions::default()
        })?;
        let blocks: Vec<_> = (0..500usize)
            .map(|at| vec![at as u8; at * (7 + i) % 4096].into())
            .collect();
        core.append(&blocks)?;
        cores.push(core);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (folder, port) = (tempfile::tempdir()?, listener.local_addr()?.port().to_string());
    let folder = folder.path().to_string_lossy();
    let keys: Vec<String> = cores.iter().map(|core| hex::encode(core.key().0)).collect();
    let mut peer = node(&["fetch", &folder, &port, &keys[0], &keys[1], &keys[2]])?;
    let mut lines = BufReader::new(peer.stdout.take().context("stdout")?).lines();
    let (socket, _) = timeout(PATIENCE, listener.accept()).await??;
    store.replicate(secret_stream::over(socket, false, &KeyPair::generate()).await?);
    let hashes = line(&mut lines).await?;
    for (core, hash) in cores.iter().zip(&hashes) {
        ensure!(hex::encode(core.tree_hash(500)?) == *hash);
    }
    cores[0].append(&["live".into()])?;
    ensure!(line(&mut lines).await? == ["live"]);
    Ok(())
}
