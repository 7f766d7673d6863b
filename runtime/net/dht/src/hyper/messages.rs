//! Bodies of HyperDHT requests and replies (npm hyperdht lib/messages.js).

use std::net::SocketAddrV4;

use base::PublicKey;
use base::wire::{DecodeError, Reader, Writer};

use crate::wire::{ReadAddress, WriteAddress};

/// Who passes a handshake or hole punching message on to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From the client to a relay, or straight to the server.
    FromClient,
    /// From the server back to the relay.
    FromServer,
    /// From the client's relay to the server or to the server's relay.
    FromRelay,
    /// From the server's relay to the server.
    FromSecondRelay,
    /// The answer to the client.
    Reply,
}

impl Mode {
    fn from_wire(n: u64) -> Result<Self, DecodeError> {
        [
            Self::FromClient,
            Self::FromServer,
            Self::FromRelay,
            Self::FromSecondRelay,
            Self::Reply,
        ]
        .into_iter()
        .find(|m| *m as u64 == n)
        .ok_or(DecodeError)
    }
}

/// Body of PEER_HANDSHAKE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Where it is on its way.
    pub mode: Mode,
    /// Noise message.
    pub noise: Vec<u8>,
    /// The other end as the relay sees it.
    pub peer_address: Option<SocketAddrV4>,
    /// The relay to answer through or to use.
    pub relay_address: Option<SocketAddrV4>,
}

impl Handshake {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let flags = u64::from(self.peer_address.is_some()) | u64::from(self.relay_address.is_some()) << 1;
        w.uint(flags).uint(self.mode as u64).buffer(&self.noise);
        for address in [self.peer_address, self.relay_address].into_iter().flatten() {
            w.address(address);
        }
        w.finish()
    }

    /// Parses the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let flags = r.uint()?;
        Ok(Self {
            mode: Mode::from_wire(r.uint()?)?,
            noise: r.buffer()?.to_vec(),
            peer_address: if flags & 1 != 0 { Some(r.address()?) } else { None },
            relay_address: if flags & 2 != 0 { Some(r.address()?) } else { None },
        })
    }
}

/// Body of PEER_HOLEPUNCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holepunch {
    /// Where it is on its way.
    pub mode: Mode,
    /// Names the handshake on the server.
    pub id: u64,
    /// Sealed [`super::secure_payload::HolepunchPayload`].
    pub payload: Vec<u8>,
    /// The other end as the relay sees it.
    pub peer_address: Option<SocketAddrV4>,
}

impl Holepunch {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.uint(u64::from(self.peer_address.is_some()));
        w.uint(self.mode as u64).uint(self.id).buffer(&self.payload);
        if let Some(address) = self.peer_address {
            w.address(address);
        }
        w.finish()
    }

    /// Parses the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let flags = r.uint()?;
        Ok(Self {
            mode: Mode::from_wire(r.uint()?)?,
            id: r.uint()?,
            payload: r.buffer()?.to_vec(),
            peer_address: if flags & 1 != 0 { Some(r.address()?) } else { None },
        })
    }
}

/// A peer and the nodes that relay for it: a record on the DHT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its public key.
    pub public_key: PublicKey,
    /// Relays, usually up to three.
    pub relay_addresses: Vec<SocketAddrV4>,
}

impl Peer {
    const MIN_SIZE: usize = 33;

    fn write(&self, w: &mut Writer) {
        w.raw(&self.public_key.0).addresses(&self.relay_addresses);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            public_key: PublicKey(r.fixed()?),
            relay_addresses: r.addresses()?,
        })
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    /// Parses the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(&mut Reader::new(bytes))
    }
}

/// Reply to LOOKUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupReply {
    /// Who announced.
    pub peers: Vec<Peer>,
    /// Milliseconds since 1970 when somebody asked everybody to look again; 0 = never.
    pub bump: u64,
}

impl LookupReply {
    /// The bytes, from records already encoded.
    pub fn encode_raw(records: &[&[u8]], bump: u64) -> Vec<u8> {
        let mut w = Writer::new();
        w.list(records, |w, record| w.raw(record)).uint(bump);
        w.finish()
    }

    /// Parses the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let peers = r.list(Peer::MIN_SIZE, Peer::read)?;
        let bump = if !r.is_empty() { r.uint()? } else { 0 };
        Ok(Self { peers, bump })
    }
}

/// Body of ANNOUNCE and UNANNOUNCE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// Who.
    pub peer: Option<Peer>,
    /// Secret or its hash, to prolong the record later without a signature.
    pub refresh: Option<[u8; 32]>,
    /// Signature by the peer's key, see [`super::sign`].
    pub signature: Option<[u8; 64]>,
    /// See [`LookupReply::bump`].
    pub bump: u64,
}

