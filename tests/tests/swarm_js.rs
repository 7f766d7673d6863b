//! Rust and JavaScript peers find each other and stream: on hosts of their own (network namespaces on a bridge), on a
//! machine with loopback only, and on this machine as it is. Needs root and iproute2 for the namespaces, and Node with
//! the packages of tests/interop (or of the folder that BOSC_INTEROP names).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bosc_tests::skip::skipped;
use hyperswarm::{JoinOptions, Swarm, SwarmConfig, Topic};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

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

fn ip(args: &str) -> Result<()> {
    let out = Command::new("ip")
        .args(args.split(' '))
        .output()
        .context("iproute2 is not installed")?;
    ensure!(
        out.status.success(),
        "ip {args}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

/// Network namespaces of this test, removed at its end.
struct Hosts {
    prefix: String,
    names: Vec<String>,
}

impl Hosts {
    /// `count` hosts 10.78.0.1, 10.78.0.2, … on one bridge.
    fn bridged(count: usize) -> Result<Self> {
        let mut hosts = Self::new('l');
        let switch = hosts.add("sw")?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for i in 1..=count {
            let (host, prefix) = (hosts.add(&i.to_string())?, hosts.prefix.clone());
            ip(&format!("link add {prefix}e{i} type veth peer name {prefix}p{i}"))?;
            ip(&format!("link set {prefix}e{i} netns {host}"))?;
            ip(&format!("link set {prefix}p{i} netns {switch}"))?;
            ip(&format!("-n {switch} link set {prefix}p{i} master br0 up"))?;
            ip(&format!("-n {host} addr add 10.78.0.{i}/24 dev {prefix}e{i}"))?;
            ip(&format!("-n {host} link set {prefix}e{i} up"))?;
        }
        Ok(hosts)
    }

    /// One host with loopback only.
    fn lonely() -> Result<Self> {
        let mut hosts = Self::new('o');
        hosts.add("1")?;
        Ok(hosts)
    }

    fn new(kind: char) -> Self {
        Self {
            prefix: format!("b{kind}{}", std::process::id() % 1_000_000),
            names: Vec::new(),
        }
    }

    fn add(&mut self, name: &str) -> Result<String> {
        let name = format!("{}{name}", self.prefix);
        ip(&format!("netns add {name}"))?;
        self.names.push(name.clone());
        ip(&format!("-n {name} link set lo up"))?;
        Ok(name)
    }

    fn host(&self, i: usize) -> Host {
        Host(Some(format!("{}{i}", self.prefix)))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(error) = ip(&format!("netns del {name}")) {
                eprintln!("left behind: {error}");
            }
        }
    }
}

/// A network namespace by name, or this machine as it is.
#[derive(Clone)]
struct Host(Option<String>);

impl Host {
    /// Runs `work` on a thread of that host.
    fn run<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let name = self.0.clone();
        std::thread::spawn(move || {
            if let Some(name) = name {
                let namespace = File::open(format!("/run/netns/{name}"))?;
                move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&namespace),
                    Some(LinkNameSpaceType::Network),
                )?;
            }
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(work())
        })
    }

    fn node(&self, modules: &Path, args: &[&str]) -> Result<JsPeer> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/swarm_js/peer.js");
        let mut command = match &self.0 {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, "node"]);
                command
            }
            None => Command::new("node"),
        };
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
            let peer = sender.node(modules, &["send", &bootstrap, &hex, &messages])?;
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
            let peer = receiver.node(modules, &["recv", &bootstrap, &hex, &messages])?;
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

fn can_make_namespaces() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    ip("netns list")
}

#[test]
fn peers_on_hosts_of_their_own() -> Result<()> {
    let modules = interop()?;
    if let Err(why) = can_make_namespaces() {
        skipped(why);
        return Ok(());
    }
    let hosts = Hosts::bridged(6)?;
    for (sender, receiver) in [(2, 3), (4, 5), (6, 2)] {
        check(
            &modules,
            "10.78.0.1",
            &hosts.host(1),
            &hosts.host(sender),
            &hosts.host(receiver),
        )?;
    }
    Ok(())
}

#[test]
fn peers_on_a_machine_with_loopback_only() -> Result<()> {
    let modules = interop()?;
    if let Err(why) = can_make_namespaces() {
        skipped(why);
        return Ok(());
    }
    let hosts = Hosts::lonely()?;
    let host = hosts.host(1);
    check(&modules, "127.0.0.1", &host, &host, &host)
}

#[test]
fn peers_on_this_machine() -> Result<()> {
    let modules = interop()?;
    let host = Host(None);
    check(&modules, "127.0.0.1", &host, &host, &host)
}
