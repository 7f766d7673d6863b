//! Weather between hosts: delay, jitter, loss alone and in bursts, packets out of order, a rate, and a queue of so many bytes.
//!
//! Kernels of build machines have no `netem`, so one thread forwards all packets between the hosts' TUN devices. What becomes of
//! a packet is decided by state machines without IO (`link.rs`, `air.rs`).

mod air;
mod cell;
mod forward;
mod journey;
mod link;
mod probe;
mod stream;
mod transfer;
mod wan;

pub use self::air::Counts;
pub use self::cell::{Cell, Special};
pub use self::journey::Journey;
pub use self::link::Weather;
pub use self::probe::{Capacity, Pings, capacity};
pub use self::stream::stream;
pub use self::transfer::{Flow, Mark};
pub use self::wan::{Wan, can_make_weather};
