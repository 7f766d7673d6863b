//! What `bosc seed` shows while it runs: who is there, how, and what goes to and fro.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base::PublicKey;
use hyperswarm::PeerStatus;
use indicatif::HumanBytes;
use serde_json::{Value, json};

/// Peers that are listed; the busiest come first.
const LISTED: usize = 12;

/// What is known of one peer.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) peer: PeerStatus,
    /// Blocks of both cores that it holds without a gap, of all that there are.
    pub(super) holds: (u64, u64),
    /// Encrypted bytes a second, to it and from it.
    pub(super) rate: (u64, u64),
}

/// Turns counts of bytes into rates.
#[derive(Debug, Default)]
pub(super) struct Rates {
    before: HashMap<PublicKey, (u64, u64)>,
    at: Option<Instant>,
}

impl Rates {
    /// The rate of each peer since the last call, busiest first. `holds` says how many blocks a peer has, of how many.
    pub(super) fn rows(
        &mut self,
        now: Instant,
        peers: Vec<PeerStatus>,
        holds: impl Fn(&PublicKey) -> (u64, u64),
    ) -> Vec<Row> {
        let elapsed = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let before = std::mem::take(&mut self.before);
        self.at = Some(now);
        self.before = peers
            .iter()
            .map(|peer| (peer.public_key, (peer.bytes_up, peer.bytes_down)))
            .collect();
        let rate = |bytes: u64, before: u64| {
            // One that came since was not there all the time, but a little too low a rate misleads nobody.
            let bytes = bytes.saturating_sub(before) as f64;
            (bytes / elapsed.as_secs_f64().max(0.001)) as u64
        };
        let row = |peer: PeerStatus| {
            let (up, down) = before.get(&peer.public_key).copied().unwrap_or_default();
            let rate = if elapsed.is_zero() {
                (0, 0)
            } else {
                (rate(peer.bytes_up, up), rate(peer.bytes_down, down))
            };
            Row {
                peer,
                holds: holds(&peer.public_key),
                rate,
            }
        };
        let mut rows: Vec<Row> = peers.into_iter().map(row).collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.rate.0 + row.rate.1), row.peer.public_key));
        rows
    }
}

fn percent((held, all): (u64, u64)) -> String {
    match all {
        0 => "-".to_owned(),
        all => format!("{} %", held.min(all) * 100 / all),
    }
}

/// The table for a person, without a line end after the last row; empty without peers.
pub(super) fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: [String; 7]| {
        let [peer, way, address, rtt, up, down, holds] = cells;
        format!("  {peer:<8}  {way:<7}  {address:<21}  {rtt:>7}  {up:>13}  {down:>13}  {holds:>5}")
    };
    let mut lines = vec![line(
        ["peer", "way", "address", "answers", "up", "down", "has"].map(str::to_owned),
    )];
    for row in rows.iter().take(LISTED) {
        let peer = &row.peer;
        lines.push(line([
            peer.public_key.short(),
            peer.route.name().to_owned(),
            peer.address
                .map_or_else(|| "-".to_owned(), |address| address.to_string()),
            peer.round_trip
                .map_or_else(|| "-".to_owned(), |rtt| format!("{} ms", rtt.as_millis().max(1))),
            format!("{}/s", HumanBytes(row.rate.0)),
            format!("{}/s", HumanBytes(row.rate.1)),
            percent(row.holds),
        ]));
    }
    if let Some(more) = rows.len().checked_sub(LISTED).filter(|more| *more > 0) {
        lines.push(format!("  and {more} more"));
    }
    lines.join("\n")
}

/// The same for machines, all rows of it.
pub(super) fn data(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let peer = &row.peer;
        json!({
            "publicKey": peer.public_key.to_string(),
            "inbound": peer.inbound,
            "route": peer.route.name(),
            "address": peer.address.map(|address| address.to_string()),
            "connectedMs": millis(peer.age),
            "roundTripMs": peer.round_trip.map(millis),
            "uploadBytes": peer.bytes_up,
            "downloadBytes": peer.bytes_down,
            "uploadSpeed": row.rate.0,
            "downloadSpeed": row.rate.1,
            "heldBlocks": row.holds.0,
            "blocks": row.holds.1,
        })
    };
    rows.iter().map(row).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use hyperswarm::Route;

    use super::*;

    fn peer(number: u8, bytes_up: u64) -> PeerStatus {
        PeerStatus {
            public_key: PublicKey([number; 32]),
            inbound: true,
            route: if number == 0 {
                Route::Relayed
            } else {
                Route::Punched
            },
            address: (number > 0).then(|| format!("9.0.0.{number}:4000").parse().unwrap()),
            age: Duration::from_secs(9),
            round_trip: Some(Duration::from_millis(31)),
            bytes_up,
            bytes_down: 50,
        }
    }

    #[test]
    fn rates_are_those_since_the_last_look_and_the_busiest_come_first() {
        let (now, mut rates) = (Instant::now(), Rates::default());
        let holds = |_: &PublicKey| (1, 2);
        let rows = rates.rows(now, vec![peer(1, 1000)], holds);
        assert_eq!(rows[0].rate, (0, 0), "nothing to compare with");
        let later = now + Duration::from_secs(2);
        let rows = rates.rows(later, vec![peer(1, 3000), peer(2, 90_000)], holds);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.peer.public_key.0[0], row.rate))
            .collect();
        assert_eq!(seen, [(2, (45_000, 25)), (1, (1000, 0))]);
    }

    #[test]
    fn the_table_names_the_way_and_is_only_so_long() {
        let rows: Vec<Row> = (0..20)
            .map(|number| Row {
                peer: peer(number, 0),
                holds: (u64::from(number), 19),
                rate: (2048, 0),
            })
            .collect();
        let text = text(&rows);
        assert_eq!(text.lines().count(), LISTED + 2);
        assert!(text.ends_with("and 8 more"), "{text}");
        let relayed = text.lines().nth(1).unwrap();
        assert!(
            relayed.contains("relayed") && relayed.contains(" -  ") && relayed.ends_with("0 %"),
            "{text}"
        );
        assert!(
            text.contains("punched") && text.contains("9.0.0.3:4000") && text.contains("31 ms"),
            "{text}"
        );
        assert_eq!(data(&rows).as_array().map(Vec::len), Some(20));
        assert_eq!(data(&rows)[0]["address"], Value::Null);
        assert_eq!(super::text(&[]), "");
    }
}
