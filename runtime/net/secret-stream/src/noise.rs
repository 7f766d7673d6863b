//! The Noise handshake over Ed25519 keys: `Noise_XX_Ed25519_ChaChaPoly_BLAKE2b` and its IK sibling.
//!
//! Source: npm `noise-handshake` (noise.js, symmetric-state.js, hkdf.js, hmac.js) with the curve of
//! `noise-curve-ed`, which is libsodium's `crypto_scalarmult_ed25519_noclamp` over signing keys.

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::cipher::{MAC, aead_open, aead_seal};
use crate::{KeyPair, PublicKey};

const HASH: usize = 64;
const BLOCK: usize = 128;
/// The largest message the Noise specification allows.
const MAX_MESSAGE: usize = 65535;

/// Why a handshake failed. Every failure is final: start over with a new [`Handshake`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// The message ends too early or is over 65535 bytes.
    #[error("a handshake message has an impossible length")]
    Length,
    /// A public key is not a point of the prime-order group.
    #[error("a public key in the handshake is not valid")]
    InvalidKey,
    /// Something in the message does not authenticate: it was forged, damaged, or made for someone else.
    #[error("a handshake message failed authentication")]
    Authentication,
    /// It is not this side's turn, or the handshake is over.
    #[error("handshake messages were used out of turn")]
    OutOfTurn,
    /// The initiator of IK must know the responder's key.
    #[error("the IK handshake needs the remote public key")]
    MissingRemoteKey,
}

/// Which keys travel, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Both sides learn each other's key: three messages. Used over plain byte streams.
    XX,
    /// The initiator knows the responder's key: two messages. Used by HyperDHT.
    IK,
}

#[derive(Debug, Clone, Copy)]
enum Token {
    E,
    S,
    Ee,
    Es,
    Se,
    Ss,
}

impl Pattern {
    fn name(self) -> &'static [u8] {
        match self {
            Pattern::XX => b"Noise_XX_Ed25519_ChaChaPoly_BLAKE2b",
            Pattern::IK => b"Noise_IK_Ed25519_ChaChaPoly_BLAKE2b",
        }
    }

    fn messages(self) -> &'static [&'static [Token]] {
        use Token::{E, Ee, Es, S, Se, Ss};
        match self {
            Pattern::XX => &[&[E], &[E, Ee, S, Es], &[S, Se]],
            Pattern::IK => &[&[E, Es, S, Ss], &[E, Ee, Se]],
        }
    }
}

/// What a finished handshake leaves: all a [`crate::SecretStream`] needs. The keys are wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HandshakeResult {
    /// Key for what this side sends.
    pub tx: [u8; 32],
    /// Key for what the peer sends.
    pub rx: [u8; 32],
    /// The handshake hash, the same on both sides.
    pub hash: [u8; 64],
    /// Our static public key.
    #[zeroize(skip)]
    pub public_key: PublicKey,
    /// The peer's authenticated static public key.
    #[zeroize(skip)]
    pub remote_public_key: PublicKey,
    /// Whether this side sent the first message.
    pub is_initiator: bool,
}

impl std::fmt::Debug for HandshakeResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeResult")
            .field("is_initiator", &self.is_initiator)
            .finish_non_exhaustive()
    }
}

/// One side of a handshake in progress. It does no I/O: [`Handshake::send`] makes messages, [`Handshake::recv`]
/// takes them, and the transport is the caller's.
pub struct Handshake {
    pattern: Pattern,
    is_initiator: bool,
    symmetric: Symmetric,
    local_static: KeyPair,
    local_ephemeral: Option<KeyPair>,
    remote_static: Option<PublicKey>,
    remote_ephemeral: Option<PublicKey>,
    /// Messages done so far, by either side.
    step: usize,
    failed: bool,
}

impl Handshake {
    /// Starts a handshake. `prologue` must be equal on both sides (empty over plain streams).
    ///
    /// # Errors
    /// [`NoiseError::MissingRemoteKey`] for an initiator of IK without `remote_public_key`.
    pub fn new(
        pattern: Pattern,
        is_initiator: bool,
        key_pair: &KeyPair,
        prologue: &[u8],
        remote_public_key: Option<PublicKey>,
    ) -> Result<Self, NoiseError> {
        let mut symmetric = Symmetric::new(pattern.name());
        symmetric.mix_hash(prologue);
        let mut remote_static = None;
        if pattern == Pattern::IK {
            if is_initiator {
                remote_static = Some(remote_public_key.ok_or(NoiseError::MissingRemoteKey)?);
            }
            symmetric.mix_hash(&remote_static.unwrap_or(key_pair.public_key).0);
        }
        Ok(Self {
            pattern,
            is_initiator,
            symmetric,
            local_static: key_pair.clone(),
            local_ephemeral: None,
            remote_static,
            remote_ephemeral: None,
            step: 0,
            failed: false,
        })
    }

