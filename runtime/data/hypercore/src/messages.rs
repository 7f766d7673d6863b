//! The messages of `hypercore/alpha` as bytes (npm `hypercore` lib/messages.js, `wire`).

use base::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

use crate::manifest::Manifest;
use crate::merkle::{read_nodes, write_nodes};
use crate::proof::{
    Data, DataBlock, DataHash, DataSeek, DataUpgrade, Request, RequestBlock, RequestSeek, RequestUpgrade,
};

/// The protocol's name on a protomux connection; the channel id is the core's discovery key.
pub const PROTOCOL: &str = "hypercore/alpha";

/// Message types, in the order in which JavaScript registers them.
pub mod kind {
    /// [`Sync`](super::Sync).
    pub const SYNC: u64 = 0;
    /// A request.
    pub const REQUEST: u64 = 1;
    /// Withdraws a request.
    pub const CANCEL: u64 = 2;
    /// An answer.
    pub const DATA: u64 = 3;
    /// A request cannot be answered.
    pub const NO_DATA: u64 = 4;
    /// Asks what the peer holds of a range.
    pub const WANT: u64 = 5;
    /// Withdraws a want.
    pub const UNWANT: u64 = 6;
    /// Which blocks of a range are held, bit by bit.
    pub const BITFIELD: u64 = 7;
    /// A run of blocks is held, or no longer.
    pub const RANGE: u64 = 8;
    /// A message of an extension; we have none.
    pub const EXTENSION: u64 = 9;
}

/// Reason in a no-data message: the block is not stored.
pub(crate) const NOT_AVAILABLE: u64 = 1;
/// Reason in a no-data message: the request is nonsense.
pub const INVALID_REQUEST: u64 = 2;

/// A peer's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sync {
    /// Its fork.
    pub fork: u64,
    /// Its length in blocks.
    pub length: u64,
    /// The length it knows of us, if we are on its fork.
    pub remote_length: u64,
    /// It can prove an upgrade from our length to its own.
    pub can_upgrade: bool,
    /// It answers requests.
    pub uploading: bool,
    /// It will request.
    pub downloading: bool,
    /// It has the manifest.
    pub has_manifest: bool,
    /// It accepts blocks it did not ask for.
    pub allow_push: bool,
}

impl Sync {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let bits = [
            self.can_upgrade,
            self.uploading,
            self.downloading,
            self.has_manifest,
            self.allow_push,
        ];
        let mut w = Writer::new();
        w.u8(flags(&bits))
            .uint(self.fork)
            .uint(self.length)
            .uint(self.remote_length);
        w.finish()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.uint()?;
        Ok(Self {
            fork: reader.uint()?,
            length: reader.uint()?,
            remote_length: reader.uint()?,
            can_upgrade: flags & 1 != 0,
            uploading: flags & 2 != 0,
            downloading: flags & 4 != 0,
            has_manifest: flags & 8 != 0,
            allow_push: flags & 16 != 0,
        })
    }
}

/// A run of blocks that a peer has, or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// It no longer has them.
    pub drop: bool,
    /// First block.
    pub start: u64,
    /// Number of blocks.
    pub length: u64,
}

impl Range {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(flags(&[self.drop, self.length == 1])).uint(self.start);
        if self.length != 1 {
            w.uint(self.length);
        }
        w.finish()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.uint()?;
        let start = reader.uint()?;
        let length = if flags & 2 != 0 { 1 } else { reader.uint()? };
        Ok(Self {
            drop: flags & 1 != 0,
            start,
            length,
        })
    }
}

/// A range about which a peer wants to be told what we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// First block.
    pub start: u64,
    /// Number of blocks.
    pub length: u64,
    /// Any one block of it will do.
    pub any: bool,
}

impl Want {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.uint(self.start).uint(self.length);
        if self.any {
            w.uint(1);
        }
        w.finish()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (start, length) = (reader.uint()?, reader.uint()?);
        let any = !reader.is_empty() && reader.uint()? & 1 != 0;
        Ok(Self { start, length, any })
    }
}

/// Encodes a bitfield message: 32-bit words that cover the blocks from `start` on.
pub fn encode_bitfield(start: u64, words: &[u32]) -> Vec<u8> {
    let mut w = Writer::with_capacity(12 + 4 * words.len());
    w.uint(start).list(words, |w, word| w.u32(*word));
    w.finish()
}

/// Decodes a bitfield message.
pub fn decode_bitfield(bytes: &[u8]) -> Result<(u64, Vec<u32>), DecodeError> {
    let mut reader = Reader::new(bytes);
    Ok((reader.uint()?, reader.list(4, Reader::u32)?))
}

/// Encodes the handshake that opens a channel: flags (1: seeks) and the capability.
pub fn encode_handshake(capability: &[u8; 32]) -> Vec<u8> {
    [&[1][..], capability].concat()
}

/// The capability in a handshake.
pub fn decode_handshake(bytes: &[u8]) -> Result<[u8; 32], DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.uint()?;
    reader.fixed()
}

