//! Invites, requests, answers and receipts: an invite that reads is written to one that reads the same, and no bytes but those of a member let
//! a candidate in.

#![no_main]

use std::sync::LazyLock;

use base::Key;
use blind_pairing::{Candidate, Invite, PairingError, Receipt, Request};
use bosc_fuzz::within;
use libfuzzer_sys::fuzz_target;

static INVITE: LazyLock<Invite> = LazyLock::new(|| Invite::from_seed([1; 32], Key([7; 32]).discovery_key()));
static CANDIDATE: LazyLock<Candidate> =
    LazyLock::new(|| Candidate::new(&INVITE, b"data").expect("a candidate"));

fuzz_target!(|input: &[u8]| {
    let public_key = INVITE.public_key();
    let candidate = &*CANDIDATE;
    within(8192 + 16 * input.len(), || {
        if let Ok(invite) = Invite::decode(input) {
            // Nodes that nobody reaches are read and not written.
            let once = Invite::decode(&invite.encode()).expect("what was written");
            assert_eq!(Invite::decode(&once.encode()), Ok(once));
        }
        if let Ok(request) = Request::decode(input) {
            if let Ok(opened) = request.open(&public_key) {
                assert!(opened.receipt.verify(&public_key));
            }
        }
        if let Ok(receipt) = Receipt::decode(input) {
            receipt.verify(&public_key);
            assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
        }
        // The vectors hold answers to this very candidate, which are among the seeds.
        match candidate.open_response(input) {
            Ok(grant) => assert_eq!(grant.key, Key([7; 32])),
            Err(PairingError::Denied(_) | PairingError::NotOfInvite | PairingError::Malformed) => {}
            Err(other) => panic!("{other}"),
        }
    });
});
