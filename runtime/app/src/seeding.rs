//! `bosc.seed`: whether an app serves its release to others, and how fast.

use serde_json::Value;

use crate::ManifestError;
use crate::error::short;
use crate::fields::Fields;

/// The default of [`Seeding::rate`].
const RATE: u64 = 500_000;
/// Rates that can be asked for: less would serve nobody, more is meant otherwise.
const RATES: std::ops::RangeInclusive<f64> = 1e4..=1e9;

/// How an app gives back: `bosc.seed` of its `package.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeding {
    /// Most bytes of blocks a second that all peers get together. Default 500,000: two fifths of the 10 Mbit/s that a slow home
    /// can send, so that a call goes on beside it, and enough that two thousand apps outdo a server with 1 Gbit/s eightfold.
    pub rate: u64,
}

impl Default for Seeding {
    fn default() -> Self {
        Self { rate: RATE }
    }
}

impl Seeding {
    pub(crate) fn read(bosc: &Fields<'_>) -> Result<Option<Self>, ManifestError> {
        match bosc.value("seed") {
            None | Some(Value::Bool(false)) => return Ok(None),
            Some(Value::Bool(true)) => return Ok(Some(Self::default())),
            Some(Value::Object(_)) => {}
            Some(other) => {
                let what = format!(
                    "is {}; write true, false, or {{ \"rate\": \"500kb\" }}",
                    short(other)
                );
                return Err(bosc.refuse("seed", &what));
            }
        }
        let seed = bosc.inner("seed")?;
        let Some(rate) = seed.value("rate") else {
            return Ok(Some(Self::default()));
        };
        match rate.as_str().and_then(bytes_a_second) {
            Some(rate) => Ok(Some(Self { rate })),
            None => Err(seed.refuse(
                "rate",
                &format!(
                    "is {}; write how much the app may send to others in a second, from \"10kb\" to \"1000mb\"",
                    short(rate)
                ),
            )),
        }
    }
}

/// `500kb`, `2mb`: bytes, in thousands or millions. `None` for anything else, and for what is out of [`RATES`].
fn bytes_a_second(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (number, unit) = match (text.strip_suffix("kb"), text.strip_suffix("mb")) {
        (Some(number), _) => (number, 1e3),
        (_, Some(number)) => (number, 1e6),
        _ => return None,
    };
    let rate = number.trim_end().parse::<f64>().ok()? * unit;
    RATES.contains(&rate).then_some(rate as u64)
}

#[cfg(test)]
mod tests {
    use crate::Manifest;

    #[test]
    fn an_app_gives_back_only_if_it_says_so_and_as_fast_as_it_says() {
        let seed = |seed: &str| {
            let text = format!(r#"{{"name":"a","version":"1.0.0","bosc":{{{seed}}}}}"#);
            Manifest::parse(text.as_bytes(), "it").map(|manifest| manifest.seed.map(|seed| seed.rate))
        };
        assert_eq!(seed("").unwrap(), None);
        assert_eq!(seed(r#""seed":false"#).unwrap(), None);
        assert_eq!(seed(r#""seed":true"#).unwrap(), Some(500_000));
        assert_eq!(seed(r#""seed":{}"#).unwrap(), Some(500_000));
        for (rate, bytes) in [("2mb", 2_000_000), ("80 KB", 80_000), ("0.5MB", 500_000)] {
            let text = format!(r#""seed":{{"rate":"{rate}"}}"#);
            assert_eq!(seed(&text).unwrap(), Some(bytes), "{rate}");
        }
        for rate in [
            "", "2", "2m", "-2mb", "0kb", "9kb", "2gb", "1e99mb", "NaNmb", "infmb",
        ] {
            let message = seed(&format!(r#""seed":{{"rate":"{rate}"}}"#))
                .unwrap_err()
                .to_string();
            assert!(
                message.contains("\"bosc.seed.rate\"") && message.contains("\"10kb\""),
                "{message}"
            );
        }
        for other in [r#""yes""#, "1", "[true]"] {
            let message = seed(&format!(r#""seed":{other}"#)).unwrap_err().to_string();
            assert!(message.contains("\"bosc.seed\" is"), "{message}");
        }
        assert!(seed(r#""seed":{"rate":2}"#).is_err());
    }
}
