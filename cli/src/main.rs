//! bosc, the release tool: touch, version, make, build, stage, provision, seed.
fn main() {}
