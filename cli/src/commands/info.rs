//! `bosc info`: what a link holds.

use std::time::Duration;

use app::{Host, Link};
use bosc_runtime::package_of;
use hyperdrive::Hyperdrive;
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::network::join;
use crate::output::Output;
use crate::store;

pub(crate) async fn run(args: &args::Info, global: &Global, output: &Output) -> anyhow::Result<()> {
    let Some(link) = &args.link else {
        return here(global, output);
    };
    let link: Link = link.parse()?;
    let store = store::open(global)?;
    let drive = store::drive(&store, link.key).await?;
    output.tag("retrieving", json!({ "z32": drive.key().to_string() }));
    let mut network = None;
    if !drive.writable() {
        let joined = join(global, &store, None).await?;
        joined.find(&drive);
        let patience = Duration::from_secs(args.timeout);
        // What is read of it may be missing here, too.
        store.storage().set_patience(patience);
        if drive.core().length() > 0 {
            if !joined.catch_up(&drive, patience).await? {
                output.say("no peer could be asked for a newer version: this is the one stored here");
            }
        } else {
            // Whether it is empty is not known of what nobody has.
            joined
                .wait_for(&drive, link.length.unwrap_or(1), patience)
                .await?;
        }
        network = Some(joined);
    }
    show(&drive, args.manifest, output).await?;
    if let Some(network) = network {
        network.close().await;
    }
    store.close()?;
    output.done(json!({}));
    Ok(())
}

/// This program, its machine, and its store.
fn here(global: &Global, output: &Output) -> anyhow::Result<()> {
    let folder = store::folder(global)?;
    let links = if folder.is_dir() {
        let store = store::open(global)?;
        let mut ours = 0;
        for key in store.keys()? {
            ours += usize::from(store.key_pair_of(&key)?.is_some());
        }
        store.close()?;
        ours
    } else {
        0
    };
    let (version, host) = (env!("CARGO_PKG_VERSION"), Host::current().to_string());
    output.tag(
        "platform",
        json!({ "version": version, "host": host, "storage": folder.display().to_string(), "cores": links }),
    );
    output.result(&format!("{:<14} {version}", "bosc"));
    output.result(&format!("{:<14} {host}", "machine"));
    output.result(&format!("{:<14} {}", "store", folder.display()));
    output.result(&format!("{:<14} {links} cores", "writable here"));
    output.done(json!({}));
    Ok(())
}

async fn show(drive: &Hyperdrive, manifest: bool, output: &Output) -> anyhow::Result<()> {
    let core = drive.core();
    if core.length() == 0 {
        output.tag("empty", Value::Null);
        output.result("[ Empty ]");
        return Ok(());
    }
    let blobs = drive.blobs().await?;
    // What else the link holds is shown whatever that file is.
    let package = package_of(drive).await.unwrap_or_else(|error| {
        output.say(&format!("its package.json cannot be read: {error}"));
        None
    });
    let text = |field: &str| package.as_ref()?.field(field).map(str::to_owned);
    let (link, version) = (
        Link::plain(drive.key()).to_string(),
        release::verlink(drive).to_string(),
    );
    output.tag(
        "keys",
        json!({ "project": drive.key().to_string(), "content": blobs.key().to_string(), "discovery": drive.discovery_key().to_string() }),
    );
    output.tag(
        "info",
        json!({ "link": link, "verlink": version, "name": text("name"), "version": text("version"),
            "productName": text("productName"), "upgrade": text("upgrade"), "writable": drive.writable(),
            "length": core.length(), "byteLength": core.byte_length(),
            "blobs": { "length": blobs.length(), "fork": blobs.fork(), "byteLength": blobs.byte_length() }, "fork": core.fork() }),
    );
    let mut lines = vec![("link", link), ("version link", version)];
    for (label, field) in [
        ("name", "name"),
        ("product", "productName"),
        ("version", "version"),
        ("upgrade", "upgrade"),
    ] {
        lines.extend(text(field).map(|value| (label, value)));
    }
    lines.push(("length", format!("{} (fork {})", core.length(), core.fork())));
    lines.push((
        "contents",
        format!(
            "{} blocks, {}",
            blobs.length(),
            indicatif::HumanBytes(blobs.byte_length())
        ),
    ));
    lines.push((
        "writable here",
        if drive.writable() { "yes" } else { "no" }.to_owned(),
    ));
    if let Some(found) = core
        .manifest()
        .filter(|found| manifest || found.signers.len() > 1)
    {
        let signers: Vec<String> = found.signers.iter().map(|s| s.public_key.to_string()).collect();
        output.tag(
            "multisig",
            json!({ "quorum": found.quorum, "publicKeys": signers }),
        );
        lines.push((
            "signers",
            format!("{} of {}: {}", found.quorum, signers.len(), signers.join(", ")),
        ));
    }
    for (label, value) in lines {
        output.result(&format!("{label:<14} {value}"));
    }
    Ok(())
}
