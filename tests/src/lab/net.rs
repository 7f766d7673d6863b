//! The public network of a lab: one bridge, four DHT nodes on hosts of their own, and homes that hang on it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use dht::{Node, NodeConfig};
use tokio::sync::oneshot;

use super::hosts::{Host, Hosts};
use crate::peers::program;
use crate::process::run;

/// DHT nodes: a NAT is judged by what four of them see.
const NODES: u8 = 4;
/// Where the first of them listens.
const PORT: u16 = 49737;
/// How long a node may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a host is connected to the public network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// With an address of its own.
    Open,
    /// Behind a router that gives a socket one outside port, whomever it speaks to, and lets only those in to whom it spoke.
    Cone,
    /// As [`Home::Cone`], but the outside port is another one for each destination.
    Symmetric,
    /// As [`Home::Cone`], behind a second such router: the provider's.
    Double,
    /// As [`Home::Cone`], and what was not used for 20 s is forgotten.
    Forgetful,
}

impl Home {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cone => "cone",
            Self::Symmetric => "sym",
            Self::Double => "double",
            Self::Forgetful => "forgetful",
        }
    }
}

/// Hosts, and the DHT among them. All of it ends when this is dropped.
pub struct Net {
    nodes: Vec<(oneshot::Sender<()>, JoinHandle<Result<()>>)>,
    hosts: Hosts,
    switch: Host,
    homes: u8,
    /// The routers of homes, the outermost of each, with the end of its cable to the outside.
    routers: Vec<Router>,
}

impl Net {
    /// A network with a DHT that has found itself.
    ///
    /// # Errors
    /// If the machine gives no namespaces, or a node does not start.
    pub fn new() -> Result<Self> {
        let mut hosts = Hosts::new()?;
        let switch = hosts.add("sw")?;
        switch.ip("link add br0 type bridge")?;
        switch.ip("link set br0 up")?;
        let mut net = Self {
            nodes: Vec::new(),
            hosts,
            switch,
            homes: 0,
            routers: Vec::new(),
        };
        for i in 1..=NODES {
            let host = net.hosts.add(&format!("n{i}"))?;
            net.plug(&host, Ipv4Addr::new(10, 77, 0, i))?;
            let config = NodeConfig {
                bootstrap: Some(if i == 1 { Vec::new() } else { vec![net.bootstrap()] }),
                host: Some(Ipv4Addr::new(10, 77, 0, i)),
                port: PORT,
                persistent: true,
            };
            let (stop, stopped) = oneshot::channel();
            let (started, is_started) = mpsc::channel();
            let running = host.run(async move || {
                let node = Node::start(config).await?;
                node.bootstrapped().await;
                started.send(())?;
                let _ = stopped.await;
                node.destroy();
                Ok(())
            });
            is_started
                .recv_timeout(PATIENCE)
                .context("a DHT node of the lab did not start")?;
            net.nodes.push((stop, running));
        }
        Ok(net)
    }

    /// Address of the DHT's first node.
    pub fn bootstrap(&self) -> String {
        format!("10.77.0.1:{PORT}")
    }

    /// `bosc` on a host, in a folder and with a store there.
    ///
    /// # Errors
    /// If it is not built.
    pub fn bosc(&self, host: &Host, (folder, store): (&Path, &str), args: &[&str]) -> Result<Command> {
        let bosc = program("bosc")?;
        let mut command = host.command(bosc.to_str().context("a path that is no text")?);
        command
            .args(args)
            .current_dir(folder)
            .env("BOSC_STORAGE", folder.join(store))
            .env("BOSC_BOOTSTRAP", self.bootstrap());
        Ok(command)
    }

    /// Connects a host to the public network; the name of its end of the cable.
    fn plug(&mut self, host: &Host, address: Ipv4Addr) -> Result<String> {
        let (end, port) = self.hosts.cable(host, &self.switch)?;
        self.switch.ip(&format!("link set {port} master br0"))?;
        host.ip(&format!("addr add {address}/16 dev {end}"))?;
        Ok(end)
    }

