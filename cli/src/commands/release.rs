//! `bosc release`: version, make, build, stage and provision in one, after it was shown what that will be.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::bail;
use app::{Host, Link};
use packaging::{Format, Request};
use release::{Make, MakeError, ReleasePlan};
use serde_json::json;

use crate::args::{self, Global};
use crate::commands::make;
use crate::interrupt::or_stop;
use crate::output::Output;
use crate::store;
use crate::view::{self, View};

pub(crate) async fn run(args: &args::Release, global: &Global, output: &Output) -> anyhow::Result<()> {
    let others = args.apps.bundles()?;
    let (store, _lock) = store::open_to_write(global)?;
    let plan = ReleasePlan::new(&store, &args.dir, args.bump.as_deref()).await?;
    show(&plan, args, &others, output);
    view::notes(plan.notes(), output);
    if args.dry_run {
        output.say("dry run: nothing is written");
        store.close()?;
        output.done(json!({}));
        return Ok(());
    }
    if !args.yes {
        ask(output)?;
    }
    let network = store::network(global, store);
    let mut bundles = Bundles { args, others, output };
    let mut view = View::new(output);
    // What was begun is put back where it is dropped.
    let made = or_stop(async { Ok(plan.run(&network, &mut bundles, &mut view).await?) }).await?;
    drop(view);
    network.close().await?;
    let link = Link::plain(made.target.verlink.key);
    output.result(&format!("^Latest: {}", made.version));
    output.result(&made.target.verlink.to_string());
    output.result(&format!("[ {link} ]"));
    output.say(&format!(
        "next: keep `bosc seed {link}` running; apps that follow the link update by themselves"
    ));
    output.done(json!({ "version": made.version.to_string(), "target": view::drive(&made.target) }));
    Ok(())
}

/// Shows what will be done.
fn show(plan: &ReleasePlan, args: &args::Release, others: &[(Host, PathBuf)], output: &Output) {
    let formats: Vec<&str> = formats(args).into_iter().map(Format::name).collect();
    let link = |link: &Option<Link>| link.as_ref().map(ToString::to_string);
    let links = plan.links();
    let present = plan.present().map(ToString::to_string);
    let here = Host::current();
    let hosts: Vec<String> = std::iter::once(&here)
        .chain(others.iter().map(|(host, _)| host))
        .map(ToString::to_string)
        .collect();
    output.tag(
        "plan",
        json!({ "name": plan.name(), "from": present, "version": plan.version().to_string(), "hosts": hosts, "formats": formats,
            "target": plan.target().display().to_string(), "stage": link(&links.stage), "provision": link(&links.provision) }),
    );
    let new = || "a new link".to_owned();
    let from = present.map_or_else(
        || "its first release".to_owned(),
        |present| format!("after {present}"),
    );
    for (what, how) in [
        (
            "version",
            format!("{} of {}, {from}", plan.version(), plan.name()),
        ),
        (
            "make",
            format!("{} for {here}, as {}", plan.product(), formats.join(", ")),
        ),
        (
            "build",
            format!("{} for {}", plan.target().display(), hosts.join(", ")),
        ),
        ("stage", link(&links.stage).unwrap_or_else(new)),
        ("provision", link(&links.provision).unwrap_or_else(new)),
    ] {
        output.say(&format!("{what:<10} {how}"));
    }
}

/// What is made: what a deb installed updates from the folder.
fn formats(args: &args::Release) -> Vec<Format> {
    let mut formats = args.making.format.clone();
    if !formats.iter().all(|format| format.is_released()) && !formats.contains(&Format::Folder) {
        formats.push(Format::Folder);
    }
    formats
}

/// Asks whether to go on.
fn ask(output: &Output) -> anyhow::Result<()> {
    if output.is_json() || !std::io::stdin().is_terminal() {
        bail!("nobody can be asked whether to go on: add --yes");
    }
    eprint!("Release it? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was done");
    }
    Ok(())
}

/// The bundles of this machine, which are made, and those of others, which were.
struct Bundles<'a> {
    args: &'a args::Release,
    others: Vec<(Host, PathBuf)>,
    output: &'a Output,
}

impl Make for Bundles<'_> {
    async fn make(&mut self) -> Result<Vec<(Host, PathBuf)>, MakeError> {
        let request = Request {
            dir: self.args.dir.clone(),
            host: Host::current(),
            program: make::program(self.args.making.bin.as_deref(), &self.args.making.profile),
            out: None,
            formats: formats(self.args),
        };
        let made = make::make(request, self.output).await;
        let (_, made) = made.map_err(|error| MakeError(format!("{error:#}")))?;
        let (here, released) = (
            Host::current(),
            made.into_iter().filter(|made| made.format.is_released()),
        );
        let mut bundles: Vec<_> = released.map(|made| (here.clone(), made.path)).collect();
        bundles.append(&mut self.others.clone());
        Ok(bundles)
    }
}
