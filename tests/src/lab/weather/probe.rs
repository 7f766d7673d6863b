//! Plain datagrams through the weather: how long they take, and how many get through at most.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::hosts::join;
use super::wan::Wan;

const ECHO_PORT: u16 = 7;
const SINK_PORT: u16 = 9;
/// One ping in this time.
const EVERY: Duration = Duration::from_millis(20);
/// How often a thread that waits for a datagram looks whether it shall end.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Pings from one host to another until they are asked for.
pub struct Pings {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Duration>>>>,
}

impl Pings {
    /// Starts them.
    ///
    /// # Errors
    /// If the network has no such hosts.
    pub fn start(wan: &Wan, from: usize, to: usize) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (here, there) = (wan.address(from), wan.address(to));
        let stopped = stop.clone();
        let echo = wan.host(to)?.on_a_thread(move || {
            let socket = listening((there, ECHO_PORT).into())?;
            let mut buffer = [0; 64];
            while !stopped.load(Ordering::Acquire) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(buffer.get(..length).unwrap_or_default(), from)?;
                }
            }
            Ok(Vec::new())
        });
        let socket = wan
            .host(from)?
            .on_a_thread(move || listening((here, 0).into()))
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let answers = socket.try_clone()?;
        let start = Instant::now();
        let stopped = stop.clone();
        let ask = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                let now = start.elapsed().as_nanos() as u64;
                let _ = socket.send_to(&now.to_le_bytes(), (there, ECHO_PORT));
                std::thread::sleep(EVERY);
            }
            Ok(Vec::new())
        });
        let stopped = stop.clone();
        let listen = std::thread::spawn(move || {
            let mut took = Vec::new();
            let mut buffer = [0; 8];
            while !stopped.load(Ordering::Acquire) {
                if let Ok((8, _)) = answers.recv_from(&mut buffer) {
                    let sent = Duration::from_nanos(u64::from_le_bytes(buffer));
                    took.push(start.elapsed().saturating_sub(sent));
                }
            }
            Ok(took)
        });
        Ok(Self {
            stop,
            threads: vec![echo, ask, listen],
        })
    }

    /// Ends them; how long each took that was answered, the shortest first.
    ///
    /// # Errors
    /// What the system said about a socket.
    pub fn end(mut self) -> Result<Vec<Duration>> {
        self.stop.store(true, Ordering::Release);
        let mut all = Vec::new();
        for thread in self.threads.drain(..) {
            all.extend(join(thread)?);
        }
        all.sort();
        Ok(all)
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn listening(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
    socket.set_read_timeout(Some(LOOK_UP))?;
    Ok(socket)
}

/// What the lab itself can do.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Bytes in a second that got through while as much was sent as can be; all the programs share the processors.
    pub through: f64,
    /// Bytes that it forwards in a second of its own processor time.
    pub forwards: f64,
}

/// Sends as much as can be in full packets from one host to another for `time`.
///
/// # Errors
/// If the network has no such hosts, or what the system said about a socket.
pub fn capacity(wan: &Wan, from: usize, to: usize, time: Duration) -> Result<Capacity> {
    /// With the headers of IP and UDP 1500 bytes.
    const FULL: usize = 1472;
    let (here, there) = (wan.address(from), wan.address(to));
    let before = wan.counts()?;
    let sink = wan.host(to)?.on_a_thread(move || {
        let socket = listening((there, SINK_PORT).into())?;
        let mut buffer = [0; FULL];
        let (mut bytes, start) = (0, Instant::now());
        while start.elapsed() < time {
            if let Ok((length, _)) = socket.recv_from(&mut buffer) {
                bytes += length;
            }
        }
        Ok(bytes as f64 / start.elapsed().as_secs_f64())
    });
    let source = wan.host(from)?.on_a_thread(move || {
        let socket = listening((here, 0).into())?;
        let start = Instant::now();
        while start.elapsed() < time {
            let _ = socket.send_to(&[0; FULL], (there, SINK_PORT));
        }
        Ok(())
    });
    join(source)?;
    let through = sink
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let after = wan.counts()?;
    let busy = after.busy.saturating_sub(before.busy).as_secs_f64();
    Ok(Capacity {
        through,
        forwards: (after.arrived - before.arrived) as f64 * FULL as f64 / busy,
    })
}
