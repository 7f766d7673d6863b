//! Who signs: the `multisig` object of `pear.json`, and the keys that follow from it (npm `hyper-multisig` lib/core.js).

use std::collections::HashSet;

use hypercore::manifest::{Manifest, Signer};
use hypercore::{Key, PublicKey};
use hyperdrive::content_manifest;
use serde_json::Value;

/// The signers of a drive, how many of them must sign, and the name that keeps teams of the same people apart.
///
/// The order of the keys, the quorum and the namespace all go into the link: changing any makes another drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    public_keys: Vec<PublicKey>,
    quorum: u64,
    namespace: String,
}

/// The team is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TeamError {
    /// The text is not JSON.
    #[error("Could not parse config: {0}")]
    Json(String),
    /// A field is absent or of another type.
    #[error("multisig.{0} field required: {1}")]
    Field(&'static str, &'static str),
    /// A signer's key does not parse.
    #[error("Invalid publicKeys signing key: {0}; take the one that `bosc multisig keys get` prints")]
    PublicKey(String),
    /// A signer is listed twice, and could then sign for two.
    #[error("multisig.publicKeys lists {0} twice: each signer counts once")]
    Twice(PublicKey),
    /// The quorum is not between one and the number of signers.
    #[error("multisig.quorum is {quorum}, but must be from 1 to {signers}, the number of publicKeys")]
    Quorum {
        /// What is asked.
        quorum: u64,
        /// How many signers there are.
        signers: usize,
    },
}

impl Team {
    /// A team of `quorum` out of `public_keys`.
    ///
    /// # Errors
    /// If a key is there twice or the quorum cannot be met.
    pub fn new(public_keys: Vec<PublicKey>, quorum: u64, namespace: &str) -> Result<Self, TeamError> {
        let mut seen = HashSet::new();
        if let Some(twice) = public_keys.iter().find(|key| !seen.insert(key.0)) {
            return Err(TeamError::Twice(*twice));
        }
        if quorum == 0 || quorum > public_keys.len() as u64 {
            return Err(TeamError::Quorum {
                quorum,
                signers: public_keys.len(),
            });
        }
        Ok(Self {
            public_keys,
            quorum,
            namespace: namespace.to_owned(),
        })
    }

    /// Reads the `multisig` object of a `pear.json`.
    pub fn from_config(json: &str) -> Result<Self, TeamError> {
        let config: Value = serde_json::from_str(json).map_err(|error| TeamError::Json(error.to_string()))?;
        let field = |name: &str| config.get("multisig").and_then(|object| object.get(name));
        let keys = field("publicKeys")
            .and_then(Value::as_array)
            .filter(|keys| !keys.is_empty())
            .ok_or(TeamError::Field(
                "publicKeys",
                "an array with the public key of each signer",
            ))?;
        let namespace = field("namespace")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        let namespace = namespace.ok_or(TeamError::Field(
            "namespace",
            "a name for this drive, such as \"my-org/my-app\"",
        ))?;
        let quorum = field("quorum").and_then(Value::as_u64).ok_or(TeamError::Field(
            "quorum",
            "the number of signers that a release needs, such as 2",
        ))?;
        let keys = keys.iter().map(|key| {
            let parsed = key.as_str().and_then(|text| text.parse::<PublicKey>().ok());
            parsed.ok_or_else(|| {
                TeamError::PublicKey(key.as_str().map_or_else(|| key.to_string(), str::to_owned))
            })
        });
        Self::new(keys.collect::<Result<_, _>>()?, quorum, namespace)
    }

    /// The manifest of the drive's core of entries.
    pub fn manifest(&self) -> Manifest {
        let namespace = base::hash::blake2b(&[self.namespace.as_bytes()]);
        let signer = |key: &PublicKey| Signer {
            namespace,
            public_key: *key,
        };
        Manifest::multi(self.quorum, self.public_keys.iter().map(signer).collect())
    }

    /// The drive's key: what the link names.
    pub fn key(&self) -> Key {
        self.manifest().key()
    }

    /// The manifest of the drive's core of contents.
    pub fn blobs_manifest(&self) -> Manifest {
        let manifest = self.manifest();
        // Made as version 1 above, and only version 0 has no contents core.
        content_manifest(&manifest, &manifest.key()).unwrap_or(manifest)
    }

    /// The signers, in the order that the link depends on.
    pub fn public_keys(&self) -> &[PublicKey] {
        &self.public_keys
    }

    /// How many must sign.
    pub fn quorum(&self) -> u64 {
        self.quorum
    }

    /// The name that keeps teams of the same people apart.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "tkrq8zmwb8a3m9k15csu3q17qmfgqnp9dskbrg9uq1rydpyxp7qy";
    const B: &str = "orhzqdiexwmi6iidktucgud63ufa5nwtsuzdxe176a8izd6jsqky";
    const C: &str = "7ir1ttte48bcp4zjychjyscicrwi1j34mtt91ptsafdbjmr8g9eo";

    fn config(keys: &[&str], quorum: &str) -> String {
        format!(
            r#"{{ "name": "x", "multisig": {{ "publicKeys": {}, "quorum": {quorum}, "namespace": "my-org/my-app" }} }}"#,
            serde_json::json!(keys)
        )
    }

    #[test]
    fn the_link_is_upstreams() {
        let team = Team::from_config(&config(&[A, B, C], "2")).unwrap();
        assert_eq!(
            team.key().to_string(),
            "ipn81s3nung689qb91wyy74y8pz1iecakz5uzp3td1x7cqjz9ogy"
        );
        assert_eq!(
            team.blobs_manifest().key().to_string(),
            "8tkm4jpaxcxpd4r7uncu5x8wpbnypki391piu64ijqrtxu16cfoy"
        );
        let swapped = Team::from_config(&config(&[B, A, C], "2")).unwrap();
        assert_eq!(
            swapped.key().to_string(),
            "h6w4sf5m5z3ne18h3ftqhm737ouis7xozzcagm8g54dbiejqshey"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let says = |text: &str| Team::from_config(text).unwrap_err().to_string();
        assert!(says("{").contains("Could not parse"));
        for empty in [
            "{}",
            "[]",
            r#"{"multisig":{"publicKeys":"x"}}"#,
            r#"{"multisig":{"publicKeys":[]}}"#,
        ] {
            assert!(
                says(empty).contains("multisig.publicKeys field required"),
                "{empty}"
            );
        }
        assert!(says(&config(&[A, "nonsense"], "2")).contains("Invalid publicKeys signing key: nonsense"));
        assert!(says(&config(&[A, B, A], "2")).contains("twice"));
        for quorum in ["0", "4"] {
            assert!(
                says(&config(&[A, B, C], quorum)).contains("from 1 to 3"),
                "{quorum}"
            );
        }
        for quorum in ["\"2\"", "1.5", "null", "-1"] {
            assert!(
                says(&config(&[A, B, C], quorum)).contains("multisig.quorum"),
                "{quorum}"
            );
        }
    }
}
