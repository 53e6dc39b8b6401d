//! A passenger asks for a sign-in code. The answer is the same whether or not the phone is known.

use std::{net::IpAddr, sync::Arc};

use entity::{
    Conn, OtpChallenge, OtpVerdict, Shards, StoreError,
    value::{Id, Millis, Phone, PhoneHash},
};
use runtime::Entropy;

use super::{
    BudgetView, Config, Keys,
    budgets::{self, Ask},
};
use crate::port::{PartnerError, Sms, within_timeout};

/// What the client sends, and from where.
#[derive(Clone, Debug)]
pub struct Command {
    /// Where the code shall go.
    pub phone: Phone,
    /// Names the device, if the client does: one that has signed in with the phone has budgets of its own.
    pub device_id: Option<String>,
    /// The client's address.
    pub address: IpAddr,
}

/// A code that is on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Names the challenge when the code is typed.
    pub challenge_id: Id<OtpChallenge>,
    /// Until when the code works.
    pub expires_at: Millis,
    /// Wait this long before offering another code, seconds.
    pub resend_after_s: u32,
    /// What is left of the asker's own budgets.
    pub budgets: Vec<BudgetView>,
}

/// Why no code was sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Enough codes were sent for now: the budgets that say so, at least one.
    #[error("a budget of codes is spent")]
    BudgetSpent(Vec<BudgetView>),
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
    /// Takes the code from every budget and stores a challenge (the code hashed only), then sends the code: it cannot
    /// wait in an outbox.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, command: Command, now: Millis) -> Result<Sent, Error> {
        let phone_hash = self.keys.phone_hash(&command.phone);
        let ask = Ask::new(&self.keys, phone_hash, command.address, command.device_id.as_deref());
        // Who is refused waits for nobody's writing and keeps nobody's waiting; who is admitted is asked again.
        admitted(&ask, || self.shards.read(phone_hash.shard()), &self.config, &self.keys, now).await?;
        let code = format!("{:06}", self.entropy.below(1_000_000));
        let (challenge, verdict) = self.store(command.phone, phone_hash, ask, code.clone(), now).await?;
        if let Err(error) = within_timeout(self.sms.send_code(&challenge.phone, &code)).await {
            // An outage of the partner must not spend anybody's budget.
            let id = challenge.id;
            self.shards
                .write(id.shard(), move |tx| {
                    let verdict = verdict.clone();
                    Box::pin(async move {
                        verdict.give_back(tx).await?;
                        OtpChallenge::withdraw(tx, id).await
                    })
                })
                .await
                .map_err(Error::Store)?;
            return Err(error.into());
        }
        Ok(Sent {
            challenge_id: challenge.id,
            expires_at: challenge.expires_at,
            resend_after_s: self.config.otp_resend_s,
            budgets: budgets::own(&verdict, now),
        })
    }

    async fn store(
        &self,
        phone: Phone,
        phone_hash: PhoneHash,
        ask: Ask,
        code: String,
        now: Millis,
    ) -> Result<(OtpChallenge, OtpVerdict), Error> {
        let (config, keys) = (self.config.clone(), self.keys.clone());
        self.shards
            .write(phone_hash.shard(), move |tx| {
                let (config, keys) = (config.clone(), keys.clone());
                let (phone, ask, code) = (phone.clone(), ask.clone(), code.clone());
                Box::pin(async move {
                    let verdict = admitted(&ask, || tx.into(), &config, &keys, now).await?;
                    verdict.spend(tx).await?;
                    let id = OtpChallenge::draw_id(tx, phone_hash, now)?;
                    let challenge = OtpChallenge { id, phone, phone_hash, expires_at: now.plus_s(config.otp_ttl_s) };
                    challenge.insert(tx, code_hash(&keys, id, &code), config.otp_attempts).await?;
                    Ok((challenge, verdict))
                })
            })
            .await
    }
}

/// What the budgets say, if they all have a code.
async fn admitted<'c>(
    ask: &Ask,
    conn: impl Fn() -> Conn<'c> + Send,
    config: &Config,
    keys: &Keys,
    now: Millis,
) -> Result<OtpVerdict, Error> {
    let verdict = ask.verdict(conn, config, keys, now).await?;
    let refusals = budgets::refusals(&verdict);
    if refusals.is_empty() { Ok(verdict) } else { Err(Error::BudgetSpent(refusals)) }
}

/// A code is hashed together with its challenge: a table of all million codes helps nobody.
pub(super) fn code_hash(keys: &Keys, challenge: Id<OtpChallenge>, code: &str) -> [u8; 32] {
    keys.sign("otp", &[&challenge.value().to_be_bytes(), code.as_bytes()])
}

/// Whether `code` is the one behind `stored`; in constant time.
pub(super) fn code_matches(keys: &Keys, challenge: Id<OtpChallenge>, code: &str, stored: &[u8]) -> bool {
    keys.verify("otp", &[&challenge.value().to_be_bytes(), code.as_bytes()], stored)
}
