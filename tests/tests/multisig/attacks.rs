//! What a signer alone, or a machine with a tampered store, can do: nothing.

use std::path::Path;
use std::time::Duration;

use base::wire::Writer;
use bosc_tests::peers::{expect_same, read_tree};
use bosc_tests::process::{Process, run, wait_until};
use bosc_tests::team::{refused, with_stdin};
use corestore::{Corestore, GetOptions};
use hypercore::manifest::{Manifest, Signer};
use hypercore::signature::{PartialSignature, assemble, signable};
use hypercore::{Key, KeyPair, PublicKey};
use multisig::{Ballot, Request, Response};
use rusqlite::{Connection, params};

use crate::lab::{self, Lab};
use crate::rogue::{Forgery, Rogue};

/// Row ids hold the core's number above the index (runtime/data/hypercore, storage/rows.rs).
const INDEX_BITS: u32 = 41;

fn database(store: &Path) -> Connection {
    Connection::open(store.join("corestore.db")).unwrap()
}

fn core_id(db: &Connection, key: &Key) -> i64 {
    db.query_row("SELECT id FROM cores WHERE key = ?1", [&key.0[..]], |row| {
        row.get(0)
    })
    .unwrap()
}

/// A release that two machines and `reader` can hold; returns its length.
fn released(lab: &Lab) -> u64 {
    let source = lab.provision_next("1.0.0").unwrap();
    let _sources = lab.seed_source().unwrap();
    let request = lab.request("alice", &source).unwrap();
    run(&mut lab.commit("alice", &source, &request, &["--force"]).unwrap()).unwrap();
    let parsed: multisig::Request = request.parse().unwrap();
    parsed.length()
}

/// The reader ends with the release that the quorum signed.
fn expect_honest_release(lab: &Lab) {
    let dump = ["dump", &lab.link, "read", "--force", "--timeout", "10"];
    wait_until("the honest release is read", Duration::from_secs(60), || {
        Ok(lab.place.run("reader", &dump).ok())
    })
    .unwrap();
    expect_same(&lab.place.home.join("read"), &lab.folder("1.0.0")).unwrap();
}

