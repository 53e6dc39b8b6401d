//! One ride's messages, one after the other.

use entity::{
    Actor, Change, Illegal, Message, OutboxEntry, Payment, PaymentStatus, Ride, RideStatus, StoreError, Tx,
    value::{Id, Millis, Money},
};
use futures_util::future::try_join_all;
use runtime::{failpoint, task::catch_panic};

use super::Relay;
use crate::{
    driver_index::{failpoints, write_row},
    port::{Authorisation, DispatchRequest, PARTNER_TIMEOUT, PartnerError, within_timeout},
    rides::{ChangeError, commit},
};

/// Time left of a lease below which a fresh message is left to the sweep: a partner's time-out and a margin.
const LEASE_MARGIN_MS: i64 = PARTNER_TIMEOUT.as_millis() as i64 + 2_000;

/// Payments that can still be taken or freed.
const OPEN: [PaymentStatus; 3] = [PaymentStatus::Pending, PaymentStatus::Authorised, PaymentStatus::Failed];

/// What a partner said, or came of what was done for one.
enum Said {
    /// Done, or no longer wanted: only acknowledge.
    Done,
    /// The fare is reserved, or not.
    Authorisation(Authorisation),
    /// This much was taken.
    Captured(i64),
    /// What was reserved is free.
    Voided,
    /// The driver index has the row.
    Indexed,
}

impl Relay {
    /// Delivers the ride's messages until there is none that may be delivered now.
    pub(super) async fn deliver_ride(&self, ride_id: Id<Ride>) {
        while self.deliver_heads(ride_id).await.unwrap_or_else(|error| {
            // The message stays; its lease runs out and the sweep finds it.
            tracing::warn!(%ride_id, %error, "a delivery could not be recorded");
            false
        }) {}
    }

    /// Delivers the oldest message to each partner, at the same time: a slow one holds up nobody else. `false` when
    /// that led nowhere.
    async fn deliver_heads(&self, ride_id: Id<Ride>) -> Result<bool, StoreError> {
        let heads = OutboxEntry::heads(self.shards.read(ride_id.shard()), ride_id).await?;
        let delivered = try_join_all(heads.iter().map(|head| self.deliver(head))).await?;
        Ok(delivered.contains(&true))
    }

    /// Delivers one message; `false` when it is not ours to deliver now, or the partner failed.
    async fn deliver(&self, entry: &OutboxEntry) -> Result<bool, StoreError> {
        let ride_id = entry.key.ride_id;
        if !self.take(entry).await? {
            return Ok(false);
        }
        let Some(ride) = Ride::find(self.shards.read(ride_id.shard()), ride_id).await? else { return Ok(false) };
        // A partner's code that panics is a partner that failed.
        let said = catch_panic(self.tell(&ride, &entry.message)).await;
        match said.unwrap_or_else(|panic| Err(PartnerError::Unavailable(panic))) {
            Ok(said) => {
                let indexed = matches!(said, Said::Indexed);
                self.record(entry, said).await?;
                if indexed {
                    failpoint::reach(failpoints::OUTBOX_ACKNOWLEDGED);
                }
                Ok(true)
            }
            Err(error) => self.put_off(entry, &error).await.map(|()| false),
        }
    }

