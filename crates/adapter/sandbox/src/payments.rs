//! The payment partner: a bank in memory. A ride it has not seen (it was restarted) is taken at its word.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use entity::{
    Passenger, Ride,
    value::{Id, Money},
};
use usecase::port::{Authorisation, PartnerError, Payments};

use crate::recent::Recent;

/// Rides and declined passengers remembered.
const REMEMBERED: usize = 100_000;

/// What the bank knows until restart.
pub(crate) struct Bank(Mutex<Books>);

struct Books {
    declined: Recent<Id<Passenger>, ()>,
    rides: Recent<Id<Ride>, Account>,
}

/// The money of one ride.
struct Account {
    reserved: Money,
    answer: Authorisation,
    captured: Option<Money>,
    voided: bool,
}

impl Default for Bank {
    fn default() -> Self {
        Self(Mutex::new(Books { declined: Recent::new(REMEMBERED), rides: Recent::new(REMEMBERED) }))
    }
}

impl Bank {
    /// Declines, or again accepts, what a passenger asks for from now on.
    pub(crate) fn set_decline(&self, passenger_id: Id<Passenger>, decline: bool) {
        let mut books = self.books();
        if decline {
            books.declined.insert(passenger_id, ());
        } else {
            books.declined.remove(&passenger_id);
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Payments for Bank {
    async fn authorise(
        &self,
        ride_id: Id<Ride>,
        passenger_id: Id<Passenger>,
        amount: Money,
    ) -> Result<Authorisation, PartnerError> {
        let mut books = self.books();
        if let Some(account) = books.rides.get(&ride_id) {
            return Ok(account.answer);
        }
        let declined = books.declined.get(&passenger_id).is_some();
        let answer = if declined { Authorisation::Declined } else { Authorisation::Authorised };
        books.rides.insert(ride_id, Account { reserved: amount, answer, captured: None, voided: false });
        Ok(answer)
    }

    async fn capture(&self, ride_id: Id<Ride>, amount: Money) -> Result<(), PartnerError> {
        let mut books = self.books();
        let Some(account) = books.rides.get_mut(&ride_id) else { return Ok(()) };
        if account.captured == Some(amount) {
            return Ok(());
        }
        let reserved = account.answer == Authorisation::Authorised && !account.voided && account.captured.is_none();
        let covered = amount.currency == account.reserved.currency && amount.amount <= account.reserved.amount;
        if !(reserved && covered) {
            return Err(PartnerError::Unavailable(format!("{amount} is not reserved for ride {ride_id}")));
        }
        account.captured = Some(amount);
        Ok(())
    }

    async fn void(&self, ride_id: Id<Ride>) -> Result<(), PartnerError> {
        // After a capture there is nothing left to free: the capture did it.
        if let Some(account) = self.books().rides.get_mut(&ride_id) {
            account.voided = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use entity::value::{Currency, Millis, Shard};

    use super::*;

    fn id<T>(random: u16) -> Id<T> {
        Id::new(Millis(1_800_000_000_000), random, Shard::new(0).unwrap()).unwrap()
    }

    fn usd(amount: i64) -> Money {
        Money::new(amount, Currency::Usd)
    }

    #[tokio::test]
    async fn a_declined_passenger_is_declined_until_told_otherwise() {
        let bank = Bank::default();
        bank.set_decline(id(1), true);
        assert_eq!(bank.authorise(id(10), id(1), usd(500)).await.unwrap(), Authorisation::Declined);
        assert_eq!(bank.authorise(id(11), id(2), usd(500)).await.unwrap(), Authorisation::Authorised);
        bank.set_decline(id(1), false);
        assert_eq!(bank.authorise(id(12), id(1), usd(500)).await.unwrap(), Authorisation::Authorised);
    }

    #[tokio::test]
    async fn asking_again_for_a_ride_gives_the_same_answer() {
        let bank = Bank::default();
        bank.authorise(id(10), id(1), usd(500)).await.unwrap();
        bank.set_decline(id(1), true);
        assert_eq!(bank.authorise(id(10), id(1), usd(500)).await.unwrap(), Authorisation::Authorised);
    }

    #[tokio::test]
    async fn a_capture_takes_what_is_reserved_once() {
        let bank = Bank::default();
        bank.authorise(id(10), id(1), usd(500)).await.unwrap();
        assert!(bank.capture(id(10), usd(501)).await.is_err());
        assert!(bank.capture(id(10), usd(300)).await.is_ok());
        assert!(bank.capture(id(10), usd(300)).await.is_ok(), "a repeat is harmless");
        assert!(bank.capture(id(10), usd(200)).await.is_err(), "a second, different one is not");
    }

    #[tokio::test]
    async fn nothing_is_taken_after_a_void_or_a_decline() {
        let bank = Bank::default();
        bank.set_decline(id(2), true);
        bank.authorise(id(10), id(1), usd(500)).await.unwrap();
        bank.authorise(id(11), id(2), usd(500)).await.unwrap();
        bank.void(id(10)).await.unwrap();
        bank.void(id(10)).await.unwrap();
        assert!(bank.capture(id(10), usd(500)).await.is_err());
        assert!(bank.capture(id(11), usd(500)).await.is_err());
    }

    #[tokio::test]
    async fn a_ride_from_before_a_restart_is_taken_at_its_word() {
        let bank = Bank::default();
        assert!(bank.capture(id(10), usd(500)).await.is_ok());
        assert!(bank.void(id(11)).await.is_ok());
    }
}