    /// Uses a given ephemeral key pair, so that a recorded transcript can be replayed. Never reuse one.
    pub fn with_ephemeral(mut self, ephemeral: KeyPair) -> Self {
        self.local_ephemeral = Some(ephemeral);
        self
    }

    /// Whether all messages have been exchanged.
    pub fn is_complete(&self) -> bool {
        !self.failed && self.step == self.pattern.messages().len()
    }

    /// The peer's static key as far as it is known. It is authenticated once a message that proves it was taken.
    pub fn remote_public_key(&self) -> Option<PublicKey> {
        self.remote_static
    }

    /// The next message of this side, carrying `payload`.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`], or [`NoiseError::InvalidKey`] if the peer's key is bad.
    pub fn send(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        self.turn(true)?;
        let result = self.write(payload);
        self.settle(result)
    }

    /// Takes the peer's next message and gives its payload.
    ///
    /// # Errors
    /// Any [`NoiseError`]; the handshake cannot go on after one.
    pub fn recv(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        self.turn(false)?;
        let result = self.read(message);
        self.settle(result)
    }

    /// The keys and the hash.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`] unless [`Handshake::is_complete`].
    #[expect(clippy::indexing_slicing, reason = "all lengths are constants")]
    pub fn finish(self) -> Result<HandshakeResult, NoiseError> {
        let Some(remote_public_key) = self.remote_static.filter(|_| self.is_complete()) else {
            return Err(NoiseError::OutOfTurn);
        };
        let keys = hkdf(&self.symmetric.chaining_key, &[]);
        let (mut first, mut second) = ([0; 32], [0; 32]);
        first.copy_from_slice(&keys[0][..32]);
        second.copy_from_slice(&keys[1][..32]);
        let (tx, rx) = if self.is_initiator {
            (first, second)
        } else {
            (second, first)
        };
        Ok(HandshakeResult {
            tx,
            rx,
            hash: self.symmetric.digest,
            public_key: self.local_static.public_key,
            remote_public_key,
            is_initiator: self.is_initiator,
        })
    }

    fn turn(&self, sending: bool) -> Result<(), NoiseError> {
        let initiators_turn = self.step.is_multiple_of(2);
        let over = self.step >= self.pattern.messages().len();
        if self.failed || over || (initiators_turn == self.is_initiator) != sending {
            return Err(NoiseError::OutOfTurn);
        }
        Ok(())
    }

    fn settle<T>(&mut self, result: Result<T, NoiseError>) -> Result<T, NoiseError> {
        match &result {
            Ok(_) => self.step += 1,
            Err(_) => self.failed = true,
        }
        result
    }

