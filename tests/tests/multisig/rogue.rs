//! A peer that serves a core under a head that no quorum signed. Our own programs refuse to open such a store, so the rogue speaks
//! the protocol itself: its blocks, nodes and manifest are right, and its signature is one signer's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use core_store::Core;
use core_store::replication::{CoreView, work};
use hypercore::Key;
use hypercore::manifest::Manifest;
use hypercore::messages::PROTOCOL;
use hypercore::replication::{Action, Done, Handshake, Peer, View};
use hyperswarm::{Connection, JoinOptions, Swarm, SwarmConfig};
use protomux::{Event, Mux};
use tokio::runtime::Runtime;

/// What is served: the blocks of `own`, as if they were those of `key`.
#[derive(Clone)]
pub(crate) struct Forgery {
    pub(crate) key: Key,
    pub(crate) own: Core,
    pub(crate) manifest: Manifest,
    pub(crate) signature: Vec<u8>,
}

/// A rogue that runs until it is dropped.
pub(crate) struct Rogue(Option<Runtime>);

impl Rogue {
    /// Announces the forged core and serves whoever comes.
    pub(crate) fn serve(bootstrap: &str, forgery: Forgery) -> Result<Self> {
        let runtime = Runtime::new()?;
        let config = SwarmConfig {
            bootstrap: Some(vec![bootstrap.to_owned()]),
            ..SwarmConfig::default()
        };
        let ready = async {
            let swarm = Swarm::new(config).await?;
            let both = JoinOptions {
                server: true,
                client: true,
            };
            let mut connections = swarm.connections();
            let announced = swarm.join(forgery.key.discovery_key().topic(), both);
            tokio::spawn(async move {
                while let Some(connection) = connections.recv().await {
                    tokio::spawn(lie(connection, forgery.clone()));
                }
                drop(swarm);
            });
            tokio::time::timeout(Duration::from_secs(20), announced.flushed()).await?;
            Ok::<_, anyhow::Error>(())
        };
        runtime
            .block_on(ready)
            .context("the rogue cannot announce itself")?;
        Ok(Self(Some(runtime)))
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn lie(mut connection: Connection, forgery: Forgery) -> Result<()> {
    let info = connection.info();
    let handshake = Handshake {
        is_initiator: info.is_initiator,
        hash: info.handshake_hash,
        remote_public_key: info.remote_public_key,
    };
    let own = &forgery.own;
    let mut peer = Peer::new(forgery.key, CoreView(own).head(), &handshake);
    let mut mux = Mux::new();
    let channel = mux.open(PROTOCOL, &forgery.key.discovery_key().0, &peer.handshake());
    loop {
        peer.poll(Instant::now(), 1 << 20, &mut CoreView(own));
        while let Some(action) = peer.poll_action() {
            match action {
                Action::Send(kind, bytes) => mux.send(channel, kind, &bytes),
                Action::Publish(_) => {}
                Action::Store(job) => {
                    let mut done = work(own, job, &mut usize::MAX.clone())?;
                    if let Done::Proved {
                        answer: Ok(Some(data)),
                        ..
                    } = &mut done
                    {
                        data.manifest = data.manifest.as_ref().map(|_| forgery.manifest.clone());
                        if let Some(upgrade) = &mut data.upgrade {
                            upgrade.signature.clone_from(&forgery.signature);
                        }
                    }
                    peer.handle_done(done, Instant::now(), &mut CoreView(own))?;
                }
            }
        }
        while let Some(frame) = mux.poll_outgoing() {
            connection.send(frame).await?;
        }
        let Ok(frame) = tokio::time::timeout(Duration::from_millis(100), connection.recv()).await else {
            continue;
        };
        mux.receive(&frame.context("the connection closed")?)?;
        while let Some(event) = mux.poll_event() {
            match event {
                Event::Requested { protocol, id } => mux.reject(&protocol, &id),
                Event::Opened { handshake, .. } => peer.handle_open(&handshake)?,
                Event::Message { kind, payload, .. } => {
                    peer.handle_message(kind, &payload, Instant::now(), &mut CoreView(own))?;
                }
                Event::Closed { .. } => return Ok(()),
            }
        }
    }
}
