//! Signing in with a phone: codes, access tokens, refresh tokens.

pub mod access;
mod keys;
pub mod refresh;
pub mod request_code;
pub mod sign_in;
pub mod sign_out;

use entity::Session;
pub use keys::{Keys, KeysError};
use runtime::{Invalid, Secret, within};
use serde::{Deserialize, Serialize};

/// The `[auth]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a code works, seconds.
    pub otp_ttl_s: u32,
    /// How often a code may be typed wrong.
    pub otp_attempts: i16,
    /// What a client is told to wait before it offers to send another code, seconds.
    pub otp_resend_s: u32,
    /// Codes that one phone may be sent within `otp_window_s`.
    pub otp_per_phone: u64,
    /// See `otp_per_phone`, seconds.
    pub otp_window_s: u32,
    /// How long an access token lives, seconds. It cannot be taken back before.
    pub access_ttl_s: u32,
    /// How long a refresh token lives when it is not used, seconds.
    pub session_ttl_s: u32,
    /// How long the refresh token before the newest gives the newest again (an answer got lost), seconds.
    pub refresh_grace_s: u32,
    /// Signs tokens: base64, at least 32 bytes. The `local` profile makes one under `data/`.
    pub token_key: Secret,
    /// The key before it, still believed while its tokens live.
    pub previous_token_key: Secret,
    /// Hashes phone numbers: base64, at least 32 bytes. Never changes: passengers are found by it.
    pub phone_key: Secret,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            otp_ttl_s: 300,
            otp_attempts: 5,
            otp_resend_s: 30,
            otp_per_phone: 20,
            otp_window_s: 600,
            access_ttl_s: 600,
            session_ttl_s: 30 * 24 * 3600,
            refresh_grace_s: 30,
            token_key: Secret::new(""),
            previous_token_key: Secret::new(""),
            phone_key: Secret::new(""),
        }
    }
}

impl Config {
    /// Checks what the types cannot. Whether a key that is not set is needed depends on the profile.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("otp_ttl_s", self.otp_ttl_s, 1..=3600, "seconds")?;
        within("otp_resend_s", self.otp_resend_s, 1..=3600, "seconds")?;
        within("otp_window_s", self.otp_window_s, 1..=86_400, "seconds")?;
        within("access_ttl_s", self.access_ttl_s, 1..=86_400, "seconds")?;
        within("session_ttl_s", self.session_ttl_s, 1..=366 * 86_400, "seconds")?;
        within("refresh_grace_s", self.refresh_grace_s, 1..=300, "seconds")?;
        within("otp_attempts", self.otp_attempts, 1..=20, "")?;
        if self.otp_per_phone == 0 {
            return Err(Invalid::new("otp_per_phone", "at least 1"));
        }
        for (name, key) in [
            ("token_key", &self.token_key),
            ("previous_token_key", &self.previous_token_key),
            ("phone_key", &self.phone_key),
        ] {
            if !key.reveal().is_empty() && keys::decode(key.reveal()).is_none() {
                return Err(Invalid::new(name, format!("base64 of at least {} bytes", keys::MIN_KEY)));
            }
        }
        Ok(())
    }
}

/// What a signed-in client holds.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// For the `Authorization` header.
    pub access_token: String,
    /// How long it lives, seconds.
    pub expires_in: u32,
    /// For the next pair.
    pub refresh_token: String,
}

/// Makes both tokens of a session.
fn issue(config: &Config, keys: &Keys, session: &Session, now: entity::value::Millis) -> Result<Tokens, KeysError> {
    Ok(Tokens {
        access_token: access::sign(config, keys, session, now)?,
        expires_in: config.access_ttl_s,
        refresh_token: refresh::token(keys, session),
    })
}
