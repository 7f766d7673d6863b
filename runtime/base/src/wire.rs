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

    /// A variable-length unsigned integer (1, 3, 5 or 9 bytes). JavaScript numbers end at 2^53, and so do these.
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
        if count
            .checked_mul(min_size)
            .is_none_or(|size| size > self.rest.len())
        {
            return Err(DecodeError);
        }
        Ok(count)
    }
}

/// Appends a variable-length unsigned integer.
pub fn put_uint(out: &mut Vec<u8>, value: u64) {
    let start = out.len();
    out.resize(start + encoded_size_var_u64(value), 0);
    if let Some(space) = out.get_mut(start..) {
        // The space was sized for this very value, so encoding cannot fail.
        let _ = encode_var_u64(value, space);
    }
}

/// Appends length-prefixed bytes.
pub fn put_buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn uints_round_trip(value in 0u64..=(1 << 53)) {
            let mut out = Vec::new();
            put_uint(&mut out, value);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uint(), Ok(value));
            prop_assert!(reader.is_empty());
            for cut in 0..out.len() {
                prop_assert!(Reader::new(&out[..cut]).uint().is_err());
            }
        }

        #[test]
        fn buffers_round_trip(bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_buffer(&mut out, &bytes);
            prop_assert_eq!(Reader::new(&out).buffer(), Ok(&bytes[..]));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() && reader.buffer().is_ok() {}
            let _ = Reader::new(&bytes).count(32);
        }
    }
}
