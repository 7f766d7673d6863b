//! Peers at home: behind routers that translate addresses, one each, two in a row, or one for both. Needs root and nftables.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base::Topic;
use bosc_tests::lab::{Home, Host, Meeting, Net, Relay, Stack, can_make_hosts, join};
use bosc_tests::peers::{expect_same, fresh_home, noise, write_tree};
use bosc_tests::process::{Process, run};
use bosc_tests::skip::skipped;
use hyperswarm::{Firewall, JoinOptions, Route, Swarm, SwarmConfig};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// What a person waits without asking what is wrong. On an idle machine these take some milliseconds.
const SOON: Duration = Duration::from_secs(3);
/// Where ports are guessed: 256 of them are right, 200 are tried in a second, all of them once in a thousand times in vain.
const GUESSED: Duration = Duration::from_secs(15);
/// How long a transfer may stand still whose host got another address.
const MOVED: Duration = Duration::from_secs(5);
/// How long a home may be out of reach whose router got another address: until a relay answers a ping, and tells it.
const FOUND_AGAIN: Duration = Duration::from_secs(10);
/// By then a relayed connection has looked for a direct way once.
const SEARCHED: Duration = Duration::from_secs(16);
/// By then two peers at a relay have begun to look for a direct way: their first pause, and how often they are looked at.
const SEARCH_BEGINS: Duration = Duration::from_secs(12);
/// How long a program may take to start and say so.
const READY: Duration = Duration::from_secs(30);
/// The same where JavaScript's stack guesses.
const JS_GUESSES: Duration = Duration::from_secs(40);

/// Has them meet on a network of their own.
fn meet(server: (Stack, Home), client: (Stack, Home), limit: Duration) -> Result<Option<Duration>> {
    let mut net = Net::new()?;
    let (at, from) = (net.home(server.1)?, net.home(client.1)?);
    hold(&net, (server.0, &at), (client.0, &from), limit)
}

fn hold(
    net: &Net,
    server: (Stack, &Host),
    client: (Stack, &Host),
    limit: Duration,
) -> Result<Option<Duration>> {
    let bootstrap = &net.bootstrap();
    Meeting {
        server,
        client,
        bootstrap,
        relay: None,
    }
    .hold(limit)
}

/// Runs `check` for each, and says which did not go well.
fn each<T: Copy + std::fmt::Debug>(all: &[T], check: impl Fn(T) -> Result<Duration>) -> Result<()> {
    if let Err(why) = can_make_hosts() {
        skipped(why);
        return Ok(());
    }
    let mut bad = Vec::new();
    for one in all {
        match check(*one) {
            Ok(took) => println!("{one:?}: {took:.2?}"),
            Err(error) => bad.push(format!("{one:?}: {error:#}")),
        }
    }
    ensure!(bad.is_empty(), "{}", bad.join("\n"));
    Ok(())
}

fn met(took: Option<Duration>) -> Result<Duration> {
    took.context("they never met")
}

#[test]
fn two_homes_meet_at_once() -> Result<()> {
    use Home::{Cone, Double, Forgetful, Open, Symmetric};
    let cells = [
        (Open, Cone),
        (Cone, Open),
        (Cone, Cone),
        (Open, Symmetric),
        (Symmetric, Open),
        (Double, Cone),
        (Cone, Double),
        (Forgetful, Forgetful),
    ];
    each(&cells, |(server, client)| {
        met(meet((Stack::Bosc, server), (Stack::Bosc, client), SOON)?)
    })
}

#[test]
fn ports_that_a_nat_changes_are_guessed() -> Result<()> {
    each(
        &[(Home::Cone, Home::Symmetric), (Home::Symmetric, Home::Cone)],
        |(server, client)| met(meet((Stack::Bosc, server), (Stack::Bosc, client), GUESSED)?),
    )
}

#[test]
fn two_homes_meet_with_javascript_in_one_of_them() -> Result<()> {
    let cells = [
        (Stack::Js, Stack::Bosc, Home::Cone, Home::Cone, SOON),
        (Stack::Bosc, Stack::Js, Home::Cone, Home::Cone, SOON),
        (Stack::Bosc, Stack::Js, Home::Symmetric, Home::Cone, JS_GUESSES),
        (Stack::Js, Stack::Bosc, Home::Cone, Home::Symmetric, JS_GUESSES),
    ];
    each(&cells, |(a, b, server, client, limit)| {
        met(meet((a, server), (b, client), limit)?)
    })
}

#[test]
fn two_rooms_of_one_home_meet_without_the_way_out() -> Result<()> {
    each(&[Home::Cone, Home::Symmetric, Home::Double], |home| {
        let mut net = Net::new()?;
        let rooms = net.household(home, 2)?;
        let [a, b] = rooms.as_slice() else {
            anyhow::bail!("not two rooms")
        };
        met(hold(&net, (Stack::Bosc, a), (Stack::Bosc, b), SOON)?)
    })
}

