//! Two peers that look for each other over a topic, each of either stack, and how long the one that looks takes.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hyperswarm::{JoinOptions, PublicKey, Swarm, SwarmConfig, Topic};
use rand::RngExt;
use tokio::sync::oneshot;

use super::hosts::{Host, join};
use crate::peers::root;
use crate::process::Process;

/// How long a server may take until it can be found.
const READY: Duration = Duration::from_secs(30);
/// What the server says to whoever comes.
const HELLO: &[u8] = b"hello";

/// Whose peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// Ours, in this process.
    Bosc,
    /// npm `hyperswarm`, in a process of its own.
    Js,
}

impl Stack {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bosc => "Bosc",
            Self::Js => "JS",
        }
    }
}

/// Who is to meet whom.
pub struct Meeting<'a> {
    /// The stack and the host of the peer that announces itself.
    pub server: (Stack, &'a Host),
    /// The stack and the host of the peer that looks for it.
    pub client: (Stack, &'a Host),
    /// A node of the DHT, `host:port`.
    pub bootstrap: &'a str,
    /// The blind relay that both know.
    pub relay: Option<PublicKey>,
}

/// A node of the DHT, and a relay.
type How<'a> = (&'a str, Option<PublicKey>);

impl Meeting<'_> {
    fn way(&self) -> How<'_> {
        (self.bootstrap, self.relay)
    }

    /// From the client's start to the server's first message; none if that takes longer than `limit`.
    ///
    /// # Errors
    /// If a peer does not start.
    pub fn hold(&self, limit: Duration) -> Result<Option<Duration>> {
        self.dial(&self.announce()?, limit)
    }

    /// Starts the server, and waits until it can be found.
    ///
    /// # Errors
    /// If it does not start.
    pub fn announce(&self) -> Result<Announced> {
        let topic = Topic(rand::rng().random());
        let server = Server::start(self.server, self.way(), topic)?;
        Ok(Announced {
            topic,
            _server: server,
        })
    }

    /// Starts the client, as in [`Meeting::hold`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn dial(&self, server: &Announced, limit: Duration) -> Result<Option<Duration>> {
        let (topic, (stack, host)) = (server.topic, self.client);
        match stack {
            Stack::Bosc => {
                let config = config(self.way());
                join(host.run(async move || dial(config, topic, limit).await))
            }
            Stack::Js => {
                let mut client = script("dial", host, self.way(), topic)?;
                let took = client.wait_for("connected", limit, |line| {
                    line.strip_prefix("connected ")?.parse().ok()
                });
                Ok(took.ok().map(Duration::from_millis))
            }
        }
    }
}

/// A server that can be found, until it is dropped.
pub struct Announced {
    topic: Topic,
    _server: Server,
}

impl Announced {
    /// What it is announced as.
    pub fn topic(&self) -> Topic {
        self.topic
    }
}

/// Starts `meet.js` on a host.
fn script(mode: &str, host: &Host, (bootstrap, relay): How<'_>, topic: Topic) -> Result<Process> {
    let folder = root().join("tests/interop");
    ensure!(
        folder.join("node_modules/hyperswarm").is_dir(),
        "no hyperswarm in {}; run `npm ci` there",
        folder.display()
    );
    let mut command = host.command("node");
    command
        .arg(folder.join("meet.js"))
        .args([mode, bootstrap, &hex::encode(topic.0)])
        .args(relay.map(|key| hex::encode(key.0)))
        .stderr(Stdio::inherit());
    let logs: PathBuf = root().join("target/test-logs/lab");
    Process::start(&format!("js-{mode}"), &mut command, &logs)
}

/// A peer that announces itself until it is dropped.
enum Server {
    Bosc(Option<(oneshot::Sender<()>, JoinHandle<Result<()>>)>),
    Js(#[expect(dead_code, reason = "ends when dropped")] Process),
}

impl Server {
    fn start((stack, host): (Stack, &Host), how: How<'_>, topic: Topic) -> Result<Self> {
        if stack == Stack::Js {
            let mut server = script("serve", host, how, topic)?;
            server.wait_for("ready", READY, |line| (line == "ready").then_some(()))?;
            return Ok(Self::Js(server));
        }
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let config = config(how);
        let running = host.run(async move || serve(config, topic, ready, stopped).await);
        is_ready
            .recv_timeout(READY)
            .context("the server did not announce itself")?;
        Ok(Self::Bosc(Some((stop, running))))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Bosc(running) = self
            && let Some((stop, running)) = running.take()
        {
            let _ = stop.send(());
            let _ = running.join();
        }
    }
}

fn config((bootstrap, relay): How<'_>) -> SwarmConfig {
    SwarmConfig {
        bootstrap: Some(vec![bootstrap.to_owned()]),
        relays: relay.into_iter().collect(),
        ..SwarmConfig::default()
    }
}

async fn serve(
    config: SwarmConfig,
    topic: Topic,
    ready: mpsc::Sender<()>,
    stop: oneshot::Receiver<()>,
) -> Result<()> {
    let swarm = Swarm::new(config).await?;
    let discovery = swarm.join(
        topic,
        JoinOptions {
            server: true,
            client: false,
        },
    );
    let mut connections = swarm.connections();
    discovery.flushed().await;
    ready.send(())?;
    let greet = async {
        while let Some(connection) = connections.recv().await {
            tokio::spawn(async move {
                let _ = connection.send(HELLO.into()).await;
                connection.closed().await;
            });
        }
    };
    tokio::select! {
        () = greet => bail!("the swarm ended"),
        _ = stop => {}
    }
    swarm.destroy().await;
    Ok(())
}

async fn dial(config: SwarmConfig, topic: Topic, limit: Duration) -> Result<Option<Duration>> {
    let start = Instant::now();
    let swarm = Swarm::new(config).await?;
    let mut connections = swarm.connections();
    let _discovery = swarm.join(
        topic,
        JoinOptions {
            server: false,
            client: true,
        },
    );
    let greeted = async {
        while let Some(mut connection) = connections.recv().await {
            if connection
                .recv()
                .await
                .is_some_and(|message| &message[..] == HELLO)
            {
                return Some(start.elapsed());
            }
        }
        None
    };
    let took = tokio::time::timeout(limit, greeted).await.ok().flatten();
    swarm.destroy().await;
    Ok(took)
}
