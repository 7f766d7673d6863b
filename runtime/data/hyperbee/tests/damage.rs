//! Whatever the blocks of a bee say, reading it ends, with an answer or an error.

mod support;

use bytes::Bytes;
use hyperbee::{Bee, Child, Header, Level, Metadata, Node, Range};
use proptest::prelude::*;

fn load(blocks: &[Bytes]) -> Bee {
    let bee = support::memory_bee("damaged");
    bee.core().append(blocks).expect("append");
    bee
}

async fn read_all(bee: &Bee) {
    let _ = bee.header(true).await;
    for key in ["", "k010", "k055", "zzz"] {
        let _ = bee.get(key.as_bytes()).await;
    }
    let _ = bee.entries(Range::all()).await;
    let _ = bee
        .entries(Range::all().gt(&b"k02"[..]).lt(&b"k07"[..]).reverse())
        .await;
    let _ = bee.entries(Range::all().limit(3)).await;
    let older = bee.checkout(bee.version() / 2);
    let _ = bee.differences(&older, Range::all()).await;
    let _ = older.differences(bee, Range::all().gte(&b"k03"[..])).await;
    let mut batch = bee.batch().await.expect("batch");
    let _ = batch.put(b"k050x", b"v").await;
    let _ = batch.del(b"k050").await;
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let limit = std::time::Duration::from_secs(5);
        tokio::time::timeout(limit, future)
            .await
            .expect("reading a damaged bee must end");
    });
}

/// A bee of a hundred keys, as blocks.
fn sound() -> Vec<Bytes> {
    let mut blocks = Vec::new();
    run(async {
        let bee = support::memory_bee("sound");
        for number in 0..100 {
            bee.put(format!("k{number:03}").as_bytes(), b"value")
                .await
                .expect("put");
        }
        for index in 0..bee.core().length() {
            blocks.extend(bee.core().get_local(index).expect("read"));
        }
    });
    blocks
}

fn level() -> impl Strategy<Value = Level> {
    let child = (0u64..12, 0u64..3).prop_map(|(seq, offset)| Child { seq, offset });
    (
        prop::collection::vec(0u64..12, 0..4),
        prop::collection::vec(child, 0..5),
        any::<bool>(),
    )
        .prop_map(|(keys, mut children, fit)| {
            if fit {
                children.truncate(keys.len() + 1);
                while children.len() < keys.len() + 1 {
                    children.push(Child { seq: 1, offset: 0 });
                }
            }
            Level { keys, children }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(4)))]

    #[test]
    fn flipped_bytes(at in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut blocks = sound();
        for (block, byte, value) in at {
            let block = &mut blocks[block.index(101)];
            let mut bytes = block.to_vec();
            let byte = byte.index(bytes.len());
            bytes[byte] = value;
            *block = bytes.into();
        }
        let bee = load(&blocks);
        run(read_all(&bee));
    }

    #[test]
    fn invented_trees(nodes in prop::collection::vec((0u32..100, prop::collection::vec(level(), 0..4)), 1..12)) {
        let header = Header::hyperbee(Metadata::default()).encode();
        let node = |(key, index): (u32, Vec<Level>)| {
            let value = Some(Bytes::from_static(b"v"));
            Node { key: format!("k{key:03}").into(), value, index }.encode()
        };
        let blocks: Vec<_> = std::iter::once(header).chain(nodes.into_iter().map(node)).collect();
        let bee = load(&blocks);
        run(read_all(&bee));
    }
}

#[test]
fn a_tree_that_leads_to_itself() {
    let header = Header::hyperbee(Metadata::default()).encode();
    let own = Child { seq: 1, offset: 0 };
    for (keys, children) in [
        (vec![], vec![own]),
        (vec![1], vec![own, own]),
        (vec![], vec![own; 400]),
    ] {
        let index = vec![Level { keys, children }];
        let node = Node {
            key: "k".into(),
            value: Some("v".into()),
            index,
        };
        let bee = load(&[header.clone(), node.encode()]);
        run(async {
            assert!(bee.entries(Range::all()).await.is_err());
            read_all(&bee).await;
        });
    }
}
