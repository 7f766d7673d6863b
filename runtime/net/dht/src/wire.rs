//! Bounded reading and writing of compact-encoding fields (npm compact-encoding): what every DHT message is made of.

use std::net::{Ipv4Addr, SocketAddrV4};

use compact_encoding::{decode_usize, encode_var_u64, encoded_size_var_u64};

/// A message is malformed: too short, too long or out of range. The sender is at fault; the message is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed DHT message")]
pub struct Malformed;

/// Reads fields from the front of a datagram; never reads beyond it and never allocates more than it holds.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(Malformed)?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array (fixed32, fixed64).
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A variable-length unsigned integer.
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        let (value, rest) = decode_usize(self.rest).map_err(|_| Malformed)?;
        self.rest = rest;
        u64::try_from(value).map_err(|_| Malformed)
    }

    /// A length-prefixed byte string, borrowed.
    pub fn buffer(&mut self) -> Result<&'a [u8], Malformed> {
        let n = usize::try_from(self.uint()?).map_err(|_| Malformed)?;
        self.take(n)
    }

    /// Four address bytes and a port, little endian.
    pub fn address(&mut self) -> Result<SocketAddrV4, Malformed> {
        let ip: [u8; 4] = self.array()?;
        Ok(SocketAddrV4::new(Ipv4Addr::from(ip), self.u16()?))
    }

    /// A counted list whose elements take at least `min_size` bytes each, so that the count is bounded by the message.
    pub fn list<T>(
        &mut self,
        min_size: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = usize::try_from(self.uint()?).map_err(|_| Malformed)?;
        if count > self.rest.len() / min_size.max(1) {
            return Err(Malformed);
        }
        (0..count).map(|_| one(self)).collect()
    }

    /// A counted list of addresses.
    pub fn addresses(&mut self) -> Result<Vec<SocketAddrV4>, Malformed> {
        self.list(6, Self::address)
    }
}

/// Appends fields to a message.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(128),
        }
    }

    /// The finished message.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Raw bytes (fixed32, fixed64, raw).
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// A variable-length unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        let mut buffer = [0; 9];
        // Nine bytes hold every u64, so encoding cannot fail.
        if encode_var_u64(value, &mut buffer).is_ok() {
            self.raw(buffer.get(..encoded_size_var_u64(value)).unwrap_or_default());
        }
        self
    }

    /// A length-prefixed byte string.
    pub fn buffer(&mut self, bytes: &[u8]) -> &mut Self {
        self.uint(bytes.len() as u64).raw(bytes)
    }

    /// Four address bytes and a port, little endian.
    pub fn address(&mut self, address: SocketAddrV4) -> &mut Self {
        self.raw(&address.ip().octets()).u16(address.port())
    }

    /// A counted list of addresses.
    pub fn addresses(&mut self, addresses: &[SocketAddrV4]) -> &mut Self {
        self.uint(addresses.len() as u64);
        for address in addresses {
            self.address(*address);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_the_shortest_form() {
        for (value, hex) in [
            (0, "00"),
            (252, "fc"),
            (253, "fdfd00"),
            (65_535, "fdffff"),
            (65_536, "fe00000100"),
            (1 << 32, "ff0000000001000000"),
        ] {
            let mut w = Writer::new();
            w.uint(value);
            let bytes = w.finish();
            assert_eq!(hex::encode(&bytes), hex);
            assert_eq!(Reader::new(&bytes).uint(), Ok(value));
        }
    }

    #[test]
    fn lists_longer_than_the_message_are_refused() {
        let mut w = Writer::new();
        w.uint(u64::MAX).raw(&[1; 64]);
        let bytes = w.finish();
        assert_eq!(Reader::new(&bytes).addresses(), Err(Malformed));
        assert_eq!(Reader::new(&bytes).buffer(), Err(Malformed));
    }
}
