//! Reading and writing compact-encoding values from untrusted bytes (npm `compact-encoding`), on the crate of that name: the one
//! alphabet of every Holepunch format.
//!
//! A [`Reader`] never panics and never allocates more than it was given: lengths are checked against what is left.

use compact_encoding::{decode_usize, encode_var_u64, encoded_size_var_u64};

/// The bytes end too early, or a value is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed or truncated encoding")]
pub struct DecodeError;

/// A cursor over encoded bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.fixed().map(u8::from_le_bytes)
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_le_bytes)
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_le_bytes)
    }

    /// Eight bytes, little endian: all of 64 bits, as npm writes a `BigInt`.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.fixed().map(u64::from_le_bytes)
    }

    /// A variable-length unsigned integer (1, 3, 5 or 9 bytes). JavaScript numbers end at 2^53, and so do these: npm refuses to
    /// read larger ones.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        let (value, rest) = decode_usize(self.rest).map_err(|_| DecodeError)?;
        self.rest = rest;
        let value = value as u64;
        if value > 1 << 53 {
            Err(DecodeError)
        } else {
            Ok(value)
        }
    }

    /// `length` raw bytes.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DecodeError)?;
        self.rest = rest;
        Ok(head)
    }

    /// Exactly `N` raw bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.raw(N)?.try_into().map_err(|_| DecodeError)
    }

    /// Length-prefixed bytes.
    pub fn buffer(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.uint()?).map_err(|_| DecodeError)?;
        self.raw(length)
    }

    /// A count of elements of which each takes at least `min_size` bytes, so that it cannot exceed what is left.
    pub fn count(&mut self, min_size: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.uint()?).map_err(|_| DecodeError)?;
        if count > self.rest.len() / min_size.max(1) {
            return Err(DecodeError);
        }
        Ok(count)
    }

    /// A [count](Self::count), then as many elements as it says.
    pub fn list<T>(
        &mut self,
        min_size: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(min_size)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(one(self)?);
        }
        Ok(list)
    }
}

/// How many bytes [`Writer::uint`] takes for a value.
pub fn uint_bytes(value: u64) -> usize {
    encoded_size_var_u64(value).min(9)
}

/// Encoded values, one after another.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Self {
        // Most messages fit.
        Self::with_capacity(64)
    }

    /// Nothing written yet, and room for `bytes` bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes, little endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// A variable-length unsigned integer, in its shortest form. Above 2^53 nobody reads it.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        let mut space = [0; 9];
        // Nine bytes hold every u64, so encoding cannot fail.
        let _ = encode_var_u64(value, &mut space);
        let (encoded, _) = space.split_at(uint_bytes(value));
        self.raw(encoded)
    }

    /// Length-prefixed bytes.
    pub fn buffer(&mut self, bytes: &[u8]) -> &mut Self {
        self.uint(bytes.len() as u64).raw(bytes)
    }

    /// A count, then each element as `one` writes it.
    pub fn list<T>(
        &mut self,
        list: &[T],
        mut one: impl for<'a> FnMut(&'a mut Self, &T) -> &'a mut Self,
    ) -> &mut Self {
        self.uint(list.len() as u64);
        for element in list {
            one(self, element);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Writer) -> &mut Writer) -> Vec<u8> {
        let mut writer = Writer::new();
        write(&mut writer);
        writer.finish()
    }

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
            let bytes = written(|w| w.uint(value));
            assert_eq!(
                (hex::encode(&bytes).as_str(), bytes.len()),
                (hex, uint_bytes(value))
            );
            assert_eq!(Reader::new(&bytes).uint(), Ok(value));
        }
    }

    #[test]
    fn numbers_that_javascript_does_not_have_are_refused() {
        for value in [(1 << 53) + 1, u64::MAX] {
            assert_eq!(Reader::new(&written(|w| w.uint(value))).uint(), Err(DecodeError));
            assert_eq!(Reader::new(&written(|w| w.u64(value))).u64(), Ok(value));
        }
    }

    #[test]
    fn lists_and_buffers_longer_than_what_is_left_are_refused() {
        for count in [9, 1 << 53, u64::MAX] {
            let bytes = written(|w| w.uint(count).raw(&[1; 64]));
            let fixed = |r: &mut Reader<'_>| r.fixed::<8>();
            assert_eq!(Reader::new(&bytes).list(8, fixed), Err(DecodeError));
            let bytes = written(|w| w.uint(count.max(65)).raw(&[1; 64]));
            assert_eq!(Reader::new(&bytes).buffer(), Err(DecodeError));
        }
    }

    proptest! {
        #[test]
        fn uints_round_trip(value in 0u64..=(1 << 53)) {
            let out = written(|w| w.uint(value));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uint(), Ok(value));
            prop_assert!(reader.is_empty());
            for cut in 0..out.len() {
                prop_assert!(Reader::new(&out[..cut]).uint().is_err());
            }
        }

        #[test]
        fn values_round_trip(a: u8, b: u16, c: u32, d: u64, bytes: Vec<u8>, list: Vec<u16>) {
            let out = written(|w| {
                w.u8(a).u16(b).u32(c).u64(d).buffer(&bytes).raw(&[7; 3]).list(&list, |w, n| w.u16(*n))
            });
            let mut reader = Reader::new(&out);
            prop_assert_eq!((reader.u8(), reader.u16(), reader.u32(), reader.u64()), (Ok(a), Ok(b), Ok(c), Ok(d)));
            prop_assert_eq!(reader.buffer(), Ok(&bytes[..]));
            prop_assert_eq!(reader.fixed(), Ok([7; 3]));
            prop_assert_eq!(reader.list(2, Reader::u16), Ok(list));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() && reader.buffer().is_ok() {}
            let _ = Reader::new(&bytes).list(32, |r| r.fixed::<32>());
        }
    }
}