/// Encodes a single number (a cancel, or a no-data without reason).
pub fn encode_id(id: u64) -> Vec<u8> {
    let mut w = Writer::with_capacity(9);
    w.uint(id);
    w.finish()
}

/// Decodes a leading request id (of a cancel or a no-data).
pub fn decode_id(bytes: &[u8]) -> Result<u64, DecodeError> {
    Reader::new(bytes).uint()
}

/// Encodes a no-data message.
pub fn encode_no_data(id: u64, reason: u64) -> Vec<u8> {
    let mut w = Writer::new();
    w.uint(id).uint(u64::from(reason != 0));
    if reason != 0 {
        w.uint(reason);
    }
    w.finish()
}

fn flags(bits: &[bool]) -> u8 {
    bits.iter()
        .enumerate()
        .fold(0, |flags, (bit, set)| flags | (u8::from(*set) << bit))
}

/// Encodes a request.
pub fn encode_request(id: u64, request: &Request) -> Vec<u8> {
    let bits = [
        request.block.is_some(),
        request.hash.is_some(),
        request.seek.is_some(),
        request.upgrade.is_some(),
        request.manifest,
        request.priority != 0,
    ];
    let mut w = Writer::new();
    w.u8(flags(&bits)).uint(id).uint(request.fork);
    for block in [request.block, request.hash].into_iter().flatten() {
        w.uint(block.index).uint(block.nodes);
    }
    if let Some(seek) = request.seek {
        w.uint(seek.bytes).uint(seek.padding);
    }
    if let Some(upgrade) = request.upgrade {
        w.uint(upgrade.start).uint(upgrade.length);
    }
    if request.priority != 0 {
        w.uint(request.priority);
    }
    w.finish()
}

/// Decodes a request and its id.
pub fn decode_request(bytes: &[u8]) -> Result<(u64, Request), DecodeError> {
    let mut reader = Reader::new(bytes);
    let flags = reader.uint()?;
    let id = reader.uint()?;
    let mut request = Request {
        fork: reader.uint()?,
        manifest: flags & 16 != 0,
        ..Request::default()
    };
    if flags & 1 != 0 {
        request.block = Some(RequestBlock {
            index: reader.uint()?,
            nodes: reader.uint()?,
        });
    }
    if flags & 2 != 0 {
        request.hash = Some(RequestBlock {
            index: reader.uint()?,
            nodes: reader.uint()?,
        });
    }
    if flags & 4 != 0 {
        request.seek = Some(RequestSeek {
            bytes: reader.uint()?,
            padding: reader.uint()?,
        });
    }
    if flags & 8 != 0 {
        request.upgrade = Some(RequestUpgrade {
            start: reader.uint()?,
            length: reader.uint()?,
        });
    }
    if flags & 32 != 0 {
        request.priority = reader.uint()?;
    }
    Ok((id, request))
}

/// Encodes an answer to request `id`.
pub fn encode_data(id: u64, data: &Data) -> Vec<u8> {
    let bits = [
        data.block.is_some(),
        data.hash.is_some(),
        data.seek.is_some(),
        data.upgrade.is_some(),
        data.manifest.is_some(),
    ];
    let room = 256 + data.block.as_ref().map_or(0, |block| block.value.len());
    let mut w = Writer::with_capacity(room);
    w.u8(flags(&bits)).uint(id).uint(data.fork);
    if let Some(block) = &data.block {
        w.uint(block.index).buffer(&block.value);
        write_nodes(&mut w, &block.nodes);
    }
    if let Some(hash) = &data.hash {
        w.uint(hash.index);
        write_nodes(&mut w, &hash.nodes);
    }
    if let Some(seek) = &data.seek {
        w.uint(seek.bytes);
        write_nodes(&mut w, &seek.nodes);
    }
    if let Some(upgrade) = &data.upgrade {
        w.uint(upgrade.start).uint(upgrade.length);
        write_nodes(&mut w, &upgrade.nodes);
        write_nodes(&mut w, &upgrade.additional_nodes);
        w.buffer(&upgrade.signature);
    }
    if let Some(manifest) = &data.manifest {
        w.raw(&manifest.encode());
    }
    w.finish()
}

