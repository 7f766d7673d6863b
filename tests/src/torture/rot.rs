//! A seeder whose store rots while it serves: rows of every table, bytes of the file, its tail. A reader gets right data or words;
//! beside a sound seeder it gets right data, and from that one the store heals.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::flip::{LIMIT, Lab, PATIENCE, cut, flip};
use super::program::finish;
use super::{Campaign, Random, copy_folder, remove};
use crate::peers::{Place, read_tree};
use crate::process::{Process, wait_until};

/// A dump takes some hundred milliseconds: the blow falls before, within or after it.
const WITHIN: Duration = Duration::from_millis(600);

/// Table, what names a row of it, and what is spoilt.
const COLUMNS: [(&str, &str, &str); 12] = [
    ("blocks", "id", "value"),
    ("blocks", "id", "id"),
    ("nodes", "id", "hash"),
    ("nodes", "id", "size"),
    ("bitfields", "id", "bits"),
    ("cores", "id", "signature"),
    ("cores", "id", "length"),
    ("cores", "id", "fork"),
    ("cores", "id", "manifest"),
    ("cores", "id", "key"),
    ("user_data", "core, name", "value"),
    ("settings", "name", "value"),
];

/// Where the file is spoilt, and what that may cost.
#[derive(Debug)]
struct Blow {
    what: String,
    /// Whether a sound peer can make up for it: rows of a core, as long as the core's key is there.
    heals: bool,
}

/// Spoils some rows of a table, the file, or its tail.
fn strike(store: &Path, random: &mut Random) -> Result<Blow> {
    let file = store.join("corestore.db");
    match random.below(8) {
        0 => Ok(Blow {
            what: cut(&file, random)?,
            heals: false,
        }),
        1 | 2 => {
            let many = 1 + random.below(12);
            let flips: Result<Vec<String>> = (0..many).map(|_| flip(&file, random)).collect();
            Ok(Blow {
                what: flips?.join(", "),
                heals: false,
            })
        }
        _ => rows(&file, random),
    }
}

fn rows(file: &Path, random: &mut Random) -> Result<Blow> {
    let db = Connection::open(file)?;
    db.busy_timeout(Duration::from_secs(5))?;
    let at = random.below(COLUMNS.len() as u64) as usize;
    let (table, name, column) = COLUMNS.get(at).context("no such column")?;
    let count: u32 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
    let mut what = Vec::new();
    for _ in 0..1 + random.below(6) {
        let row = random.below(count.into());
        let this = format!("({name}) = (SELECT {name} FROM {table} LIMIT 1 OFFSET {row})");
        if random.below(6) == 0 {
            db.execute(&format!("DELETE FROM {table} WHERE {this}"), [])?;
            what.push(format!("row {row} of {table} deleted"));
            continue;
        }
        let found = db.query_row(&format!("SELECT {column} FROM {table} WHERE {this}"), [], |row| {
            row.get::<_, Value>(0)
        });
        let Ok(found) = found else {
            continue; // Deleted just now.
        };
        let spoilt = spoil(found, random);
        let update = format!("UPDATE OR REPLACE {table} SET {column} = ?1 WHERE {this}");
        db.execute(&update, [spoilt])?;
        what.push(format!("{column} of row {row} of {table} spoilt"));
    }
    Ok(Blow {
        what: what.join(", "),
        heals: !matches!((*table, *column), ("cores", "key") | ("settings", _))
            && !what.iter().any(|what| what.contains("cores deleted")),
    })
}

/// The value with one bit turned.
fn spoil(value: Value, random: &mut Random) -> Value {
    match value {
        Value::Blob(mut bytes) => {
            let at = random.below(bytes.len() as u64) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
            Value::Blob(bytes)
        }
        Value::Integer(number) => Value::Integer(number ^ (1 << random.below(40))),
        _ => Value::Blob(vec![0]),
    }
}

/// A mirror that fetched everything from the author, and stopped: its store may be lost.
fn mirror(lab: &Lab) -> Result<()> {
    let (place, link) = (&lab.place, &lab.link);
    let _author = place.seed("good", link)?;
    let mut mirror = place.seed("mirror", link)?;
    let authors = place.run("good", &["check", link])?;
    wait_until("the mirror holds it all", LIMIT, || {
        let told = place.run("mirror", &["check", link]);
        Ok(told.is_ok_and(|told| told == authors).then_some(()))
    })?;
    mirror.stop();
    Ok(())
}

