//! `bosc dump`: what a link holds, into a folder.

mod unfinished;

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use app::Link;
use corestore::Corestore;
use futures::TryStreamExt;
use hyperdrive::{Drive, Hyperdrive, LocalDrive, MirrorOptions, mirror};
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::drives::{expect_version, open, open_store};
use crate::network::Network;
use crate::output::Output;
use unfinished::{State, Unfinished};

pub(crate) async fn run(args: &args::Dump, global: &Global, output: &Output) -> anyhow::Result<()> {
    let link: Link = args.link.parse()?;
    let list = args.dir == "-";
    let asks = !list && !args.force && !args.dry_run;
    let state = if asks {
        unfinished::look(Path::new(&args.dir))?
    } else {
        State::Filled
    };
    if asks && matches!(state, State::Filled) {
        bail!("{} is not empty: to overwrite, add --force", args.dir);
    }
    let store = open_store(global)?;
    if !list && !args.no_prune && holds_store(Path::new(&args.dir), &store) {
        bail!(
            "{} holds the store that is in use, whose files and secret keys would be deleted: dump into another folder",
            args.dir
        );
    }
    let drive = open(&store, link.key).await?;
    let length = args.checkout.or(link.length);
    output.tag("dumping", json!({ "link": link.to_string(), "dir": args.dir }));
    let mut network = None;
    if !drive.writable() {
        let joined = Network::start(global, &store, None).await?;
        joined.find(&drive);
        let patience = Duration::from_secs(args.timeout);
        store.storage().set_patience(patience);
        let stored = drive.core().length();
        if stored == 0 || length.is_some_and(|length| length > stored) {
            joined.wait_for(&drive, length.unwrap_or(1), patience).await?;
        } else if length.is_none() && !joined.catch_up(&drive, patience).await? {
            output.say("no peer could be asked for a newer version: this is the one stored here");
        }
        network = Some(joined);
    } else {
        // All of it should be here; what the disk has lost nobody brings.
        store.storage().without_peers();
    }
    let present = drive.core().length();
    let length = length.unwrap_or(present);
    if length > present {
        bail!("{link} has {present} blocks, not {length}: name a version that exists");
    }
    let patience = Duration::from_secs(args.timeout);
    expect_version(&drive, &link, patience).await?;
    let fork = drive.fork();
    let checkout = drive.checkout(length);
    let prefix = link.path.split(['?', '#']).next().filter(|path| path.len() > 1);
    let read = if list {
        print_list(&checkout, prefix, output)
            .await
            .map(|count| (count, None))
    } else {
        write(args, &link, &checkout, prefix, state, output).await
    };
    let (count, unfinished) = match read {
        Ok(read) => read,
        Err(error) => return Err(explain(error, &drive, &link).await),
    };
    if count == 0 && prefix.is_some() {
        bail!("not found: {link} holds nothing at that path");
    }
    // Whoever looks at a version must not be shown two.
    if drive.fork() != fork {
        bail!(
            "{link} was truncated while it was read, and what was read may be of two versions: name its present one, and dump again with --force"
        );
    }
    if let Some(network) = network {
        network.close().await;
    }
    store.close()?;
    // Only now has all gone well: after an error before this the same command may be run again.
    if let Some(unfinished) = unfinished {
        unfinished.finish()?;
    }
    output.done(json!({}));
    Ok(())
}

/// If blocks were lost to the disk, that and what helps; else the error as it is.
async fn explain(error: anyhow::Error, drive: &Hyperdrive, link: &Link) -> anyhow::Error {
    let mut lost = drive.core().lost().map_or(0, |lost| lost.len());
    // Not awaited for long: which core holds the contents may be among what was lost.
    let blobs = tokio::time::timeout(Duration::from_secs(1), drive.blobs()).await;
    if let Ok(Ok(blobs)) = blobs {
        lost += blobs.lost().map_or(0, |lost| lost.len());
    }
    if lost == 0 {
        return error;
    }
    let link = Link::plain(link.key);
    error.context(format!(
        "the disk has spoilt {lost} blocks of {link}: `bosc check {link} --repair` fetches them from whoever seeds it"
    ))
}

/// Whether the store lies in a folder, or is it.
fn holds_store(dir: &Path, store: &Corestore) -> bool {
    let (dir, store) = (dir.canonicalize(), store.storage().path().canonicalize());
    matches!((dir, store), (Ok(dir), Ok(store)) if store.starts_with(&dir))
}

async fn print_list(drive: &Hyperdrive, prefix: Option<&str>, output: &Output) -> anyhow::Result<u64> {
    let entries = drive.list_or_entry(prefix.unwrap_or("/")).await?;
    for entry in &entries {
        output.tag("file", json!({ "key": entry.key }));
        output.result(&entry.key);
    }
    Ok(entries.len() as u64)
}

async fn write(
    args: &args::Dump,
    link: &Link,
    drive: &Hyperdrive,
    prefix: Option<&str>,
    state: State,
    output: &Output,
) -> anyhow::Result<(u64, Option<Unfinished>)> {
    if args.dry_run {
        output.tag("dry", Value::Null);
    }
    let mut options = MirrorOptions {
        dry_run: args.dry_run,
        prune: !args.no_prune,
        only: args.only.clone(),
        prefix: prefix.map(str::to_owned).into_iter().collect(),
        ..MirrorOptions::default()
    };
    if matches!(state, State::Filled) {
        let files = fill(args, drive, prefix, options, output).await?;
        if !args.dry_run {
            unfinished::forget(Path::new(&args.dir))?;
        }
        return Ok((files, None));
    }
    let (unfinished, goes_on) = Unfinished::begin(args, link, drive, state, &options).await?;
    if goes_on {
        output.say("going on with a dump that was interrupted");
        options.prune = false;
    }
    match fill(args, drive, prefix, options, output).await {
        Ok(files) => Ok((files, Some(unfinished))),
        Err(error) => {
            unfinished.give_up();
            Err(error)
        }
    }
}

async fn fill(
    args: &args::Dump,
    drive: &Hyperdrive,
    prefix: Option<&str>,
    options: MirrorOptions,
    output: &Output,
) -> anyhow::Result<u64> {
    // All of it is asked for at once: many small files must not cost a round trip each. The mirror asks for the contents.
    let _list = if args.dry_run {
        None
    } else {
        drive.download_list(prefix.unwrap_or("/")).await?
    };
    let local = LocalDrive::new(&args.dir);
    let mut changes = mirror(drive, &local, options);
    while let Some(diff) = changes.try_next().await? {
        output.diff(&diff);
    }
    let totals = changes.totals();
    output.tag(
        "stats",
        json!({ "files": totals.files, "add": totals.add, "remove": totals.remove, "change": totals.change }),
    );
    Ok(totals.files)
}
