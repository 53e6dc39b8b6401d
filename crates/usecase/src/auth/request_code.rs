//! A passenger asks for a sign-in code. The answer is the same whether or not the phone is known.

use std::sync::Arc;

use entity::{
    OtpChallenge, Shards, StoreError,
    value::{Id, Millis, Phone},
};
use runtime::Entropy;

use super::{Config, Keys};
use crate::port::{PartnerError, Sms, within_timeout};

/// A code that is on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Names the challenge when the code is typed.
    pub challenge_id: Id<OtpChallenge>,
    /// Until when the code works.
    pub expires_at: Millis,
    /// Wait this long before offering another code, seconds.
    pub resend_after_s: u32,
}

/// Why no code was sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The phone was sent enough codes for now.
    #[error("the phone's budget of codes is spent")]
    BudgetSpent {
        /// Codes that a phone may be sent in a window.
        codes: u64,
        /// The window, seconds; it is over by then at the latest.
        window_s: u32,
    },
    /// The SMS partner failed or was slow.
    #[error("sms: {0}")]
    Sms(#[from] PartnerError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct RequestCode {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Hashes phones and codes.
    pub keys: Keys,
    /// Draws codes.
    pub entropy: Entropy,
    /// Where challenges are kept.
    pub shards: Shards,
    /// Sends the code.
    pub sms: Arc<dyn Sms>,
}

impl RequestCode {
    /// Stores a challenge (the code hashed only), then sends the code: it cannot wait in an outbox.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, phone: Phone, now: Millis) -> Result<Sent, Error> {
        let code = format!("{:06}", self.entropy.below(1_000_000));
        let challenge = self.store(phone, code.clone(), now).await?;
        if let Err(error) = within_timeout(self.sms.send_code(&challenge.phone, &code)).await {
            // An outage of the partner must not spend the phone's budget.
            let id = challenge.id;
            self.shards
                .write(id.shard(), move |tx| Box::pin(OtpChallenge::withdraw(tx, id)))
                .await
                .map_err(Error::Store)?;
            return Err(error.into());
        }
        Ok(Sent {
            challenge_id: challenge.id,
            expires_at: challenge.expires_at,
            resend_after_s: self.config.otp_resend_s,
        })
    }

    async fn store(&self, phone: Phone, code: String, now: Millis) -> Result<OtpChallenge, Error> {
        let phone_hash = self.keys.phone_hash(&phone);
        let (config, keys) = (self.config.clone(), self.keys.clone());
        self.shards
            .write(phone_hash.shard(), move |tx| {
                let (config, keys, phone, code) = (config.clone(), keys.clone(), phone.clone(), code.clone());
                Box::pin(async move {
                    let window_start = now.plus_ms(-i64::from(config.otp_window_s) * 1000);
                    if OtpChallenge::count_since(tx, phone_hash, window_start).await? >= config.otp_per_phone {
                        return Err(Error::BudgetSpent { codes: config.otp_per_phone, window_s: config.otp_window_s });
                    }
                    let id = OtpChallenge::draw_id(tx, phone_hash, now)?;
                    let challenge = OtpChallenge { id, phone, phone_hash, expires_at: now.plus_s(config.otp_ttl_s) };
                    challenge.insert(tx, code_hash(&keys, id, &code), config.otp_attempts).await?;
                    Ok(challenge)
                })
            })
            .await
    }
}

/// A code is hashed together with its challenge: a table of all million codes helps nobody.
pub(super) fn code_hash(keys: &Keys, challenge: Id<OtpChallenge>, code: &str) -> [u8; 32] {
    keys.sign("otp", &[&challenge.value().to_be_bytes(), code.as_bytes()])
}

/// Whether `code` is the one behind `stored`; in constant time.
pub(super) fn code_matches(keys: &Keys, challenge: Id<OtpChallenge>, code: &str, stored: &[u8]) -> bool {
    keys.verify("otp", &[&challenge.value().to_be_bytes(), code.as_bytes()], stored)
}
