//! A core of several signers: it takes over the blocks of a source under a quorum's signature, and readers check that.

mod exchange;

use core_store::{Core, CoreError, CoreOptions, Storage};
use hypercore::KeyPair;
use hypercore::manifest::{Manifest, Signer};
use hypercore::signature::{self, PartialSignature, assemble, sign};

use exchange::{append, block, core_of, fetch, reader, upgrade, upgrade_request};

/// A core of which two of three must sign, with the signers' secrets.
fn team(storage: &Storage) -> ([KeyPair; 3], Core) {
    let pairs = [1, 2, 3].map(|seed| KeyPair::from_seed([seed; 32]));
    let signers = pairs.iter().map(|pair| Signer {
        namespace: [7; 32],
        public_key: pair.public_key,
    });
    let options = CoreOptions {
        manifest: Some(Manifest::multi(2, signers.collect())),
        key_pair: Some(pairs[0].clone()),
        ..Default::default()
    };
    (pairs, Core::open(storage, options).unwrap())
}

#[test]
fn a_team_appends_by_quorum_and_readers_check_it() {
    let storage = Storage::in_memory().unwrap();
    let (pairs, team) = team(&storage);
    let manifest = team.manifest().unwrap();
    assert!(
        !team.writable() && team.append(&[block(5)]).is_err(),
        "one signer alone wrote"
    );

    let source = core_of(&storage, 9);
    append(&source, 2);
    let by = |signer: usize| PartialSignature {
        signer: signer as u64,
        signature: sign(&manifest, &team.key(), &source.tree(), &pairs[signer])
            .unwrap()
            .try_into()
            .unwrap(),
        patch: 0,
    };
    for too_little in [assemble(&[by(2)]), assemble(&[by(2), by(2)]), Vec::new()] {
        assert!(team.append_from(&source, 2, &too_little).is_err());
        assert_eq!(team.length(), 0);
    }
    let signature = assemble(&[by(2), by(0)]);
    assert!(
        team.append_from(&source, 1, &signature).is_err(),
        "other blocks were taken"
    );
    assert_eq!(team.append_from(&source, 2, &signature).unwrap(), 2);

    let other = reader(&team);
    let request = upgrade_request(&team, &other);
    let mut forged = team.create_proof(&request).unwrap().unwrap();
    forged.upgrade.as_mut().unwrap().signature = assemble(&[by(2)]);
    assert!(
        other.verify(forged).is_err(),
        "a reader took one signature for two"
    );
    upgrade(&team, &other);
    (0..2).for_each(|index| fetch(&team, &other, index));
    assert_eq!(other.manifest(), Some(manifest));
}

/// A single signer's core grows; a team's core follows it, step by step, under the team's signature alone.
#[test]
fn a_team_takes_over_the_blocks_of_a_source() {
    let storage = Storage::in_memory().unwrap();
    let (pairs, team) = team(&storage);
    let source = core_of(&storage, 9);
    append(&source, 5);
    let signed = |length: u64| {
        let signable = signature::signable(&team.key().0, &source.tree_hash(length).unwrap(), length, 0);
        let by = |signer: usize| PartialSignature {
            signer: signer as u64,
            signature: pairs[signer].sign(&signable),
            patch: 0,
        };
        assemble(&[by(1), by(2)])
    };
    assert!(
        matches!(
            team.append_from(&source, 5, &signed(4)),
            Err(CoreError::InvalidSignature(_))
        ),
        "a signature over another length was taken"
    );
    assert_eq!(team.length(), 0);
    assert_eq!(team.append_from(&source, 3, &signed(3)).unwrap(), 3);
    append(&source, 6);
    assert_eq!(team.append_from(&source, 11, &signed(11)).unwrap(), 11);
    assert_eq!(
        team.append_from(&source, 11, &signed(11)).unwrap(),
        11,
        "once more changes nothing"
    );
    assert!(matches!(
        team.append_from(&source, 3, &signed(3)),
        Err(CoreError::OutOfBounds { .. })
    ));
    assert_eq!(team.tree_hash(11).unwrap(), source.tree_hash(11).unwrap());

    append(&source, 2);
    source.clear(12, 13).unwrap();
    let gap = team.append_from(&source, 13, &signed(13));
    assert!(
        matches!(gap, Err(CoreError::NotAvailable { index: 12, .. })),
        "{gap:?}"
    );
    assert_eq!((team.length(), team.contiguous_length()), (11, 11));

    let follower = reader(&team);
    upgrade(&team, &follower);
    (0..11).for_each(|index| fetch(&team, &follower, index));

    // Whoever knows the team's core by its head alone fills it from the source.
    let elsewhere = Storage::in_memory().unwrap();
    let same = core_of(&elsewhere, 9);
    append(&same, 13);
    let known = Core::open(
        &elsewhere,
        CoreOptions {
            manifest: team.manifest(),
            ..Default::default()
        },
    )
    .unwrap();
    upgrade(&team, &known);
    assert_eq!((known.length(), known.contiguous_length()), (11, 0));
    same.clear(4, 5).unwrap();
    assert_eq!(known.append_from(&same, 11, &signed(11)).unwrap(), 11);
    assert_eq!((known.contiguous_length(), known.has_range(5, 11)), (4, true));
    let third = reader(&known);
    upgrade(&known, &third);
    (0..11)
        .filter(|index| *index != 4)
        .for_each(|index| fetch(&known, &third, index));
    fetch(&team, &known, 4);
    assert_eq!(known.contiguous_length(), 11);

    assert!(matches!(
        team.append_from(&same, 13, &signed(13)),
        Err(CoreError::OtherStore { .. })
    ));
}
