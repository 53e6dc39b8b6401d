//! A client trades its refresh token for the next pair. A token is its session and generation, signed: rotation
//! with reuse detection (RFC 9700, section 4.14.2) needs no stored secret.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{
    Passenger, Rotation, Session, Shards, StoreError,
    value::{Id, Millis},
};

use super::{Config, Keys, KeysError, Tokens, issue};

/// Why there is no next pair.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not one of ours, expired, or revoked.
    #[error("not a valid refresh token")]
    Invalid,
    /// It was used before: whoever holds this family signs in again.
    #[error("the refresh token was used before")]
    Reused,
    /// No token could be made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A passenger who stays in.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// Who.
    pub passenger: Passenger,
    /// The next pair.
    pub tokens: Tokens,
}

/// The use case.
#[derive(Clone)]
pub struct Refresh {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Signs tokens.
    pub keys: Keys,
    /// Where sessions are kept.
    pub shards: Shards,
}

impl Refresh {
    /// Rotates the session.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, refresh_token: &str, now: Millis) -> Result<Refreshed, Error> {
        let (session_id, generation) = parse(&self.keys, refresh_token).ok_or(Error::Invalid)?;
        let expires_at = now.plus_s(self.config.session_ttl_s);
        let grace_ms = i64::from(self.config.refresh_grace_s) * 1000;
        // Tokens of sessions that are gone stay signed; whoever goes on sending one must not keep the writer busy.
        if !Session::is_open(self.shards.read(session_id.shard()), session_id, now).await? {
            return Err(Error::Invalid);
        }
        // A reuse is an outcome, not an error, inside the transaction: the revocation must be committed.
        let rotation = self
            .shards
            .write_first(session_id.shard(), move |tx| {
                Box::pin(Session::rotate(tx, session_id, generation, now, expires_at, grace_ms))
            })
            .await?;
        let session = match rotation {
            Rotation::Current(session) => session,
            Rotation::Reused => return Err(Error::Reused),
            Rotation::Unknown => return Err(Error::Invalid),
        };
        let passenger = Passenger::find(self.shards.read(session_id.shard()), session.passenger_id).await?;
        Ok(Refreshed {
            passenger: passenger.ok_or(Error::Invalid)?,
            tokens: issue(&self.config, &self.keys, &session, now)?,
        })
    }
}

/// The refresh token of a session's newest generation.
pub(super) fn token(keys: &Keys, session: &Session) -> String {
    let (id, generation) = (session.id.value().to_be_bytes(), session.generation.to_be_bytes());
    let tag = keys.sign("refresh", &[&id, &generation]);
    URL_SAFE_NO_PAD.encode([&id[..], &generation, &tag].concat())
}

/// Session and generation of a token that we signed.
fn parse(keys: &Keys, token: &str) -> Option<(Id<Session>, i32)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (id, rest) = bytes.split_first_chunk::<8>()?;
    let (generation, tag) = rest.split_first_chunk::<4>()?;
    if !keys.verify("refresh", &[id, generation], tag) {
        return None;
    }
    let id = i64::from_be_bytes(*id).to_string().parse().ok()?;
    Some((id, i32::from_be_bytes(*generation)))
}
