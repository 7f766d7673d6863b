//! The framing and the cipher of a secret stream: cut anyhow, altered anywhere. What comes out is what was put in, in order, up to
//! the first altered frame, and nothing after it.

#![no_main]

use arbitrary::Arbitrary;
use bosc_fuzz::Damage;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use secret_stream::noise::HandshakeResult;
use secret_stream::{FrameDecoder, PublicKey, SecretStream};

#[derive(Debug, Arbitrary)]
struct Input {
    messages: Vec<Vec<u8>>,
    damages: Vec<Damage>,
    cuts: Vec<u8>,
    most: Option<u16>,
}

fn side(is_initiator: bool) -> SecretStream {
    let (tx, rx) = if is_initiator {
        ([1; 32], [2; 32])
    } else {
        ([2; 32], [1; 32])
    };
    let handshake = HandshakeResult {
        tx,
        rx,
        hash: [3; 64],
        public_key: PublicKey([4; 32]),
        remote_public_key: PublicKey([5; 32]),
        is_initiator,
    };
    SecretStream::with_header(&handshake, &[u8::from(is_initiator); 24])
}

fuzz_target!(|input: Input| {
    let (mut from, mut to) = (side(true), side(false));
    let mut wire = BytesMut::from(&from.header()[..]);
    let messages: Vec<&Vec<u8>> = input.messages.iter().take(8).collect();
    for message in &messages {
        from.seal(message, &mut wire).expect("it fits");
    }
    let mut wire = wire.to_vec();
    let honest = wire.clone();
    input
        .damages
        .iter()
        .take(3)
        .for_each(|damage| damage.apply(&mut wire));
    let most = input.most.map_or(secret_stream::MAX_FRAME, usize::from);
    let mut decoder = FrameDecoder::new(most);
    let (mut buffer, mut rest) = (BytesMut::new(), &wire[..]);
    let (mut got, mut headers) = (0, 0);
    let mut cuts = input.cuts.iter().cycle();
    'wire: while !rest.is_empty() {
        let cut = cuts
            .next()
            .map_or(rest.len(), |cut| usize::from(*cut) + 1)
            .min(rest.len());
        buffer.extend_from_slice(&rest[..cut]);
        rest = &rest[cut..];
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= most);
                    match to.open(frame) {
                        Ok(None) => headers += 1,
                        Ok(Some(message)) => {
                            assert_eq!(Some(&&message.to_vec()), messages.get(got).as_deref());
                            got += 1;
                        }
                        Err(_) => break 'wire,
                    }
                }
                Ok(None) => {
                    assert!(decoder.missing(buffer.len()) <= most);
                    break;
                }
                Err(_) => break 'wire,
            }
        }
    }
    assert!(headers <= 1);
    if wire == honest && most >= honest.len() {
        assert_eq!((headers, got), (1, messages.len()));
    }
});
