//! `bosc check`: a store that the disk spoilt says so, is healed from a peer, and serves nothing wrong meanwhile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use bosc_tests::peers::{Place, expect_same, noise, write_tree};
use bosc_tests::process::{Process, wait_until};
use bosc_tests::team::refused;
use rusqlite::Connection;

/// Spoils one of every `step` stored blocks, and returns how many.
fn spoil(store: &Path, step: usize) -> Result<usize> {
    let db = Connection::open(store.join("corestore.db"))?;
    let mut statement = db.prepare("SELECT id, value FROM blocks ORDER BY id")?;
    let rows: Vec<(i64, Vec<u8>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    // Not the first of a core: what is behind a spoilt header is another test.
    let spoilt: Vec<_> = rows.into_iter().skip(1).step_by(step).collect();
    for (id, value) in &spoilt {
        let mut value = value.clone();
        let middle = value.len() / 2;
        value[middle] ^= 4;
        db.execute("UPDATE blocks SET value = ?2 WHERE id = ?1", (id, value))?;
    }
    Ok(spoilt.len())
}

/// A release that was mirrored.
struct Mirrored {
    place: Place,
    link: String,
    folder: PathBuf,
}

/// A release, its author who seeds it, and a mirror that fetched everything and stopped.
fn mirrored(name: &str, seed: u64) -> Result<(Mirrored, Process)> {
    let place = Place::new(name)?;
    let link = place.run("author", &["touch"])?.trim().to_owned();
    let folder = place.home.join("release");
    write_tree(&folder, seed)?;
    std::fs::write(folder.join("large.bin"), noise(3_000_000, 11))?;
    std::fs::write(
        folder.join("package.json"),
        format!(r#"{{"name":"cool","productName":"Cool","version":"1.0.0","upgrade":"{link}"}}"#),
    )?;
    place.run("author", &["stage", &link, &folder.display().to_string()])?;
    let author = place.seed("author", &link)?;
    let mut mirror = place.seed("mirror", &link)?;
    let authors = place.run("author", &["check", &link])?;
    wait_until("the mirror holds it all", Duration::from_secs(30), || {
        let told = place.run("mirror", &["check", &link]);
        Ok(told.is_ok_and(|told| told == authors).then_some(()))
    })?;
    mirror.stop();
    Ok((Mirrored { place, link, folder }, author))
}

impl Mirrored {
    /// What a reader gets is what was released.
    fn dumps_well(&self, reader: &str) -> Result<()> {
        let out = self.place.home.join(reader).join("out");
        let args = ["dump", &self.link, &out.display().to_string()];
        self.place.run(reader, &args)?;
        expect_same(&self.folder, &out)
    }
}

#[test]
fn a_spoilt_store_is_found_out_and_healed_from_a_peer() -> Result<()> {
    let (mirrored, author) = mirrored("check", 7)?;
    let (place, link) = (&mirrored.place, &mirrored.link);
    let spoilt = spoil(&place.home.join("mirror"), 5)?;
    ensure!(spoilt > 5, "{spoilt} blocks to spoil");

    let told = refused(&mut place.bosc("mirror", &["check", link]))?;
    ensure!(
        told.contains("--repair") && told.contains(&format!("{spoilt} blocks are rotten")),
        "{told}"
    );
    // Without a peer it says what is missing; nothing wrong is handed out.
    drop(author);
    let told = refused(&mut place.bosc("mirror", &["check", link, "--repair", "--timeout", "3"]))?;
    ensure!(
        told.contains("is not whole yet") && told.contains("no peer sent"),
        "{told}"
    );
    let author = place.seed("author", link)?;
    place.run("mirror", &["check", link, "--repair"])?;
    drop(author);

    // Alone, it is a sound seed again.
    let told = place.run("mirror", &["check"])?;
    ensure!(!told.contains("rotten") && !told.contains("not stored"), "{told}");
    let _mirror = place.seed("mirror", link)?;
    mirrored.dumps_well("reader")
}

#[test]
fn a_spoilt_seed_heals_by_itself_while_it_serves() -> Result<()> {
    let (mirrored, _author) = mirrored("check-heals", 9)?;
    let (place, link) = (&mirrored.place, &mirrored.link);
    spoil(&place.home.join("mirror"), 2)?;
    let mut mirror = place.seed("mirror", link)?;
    // Whichever of the two a reader asks, it gets what was released.
    for reader in ["one", "two", "three"] {
        mirrored.dumps_well(reader)?;
    }
    // Whoever runs it learns that the disk spoils what it keeps.
    mirror.wait_for("what is rotten", Duration::from_secs(5), |line| {
        line.contains("a stored block was damaged").then_some(())
    })
}

#[test]
fn a_store_whose_heads_are_spoilt_says_so_and_fetches_them_again() -> Result<()> {
    let (mirrored, author) = mirrored("check-heads", 13)?;
    let (place, link) = (&mirrored.place, &mirrored.link);
    let db = Connection::open(place.home.join("mirror/corestore.db"))?;
    let spoilt = db.execute("UPDATE cores SET signature = zeroblob(64)", [])?;
    ensure!(spoilt == 2, "{spoilt} heads to spoil");
    drop(db);
    // Asked twice, it says so twice: the blocks went with the first look.
    for _ in 0..2 {
        let told = refused(&mut place.bosc("mirror", &["check", link]))?;
        ensure!(told.contains("blocks are rotten"), "{told}");
    }
    place.run("mirror", &["check", link, "--repair"])?;
    drop(author);
    let told = place.run("mirror", &["check"])?;
    ensure!(!told.contains("rotten") && !told.contains("not stored"), "{told}");
    let _mirror = place.seed("mirror", link)?;
    mirrored.dumps_well("reader")
}
