//! The text form of requests, responses and keys: z-base-32 (npm `z32`).

/// Decodes z-base-32 that encodes whole bytes; `None` for anything else, also when spare bits are set.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = z32::decode(text.as_bytes()).ok()?;
    bytes.truncate(text.len() * 5 / 8);
    (z32::encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(&z32::encode(&bytes)), Some(bytes));
        }

        #[test]
        fn garbage_never_panics(text in "\\PC{0,40}") {
            let _ = decode(&text);
        }
    }
}
