//! The blocks of a bee in bytes: protocol buffers, as in npm `hyperbee` `lib/messages.js`.
//!
//! | message | fields |
//! | --- | --- |
//! | header (block 0) | 1 protocol text, 2 metadata { 1 content feed, 2 user data } |
//! | node (every other block) | 1 index, 2 key, 3 value (absent for a deletion) |
//! | index | 1 level, repeated { 1 packed block numbers of keys, 2 packed (block number, level) pairs of children } |
//!
//! Not `prost`: numbers are counted here before they take memory, and what is absent and what is empty must stay apart, byte for byte.

use bytes::Bytes;

use crate::error::DecodeError;

/// Levels in one block at most. A write changes one node per level of the tree and their siblings: a few dozen.
const MAX_LEVELS: usize = 4096;
/// Keys or child numbers in one level at most. A tree node has at most 9 keys and 10 children.
const MAX_LEVEL_NUMBERS: usize = 4096;

const BYTES_1: u8 = 0x0a;
const BYTES_2: u8 = 0x12;
const BYTES_3: u8 = 0x1a;

/// Extra fields of the header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Key of a companion core; drives made by old tools name their blobs core here.
    pub content_feed: Option<Bytes>,
    /// Free for applications.
    pub user_data: Option<Bytes>,
}

/// Block 0 of a bee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Always `hyperbee`.
    pub protocol: String,
    /// Extra fields; drives write them, even when empty.
    pub metadata: Option<Metadata>,
}

/// A pointer to a tree node: the level `offset` of the index of block `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Child {
    /// Block that holds the node.
    pub seq: u64,
    /// Which level of that block's index.
    pub offset: u64,
}

/// One tree node: the blocks that hold its keys, and its children (none for a leaf).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// Block numbers of the keys, in key order.
    pub keys: Vec<u64>,
    /// The subtrees between them.
    pub children: Vec<Child>,
}

/// A block of a bee after the header: one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The key written or deleted.
    pub key: Bytes,
    /// The value, `None` for a deletion.
    pub value: Option<Bytes>,
    /// The tree nodes that this write changed, the root first.
    pub index: Vec<Level>,
}

impl Header {
    /// A header of protocol `hyperbee`, with metadata as drives have it, or without.
    pub fn new(metadata: Option<Metadata>) -> Self {
        Self {
            protocol: "hyperbee".into(),
            metadata,
        }
    }

    /// The header that drives write: protocol `hyperbee` and the given metadata.
    pub fn hyperbee(metadata: Metadata) -> Self {
        Self::new(Some(metadata))
    }

    /// Block 0.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        put_bytes(&mut out, BYTES_1, self.protocol.as_bytes());
        if let Some(metadata) = &self.metadata {
            let mut inner = Vec::new();
            if let Some(feed) = &metadata.content_feed {
                put_bytes(&mut inner, BYTES_1, feed);
            }
            if let Some(data) = &metadata.user_data {
                put_bytes(&mut inner, BYTES_2, data);
            }
            put_bytes(&mut out, BYTES_2, &inner);
        }
        out.into()
    }

    /// Reads block 0. Unknown fields are skipped.
    pub fn decode(block: &Bytes) -> Result<Self, DecodeError> {
        let (mut protocol, mut metadata) = (None, None);
        let mut fields = Fields::new(block.clone());
        while let Some((tag, value)) = fields.next_bytes()? {
            match tag {
                1 => protocol = Some(String::from_utf8(value.to_vec()).map_err(|_| DecodeError::Text)?),
                2 => {
                    let mut found = Metadata::default();
                    let mut inner = Fields::new(value);
                    while let Some((tag, value)) = inner.next_bytes()? {
                        match tag {
                            1 => found.content_feed = Some(value),
                            2 => found.user_data = Some(value),
                            _ => {}
                        }
                    }
                    metadata = Some(found);
                }
                _ => {}
            }
        }
        Ok(Self {
            protocol: protocol.ok_or(DecodeError::Missing("protocol"))?,
            metadata,
        })
    }
}

impl Node {
    /// The block.
    pub fn encode(&self) -> Bytes {
        let index = encode_index(&self.index);
        let mut out = Vec::with_capacity(
            index.len() + self.key.len() + self.value.as_ref().map_or(0, Bytes::len) + 3 * 6,
        );
        put_bytes(&mut out, BYTES_1, &index);
        put_bytes(&mut out, BYTES_2, &self.key);
        if let Some(value) = &self.value {
            put_bytes(&mut out, BYTES_3, value);
        }
        out.into()
    }

    /// Reads a block. Unknown fields are skipped; key and value share the block's memory.
    pub fn decode(block: &Bytes) -> Result<Self, DecodeError> {
        let (mut index, mut key, mut value) = (None, None, None);
        let mut fields = Fields::new(block.clone());
        while let Some((tag, bytes)) = fields.next_bytes()? {
            match tag {
                1 => index = Some(bytes),
                2 => key = Some(bytes),
                3 => value = Some(bytes),
                _ => {}
            }
        }
        let index = index.ok_or(DecodeError::Missing("index"))?;
        Ok(Self {
            key: key.ok_or(DecodeError::Missing("key"))?,
            value,
            index: decode_index(index)?,
        })
    }