    /// Whether this node may deliver the message now: a fresh one is ours for its lease, a due one must be claimed.
    async fn take(&self, entry: &OutboxEntry) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let Some(due_at) = entry.due_at else { return Ok(false) };
        if !entry.is_due(now, self.longest_wait_ms()) {
            return Ok(entry.attempts == 0 && due_at.since_ms(now) > LEASE_MARGIN_MS);
        }
        let entry = entry.clone();
        self.shards
            .write(entry.key.ride_id.shard(), move |tx| {
                let entry = entry.clone();
                Box::pin(async move { entry.claim(tx, now).await })
            })
            .await
    }

    async fn tell(&self, ride: &Ride, message: &Message) -> Result<Said, PartnerError> {
        match message {
            // The ride ended before anybody was asked: what follows it in the order frees what there is.
            Message::Authorise if ride.status.is_terminal() => Ok(Said::Done),
            Message::Authorise => {
                let call = self.payments.authorise(ride.id, ride.passenger_id, ride.fare);
                within_timeout(call).await.map(Said::Authorisation)
            }
            Message::RequestDriver if ride.status != RideStatus::Requested => Ok(Said::Done),
            Message::RequestDriver => {
                let request = DispatchRequest {
                    ride_id: ride.id,
                    product: ride.product,
                    pickup: ride.pickup,
                    dropoff: ride.dropoff,
                };
                within_timeout(self.dispatch.request(request)).await.map(|()| Said::Done)
            }
            // It comes late, from a dead letter perhaps: the ride has its next driver, who must not be let go.
            Message::WithdrawDriver if ride.driver.is_some() && !ride.status.is_terminal() => Ok(Said::Done),
            Message::WithdrawDriver => within_timeout(self.dispatch.withdraw(ride.id)).await.map(|()| Said::Done),
            Message::Capture { amount } => {
                let call = self.payments.capture(ride.id, Money::new(*amount, ride.fare.currency));
                within_timeout(call).await.map(|()| Said::Captured(*amount))
            }
            Message::Void => within_timeout(self.payments.void(ride.id)).await.map(|()| Said::Voided),
            Message::IndexDriver { driver_id } => {
                write_row(&self.shards, ride.id, driver_id).await.map(|()| Said::Indexed)
            }
        }
    }

    /// Acknowledges the message and commits what the partner's answer means, in one transaction.
    async fn record(&self, entry: &OutboxEntry, said: Said) -> Result<(), StoreError> {
        let (key, now, timeouts) = (entry.key, self.clock.now(), self.rides.timeouts());
        let said = std::sync::Arc::new(said);
        self.shards
            .write(key.ride_id.shard(), move |tx| {
                let said = said.clone();
                Box::pin(async move {
                    if !OutboxEntry::acknowledge(tx, key).await? {
                        // Somebody else delivered it as well and was faster.
                        return Ok(());
                    }
                    match *said {
                        Said::Done | Said::Indexed => Ok(()),
                        Said::Authorisation(answer) => authorised(tx, key.ride_id, answer, &timeouts, now).await,
                        Said::Captured(amount) => {
                            let _ = Payment::advance(tx, key.ride_id, &OPEN, PaymentStatus::Captured, amount).await?;
                            Ok(())
                        }
                        Said::Voided => {
                            let _ = Payment::advance(tx, key.ride_id, &OPEN, PaymentStatus::Voided, 0).await?;
                            Ok(())
                        }
                    }
                })
            })
            .await
    }

    async fn put_off(&self, entry: &OutboxEntry, error: &PartnerError) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (key, message, attempts) = (entry.key, entry.message.clone(), entry.attempts + 1);
        // These two are given up when the ride ends, which it does by itself.
        let until_the_ride_ends = matches!(message, Message::Authorise | Message::RequestDriver);
        // This one never: the ride's log says that the row is there.
        let for_ever = matches!(message, Message::IndexDriver { .. });
        let backoff = self.backoff_ms(entry.attempts, key.ride_id);
        let backoff = if until_the_ride_ends { backoff.min(5_000) } else { backoff };
        let many = attempts >= self.config.max_attempts;
        let dead = many && !until_the_ride_ends && !for_ever;
        let due_at = (!dead).then(|| now.plus_ms(backoff));
        if dead {
            tracing::error!(message = message.kind(), %key, attempts, %error, "given up: a dead letter");
        } else if many && for_ever {
            tracing::error!(message = message.kind(), %key, attempts, backoff, %error, "still failing, tried again later");
        } else {
            tracing::warn!(message = message.kind(), %key, attempts, backoff, %error, "a partner failed, tried again later");
        }
        let moves_money = matches!(message, Message::Capture { .. } | Message::Void);
        let text = error.to_string();
        self.shards
            .write(key.ride_id.shard(), move |tx| {
                let text = text.clone();
                Box::pin(async move {
                    OutboxEntry::put_off(tx, key, due_at, &text, now).await?;
                    if dead && moves_money {
                        let _ = Payment::advance(tx, key.ride_id, &OPEN, PaymentStatus::Failed, 0).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// What the bank's answer means for the ride, unless it ended meanwhile.
async fn authorised(
    tx: &Tx,
    ride_id: Id<Ride>,
    answer: Authorisation,
    timeouts: &entity::Timeouts,
    now: Millis,
) -> Result<(), StoreError> {
    let (status, change) = match answer {
        Authorisation::Authorised => (PaymentStatus::Authorised, Change::PaymentAuthorised),
        Authorisation::Declined => (PaymentStatus::Declined, Change::PaymentDeclined),
    };
    if !Payment::advance(tx, ride_id, &[PaymentStatus::Pending], status, 0).await? {
        return Ok(());
    }
    let Some(ride) = Ride::find(tx, ride_id).await? else { return Ok(()) };
    if ride.status.is_terminal() {
        return Ok(());
    }
    let paid = legal(commit(tx, &ride, &change, timeouts, now).await)?;
    if answer == Authorisation::Declined {
        let reason = "payment-declined".to_owned();
        let cancel = Change::Cancelled { by: Actor::System, reason, fee: 0 };
        legal(commit(tx, &paid, &cancel, timeouts, now).await)?;
    }
    Ok(())
}

/// A move that the table must have: anything else is a mistake of ours and rolls back.
fn legal(outcome: Result<Ride, ChangeError>) -> Result<Ride, StoreError> {
    outcome.map_err(|error| match error {
        ChangeError::Store(error) => error,
        ChangeError::Illegal(Illegal { from, to }) => {
            tracing::error!(from = from.name(), to = to.name(), "a payment led to a move the table does not have");
            StoreError::Conflict
        }
    })
}
