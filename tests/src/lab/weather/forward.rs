//! The edge of the weather: a thread that reads packets of hosts from their TUN devices, and writes them where they arrive.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::air::{Air, Counts};
use super::link::Weather;
use crate::lab::hosts::Host;

/// What an Ethernet carries.
const MTU: u16 = 1500;
/// Packets that a host may hand over before we read them; the kernel's 500 would be a short queue of their own.
const DEVICE_QUEUE: u32 = 20_000;
/// Packets read from one host before others have their turn.
const BATCH: usize = 64;
/// How long a wish to change something may wait.
const LOOK_UP: Duration = Duration::from_millis(20);

/// Makes a host's way out; `name` is free in there.
pub(super) fn open(host: &Host, name: &'static str) -> Result<SyncDevice> {
    let device = host
        .on_a_thread(move || {
            DeviceBuilder::new()
                .name(name)
                .mtu(MTU)
                .tx_queue_len(DEVICE_QUEUE)
                .enable(false)
                .build_sync()
                .context("cannot make a TUN device (/dev/net/tun)")
        })
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    device.set_nonblocking(true)?;
    Ok(device)
}

/// The host a packet is for: the last byte of an IPv4 destination in 10.79.0.0/24, less one.
fn destination(packet: &[u8]) -> Option<usize> {
    let [first, ..] = packet else { return None };
    let [10, 79, 0, host] = *packet.get(16..20)? else {
        return None;
    };
    (first >> 4 == 4).then_some(usize::from(host.checked_sub(1)?))
}

enum Wish {
    Change(usize, Weather),
    Count(Sender<Counts>),
}

/// Forwards until it is dropped.
pub(super) struct Forwarder {
    stop: Arc<AtomicBool>,
    wishes: Sender<Wish>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Forwarder {
    /// `devices` in the order of the hosts in `air`.
    pub(super) fn start(devices: Vec<SyncDevice>, air: Air) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (wishes, wished) = channel();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || forward(&devices, air, &stopped, &wished));
        Self {
            stop,
            wishes,
            thread: Some(thread),
        }
    }

    pub(super) fn change(&self, host: usize, weather: Weather) -> Result<()> {
        self.wishes
            .send(Wish::Change(host, weather))
            .context("the thread that forwards packets ended")
    }

    pub(super) fn counts(&self) -> Result<Counts> {
        let (to, counts) = channel();
        let _ = self.wishes.send(Wish::Count(to));
        counts.recv().context("the thread that forwards packets ended")
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => eprintln!("packets were no longer forwarded: {error:#}"),
            Some(Err(_)) => eprintln!("packets were no longer forwarded: the thread panicked"),
            Some(Ok(Ok(()))) | None => {}
        }
    }
}

fn forward(devices: &[SyncDevice], mut air: Air, stop: &AtomicBool, wishes: &Receiver<Wish>) -> Result<()> {
    // Sleep as exactly as the kernel can: by default it may be 50 µs late, and a gigabit has a packet every 12.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let start = Instant::now();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    while !stop.load(Ordering::Acquire) {
        for wish in wishes.try_iter() {
            match wish {
                Wish::Change(host, weather) => air.change(host, weather),
                Wish::Count(to) => {
                    let busy = clock_gettime(ClockId::ThreadCPUTime);
                    let busy = Duration::try_from(busy).unwrap_or_default();
                    let _ = to.send(Counts { busy, ..air.counts() });
                }
            }
        }
        let wait = air
            .next_arrival()
            .map_or(LOOK_UP, |at| at.saturating_sub(start.elapsed()).min(LOOK_UP));
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        let mut polled: Vec<PollFd<'_>> = devices
            .iter()
            .map(|device| PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN))
            .collect();
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for packets"),
        }
        let ready = devices.iter().zip(&polled).enumerate();
        for (from, (device, polled)) in ready {
            if !polled.revents().contains(PollFlags::IN) {
                continue;
            }
            for _ in 0..BATCH {
                // A device that is down gives errors until it is up again.
                let Ok(length) = device.recv(&mut buffer) else {
                    break;
                };
                let packet = buffer.get(..length).unwrap_or_default();
                if let Some(to) = destination(packet) {
                    air.send(start.elapsed(), from, to, packet);
                }
            }
        }
        let now = start.elapsed();
        let hand_over = |to: usize, packet: &[u8]| {
            if let Some(device) = devices.get(to) {
                // As on a real network, nobody hears of what a host does not take.
                let _ = device.send(packet);
            }
        };
        while air.arrive(now, hand_over) {}
    }
    Ok(())
}