/// Each names a second address at which nobody can reach it: the cable leads nowhere.
#[test]
fn a_second_interface_that_is_dead_delays_nobody() -> Result<()> {
    each(&[Home::Open, Home::Cone], |home| {
        let mut net = Net::new()?;
        let hosts = match home {
            Home::Open => vec![net.home(home)?, net.home(home)?],
            _ => net.household(home, 2)?,
        };
        let [a, b] = hosts.as_slice() else {
            anyhow::bail!("not two hosts")
        };
        net.dead_interface(a)?;
        net.dead_interface(b)?;
        met(hold(&net, (Stack::Bosc, a), (Stack::Bosc, b), SOON)?)
    })
}

#[test]
fn a_router_that_forgets_after_20_seconds_does_not_hide_a_seeder() -> Result<()> {
    each(&[Home::Forgetful], |home| {
        let mut net = Net::new()?;
        let (at, from) = (net.home(home)?, net.home(home)?);
        let bootstrap = net.bootstrap();
        let meeting = Meeting {
            server: (Stack::Bosc, &at),
            client: (Stack::Bosc, &from),
            bootstrap: &bootstrap,
            relay: None,
        };
        let server = meeting.announce()?;
        let idle = Instant::now();
        while idle.elapsed() < Duration::from_secs(27) {
            std::thread::sleep(Duration::from_secs(1));
        }
        met(meeting.dial(&server, SOON)?)
    })
}

#[test]
fn what_a_nat_is_like_is_measured() -> Result<()> {
    let seen = [
        (Home::Open, Firewall::Open),
        (Home::Cone, Firewall::Consistent),
        (Home::Symmetric, Firewall::Random),
        (Home::Double, Firewall::Consistent),
    ];
    each(&seen, |(home, expected)| {
        let mut net = Net::new()?;
        let (host, bootstrap) = (net.home(home)?, net.bootstrap());
        let began = Instant::now();
        let work = host.run(async move || {
            let swarm = Swarm::new(SwarmConfig {
                bootstrap: Some(vec![bootstrap]),
                ..SwarmConfig::default()
            })
            .await?;
            let mut seen = swarm.firewall();
            while seen != expected && began.elapsed() < SOON {
                tokio::time::sleep(Duration::from_millis(20)).await;
                seen = swarm.firewall();
            }
            swarm.destroy().await;
            Ok(seen)
        });
        let seen = join(work)?;
        ensure!(seen == expected, "it looks like {seen:?}, and is {expected:?}");
        Ok(began.elapsed())
    })
}

/// Two homes whose NATs both change their ports, and a relay that both know.
fn through(relay: Stack, server: Stack, client: Stack) -> Result<Duration> {
    let mut net = Net::new()?;
    let (at, from) = (net.home(Home::Symmetric)?, net.home(Home::Symmetric)?);
    let (between, bootstrap) = (net.home(Home::Open)?, net.bootstrap());
    let relay = Relay::start((relay, &between), &bootstrap)?;
    let meeting = Meeting {
        server: (server, &at),
        client: (client, &from),
        bootstrap: &bootstrap,
        relay: Some(relay.key()),
    };
    let took = met(meeting.hold(SOON)?)?;
    if let Some(status) = relay.status() {
        ensure!(
            status.paired == 1 && status.bytes > 0,
            "they did not meet at the relay: {status:?}"
        );
    }
    Ok(took)
}

#[test]
fn two_homes_that_cannot_be_punched_meet_at_a_relay() -> Result<()> {
    each(&[Stack::Bosc, Stack::Js], |relay| {
        through(relay, Stack::Bosc, Stack::Bosc)
    })
}

#[test]
fn bosc_and_javascript_meet_at_a_relay_of_either() -> Result<()> {
    let all = [
        (Stack::Bosc, Stack::Js, Stack::Bosc),
        (Stack::Bosc, Stack::Bosc, Stack::Js),
        (Stack::Js, Stack::Js, Stack::Bosc),
        (Stack::Js, Stack::Bosc, Stack::Js),
        (Stack::Bosc, Stack::Js, Stack::Js),
    ];
    each(&all, |(relay, server, client)| through(relay, server, client))
}

