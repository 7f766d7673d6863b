//! Strangers at a blind relay who take all its places: two who need it still meet there. Needs root and nftables.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use blind_relay::{Request, Token};
use bosc_tests::lab::{Home, Host, Meeting, Net, Stack, can_make_hosts};
use bosc_tests::peers::fresh_home;
use bosc_tests::process::Process;
use bosc_tests::skip::skipped;
use dht::{ConnectOptions, Node, NodeConfig};
use hyperswarm::{KeyPair, PublicKey};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Places of the relay: many enough to show it, few enough to fill them quickly.
const PLACES: usize = 48;
/// How long a program may take to start and say so.
const READY: Duration = Duration::from_secs(30);
/// How long who has a place keeps it for sure.
const GRACE: Duration = Duration::from_secs(5);
/// How long two may take to meet that have to go through the relay.
const SOON: Duration = Duration::from_secs(5);

/// What the strangers do with their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crowd {
    /// Nothing.
    Idles,
    /// Each waits for somebody who does not come.
    Waits,
}

/// Takes all places from one host, and keeps at it until told to stop.
fn occupy(
    host: &Host,
    bootstrap: String,
    relay: PublicKey,
    crowd: Crowd,
    taken: mpsc::Sender<usize>,
    mut stop: oneshot::Receiver<()>,
) -> JoinHandle<Result<()>> {
    host.run(async move || {
        let config = NodeConfig {
            bootstrap: Some(vec![bootstrap]),
            ..NodeConfig::default()
        };
        let node = Node::start(config).await?;
        let mut held = JoinSet::new();
        let mut open = 0;
        while open < PLACES {
            let options = ConnectOptions {
                key_pair: Some(KeyPair::generate()),
                ..ConnectOptions::default()
            };
            let peer = node.connect(relay, options).await?;
            open += 1;
            let request = Request {
                is_initiator: true,
                token: Token(KeyPair::generate().public_key.0),
                stream_id: 1,
            };
            held.spawn(async move {
                match crowd {
                    Crowd::Idles => drop(peer.connection.closed().await),
                    Crowd::Waits => drop(blind_relay::pair(peer.connection, request).await),
                }
            });
        }
        taken.send(open)?;
        let _ = (&mut stop).await;
        node.destroy();
        Ok(())
    })
}

fn meet_beside(crowd: Crowd) -> Result<Duration> {
    let mut net = Net::new()?;
    let (at, from) = (net.home(Home::Symmetric)?, net.home(Home::Symmetric)?);
    let (between, stranger) = (net.home(Home::Open)?, net.home(Home::Open)?);
    let (place, bootstrap) = (fresh_home("relay-attack")?, net.bootstrap());
    let places = PLACES.to_string();
    let args = ["relay", "--json", "--clients", &places];
    let mut relay = Process::start(
        "relay",
        &mut net.bosc(&between, (&place, "relay"), &args)?,
        &place,
    )?;
    let says = |line: &str, field: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line["data"][field].clone())
    };
    let key = relay.wait_for("its key", READY, |line| says(line, "key")?.as_str()?.parse().ok())?;
    relay.wait_for("that it is open", READY, |line| {
        line.contains("\"Open\"").then_some(())
    })?;

    let (taken, all_taken) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let strangers = occupy(&stranger, bootstrap.clone(), key, crowd, taken, stopped);
    all_taken
        .recv_timeout(READY)
        .context("the strangers did not get in")?;
    relay.wait_for("that all places are taken", READY, |line| {
        (says(line, "clients")?.as_u64()? == PLACES as u64).then_some(())
    })?;
    std::thread::sleep(GRACE);
    let meeting = Meeting {
        server: (Stack::Bosc, &at),
        client: (Stack::Bosc, &from),
        bootstrap: &bootstrap,
        relay: Some(key),
    };
    let took = meeting
        .hold(SOON)?
        .context("two who need the relay do not get in")?;
    let paired = relay.wait_for("a pair", READY, |line| {
        says(line, "paired")?.as_u64().filter(|n| *n > 0)
    })?;
    ensure!(paired == 1, "{paired} pairs were made");
    let _ = stop.send(());
    strangers
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(took)
}

#[test]
fn strangers_who_take_all_places_of_a_relay_keep_nobody_out() -> Result<()> {
    if let Err(why) = can_make_hosts() {
        skipped(why);
        return Ok(());
    }
    for crowd in [Crowd::Idles, Crowd::Waits] {
        println!(
            "{crowd:?}: {:.2?}",
            meet_beside(crowd).with_context(|| format!("{crowd:?}"))?
        );
    }
    Ok(())
}
