//! A blind relay of either stack, for peers that find no way to each other.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use blind_relay::{Limits, Server, Status};
use dht::{Node, NodeConfig, ServerOptions};
use hyperswarm::{KeyPair, PublicKey};
use tokio::sync::oneshot;

use super::hosts::Host;
use super::meet::Stack;
use crate::peers::root;
use crate::process::Process;

/// How long it may take until it can be found.
const READY: Duration = Duration::from_secs(30);

/// A relay that runs until it is dropped.
pub struct Relay {
    key: PublicKey,
    running: Running,
}

enum Running {
    Bosc(Option<(oneshot::Sender<()>, JoinHandle<Result<()>>)>, Server),
    Js(#[expect(dead_code, reason = "ends when dropped")] Process),
}

impl Relay {
    /// Starts one.
    ///
    /// # Errors
    /// If it cannot be found in time.
    pub fn start((stack, host): (Stack, &Host), bootstrap: &str) -> Result<Self> {
        if stack == Stack::Js {
            let folder = root().join("tests/interop");
            ensure!(
                folder.join("node_modules/blind-relay").is_dir(),
                "no blind-relay in {}; run `npm ci` there",
                folder.display()
            );
            let mut command = host.command("node");
            command.arg(folder.join("relay.js")).arg(bootstrap);
            let logs = root().join("target/test-logs/lab");
            let mut relay = Process::start("js-relay", &mut command, &logs)?;
            let key = relay.wait_for("relay", READY, |line| {
                let key = hex::decode(line.strip_prefix("relay ")?).ok()?;
                Some(PublicKey(key.try_into().ok()?))
            })?;
            return Ok(Self {
                key,
                running: Running::Js(relay),
            });
        }
        let key_pair = KeyPair::generate();
        let key = key_pair.public_key;
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let config = NodeConfig {
            bootstrap: Some(vec![bootstrap.to_owned()]),
            ..NodeConfig::default()
        };
        let running = host.run(async move || serve(config, key_pair, ready, stopped).await);
        let server = is_ready
            .recv_timeout(READY)
            .context("the relay did not announce itself")?;
        Ok(Self {
            key,
            running: Running::Bosc(Some((stop, running)), server),
        })
    }

    /// Its public key, by which peers know it.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// How it does, if it is ours.
    pub fn status(&self) -> Option<Status> {
        match &self.running {
            Running::Bosc(_, server) => Some(server.status()),
            Running::Js(_) => None,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Running::Bosc(running, _) = &mut self.running
            && let Some((stop, running)) = running.take()
        {
            let _ = stop.send(());
            let _ = running.join();
        }
    }
}

async fn serve(
    config: NodeConfig,
    key_pair: KeyPair,
    ready: mpsc::Sender<Server>,
    stop: oneshot::Receiver<()>,
) -> Result<()> {
    let node = Node::start(config).await?;
    let (connections, mut incoming) = tokio::sync::mpsc::channel(16);
    let options = ServerOptions {
        connections,
        firewall: Box::new(|_| false),
        relays: Vec::new(),
    };
    let listening = node.listen(key_pair, options);
    listening.announced().await;
    let relay = Server::new(Limits::default());
    ready.send(relay.clone())?;
    let accept = async {
        while let Some(peer) = incoming.recv().await {
            let (relay, link) = (relay.clone(), peer.link);
            tokio::spawn(async move { relay.serve(peer.connection, move || link.way()).await });
        }
    };
    tokio::select! {
        () = accept => bail!("the node ended"),
        _ = stop => {}
    }
    listening.close().await;
    node.destroy();
    Ok(())
}