    fn tokens(&self) -> &'static [Token] {
        self.pattern
            .messages()
            .get(self.step)
            .copied()
            .unwrap_or_default()
    }

    fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut out = Vec::with_capacity(128 + payload.len());
        for token in self.tokens() {
            match token {
                Token::E => {
                    let public_key = self
                        .local_ephemeral
                        .get_or_insert_with(KeyPair::generate)
                        .public_key;
                    self.symmetric.mix_hash(&public_key.0);
                    out.extend_from_slice(&public_key.0);
                }
                Token::S => out.extend(self.symmetric.encrypt_and_hash(&self.local_static.public_key.0)),
                agreement => self.mix(*agreement)?,
            }
        }
        out.extend(self.symmetric.encrypt_and_hash(payload));
        if out.len() > MAX_MESSAGE {
            Err(NoiseError::Length)
        } else {
            Ok(out)
        }
    }

    fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        if message.len() > MAX_MESSAGE {
            return Err(NoiseError::Length);
        }
        let mut rest = message;
        let mut take = |length: usize| {
            let (head, tail) = rest.split_at_checked(length).ok_or(NoiseError::Length)?;
            rest = tail;
            Ok::<_, NoiseError>(head)
        };
        for token in self.tokens() {
            match token {
                Token::E => {
                    let key: [u8; 32] = take(32)?.try_into().map_err(|_| NoiseError::Length)?;
                    self.symmetric.mix_hash(&key);
                    self.remote_ephemeral = Some(PublicKey(key));
                }
                Token::S => {
                    let sealed = take(if self.symmetric.key.is_some() {
                        32 + MAC
                    } else {
                        32
                    })?;
                    let key = self.symmetric.decrypt_and_hash(sealed)?;
                    let key = key.try_into().map_err(|_| NoiseError::Length)?;
                    self.remote_static = Some(PublicKey(key));
                }
                agreement => self.mix(*agreement)?,
            }
        }
        self.symmetric.decrypt_and_hash(rest)
    }

    fn mix(&mut self, token: Token) -> Result<(), NoiseError> {
        let (local_is_static, remote_is_static) = match token {
            Token::Es => (!self.is_initiator, self.is_initiator),
            Token::Se => (self.is_initiator, !self.is_initiator),
            Token::Ss => (true, true),
            Token::E | Token::S | Token::Ee => (false, false),
        };
        let local = if local_is_static {
            Some(&self.local_static)
        } else {
            self.local_ephemeral.as_ref()
        };
        let remote = if remote_is_static {
            self.remote_static
        } else {
            self.remote_ephemeral
        };
        let (Some(local), Some(remote)) = (local, remote) else {
            return Err(NoiseError::OutOfTurn);
        };
        let shared = agree(local, &remote)?;
        self.symmetric.mix_key(shared.as_ref());
        Ok(())
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("pattern", &self.pattern)
            .field("is_initiator", &self.is_initiator)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

/// Diffie-Hellman over Ed25519: the clamped secret scalar of `local` times `remote`. As libsodium does, refuses
/// non-canonical encodings, points of small order and points outside the prime-order group.
#[expect(clippy::indexing_slicing, reason = "all lengths are constants")]
fn agree(local: &KeyPair, remote: &PublicKey) -> Result<Zeroizing<[u8; 32]>, NoiseError> {
    let compressed = CompressedEdwardsY(remote.0);
    let point = compressed.decompress().ok_or(NoiseError::InvalidKey)?;
    if point.compress() != compressed || point.is_small_order() || !point.is_torsion_free() {
        return Err(NoiseError::InvalidKey);
    }
    let mut digest = Zeroizing::new([0u8; 64]);
    digest.copy_from_slice(&Sha512::digest(local.seed().as_ref()));
    let mut scalar = Zeroizing::new([0u8; 32]);
    scalar.copy_from_slice(&digest[..32]);
    scalar[0] &= 248;
    scalar[31] = (scalar[31] & 127) | 64;
    // The point has prime order, so reducing the scalar changes nothing.
    let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(*scalar));
    let product = point * *scalar;
    if product.is_identity() {
        return Err(NoiseError::InvalidKey);
    }
    Ok(Zeroizing::new(product.compress().to_bytes()))
}

/// Noise's SymmetricState and CipherState.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Symmetric {
    digest: [u8; HASH],
    chaining_key: [u8; HASH],
    key: Option<[u8; 32]>,
    nonce: u32,
}

impl Symmetric {
    fn new(protocol: &[u8]) -> Self {
        // Both names are shorter than a hash, so they are padded rather than hashed.
        let mut digest = [0u8; HASH];
        for (d, p) in digest.iter_mut().zip(protocol) {
            *d = *p;
        }
        Self {
            digest,
            chaining_key: digest,
            key: None,
            nonce: 0,
        }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.digest = blake2b(&[&self.digest, data]);
    }

    #[expect(clippy::indexing_slicing, reason = "all lengths are constants")]
    fn mix_key(&mut self, input: &[u8]) {
        let outputs = hkdf(&self.chaining_key, input);
        self.chaining_key = outputs[0];
        let mut key = [0u8; 32];
        key.copy_from_slice(&outputs[1][..32]);
        self.key = Some(key);
        self.nonce = 0;
    }

    fn encrypt_and_hash(&mut self, plain: &[u8]) -> Vec<u8> {
        let out = match &self.key {
            Some(key) => {
                let sealed = aead_seal(key, self.nonce, &self.digest, plain);
                self.nonce += 1;
                sealed
            }
            None => plain.to_vec(),
        };
        self.mix_hash(&out);
        out
    }

    fn decrypt_and_hash(&mut self, data: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let out = match &self.key {
            Some(key) => {
                let plain =
                    aead_open(key, self.nonce, &self.digest, data).ok_or(NoiseError::Authentication)?;
                self.nonce += 1;
                plain
            }
            None => data.to_vec(),
        };
        self.mix_hash(data);
        Ok(out)
    }
}

fn blake2b(parts: &[&[u8]]) -> [u8; HASH] {
    let mut state = blake2b_simd::State::new();
    for part in parts {
        state.update(part);
    }
    *state.finalize().as_array()
}

fn hmac(key: &[u8; HASH], parts: &[&[u8]]) -> [u8; HASH] {
    let mut inner_pad = Zeroizing::new([0x36u8; BLOCK]);
    let mut outer_pad = Zeroizing::new([0x5cu8; BLOCK]);
    for ((inner, outer), byte) in inner_pad.iter_mut().zip(outer_pad.iter_mut()).zip(key) {
        *inner ^= byte;
        *outer ^= byte;
    }
    let mut state = blake2b_simd::State::new();
    state.update(inner_pad.as_ref());
    for part in parts {
        state.update(part);
    }
    blake2b(&[outer_pad.as_ref(), state.finalize().as_bytes()])
}

