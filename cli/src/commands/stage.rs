//! `bosc stage`: a deployment folder goes onto a link of ours.

mod remembered;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use app::{Host, Link, Manifest, layout};
use futures::TryStreamExt;
use hyperdrive::{
    Diff, DiffOp, Hyperdrive, LocalDrive, LocalOptions, MirrorOptions, PathFilter, Totals, mirror,
};
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::commands::build::check_bundle;
use crate::drives::{open_own, open_store_to_write, verlink};
use crate::output::Output;
use crate::precautions;
use remembered::Remembered;

pub(crate) async fn run(args: &args::Stage, global: &Global, output: &Output) -> anyhow::Result<()> {
    let link: Link = args.link.parse()?;
    if !args.dir.is_dir() {
        bail!(
            "{} is not a folder: name the deployment folder that `bosc build` wrote",
            args.dir.display()
        );
    }
    let manifest = Manifest::read(&layout::manifest(&args.dir))?;
    manifest.release()?;
    check_bundles(&args.dir, &manifest, output)?;
    let (name, version, staging) = (&manifest.name, &manifest.version, manifest.staging()?);
    let mut own = staging.ignore;
    own.extend(args.ignore.iter().cloned());
    let ignore = precautions::ignored(!args.no_default_ignore, own.clone());
    let mut only = staging.only;
    only.extend(args.only.iter().cloned());
    let local = LocalDrive::with_options(
        &args.dir,
        LocalOptions {
            follow_external_links: args.follow_links,
        },
    );
    let (store, _lock) = open_store_to_write(global)?;
    let drive = open_own(&store, &link).await?;
    let remembered = Remembered::look(args, &local, drive.core()).await;
    let (own, all) = (PathFilter::new(&own, &only), PathFilter::new(&ignore, &only));
    let left_out = precautions::look_through(
        &local,
        (&own, &all),
        args.follow_links,
        args.force,
        remembered.memory(),
    );
    if let Some(names) = left_out.await? {
        output.say(&format!(
            "left out by their names: {names} (--no-default-ignore takes them)"
        ));
    }
    let before = verlink(&drive);
    output.tag(
        "staging",
        json!({ "name": name, "key": drive.key().to_string(), "link": Link::plain(drive.key()).to_string(),
            "verlink": before.to_string(), "current": drive.core().length(), "dir": args.dir.display().to_string() }),
    );
    if args.dry_run {
        output.tag("dry", Value::Null);
        output.say("dry run: nothing is written");
    } else if let Some(length) = args.truncate {
        drive.truncate(length, None).await?;
    }
    let options = MirrorOptions {
        dry_run: args.dry_run,
        ignore: ignore.clone(),
        only,
        batch: true,
        dedup: true,
        memory: Some(remembered.memory().clone()),
        ..MirrorOptions::default()
    };
    let mut totals = {
        let mut changes = mirror(&local, &drive, options);
        while let Some(diff) = changes.try_next().await? {
            output.diff(&diff);
        }
        changes.totals()
    };
    if args.purge || staging.purge {
        purge(&drive, &ignore, args.dry_run, &mut totals, output).await?;
    }
    if !args.dry_run {
        remembered.keep(drive.core(), output);
    }
    let length = drive.core().length();
    output.tag("summary", summary(&drive, &totals).await?);
    if args.dry_run {
        output.tag("skipping", json!({ "reason": "dry-run", "success": true }));
    } else {
        let link = Link::plain(drive.key());
        let staged = verlink(&drive);
        output.tag("complete", json!({ "dryRun": false }));
        output.tag(
            "addendum",
            json!({ "version": length, "key": drive.key().to_string(), "link": link.to_string(), "verlink": staged.to_string() }),
        );
        output.result(&format!("^Latest: {version}"));
        output.result(&staged.to_string());
        output.result(&format!("[ {link} ]"));
        output.say(&format!(
            "next: bosc provision {staged} <provision-link> pear://0.0.<provision-key>"
        ));
    }
    store.close()?;
    output.done(json!({}));
    Ok(())
}

/// Fails unless each bundle in a deployment folder is the release that its package.json announces.
fn check_bundles(dir: &Path, manifest: &Manifest, output: &Output) -> anyhow::Result<()> {
    for place in folder(&layout::hosts(dir))? {
        let bundles = folder(&layout::bundles(&place))?;
        if bundles.is_empty() {
            continue;
        }
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let host: Host = name
            .parse()
            .with_context(|| format!("no app looks for a bundle in {}", place.display()))?;
        if let Some(meant) = host.meant() {
            bail!(
                "{} is for {host}, which no app runs on: did you mean {meant}?",
                place.display()
            );
        }
        for bundle in bundles {
            check_bundle(manifest, &host, &bundle, output)?;
        }
    }
    Ok(())
}

/// What is in a folder, by name; nothing if there is no folder.
fn folder(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(path).and_then(|entries| {
        let paths = entries.map(|entry| Ok(entry?.path()));
        paths.collect::<std::io::Result<Vec<_>>>()
    });
    let mut entries = entries.with_context(|| format!("cannot read {}", path.display()))?;
    entries.sort();
    Ok(entries)
}

/// Deletes from the drive what is ignored.
async fn purge(
    drive: &Hyperdrive,
    ignore: &[String],
    dry_run: bool,
    totals: &mut Totals,
    output: &Output,
) -> anyhow::Result<()> {
    let filter = PathFilter::new(ignore, &[]);
    let mut batch = drive.batch().await?;
    for entry in drive.list("/").await? {
        if filter.ignores(&entry.key) {
            let bytes_removed = entry.blob.map_or(0, |blob| blob.byte_length);
            output.diff(&Diff {
                op: DiffOp::Remove,
                key: entry.key.clone(),
                bytes_added: 0,
                bytes_removed,
            });
            totals.remove += 1;
            totals.bytes_removed += bytes_removed;
            batch.del(&entry.key).await?;
        }
    }
    if !dry_run {
        batch.flush().await?;
    }
    Ok(())
}

async fn summary(drive: &Hyperdrive, totals: &Totals) -> anyhow::Result<Value> {
    let core = drive.core();
    let blobs = if core.length() == 0 {
        Value::Null
    } else {
        let blobs = drive.blobs().await?;
        json!({ "length": blobs.length(), "fork": blobs.fork(), "byteLength": blobs.byte_length() })
    };
    Ok(json!({
        "files": totals.files, "add": totals.add, "remove": totals.remove, "change": totals.change,
        "length": core.length(), "byteLength": core.byte_length(), "blobs": blobs,
    }))
}
