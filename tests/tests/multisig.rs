//! Releases by quorum between real processes: the guards of a request and of a commit, what an interruption leaves, and what a
//! signer alone or a tampered store can do.

#[path = "multisig/attacks.rs"]
mod attacks;
#[path = "multisig/guards.rs"]
mod guards;
#[path = "multisig/interrupted.rs"]
mod interrupted;
#[path = "multisig/lab.rs"]
mod lab;
#[path = "multisig/rogue.rs"]
mod rogue;
