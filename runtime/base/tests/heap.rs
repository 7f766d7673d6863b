//! One heap for all threads. A process of its own: it holds for the whole process, and for the heaps that are not there yet.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::HashSet;
use std::sync::Barrier;

/// The heaps that blocks of eight threads, all alive, lie in: glibc aligns each but the first to 64 MiB.
fn heaps() -> usize {
    let barrier = Barrier::new(8);
    let place = || {
        let block = vec![1u8; 100_000];
        barrier.wait();
        let place = block.as_ptr() as usize >> 26;
        barrier.wait();
        place
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(place)).collect();
        let places = threads.into_iter().map(|thread| thread.join().unwrap());
        places.collect::<HashSet<usize>>().len()
    })
}

#[test]
fn threads_share_one_heap() {
    base::heap::share();
    let heaps = heaps();
    // The harness had two threads before, and the first heap may reach over a border.
    assert!(heaps <= 3, "{heaps}");
}
