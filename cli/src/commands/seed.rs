//! `bosc seed`: fetches a link whole, keeps up with it, and serves it to peers until stopped.

mod table;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context;
use app::Link;
use bosc_runtime::package_of;
use core_store::{Core, CoreEvent, DownloadRange};
use hypercore::PublicKey;
use hyperdrive::Hyperdrive;
use hyperswarm::{Firewall, TopicStatus};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use peers::{PeerChange, Peers};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use self::table::{Rates, Row};
use crate::args::{self, Global};
use crate::network::join;
use crate::output::Output;
use crate::store;

/// Bytes and blocks that went one way.
#[derive(Default)]
struct Traffic {
    bytes: u64,
    blocks: u64,
    before: u64,
}

impl Traffic {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.blocks += 1;
    }

    fn report(&mut self, elapsed: Duration) -> Value {
        let speed = (self.bytes - self.before) as f64 / elapsed.as_secs_f64().max(0.001);
        self.before = self.bytes;
        json!({ "totalBytes": self.bytes, "totalBlocks": self.blocks, "speed": speed.round() })
    }
}

pub(crate) async fn run(args: &args::Seed, global: &Global, output: &Output) -> anyhow::Result<()> {
    let link: Link = args.link.parse()?;
    let until: BTreeSet<PublicKey> = args
        .until_sync
        .iter()
        .map(|key| peer_key(key))
        .collect::<anyhow::Result<_>>()?;
    let store = store::open(global)?;
    let drive = store::drive(&store, link.key).await?;
    let plain = Link::plain(drive.key());
    output.tag(
        "seeding",
        json!({ "key": drive.key().to_string(), "link": plain.to_string() }),
    );
    output.say(&format!("... seeding {plain}"));

    let (sender, mut peers) = mpsc::unbounded_channel();
    let network = join(global, &store, Some(sender)).await?;
    let relays: Vec<String> = global.relay.iter().map(ToString::to_string).collect();
    let announced = network.serve(&drive);
    let _entries = drive.core().download(DownloadRange::default());
    let mut entry_events = drive.core().events();
    let contents = contents(&drive);
    tokio::pin!(contents);
    let mut release = Release::default();
    let mut reading = Box::pin(Release::read(&drive, 0));
    let mut blobs: Option<(Core, broadcast::Receiver<CoreEvent>, core_store::Download)> = None;

    let interval = args
        .stats_interval
        .unwrap_or(if args.no_tty { 3000 } else { 500 });
    let mut tick = tokio::time::interval(Duration::from_millis(interval.max(50)));
    let mut last = Instant::now();
    let (mut up, mut down) = (Traffic::default(), Traffic::default());
    let bar = if output.interactive() && !args.no_tty {
        let style = ProgressStyle::with_template("{spinner} {msg}");
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    } else {
        ProgressBar::hidden()
    };
    let tell = |word: Option<&'static str>| {
        let Some(word) = word else { return };
        if word == ANNOUNCED {
            output.tag("announced", Value::Null);
        }
        bar.suspend(|| output.say(word));
    };
    let mut telling = Telling::default();
    let first_round = announced.flushed();
    tokio::pin!(first_round);
    let mut looked = false;
    let mut rates = Rates::default();
    let stop = crate::interrupt::stop_signal();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = &mut first_round, if !looked => {
                looked = true;
                tell(telling.look(announced.status()));
            }
            found = &mut contents, if blobs.is_none() => {
                let core = found?;
                let events = core.events();
                let download = core.download(DownloadRange::default());
                output.tag("key", json!(core.key().to_string()));
                blobs = Some((core, events, download));
            }
            found = &mut reading => {
                release = found;
                reading = Box::pin(Release::read(&drive, release.length));
            }
            Some(change) = peers.recv() => {
                let (tag, face, key) = match change {
                    PeerChange::Joined(key) => ("peer-add", "o-o peer join", key),
                    PeerChange::Left(key) => ("peer-remove", "-_- peer drop", key),
                };
                output.tag(tag, json!(key.to_string()));
                bar.suspend(|| output.say(&format!("{face} {key}")));
            }
            event = entry_events.recv() => count(event, &mut up, &mut down),
            event = next_event(&mut blobs) => count(event, &mut up, &mut down),
            _ = tick.tick() => {
                let elapsed = last.elapsed();
                last = Instant::now();
                let status = announced.status();
                tell(telling.look(status));
                let contents = blobs.as_ref().map(|(core, ..)| core);
                let (held, all) = holdings(&drive, contents);
                let rows = rates.rows(last, network.swarm().peers(), |peer| (held.get(peer).copied().unwrap_or(0), all));
                bar.set_message(view(&drive, contents, status, &rows, (&up, &down)));
                bar.tick();
                let traffic = (up.report(elapsed), down.report(elapsed));
                output.tag("stats", stats((&network, &relays), (&drive, &release), contents, status, &rows, traffic));
                if !until.is_empty() && until.iter().all(|peer| is_synced(peer, &drive, blobs.as_ref().map(|(core, ..)| core))) {
                    for peer in &until {
                        output.tag("peer-sync", json!(peer.to_string()));
                        bar.suspend(|| output.say(&format!("^_^ peer sync {peer}")));
                    }
                    break;
                }
            }
        }
    }
    bar.finish_and_clear();
    network.close().await;
    store.close()?;
    output.done(json!({}));
    Ok(())
}

