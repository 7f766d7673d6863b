//! A small round of `cargo xtask torture`: kills and damaged stores, in as little time as shows anything.

use bosc_tests::torture::{Options, run};

#[test]
fn sixty_kills_and_thirty_flips_leave_nothing_half_done() {
    // What torture prints is shown when this fails.
    assert!(run(&Options {
        kills: 60,
        flips: 30,
        only: None,
        seed: 1,
        long: false,
    }));
}
