//! The wire format of UDX packets: a 20-byte header, then selective acknowledgements or data.
//! Source: libudx, `udx_write_header` and `process_packet` in src/udx.c.

/// Length of the header.
pub(crate) const HEADER: usize = 20;
const MAGIC: u8 = 0xff;
const VERSION: u8 = 1;

pub(crate) const DATA: u8 = 1;
pub(crate) const END: u8 = 2;
pub(crate) const SACK: u8 = 4;
pub(crate) const DESTROY: u8 = 16;
pub(crate) const HEARTBEAT: u8 = 32;

/// The most selective acknowledgement blocks one packet carries, here and in libudx; what is beyond is not read.
pub(crate) const MAX_SACKS: usize = 50;

/// A packet's header. All numbers are little-endian on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Flags: what the packet is and carries.
    pub(crate) kind: u8,
    /// Padding between the header and the data (path MTU probes), or the length of the SACK blocks before data.
    pub(crate) data_offset: u8,
    /// The receiver's id of the stream.
    pub(crate) stream_id: u32,
    /// How many bytes the sender of the packet is ready to receive.
    pub(crate) window: u32,
    /// Number of the packet; without DATA or END, the number the next one will have.
    pub(crate) seq: u32,
    /// The number the sender of the packet expects next.
    pub(crate) ack: u32,
}

impl Header {
    /// Splits a datagram into header and rest; `None` if it is not a UDX packet.
    pub(crate) fn decode(datagram: &[u8]) -> Option<(Header, &[u8])> {
        let (head, rest) = datagram.split_first_chunk::<HEADER>()?;
        let [MAGIC, VERSION, kind, data_offset, words @ ..] = head else {
            return None;
        };
        let mut numbers = words
            .chunks_exact(4)
            .map(|word| word.iter().rev().fold(0, |n, b| (n << 8) | u32::from(*b)));
        let mut number = || numbers.next();
        let header = Header {
            kind: *kind,
            data_offset: *data_offset,
            stream_id: number()?,
            window: number()?,
            seq: number()?,
            ack: number()?,
        };
        Some((header, rest))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[MAGIC, VERSION, self.kind, self.data_offset]);
        for number in [self.stream_id, self.window, self.seq, self.ack] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// The selectively acknowledged ranges, each from its first number to just after its last; no more than a packet
    /// of an honest peer carries.
    pub(crate) fn sacks<'a>(&self, rest: &'a [u8]) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let offset = usize::from(self.data_offset);
        let length = match self.kind & SACK {
            0 => 0,
            _ if offset > 0 && offset < rest.len() => offset,
            _ => rest.len(),
        };
        rest.get(..length)
            .unwrap_or_default()
            .chunks_exact(8)
            .take(MAX_SACKS)
            .map(|block| {
                let number = |part: &[u8]| part.iter().rev().fold(0, |n, b| (n << 8) | u32::from(*b));
                let (start, end) = block.split_at(4);
                (number(start), number(end))
            })
    }

    /// The data after any padding; `None` if the header points past the packet's end.
    pub(crate) fn payload<'a>(&self, rest: &'a [u8]) -> Option<&'a [u8]> {
        rest.get(usize::from(self.data_offset)..)
    }
}

/// The 64-bit number nearest to `near` whose low 32 bits are `wire`.
pub(crate) fn expand(wire: u32, near: u64) -> u64 {
    let delta = wire.wrapping_sub(near as u32) as i32;
    near.wrapping_add_signed(i64::from(delta))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_is_libudxs() {
        let header = Header {
            kind: DATA | END,
            data_offset: 3,
            stream_id: 0x0102_0304,
            window: 5,
            seq: 6,
            ack: 0x0700,
        };
        let mut wire = Vec::new();
        header.encode(&mut wire);
        assert_eq!(
            wire,
            [255, 1, 3, 3, 4, 3, 2, 1, 5, 0, 0, 0, 6, 0, 0, 0, 0, 7, 0, 0]
        );
        assert_eq!(Header::decode(&wire), Some((header, &[][..])));
        wire[1] = 2;
        assert_eq!(Header::decode(&wire), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(garbage in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some((header, rest)) = Header::decode(&garbage) {
                let _ = header.sacks(rest).count();
                let _ = header.payload(rest);
            }
        }

        #[test]
        fn round_trips(kind: u8, data_offset: u8, stream_id: u32, window: u32, seq: u32, ack: u32) {
            let header = Header { kind, data_offset, stream_id, window, seq, ack };
            let mut wire = Vec::new();
            header.encode(&mut wire);
            prop_assert_eq!(Header::decode(&wire).unwrap().0, header);
        }

        #[test]
        fn numbers_expand_to_the_nearest(near in (1u64 << 32)..(1u64 << 40), delta in -1_000_000i64..1_000_000) {
            let number = near.wrapping_add_signed(delta);
            prop_assert_eq!(expand(number as u32, near), number);
        }
    }
}
