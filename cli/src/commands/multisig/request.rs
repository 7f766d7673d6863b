//! `bosc multisig request`: a text that signers sign, for one version of a link.

use std::time::Duration;

use anyhow::bail;
use app::Link;
use multisig::{MultisigError, Part};
use serde_json::{Value, json};

use super::session::{Session, expect_hash};
use super::{read_team, show};
use crate::args::{self, Global, MultisigOptions};
use crate::output::Output;
use crate::store;

pub(super) async fn run(
    args: &args::Request,
    options: &MultisigOptions,
    global: &Global,
    output: &Output,
) -> anyhow::Result<()> {
    let link: Link = args.link.parse()?;
    let (fork, length) = link.version("<verlink>")?;
    let team = read_team(options)?;
    if fork != 0 {
        let source_key = link.key;
        return Err(MultisigError::SourceForked { source_key, fork }.into());
    }
    let store = store::open(global)?;
    let wait = Duration::from_millis(args.wait.peer_update_timeout);
    let session = Session::open(&store, &link, length, team, wait, global, output).await?;
    let (release, patience) = (&session.release, session.patience);

    output.tag("getting-src-blobs", Value::Null);
    release.check_source(patience).await?;
    if fork != release.source().fork() {
        bail!(
            "{link} is not there: the drive is at fork {}; use the link that `bosc provision` printed",
            release.source().fork()
        );
    }
    if args.force {
        session.expect_source(length)?;
    } else {
        output.tag("verify-db-requestable-start", Value::Null);
        release
            .check_source_seeded(Part::Entries, length, patience)
            .await?;
    }
    output.tag("getting-blobs-length", Value::Null);
    session.bounded(release.fetch_entries()).await?;
    let content = session.bounded(release.content(patience)).await?;
    if !args.force {
        output.tag("verify-blobs-requestable-start", Value::Null);
        release
            .check_source_seeded(Part::Contents, content.length, patience)
            .await?;
    }
    for (part, length) in [(Part::Entries, length), (Part::Contents, content.length)] {
        session.bounded(release.check_lineage(part, length)).await?;
    }

    output.tag("creating-drive", Value::Null);
    let request = session.bounded(release.request(content, args.legacy)).await?;
    expect_hash(&link, &request)?;
    let changes = session.bounded(release.changes(&content)).await?;
    show::changes(
        release,
        &request,
        &content,
        &changes,
        Output::say_diff_with,
        output,
    );
    let text = request.to_string();
    session.network.close().await;
    store.close()?;
    if options.dry_run {
        output.tag("dry", Value::Null);
        output.say("dry run: no request is printed");
        output.done(json!({}));
        return Ok(());
    }
    output.say(
        "give this request to the signers: `bosc multisig verify` shows it, `bosc multisig sign` signs it",
    );
    output.result(&text);
    output.done(json!({ "request": text }));
    Ok(())
}
