//! The two secret keys and what they are used for. Every use has its own label, so that no hash made for one
//! purpose is worth anything for another (HMAC-SHA-256, RFC 2104).

use base64::{Engine, engine::general_purpose::STANDARD};
use entity::value::{Phone, PhoneHash};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Config;

/// Shortest key that is accepted, bytes.
pub(super) const MIN_KEY: usize = 32;

/// The secret keys of the platform. Never printed.
#[derive(Clone)]
pub struct Keys {
    phone: Vec<u8>,
    token: TokenKey,
    previous: Option<TokenKey>,
}

/// A key that signs tokens, and the name by which a token says which one signed it.
#[derive(Clone)]
pub(super) struct TokenKey {
    pub(super) secret: Vec<u8>,
    pub(super) id: String,
}

/// Why there are no keys, or a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key is missing, not base64, or short.
    #[error("auth.{0} must be base64 of at least {MIN_KEY} bytes")]
    Form(&'static str),
    /// The token library refused.
    #[error("cannot sign: {0}")]
    Sign(String),
}

impl Keys {
    /// Reads the keys from the settings.
    ///
    /// # Errors
    /// [`KeysError::Form`] names the key that is missing or malformed.
    pub fn from_config(config: &Config) -> Result<Self, KeysError> {
        let decode = |name, text| decode(text).ok_or(KeysError::Form(name));
        let previous = match config.previous_token_key.reveal() {
            "" => None,
            text => Some(TokenKey::new(decode("previous_token_key", text)?)),
        };
        Ok(Self {
            phone: decode("phone_key", config.phone_key.reveal())?,
            token: TokenKey::new(decode("token_key", config.token_key.reveal())?),
            previous,
        })
    }

    /// The key that signs.
    pub(super) fn current(&self) -> &TokenKey {
        &self.token
    }

    /// The key with this name, if it is still believed.
    pub(super) fn by_id(&self, id: &str) -> Option<&TokenKey> {
        self.believed().find(|key| key.id == id)
    }

    /// What a phone is looked up by.
    #[must_use]
    pub fn phone_hash(&self, phone: &Phone) -> PhoneHash {
        PhoneHash(mac(&self.phone, "phone", &[phone.reveal().as_bytes()]))
    }

    /// What a row is looked up by, for one purpose: as [`Keys::phone_hash`], by the key that never changes.
    #[must_use]
    pub(super) fn lookup_hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.phone, purpose, parts)
    }

    /// Signs `parts` for one purpose.
    #[must_use]
    pub fn sign(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.token.secret, purpose, parts)
    }

    /// Whether `tag` is the signature of `parts` for that purpose, by any believed key; in constant time.
    #[must_use]
    pub fn verify(&self, purpose: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.believed().any(|key| mac(&key.secret, purpose, parts).ct_eq(tag).into())
    }

    fn believed(&self) -> impl Iterator<Item = &TokenKey> {
        std::iter::once(&self.token).chain(&self.previous)
    }
}

/// The bytes of a key, if it is one.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() >= MIN_KEY)
}

impl TokenKey {
    fn new(secret: Vec<u8>) -> Self {
        let digest = Sha256::digest(&secret);
        let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self { secret, id }
    }
}

fn mac(key: &[u8], purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length");
    for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
        // The length first, so that no two lists of parts read the same.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use runtime::Secret;

    use super::*;

    fn keys(token: u8, previous: Option<u8>) -> Keys {
        let key = |byte| Secret::new(STANDARD.encode([byte; 32]));
        let config = Config {
            token_key: key(token),
            previous_token_key: previous.map_or(Secret::new(""), key),
            phone_key: key(9),
            ..Config::default()
        };
        Keys::from_config(&config).unwrap()
    }

    #[test]
    fn a_signature_holds_for_its_purpose_and_parts_only() {
        let keys = keys(1, None);
        let tag = keys.sign("a", &[b"x", b"yz"]);
        assert!(keys.verify("a", &[b"x", b"yz"], &tag));
        assert!(!keys.verify("b", &[b"x", b"yz"], &tag));
        assert!(!keys.verify("a", &[b"xy", b"z"], &tag));
        assert!(!keys.verify("a", &[b"x", b"yz"], &tag[..31]));
    }

    #[test]
    fn the_previous_key_is_believed_and_no_other() {
        let tag = keys(1, None).sign("a", &[b"x"]);
        assert!(keys(2, Some(1)).verify("a", &[b"x"], &tag));
        assert!(!keys(2, None).verify("a", &[b"x"], &tag));
    }

    #[test]
    fn a_missing_short_or_garbled_key_is_named() {
        for bad in ["", "c2hvcnQ=", "not base64 at all!"] {
            let config = Config { phone_key: Secret::new(bad), ..Config::default() };
            let error = Keys::from_config(&config).err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some("auth.phone_key must be base64 of at least 32 bytes"));
        }
    }
}
