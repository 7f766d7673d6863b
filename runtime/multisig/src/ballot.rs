//! Counting responses: who answered, whether that is enough, and the signatures that result
//! (npm `hyper-multisig` index.js, lib/sign.js).

use hypercore::PublicKey;
use hypercore::signature::{PartialSignature, assemble};

use crate::error::MultisigError;
use crate::request::Request;
use crate::response::{Response, ResponseError};

/// The answers to one request, each checked, one for each signer.
#[derive(Debug)]
pub struct Ballot {
    needed: u64,
    /// In the order of the manifest's signers.
    by_signer: Vec<(PublicKey, Option<Response>)>,
    repeated: Vec<usize>,
}

/// What makes the two cores of a drive grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreSignatures {
    /// Over the entries.
    pub entries: Vec<u8>,
    /// Over the contents.
    pub contents: Vec<u8>,
}

impl Ballot {
    /// Counts `responses`.
    ///
    /// # Errors
    /// For the first response that is not a good answer to `request`: its place in the list, and why.
    pub fn count(request: &Request, responses: &[Response]) -> Result<Self, (usize, ResponseError)> {
        let signers = request.manifest().signers.iter();
        let mut ballot = Self {
            needed: request.manifest().quorum,
            by_signer: signers.map(|signer| (signer.public_key, None)).collect(),
            repeated: Vec::new(),
        };
        for (place, response) in responses.iter().enumerate() {
            response.verify(request).map_err(|error| (place, error))?;
            let signer = response.public_key();
            let mut slots = ballot.by_signer.iter_mut();
            match slots.find(|(key, _)| *key == signer) {
                Some((_, empty @ None)) => *empty = Some(response.clone()),
                Some(_) => ballot.repeated.push(place),
                None => return Err((place, ResponseError::Stranger(signer))),
            }
        }
        Ok(ballot)
    }

    /// How many different signers answered.
    pub fn obtained(&self) -> u64 {
        self.by_signer
            .iter()
            .filter(|(_, answer)| answer.is_some())
            .count() as u64
    }

    /// How many must.
    pub fn needed(&self) -> u64 {
        self.needed
    }

    /// Places of responses by signers who had answered already; they count once.
    pub fn repeated(&self) -> &[usize] {
        &self.repeated
    }

    /// Signers, and whether they answered.
    pub fn signers(&self) -> impl Iterator<Item = (PublicKey, bool)> {
        self.by_signer
            .iter()
            .map(|(key, answer)| (*key, answer.is_some()))
    }

    /// The signatures over both cores.
    ///
    /// # Errors
    /// [`MultisigError::Quorum`] if too few signers answered.
    pub fn signatures(&self) -> Result<CoreSignatures, MultisigError> {
        if self.obtained() < self.needed {
            let missing = self.signers().filter(|(_, answered)| !answered);
            let missing: Vec<String> = missing.map(|(key, _)| key.to_string()).collect();
            return Err(MultisigError::Quorum {
                obtained: self.obtained(),
                needed: self.needed,
                missing: missing.join(", "),
            });
        }
        let (mut entries, mut contents) = (Vec::new(), Vec::new());
        for (signer, (_, answer)) in (0..).zip(&self.by_signer) {
            let Some(answer) = answer else { continue };
            // Counted answers hold one signature for each core.
            let &[over_entries, over_contents] = answer.signatures() else {
                continue;
            };
            let proof = |signature| PartialSignature {
                signer,
                signature,
                patch: 0,
            };
            entries.push(proof(over_entries));
            contents.push(proof(over_contents));
        }
        Ok(CoreSignatures {
            entries: assemble(&entries),
            contents: assemble(&contents),
        })
    }
}

#[cfg(test)]
mod tests {
    use hypercore::KeyPair;

    use super::*;
    use crate::Team;
    use crate::request::Content;

    fn pair(seed: u8) -> KeyPair {
        KeyPair::from_seed([seed; 32])
    }

    fn request(length: u64) -> Request {
        let keys = [1, 2, 3].map(|seed| pair(seed).public_key);
        let manifest = Team::new(keys.to_vec(), 2, "x").unwrap().manifest();
        let content = Content {
            length: 4,
            tree_hash: [5; 32],
        };
        Request::new(manifest, length, [6; 32], content, false).unwrap()
    }

    #[test]
    fn two_different_signers_are_needed() {
        let request = request(9);
        let answer = |seed| Response::sign(&request, &pair(seed)).unwrap();
        let one = Ballot::count(&request, &[answer(3), answer(3)]).unwrap();
        assert_eq!((one.obtained(), one.needed(), one.repeated()), (1, 2, &[1][..]));
        let error = one.signatures().unwrap_err();
        assert!(
            error.to_string().starts_with("Insufficient quorum: 1 / 2"),
            "{error}"
        );
        let two = Ballot::count(&request, &[answer(3), answer(1)]).unwrap();
        assert_eq!(two.signatures().unwrap().entries.len(), 134);
    }

    #[test]
    fn answers_that_do_not_belong_are_refused() {
        let (asked, other) = (request(9), request(10));
        let good = Response::sign(&asked, &pair(1)).unwrap();
        let elsewhere = Response::sign(&other, &pair(2)).unwrap();
        let refused = Ballot::count(&asked, &[good.clone(), elsewhere]).unwrap_err();
        assert_eq!(refused, (1, ResponseError::OtherRequest));
        assert!(Response::sign(&asked, &pair(4)).is_err(), "a stranger signs");
        let bytes = good.encode();
        for (at, expected) in [
            (3, "another"),
            (40, "none of the signers"),
            (120, "Invalid signature"),
        ] {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let altered = Response::decode(&altered).unwrap();
            let (_, error) = Ballot::count(&asked, &[altered]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