fn hkdf(salt: &[u8; HASH], input: &[u8]) -> Zeroizing<[[u8; HASH]; 2]> {
    let key = Zeroizing::new(hmac(salt, &[input]));
    let first = hmac(&key, &[&[1]]);
    let second = hmac(&key, &[&first, &[2]]);
    Zeroizing::new([first, second])
}

/// Fills `buffer` with random bytes fit for keys.
pub(crate) fn random(buffer: &mut [u8]) {
    rand::fill(buffer);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(pattern: Pattern, prologue: &[u8]) -> (Handshake, Handshake) {
        let (a, b) = (KeyPair::from_seed([1; 32]), KeyPair::from_seed([2; 32]));
        let initiator = Handshake::new(pattern, true, &a, prologue, Some(b.public_key)).unwrap();
        let responder = Handshake::new(pattern, false, &b, prologue, None).unwrap();
        (initiator, responder)
    }

    fn run(mut a: Handshake, mut b: Handshake) -> Result<(HandshakeResult, HandshakeResult), NoiseError> {
        while !a.is_complete() || !b.is_complete() {
            let message = a.send(b"payload")?;
            assert_eq!(b.recv(&message)?, b"payload");
            std::mem::swap(&mut a, &mut b);
        }
        Ok((a.finish()?, b.finish()?))
    }

    #[test]
    fn both_patterns_agree() {
        for pattern in [Pattern::XX, Pattern::IK] {
            let (a, b) = pair(pattern, b"prologue");
            let (a, b) = run(a, b).unwrap();
            assert_eq!((a.tx, a.rx, a.hash), (b.rx, b.tx, b.hash));
            assert_eq!(
                (a.public_key, a.remote_public_key),
                (b.remote_public_key, b.public_key)
            );
        }
    }

    #[test]
    fn different_prologues_or_a_wrong_key_fail() {
        let (a, _) = pair(Pattern::IK, b"one");
        let (_, b) = pair(Pattern::IK, b"two");
        assert_eq!(run(a, b).unwrap_err(), NoiseError::Authentication);
        let key = KeyPair::generate();
        let a = Handshake::new(Pattern::IK, true, &key, b"", Some(key.public_key)).unwrap();
        let (_, b) = pair(Pattern::IK, b"");
        assert_eq!(run(a, b).unwrap_err(), NoiseError::Authentication);
        assert_eq!(
            Handshake::new(Pattern::IK, true, &key, b"", None).unwrap_err(),
            NoiseError::MissingRemoteKey
        );
    }

    #[test]
    fn turns_are_kept_and_a_failure_is_final() {
        let (mut a, mut b) = pair(Pattern::XX, b"");
        assert_eq!(b.send(b"").unwrap_err(), NoiseError::OutOfTurn);
        assert_eq!(a.recv(b"").unwrap_err(), NoiseError::OutOfTurn);
        let message = a.send(b"").unwrap();
        assert_eq!(b.recv(&message[..31]).unwrap_err(), NoiseError::Length);
        assert_eq!(b.recv(&message).unwrap_err(), NoiseError::OutOfTurn);
        assert!(!b.is_complete());
        assert_eq!(b.finish().unwrap_err(), NoiseError::OutOfTurn);
    }

    #[test]
    fn keys_outside_the_prime_order_group_are_refused() {
        let local = KeyPair::from_seed([5; 32]);
        let mut identity = [0u8; 32];
        identity[0] = 1;
        // y = 0 has order 4; y = p encodes 0 in a non-canonical way.
        let mut non_canonical = [0xffu8; 32];
        non_canonical[0] = 0xed;
        non_canonical[31] = 0x7f;
        for bad in [identity, [0; 32], non_canonical] {
            assert_eq!(
                agree(&local, &PublicKey(bad)).unwrap_err(),
                NoiseError::InvalidKey
            );
        }
        // A good point plus a point of order 4: on the curve, but outside the group.
        let good = CompressedEdwardsY(KeyPair::from_seed([6; 32]).public_key.0)
            .decompress()
            .unwrap();
        let torsion = CompressedEdwardsY([0; 32]).decompress().unwrap();
        assert_eq!(
            agree(&local, &PublicKey((good + torsion).compress().0)).unwrap_err(),
            NoiseError::InvalidKey
        );
        assert!(agree(&local, &PublicKey(good.compress().0)).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(4)))]
        #[test]
        fn garbage_never_panics(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
            for pattern in [Pattern::XX, Pattern::IK] {
                let (mut a, mut b) = pair(pattern, b"");
                if pattern == Pattern::IK {
                    prop_assert!(b.recv(&garbage).is_err());
                }
                a.send(b"").unwrap();
                prop_assert!(a.recv(&garbage).is_err());
            }
        }
    }
}
