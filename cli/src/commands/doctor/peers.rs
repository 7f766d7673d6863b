//! The peers of a link: who is named on the DHT, how each is connected, and what they have.

use std::time::{Duration, Instant};

use base::PublicKey;
use core_store::Core;
use hyperdrive::Hyperdrive;
use hyperswarm::{Discovery, Firewall, PeerStatus, SoughtPeer};
use peers::Peers;
use serde_json::{Value, json};

use super::report::Finding;

/// Peers that are listed one by one.
const LISTED: usize = 8;
/// How often it is looked at what came of the search.
const LOOK: Duration = Duration::from_millis(100);
/// Once every peer has been tried in vain, how much longer another may turn up.
const LAST_HOPE: Duration = Duration::from_secs(5);

/// What came of looking for a link's peers.
pub(super) struct Found {
    sought: Vec<SoughtPeer>,
    open: Vec<PeerStatus>,
    /// Length that each connected peer says to have, if it has said anything.
    lengths: Vec<(PublicKey, u64)>,
}

/// Looks until a peer has brought the head of the drive, nobody is left to ask, or the time is over.
pub(super) async fn look(
    network: &Peers,
    drive: &Hyperdrive,
    discovery: &Discovery,
    patience: Duration,
) -> Found {
    let until = Instant::now() + patience;
    let mut hopeless: Option<Instant> = None;
    while drive.core().length() == 0 && Instant::now() < until {
        let sought = discovery.sought();
        let looked = discovery.status().rounds > 0;
        let busy = network.swarm().stats().attempts > 0;
        let empty_handed = sought.connected > 0 && nobody_has_it(drive.core());
        let lost = looked && !busy && (sought.found == sought.failed || empty_handed);
        match (lost, hopeless) {
            (true, Some(since)) if since.elapsed() > LAST_HOPE => break,
            (true, None) => hopeless = Some(Instant::now()),
            (true, Some(_)) => {}
            (false, _) => hopeless = None,
        }
        tokio::time::sleep(LOOK).await;
    }
    let peers = drive.core().peers();
    let told = peers.iter().filter(|peer| peer.synced);
    Found {
        sought: discovery.peers(),
        open: network.swarm().peers(),
        lengths: told
            .map(|peer| (peer.remote_public_key, peer.remote_length))
            .collect(),
    }
}

/// Whether all who are connected have said that they have nothing.
fn nobody_has_it(core: &Core) -> bool {
    core.peers()
        .iter()
        .all(|peer| peer.synced && peer.remote_length == 0)
}

impl Found {
    /// Whether the link is announced by anybody.
    pub(super) fn announced(&self) -> Finding {
        const STEP: &str = "announced";
        let data = json!({ "peers": self.sought.len() });
        match self.sought.len() {
            0 => Finding::bad(
                STEP,
                "nobody announces this link: it has no seeder, or it is the wrong link, or the seeder uses another DHT",
                "run `bosc seed LINK` on the machine that has it, and compare the link and --bootstrap on both",
            ),
            1 => Finding::good(STEP, "1 peer announces it"),
            many => Finding::good(STEP, format!("{many} peers announce it")),
        }
        .with(data)
    }

    /// How the peers are connected, or why not.
    pub(super) fn connected(&self, ours: Firewall, with_relay: bool) -> Finding {
        const STEP: &str = "peers";
        let of = |sought: &SoughtPeer| self.open.iter().find(|open| open.public_key == sought.public_key);
        let words = |sought: &SoughtPeer| match (of(sought), &sought.failure) {
            (Some(open), _) => open.route.name().to_owned(),
            (None, Some(why)) => why.clone(),
            (None, None) => "it has not answered yet".to_owned(),
        };
        let listed = |sought: &SoughtPeer| -> Value {
            json!({ "publicKey": sought.public_key.to_string(), "connected": of(sought).is_some(), "how": words(sought),
                "address": of(sought).and_then(|open| open.address).map(|address| address.to_string()) })
        };
        let data = json!({ "list": self.sought.iter().map(listed).collect::<Vec<_>>() });
        let mut each: Vec<String> = self
            .sought
            .iter()
            .take(LISTED)
            .map(|sought| format!("{} {}", sought.public_key.short(), words(sought)))
            .collect();
        if self.sought.len() > LISTED {
            each.push(format!("and {} more", self.sought.len() - LISTED));
        }
        let each = each.join("; ");
        if self.sought.iter().any(|sought| of(sought).is_some()) {
            return Finding::good(STEP, each).with(data);
        }
        let advice = match (ours, with_relay) {
            (Firewall::Random, false) => {
                "the NAT here changes ports, so that a seeder behind another such NAT cannot be reached: run `bosc relay` on a machine \
                 that everybody reaches, and name its key with --relay and in \"bosc.relays\""
            }
            (_, true) => "look at the network of the machine that seeds, and whether the relay runs",
            (_, false) => {
                "look at the network of the machine that seeds: `bosc doctor` there says what its NAT is like. Where both NATs change \
                 ports it takes a relay: `bosc relay`"
            }
        };
        Finding::bad(STEP, format!("none of them can be reached: {each}"), advice).with(data)
    }

    /// Whether what the connected peers have is any good.
    pub(super) fn contents(&self, length: u64) -> Finding {
        const STEP: &str = "drive";
        let holding = self.lengths.iter().filter(|(_, length)| *length > 0).count();
        let data = json!({ "length": length, "holding": holding });
        if length > 0 {
            return Finding::good(
                STEP,
                format!("{length} entries, which {holding} of the peers have"),
            )
            .with(data);
        }
        let mut liars = self.sought.iter().filter_map(|sought| sought.failure.as_deref());
        let finding = if holding > 0 {
            Finding::bad(
                STEP,
                "a peer says that it has the drive, and what it sends does not verify or does not come: its store is damaged",
                "run `bosc check --repair` on the machine that seeds",
            )
        } else if self.lengths.is_empty() {
            let why = liars
                .next_back()
                .map_or_else(String::new, |why| format!(": {why}"));
            Finding::bad(
                STEP,
                format!("the peers are connected and say nothing of this drive{why}"),
                "run `bosc check` on the machine that seeds",
            )
        } else {
            Finding::bad(
                STEP,
                "the seeder has nothing of this link: its store is empty",
                "seed from the machine that staged it, or wait until the seeder has fetched it",
            )
        };
        finding.with(data)
    }
}
