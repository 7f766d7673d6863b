//! Whole-product tests: the update walkthrough in a real window, JavaScript interop, the network lab.

pub mod args;
pub mod crowd;
pub mod crowd_sim;
pub mod display;
pub mod lab;
pub mod mounts;
pub mod peers;
pub mod process;
pub mod sharing;
pub mod skip;
pub mod team;
pub mod torture;
pub mod update;
pub mod walkthrough;
pub mod watch;
pub mod webdriver;
