//! `bosc provision`: one version of a staged drive goes, as its files alone, onto the drive that apps follow.
//!
//! The target starts as a block-identical copy of what is in production, so that a later multisig commit can extend that.

use std::time::Duration;

use anyhow::{Context, bail};
use app::Link;
use bosc_runtime::package_of;
use core_store::{Core, DownloadRange};
use futures::TryStreamExt;
use hyperdrive::{Hyperdrive, MirrorOptions, mirror};
use semver::Version;
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::drives::{drive_info, expect_version, fetch_all, open, open_own, open_store_to_write};
use crate::network::Network;
use crate::output::Output;

/// How long to look for a peer that has a drive.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keys of the bee outside of the files that go with a release.
const EXTRAS: [&str; 3] = ["manifest", "metadata", "platformVersion"];

pub(crate) async fn run(args: &args::Provision, global: &Global, output: &Output) -> anyhow::Result<()> {
    let source_link: Link = args.source.parse()?;
    let target_link: Link = args.target.parse()?;
    let production_link: Link = args.production.parse()?;
    let (source_fork, source_length) = source_link.version("<source-verlink>")?;
    let (_, production_length) = production_link.version("<production-verlink>")?;
    let (store, _lock) = open_store_to_write(global)?;
    let target = open_own(&store, &target_link).await?;
    let source = open(&store, source_link.key).await?;
    let production = open(&store, production_link.key).await?;
    if source.key() == target.key() {
        bail!(
            "source and target are the same link: provision onto a link of its own, made with `bosc touch`"
        );
    }

    // Drives that were made here need no network.
    let own = |drive: &Hyperdrive| drive.writable();
    let mut network = None;
    if !own(&source) || (!own(&production) && production_length > 0) {
        let joined = Network::start(global, &store, None).await?;
        if !own(&source) {
            joined.find(&source);
            joined.wait_for(&source, source_length, PATIENCE).await?;
        }
        if !own(&production) && production_length > 0 {
            joined.find(&production);
            joined.wait_for(&production, production_length, PATIENCE).await?;
        }
        network = Some(joined);
    }
    let present = production.core().length();
    if production_length == 0 && present > 0 && production.key() != target.key() {
        bail!(
            "{production_link} says that nothing is in production, but that drive has {present} blocks: name its version, {}",
            crate::drives::verlink(&production)
        );
    }
    if source.fork() != source_fork || source.core().length() < source_length {
        let (fork, length) = (source.fork(), source.core().length());
        bail!(
            "{source_link} is not there: the drive is at fork {fork}, length {length}; use the link that `bosc stage` printed last"
        );
    }
    expect_version(&source, &source_link, PATIENCE).await?;
    if production_length > 0 {
        expect_version(&production, &production_link, PATIENCE).await?;
    }
    fetch_all(&source.checkout(source_length), source_length).await?;

    check_lineage(&target, &production, production_length).await?;
    if !args.dry_run {
        copy_production(&target, &production, production_length, output).await?;
    }
    let checkout = source.checkout(source_length);
    let semver = production_semver(&checkout).await?;

    // While nothing was copied, what is in production stands for what the target will be.
    let behind = args.dry_run && target.core().length() < production_length;
    let compared = if behind { &production } else { &target };
    output.tag("diffing", Value::Null);
    let mut changes = 0u64;
    {
        let mut diffs = mirror(
            &checkout,
            compared,
            MirrorOptions {
                dry_run: true,
                ..MirrorOptions::default()
            },
        );
        while let Some(diff) = diffs.try_next().await? {
            output.diff(&diff);
            changes += 1;
        }
    }
    output.tag("diffed", json!({ "changes": changes, "semver": semver }));
    if args.dry_run {
        output.tag("dry", Value::Null);
        output.say("dry run: nothing is written");
    } else {
        if args.cooldown > 0 {
            output.tag("cooldown", json!({ "time": args.cooldown * 1000 }));
            output.say(&format!("writing in {} s, stop with Ctrl-C...", args.cooldown));
            tokio::time::sleep(Duration::from_secs(args.cooldown)).await;
        }
        output.tag("staging", Value::Null);
        let options = MirrorOptions {
            batch: true,
            dedup: true,
            ..MirrorOptions::default()
        };
        mirror(&checkout, &target, options).finish().await?;
        output.tag("staged", json!({ "changes": changes }));
        copy_extras(&checkout, &target, output).await?;
        output.result(&format!("^Latest: {semver}"));
        output.result(&crate::drives::verlink(&target).to_string());
        output.result(&format!("[ {} ]", Link::plain(target.key())));
        output.say(&format!(
            "next: keep `bosc seed {}` running; apps that follow the link update by themselves",
            Link::plain(target.key())
        ));
    }
    let result = json!({
        "source": drive_info(&source, source_length).await?,
        "target": drive_info(&target, target.core().length()).await?,
        "production": drive_info(&production, production.core().length()).await?,
    });
    if let Some(network) = network {
        network.close().await;
    }
    store.close()?;
    output.done(result);
    Ok(())
}