/// One signer extends the team's drive in its own store, under its own signature, and serves that.
#[test]
fn one_signer_alone_ships_nothing() {
    let lab = Lab::new("multisig-alone").unwrap();
    let length = released(&lab);
    let store = lab.place.home.join("alice");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mallory = KeyPair::from_seed([66; 32]);
    // A core of its own with the same blocks and one more, for the tree.
    let forgery = runtime.block_on(async {
        let store = Corestore::open(&store).unwrap();
        let team = store
            .get(GetOptions {
                key: Some(lab.team.key()),
                ..GetOptions::default()
            })
            .unwrap();
        let own = store
            .get(GetOptions {
                key_pair: Some(mallory.clone()),
                ..GetOptions::default()
            })
            .unwrap();
        let mut blocks = Vec::new();
        for index in 0..length {
            blocks.push(team.get(index).await.unwrap());
        }
        // A block that reads as a list of entries: what is wrong with it is the signature alone.
        blocks.extend(blocks.last().cloned());
        own.append(&blocks).unwrap();
        let hash = own.tree_hash(length + 1).unwrap();
        let proof = PartialSignature {
            signer: 0,
            signature: lab.pair(0).sign(&signable(&team.key().0, &hash, length + 1, 0)),
            patch: 0,
        };
        let signature = assemble(std::slice::from_ref(&proof));
        assert!(
            team.append_from(&own, length + 1, &signature).is_err(),
            "our own tool takes one signature"
        );
        Forgery {
            key: team.key(),
            own,
            manifest: team.manifest().unwrap(),
            signature,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    // What no tool does: write it into the database.
    let db = database(&store);
    let own = Manifest::single(mallory.public_key).key();
    let (from, to) = (core_id(&db, &own), core_id(&db, &lab.team.key()));
    for (table, columns) in [
        ("blocks", "value"),
        ("nodes", "size, hash"),
        ("bitfields", "bits"),
    ] {
        db.execute(
            &format!(
                "INSERT OR REPLACE INTO {table} (id, {columns})
                 SELECT id - (?1 << {INDEX_BITS}) + (?2 << {INDEX_BITS}), {columns} FROM {table}
                 WHERE id >= ?1 << {INDEX_BITS} AND id < (?1 + 1) << {INDEX_BITS}"
            ),
            [from, to],
        )
        .unwrap();
    }
    db.execute(
        "UPDATE cores SET length = ?1, signature = ?2, revision = revision + 1 WHERE id = ?3",
        params![length as i64 + 1, forgery.signature, to],
    )
    .unwrap();
    drop(db);
    let own_view = lab.place.run("alice", &["info", &lab.link, "--timeout", "1"]);
    assert!(
        own_view.is_err_and(|error| error.to_string().contains("nobody")),
        "our own tool offers a head that does not verify"
    );
    let _rogue = Rogue::serve(&lab.place.bootstrap, forgery).unwrap();
    let said = refused(
        &mut lab
            .place
            .bosc("reader", &["dump", &lab.link, "read", "--timeout", "5"]),
    )
    .unwrap();
    assert!(
        said.contains("1 peer") && said.contains("does not verify") && !said.contains("nobody seeds"),
        "{said}"
    );
    assert!(!lab.place.home.join("read").exists());

    // An honest machine beside it is enough.
    let source = lab.place.run("release", &["info", &lab.source]).unwrap();
    let source = source
        .lines()
        .find_map(|line| line.strip_prefix("version link"))
        .unwrap()
        .trim();
    let _sources = lab.seed_source().unwrap();
    let request = lab.request("honest", source).unwrap();
    run(&mut lab.commit("honest", source, &request, &["--force"]).unwrap()).unwrap();
    let _honest = lab.place.seed("honest", &lab.link).unwrap();
    expect_honest_release(&lab);
}

/// A request of version 3 for a core alone, as anybody may write one: under a manifest of version 0, where the requester says
/// what a signature holds for.
fn test_request(namespace: Key, signer: PublicKey, length: u64, hash: &[u8; 32]) -> String {
    let manifest = Manifest {
        version: 0,
        ..Manifest::multi(
            1,
            vec![Signer {
                namespace: namespace.0,
                public_key: signer,
            }],
        )
    };
    let mut w = Writer::new();
    w.u8(3).u8(0).uint(length).uint(0);
    w.raw(hash).raw(&manifest.encode()).uint(0);
    z32::encode(&w.finish())
}

/// An answer to `request` made of two signatures.
fn spliced(request: &Request, signer: PublicKey, signatures: [[u8; 64]; 2]) -> Response {
    let mut w = Writer::new();
    w.u8(3).u8(1).raw(&request.hash()).raw(&signer.0);
    w.list(&signatures, |w, signature| w.raw(signature));
    Response::decode(&w.finish()).unwrap()
}

/// One signer asks another to sign two "tests", which are the two halves of a release that only the first has seen.
#[test]
fn two_test_requests_are_not_an_answer_to_a_release() {
    let lab = Lab::new("multisig-spliced").unwrap();
    let source = lab.provision_next("1.0.0").unwrap();
    let _sources = lab.seed_source().unwrap();
    let text = lab.request("mallory", &source).unwrap();
    let request: Request = text.parse().unwrap();
    let (victim, content) = (lab.pair(0), *request.content());
    let contents = lab.team.blobs_manifest().key();
    let halves = [
        (lab.team.key(), request.length(), *request.tree_hash()),
        (contents, content.length, content.tree_hash),
    ];

    // What a tool that signs such requests would sign is an answer to the release, to the byte.
    let signatures = halves.map(|(key, length, hash)| victim.sign(&signable(&key.0, &hash, length, 0)));
    let by_victim = spliced(&request, victim.public_key, signatures);
    let by_mallory: Response = lab.answer(2, &text).unwrap().parse().unwrap();
    let ballot = Ballot::count(&request, &[by_victim.clone(), by_mallory.clone()]).unwrap();
    ballot.signatures().unwrap();
    let commit = ["commit", &source, &text, &by_mallory.to_string()];
    let said = refused(&mut lab.multisig("mallory", &commit)).unwrap();
    assert!(said.contains("Insufficient quorum: 1 / 2"), "{said}");

    // Ours signs neither, whatever it is told: not where the team is known, and not elsewhere.
    lab.keep_secret_of_the_first("keys-victim").unwrap();
    let elsewhere = lab.place.home.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for (key, length, hash) in halves {
        let test = test_request(key, victim.public_key, length, &hash);
        for folder in [&lab.place.home, &elsewhere] {
            for force in [&[][..], &["--force"]] {
                let sign = ["multisig", "sign", &test, "--password-fd", "0"];
                let mut sign = lab.place.bosc("victim", &[&sign[..], force].concat());
                sign.current_dir(folder)
                    .env("BOSC_KEYS", lab.place.home.join("keys-victim"));
                let signed = with_stdin(&mut sign, lab::PASSWORD_OF_THE_FIRST);
                let said = signed.expect_err("a half of the release was signed").to_string();
                assert!(
                    said.contains("version 0") && said.contains("who sent it"),
                    "{said}"
                );
            }
        }
        // Nor does it take one for the request of a commit.
        let commit = ["commit", &source, &test, &by_mallory.to_string()];
        let said = refused(&mut lab.multisig("mallory", &commit)).unwrap();
        assert!(said.contains("version 0"), "{said}");
    }
    // The key that would not sign these signs the release.
    let sign = ["multisig", "sign", &text, "--password-fd", "0"];
    let mut sign = lab.place.bosc("victim", &sign);
    sign.env("BOSC_KEYS", lab.place.home.join("keys-victim"));
    let signed = with_stdin(&mut sign, lab::PASSWORD_OF_THE_FIRST).unwrap();
    assert_eq!(signed, by_victim.to_string());
}

/// Changes one byte of every large block of a core in a store.
fn tamper(store: &Path, core: &Key) -> usize {
    let db = database(store);
    let id = core_id(&db, core);
    let range = [id << INDEX_BITS, (id + 1) << INDEX_BITS];
    let mut query = db
        .prepare("SELECT id, value FROM blocks WHERE id >= ?1 AND id < ?2 AND length(value) > 1000")
        .unwrap();
    let rows: Vec<(i64, Vec<u8>)> = query
        .query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (row, mut value) in rows.clone() {
        value[500] ^= 1;
        db.execute("UPDATE blocks SET value = ?1 WHERE id = ?2", params![value, row])
            .unwrap();
    }
    rows.len()
}

#[test]
fn a_tampered_block_is_neither_committed_nor_taken() {
    let lab = Lab::new("multisig-tampered").unwrap();
    let source = lab.provision_next("1.0.0").unwrap();
    let _sources = lab.seed_source().unwrap();
    let request = lab.request("alice", &source).unwrap();
    // The committer holds all of the source, and someone changes it on the disk.
    lab.place.run("alice", &["dump", &source, "source"]).unwrap();
    let contents = content_key(&lab, "alice", &lab.source);
    assert!(tamper(&lab.place.home.join("alice"), &contents) > 0);
    let said = lab
        .expect_code(
            || lab.commit("alice", &source, &request, &["--force"]),
            "COMMIT_FAILED",
        )
        .unwrap();
    assert!(said.contains("does not match its hash"), "{said}");

    // A good commit, of which one seeder changes the contents.
    run(&mut lab.commit("bob", &source, &request, &["--force"]).unwrap()).unwrap();
    tamper(&lab.place.home.join("bob"), &lab.team.blobs_manifest().key());
    let _liar = lab.place.seed("bob", &lab.link).unwrap();
    let mut dump = lab
        .place
        .bosc("reader", &["dump", &lab.link, "read", "--timeout", "5"]);
    let mut dump = Process::start("dump", &mut dump, &lab.place.logs()).unwrap();
    let _ = wait_until("it gives up", Duration::from_secs(8), || {
        Ok((!dump.is_running()).then_some(()))
    });
    dump.kill();
    let whole = read_tree(&lab.folder("1.0.0")).unwrap();
    let big = whole.keys().find(|path| path.ends_with("big")).unwrap();
    assert!(
        !lab.place.home.join("read").join(big).exists(),
        "a tampered file was written"
    );
    for (path, found) in read_tree(&lab.place.home.join("read")).unwrap_or_default() {
        if let Some(expected) = whole.get(&path) {
            assert_eq!(
                &found,
                expected,
                "{} was written with other content",
                path.display()
            );
        }
    }

    run(&mut lab.commit("carol", &source, &request, &["--force"]).unwrap()).unwrap();
    let _honest = lab.place.seed("carol", &lab.link).unwrap();
    expect_honest_release(&lab);
}

/// The key of a link's contents, from `bosc info`.
fn content_key(lab: &Lab, store: &str, link: &str) -> Key {
    let shown = lab
        .place
        .run(store, &["info", link, "--json", "--timeout", "3"])
        .unwrap();
    shown
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| line["tag"] == "keys")
        .and_then(|line| line["data"]["content"].as_str()?.parse().ok())
        .unwrap()
}
