//! The connections of a swarm, one per peer, and which of two survives (npm hyperswarm index.js, lib/connection-set.js).

use std::collections::HashMap;
use std::time::Instant;

use base::PublicKey;
use dht::Link;
use secret_stream::Closer;

use crate::limits::{Guest, Place};
use crate::stats::PeerStatus;

/// A connection, or an attempt to make one.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Tells entries of one peer apart.
    pub(crate) id: u64,
    /// Its handle; none while it is only an attempt.
    pub(crate) link: Option<Link>,
    /// If the peer made it.
    pub(crate) inbound: Option<Inbound>,
}

/// What is known of a connection that a peer made.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    /// Since when it is open.
    pub(crate) since: Instant,
    /// Ends it in good order.
    pub(crate) closer: Closer,
}

/// What to do with a new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the only one.
    Keep,
    /// It replaces the existing one, which is to be cut.
    Replace,
    /// The existing one stays; the new one is to be cut.
    Drop,
}

/// Both sides decide alike: a connection that carried messages both ways is outdated when the peer connects anew, as
/// it must have lost it, and so is one that it had begun itself; else the connection that the side with the greater key began stays.
pub(crate) fn decide(
    own: &PublicKey,
    remote: &PublicKey,
    new_is_ours: bool,
    existing: Option<&Entry>,
) -> Verdict {
    let Some(existing) = existing else {
        return Verdict::Keep;
    };
    let made_by_peer_as_well = existing.inbound.is_some() && !new_is_ours;
    let outdated = made_by_peer_as_well || existing.link.as_ref().is_some_and(Link::is_used);
    let expected_initiator = own > remote;
    if outdated || expected_initiator == new_is_ours {
        Verdict::Replace
    } else {
        Verdict::Drop
    }
}

/// One entry per peer.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    by_key: HashMap<PublicKey, Entry>,
    next_id: u64,
}

impl Connections {
    pub(crate) fn get(&self, key: &PublicKey) -> Option<&Entry> {
        self.by_key.get(key)
    }

    /// Sets the peer's entry, and returns its id and what it replaces.
    pub(crate) fn insert(
        &mut self,
        key: PublicKey,
        link: Option<Link>,
        inbound: Option<Inbound>,
    ) -> (u64, Option<Entry>) {
        self.next_id += 1;
        let entry = Entry {
            id: self.next_id,
            link,
            inbound,
        };
        (self.next_id, self.by_key.insert(key, entry))
    }

    /// Gives an attempt its connection. Returns false if the attempt was replaced meanwhile.
    pub(crate) fn open(&mut self, key: &PublicKey, id: u64, link: Link) -> bool {
        match self.by_key.get_mut(key).filter(|e| e.id == id) {
            Some(entry) => {
                entry.link = Some(link);
                true
            }
            None => false,
        }
    }

    /// Removes the entry unless another took its place.
    pub(crate) fn remove(&mut self, key: &PublicKey, id: u64) -> bool {
        let is_current = self.by_key.get(key).is_some_and(|e| e.id == id);
        if is_current {
            self.by_key.remove(key);
        }
        is_current
    }

    /// Peers with an open connection.
    pub(crate) fn open_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.by_key
            .iter()
            .filter(|(_, e)| e.link.is_some())
            .map(|(key, _)| key)
    }

    /// Open connections that others made, and those that we made.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let open = self.by_key.values().filter(|e| e.link.is_some());
        let (inbound, all) = open.fold((0, 0), |(inbound, all), e| {
            (inbound + usize::from(e.inbound.is_some()), all + 1)
        });
        (inbound, all - inbound)
    }

    /// Those that others made.
    pub(crate) fn guests(&self, now: Instant) -> Vec<Guest> {
        let guest = |(key, entry): (&PublicKey, &Entry)| {
            let (link, since) = (entry.link.as_ref()?, entry.inbound.as_ref()?.since);
            Some(Guest {
                key: *key,
                place: link.remote_address().map(Place::of),
                connected_for: now.saturating_duration_since(since),
                unserved_for: link.unserved_for(),
            })
        };
        self.by_key.iter().filter_map(guest).collect()
    }

    /// Takes the peer's entry out.
    pub(crate) fn take(&mut self, key: &PublicKey) -> Option<Entry> {
        self.by_key.remove(key)
    }

    /// Who is connected, and how.
    pub(crate) fn peers(&self) -> Vec<PeerStatus> {
        let open = self.by_key.iter();
        open.filter_map(|(key, entry)| {
            Some(PeerStatus::of(
                *key,
                entry.link.as_ref()?,
                entry.inbound.is_some(),
            ))
        })
        .collect()
    }

    /// Keys and ids of the open connections that we made and that are so.
    pub(crate) fn made_here(&self, so: impl Fn(&Link) -> bool) -> Vec<(PublicKey, u64)> {
        let ours = self.by_key.iter().filter(|(_, entry)| entry.inbound.is_none());
        ours.filter(|(_, entry)| entry.link.as_ref().is_some_and(&so))
            .map(|(key, entry)| (*key, entry.id))
            .collect()
    }

    /// All open connections.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Link> {
        self.by_key.values().filter_map(|e| e.link.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_keep_the_same_connection() {
        let (low, high) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let attempt = Entry {
            id: 1,
            link: None,
            inbound: None,
        };
        // Both dial at once. `high` sees the connection that `low` began arrive, and the other way round.
        assert_eq!(decide(&high, &low, false, Some(&attempt)), Verdict::Drop);
        assert_eq!(decide(&low, &high, false, Some(&attempt)), Verdict::Replace);
        assert_eq!(decide(&low, &high, false, None), Verdict::Keep);
    }

    #[test]
    fn a_replaced_attempt_cannot_open_or_remove_its_successor() {
        let mut connections = Connections::default();
        let (first, _) = connections.insert(PublicKey([1; 32]), None, None);
        let (second, old) = connections.insert(PublicKey([1; 32]), Some(Link::default()), None);
        assert_eq!(old.map(|e| e.id), Some(first));
        assert!(!connections.open(&PublicKey([1; 32]), first, Link::default()));
        assert!(!connections.remove(&PublicKey([1; 32]), first));
        assert_eq!(connections.open_keys().count(), 1);
        assert!(connections.remove(&PublicKey([1; 32]), second));
    }
}