    /// True when this write took its key out of the tree.
    pub fn is_deletion(&self, seq: u64) -> bool {
        self.value.is_none() && !self.index.iter().any(|level| level.keys.contains(&seq))
    }
}

fn encode_index(levels: &[Level]) -> Vec<u8> {
    let (mut out, mut level_bytes, mut packed) = (Vec::new(), Vec::new(), Vec::new());
    for level in levels {
        level_bytes.clear();
        packed.clear();
        level.keys.iter().for_each(|&seq| put_varint(&mut packed, seq));
        if !packed.is_empty() {
            put_bytes(&mut level_bytes, BYTES_1, &packed);
        }
        packed.clear();
        for child in &level.children {
            put_varint(&mut packed, child.seq);
            put_varint(&mut packed, child.offset);
        }
        if !packed.is_empty() {
            put_bytes(&mut level_bytes, BYTES_2, &packed);
        }
        put_bytes(&mut out, BYTES_1, &level_bytes);
    }
    out
}

fn decode_index(index: Bytes) -> Result<Vec<Level>, DecodeError> {
    let mut levels = Vec::new();
    let mut fields = Fields::new(index);
    while let Some((tag, bytes)) = fields.next_bytes()? {
        if tag != 1 {
            continue;
        }
        if levels.len() == MAX_LEVELS {
            return Err(DecodeError::TooMany("levels"));
        }
        let mut level = Level::default();
        let mut numbers = Vec::new();
        let mut inner = Fields::new(bytes);
        while let Some((tag, packed)) = inner.next_bytes()? {
            match tag {
                1 => decode_packed(packed, &mut level.keys)?,
                2 => decode_packed(packed, &mut numbers)?,
                _ => {}
            }
        }
        let pairs = numbers.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(DecodeError::Truncated);
        }
        level.children = pairs
            .filter_map(|pair| match pair {
                &[seq, offset] => Some(Child { seq, offset }),
                _ => None,
            })
            .collect();
        levels.push(level);
    }
    Ok(levels)
}

fn decode_packed(bytes: Bytes, into: &mut Vec<u64>) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while !fields.rest.is_empty() {
        if into.len() == MAX_LEVEL_NUMBERS {
            return Err(DecodeError::TooMany("block numbers"));
        }
        into.push(fields.varint()?);
    }
    Ok(())
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A reader of protocol buffer fields.
struct Fields {
    rest: Bytes,
}

impl Fields {
    fn new(rest: Bytes) -> Self {
        Self { rest }
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let &byte = self.rest.first().ok_or(DecodeError::Truncated)?;
            let _ = self.rest.split_to(1);
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Varint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    fn take(&mut self, length: u64) -> Result<Bytes, DecodeError> {
        match usize::try_from(length) {
            Ok(length) if length <= self.rest.len() => Ok(self.rest.split_to(length)),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// The next field with bytes, with its number; fields of other types are skipped.
    fn next_bytes(&mut self) -> Result<Option<(u64, Bytes)>, DecodeError> {
        while !self.rest.is_empty() {
            let prefix = self.varint()?;
            match prefix & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => {
                    let length = self.varint()?;
                    return Ok(Some((prefix >> 3, self.take(length)?)));
                }
                5 => drop(self.take(4)?),
                _ => return Err(DecodeError::WireType),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn header_of_a_drive_is_the_javascript_one() {
        let header = Header::hyperbee(Metadata::default());
        assert_eq!(hex::encode(header.encode()), "0a0868797065726265651200");
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        assert_eq!(hex::encode(Header::new(None).encode()), "0a086879706572626565");
    }

    fn level() -> impl Strategy<Value = Level> {
        let child = (any::<u64>(), 0u64..9).prop_map(|(seq, offset)| Child { seq, offset });
        (
            proptest::collection::vec(any::<u64>(), 0..9),
            proptest::collection::vec(child, 0..10),
        )
            .prop_map(|(keys, children)| Level { keys, children })
    }

    fn bytes() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn nodes_survive_the_round_trip(key in bytes(), value in proptest::option::of(bytes()),
            index in proptest::collection::vec(level(), 0..6)) {
            let node = Node { key, value, index };
            prop_assert_eq!(Node::decode(&node.encode()), Ok(node));
        }

        #[test]
        fn headers_survive_the_round_trip(feed in proptest::option::of(bytes()), data in proptest::option::of(bytes())) {
            let header = Header::hyperbee(Metadata { content_feed: feed, user_data: data });
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn garbage_never_panics(block in bytes()) {
            let _ = Node::decode(&block);
            let _ = Header::decode(&block);
        }

        #[test]
        fn damaged_nodes_never_panic(key in bytes(), index in proptest::collection::vec(level(), 0..6),
            at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut block = Node { key, value: None, index }.encode().to_vec();
            let at = at.index(block.len());
            block[at] = byte;
            let _ = Node::decode(&block.into());
        }
    }
}
