//! Rust and JavaScript peers find each other and stream: on hosts of their own (network namespaces on a bridge), on a
//! machine with loopback only, and on this machine as it is. Needs root and iproute2 for the namespaces, and Node with
//! the packages of tests/interop (or of the folder that BOSC_INTEROP names).

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bosc_tests::lab::{Host, Hosts, can_make_hosts};
use bosc_tests::skip::skipped;
use hyperswarm::{JoinOptions, Swarm, SwarmConfig, Topic};

const MESSAGES: usize = 128;
const CHUNK: usize = 65_536;
/// Connecting takes well under a second when the machine is idle; tests run beside others.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the JavaScript packages are, or why the test cannot run.
fn interop() -> Result<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    let folder = std::env::var_os("BOSC_INTEROP").map_or(default, PathBuf::from);
    let modules = folder.join("node_modules");
    ensure!(
        modules.join("hyperswarm").is_dir(),
        "no hyperswarm in {}; run `npm ci` in tests/interop",
        modules.display()
    );
    let node = Command::new("node")
        .arg("--version")
        .output()
        .context("Node is not installed")?;
    ensure!(node.status.success(), "Node does not run");
    Ok(modules)
}

/// `count` hosts 10.78.0.1, 10.78.0.2, … on one bridge.
fn bridged(count: usize) -> Result<(Hosts, Vec<Host>)> {
    let mut hosts = Hosts::new()?;
    let switch = hosts.add("sw")?;
    switch.ip("link add br0 type bridge")?;
    switch.ip("link set br0 up")?;
    let mut all = Vec::new();
    for i in 1..=count {
        let host = hosts.add(&i.to_string())?;
        let (end, port) = hosts.cable(&host, &switch)?;
        switch.ip(&format!("link set {port} master br0"))?;
        host.ip(&format!("addr add 10.78.0.{i}/24 dev {end}"))?;
        all.push(host);
    }
    Ok((hosts, all))
}

fn node(host: &Host, modules: &Path, args: &[&str]) -> Result<JsPeer> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/swarm_js/peer.js");
    let mut command = host.command("node");
    command
        .arg(script)
        .args(args)
        .env("NODE_PATH", modules)
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().context("no output")?;
    let (tx, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if tx.send(line).is_err() {
                return;
            }
        }
    });
    Ok(JsPeer { child, lines })
}

struct JsPeer {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl JsPeer {
    fn wait_for(&self, what: &str) -> Result<String> {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .with_context(|| format!("waiting for {what:?}"))?;
            if line.starts_with(what) {
                return Ok(line);
            }
        }
    }
}

impl Drop for JsPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn join(bootstrap: &str, topic: Topic, server: bool) -> Result<(Swarm, hyperswarm::Discovery)> {
    let config = SwarmConfig {
        bootstrap: Some(vec![bootstrap.to_owned()]),
        ..SwarmConfig::default()
    };
    let swarm = Swarm::new(config).await?;
    let discovery = swarm.join(
        topic,
        JoinOptions {
            server,
            client: !server,
        },
    );
    Ok((swarm, discovery))
}

/// Sends to whoever comes until told to stop.
async fn send(
    bootstrap: String,
    topic: Topic,
    ready: mpsc::Sender<()>,
    stop: tokio::sync::oneshot::Receiver<()>,
) -> Result<()> {
    let (swarm, discovery) = join(&bootstrap, topic, true).await?;
    let mut connections = swarm.connections();
    discovery.flushed().await;
    ready.send(())?;
    let serve = async {
        while let Some(connection) = connections.recv().await {
            tokio::spawn(async move {
                let chunk = vec![7; CHUNK];
                for _ in 0..MESSAGES {
                    connection.send(chunk.clone().into()).await?;
                }
                connection.send((&b"end"[..]).into()).await?;
                connection.closed().await;
                anyhow::Ok(())
            });
        }
    };
    tokio::select! {
        () = serve => bail!("the swarm ended"),
        _ = stop => {}
    }
    swarm.destroy().await;
    Ok(())
}

