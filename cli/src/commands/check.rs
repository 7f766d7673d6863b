//! `bosc check`: looks at every stored block of a link, or of the whole store, and says what the disk spoilt; with `--repair`,
//! mends what can be mended and fetches the rest from peers again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, bail};
use app::Link;
use core_store::{BlockHealth, Core};
use corestore::{Corestore, GetOptions};
use hypercore::{DiscoveryKey, Key};
use hyperdrive::content_manifest;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::args::{self, Global};
use crate::network::join;
use crate::output::Output;
use crate::store;

/// Blocks looked at before the progress is drawn again.
const STRIDE: u64 = 64;
/// Rotten blocks named one by one; of more, only the number is told.
const NAMED: usize = 20;

/// What one core came to.
#[derive(Default)]
struct Findings {
    sound: u64,
    mended: u64,
    absent: u64,
    rotten: Vec<u64>,
}

pub(crate) async fn run(args: &args::Check, global: &Global, output: &Output) -> anyhow::Result<()> {
    let link = args.link.as_ref().map(|link| link.parse::<Link>()).transpose()?;
    let (store, _lock) = if args.repair {
        let (store, lock) = store::open_to_write(global)?;
        (store, Some(lock))
    } else {
        (store::open(global)?, None)
    };
    let keys = store.keys()?;
    if let Some(link) = &link
        && !keys.contains(&link.key)
    {
        bail!(
            "nothing of {} is stored here: there is nothing to check",
            Link::plain(link.key)
        );
    }
    let mut damaged: Vec<(Core, Vec<u64>)> = Vec::new();
    let mut unusable = 0;
    let drives = drives(&store, &keys);
    for key in keys {
        let drive = drives.get(&key).copied();
        if link
            .as_ref()
            .is_some_and(|link| link.key != key && drive != Some(link.key))
        {
            continue;
        }
        let core = match store.get(GetOptions {
            key: Some(key),
            ..GetOptions::default()
        }) {
            Ok(core) => core,
            Err(error) => {
                unusable += 1;
                output.tag(
                    "core",
                    json!({ "key": key.to_string(), "error": error.to_string() }),
                );
                output.result(&format!("{}: {error}", name(key, drive)));
                continue;
            }
        };
        let found = look(&core, args.repair, output).await?;
        tell(&found, key, drive, output);
        if !found.rotten.is_empty() {
            damaged.push((core, found.rotten));
        }
    }
    if args.repair && !damaged.is_empty() {
        fetch(
            &damaged,
            &drives,
            global,
            &store,
            Duration::from_secs(args.timeout),
            output,
        )
        .await?;
        damaged.clear();
    }
    store.close()?;
    let rotten: usize = damaged.iter().map(|(_, blocks)| blocks.len()).sum();
    if unusable > 0 {
        bail!(
            "{unusable} cores cannot be used: restore {} from a copy",
            store.storage().path().display()
        );
    }
    if rotten > 0 {
        let what = link.map_or_else(String::new, |link| format!(" {}", Link::plain(link.key)));
        bail!("{rotten} blocks are rotten: `bosc check{what} --repair` fetches them from peers again");
    }
    output.done(json!({}));
    Ok(())
}

/// For each core that holds a drive's contents, that drive.
fn drives(store: &Corestore, keys: &[Key]) -> HashMap<Key, Key> {
    let contents = |key: &Key| {
        let core = store
            .get(GetOptions {
                key: Some(*key),
                ..GetOptions::default()
            })
            .ok()?;
        Some((content_manifest(&core.manifest()?, key)?.key(), *key))
    };
    keys.iter().filter_map(contents).collect()
}

fn name(key: Key, drive: Option<Key>) -> String {
    match drive {
        Some(drive) => format!("contents of {}", Link::plain(drive)),
        None => Link::plain(key).to_string(),
    }
}

