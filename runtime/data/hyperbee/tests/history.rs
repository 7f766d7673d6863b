//! The history of a bee tells its writes in order.

mod support;

use corestore::{Corestore, GetOptions};
use hyperbee::{Bee, Change, History};

async fn all(mut history: History) -> Vec<(u64, String, bool)> {
    let mut found = Vec::new();
    while let Some(Change {
        seq, key, deletion, ..
    }) = history.next().await.expect("a write")
    {
        found.push((seq, String::from_utf8_lossy(&key).into_owned(), deletion));
    }
    found
}

#[tokio::test]
async fn writes_come_in_order_or_against_it() {
    let bee = support::memory_bee("history");
    assert!(all(bee.history(0, None)).await.is_empty());
    let mut batch = bee.batch().await.expect("batch");
    batch.put(b"a", b"1").await.expect("put");
    batch.put(b"b", b"").await.expect("put");
    batch.flush().expect("flush");
    bee.del(b"a").await.expect("del");
    let earlier = bee.snapshot();
    bee.put(b"c", b"3").await.expect("put");
    let write = |seq, key: &str, deletion| (seq, key.to_owned(), deletion);
    let writes = [
        write(1, "a", false),
        write(2, "b", false),
        write(3, "a", true),
        write(4, "c", false),
    ];
    assert_eq!(all(bee.history(0, None)).await, writes);
    assert_eq!(all(earlier.history(2, None)).await, writes[1..3]);
    assert_eq!(all(bee.history(2, Some(4))).await, writes[1..3]);
    assert_eq!(all(bee.history(2, Some(400))).await, writes[1..]);
    let mut reversed = writes.to_vec();
    reversed.reverse();
    assert_eq!(all(bee.history(1, None).reverse()).await, reversed);
}

#[tokio::test]
async fn a_bee_without_metadata_has_a_header_without() {
    let store = Corestore::in_memory().expect("a store in memory");
    let key_pair = store.create_key_pair("plain").expect("a key pair");
    let options = GetOptions {
        key_pair: Some(key_pair),
        ..GetOptions::default()
    };
    let bee = Bee::new(store.get(options).expect("a core"), None);
    bee.put(b"a", b"1").await.expect("put");
    assert_eq!(
        bee.header(true).await.expect("read").expect("a header").metadata,
        None
    );
}
