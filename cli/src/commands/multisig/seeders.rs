//! After a commit: the release is served until other machines hold it.

use std::time::Duration;

use app::Link;
use hypercore::PublicKey;
use multisig::{Content, MIN_PEERS, Part, Release, holders};
use peers::Peers;
use serde_json::{Value, json};

use crate::interrupt::stop_signal;
use crate::output::Output;

/// How often to look at peers.
const LOOK: Duration = Duration::from_millis(100);

/// Serves the release until enough other machines hold it, or until told to stop: it is committed either way.
pub(super) async fn wait(network: &Peers, release: &Release, content: &Content, output: &Output) {
    let plain = Link::plain(release.key());
    let _serving = network.look_for(release.target(Part::Entries).discovery_key(), true);
    output.say(&format!(
        "Waiting for remote seeders: the release is committed; run `bosc seed {plain}` on {MIN_PEERS} other machines. Ctrl-C leaves without harm."
    ));
    let stop = stop_signal();
    tokio::pin!(stop);
    let mut before = None;
    loop {
        let now = copies(release, content);
        let full = now.iter().filter(|copy| copy.full).count();
        if before.as_ref() != Some(&now) {
            let peers: Vec<Value> = now.iter().map(PeerCopy::data).collect();
            output.tag(
                "seeders",
                json!({ "needed": MIN_PEERS, "full": full, "peers": peers }),
            );
            let missing = missing(&now, release.length(), content.length);
            output.say(&format!("{full}/{MIN_PEERS} hold all of it{missing}"));
            before = Some(now);
        }
        if full >= MIN_PEERS {
            output.say(&format!("released; keep serving it with `bosc seed {plain}`"));
            return;
        }
        tokio::select! {
            () = &mut stop => {
                output.say(&format!("left while {full}/{MIN_PEERS} hold it; the release is committed: serve it with `bosc seed {plain}`"));
                return;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// What one peer holds of the team's drive.
#[derive(Debug, PartialEq, Eq)]
struct PeerCopy {
    peer: PublicKey,
    /// Blocks of entries.
    entries: u64,
    /// Blocks of contents.
    contents: u64,
    /// Whether that is all.
    full: bool,
}

impl PeerCopy {
    fn data(&self) -> Value {
        json!({ "peer": self.peer.to_string(), "db": self.entries, "blobs": self.contents, "full": self.full })
    }
}

fn copies(release: &Release, content: &Content) -> Vec<PeerCopy> {
    let contents = holders(release.target(Part::Contents), content.length);
    let of_contents = |peer| contents.iter().find(|held| held.public_key == peer);
    holders(release.target(Part::Entries), release.length())
        .into_iter()
        .map(|entries| {
            let held = of_contents(entries.public_key);
            PeerCopy {
                peer: entries.public_key,
                entries: entries.length,
                contents: held.map_or(0, |held| held.length),
                full: entries.full && (content.length == 0 || held.is_some_and(|held| held.full)),
            }
        })
        .collect()
}

/// Who is connected and lacks what.
fn missing(copies: &[PeerCopy], entries: u64, contents: u64) -> String {
    if copies.is_empty() {
        return "; no peer is connected".to_owned();
    }
    let lacking = copies.iter().filter(|copy| !copy.full).map(|copy| {
        format!(
            "; {} has {} of {entries} entries, {} of {contents} blocks",
            copy.peer, copy.entries, copy.contents
        )
    });
    lacking.collect()
}
