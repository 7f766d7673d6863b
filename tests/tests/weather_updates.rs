//! Updates while the way to them comes and goes: they complete by themselves soon after it is back. Needs root, iproute2 and
//! /dev/net/tun.

use std::time::Duration;

use bosc_tests::lab::weather::{Journey, can_make_weather};
use bosc_tests::skip::skipped;

/// From when the way is back.
const SOON: Duration = Duration::from_secs(10);
/// What a whole release takes through the connection of a [`Journey`].
const RELEASE: Duration = Duration::from_secs(12);
/// How long an app waits for a first seeder here. It looks ever more rarely, after ten minutes once in a minute: a seeder that
/// comes then is found within that minute, and not within [`SOON`].
const LATE: Duration = Duration::from_secs(25);

/// An app that runs 1.0.0 and has its seeder.
fn journey(name: &str) -> Option<Journey> {
    if let Err(why) = can_make_weather() {
        skipped(why);
        return None;
    }
    let mut journey = Journey::new(name).unwrap();
    journey.seed().unwrap();
    journey.start().unwrap();
    journey.arrives(SOON).unwrap();
    Some(journey)
}

#[test]
fn an_update_goes_on_when_its_seeder_was_killed_and_is_back() {
    let Some(mut journey) = journey("weather-seeder-killed") else {
        return;
    };
    journey.release().unwrap();
    journey.midst().unwrap();
    journey.kill_seed();
    journey.seed().unwrap();
    let took = journey.arrives(SOON + RELEASE).unwrap();
    println!("{took:?} after the seeder was announced again");
}

#[test]
fn an_update_arrives_without_the_dht_that_its_peers_met_on() {
    let Some(mut journey) = journey("weather-no-dht") else {
        return;
    };
    // They meet when the app looks for updates the first time.
    std::thread::sleep(Duration::from_secs(5));
    journey.wan().stop_dht();
    journey.release().unwrap();
    let took = journey.arrives(SOON + RELEASE).unwrap();
    println!("{took:?} after the release");
}

#[test]
fn an_update_goes_on_when_the_network_was_gone_and_is_back() {
    let Some(mut journey) = journey("weather-unplugged") else {
        return;
    };
    for away in [3, 20] {
        journey.release().unwrap();
        journey.midst().unwrap();
        journey.plug(false).unwrap();
        std::thread::sleep(Duration::from_secs(away));
        journey.plug(true).unwrap();
        let took = journey.arrives(SOON + RELEASE).unwrap();
        println!("{took:?} after {away} s without a network");
    }
}

#[test]
fn a_seeder_that_comes_late_is_found() {
    let Some(mut journey) = journey("weather-late") else {
        return;
    };
    journey.kill_seed();
    journey.release().unwrap();
    std::thread::sleep(LATE);
    journey.seed().unwrap();
    let took = journey.arrives(SOON + RELEASE).unwrap();
    println!("{took:?} after a seeder came that was {LATE:?} late");
}
