//! How the way to a peer came about: for logs, counters and whoever wants to know why it is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the packets of a connection get to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// One of the two could be reached as it is.
    Direct,
    /// Both sent at the same time, arranged through a DHT node, so that their NATs let the other in.
    Punched,
    /// A blind relay passes them on.
    Relayed,
}

impl Route {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Punched => "punched",
            Self::Relayed => "relayed",
        }
    }
}

/// Whether a punch was arranged with the peer. A way that opens before that needed none; one that opens after it counts as
/// punched, as nobody can tell whose packet opened it. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Arranged(Arc<AtomicBool>);

impl Arranged {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// What a way is that opens now.
    pub(super) fn route(&self) -> Route {
        if self.0.load(Ordering::Relaxed) {
            Route::Punched
        } else {
            Route::Direct
        }
    }
}