impl Announce {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let flags = u64::from(self.peer.is_some())
            | u64::from(self.refresh.is_some()) << 1
            | u64::from(self.signature.is_some()) << 2
            | u64::from(self.bump != 0) << 3;
        w.uint(flags);
        if let Some(peer) = &self.peer {
            peer.write(&mut w);
        }
        if let Some(refresh) = &self.refresh {
            w.raw(refresh);
        }
        if let Some(signature) = &self.signature {
            w.raw(signature);
        }
        if self.bump != 0 {
            w.uint(self.bump);
        }
        w.finish()
    }

    /// Parses the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let flags = r.uint()?;
        Ok(Self {
            peer: if flags & 1 != 0 {
                Some(Peer::read(&mut r)?)
            } else {
                None
            },
            refresh: if flags & 2 != 0 { Some(r.fixed()?) } else { None },
            signature: if flags & 4 != 0 { Some(r.fixed()?) } else { None },
            bump: if flags & 8 != 0 { r.uint()? } else { 0 },
        })
    }
}

/// Body of MUTABLE_PUT; without the key, the reply to MUTABLE_GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutable {
    /// Grows with each new value.
    pub seq: u64,
    /// The value.
    pub value: Vec<u8>,
    /// Signature by the owner.
    pub signature: [u8; 64],
}

impl Mutable {
    /// Parses a MUTABLE_PUT: the owner's public key and the value.
    pub fn decode_put(bytes: &[u8]) -> Result<(PublicKey, Self), DecodeError> {
        let mut r = Reader::new(bytes);
        let public_key = PublicKey(r.fixed()?);
        Ok((public_key, Self::read(&mut r)?))
    }

    /// Parses the reply to MUTABLE_GET.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(&mut Reader::new(bytes))
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            seq: r.uint()?,
            value: r.buffer()?.to_vec(),
            signature: r.fixed()?,
        })
    }

    /// The reply to MUTABLE_GET.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.uint(self.seq).buffer(&self.value).raw(&self.signature);
        w.finish()
    }

    /// A MUTABLE_PUT.
    pub fn encode_put(&self, public_key: &PublicKey) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&public_key.0).raw(&self.encode());
        w.finish()
    }

    /// What the signature covers, before hashing.
    pub(crate) fn signed_part(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.uint(self.seq).buffer(&self.value);
        w.finish()
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

    fn peer() -> impl Strategy<Value = Peer> {
        (any::<[u8; 32]>(), vec(address(), 0..5)).prop_map(|(public_key, relay_addresses)| Peer {
            public_key: PublicKey(public_key),
            relay_addresses,
        })
    }

    fn signature() -> impl Strategy<Value = [u8; 64]> {
        any::<[[u8; 32]; 2]>().prop_map(|halves| std::array::from_fn(|i| halves[i / 32][i % 32]))
    }

    proptest! {
        #[test]
        fn handshakes_round_trip(mode in 0u64..5, noise: Vec<u8>, a in option::of(address()), b in option::of(address())) {
            let mode = Mode::from_wire(mode).unwrap();
            let m = Handshake { mode, noise, peer_address: a, relay_address: b };
            prop_assert_eq!(Handshake::decode(&m.encode()), Ok(m));
        }

        #[test]
        fn holepunches_round_trip(mode in 0u64..5, id in uint(), payload: Vec<u8>, a in option::of(address())) {
            let mode = Mode::from_wire(mode).unwrap();
            let m = Holepunch { mode, id, payload, peer_address: a };
            prop_assert_eq!(Holepunch::decode(&m.encode()), Ok(m));
        }

        #[test]
        fn announces_round_trip(
            peer in option::of(peer()), refresh: Option<[u8; 32]>, signature in option::of(signature()), bump in uint(),
        ) {
            let m = Announce { peer, refresh, signature, bump };
            prop_assert_eq!(Announce::decode(&m.encode()), Ok(m));
        }

        #[test]
        fn lookups_round_trip(peers in vec(peer(), 0..20), bump in uint()) {
            let records: Vec<Vec<u8>> = peers.iter().map(Peer::encode).collect();
            let raw: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            let bytes = LookupReply::encode_raw(&raw, bump);
            prop_assert_eq!(LookupReply::decode(&bytes), Ok(LookupReply { peers, bump }));
        }

        #[test]
        fn mutables_round_trip(key: [u8; 32], seq in uint(), value: Vec<u8>, signature in signature()) {
            let (key, m) = (PublicKey(key), Mutable { seq, value, signature });
            prop_assert_eq!(Mutable::decode(&m.encode()), Ok(m.clone()));
            prop_assert_eq!(Mutable::decode_put(&m.encode_put(&key)), Ok((key, m)));
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = Handshake::decode(&bytes);
            let _ = Holepunch::decode(&bytes);
            let _ = Announce::decode(&bytes);
            let _ = LookupReply::decode(&bytes);
            let _ = Mutable::decode_put(&bytes);
        }
    }
}
