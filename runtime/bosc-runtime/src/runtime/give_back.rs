//! The task that has an app serve what it has of its own release, while nothing speaks against it.

use std::sync::Arc;
use std::time::Duration;

use base::Topic;
use corestore::SharedUplink;
use hyperswarm::{Discovery, JoinOptions, Swarm};
use tokio::sync::watch;

use super::Inner;
use crate::power;

/// How often it is looked whether the machine runs on its battery.
const LOOK: Duration = if cfg!(test) {
    Duration::from_secs(1)
} else {
    Duration::from_secs(30)
};
/// Peers that such an app dials, and as many that dial it: enough for a crowd in which everybody is a few steps from everybody, and
/// few enough that it stays a small program; each that is served takes some megabytes.
pub(super) const PEERS: usize = 24;
/// How long taking an announcement back may take. One that stays is forgotten by the DHT after 20 minutes.
const LEAVING: Duration = Duration::from_secs(10);

/// Why an app does not give back just now. What is not known does not hinder.
fn hindrance(on_battery: Option<bool>, metered: Option<bool>) -> Option<&'static str> {
    match (on_battery, metered) {
        (Some(true), _) => Some("the machine runs on its battery"),
        (_, Some(true)) => Some("the connection is metered"),
        _ => None,
    }
}

/// What giving back depends on, and whether it happens.
#[derive(Debug, Clone)]
pub(super) struct Giving {
    /// The app holds, or fetches, the release that is current for this machine.
    has_some: watch::Sender<bool>,
    metered: watch::Sender<Option<bool>>,
    announced: watch::Sender<bool>,
    /// Whether the machine runs on its battery.
    on_battery: fn() -> Option<bool>,
}

impl Default for Giving {
    fn default() -> Self {
        Self {
            has_some: watch::Sender::new(false),
            metered: watch::Sender::new(None),
            announced: watch::Sender::new(false),
            on_battery: power::on_battery,
        }
    }
}

impl Giving {
    /// There is something to serve.
    pub(super) fn offer(&self) {
        self.has_some.send_replace(true);
    }

    /// What the connection costs is known, or not any more.
    pub(super) fn set_metered(&self, metered: Option<bool>) {
        self.metered.send_replace(metered);
    }

    pub(super) fn is_announced(&self) -> bool {
        *self.announced.borrow()
    }

    #[cfg(test)]
    pub(super) fn with_battery(on_battery: fn() -> Option<bool>) -> Self {
        Self {
            on_battery,
            ..Self::default()
        }
    }
}

/// An app's part in its update topic: a client always, a server while it gives back.
pub(super) struct Part {
    pub(super) swarm: Swarm,
    pub(super) topic: Topic,
    pub(super) uplink: SharedUplink,
    /// What was joined as a client.
    pub(super) handles: Vec<Discovery>,
}

impl Part {
    fn announce(&mut self) {
        let both = JoinOptions {
            server: true,
            client: true,
        };
        self.handles.push(self.swarm.join(self.topic, both));
    }

    /// Leaves, and is a client alone. Connections stay.
    async fn withdraw(&mut self) {
        for handle in self.handles.drain(..) {
            let _ = tokio::time::timeout(LEAVING, handle.leave()).await;
        }
        let client = JoinOptions {
            server: false,
            client: true,
        };
        self.handles.push(self.swarm.join(self.topic, client));
    }
}

impl Inner {
    /// Announces and serves while there is something to serve and nothing hinders it, until told to stop.
    pub(super) async fn give_back(self: Arc<Self>, mut part: Part) {
        let giving = &self.giving;
        let (mut has_some, mut metered) = (giving.has_some.subscribe(), giving.metered.subscribe());
        loop {
            let on_battery = tokio::task::spawn_blocking(giving.on_battery)
                .await
                .ok()
                .flatten();
            let hindrance = hindrance(on_battery, *metered.borrow_and_update());
            part.uplink.set_open(hindrance.is_none());
            let wanted = *has_some.borrow_and_update() && hindrance.is_none();
            if wanted != giving.is_announced() {
                if wanted {
                    tracing::info!("gives its release to others from now on");
                    part.announce();
                } else {
                    tracing::info!(because = hindrance, "gives its release to nobody for now");
                    part.withdraw().await;
                }
                giving.announced.send_replace(wanted);
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = has_some.changed() => {}
                _ = metered.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_battery_or_a_metered_connection_hinders_and_what_is_not_known_does_not() {
        for (on_battery, metered, hinders) in [
            (None, None, false),
            (Some(false), Some(false), false),
            (Some(true), None, true),
            (Some(true), Some(false), true),
            (None, Some(true), true),
            (Some(false), Some(true), true),
        ] {
            assert_eq!(hindrance(on_battery, metered).is_some(), hinders);
        }
    }
}
