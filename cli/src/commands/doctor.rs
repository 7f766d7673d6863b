//! `bosc doctor`: goes the way an update goes, from the network to the installed app, and says where it ends.

mod app;
mod peers;
mod reach;
mod report;

use std::fmt::Display;
use std::time::Duration;

use ::app::{Format, Host, Layout, Link, layout};
use ::peers::Peers;
use bosc_runtime::{Build, published};
use corestore::Corestore;
use hyperdrive::Hyperdrive;
use hyperswarm::Firewall;
use indicatif::HumanBytes;
use serde_json::json;

use self::app::App;
use self::report::{Finding, Report};
use crate::args::{self, Global};
use crate::network::join;
use crate::output::Output;
use crate::store;

pub(crate) async fn run(args: &args::Doctor, global: &Global, output: &Output) -> anyhow::Result<()> {
    let mut report = Report::new(output);
    let app = match &args.app {
        Some(dir) => Some(App::read(dir, args.app_storage.as_deref())?),
        None => None,
    };
    let link = link(args, app.as_ref(), &mut report)?;
    let mut global = global.clone();
    global
        .relay
        .extend(app.iter().flat_map(|app| &app.manifest.relays));
    // A store of its own, and a new identity: what this machine has stored already must not hide what peers do.
    let store = Corestore::in_memory()?;
    let network = join(&global, &store, None).await?;
    let build = examine(&network, &store, &global, link, app.as_ref(), args, &mut report).await;
    network.close().await;
    let build = build?;
    if let Some(app) = &app {
        [app.waiting(), app.disk(build), app.install()]
            .into_iter()
            .flatten()
            .for_each(|finding| report.add(finding));
    }
    report.conclude()
}

/// The link to look at: the one that was given, else the app's.
fn link(args: &args::Doctor, app: Option<&App>, report: &mut Report) -> anyhow::Result<Option<Link>> {
    let given: Option<Link> = args.link.as_deref().map(str::parse).transpose()?;
    let follows = app.map(App::link).transpose();
    let follows = match follows {
        Ok(follows) => follows,
        Err(error) if given.is_none() => {
            report.add(Finding::bad(
                "link",
                format!("the app follows no link: {error:#}"),
                "an app without \"upgrade\" in package.json never updates itself: put the link there that you provision onto",
            ));
            None
        }
        Err(_) => None,
    };
    if let (Some(given), Some(follows)) = (&given, &follows)
        && given.key != follows.key
    {
        let (given, follows) = (Link::plain(given.key), Link::plain(follows.key));
        report.add(Finding::bad(
            "link",
            format!("the app follows another link than this one: {follows}, not {given}"),
            "provision onto the link that the app follows, or correct \"upgrade\" in its package.json and release it anew",
        ));
    }
    Ok(given.or(follows))
}

/// The steps that need the network. Returns the build for this machine, if there is one.
async fn examine(
    network: &Peers,
    store: &Corestore,
    global: &Global,
    link: Option<Link>,
    app: Option<&App>,
    args: &args::Doctor,
    report: &mut Report<'_>,
) -> anyhow::Result<Option<Build>> {
    let node = network.swarm().node();
    let (finding, online) = reach::bootstrap(node, &global.bootstrap).await;
    report.add(finding);
    if !online {
        return Ok(None);
    }
    let patience = Duration::from_secs(args.timeout);
    let _ = tokio::time::timeout(patience, node.bootstrapped()).await;
    let Some(link) = link else {
        report.add(nodes(node.node_count()));
        report.add(nat(network.swarm().firewall()));
        return Ok(None);
    };
    let drive = store::drive(store, link.key).await?;
    let discovery = network.find(&drive);
    let _ = tokio::time::timeout(patience, discovery.flushed()).await;
    report.add(nodes(discovery.status().nodes));
    report.add(nat(network.swarm().firewall()));
    let found = peers::look(network, &drive, &discovery, patience).await;
    let announced = found.announced();
    let nobody = announced.mark == report::Mark::Bad;
    report.add(announced);
    if nobody {
        return Ok(None);
    }
    let connected = found.connected(network.swarm().firewall(), !global.relay.is_empty());
    let alone = connected.mark == report::Mark::Bad;
    report.add(connected);
    if alone {
        return Ok(None);
    }
    report.add(found.contents(drive.core().length()));
    if drive.core().length() == 0 {
        return Ok(None);
    }
    release(&drive, app, patience, report).await
}

