//! Network namespaces of one test, and work that is done in them.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `ip` with the words of `args`.
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

/// Why this machine gives no namespaces, or no address translation in them.
///
/// # Errors
/// The reason, in words for a person.
pub fn can_make_hosts() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    ip("netns list")?;
    let hosts = Hosts::new();
    let (hosts, host) = hosts.and_then(|mut hosts| hosts.add("t").map(|host| (hosts, host)))?;
    host.nft("add table ip t\nadd chain ip t c { type nat hook postrouting priority 100; }\nadd rule ip t c masquerade fully-random\n")
        .context("no address translation in a namespace")?;
    drop(hosts);
    Ok(())
}

/// What a thread of a host came to; its panic is ours.
///
/// # Errors
/// The thread's.
pub fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Network namespaces, removed when this is dropped.
pub struct Hosts {
    prefix: String,
    names: Vec<String>,
    links: u32,
}

impl Hosts {
    /// None yet.
    ///
    /// # Errors
    /// If this process made too many already.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        ensure!(count < 1000, "too many networks in one process");
        // A link's name has room for 15 characters, and process ids go to 4194304.
        let prefix = format!("b{:x}x{count}", std::process::id());
        Ok(Self {
            prefix,
            names: Vec::new(),
            links: 0,
        })
    }

    /// A host of its own, with loopback up.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn add(&mut self, name: &str) -> Result<Host> {
        let name = format!("{}{name}", self.prefix);
        ip(&format!("netns add {name}"))?;
        self.names.push(name.clone());
        let host = Host(Some(name));
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// A cable between two hosts; the names of its ends.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn cable(&mut self, a: &Host, b: &Host) -> Result<(String, String)> {
        let n = self.links;
        self.links += 1;
        let (end_a, end_b) = (format!("{}a{n}", self.prefix), format!("{}b{n}", self.prefix));
        ensure!(end_a.len() <= 15, "{end_a} is too long for the name of a link");
        ip(&format!("link add {end_a} type veth peer name {end_b}"))?;
        for (end, host) in [(&end_a, a), (&end_b, b)] {
            let name = host.0.as_deref().context("a cable wants two hosts of the lab")?;
            ip(&format!("link set {end} netns {name}"))?;
            host.ip(&format!("link set {end} up"))?;
        }
        Ok((end_a, end_b))
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

/// One namespace, or this machine as it is.
#[derive(Debug, Clone)]
pub struct Host(Option<String>);

impl Host {
    /// This machine, in the network it has.
    pub fn here() -> Self {
        Self(None)
    }

    /// Runs `ip` with the words of `args` in there.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, args: &str) -> Result<()> {
        match &self.0 {
            Some(name) => ip(&format!("-n {name} {args}")),
            None => bail!("the network of this machine is not changed: ip {args}"),
        }
    }

    /// Feeds `nft` with `script` in there.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn nft(&self, script: &str) -> Result<()> {
        ensure!(self.0.is_some(), "the network of this machine is not changed");
        let mut command = self.command("nft");
        let mut child = command
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().context("no input")?;
        input.write_all(script.as_bytes())?;
        drop(input);
        let out = child.wait_with_output()?;
        ensure!(
            out.status.success(),
            "nft: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        );
        Ok(())
    }

    /// Sets a kernel parameter of the network in there.
    ///
    /// # Errors
    /// If the kernel has none of that name, or refuses the value.
    pub fn set(&self, parameter: &str, value: &str) -> Result<()> {
        let (path, value) = (
            format!("/proc/sys/{}", parameter.replace('.', "/")),
            value.to_owned(),
        );
        self.on_a_thread(move || {
            std::fs::write(&path, &value).with_context(|| format!("cannot write {path}"))
        })
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A program to be run in there.
    pub fn command(&self, program: &str) -> Command {
        match &self.0 {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, program]);
                command
            }
            None => Command::new(program),
        }
    }

    /// Runs `work` on a thread of that host.
    pub fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let name = self.0.clone();
        std::thread::spawn(move || {
            if let Some(name) = name {
                let namespace = File::open(format!("/run/netns/{name}"))?;
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            }
            work()
        })
    }

    /// Runs `work` on a runtime on a thread of that host.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        self.on_a_thread(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(work())
        })
    }
}