/// Decodes an answer and the id of its request. The block is a slice of `bytes`, not a copy.
pub fn decode_data(bytes: &Bytes) -> Result<(u64, Data), DecodeError> {
    let mut reader = Reader::new(bytes);
    let flags = reader.uint()?;
    let id = reader.uint()?;
    let mut data = Data {
        fork: reader.uint()?,
        ..Data::default()
    };
    if flags & 1 != 0 {
        let index = reader.uint()?;
        let value = bytes.slice_ref(reader.buffer()?);
        data.block = Some(DataBlock {
            index,
            value,
            nodes: read_nodes(&mut reader)?,
        });
    }
    if flags & 2 != 0 {
        data.hash = Some(DataHash {
            index: reader.uint()?,
            nodes: read_nodes(&mut reader)?,
        });
    }
    if flags & 4 != 0 {
        data.seek = Some(DataSeek {
            bytes: reader.uint()?,
            nodes: read_nodes(&mut reader)?,
        });
    }
    if flags & 8 != 0 {
        data.upgrade = Some(DataUpgrade {
            start: reader.uint()?,
            length: reader.uint()?,
            nodes: read_nodes(&mut reader)?,
            additional_nodes: read_nodes(&mut reader)?,
            signature: reader.buffer()?.to_vec(),
        });
    }
    if flags & 16 != 0 {
        data.manifest = Some(Manifest::read(&mut reader)?);
    }
    Ok((id, data))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::Node;

    const MAX: u64 = 1 << 50;

    fn nodes() -> impl Strategy<Value = Vec<Node>> {
        let node =
            (0..MAX, 0..MAX, any::<[u8; 32]>()).prop_map(|(index, size, hash)| Node { index, size, hash });
        proptest::collection::vec(node, 0..4)
    }

    prop_compose! {
        fn any_request()(
            fork in 0..MAX, block in proptest::option::of((0..MAX, 0..64u64)), hash in proptest::option::of((0..MAX, 0..64u64)),
            seek in proptest::option::of((0..MAX, 0..8u64)), upgrade in proptest::option::of((0..MAX, 0..MAX)),
            manifest: bool, priority in 0..4u64,
        ) -> Request {
            let block_of = |(index, nodes)| RequestBlock { index, nodes };
            Request {
                fork, block: block.map(block_of), hash: hash.map(block_of),
                seek: seek.map(|(bytes, padding)| RequestSeek { bytes, padding }),
                upgrade: upgrade.map(|(start, length)| RequestUpgrade { start, length }), manifest, priority,
            }
        }
    }

    prop_compose! {
        fn any_data()(
            fork in 0..MAX, block in proptest::option::of((0..MAX, any::<Vec<u8>>(), nodes())),
            hash in proptest::option::of((0..MAX, nodes())), seek in proptest::option::of((0..MAX, nodes())),
            upgrade in proptest::option::of((0..MAX, 0..MAX, nodes(), nodes(), any::<Vec<u8>>())), manifest: bool,
        ) -> Data {
            Data {
                fork, block: block.map(|(index, value, nodes)| DataBlock { index, value: value.into(), nodes }),
                hash: hash.map(|(index, nodes)| DataHash { index, nodes }),
                seek: seek.map(|(bytes, nodes)| DataSeek { bytes, nodes }),
                upgrade: upgrade.map(|(start, length, nodes, additional_nodes, signature)| {
                    DataUpgrade { start, length, nodes, additional_nodes, signature }
                }),
                manifest: manifest.then(|| Manifest::single(crate::PublicKey([7; 32]))),
            }
        }
    }

    proptest! {
        #[test]
        fn requests_round_trip(id in 0..MAX, request in any_request()) {
            prop_assert_eq!(decode_request(&encode_request(id, &request)), Ok((id, request)));
        }

        #[test]
        fn data_round_trips(id in 0..MAX, data in any_data()) {
            prop_assert_eq!(decode_data(&encode_data(id, &data).into()), Ok((id, data)));
        }

        #[test]
        fn small_messages_round_trip(a in 0..MAX, b in 0..MAX, bits: [bool; 5], words: Vec<u32>) {
            let [can_upgrade, uploading, downloading, has_manifest, allow_push] = bits;
            let sync = Sync { fork: a, length: b, remote_length: a ^ b, can_upgrade, uploading, downloading, has_manifest, allow_push };
            prop_assert_eq!(Sync::decode(&sync.encode()), Ok(sync));
            let range = Range { drop: can_upgrade, start: a, length: if uploading { 1 } else { b } };
            prop_assert_eq!(Range::decode(&range.encode()), Ok(range));
            let want = Want { start: a, length: b, any: uploading };
            prop_assert_eq!(Want::decode(&want.encode()), Ok(want));
            prop_assert_eq!(decode_bitfield(&encode_bitfield(a, &words)), Ok((a, words)));
            prop_assert_eq!(decode_id(&encode_no_data(a, b)), Ok(a));
        }

        #[test]
        fn damaged_messages_that_decode_still_round_trip(request in any_request(), data in any_data(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = encode_request(7, &request);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok((id, request)) = decode_request(&bytes) {
                prop_assert_eq!(decode_request(&encode_request(id, &request)), Ok((id, request)));
            }
            let mut bytes = encode_data(7, &data);
            let at = usize::from(byte) % bytes.len();
            bytes[at] = byte.wrapping_mul(7);
            if let Ok((id, data)) = decode_data(&bytes.into()) {
                prop_assert_eq!(decode_data(&encode_data(id, &data).into()), Ok((id, data)));
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            let _ = (decode_request(&bytes), decode_data(&bytes), decode_bitfield(&bytes), decode_handshake(&bytes));
            let _ = (Sync::decode(&bytes), Range::decode(&bytes), Want::decode(&bytes), decode_id(&bytes));
        }
    }
}
