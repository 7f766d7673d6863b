//! UDX: reliable, congestion-controlled streams over UDP, wire compatible with libudx (npm `udx-native`).
//!
//! A [`Udx`] is a set of stream ids. Its [`Socket`]s receive datagrams: packets of a known stream go to that
//! [`Stream`], everything else comes out of [`Socket::messages`] untouched. A stream may receive through any
//! socket of its `Udx` before it is connected, which is what hole punching needs; see [`Stream::on_first_packet`].
//!
//! The protocol itself does no I/O (`engine.rs`, with `sender.rs`, `receiver.rs`, `congestion.rs`, `mtu.rs` and
//! `packet.rs`); `socket.rs` and `stream.rs` drive it with tokio, through
//! what `datagrams.rs` finds that the system can.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod congestion;
mod datagrams;
mod engine;
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod hostile;
mod liveness;
mod memory;
mod mtu;
mod packet;
mod receiver;
mod relay;
mod sender;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod simulator;
mod socket;
mod stream;
mod transmit;

pub use engine::CloseReason;
pub use relay::{Relay, RelayEnd};
pub use socket::{BindOptions, Socket, Udx};
pub use stream::{FirstPacket, Proof, Stream, StreamStats};
