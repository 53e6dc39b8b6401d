//! Access tokens: JWT (RFC 7519), HS256, verified without the database.

use entity::{
    Passenger, Session,
    value::{Id, Millis},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{Config, Keys, KeysError, jwt_crypto};

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The passenger.
    pub passenger_id: Id<Passenger>,
    /// The session that signed in.
    pub session_id: Id<Session>,
    /// When the token ends.
    pub expires_at: Millis,
}

/// Why a token does not open anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its time is over: refresh.
    #[error("the access token has expired")]
    Expired,
    /// Not one of ours.
    #[error("not a valid access token")]
    Invalid,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    sid: String,
    dev: String,
    iat: i64,
    exp: i64,
}

pub(super) fn sign(config: &Config, keys: &Keys, session: &Session, now: Millis) -> Result<String, KeysError> {
    jwt_crypto::install();
    let key = keys.current();
    let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
    let claims = Claims {
        sub: session.passenger_id.to_string(),
        sid: session.id.to_string(),
        dev: session.device_id.clone(),
        iat: now.0 / 1000,
        // Whole seconds (RFC 7519), upwards: the client was told that it lives for all of `expires_in`.
        exp: (now.plus_s(config.access_ttl_s).0 + 999) / 1000,
    };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&key.secret))
        .map_err(|e| KeysError::Sign(e.to_string()))
}

/// Who the token speaks for, at `now`.
///
/// # Errors
/// [`Denied`] says whether to refresh or to sign in again.
pub fn verify(keys: &Keys, token: &str, now: Millis) -> Result<Access, Denied> {
    jwt_crypto::install();
    let header = jsonwebtoken::decode_header(token).map_err(|_| Denied::Invalid)?;
    let key = header.kid.and_then(|kid| keys.by_id(&kid)).ok_or(Denied::Invalid)?;
    let mut validation = Validation::new(Algorithm::HS256);
    // The library would read the clock itself, with a leeway: time is an argument here, and `exp` is exact.
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&key.secret), &validation)
        .map_err(|_| Denied::Invalid)?
        .claims;
    let expires_at = Millis(claims.exp.saturating_mul(1000));
    // A clock that was set back gives no token a second life; a refresh gives the next one.
    if now >= expires_at || Millis(claims.iat.saturating_mul(1000)).is_from_the_future(now) {
        return Err(Denied::Expired);
    }
    Ok(Access {
        passenger_id: claims.sub.parse().map_err(|_| Denied::Invalid)?,
        session_id: claims.sid.parse().map_err(|_| Denied::Invalid)?,
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use entity::value::Shard;
    use runtime::Secret;

    use super::*;

    #[test]
    fn a_token_lives_for_as_long_as_its_client_is_told() {
        let key = Secret::new("A".repeat(44));
        let config = Config { access_ttl_s: 600, token_key: key.clone(), phone_key: key, ..Config::default() };
        let keys = Keys::from_config(&config).unwrap();
        for ms in [0, 1, 999] {
            let now = Millis(1_790_000_000_000 + ms);
            let id = Id::new(now, 0, Shard::new(5).unwrap()).unwrap();
            let passenger_id = Id::new(now, 0, Shard::new(5).unwrap()).unwrap();
            let session = Session { id, passenger_id, device_id: "phone".to_owned(), generation: 1 };
            let token = sign(&config, &keys, &session, now).unwrap();
            let access = verify(&keys, &token, now.plus_ms(599_999)).unwrap();
            assert_eq!((access.session_id, access.passenger_id), (id, passenger_id));
            assert_eq!(verify(&keys, &token, access.expires_at), Err(Denied::Expired));
            assert!(access.expires_at.since_ms(now) < 601_000);
        }
    }
}
