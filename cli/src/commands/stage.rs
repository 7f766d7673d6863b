//! `bosc stage`: a deployment folder goes onto a link of ours.

use app::Link;
use release::{StageOptions, StagePlan, Staged, verlink};
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::output::Output;
use crate::store;
use crate::view::{View, notes};

pub(crate) async fn run(args: &args::Stage, global: &Global, output: &Output) -> anyhow::Result<()> {
    let link: Link = args.link.parse()?;
    let (store, _lock) = store::open_to_write(global)?;
    let options = StageOptions {
        ignore: args.ignore.clone(),
        only: args.only.clone(),
        purge: args.purge,
        truncate: args.truncate,
        no_default_ignore: args.no_default_ignore,
        follow_links: args.follow_links,
        force: args.force,
        read_all: args.read_all,
    };
    let plan = StagePlan::new(&store, &link, args.dir.clone(), options).await?;
    notes(plan.notes(), output);
    let (name, version) = (plan.manifest().name.clone(), plan.manifest().version.to_string());
    let drive = plan.drive();
    let (key, link) = (drive.key().to_string(), Link::plain(drive.key()).to_string());
    output.tag(
        "staging",
        json!({ "name": name, "key": key, "link": link, "verlink": verlink(drive).to_string(),
            "current": drive.core().length(), "dir": args.dir.display().to_string() }),
    );
    if args.dry_run {
        output.tag("dry", Value::Null);
        output.say("dry run: nothing is written");
        let staged = plan.preview(&mut View::new(output)).await?;
        output.tag("summary", summary(&staged));
        output.tag("skipping", json!({ "reason": "dry-run", "success": true }));
    } else {
        let upgrade = plan.manifest().upgrade()?.map(|link| Link::plain(link.key));
        let staged = plan.run(&mut View::new(output)).await?;
        output.tag("summary", summary(&staged));
        let verlink = staged.verlink.to_string();
        output.tag("complete", json!({ "dryRun": false }));
        output.tag(
            "addendum",
            json!({ "version": staged.verlink.length, "key": key, "link": link, "verlink": verlink }),
        );
        output.result(&format!("^Latest: {version}"));
        output.result(&verlink);
        output.result(&format!("[ {link} ]"));
        if let Some(upgrade) = upgrade {
            let production = in_production(&store, &upgrade).await;
            output.say(&format!("next: bosc provision {verlink} {upgrade} {production}"));
        }
    }
    store.close()?;
    output.done(json!({}));
    Ok(())
}

/// The version of the link that apps follow which is there now, as far as this store knows.
async fn in_production(store: &corestore::Corestore, upgrade: &Link) -> Link {
    let known = store.keys().is_ok_and(|keys| keys.contains(&upgrade.key));
    if known && let Ok(drive) = hyperdrive::Hyperdrive::open(store, upgrade.key).await {
        return verlink(&drive);
    }
    Link::versioned(0, 0, upgrade.key)
}

fn summary(staged: &Staged) -> Value {
    let totals = &staged.totals;
    let blobs = staged
        .blobs
        .map(|(length, fork, bytes)| json!({ "length": length, "fork": fork, "byteLength": bytes }));
    json!({
        "files": totals.files, "add": totals.add, "remove": totals.remove, "change": totals.change,
        "length": staged.verlink.length, "byteLength": staged.byte_length, "blobs": blobs,
    })
}