/// What the drive's package.json says, at one length.
#[derive(Debug, Clone, Default)]
struct Release {
    length: u64,
    name: Option<String>,
    version: Option<String>,
}

impl Release {
    /// Reads it once the drive is longer than `seen`. What is no package.json says nothing.
    async fn read(drive: &Hyperdrive, seen: u64) -> Self {
        let mut events = drive.core().events();
        while drive.core().length() <= seen {
            let _ = events.recv().await;
        }
        let length = drive.core().length();
        let package = package_of(&drive.checkout(length)).await.ok().flatten();
        let field = |name: &str| package.as_ref()?.field(name).map(str::to_owned);
        Self {
            length,
            name: field("name"),
            version: field("version"),
        }
    }
}

fn peer_key(text: &str) -> anyhow::Result<PublicKey> {
    text.parse()
        .context("--until-sync <key> must supply a valid z32 key")
}

async fn contents(drive: &Hyperdrive) -> anyhow::Result<Core> {
    Ok(drive.blobs().await?)
}

async fn next_event(
    blobs: &mut Option<(Core, broadcast::Receiver<CoreEvent>, core_store::Download)>,
) -> Result<CoreEvent, broadcast::error::RecvError> {
    match blobs {
        Some((_, events, _)) => events.recv().await,
        None => std::future::pending().await,
    }
}

fn count(event: Result<CoreEvent, broadcast::error::RecvError>, up: &mut Traffic, down: &mut Traffic) {
    match event {
        Ok(CoreEvent::Upload { bytes, .. }) => up.add(bytes),
        Ok(CoreEvent::Download { bytes, .. }) => down.add(bytes),
        _ => {}
    }
}

const ANNOUNCED: &str = "^_^ announced";

/// Says once that the drive can be found, and when that is so no more: what was never announced must not look as if it was.
#[derive(Default)]
struct Telling {
    announced: bool,
    told: bool,
}

impl Telling {
    /// What is news about the rounds of announcing.
    fn look(&mut self, status: TopicStatus) -> Option<&'static str> {
        let announced = status.announced_on > 0;
        if status.rounds == 0 || (self.told && announced == self.announced) {
            return None;
        }
        let first = !std::mem::replace(&mut self.told, true);
        self.announced = announced;
        Some(if announced {
            ANNOUNCED
        } else if first {
            "-_- no DHT node answers, so nobody finds this seed yet; trying again. `bosc doctor` says why"
        } else {
            "-_- no DHT node answers any more; who looks for this seed anew does not find it. Trying again"
        })
    }
}

