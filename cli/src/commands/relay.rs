//! `bosc relay`: passes on what two peers send each other that find no way to each other.

use std::time::Duration;

use anyhow::Context;
use blind_relay::{Limits, Server, Status};
use dht::{Node, NodeConfig, ServerOptions};
use hyperswarm::Firewall;
use indicatif::{HumanBytes, ProgressBar};
use serde_json::json;
use tokio::sync::mpsc;

use crate::args::{self, Global};
use crate::key_file;
use crate::output::Output;
use crate::store;

/// How often the status is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Connections that wait to be served.
const QUEUE: usize = 64;
/// A status line without a change, for machines that want to know that it lives.
const EVERY: u32 = 60;

pub(crate) async fn run(global: &Global, args: &args::Relay, output: &Output) -> anyhow::Result<()> {
    let path = match &args.key_file {
        Some(path) => path.clone(),
        None => store::folder(global)?.join("relay.key"),
    };
    let key_pair = key_file::read_or_make(&path)?;
    let key = key_pair.public_key;
    let config = NodeConfig {
        bootstrap: (!global.bootstrap.is_empty()).then(|| global.bootstrap.clone()),
        port: args.port,
        ..NodeConfig::default()
    };
    let node = Node::start(config).await?;
    let (connections, mut incoming) = mpsc::channel(QUEUE);
    let options = ServerOptions {
        connections,
        firewall: Box::new(|_| false),
        relays: Vec::new(),
    };
    let listening = node.listen(key_pair, options);
    let relay = Server::new(Limits {
        clients: args.clients,
        pairs_per_client: args.pairs,
        rate: args.rate.map(|kilobytes| kilobytes.saturating_mul(1000)),
    });
    output.result(&key.to_string());
    output.tag("relaying", json!({ "key": key.to_string(), "keyFile": path }));
    output.say(&format!(
        "apps use it with {key} in \"bosc.relays\" of package.json, bosc with --relay {key}; Ctrl-C ends it"
    ));
    let announce = async {
        listening.announced().await;
        let seen = node.firewall();
        output.tag(
            "announced",
            json!({ "address": node.remote_address(), "nat": nat(seen) }),
        );
        if listening.relay_addresses().is_empty() {
            output.say("no DHT node took the announcement, so nobody finds this relay yet; trying again");
        } else if seen != Firewall::Open {
            output.say(&format!(
                "others cannot reach this machine unasked: most peers that need a relay will not get here. Open UDP port {} in its firewall",
                node.local_address().port()
            ));
        }
        std::future::pending::<()>().await;
    };
    let accept = async {
        while let Some(peer) = incoming.recv().await {
            let (relay, link) = (relay.clone(), peer.link);
            tokio::spawn(async move { relay.serve(peer.connection, move || link.way()).await });
        }
    };
    tokio::select! {
        () = announce => {}
        () = accept => {}
        () = watch(&relay, output) => {}
        () = crate::interrupt::stop_signal() => {}
    }
    tokio::time::timeout(Duration::from_secs(2), listening.close())
        .await
        .context("the announcement could not be taken back in time; it is forgotten within half an hour")
        .unwrap_or_else(|error| output.say(&error.to_string()));
    node.destroy();
    output.done(counts(&relay.status()));
    Ok(())
}

fn nat(seen: Firewall) -> &'static str {
    match seen {
        Firewall::Open => "Open",
        Firewall::Consistent => "Consistent",
        Firewall::Random => "Random",
        Firewall::Unknown => "Unknown",
    }
}

fn counts(status: &Status) -> serde_json::Value {
    json!({
        "clients": status.clients,
        "waiting": status.waiting,
        "pairs": status.pairs,
        "paired": status.paired,
        "refused": status.refused,
        "bytes": status.bytes,
    })
}

/// Shows the status whenever it changed.
async fn watch(relay: &Server, output: &Output) {
    let bar = output.interactive().then(ProgressBar::new_spinner);
    let (mut shown, mut quiet) = (None, 0);
    loop {
        let status = relay.status();
        quiet += 1;
        if shown != Some(status) || quiet >= EVERY {
            let rate = shown.map_or(0, |before: Status| status.bytes.saturating_sub(before.bytes));
            if let Some(bar) = &bar {
                bar.set_message(format!(
                    "{} clients, {} pairs, {} waiting, {} passed on ({}/s)",
                    status.clients,
                    status.pairs,
                    status.waiting,
                    HumanBytes(status.bytes),
                    HumanBytes(rate)
                ));
                bar.tick();
            }
            output.tag("stats", counts(&status));
            (shown, quiet) = (Some(status), 0);
        }
        tokio::time::sleep(LOOK).await;
    }
}
