//! Pear Chat, the app authors start from.
fn main() {}