/// What it means that nothing comes.
const SILENT: &str =
    "a peer says that it has its blocks and does not send them: its store is damaged, or incomplete";

/// What the drive publishes, and whether it is for this app and machine.
async fn release(
    drive: &Hyperdrive,
    app: Option<&App>,
    patience: Duration,
    report: &mut Report<'_>,
) -> anyhow::Result<Option<Build>> {
    const STEP: &str = "release";
    let unreadable = |why: &str| {
        Finding::bad(
            STEP,
            format!("the release cannot be read: {why}"),
            "run `bosc check --repair` on the machine that seeds; if it finds nothing, stage again",
        )
    };
    let there = match in_time(patience, published(drive)).await {
        Ok(Some(there)) => there,
        Ok(None) => {
            let advice = "stage a deployment folder onto it with `bosc stage`";
            report.add(Finding::bad(
                STEP,
                "the link holds no release: it has no package.json",
                advice,
            ));
            return Ok(None);
        }
        Err(why) => {
            report.add(unreadable(&why));
            return Ok(None);
        }
    };
    let version = there.version().to_string();
    report.add(
        Finding::good(STEP, format!("version {version} at length {}", there.length()))
            .with(json!({ "version": version, "length": there.length() })),
    );
    if let Some(app) = app {
        let refusal = app.data().and_then(|data| there.refusal(data, drive));
        report.add(app.compare(there.version(), refusal));
    }
    let name = match app {
        Some(app) => app.name_on_drive(),
        None => Layout::of(&Host::current(), Format::Folder)
            .bundle_name(there.package().product_name().unwrap_or_default()),
    };
    let host = Host::current();
    let build = match in_time(patience, there.build(drive, &host, &name)).await {
        Ok(build) => build,
        Err(why) => {
            report.add(unreadable(&why));
            return Ok(None);
        }
    };
    report.add(match build {
        Some(Build { files, bytes }) => Finding::good(
            "build",
            format!("{name} for {host}: {files} files, {}", HumanBytes(bytes)),
        )
        .with(json!({ "host": host.to_string(), "files": files, "bytes": bytes })),
        None => Finding::bad(
            "build",
            format!(
                "the release has no build for this machine: nothing is at {}",
                layout::on_drive(&host, &name)
            ),
            format!("make it on a {host} machine and give it to `bosc build`"),
        ),
    });
    Ok(build)
}

/// What is read, or the words for why it is not.
async fn in_time<T, E: Display>(
    patience: Duration,
    read: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(patience, read).await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err(SILENT.to_owned()),
    }
}

fn nodes(count: usize) -> Finding {
    let finding = match count {
        0 => Finding::bad(
            "DHT",
            "no DHT node answers",
            "try again in a minute: the network may be overloaded",
        ),
        1 => Finding::good("DHT", "1 node answers"),
        many => Finding::good("DHT", format!("{many} nodes answer")),
    };
    finding.with(json!({ "nodes": count }))
}

fn nat(seen: Firewall) -> Finding {
    let (word, text) = match seen {
        Firewall::Open => ("open", "everybody can reach this machine"),
        Firewall::Consistent => (
            "consistent",
            "a NAT that keeps its ports: most peers are reached by hole punching",
        ),
        Firewall::Random => (
            "random",
            "a NAT that changes its ports: a peer behind another such NAT is reached through a relay only",
        ),
        Firewall::Unknown => ("unknown", "too few nodes have said how they see this machine"),
    };
    let finding = match seen {
        Firewall::Open | Firewall::Consistent => Finding::good("NAT", text),
        Firewall::Random => Finding::note("NAT", text),
        Firewall::Unknown => Finding::unknown("NAT", text),
    };
    finding.with(json!({ "nat": word }))
}
