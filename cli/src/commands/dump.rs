//! `bosc dump`: what a link holds, into a folder, as a list, or one file of it to stdout.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use app::Link;
use futures::TryStreamExt;
use hyperdrive::ByteStream;
use release::{Dump, DumpOptions};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::args::{self, Global};
use crate::output::Output;
use crate::store;
use crate::view::{View, notes};

/// The largest file that is printed as one line of JSON: it is held in memory as a whole.
const MAX_JSON_BYTES: usize = 16 << 20;

/// The longest line that a terminal gets in one piece.
const MAX_LINE_BYTES: usize = 64 << 10;

pub(crate) async fn run(args: &args::Dump, global: &Global, output: &Output) -> anyhow::Result<()> {
    let link: Link = args.link.parse()?;
    let options = DumpOptions {
        dry_run: args.dry_run,
        only: args.only.clone(),
        force: args.force,
        no_prune: args.no_prune,
    };
    let store = store::open(global)?;
    let dir = args.dir.as_deref().filter(|dir| *dir != "-" && !args.list);
    if let Some(dir) = dir {
        Dump::check_target(&store, Path::new(dir), &options)?;
    }
    let network = store::network(global, store);
    output.tag("dumping", json!({ "link": link.to_string(), "dir": args.dir }));
    let patience = Duration::from_secs(args.timeout);
    let dump = Dump::open(&network, link, args.checkout, patience).await?;
    notes(dump.notes(), output);
    match dir {
        Some(dir) => {
            if args.dry_run {
                output.tag("dry", Value::Null);
            }
            let totals = dump
                .write(Path::new(dir), &options, &mut View::new(output))
                .await?;
            output.tag(
                "stats",
                json!({ "files": totals.files, "add": totals.add, "remove": totals.remove, "change": totals.change }),
            );
        }
        None if args.list => drop(dump.list(&mut View::new(output)).await?),
        None => {
            let (key, contents) = dump.read().await?;
            print(&key, contents, output).await?;
        }
    }
    network.close().await?;
    output.done(json!({}));
    Ok(())
}

/// Writes a file's bytes to stdout as they are; with `--json` as one text.
async fn print(key: &str, mut contents: ByteStream, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        let mut bytes = Vec::new();
        while let Some(part) = contents.try_next().await? {
            if bytes.len() + part.len() > MAX_JSON_BYTES {
                bail!(
                    "{key} is larger than {MAX_JSON_BYTES} bytes: dump it without --json, or into a folder"
                );
            }
            bytes.extend_from_slice(&part);
        }
        output.tag(
            "file",
            json!({ "key": key, "value": String::from_utf8_lossy(&bytes) }),
        );
        return Ok(());
    }
    if std::io::stdout().is_terminal() {
        // It may have been written by anybody, for the terminal to act on.
        let mut rest = Vec::new();
        while let Some(part) = contents.try_next().await? {
            rest.extend_from_slice(&part);
            while let Some(end) = line_end(&rest) {
                let line: Vec<u8> = rest.drain(..end).collect();
                output.result(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
            }
        }
        if !rest.is_empty() {
            output.result(&String::from_utf8_lossy(&rest));
        }
        return Ok(());
    }
    let mut stdout = tokio::io::stdout();
    while let Some(part) = contents.try_next().await? {
        stdout.write_all(&part).await?;
    }
    Ok(stdout.flush().await?)
}

/// Where the first line in some bytes ends, with its line feed; a longer one than any person reads is cut.
fn line_end(bytes: &[u8]) -> Option<usize> {
    match memchr::memchr(b'\n', bytes) {
        Some(at) => Some(at + 1),
        None => (bytes.len() > MAX_LINE_BYTES).then_some(MAX_LINE_BYTES),
    }
}
