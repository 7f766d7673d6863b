//! What client and server tell each other inside the Noise handshake (npm hyperdht lib/messages.js, noisePayload).

use std::net::{Ipv6Addr, SocketAddrV4, SocketAddrV6};

use base::PublicKey;
use base::wire::{DecodeError, Reader, Writer};

use super::Firewall;
use crate::wire::{ReadAddress, WriteAddress};

/// Version of the payload that we speak.
pub const VERSION: u64 = 1;

/// Nodes through which hole punching can be arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayInfo {
    /// The relay.
    pub relay_address: SocketAddrV4,
    /// The server as that relay sees it.
    pub peer_address: SocketAddrV4,
}

/// The server's offer to punch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolepunchInfo {
    /// Names the handshake on the server.
    pub id: u64,
    /// Where to send PEER_HOLEPUNCH.
    pub relays: Vec<RelayInfo>,
}

/// The UDX stream to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdxInfo {
    /// Whether the socket may be used for later connections.
    pub reusable_socket: bool,
    /// Stream id at the sender of this payload.
    pub id: u64,
    /// First sequence number.
    pub seq: u64,
}

/// A relay that both sides can meet at when nothing else works (npm blind-relay).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayThrough {
    /// The relay's public key.
    pub public_key: PublicKey,
    /// Names the pair of connections.
    pub token: [u8; 32],
}

/// Payload of both Noise messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoisePayload {
    /// [`VERSION`]; with another one, nothing else is read.
    pub version: u64,
    /// 0 = fine, else why the sender gives up.
    pub error: u64,
    /// The sender's firewall.
    pub firewall: Firewall,
    /// The offer to punch, by servers that are not open.
    pub holepunch: Option<HolepunchInfo>,
    /// Where the sender may be reached directly.
    pub addresses4: Vec<SocketAddrV4>,
    /// The same for IPv6 (never used on the DHT so far).
    pub addresses6: Vec<SocketAddrV6>,
    /// The stream to connect to.
    pub udx: Option<UdxInfo>,
    /// Version of the secret stream, if spoken.
    pub secret_stream: Option<u64>,
    /// The blind relay to use.
    pub relay_through: Option<RelayThrough>,
    /// The server's relays, for later connections.
    pub relay_addresses: Option<Vec<SocketAddrV4>>,
}