/// What a person sees: the drive, then the peers.
fn view(
    drive: &Hyperdrive,
    blobs: Option<&Core>,
    status: TopicStatus,
    rows: &[Row],
    (up, down): (&Traffic, &Traffic),
) -> String {
    let entries = drive.core();
    let (held, all) = [Some(entries), blobs]
        .into_iter()
        .flatten()
        .fold((0, 0), |(held, all), core| {
            (held + core.contiguous_length(), all + core.length())
        });
    let found = match status.announced_on {
        0 => "nobody can find it yet".to_owned(),
        1 => "1 node names it".to_owned(),
        many => format!("{many} nodes name it"),
    };
    let head = format!(
        "length {}, {held} of {all} blocks here, {found}; {} peers, {} up, {} down",
        entries.length(),
        rows.len(),
        HumanBytes(up.bytes),
        HumanBytes(down.bytes)
    );
    match table::text(rows) {
        peers if peers.is_empty() => head,
        peers => format!("{head}\n{peers}"),
    }
}

/// How many blocks of the drive each peer holds without a gap, and how many there are.
fn holdings(drive: &Hyperdrive, blobs: Option<&Core>) -> (HashMap<PublicKey, u64>, u64) {
    let (mut held, mut all) = (HashMap::new(), 0);
    for core in [Some(drive.core()), blobs].into_iter().flatten() {
        let length = core.length();
        all += length;
        for peer in core.peers() {
            *held.entry(peer.remote_public_key).or_default() += peer.remote_contiguous_length.min(length);
        }
    }
    (held, all)
}

fn stats(
    (network, relays): (&Peers, &[String]),
    (drive, release): (&Hyperdrive, &Release),
    blobs: Option<&Core>,
    status: TopicStatus,
    rows: &[Row],
    (up, down): (Value, Value),
) -> Value {
    let nat = match network.swarm().firewall() {
        Firewall::Open | Firewall::Consistent => "Consistent",
        Firewall::Random => "Random",
        Firewall::Unknown => "Unknown",
    };
    json!({
        "firewalled": network.swarm().firewalled(),
        "peers": drive.core().peers().len(),
        "driveKey": drive.key().to_string(),
        "name": release.name,
        "semver": release.version,
        "driveLength": drive.core().length(),
        "driveFork": drive.fork(),
        "blobsLength": blobs.map_or(0, Core::length),
        "blobsByteLength": blobs.map_or(0, Core::byte_length),
        "discoveryKey": drive.discovery_key().to_string(),
        "contentKey": blobs.map_or_else(|| "pending".to_owned(), |core| core.key().to_string()),
        "whoami": network.swarm().public_key().to_string(),
        "upload": up,
        "download": down,
        "natType": nat,
        "connections": network.swarm().connection_count(),
        "announcedOn": status.announced_on,
        "dhtNodes": network.swarm().node().node_count(),
        "relays": relays,
        "peerList": table::data(rows),
        "driveSynced": drive.core().contiguous_length() == drive.core().length(),
        "blobsSynced": blobs.is_some_and(|core| core.contiguous_length() == core.length()),
    })
}

/// Whether a peer holds both cores without a gap.
fn is_synced(peer: &PublicKey, drive: &Hyperdrive, blobs: Option<&Core>) -> bool {
    let holds = |core: &Core| {
        core.peers()
            .iter()
            .any(|info| info.remote_public_key == *peer && info.remote_contiguous_length >= core.length())
    };
    drive.core().length() > 0
        && holds(drive.core())
        && blobs.is_none_or(|core| core.length() == 0 || holds(core))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_is_said_once_and_only_if_a_node_took_it() {
        let status = |rounds, announced_on| {
            let mut status = TopicStatus::default();
            (status.rounds, status.announced_on) = (rounds, announced_on);
            status
        };
        let mut telling = Telling::default();
        assert_eq!(telling.look(status(0, 0)), None);
        let word = telling.look(status(1, 0)).unwrap();
        assert!(
            word.contains("no DHT node") && !word.contains("announced"),
            "{word}"
        );
        assert_eq!(telling.look(status(2, 0)), None);
        assert_eq!(telling.look(status(3, 20)), Some(ANNOUNCED));
        assert_eq!(telling.look(status(4, 19)), None);
        assert!(telling.look(status(5, 0)).unwrap().contains("any more"));
        assert_eq!(telling.look(status(6, 1)), Some(ANNOUNCED));
    }
}