/// Where a person whose router changes its ports stages and seeds, and another one like that dumps: with `bosc` alone.
#[test]
fn bosc_seeds_and_dumps_through_a_relay() -> Result<()> {
    each(&[Home::Symmetric], |home| {
        let mut net = Net::new()?;
        let (author, reader) = (net.home(home)?, net.home(home)?);
        let between = net.home(Home::Open)?;
        let place = fresh_home("relay")?;
        let bosc = |host: &Host, store: &str, args: &[&str]| net.bosc(host, (&place, store), args);
        let link = run(&mut bosc(&author, "author", &["touch"])?)?.trim().to_owned();
        write_tree(&place.join("app"), 1)?;
        let package = json!({ "name": "app", "version": "1.0.0", "upgrade": link });
        std::fs::write(place.join("app/package.json"), package.to_string())?;
        run(&mut bosc(&author, "author", &["stage", &link, "app"])?)?;

        let mut relay = Process::start(
            "relay",
            &mut bosc(&between, "relay", &["relay", "--json"])?,
            &place,
        )?;
        let key = relay.wait_for("its key", READY, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["data"]["key"].as_str().map(str::to_owned)
        })?;
        relay.wait_for("that it is open", READY, |line| {
            line.contains("\"Open\"").then_some(())
        })?;
        let mut seed = Process::start(
            "seed",
            &mut bosc(&author, "author", &["seed", &link, "--no-tty"])?,
            &place,
        )?;
        seed.wait_for("announced", READY, |line| {
            line.contains("announced").then_some(())
        })?;

        let without = run(&mut bosc(
            &reader,
            "reader",
            &["dump", &link, "out", "--timeout", "4"],
        )?);
        ensure!(without.is_err(), "they met without a relay: this shows nothing");
        let began = Instant::now();
        run(&mut bosc(
            &reader,
            "reader",
            &["dump", &link, "out", "--relay", &key],
        )?)?;
        let took = began.elapsed();
        expect_same(&place.join("app"), &place.join("out"))?;
        let passed = relay.wait_for("what it passed on", READY, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["data"]["bytes"].as_u64().filter(|bytes| *bytes > 3_000_000)
        })?;
        println!("the relay passed {passed} bytes on");
        Ok(took)
    })
}

/// What a laptop's seed says that it got so far, in bytes, and whether it has it all.
fn got(line: &str) -> Option<(u64, bool)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let data = &line["data"];
    Some((
        data["download"]["totalBytes"].as_u64()?,
        data["blobsSynced"].as_bool()?,
    ))
}

/// What happens to a laptop's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It is in another one, with another address.
    Network,
    /// Of two interfaces the one in use dies.
    Interface,
}

#[test]
fn a_laptop_that_changes_its_network_goes_on_by_itself() -> Result<()> {
    each(&[Change::Network, Change::Interface], |change| {
        let mut net = Net::new()?;
        let (author, laptop) = (net.home(Home::Cone)?, net.home(Home::Open)?);
        if change == Change::Interface {
            net.second_interface(&laptop)?;
        }
        let place = fresh_home("laptop")?;
        let link = run(&mut net.bosc(&author, (&place, "author"), &["touch"])?)?
            .trim()
            .to_owned();
        std::fs::create_dir_all(place.join("app"))?;
        std::fs::write(place.join("app/large"), noise(60_000_000, 5))?;
        let package = json!({ "name": "app", "version": "1.0.0", "upgrade": link });
        std::fs::write(place.join("app/package.json"), package.to_string())?;
        run(&mut net.bosc(&author, (&place, "author"), &["stage", &link, "app"])?)?;
        let mut seed = Process::start(
            "seed",
            &mut net.bosc(&author, (&place, "author"), &["seed", &link, "--no-tty"])?,
            &place,
        )?;
        seed.wait_for("announced", READY, |line| {
            line.contains("announced").then_some(())
        })?;
        // A line of some megabytes a second, so that there is a middle.
        author.nft("table inet line {\nchain out {\ntype filter hook output priority 0;\nmeta l4proto udp limit rate over 5 mbytes/second drop\n}\n}\n")?;
        let mut reader = Process::start(
            "reader",
            &mut net.bosc(
                &laptop,
                (&place, "laptop"),
                &["seed", &link, "--json", "--stats-interval", "50"],
            )?,
            &place,
        )?;
        let begun = reader.wait_for("that it has begun", READY, |line| {
            got(line).filter(|(bytes, _)| *bytes > 5_000_000)
        })?;
        ensure!(!begun.1, "it was done before the network changed");
        match change {
            Change::Network => net.renumber(&laptop)?,
            Change::Interface => net.unplug(&laptop)?,
        }
        let changed = Instant::now();
        let before = reader.wait_for("where it stood", READY, got)?.0;
        reader.wait_for("more of it", READY, |line| {
            got(line).filter(|(bytes, _)| *bytes > before + 3_000_000)
        })?;
        let took = changed.elapsed();
        reader.wait_for("that it has it all", READY, |line| {
            got(line).filter(|(_, all)| *all)
        })?;
        ensure!(took < MOVED, "it stood still for {took:?}");
        Ok(took)
    })
}

/// Says which ways to its one peer a swarm on a host finds, and how many through a relay it has found so far, whenever that changes,
/// until it is dropped.
struct Seeker {
    ways: mpsc::Receiver<(Option<Route>, u64)>,
    end: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<()>>>,
}