impl NoisePayload {
    /// The bytes. The version is always ours.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let flags = u64::from(self.holepunch.is_some())
            | u64::from(!self.addresses4.is_empty()) << 1
            | u64::from(!self.addresses6.is_empty()) << 2
            | u64::from(self.udx.is_some()) << 3
            | u64::from(self.secret_stream.is_some()) << 4
            | u64::from(self.relay_through.is_some()) << 5
            | u64::from(self.relay_addresses.is_some()) << 6;
        w.uint(VERSION)
            .uint(flags)
            .uint(self.error)
            .uint(self.firewall.to_wire());
        if let Some(holepunch) = &self.holepunch {
            w.uint(holepunch.id).list(&holepunch.relays, |w, relay| {
                w.address(relay.relay_address).address(relay.peer_address)
            });
        }
        if !self.addresses4.is_empty() {
            w.addresses(&self.addresses4);
        }
        if !self.addresses6.is_empty() {
            w.list(&self.addresses6, |w, address| {
                w.raw(&address.ip().octets()).u16(address.port())
            });
        }
        if let Some(udx) = &self.udx {
            w.uint(1)
                .uint(u64::from(udx.reusable_socket))
                .uint(udx.id)
                .uint(udx.seq);
        }
        if self.secret_stream.is_some() {
            w.uint(1);
        }
        if let Some(relay) = &self.relay_through {
            w.uint(1).uint(0).raw(&relay.public_key.0).raw(&relay.token);
        }
        if let Some(addresses) = &self.relay_addresses {
            w.addresses(addresses);
        }
        w.finish()
    }

    /// Parses the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.uint()?;
        if version != VERSION {
            return Ok(Self {
                version,
                ..Self::default()
            });
        }
        let flags = r.uint()?;
        let has = |bit: u64| flags & (1 << bit) != 0;
        let error = r.uint()?;
        let firewall = Firewall::from_wire(r.uint()?);
        let mut payload = Self {
            version,
            error,
            firewall,
            ..Self::default()
        };
        if has(0) {
            let id = r.uint()?;
            let relays = r.list(12, |r| {
                Ok(RelayInfo {
                    relay_address: r.address()?,
                    peer_address: r.address()?,
                })
            })?;
            payload.holepunch = Some(HolepunchInfo { id, relays });
        }
        if has(1) {
            payload.addresses4 = r.addresses()?;
        }
        if has(2) {
            payload.addresses6 = r.list(18, |r| {
                let ip: [u8; 16] = r.fixed()?;
                Ok(SocketAddrV6::new(Ipv6Addr::from(ip), r.u16()?, 0, 0))
            })?;
        }
        if has(3) {
            let _version = r.uint()?;
            let features = r.uint()?;
            payload.udx = Some(UdxInfo {
                reusable_socket: features & 1 != 0,
                id: r.uint()?,
                seq: r.uint()?,
            });
        }
        if has(4) {
            payload.secret_stream = Some(r.uint()?);
        }
        if has(5) {
            let _version = r.uint()?;
            let _flags = r.uint()?;
            payload.relay_through = Some(RelayThrough {
                public_key: PublicKey(r.fixed()?),
                token: r.fixed()?,
            });
        }
        if has(6) {
            payload.relay_addresses = Some(r.addresses()?);
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn address() -> impl Strategy<Value = SocketAddrV4> {
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddrV4::new(Ipv4Addr::from(ip), port))
    }

    /// What a JavaScript number holds.
    fn uint() -> impl Strategy<Value = u64> {
        0u64..=1 << 53
    }

    prop_compose! {
        fn payload()(
            error in uint(), firewall in 0u64..4,
            holepunch in option::of((uint(), vec((address(), address()), 0..4))),
            addresses4 in vec(address(), 0..4), six in vec(any::<([u8; 16], u16)>(), 0..3),
            udx in option::of((any::<bool>(), uint(), uint())),
            secret_stream in option::of(Just(1)), relay in option::of(any::<([u8; 32], [u8; 32])>()),
            relay_addresses in option::of(vec(address(), 0..4)),
        ) -> NoisePayload {
            NoisePayload {
                version: 1,
                error,
                firewall: Firewall::from_wire(firewall),
                holepunch: holepunch.map(|(id, relays)| HolepunchInfo {
                    id,
                    relays: relays
                        .into_iter()
                        .map(|(relay_address, peer_address)| RelayInfo { relay_address, peer_address })
                        .collect(),
                }),
                addresses4,
                addresses6: six.into_iter().map(|(ip, p)| SocketAddrV6::new(ip.into(), p, 0, 0)).collect(),
                udx: udx.map(|(reusable_socket, id, seq)| UdxInfo { reusable_socket, id, seq }),
                secret_stream,
                relay_through: relay.map(|(key, token)| RelayThrough { public_key: PublicKey(key), token }),
                relay_addresses,
            }
        }
    }

    proptest! {
        #[test]
        fn payloads_round_trip(m in payload()) {
            prop_assert_eq!(NoisePayload::decode(&m.encode()), Ok(m));
        }

        #[test]
        fn damaged_payloads_never_panic(m in payload(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = m.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = NoisePayload::decode(&bytes);
        }

        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>, ours: bool) {
            if let (Some(first), true) = (bytes.first_mut(), ours) { *first = 1; }
            let _ = NoisePayload::decode(&bytes);
        }
    }

    #[test]
    fn another_version_is_reported_not_parsed() {
        assert_eq!(
            NoisePayload::decode(&[2, 255]),
            Ok(NoisePayload {
                version: 2,
                ..Default::default()
            })
        );
    }
}
