//! Hosts that are far from each other: each with a way out of its own weather, and a DHT among them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::oneshot;

use super::air::{Air, Counts};
use super::forward::{Forwarder, open};
use super::link::Weather;
use crate::lab::hosts::{Host, Hosts};

/// A host's way out.
const DEVICE: &str = "wan0";
/// Where the DHT listens.
const PORT: u16 = 49737;
/// How long the DHT may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// The chances of every network are the same.
const SEED: u64 = 1;

/// Why this machine gives no weather.
///
/// # Errors
/// The reason, in words for a person.
pub fn can_make_weather() -> Result<()> {
    Wan::new(&[Weather::fine()], None).map(drop)
}

/// Hosts 10.79.0.1, 10.79.0.2, … All of it ends when this is dropped.
pub struct Wan {
    dht: Option<(oneshot::Sender<()>, JoinHandle<Result<()>>)>,
    forwarder: Forwarder,
    hosts: Vec<Host>,
    _namespaces: Hosts,
}

impl Wan {
    /// One host for each of `weathers`: what leaves it has that weather. A DHT is on one more host, with a weather of its own.
    ///
    /// # Errors
    /// If the machine gives no namespaces or TUN devices, or the DHT does not start.
    pub fn new(weathers: &[Weather], dht: Option<Weather>) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root"
        );
        let all: Vec<Weather> = weathers.iter().chain(&dht).cloned().collect();
        ensure!(all.len() < 255, "a network has room for 254 hosts");
        let mut namespaces = Hosts::new()?;
        let (mut hosts, mut devices) = (Vec::new(), Vec::new());
        for n in 1..=all.len() {
            let host = namespaces.add(&format!("w{n}"))?;
            devices.push(open(&host, DEVICE)?);
            host.ip(&format!("addr add {}/24 dev {DEVICE}", address(n - 1)))?;
            host.ip(&format!("link set {DEVICE} up"))?;
            hosts.push(host);
        }
        let forwarder = Forwarder::start(devices, Air::new(&all, SEED));
        let mut wan = Self {
            dht: None,
            forwarder,
            hosts,
            _namespaces: namespaces,
        };
        if dht.is_some() {
            wan.start_dht()?;
        }
        Ok(wan)
    }

    fn start_dht(&mut self) -> Result<()> {
        let index = self.hosts.len() - 1;
        let (stop, stopped) = oneshot::channel();
        let (started, is_started) = mpsc::channel();
        let running = self.host(index)?.run(async move || {
            let network = dht::local::start(IpAddr::V4(address(index)), PORT).await?;
            started.send(())?;
            let _ = stopped.await;
            network.nodes().iter().for_each(|node| node.destroy());
            Ok(())
        });
        self.dht = Some((stop, running));
        is_started
            .recv_timeout(PATIENCE)
            .context("the DHT of the lab did not start")
    }

    /// Ends the DHT, as if its machine were switched off.
    pub fn stop_dht(&mut self) {
        if let Some((stop, running)) = self.dht.take() {
            let _ = stop.send(());
            let _ = running.join();
        }
    }

    /// Address of the DHT's first node.
    pub fn bootstrap(&self) -> String {
        format!("{}:{PORT}", address(self.hosts.len() - 1))
    }

    /// The host with that weather.
    ///
    /// # Errors
    /// If there is none.
    pub fn host(&self, index: usize) -> Result<&Host> {
        self.hosts
            .get(index)
            .with_context(|| format!("this network has no host {index}"))
    }

    /// The address of that host.
    pub fn address(&self, index: usize) -> Ipv4Addr {
        address(index)
    }

    /// Gives a host another weather from now on.
    ///
    /// # Errors
    /// If packets are no longer forwarded.
    pub fn change(&self, index: usize, weather: Weather) -> Result<()> {
        self.forwarder.change(index, weather)
    }

    /// Takes a host off the network, or brings it back. Taken off, it has no address either.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn plug(&self, index: usize, is_in: bool) -> Result<()> {
        let state = if is_in { "up" } else { "down" };
        self.host(index)?.ip(&format!("link set {DEVICE} {state}"))
    }

    /// What became of packets so far.
    ///
    /// # Errors
    /// If packets are no longer forwarded.
    pub fn counts(&self) -> Result<Counts> {
        self.forwarder.counts()
    }
}

fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 79, 0, u8::try_from(index + 1).unwrap_or(u8::MAX))
}

impl Drop for Wan {
    fn drop(&mut self) {
        self.stop_dht();
    }
}