/// Looks at every block of a core, on a thread that may wait for the disk.
async fn look(core: &Core, repair: bool, output: &Output) -> anyhow::Result<Findings> {
    let bar = if output.interactive() {
        let style = ProgressStyle::with_template("{pos}/{len} blocks {wide_bar}");
        ProgressBar::new(core.length()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    } else {
        ProgressBar::hidden()
    };
    let (core, drawn) = (core.clone(), bar.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let mut found = Findings::default();
        let lost: HashSet<u64> = core.lost()?.into_iter().collect();
        for index in 0..core.length() {
            match core.check_block(index, repair)? {
                BlockHealth::Sound => found.sound += 1,
                BlockHealth::Mended => found.mended += 1,
                // Dropped by an earlier repair, or when it was read.
                BlockHealth::Absent if lost.contains(&index) => found.rotten.push(index),
                BlockHealth::Absent => found.absent += 1,
                BlockHealth::Rotten => found.rotten.push(index),
            }
            if index.is_multiple_of(STRIDE) {
                drawn.set_position(index);
            }
        }
        if core.length() == 0 {
            // Its head was spoilt: what it held is to be fetched again, the head first.
            found.rotten = lost.into_iter().collect();
            found.rotten.sort_unstable();
        }
        Ok::<_, core_store::CoreError>(found)
    });
    let found = looked.await.context("the check was cut off")??;
    bar.finish_and_clear();
    Ok(found)
}

fn tell(found: &Findings, key: Key, drive: Option<Key>, output: &Output) {
    output.tag(
        "core",
        json!({
            "key": key.to_string(), "drive": drive.map(|drive| drive.to_string()), "sound": found.sound,
            "mended": found.mended, "absent": found.absent, "rotten": found.rotten,
        }),
    );
    let mut parts = vec![format!("{} blocks sound", found.sound)];
    if found.mended > 0 {
        parts.push(format!(
            "{} with spoilt tree nodes that can be computed anew",
            found.mended
        ));
    }
    if found.absent > 0 {
        parts.push(format!("{} not stored", found.absent));
    }
    if !found.rotten.is_empty() {
        let named: Vec<String> = found.rotten.iter().take(NAMED).map(u64::to_string).collect();
        let more = if found.rotten.len() > NAMED { ", ..." } else { "" };
        parts.push(format!(
            "{} rotten: {}{more}",
            found.rotten.len(),
            named.join(", ")
        ));
    }
    output.result(&format!("{}: {}", name(key, drive), parts.join(", ")));
}

/// Fetches blocks that were dropped, and first the head of a core that starts over: which of its blocks there are depends on that.
async fn fetch(
    damaged: &[(Core, Vec<u64>)],
    drives: &HashMap<Key, Key>,
    global: &Global,
    store: &Corestore,
    patience: Duration,
    output: &Output,
) -> anyhow::Result<()> {
    let network = join(global, store, None).await?;
    let topic = |key: Key| -> DiscoveryKey { drives.get(&key).copied().unwrap_or(key).discovery_key() };
    let mut joined = Vec::new();
    for (core, _) in damaged {
        joined.push(network.look_for(topic(core.key()), false));
    }
    for (core, blocks) in damaged {
        let what = name(core.key(), drives.get(&core.key()).copied());
        let options = core_store::GetOptions {
            patience: Some(patience),
            ..core_store::GetOptions::default()
        };
        let again = async {
            let mut blocks = blocks.clone();
            if core.length() == 0 {
                core.get_with(0, options).await?;
                blocks = core.lost()?;
            }
            for index in blocks {
                core.get_with(index, options).await?;
            }
            Ok::<_, core_store::CoreError>(())
        };
        if let Err(error) = again.await {
            network.expect_dht()?;
            return Err(error)
                .with_context(|| format!("{what} is not whole yet; run this again once someone seeds it"));
        }
        let count = blocks.len();
        output.tag(
            "repaired",
            json!({ "key": core.key().to_string(), "blocks": count }),
        );
        output.say(&format!("{what}: fetched {count} blocks again"));
    }
    drop(joined);
    network.close().await;
    Ok(())
}
