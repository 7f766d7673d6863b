//! cargo xtask: demo, test, ci, bench.
fn main() {}
