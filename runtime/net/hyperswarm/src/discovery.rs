//! One joined topic: announces and looks up, soon again while nobody is there (npm hyperswarm lib/peer-discovery.js).

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::{Topic, lock};
use rand::RngExt;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::JoinOptions;
use crate::peers::{Sought, SoughtPeer};
use crate::stats::TopicStatus;
use crate::swarm::Inner;

/// Looking up again while no peer of the topic is connected: the first pause, its growth, its limit in the first quarter of an
/// hour, when a seeder is most likely on its way, and its limit later, when hardly anybody is and the DHT is to be spared.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The first pause while peers are connected that do not bring what is wanted.
const FIRST_PAUSE_AMONG_PEERS: Duration = Duration::from_secs(4);
const PAUSE_GROWTH: f64 = 1.2;
const LONGEST_PAUSE_AT_FIRST: Duration = Duration::from_secs(8);
const AT_FIRST: Duration = Duration::from_secs(15 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A pause no longer than this is not cut short when something is wanted, so that wanting again and again makes no more lookups.
const SOON: Duration = Duration::from_secs(10);
/// Announcing and looking up again in any case; nodes forget announcements after 13 to 27 minutes.
const REFRESH: Duration = if cfg!(test) {
    Duration::from_secs(2)
} else {
    Duration::from_secs(10 * 60)
};
/// Up to a fifth more or less, so that peers do not act all at once.
const JITTER: f64 = 0.2;

/// A joined topic. Clones are one handle.
#[derive(Clone)]
pub struct Discovery {
    joined: (Arc<Inner>, Arc<Joined>),
    left: Arc<AtomicBool>,
}

impl Discovery {
    pub(crate) fn new(joined: (Arc<Inner>, Arc<Joined>)) -> Self {
        Self {
            joined,
            left: Arc::default(),
        }
    }

    /// The joined topic.
    pub fn topic(&self) -> Topic {
        self.joined.1.topic
    }

    /// Waits for the end of the first announce or lookup round, successful or not.
    pub async fn flushed(&self) {
        self.joined.1.flushed().await;
    }

    /// Announces and looks up again now, and waits for the end of that.
    pub async fn refresh(&self) {
        let topic = &self.joined.1;
        let mut rounds = topic.rounds.subscribe();
        let now = *rounds.borrow_and_update();
        topic.again.notify_one();
        tokio::select! {
            _ = rounds.wait_for(|n| *n > now) => {}
            () = topic.stop.cancelled() => {}
        }
    }

    /// What came of looking for its peers so far.
    pub fn sought(&self) -> Sought {
        self.joined.0.lock().queue.sought(&self.joined.1.topic)
    }

    /// The peers that were found, and what came of each.
    pub fn peers(&self) -> Vec<SoughtPeer> {
        self.joined.0.lock().queue.sought_each(&self.joined.1.topic)
    }

    /// How announcing and looking up goes.
    pub fn status(&self) -> TopicStatus {
        let topic = &self.joined.1;
        let progress = lock(&topic.progress);
        TopicStatus {
            rounds: *topic.rounds.borrow(),
            nodes: progress.closest.len(),
            announced_on: progress.taken_by,
        }
    }

    /// Leaves the topic, and takes its announcement back unless it was joined elsewhere, too. Connections stay.
    pub async fn leave(&self) {
        let (inner, topic) = &self.joined;
        if !self.left.swap(true, Ordering::AcqRel) && topic.forget(inner) {
            topic.leave(inner).await;
        }
    }
}

pub(crate) struct Joined {
    topic: Topic,
    roles: Mutex<JoinOptions>,
    handles: AtomicUsize,
    /// Rounds done.
    rounds: watch::Sender<u64>,
    again: Notify,
    stop: CancellationToken,
    progress: Mutex<Progress>,
    /// Held by the task while it works.
    working: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Progress {
    closest: Vec<SocketAddrV4>,
    announced: bool,
    /// Nodes that took the announcement in the last round.
    taken_by: usize,
    relays: Vec<SocketAddrV4>,
}

impl Joined {
    pub(crate) fn join(inner: &Arc<Inner>, topic: Topic, options: JoinOptions) -> (Arc<Inner>, Arc<Self>) {
        let mut state = inner.lock();
        if let Some(known) = state.topics.get(&topic) {
            known.handles.fetch_add(1, Ordering::AcqRel);
            let mut roles = lock(&known.roles);
            let both = JoinOptions {
                server: roles.server || options.server,
                client: roles.client || options.client,
            };
            if both != *roles {
                *roles = both;
                // The next round counts as the first for the new role.
                known.rounds.send_replace(0);
                known.again.notify_one();
            }
            drop(roles);
            return (inner.clone(), known.clone());
        }
        let joined = Arc::new(Self {
            topic,
            roles: Mutex::new(options),
            handles: AtomicUsize::new(1),
            rounds: watch::Sender::new(0),
            again: Notify::new(),
            stop: inner.stop.child_token(),
            progress: Mutex::default(),
            working: tokio::sync::Mutex::default(),
        });
        state.topics.insert(topic, joined.clone());
        drop(state);
        inner.runtime.spawn(run(inner.clone(), joined.clone()));
        (inner.clone(), joined)
    }

    /// One handle less. Takes it off the swarm's list if that was the last.
    fn forget(self: &Arc<Self>, inner: &Inner) -> bool {
        let mut state = inner.lock();
        if self.handles.fetch_sub(1, Ordering::AcqRel) > 1 {
            return false;
        }
        if state
            .topics
            .get(&self.topic)
            .is_some_and(|current| Arc::ptr_eq(current, self))
        {
            state.topics.remove(&self.topic);
            state.queue.leave(&self.topic);
        }
        true
    }

    pub(crate) async fn flushed(&self) {
        let mut rounds = self.rounds.subscribe();
        tokio::select! {
            _ = rounds.wait_for(|n| *n > 0) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Looks up again now.
    pub(crate) fn look_again(&self) {
        self.again.notify_one();
    }

    fn roles(&self) -> JoinOptions {
        *lock(&self.roles)
    }

    /// Ends the task and takes the announcement back.
    pub(crate) async fn leave(&self, inner: &Arc<Inner>) {
        self.stop.cancel();
        let _working = self.working.lock().await;
        let progress = std::mem::take(&mut *lock(&self.progress));
        if progress.announced {
            inner
                .node
                .unannounce(self.topic, &inner.key_pair, progress.closest)
                .await;
        }
    }

    /// Looks up, and announces if it is to. `announcing` then says when to announce anew.
    async fn round(&self, inner: &Arc<Inner>, announcing: &mut Option<watch::Receiver<u64>>) {
        let roles = self.roles();
        let nodes = {
            let progress = lock(&self.progress);
            progress.closest.clone()
        };
        let server = if roles.server {
            Some(inner.server().await)
        } else {
            None
        };
        let mut lookup = inner.node.lookup(self.topic, nodes);
        while let Some(found) = lookup.next().await {
            if !roles.client {
                continue;
            }
            let mut state = inner.lock();
            for peer in found
                .peers
                .iter()
                .filter(|p| p.public_key != inner.key_pair.public_key)
            {
                let (now, relays) = (Instant::now(), &peer.relay_addresses);
                state
                    .queue
                    .found(now, peer.public_key, self.topic, relays, || rand::rng().random());
            }
            drop(state);
            inner.changed();
        }
        let closest = lookup.closest_nodes();
        {
            let mut progress = lock(&self.progress);
            progress.closest = closest;
        }
        let Some(server) = server else { return };
        server.announced().await;
        // What the server does from here on is news.
        announcing.get_or_insert_with(|| server.rounds()).mark_unchanged();
        let relays = server.relay_addresses();
        let clear = {
            let mut progress = lock(&self.progress);
            let clear = !progress.announced || progress.relays != relays;
            progress.announced = true;
            progress.relays.clone_from(&relays);
            clear
        };
        let taken_by = inner
            .node
            .announce(&lookup, self.topic, &inner.key_pair, relays, clear)
            .await;
        lock(&self.progress).taken_by = taken_by;
    }

    /// Whether it is to be announced, and no node took that.
    fn is_unheard(&self) -> bool {
        self.roles().server && lock(&self.progress).taken_by == 0
    }
}

/// The pauses of a topic without peers. No I/O: time is passed in.
#[derive(Debug, Default)]
struct Loneliness {
    /// Since when, and the pause that comes next.
    now: Option<(Instant, Duration)>,
}

impl Loneliness {
    /// Somebody is there.
    fn ends(&mut self) {
        self.now = None;
    }

    /// How long to wait before the next lookup.
    fn pause(&mut self, now: Instant, first: Duration) -> Duration {
        self.now.get_or_insert((now, first)).1
    }

    /// It was waited for so long, and nobody came. `in_vain`: somebody is there who has no place for us, and looking does not
    /// make one.
    fn goes_on(&mut self, now: Instant, in_vain: bool) {
        let (since, pause) = self.now.get_or_insert((now, FIRST_PAUSE));
        let longest = if now.saturating_duration_since(*since) < AT_FIRST && !in_vain {
            LONGEST_PAUSE_AT_FIRST
        } else {
            LONGEST_PAUSE
        };
        *pause = pause.mul_f64(PAUSE_GROWTH).min(longest);
    }
}

/// Does rounds until the topic is left.
async fn run(inner: Arc<Inner>, topic: Arc<Joined>) {
    let _working = topic.working.lock().await;
    let mut loneliness = Loneliness::default();
    let mut announcing: Option<watch::Receiver<u64>> = None;
    let mut wanting = inner.wanting.subscribe();
    loop {
        tokio::select! {
            () = topic.round(&inner, &mut announcing) => {}
            () = topic.stop.cancelled() => return,
        }
        topic.rounds.send_modify(|n| *n += 1);
        let refresh = Instant::now() + jitter(REFRESH);
        loop {
            let alone = !inner.is_known_on(&topic.topic);
            let missed = topic.roles().client && (alone || *wanting.borrow_and_update());
            let lonely = missed || topic.is_unheard();
            let now = Instant::now();
            let mut wait = refresh.saturating_duration_since(now);
            if lonely {
                let first = if alone {
                    FIRST_PAUSE
                } else {
                    FIRST_PAUSE_AMONG_PEERS
                };
                wait = wait.min(jitter(loneliness.pause(now, first)));
            } else {
                loneliness.ends();
            }
            let mut changes = inner.changes.subscribe();
            changes.mark_unchanged();
            let reannounced = async {
                match &mut announcing {
                    Some(rounds) => {
                        let _ = rounds.changed().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep(wait) => {
                    if lonely {
                        let in_vain = inner.lock().queue.has_no_place(&topic.topic);
                        loneliness.goes_on(Instant::now(), in_vain);
                    }
                    break;
                }
                // A connection came or went: the pause may be another one now.
                () = async { let _ = changes.changed().await; sleep(Duration::from_millis(200)).await; }, if !lonely => {}
                _ = wanting.changed(), if wait > SOON => {
                    if *wanting.borrow() {
                        loneliness.ends();
                    }
                }
                () = reannounced => break,
                () = topic.again.notified() => break,
                () = topic.stop.cancelled() => return,
            }
        }
    }
}

fn jitter(duration: Duration) -> Duration {
    duration.mul_f64(rand::rng().random_range(1.0 - JITTER..1.0 + JITTER))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::{Swarm, SwarmConfig};

    #[tokio::test]
    async fn a_server_whose_clients_come_and_go_announces_itself_anew_all_the_same() {
        let network = dht::local::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
            .await
            .unwrap();
        let config = SwarmConfig {
            bootstrap: Some(vec![network.bootstrap().to_string()]),
            ..SwarmConfig::default()
        };
        let swarm = Swarm::new(config).await.unwrap();
        let server = JoinOptions {
            server: true,
            client: false,
        };
        let discovery = swarm.join(Topic([1; 32]), server);
        discovery.flushed().await;
        // What the server learns of itself at first has it announce anew, too.
        let settled = async |changes: bool| {
            for _ in 0..60 {
                if changes {
                    swarm.inner.changed();
                }
                sleep(Duration::from_millis(100)).await;
            }
            discovery.status().rounds
        };
        let before = settled(false).await;
        let after = settled(true).await;
        assert!(after >= before + 2, "{before} rounds, then {after}");
    }

    #[test]
    fn a_seeder_ten_minutes_late_is_found_within_ten_seconds_and_the_dht_is_spared_later() {
        let start = Instant::now();
        let (mut now, mut loneliness) = (start, Loneliness::default());
        let mut looks = Vec::new();
        while now < start + Duration::from_secs(3600) {
            now += loneliness.pause(now, FIRST_PAUSE);
            looks.push((now - start).as_secs());
            loneliness.goes_on(now, false);
        }
        let most_lonely = |from: u64, to: u64| {
            let within = looks.windows(2).filter(|pair| pair[0] >= from && pair[1] <= to);
            within.map(|pair| pair[1] - pair[0]).max()
        };
        // With the jitter it is a fifth more.
        assert!(most_lonely(0, 900) <= Some(8), "{looks:?}");
        assert_eq!(most_lonely(1200, 3600), Some(60));
        assert!(looks.len() < 250, "{}", looks.len());
        loneliness.ends();
        assert_eq!(loneliness.pause(now, FIRST_PAUSE), FIRST_PAUSE);
        for _ in 0..30 {
            loneliness.goes_on(now, true);
        }
        assert_eq!(
            loneliness.pause(now, FIRST_PAUSE),
            LONGEST_PAUSE,
            "a crowd does not hurry"
        );
    }
}
