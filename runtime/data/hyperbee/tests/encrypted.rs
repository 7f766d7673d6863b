//! A bee on an encrypted core is the same bee to whoever has the key.

mod support;

use hyperbee::{Bee, Metadata, Range};

#[tokio::test]
async fn a_bee_is_read_and_written_through_a_cipher() {
    let plain = support::memory_bee("plain");
    let stored = support::memory_bee("sealed").core().clone();
    let sealed = Bee::new(stored.encrypted(&[7; 32]), Metadata::default());
    for bee in [&plain, &sealed] {
        for number in 0..60 {
            let mut batch = bee.batch().await.expect("batch");
            let key = format!("k{:03}", number * 37 % 60);
            batch.put(key.as_bytes(), b"value").await.expect("put");
            batch.flush().expect("flush");
        }
    }
    // Block for block.
    assert_eq!(sealed.core().length(), plain.core().length());
    for index in 0..plain.core().length() {
        let (ours, theirs) = (sealed.core().get_local(index), plain.core().get_local(index));
        assert_eq!(ours.expect("read"), theirs.expect("read"));
    }
    // Opened anew, by who has the key and by who has not.
    let again = Bee::new(stored.encrypted(&[7; 32]), Metadata::default());
    let (ours, theirs) = (
        again.entries(Range::all()).await.expect("entries"),
        plain.entries(Range::all()).await.expect("entries"),
    );
    assert_eq!(ours.len(), 60);
    assert_eq!(ours, theirs);
    let stranger = Bee::new(stored.encrypted(&[8; 32]), Metadata::default());
    assert!(stranger.get(b"k001").await.is_err());
    assert!(Bee::new(stored, Metadata::default()).get(b"k001").await.is_err());
}
