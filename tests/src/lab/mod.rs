//! Networks to try things on, made of Linux network namespaces: hosts on a bridge, homes behind routers that translate addresses,
//! and a DHT among them. Nothing leaves the machine. Needs root, iproute2 and nftables.

mod hosts;
mod meet;
mod net;
mod relay;
pub mod weather;

pub use self::hosts::{Host, Hosts, can_make_hosts, join};
pub use self::meet::{Announced, Meeting, Stack};
pub use self::net::{Home, Net, Router};
pub use self::relay::Relay;