/// Refuses a target whose history differs from production's: peers of production could never follow it.
async fn check_lineage(target: &Hyperdrive, production: &Hyperdrive, length: u64) -> anyhow::Result<()> {
    if length == 0 || target.key() == production.key() {
        return Ok(());
    }
    same_history(target.core(), production.core())?;
    if target.core().length() > 0 && production.core().length() > 0 {
        same_history(&target.blobs().await?, &production.blobs().await?)?;
    }
    Ok(())
}

fn same_history(target: &Core, production: &Core) -> anyhow::Result<()> {
    let common = target.length().min(production.length());
    if common > 0 && target.tree_hash(common).ok() != production.tree_hash(common).ok() {
        bail!(
            "the target has another history than production: make a new target with `bosc touch`, provision production onto it, then this release"
        );
    }
    Ok(())
}

/// Appends to the target, block by block, what production has and the target lacks.
async fn copy_production(
    target: &Hyperdrive,
    production: &Hyperdrive,
    length: u64,
    output: &Output,
) -> anyhow::Result<()> {
    if length == 0 || target.key() == production.key() {
        return Ok(());
    }
    copy_blocks("metadata", production.core(), target.core(), output).await?;
    copy_blocks(
        "blobs",
        &production.blobs().await?,
        &target.blobs().await?,
        output,
    )
    .await
}

async fn copy_blocks(kind: &str, from: &Core, to: &Core, output: &Output) -> anyhow::Result<()> {
    let (start, end) = (to.length(), from.length());
    if start >= end {
        return Ok(());
    }
    output.tag("syncing", json!({ "type": kind }));
    output.tag(
        "blocks",
        json!({ "type": kind, "targetLength": start, "productionLength": end }),
    );
    let _download = from.download(DownloadRange {
        start,
        end: Some(end),
    });
    let mut batch = Vec::new();
    let mut bytes = 0;
    for index in start..end {
        let block = from.get(index).await?;
        bytes += block.len();
        batch.push(block);
        if bytes > 8 * 1024 * 1024 {
            to.append(&std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    to.append(&batch)?;
    output.tag("synced", json!({ "type": kind }));
    Ok(())
}

/// The version that is released; prereleases are not.
async fn production_semver(checkout: &Hyperdrive) -> anyhow::Result<String> {
    let package = package_of(checkout)
        .await
        .context("the source's package.json cannot be read")?
        .context("the source has no package.json: stage a deployment folder")?;
    let version = package.field("version").unwrap_or_default();
    let plain = |version: Version| version.pre.is_empty() && version.build.is_empty();
    if !Version::parse(version).is_ok_and(plain) {
        bail!(
            "Source has non-production SemVer \"{version}\": run `bosc version` to set one such as 1.2.3, then build and stage again"
        );
    }
    Ok(version.to_owned())
}

async fn copy_extras(from: &Hyperdrive, to: &Hyperdrive, output: &Output) -> anyhow::Result<()> {
    for name in EXTRAS {
        let wanted = from
            .bee()
            .get(name.as_bytes())
            .await?
            .and_then(|entry| entry.value);
        let present = to.bee().get(name.as_bytes()).await?.and_then(|entry| entry.value);
        match wanted {
            Some(value) if present.as_ref() != Some(&value) => {
                output.tag("setting", json!({ "field": name }));
                to.bee().put(name.as_bytes(), &value).await?;
            }
            None if present.is_some() => {
                output.tag("unsetting", json!({ "field": name }));
                to.bee().del(name.as_bytes()).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
