//! The two secret keys and what they are used for. Every use has its own label, so that no hash made for one
//! purpose is worth anything for another (HMAC-SHA-256, RFC 2104).

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
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
    secret: Vec<u8>,
    /// The first part of every token that it signed (RFC 7515, section 7.1): names the algorithm and this key.
    pub(super) jwt_header: String,
    /// Has taken the secret in already: half of what signing a short text costs.
    hs256: Hmac<Sha256>,
}

/// Why there are no keys, or a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key is missing, not base64, or short.
    #[error("auth.{0} must be base64 of at least {MIN_KEY} bytes")]
    Form(&'static str),
    /// The claims are no JSON.
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

    /// The key that signs under this header, if it is still believed.
    pub(super) fn by_jwt_header(&self, header: &str) -> Option<&TokenKey> {
        self.believed().find(|key| key.jwt_header == header)
    }

    /// What a phone is looked up by.
    #[must_use]
    pub fn phone_hash(&self, phone: &Phone) -> PhoneHash {
        PhoneHash(mac(&self.phone, "phone", &[phone.reveal().as_bytes()]))
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
        let id: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let jwt_header = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{id}"}}"#));
        let hs256 = keyed(&secret);
        Self { secret, jwt_header, hs256 }
    }

    /// The signature of a token's first two parts (RFC 7518, section 3.2).
    pub(super) fn hs256(&self, message: &[u8]) -> [u8; 32] {
        self.hs256.clone().chain_update(message).finalize().into_bytes().into()
    }

    /// Whether it is that signature; in constant time.
    pub(super) fn is_hs256(&self, message: &[u8], signature: &[u8]) -> bool {
        self.hs256(message).ct_eq(signature).into()
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length")
}

fn mac(key: &[u8], purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
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

    /// RFC 7515, appendix A.1.
    #[test]
    fn a_token_is_signed_as_the_standard_says() {
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = TokenKey::new(URL_SAFE_NO_PAD.decode(secret).unwrap());
        assert_eq!(URL_SAFE_NO_PAD.encode(key.hs256(message.as_bytes())), signature);
        assert!(key.is_hs256(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()));
        assert!(!key.is_hs256(message.as_bytes(), &[]));
    }

    /// A token of the version before this one opens the same doors.
    #[test]
    fn the_header_is_the_one_that_tokens_always_had() {
        let header = TokenKey::new(vec![0; 33]).jwt_header;
        let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert_eq!(header, r#"{"typ":"JWT","alg":"HS256","kid":"7f9c9e31"}"#);
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
