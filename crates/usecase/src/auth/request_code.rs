//! A passenger asks for a sign-in code. The answer is the same whether or not the phone is known.

use std::{net::IpAddr, sync::Arc};

use entity::{
    OtpBudget, OtpChallenge, OtpVerdict, Shards, StoreError,
    value::{Id, Millis, Phone, PhoneHash, Shard},
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
        let code = format!("{:06}", self.entropy.below(1_000_000));
        let new = NewChallenge { phone: command.phone, phone_hash, code };
        let (challenge, verdict) = self.admit(&ask, &new, now).await?;
        if let Err(error) = within_timeout(self.sms.send_code(&challenge.phone, &new.code)).await {
            // An outage of the partner must not spend anybody's budget.
            self.withdraw(&challenge, &verdict).await?;
            return Err(error.into());
        }
        Ok(Sent {
            challenge_id: challenge.id,
            expires_at: challenge.expires_at,
            resend_after_s: self.config.otp_resend_s,
            budgets: budgets::own(&verdict, now),
        })
    }

    /// Takes the code and stores the challenge. Who is refused waits for nobody's writing and keeps nobody's waiting: only
    /// what was admitted by a read is taken. A racer may have been faster then, and there may be another side to take it
    /// from.
    async fn admit(&self, ask: &Ask, new: &NewChallenge, now: Millis) -> Result<(OtpChallenge, OtpVerdict), Error> {
        let mut refused = Vec::new();
        for races in 1..=RACES {
            let verdict = ask.verdict(&self.shards, &self.config, &self.keys, now).await?;
            refused = budgets::refusals(&verdict);
            if !refused.is_empty() {
                break;
            }
            match self.take(budgets::asked(&verdict), new, now).await {
                Ok(Taken::All(challenge, verdict)) => return Ok((challenge, verdict)),
                Ok(Taken::Refused(verdict)) => refused = budgets::refusals(&verdict),
                // The shard of one of them has just moved: they lie in other groups now.
                Err(StoreError::Apart) if races < RACES => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::BudgetSpent(refused))
    }

    /// Takes a code from all `budgets` or from none: a transaction on each database that holds some. The phone's comes first,
    /// with the challenge: whoever asks too often for one phone must not hold, even for a moment, what others ask for. Then
    /// the other databases in their order; when one refuses, what was taken is given back.
    async fn take(&self, budgets: Vec<OtpBudget>, new: &NewChallenge, now: Millis) -> Result<Taken, StoreError> {
        let (home, others) = OtpBudget::by_database(&self.shards, budgets, new.phone_hash.shard());
        let (challenge, mut taken) = match self.store(home, new.clone(), now).await? {
            (Some(challenge), verdict) => (challenge, vec![verdict]),
            (None, verdict) => return Ok(Taken::Refused(verdict)),
        };
        for group in others {
            let take = self.shards.write_together(shards_of(&group), move |tx| {
                let group = group.clone();
                Box::pin(async move { OtpBudget::take(tx, &group, now).await })
            });
            let refused = match take.await {
                Ok(verdict) if verdict.wait_ms() == 0 => {
                    taken.push(verdict);
                    continue;
                }
                Ok(verdict) => Ok(Taken::Refused(verdict)),
                Err(error) => Err(error),
            };
            self.withdraw(&challenge, &OtpVerdict::joined(taken)).await?;
            return refused;
        }
        Ok(Taken::All(challenge, OtpVerdict::joined(taken)))
    }

    /// Takes the phone's budgets, and what lies beside them, with the challenge; no challenge when one refuses.
    async fn store(
        &self,
        budgets: Vec<OtpBudget>,
        new: NewChallenge,
        now: Millis,
    ) -> Result<(Option<OtpChallenge>, OtpVerdict), StoreError> {
        let (config, keys) = (self.config.clone(), self.keys.clone());
        let shards = std::iter::once(new.phone_hash.shard()).chain(shards_of(&budgets)).collect();
        self.shards
            .write_together(shards, move |tx| {
                let (config, keys) = (config.clone(), keys.clone());
                let (budgets, NewChallenge { phone, phone_hash, code }) = (budgets.clone(), new.clone());
                Box::pin(async move {
                    let verdict = OtpBudget::take(tx, &budgets, now).await?;
                    if verdict.wait_ms() > 0 {
                        return Ok((None, verdict));
                    }
                    let id = OtpChallenge::draw_id(tx, phone_hash, now)?;
                    let challenge = OtpChallenge { id, phone, phone_hash, expires_at: now.plus_s(config.otp_ttl_s) };
                    challenge.insert(tx, code_hash(&keys, id, &code), config.otp_attempts).await?;
                    Ok((Some(challenge), verdict))
                })
            })
            .await
    }

    /// Gives the code back to every budget and removes the challenge.
    async fn withdraw(&self, challenge: &OtpChallenge, verdict: &OtpVerdict) -> Result<(), StoreError> {
        let id = challenge.id;
        let withdraw = self.shards.write(id.shard(), move |tx| Box::pin(OtpChallenge::withdraw(tx, id)));
        withdraw.await?;
        // One by one: wherever they lie by now, this changes them.
        for budget in budgets::asked(verdict) {
            self.shards
                .write::<_, StoreError, _>(budget.shard, move |tx| {
                    Box::pin(async move { OtpBudget::give_back(tx, &[budget]).await })
                })
                .await?;
        }
        Ok(())
    }
}

/// How often a code is asked for again because somebody else took what a read had seen.
const RACES: u32 = 3;

fn shards_of(budgets: &[OtpBudget]) -> Vec<Shard> {
    budgets.iter().map(|budget| budget.shard).collect()
}

/// A challenge before it has an id.
#[derive(Clone)]
struct NewChallenge {
    phone: Phone,
    phone_hash: PhoneHash,
    code: String,
}

/// What became of a code that a read had admitted.
enum Taken {
    /// Every budget gave one.
    All(OtpChallenge, OtpVerdict),
    /// One did not; nothing is taken.
    Refused(OtpVerdict),
}

/// A code is hashed together with its challenge: a table of all million codes helps nobody.
pub(super) fn code_hash(keys: &Keys, challenge: Id<OtpChallenge>, code: &str) -> [u8; 32] {
    keys.sign("otp", &[&challenge.value().to_be_bytes(), code.as_bytes()])
}

/// Whether `code` is the one behind `stored`; in constant time.
pub(super) fn code_matches(keys: &Keys, challenge: Id<OtpChallenge>, code: &str, stored: &[u8]) -> bool {
    keys.verify("otp", &[&challenge.value().to_be_bytes(), code.as_bytes()], stored)
}
