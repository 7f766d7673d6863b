//! Whole connections over an in-memory transport.

use std::time::Duration;

use bytes::Bytes;
use secret_stream::{CloseReason, Connection, Error, KeyPair, StreamOptions, over, over_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

async fn pair_with(options: [StreamOptions; 2]) -> (Connection, Connection) {
    let (a, b) = duplex(64 * 1024);
    let [first, second] = options;
    let (key_a, key_b) = (KeyPair::from_seed([1; 32]), KeyPair::from_seed([2; 32]));
    let (a, b) = tokio::join!(
        over_with(a, true, &key_a, first),
        over_with(b, false, &key_b, second)
    );
    (a.unwrap(), b.unwrap())
}

async fn pair() -> (Connection, Connection) {
    pair_with(Default::default()).await
}

#[tokio::test]
async fn messages_keep_their_bounds_and_both_sides_know_each_other() {
    let (a, mut b) = pair().await;
    assert_eq!(a.info().remote_public_key, KeyPair::from_seed([2; 32]).public_key);
    assert_eq!(b.info().remote_public_key, KeyPair::from_seed([1; 32]).public_key);
    assert_eq!(a.info().handshake_hash, b.info().handshake_hash);
    assert!(a.info().is_initiator && !b.info().is_initiator);
    let sizes = [0, 1, 4095, 4096, 70_000, 0, 5_000_000, 3];
    let sending = tokio::spawn(async move {
        for size in sizes {
            a.send(Bytes::from(vec![size as u8; size])).await.unwrap();
        }
        a.close();
        a.closed().await
    });
    for size in sizes {
        assert_eq!(b.recv().await.unwrap(), vec![size as u8; size]);
    }
    assert_eq!(b.recv().await, None);
    assert!(matches!(b.closed().await, CloseReason::Remote));
    assert!(matches!(sending.await.unwrap(), CloseReason::Local));
}

#[tokio::test]
async fn dropping_a_connection_delivers_what_was_sent() {
    let (a, mut b) = pair().await;
    for n in 0..100u8 {
        a.send(Bytes::from(vec![n; 1000])).await.unwrap();
    }
    drop(a);
    for n in 0..100u8 {
        assert_eq!(b.recv().await.unwrap(), vec![n; 1000]);
    }
    assert_eq!(b.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn keep_alives_are_hidden_and_hold_off_the_idle_timeout() {
    let options = StreamOptions {
        keep_alive: Some(Duration::from_secs(5)),
        idle_timeout: Some(Duration::from_secs(8)),
        ..StreamOptions::default()
    };
    let (a, mut b) = pair_with([options.clone(), options]).await;
    let quiet = tokio::time::timeout(Duration::from_secs(60), b.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    // A peer that stops sending them is given up.
    a.set_keep_alive(None);
    assert_eq!(b.recv().await, None);
    assert!(matches!(b.closed().await, CloseReason::Failed(Error::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_or_vanished_peer_fails_the_handshake() {
    let key = KeyPair::from_seed([1; 32]);
    let (a, _kept) = duplex(1024);
    assert!(matches!(over(a, false, &key).await, Err(Error::TimedOut)));
    let (a, b) = duplex(1024);
    drop(b);
    assert!(matches!(over(a, false, &key).await, Err(Error::Ended)));
    let (a, mut b) = duplex(1024);
    b.write_all(&[5, 0, 0, 1, 2, 3, 4, 5]).await.unwrap();
    assert!(matches!(over(a, false, &key).await, Err(Error::Handshake(_))));
}

/// Two connections with a man in the middle, who passes on what he is given and says what to do with the rest.
async fn intercepted() -> (Connection, Connection, DuplexStream, DuplexStream) {
    let ((a, mut a_wire), (b, mut b_wire)) = (duplex(1 << 20), duplex(1 << 20));
    let (key_a, key_b) = (KeyPair::from_seed([1; 32]), KeyPair::from_seed([2; 32]));
    let relay = async {
        // e (32) and its answers (32 + 48 + 16) and (48 + 16), each framed, then both headers.
        for (length, from_a) in [(35, true), (99, false), (67, true), (59, true), (59, false)] {
            let mut message = vec![0; length];
            let (from, to) = if from_a {
                (&mut a_wire, &mut b_wire)
            } else {
                (&mut b_wire, &mut a_wire)
            };
            from.read_exact(&mut message).await.unwrap();
            to.write_all(&message).await.unwrap();
        }
    };
    let (a, b, ()) = tokio::join!(over(a, true, &key_a), over(b, false, &key_b), relay);
    (a.unwrap(), b.unwrap(), a_wire, b_wire)
}

#[tokio::test]
async fn a_changed_byte_ends_the_connection_after_what_came_before() {
    let (a, mut b, mut a_wire, mut b_wire) = intercepted().await;
    a.send(Bytes::from_static(b"good")).await.unwrap();
    a.send(Bytes::from_static(b"evil")).await.unwrap();
    let mut wire = vec![0; 2 * (3 + 17 + 4)];
    a_wire.read_exact(&mut wire).await.unwrap();
    wire[30] ^= 1;
    b_wire.write_all(&wire).await.unwrap();
    assert_eq!(b.recv().await.unwrap(), "good");
    assert_eq!(b.recv().await, None);
    assert!(matches!(
        b.closed().await,
        CloseReason::Failed(Error::InvalidMessage)
    ));
}

#[tokio::test]
async fn a_short_frame_ends_the_connection() {
    let (_a, b, _a_wire, mut b_wire) = intercepted().await;
    b_wire.write_all(&[0, 0, 0]).await.unwrap();
    assert!(matches!(
        b.closed().await,
        CloseReason::Failed(Error::InvalidMessage)
    ));
}

#[tokio::test]
async fn a_header_greets_and_a_sealed_message_proves() {
    let (a, b, mut a_wire, mut b_wire) = intercepted().await;
    let soon = Duration::from_millis(100);
    assert!(
        tokio::time::timeout(Duration::from_secs(5), b.greeted())
            .await
            .unwrap()
    );
    assert!(
        tokio::time::timeout(soon, b.proven()).await.is_err(),
        "a header may be made by whoever saw the handshake"
    );
    a.send(Bytes::new()).await.unwrap();
    let mut wire = vec![0; 3 + 17];
    a_wire.read_exact(&mut wire).await.unwrap();
    b_wire.write_all(&wire).await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_secs(5), b.proven())
            .await
            .unwrap()
    );
    // One that closes before has proven nothing.
    let (_a, b, _a_wire, mut b_wire) = intercepted().await;
    let proven = b.proven();
    b_wire.write_all(&[0, 0, 0]).await.unwrap();
    assert!(
        !tokio::time::timeout(Duration::from_secs(5), proven)
            .await
            .unwrap()
    );
}
