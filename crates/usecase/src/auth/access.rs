//! Access tokens: JWT (RFC 7519), HS256, verified without the database and without a copy of the token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{
    Passenger, Session,
    value::{Id, Millis},
};
use serde::{Deserialize, Serialize};

use super::{Config, Keys, KeysError};

/// Longest claims that are read, bytes of JSON: ours are below 300, with a device id of 128 characters below 1,000.
const MAX_CLAIMS: usize = 2048;

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The passenger.
    pub passenger_id: Id<Passenger>,
    /// The session that signed in.
    pub session_id: Id<Session>,
    /// The device that signed in; a token from before there was such a claim has none.
    pub device_id: Option<Box<str>>,
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

#[derive(Serialize)]
struct Signed<'a> {
    sub: String,
    sid: String,
    dev: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Claims<'a> {
    // Ids hold nothing that JSON would escape.
    sub: &'a str,
    sid: &'a str,
    dev: Option<Box<str>>,
    iat: i64,
    exp: i64,
}

pub(super) fn sign(config: &Config, keys: &Keys, session: &Session, now: Millis) -> Result<String, KeysError> {
    let claims = Signed {
        sub: session.passenger_id.to_string(),
        sid: session.id.to_string(),
        dev: &session.device_id,
        iat: now.0 / 1000,
        // Whole seconds (RFC 7519), upwards: the client was told that it lives for all of `expires_in`.
        exp: (now.plus_s(config.access_ttl_s).0 + 999) / 1000,
    };
    let claims = serde_json::to_vec(&claims).map_err(|e| KeysError::Sign(e.to_string()))?;
    let key = keys.current();
    let mut token = format!("{}.", key.jwt_header);
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.hs256(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// Who the token speaks for, at `now`.
///
/// # Errors
/// [`Denied`] says whether to refresh or to sign in again.
pub fn verify(keys: &Keys, token: &str, now: Millis) -> Result<Access, Denied> {
    let (message, signature) = token.rsplit_once('.').ok_or(Denied::Invalid)?;
    let (header, claims) = message.split_once('.').ok_or(Denied::Invalid)?;
    // The header is to the letter the one that we write: it names the key, and there is no algorithm to choose.
    let key = keys.by_jwt_header(header).ok_or(Denied::Invalid)?;
    let mut buffer = [0; MAX_CLAIMS];
    let decode =
        |text: &str, buffer: &mut [u8]| URL_SAFE_NO_PAD.decode_slice(text, buffer).map_err(|_| Denied::Invalid);
    let length = decode(signature, &mut buffer)?;
    if !key.is_hs256(message.as_bytes(), &buffer[..length]) {
        return Err(Denied::Invalid);
    }
    let length = decode(claims, &mut buffer)?;
    let claims: Claims<'_> = serde_json::from_slice(&buffer[..length]).map_err(|_| Denied::Invalid)?;
    let expires_at = Millis(claims.exp.saturating_mul(1000));
    // A clock that was set back gives no token a second life; a refresh gives the next one.
    if now >= expires_at || Millis(claims.iat.saturating_mul(1000)).is_from_the_future(now) {
        return Err(Denied::Expired);
    }
    Ok(Access {
        passenger_id: claims.sub.parse().map_err(|_| Denied::Invalid)?,
        session_id: claims.sid.parse().map_err(|_| Denied::Invalid)?,
        device_id: claims.dev,
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use entity::value::Shard;
    use runtime::Secret;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Millis = Millis(1_790_000_000_000);

    fn keys() -> (Config, Keys) {
        let key = Secret::new("A".repeat(44));
        let config = Config { access_ttl_s: 600, token_key: key.clone(), phone_key: key, ..Config::default() };
        let keys = Keys::from_config(&config).unwrap();
        (config, keys)
    }

    fn session(device_id: &str) -> Session {
        let id = Id::new(NOW, 0, Shard::new(5).unwrap()).unwrap();
        let passenger_id = Id::new(NOW, 0, Shard::new(5).unwrap()).unwrap();
        Session { id, passenger_id, device_id: device_id.to_owned(), generation: 1 }
    }

    fn decoded(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// A token with this header and these claims, signed with the right key.
    fn forged(keys: &Keys, header: &Value, claims: &Value) -> String {
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = URL_SAFE_NO_PAD.encode(keys.current().hs256(message.as_bytes()));
        format!("{message}.{signature}")
    }

    #[test]
    fn a_token_lives_for_as_long_as_its_client_is_told() {
        let (config, keys) = keys();
        for ms in [0, 1, 999] {
            let now = NOW.plus_ms(ms);
            let session = session("phone");
            let token = sign(&config, &keys, &session, now).unwrap();
            let access = verify(&keys, &token, now.plus_ms(599_999)).unwrap();
            assert_eq!((access.session_id, access.passenger_id), (session.id, session.passenger_id));
            assert_eq!(verify(&keys, &token, access.expires_at), Err(Denied::Expired));
            assert!(access.expires_at.since_ms(now) < 601_000);
        }
    }

    #[test]
    fn a_token_tells_the_device_whatever_its_name_is() {
        let (config, keys) = keys();
        for device in ["phone", "a \"quoted\" \\ name", "телефон 📱", &"x".repeat(128), &"🚕".repeat(128)] {
            let token = sign(&config, &keys, &session(device), NOW).unwrap();
            assert_eq!(verify(&keys, &token, NOW).unwrap().device_id.as_deref(), Some(device));
        }
    }

    #[test]
    fn a_token_from_before_devices_were_told_has_none() {
        let (config, keys) = keys();
        let token = sign(&config, &keys, &session("phone"), NOW).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let mut claims = decoded(parts[1]);
        claims.as_object_mut().unwrap().remove("dev");
        // The header stays as it is written, letter by letter.
        let message = format!("{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(keys.current().hs256(message.as_bytes()));
        assert_eq!(verify(&keys, &format!("{message}.{signature}"), NOW).unwrap().device_id, None);
    }

    #[test]
    fn no_header_but_ours_is_believed_however_well_it_is_signed() {
        let (config, keys) = keys();
        let token = sign(&config, &keys, &session("phone"), NOW).unwrap();
        let mut parts = token.split('.');
        let (header, claims) = (decoded(parts.next().unwrap()), decoded(parts.next().unwrap()));
        assert_eq!((&header["typ"], &header["alg"]), (&json!("JWT"), &json!("HS256")));
        for (member, value) in [
            ("alg", json!("none")),
            ("alg", json!("HS512")),
            ("kid", json!("other")),
            ("kid", json!(null)),
            ("crit", json!(["x"])),
        ] {
            let mut header = header.clone();
            header[member] = value;
            assert_eq!(verify(&keys, &forged(&keys, &header, &claims), NOW), Err(Denied::Invalid), "{header}");
        }
    }

    #[test]
    fn a_token_with_one_letter_changed_is_nobodys() {
        let (config, keys) = keys();
        let token = sign(&config, &keys, &session("phone"), NOW).unwrap();
        assert!(verify(&keys, &token, NOW).is_ok());
        for at in 0..token.len() {
            for letter in ["A", "b", "_", ".", "="] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, letter);
                // The last letter has bits that no byte needs; another spelling of them is refused as well.
                assert!(changed == token || verify(&keys, &changed, NOW).is_err(), "{at} {letter}");
            }
        }
        for cut in
            ["", ".", "..", "...", &token[..token.len() - 1], &token[1..], &format!("{token}."), &format!(".{token}")]
        {
            assert_eq!(verify(&keys, cut, NOW), Err(Denied::Invalid), "{cut}");
        }
        assert_eq!(verify(&keys, &"a".repeat(100_000), NOW), Err(Denied::Invalid));
        let huge = format!("{}.{}.{}", token.split('.').next().unwrap(), "a".repeat(60_000), "a".repeat(60_000));
        assert_eq!(verify(&keys, &huge, NOW), Err(Denied::Invalid));
    }
}