    /// Gives a host on the public network another address there and takes its old one, as when a laptop changes its network, or
    /// a provider the address of a router.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn renumber(&mut self, host: &Host) -> Result<()> {
        let (end, old) = outside(host)?;
        self.homes += 1;
        host.ip(&format!("addr del {old} dev {end}"))?;
        host.ip(&format!("addr add 10.77.2.{}/16 dev {end}", self.homes))
    }

    /// Connects a host of [`Home::Open`] a second time.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn second_interface(&mut self, host: &Host) -> Result<()> {
        self.homes += 1;
        self.plug(host, Ipv4Addr::new(10, 77, 3, self.homes)).map(|_| ())
    }

    /// Takes the first of its interfaces on the public network away from a host.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn unplug(&self, host: &Host) -> Result<()> {
        let (end, _) = outside(host)?;
        host.ip(&format!("link set {end} down"))
    }

    /// Gives a host an interface, with an address, whose cable leads to nobody.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn dead_interface(&mut self, host: &Host) -> Result<()> {
        self.homes += 1;
        let n = self.homes;
        let nobody = self.hosts.add(&format!("x{n}"))?;
        let (end, _) = self.hosts.cable(host, &nobody)?;
        host.ip(&format!("addr add 10.88.{n}.1/24 dev {end}"))
    }

    /// The router of the home that was made last.
    pub fn last_router(&self) -> Option<Router> {
        self.routers.last().cloned()
    }

    /// A host that is connected like that.
    ///
    /// # Errors
    /// What `ip` and `nft` say.
    pub fn home(&mut self, home: Home) -> Result<Host> {
        self.household(home, 1)?.pop().context("a home without a host")
    }

    /// Hosts of one home, on one local network behind its router.
    ///
    /// # Errors
    /// What `ip` and `nft` say.
    pub fn household(&mut self, home: Home, count: u8) -> Result<Vec<Host>> {
        self.homes += 1;
        let n = self.homes;
        let public = Ipv4Addr::new(10, 77, 1, n);
        if home == Home::Open {
            let host = self.hosts.add(&format!("h{n}"))?;
            self.plug(&host, public)?;
            return Ok(vec![host]);
        }
        let mut router = self.hosts.add(&format!("r{n}"))?;
        let mut outside = self.plug(&router, public)?;
        translate(&router, &outside, home)?;
        self.routers.push(Router {
            host: router.clone(),
            outside: outside.clone(),
        });
        if home == Home::Double {
            let inner = self.hosts.add(&format!("q{n}"))?;
            let (up, down) = self.hosts.cable(&router, &inner)?;
            router.ip(&format!("addr add 100.64.{n}.1/24 dev {up}"))?;
            inner.ip(&format!("addr add 100.64.{n}.2/24 dev {down}"))?;
            inner.ip(&format!("route add default via 100.64.{n}.1"))?;
            (router, outside) = (inner, down);
            translate(&router, &outside, Home::Cone)?;
        }
        router.ip("link add lan0 type bridge")?;
        router.ip(&format!("addr add 192.168.{n}.1/24 dev lan0"))?;
        router.ip("link set lan0 up")?;
        (0..count)
            .map(|i| {
                let host = self.hosts.add(&format!("h{n}{i}"))?;
                let (end, port) = self.hosts.cable(&host, &router)?;
                router.ip(&format!("link set {port} master lan0"))?;
                host.ip(&format!("addr add 192.168.{n}.{}/24 dev {end}", 10 + i))?;
                host.ip(&format!("route add default via 192.168.{n}.1"))?;
                Ok(host)
            })
            .collect()
    }
}

/// What a home's way to the public network goes through.
#[derive(Debug, Clone)]
pub struct Router {
    /// Itself.
    pub host: Host,
    /// The end of its cable to the outside.
    outside: String,
}

impl Router {
    /// Has it translate as that of such a home from now on; what goes on already goes on as before.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn retranslate(&self, home: Home) -> Result<()> {
        self.host.nft("delete table ip nat\n")?;
        translate(&self.host, &self.outside, home)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for (stop, running) in self.nodes.drain(..) {
            let _ = stop.send(());
            let _ = running.join();
        }
    }
}

/// The end of a host's first cable to the public network, and its address with the length of the network's.
fn outside(host: &Host) -> Result<(String, String)> {
    let mut list = host.command("ip");
    let text = run(list.args(["-o", "-4", "addr", "show", "scope", "global"]))?;
    let found = text.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (end, address) = (words.next()?, words.nth(1)?);
        let public = address.starts_with("10.77.");
        public.then(|| (end.to_owned(), address.to_owned()))
    });
    found.with_context(|| format!("no address on the public network in {text:?}"))
}

/// Makes a router of `host`, whose cable to the outside is `outside`.
fn translate(host: &Host, outside: &str, home: Home) -> Result<()> {
    host.set("net.ipv4.ip_forward", "1")?;
    if home == Home::Forgetful {
        host.set("net.netfilter.nf_conntrack_udp_timeout", "20")?;
        host.set("net.netfilter.nf_conntrack_udp_timeout_stream", "20")?;
    }
    let port = if home == Home::Symmetric {
        " fully-random"
    } else {
        ""
    };
    host.nft(&format!(
        "add table ip nat
         add chain ip nat out {{ type nat hook postrouting priority 100; }}
         add rule ip nat out oifname \"{outside}\" masquerade{port}
         add chain ip nat through {{ type filter hook forward priority 0; policy accept; }}
         add rule ip nat through iifname \"{outside}\" ct state new drop
         add chain ip nat to {{ type filter hook input priority 0; policy accept; }}
         add rule ip nat to iifname \"{outside}\" ct state new drop
        "
    ))
}
