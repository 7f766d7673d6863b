//! More idle clients than a server has places, in virtual time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use hyperswarm::testing::{End, Guest, PeerQueue, who_leaves};
use hyperswarm::{PublicKey, SwarmConfig, Topic};

const TOPIC: Topic = Topic([7; 32]);
const SERVER: PublicKey = PublicKey([9; 32]);
const CLIENTS: u16 = 1000;
const STEP: Duration = Duration::from_millis(250);
/// How often a client looks the topic up, about.
const LOOKUP: Duration = Duration::from_secs(60);

fn client(number: u16) -> PublicKey {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&number.to_le_bytes());
    PublicKey(key)
}

/// How often a second the server is dialled in the second half of an hour by clients that have everything. `end` is what one sees
/// whose connection ended for another.
fn dials(end: impl Fn(u32) -> End) -> f64 {
    let random = Cell::new(1_u64);
    let draw = || {
        random.set(
            random
                .get()
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
        (random.get() >> 32) as u32
    };
    let places = SwarmConfig::default().max_inbound;
    let start = Instant::now();
    let mut queues: Vec<PeerQueue> = (0..CLIENTS).map(|_| PeerQueue::default()).collect();
    let mut seated: Vec<(u16, Instant)> = Vec::new();
    let (mut now, mut next_lookup, mut dials) = (start, start, 0);
    let end_of_all = start + Duration::from_secs(3600);
    while now < end_of_all {
        if now >= next_lookup {
            for queue in &mut queues {
                queue.found(now, SERVER, TOPIC, &[], draw);
            }
            next_lookup += LOOKUP;
        }
        for number in 0..CLIENTS {
            let queue = &mut queues[usize::from(number)];
            if queue.next().is_none_or(|at| at > now) || queue.take(now, draw).is_none() {
                continue;
            }
            dials += u32::from(now - start > Duration::from_secs(1800));
            if seated.len() >= places {
                let guest = |(number, since): &(u16, Instant)| Guest {
                    key: client(*number),
                    place: None,
                    connected_for: now - *since,
                    unserved_for: now - *since,
                };
                let guests: Vec<Guest> = seated.iter().map(guest).collect();
                let Some(leaving) = who_leaves(&guests, None, places) else {
                    queue.closed(now, &SERVER, End::Failed("no place".into()));
                    continue;
                };
                let at = seated.iter().position(|(number, _)| client(*number) == leaving);
                let (leaving, _) = seated.swap_remove(at.unwrap());
                queues[usize::from(leaving)].closed(now, &SERVER, end(draw()));
            }
            queues[usize::from(number)].opened(now, &SERVER);
            seated.push((number, now));
        }
        now += STEP;
    }
    f64::from(dials) / 1800.0
}

#[test]
fn idle_clients_for_whom_there_are_no_places_come_back_every_few_minutes_only() {
    let told = dials(End::SentAway);
    assert!(told > 0.5 && told < 4.0, "{told} dials a second");
    let cut = dials(|_| End::Broken("cut".into()));
    assert!(
        cut > 10.0 * told,
        "{cut} dials a second of clients that are not told"
    );
    println!("{told} dials a second, and {cut} if they are not told");
}
