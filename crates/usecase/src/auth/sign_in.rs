//! A passenger types the code: the phone's passenger is found or made, and a session opened.

use std::sync::Arc;

use entity::{
    OtpChallenge, OtpCheck, Passenger, Session, Shards, SignedUp, StoreError,
    value::{Id, Millis},
};

use super::{Config, Keys, KeysError, Tokens, budgets::known_device, issue, request_code::code_matches};

/// What the client sends.
#[derive(Clone)]
pub struct Command {
    /// The challenge.
    pub challenge_id: Id<OtpChallenge>,
    /// What was typed.
    pub code: String,
    /// Names the device.
    pub device_id: String,
}

/// A passenger who is in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub passenger: Passenger,
    /// Whether the phone was new.
    pub is_new: bool,
    /// What the client holds from now on.
    pub tokens: Tokens,
}

/// Why nobody is in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The code is wrong.
    #[error("wrong code")]
    Wrong {
        /// How many more tries there are.
        attempts_left: i16,
    },
    /// The challenge is expired, used, exhausted, or was never made.
    #[error("the challenge is over")]
    Gone,
    /// No token could be made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct SignIn {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Checks codes, signs tokens.
    pub keys: Keys,
    /// Where passengers are kept.
    pub shards: Shards,
}

/// A wrong code is an outcome, not an error, inside the transaction: its attempt must be committed.
enum Outcome {
    In { passenger: Passenger, is_new: bool, session: Session },
    Wrong { attempts_left: i16 },
    Gone,
}

impl SignIn {
    /// Checks the code and opens a session, in one transaction.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, command: Command, now: Millis) -> Result<SignedIn, Error> {
        let (keys, config) = (self.keys.clone(), self.config.clone());
        let outcome = self
            .shards
            .write(command.challenge_id.shard(), move |tx| {
                let (keys, config, command) = (keys.clone(), config.clone(), command.clone());
                Box::pin(async move {
                    let matches = |stored: &[u8]| code_matches(&keys, command.challenge_id, &command.code, stored);
                    let challenge = match OtpChallenge::check(tx, command.challenge_id, now, matches).await? {
                        OtpCheck::Right(challenge) => challenge,
                        OtpCheck::Wrong { attempts_left } => return Ok(Outcome::Wrong { attempts_left }),
                        OtpCheck::Gone => return Ok(Outcome::Gone),
                    };
                    let signed_up = Passenger::find_or_create(tx, &challenge.phone, challenge.phone_hash, now).await?;
                    let (passenger, is_new) = match signed_up {
                        SignedUp::Known(passenger) => (passenger, false),
                        SignedUp::New(passenger) => (passenger, true),
                    };
                    let expires_at = now.plus_s(config.session_ttl_s);
                    let session = Session::open(tx, passenger.id, &command.device_id, now, expires_at).await?;
                    let device = known_device(&keys, challenge.phone_hash, &command.device_id);
                    device.remember(tx, now.plus_s(config.known_device_ttl_s)).await?;
                    Ok::<_, StoreError>(Outcome::In { passenger, is_new, session })
                })
            })
            .await?;
        match outcome {
            Outcome::In { passenger, is_new, session } => {
                Ok(SignedIn { passenger, is_new, tokens: issue(&self.config, &self.keys, &session, now)? })
            }
            Outcome::Wrong { attempts_left } => Err(Error::Wrong { attempts_left }),
            Outcome::Gone => Err(Error::Gone),
        }
    }
}
