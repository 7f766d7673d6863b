//! `bosc multisig verify` and `commit`: the same checks; `commit` then writes the release into the team's drive and serves it until two
//! other machines hold it.

use std::time::Duration;

use anyhow::{Context, bail};
use app::Link;
use core_store::Core;
use hypercore::Key;
use indicatif::{ProgressBar, ProgressStyle};
use multisig::{Ballot, Content, CoreSignatures, Part, Release, Request, Response};
use serde_json::{Value, json};

use super::session::{Session, expect_hash};
use super::{read_team, seeders, show};
use crate::args::{self, Global, MultisigOptions};
use crate::output::Output;
use crate::store;

/// How often to look at progress.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn run(
    args: &args::Commit,
    dry_run: bool,
    options: &MultisigOptions,
    global: &Global,
    output: &Output,
) -> anyhow::Result<()> {
    // All that can be refused without the network.
    let link: Link = args.link.parse()?;
    let request: Request = args.request.parse()?;
    let team = read_team(options)?;
    if link.length.is_some_and(|length| length != request.length()) {
        bail!(
            "{link} is another version than the request's, which is length {}: was the request made with another link?",
            request.length()
        );
    }
    expect_hash(&link, &request)?;
    let ballot = count(&request, &args.responses)?;
    let signatures = match (ballot.signatures(), dry_run) {
        (Ok(signatures), _) => Some(signatures),
        (Err(_), true) => None,
        (Err(error), false) => return Err(error.into()),
    };
    output.tag(
        "multisigging",
        json!({ "request": args.request, "responses": args.responses, "dryRun": dry_run }),
    );

    let (store, _lock) = if dry_run {
        (store::open(global)?, None)
    } else {
        let (store, lock) = store::open_to_write(global)?;
        (store, Some(lock))
    };
    let wait = Duration::from_millis(args.wait.peer_update_timeout);
    let session = Session::open(&store, &link, request.length(), team, wait, global, output).await?;
    let release = &session.release;
    let first = release.is_first();
    output.tag(
        "verify-committable-start",
        json!({ "srcKey": release.source().key().to_string(), "dstKey": release.key().to_string() }),
    );
    let content = check(&session, &request, args.force).await?;
    let changes = session.bounded(release.changes(&content)).await?;
    show::changes(release, &request, &content, &changes, Output::diff_with, output);
    show::quorum(&ballot, output);

    let to_write = signatures.as_ref().filter(|_| !dry_run);
    output.tag("commit-start", json!({ "dryRun": dry_run }));
    if let Some(signatures) = to_write {
        commit(&session, &content, signatures, output).await?;
        if let Some(version) = &changes.versions.to {
            output.result(&format!("^Latest: {version}"));
        }
        let released = Link::versioned(0, request.length(), release.key());
        output.result(&released.to_string());
    } else {
        output.say("nothing is written");
    }
    let result = results(release, &content, signatures.as_ref()).await?;
    if to_write.is_some() {
        let plain = Link::plain(release.key());
        output.tag(
            "verify-committed-start",
            json!({ "firstCommit": first, "key": release.key().to_string(), "link": plain.to_string() }),
        );
        if args.force {
            output.say(&format!("committed; serve it with `bosc seed {plain}`"));
        } else {
            seeders::wait(&session.network, release, &content, output).await;
        }
    }
    let key = release.key();
    session.network.close().await;
    store.close()?;
    output.done(json!({ "dstKey": key.to_string(), "dryRun": dry_run, "quorum": show::quorum_data(&ballot), "result": result }));
    Ok(())
}

/// Reads and checks the responses.
fn count(request: &Request, responses: &[String]) -> anyhow::Result<Ballot> {
    let mut read = Vec::with_capacity(responses.len());
    for (place, text) in (1..).zip(responses) {
        let response: Response = text.parse().with_context(|| format!("response {place}"))?;
        read.push(response);
    }
    Ballot::count(request, &read)
        .map_err(|(place, error)| anyhow::Error::new(error).context(format!("response {}", place + 1)))
}

/// All guards, in upstream's order; `force` leaves out those about seeders.
async fn check(session: &Session, request: &Request, force: bool) -> anyhow::Result<Content> {
    let (release, patience) = (&session.release, session.patience);
    release.check_source(patience).await?;
    if force {
        session.expect_source(request.length())?;
    } else {
        let length = request.length();
        release
            .check_source_seeded(Part::Entries, length, patience)
            .await?;
    }
    let content = session.bounded(release.check_request(request, patience)).await?;
    let parts = [
        (Part::Entries, request.length()),
        (Part::Contents, content.length),
    ];
    for (part, length) in parts {
        session.bounded(release.check_lineage(part, length)).await?;
    }
    if !force {
        release
            .check_source_seeded(Part::Contents, content.length, patience)
            .await?;
        for (part, length) in parts {
            release.check_target_seeded(part, length, patience).await?;
        }
    }
    session.bounded(release.fetch_entries()).await?;
    session.bounded(release.check_content(&content)).await?;
    Ok(content)
}

/// Fetches what is new and writes it.
async fn commit(
    session: &Session,
    content: &Content,
    signatures: &CoreSignatures,
    output: &Output,
) -> anyhow::Result<()> {
    let release = &session.release;
    let contents = release.source().blobs().await?;
    let start = release.contents_start().min(content.length);
    let bar = progress(content.length - start, output);
    let fetched = release.fetch_contents(content);
    tokio::pin!(fetched);
    loop {
        tokio::select! {
            done = &mut fetched => { done?; break; }
            () = tokio::time::sleep(LOOK) => bar.set_position(contents.count_stored(start, content.length)),
        }
    }
    bar.finish_and_clear();
    let committed = release.commit(content, signatures).await?;
    output.say(&format!(
        "committed: {} new blocks of entries, {} of contents",
        committed.entries, committed.contents
    ));
    Ok(())
}

fn progress(blocks: u64, output: &Output) -> ProgressBar {
    if !output.interactive() || blocks == 0 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(blocks);
    if let Ok(style) = ProgressStyle::with_template("fetching {wide_bar} {pos}/{len} blocks {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Both cores before and after, in upstream's shape.
async fn results(
    release: &Release,
    content: &Content,
    signatures: Option<&CoreSignatures>,
) -> anyhow::Result<Value> {
    let contents = release.source().blobs().await?;
    let length = release.length();
    let entries_signature = signatures.map(|signatures| &signatures.entries);
    let contents_signature = signatures.map(|signatures| &signatures.contents);
    Ok(json!({
        "db": one_result(release.target(Part::Entries), release.source().core(), length, entries_signature)?,
        "blobs": one_result(release.target(Part::Contents), &contents, content.length, contents_signature)?,
    }))
}

fn one_result(
    target: &Core,
    source: &Core,
    length: u64,
    signature: Option<&Vec<u8>>,
) -> anyhow::Result<Value> {
    let info = |key: Key, core: &Core, length: u64| -> anyhow::Result<Value> {
        let hash = core.tree_hash(length)?;
        Ok(
            json!({ "key": key.to_string(), "keyHex": hex::encode(key.0), "length": length,
            "treeHash": Key(hash).to_string(), "treeHashHex": hex::encode(hash) }),
        )
    };
    let mut batch = info(target.key(), source, length)?;
    if let Some(object) = batch.as_object_mut() {
        object.insert(
            "signature".to_owned(),
            json!(signature.map(|signature| z32::encode(signature))),
        );
    }
    Ok(json!({ "destCore": info(target.key(), target, target.length())?,
        "srcCore": info(source.key(), source, source.length())?, "batch": batch }))
}
