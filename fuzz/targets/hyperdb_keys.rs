//! Keys of a database: what is read is written again, to the same fields, and keys sort as their fields do.

#![no_main]

use bosc_fuzz::within;
use hyperdb::{KeyEncoding, KeyError, KeyType};
use hyperschema::Value;
use libfuzzer_sys::fuzz_target;

const TYPES: [KeyType; 6] = [
    KeyType::Uint,
    KeyType::Int,
    KeyType::Text,
    KeyType::Bytes,
    KeyType::Date,
    KeyType::Bool,
];

fn write(encoding: &KeyEncoding, fields: &[Value]) -> Result<Vec<u8>, KeyError> {
    encoding.encode(fields.iter().map(|field| ("", field)))
}

fuzz_target!(|input: &[u8]| {
    within(8192 + 32 * input.len(), || {
        for first in TYPES {
            for second in TYPES {
                let prefix = u64::from(input.first().copied().unwrap_or(0));
                let encoding = KeyEncoding::new(prefix, vec![first, second]);
                let Ok(fields) = encoding.decode(input) else {
                    continue;
                };
                match write(&encoding, &fields) {
                    Ok(key) => {
                        let again = encoding.decode(&key).expect("what was written");
                        assert_eq!(write(&encoding, &again), Ok(key));
                    }
                    // A key that ends early lacks fields.
                    Err(error) => assert_eq!(error, KeyError::Missing(String::new())),
                }
            }
        }
    });
});
