//! Noise handshakes, with messages altered on the way: either both sides end with the same keys and know each other, or the one that
//! was lied to fails.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use bosc_fuzz::Damage;
use libfuzzer_sys::fuzz_target;
use secret_stream::KeyPair;
use secret_stream::noise::{Handshake, Pattern};

#[derive(Debug, Arbitrary)]
struct Input {
    ik: bool,
    payloads: [Vec<u8>; 3],
    /// Which message is altered, and how.
    damaged: u8,
    damage: Option<Damage>,
    raw: Option<Vec<u8>>,
}

static PAIRS: LazyLock<[KeyPair; 4]> =
    LazyLock::new(|| [1, 2, 3, 4].map(|seed| KeyPair::from_seed([seed; 32])));

fuzz_target!(|input: Input| {
    let [a, b, a_once, b_once] = &*PAIRS;
    let (pattern, count) = if input.ik {
        (Pattern::IK, 2)
    } else {
        (Pattern::XX, 3)
    };
    let start = |is_initiator, own: &KeyPair, once: &KeyPair, other: &KeyPair| {
        let known = (input.ik && is_initiator).then_some(other.public_key);
        Handshake::new(pattern, is_initiator, own, b"fuzz", known)
            .expect("the key is known where it must be")
            .with_ephemeral(once.clone())
    };
    let mut one = start(true, a, a_once, b);
    let mut two = start(false, b, b_once, a);
    // A first message of XX carries nothing that could be checked at once.
    let mut lied = false;
    for at in 0..count {
        let (from, to) = if at % 2 == 0 {
            (&mut one, &mut two)
        } else {
            (&mut two, &mut one)
        };
        let payload = &input.payloads[at];
        let Ok(message) = from.send(payload) else {
            assert!(lied, "an honest side can go on");
            assert!(!from.is_complete());
            return;
        };
        let mut given = message.clone();
        if at == usize::from(input.damaged) % count {
            if let Some(raw) = &input.raw {
                given.clone_from(raw);
            }
            input.damage.iter().for_each(|damage| damage.apply(&mut given));
        }
        match to.recv(&given) {
            Ok(heard) if given == message && !lied => assert_eq!(heard, *payload),
            Ok(_) => {
                assert!(!input.ik && at == 0, "an altered message passed");
                lied = true;
            }
            Err(_) => {
                assert!(lied || given != message);
                assert!(!to.is_complete() && to.send(b"").is_err(), "a failure is final");
                return;
            }
        }
    }
    assert!(!lied, "an altered message passed");
    let (one, two) = (one.finish().expect("complete"), two.finish().expect("complete"));
    assert_eq!((one.tx, one.rx, one.hash), (two.rx, two.tx, two.hash));
    assert_eq!(
        (one.remote_public_key, two.remote_public_key),
        (b.public_key, a.public_key)
    );
});