/// What the spoilt store says of itself afterwards: all is well, and then it hands out what is right; or what is wrong with it.
fn told(campaign: &mut Campaign, lab: &Lab, blow: &Blow, repair: bool) -> Result<()> {
    let (place, link, what) = (&lab.place, &lab.link, &blow.what);
    let mut args = vec!["check", link];
    if repair {
        args.extend(["--repair", "--timeout", PATIENCE]);
    }
    let check = finish(&mut place.bosc("bad", &args), LIMIT, &place.logs().join("check"))?;
    if !check.good_or_clean(&format!("{what}: bosc check"))? {
        ensure!(
            !(repair && blow.heals),
            "{what}: beside a sound seeder the store does not heal: {}",
            check.stderr.trim()
        );
        campaign.count("said what is wrong");
        return Ok(());
    }
    campaign.count(if repair { "healed" } else { "sound after all" });
    remove(&place.home.join("out"))?;
    let args = ["dump", link, "out", "--timeout", PATIENCE];
    let dump = finish(
        &mut place.bosc("bad", &args),
        LIMIT,
        &place.logs().join("dump-own"),
    )?;
    let good = dump.good_or_clean(what)?;
    ensure!(
        good,
        "{what}: the store calls itself sound, and does not give what it holds: {}",
        dump.stderr.trim()
    );
    ensure!(
        read_tree(&place.home.join("out"))? == lab.all,
        "{what}: wrong data from the store itself, and exit status 0"
    );
    Ok(())
}

fn start(place: &Place, link: &str) -> Result<Process> {
    copy_folder(&place.home.join("mirror"), &place.home.join("bad"))?;
    for name in ["out", "reader"] {
        remove(&place.home.join(name))?;
    }
    place.seed("bad", link)
}

/// One blow against a seeder that serves a reader.
fn run(campaign: &mut Campaign, lab: &Lab, random: &mut Random, sound: bool) -> Result<()> {
    let (place, link) = (&lab.place, &lab.link);
    let mut seeder = start(place, link)?;
    let (store, delay) = (place.home.join("bad"), random.within(WITHIN));
    let mut places = Random::new(random.number(), 0);
    let blow = std::thread::spawn(move || {
        std::thread::sleep(delay);
        strike(&store, &mut places)
    });
    let args = ["dump", link, "out", "--timeout", PATIENCE];
    let dump = finish(
        &mut place.bosc("reader", &args),
        LIMIT,
        &place.logs().join("dump"),
    );
    let Ok(blow) = blow.join() else {
        anyhow::bail!("the blow did not fall")
    };
    let blow = blow.context("the blow did not fall")?;
    let what = &blow.what;
    let dump = dump.with_context(|| what.clone())?;
    if dump.good_or_clean(what)? {
        ensure!(
            read_tree(&place.home.join("out"))? == lab.all,
            "{what}: wrong data from a peer, and exit status 0"
        );
        campaign.count("right");
    } else {
        ensure!(
            !sound,
            "{what}: no data, although a sound seeder is there: {}",
            dump.stderr.trim()
        );
        campaign.count("clean error");
    }
    let running = seeder.is_running();
    seeder.stop();
    let log = place.logs().join("seed-bad.log");
    let log = std::fs::read_to_string(log)?;
    ensure!(!log.contains("panicked"), "{what}: the seeder panicked: {log}");
    if !running {
        ensure!(
            log.contains("bad"),
            "{what}: the seeder ended without naming its store: {log}"
        );
        campaign.count("the seeder gave up its store");
    }
    told(campaign, lab, &blow, sound)
}

/// The first half of the seeders are alone, beside the others there is a sound one.
pub fn seeder(campaign: &mut Campaign, flips: u64) -> Result<()> {
    let lab = Lab::new(campaign)?;
    mirror(&lab)?;
    let mut sound = None;
    campaign.runs(flips, |campaign, number, random| {
        if number >= flips.div_ceil(2) && sound.is_none() {
            sound = Some(lab.place.seed("good", &lab.link)?);
        }
        run(campaign, &lab, random, sound.is_some())
    });
    Ok(())
}