impl Seeker {
    fn start(host: &Host, config: SwarmConfig, topic: Topic) -> Self {
        let (seen, ways) = mpsc::channel();
        let (end, mut ended) = oneshot::channel();
        let running = host.run(async move || {
            let swarm = Swarm::new(config).await?;
            let mut connections = swarm.connections();
            let roles = JoinOptions {
                server: false,
                client: true,
            };
            let _discovery = swarm.join(topic, roles);
            let (mut last, mut open) = ((None, 0), Vec::new());
            loop {
                tokio::select! {
                    connection = connections.recv() => open.extend(connection),
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                    _ = &mut ended => break,
                }
                let route = swarm.peers().first().map(|peer| peer.route);
                let now = (route, swarm.stats().total.relayed);
                if now != last {
                    last = now;
                    seen.send(last)?;
                }
            }
            swarm.destroy().await;
            Ok(())
        });
        Self {
            ways,
            end: Some(end),
            running: Some(running),
        }
    }

    /// Waits until it goes that way.
    fn wait_for(&self, way: Route, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let seen = self.ways.recv_timeout(left);
            if seen.with_context(|| format!("not {} in time", way.name()))?.0 == Some(way) {
                return Ok(());
            }
        }
    }

    /// Fails if anything changes within that time.
    fn stays(&self, time: Duration) -> Result<()> {
        match self.ways.recv_timeout(time) {
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(()),
            other => anyhow::bail!("it did not stay: {other:?}"),
        }
    }
}

impl Drop for Seeker {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

/// Two who met at a relay, as both their NATs change ports, leave it when one of them gets a NAT that does not.
#[test]
fn a_relay_is_left_once_a_direct_way_opens() -> Result<()> {
    each(
        &[(Stack::Bosc, GUESSED), (Stack::Js, JS_GUESSES)],
        |(stack, guesses)| {
            let mut net = Net::new()?;
            let at = net.home(Home::Symmetric)?;
            let from = net.home(Home::Symmetric)?;
            let router = net.last_router().context("no router")?;
            let between = net.home(Home::Open)?;
            let bootstrap = net.bootstrap();
            let relay = Relay::start((Stack::Bosc, &between), &bootstrap)?;
            let meeting = Meeting {
                server: (stack, &at),
                client: (Stack::Bosc, &from),
                bootstrap: &bootstrap,
                relay: Some(relay.key()),
            };
            let server = meeting.announce()?;
            let config = SwarmConfig {
                bootstrap: Some(vec![bootstrap.clone()]),
                relays: vec![relay.key()],
                ..SwarmConfig::default()
            };
            let client = Seeker::start(&from, config, server.topic());
            client.wait_for(Route::Relayed, READY)?;
            router.retranslate(Home::Cone)?;
            let began = Instant::now();
            client.wait_for(Route::Punched, SEARCH_BEGINS + guesses)?;
            Ok(began.elapsed())
        },
    )
}

/// While no way opens, the search for one leaves the connection through the relay alone, though the server names that, too.
#[test]
fn a_relayed_connection_stands_while_no_other_way_opens() -> Result<()> {
    each(&[Home::Symmetric], |home| {
        let mut net = Net::new()?;
        let (at, from) = (net.home(home)?, net.home(home)?);
        let (between, bootstrap) = (net.home(Home::Open)?, net.bootstrap());
        let relay = Relay::start((Stack::Bosc, &between), &bootstrap)?;
        let meeting = Meeting {
            server: (Stack::Bosc, &at),
            client: (Stack::Bosc, &from),
            bootstrap: &bootstrap,
            relay: Some(relay.key()),
        };
        let server = meeting.announce()?;
        let config = SwarmConfig {
            bootstrap: Some(vec![bootstrap.clone()]),
            relays: vec![relay.key()],
            ..SwarmConfig::default()
        };
        let client = Seeker::start(&from, config, server.topic());
        client.wait_for(Route::Relayed, READY)?;
        client.stays(SEARCHED)?;
        Ok(SEARCHED)
    })
}

/// A provider gives a home another address, as some do every night: who seeds there is found again.
#[test]
fn a_home_whose_router_got_another_address_is_found_again() -> Result<()> {
    each(&[Home::Cone], |home| {
        let mut net = Net::new()?;
        let (from, at) = (net.home(home)?, net.home(home)?);
        let router = net.last_router().context("no router")?;
        let bootstrap = net.bootstrap();
        let meeting = Meeting {
            server: (Stack::Bosc, &at),
            client: (Stack::Bosc, &from),
            bootstrap: &bootstrap,
            relay: None,
        };
        let server = meeting.announce()?;
        net.renumber(&router.host)?;
        met(meeting.dial(&server, FOUND_AGAIN)?)
    })
}