/// Receives everything. Returns how many bytes, and how long it took to connect.
async fn receive(bootstrap: String, topic: Topic) -> Result<(usize, Duration)> {
    let start = Instant::now();
    let (swarm, _) = join(&bootstrap, topic, false).await?;
    let mut connections = swarm.connections();
    let receive = async {
        let mut connection = connections.recv().await.context("the swarm ended")?;
        let connected = start.elapsed();
        let mut bytes = 0;
        while let Some(message) = connection.recv().await {
            bytes += message.len();
            if &message[..] == b"end" {
                return Ok((bytes, connected));
            }
        }
        bail!("the connection broke after {bytes} bytes")
    };
    let received = tokio::time::timeout(PATIENCE, receive).await??;
    swarm.destroy().await;
    Ok(received)
}

/// A local DHT on `dht`, a sender on one host and a receiver on another, in all roles.
fn check(modules: &Path, address: &str, dht: &Host, sender: &Host, receiver: &Host) -> Result<()> {
    let host: IpAddr = address.parse()?;
    let (started, bootstrap) = mpsc::channel();
    let (stop_dht, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = dht.run(async move || {
        let network = dht::local::start(host, 0).await?;
        started.send(network.bootstrap().to_string())?;
        let _ = stopped.await;
        Ok(())
    });
    let bootstrap = bootstrap
        .recv_timeout(PATIENCE)
        .context("the local DHT did not start")?;
    let expected = MESSAGES * CHUNK + 3;
    for (n, sends, receives) in [(1, "rust", "rust"), (2, "rust", "js"), (3, "js", "rust")] {
        let topic = Topic([n; 32]);
        let (hex, messages) = (hex::encode(topic.0), MESSAGES.to_string());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (mut rust_sender, mut js_sender) = (None, None);
        if sends == "rust" {
            let (ready, is_ready) = mpsc::channel();
            let bootstrap = bootstrap.clone();
            rust_sender = Some(sender.run(async move || send(bootstrap, topic, ready, stopped).await));
            is_ready
                .recv_timeout(PATIENCE)
                .context("the Rust sender did not announce")?;
        } else {
            let peer = node(sender, modules, &["send", &bootstrap, &hex, &messages])?;
            peer.wait_for("ready")?;
            js_sender = Some(peer);
        }
        let start = Instant::now();
        if receives == "rust" {
            let bootstrap = bootstrap.clone();
            let work = receiver.run(async move || receive(bootstrap, topic).await);
            let (bytes, connected) = work.join().expect("the receiver does not panic")?;
            ensure!(
                bytes == expected,
                "{sends} to {receives}: {bytes} bytes instead of {expected}"
            );
            println!("{sends} to {receives} at {address}: connected after {connected:?}");
        } else {
            let peer = node(receiver, modules, &["recv", &bootstrap, &hex, &messages])?;
            let done = peer.wait_for("done")?;
            ensure!(
                done == format!("done {expected}"),
                "{sends} to {receives}: {done}, not {expected}"
            );
            println!(
                "{sends} to {receives} at {address}: done after {:?}",
                start.elapsed()
            );
        }
        let _ = stop.send(());
        if let Some(sender) = rust_sender {
            sender.join().expect("the sender does not panic")?;
        }
        drop(js_sender);
    }
    let _ = stop_dht.send(());
    running.join().expect("the DHT does not panic")
}

#[test]
fn peers_on_hosts_of_their_own() -> Result<()> {
    let modules = interop()?;
    if let Err(why) = can_make_hosts() {
        skipped(why);
        return Ok(());
    }
    let (_hosts, all) = bridged(6)?;
    let [dht, others @ ..] = all.as_slice() else {
        bail!("no host")
    };
    for (sender, receiver) in [(0, 1), (2, 3), (4, 0)] {
        check(&modules, "10.78.0.1", dht, &others[sender], &others[receiver])?;
    }
    Ok(())
}

#[test]
fn peers_on_a_machine_with_loopback_only() -> Result<()> {
    let modules = interop()?;
    if let Err(why) = can_make_hosts() {
        skipped(why);
        return Ok(());
    }
    let mut hosts = Hosts::new()?;
    let host = hosts.add("1")?;
    check(&modules, "127.0.0.1", &host, &host, &host)
}

#[test]
fn peers_on_this_machine() -> Result<()> {
    let modules = interop()?;
    let host = Host::here();
    check(&modules, "127.0.0.1", &host, &host, &host)
}
