//! A bee against a `BTreeMap`: random writes, ranges, checkouts and differences.

mod support;

use std::collections::BTreeMap;
use std::ops::Bound;

use hyperbee::{Bee, Range};
use proptest::prelude::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Op {
    Put(u8, u8),
    Del(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![3 => (any::<u8>(), any::<u8>()).prop_map(|(k, v)| Op::Put(k, v)), 2 => any::<u8>().prop_map(Op::Del)]
}

fn key(number: u8) -> Vec<u8> {
    format!("{:03}", number % 150).into_bytes()
}

async fn contents(bee: &Bee, range: Range) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entries = bee.entries(range).await.expect("entries");
    entries
        .into_iter()
        .map(|e| (e.key.to_vec(), e.value.unwrap_or_default().to_vec()))
        .collect()
}

/// Runs the batches and returns the model after each, with the bee's version.
async fn fill(bee: &Bee, batches: &[Vec<Op>]) -> Vec<(u64, Model)> {
    let mut model = Model::new();
    let mut history = vec![(1, Model::new())];
    for ops in batches {
        let mut batch = bee.batch().await.expect("batch");
        for op in ops {
            match op {
                Op::Put(k, v) => {
                    batch.put(&key(*k), &[*v]).await.expect("put");
                    model.insert(key(*k), vec![*v]);
                }
                Op::Del(k) => {
                    let deleted = batch.del(&key(*k)).await.expect("del");
                    assert_eq!(deleted, model.remove(&key(*k)).is_some());
                }
            }
            let (Op::Put(k, _) | Op::Del(k)) = op;
            let found = batch
                .get(&key(*k))
                .await
                .expect("get")
                .and_then(|e| e.value)
                .map(|v| v.to_vec());
            assert_eq!(
                found,
                model.get(&key(*k)).cloned(),
                "a batch reads its own writes"
            );
        }
        batch.flush().expect("flush");
        history.push((bee.version(), model.clone()));
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(5)))]

    #[test]
    fn behaves_like_a_map(batches in prop::collection::vec(prop::collection::vec(op(), 1..40), 1..12),
        from in any::<u8>(), to in any::<u8>(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
        inclusive in any::<bool>(), reverse in any::<bool>(), limit in prop::option::of(0usize..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let bee = support::memory_bee("model");
            let history = fill(&bee, &batches).await;
            let (_, newest) = history.last().expect("history");
            for number in 0..=255 {
                let found = bee.get(&key(number)).await.expect("get").and_then(|e| e.value).map(|v| v.to_vec());
                assert_eq!(found, newest.get(&key(number)).cloned());
            }
            for (version, model) in &history {
                let all: Vec<_> = model.clone().into_iter().collect();
                assert_eq!(contents(&bee.checkout(*version), Range::all()).await, all);
            }
            let (low, high) = (key(from.min(to)).min(key(from.max(to))), key(from.min(to)).max(key(from.max(to))));
            let bound = |key: &Vec<u8>| if inclusive { Bound::Included(key.clone()) } else { Bound::Excluded(key.clone()) };
            let mut expected: Vec<_> = if low == high && !inclusive {
                Vec::new()
            } else {
                newest.range((bound(&low), bound(&high))).map(|(k, v)| (k.clone(), v.clone())).collect()
            };
            let mut range = if inclusive {
                Range::all().gte(low.clone()).lte(high.clone())
            } else {
                Range::all().gt(low.clone()).lt(high.clone())
            };
            range.reverse = reverse;
            range.limit = limit;
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit.unwrap_or(usize::MAX));
            assert_eq!(contents(&bee, range).await, expected);

            let ((left, left_model), (right, right_model)) = (a.get(&history), b.get(&history));
            let range = Range::all().gte(low.clone());
            let diff = bee.checkout(*left).differences(&bee.checkout(*right), range).await.expect("diff");
            let value = |e: Option<hyperbee::BeeEntry>| e.map(|e| (e.key.to_vec(), e.value.unwrap_or_default().to_vec()));
            let mut changed = BTreeMap::new();
            for item in diff {
                let (left, right) = (value(item.left), value(item.right));
                let key = left.as_ref().or(right.as_ref()).expect("one side").0.clone();
                assert!(changed.insert(key, (left.map(|l| l.1), right.map(|r| r.1))).is_none());
            }
            for number in 0..=255u8 {
                let key = key(number);
                let (left, right) = (left_model.get(&key).cloned(), right_model.get(&key).cloned());
                match changed.get(&key) {
                    Some(found) => assert_eq!(found, &(left, right)),
                    None => assert!(left == right || key < low, "{key:?} differs and was not found"),
                }
            }
        });
    }
}
