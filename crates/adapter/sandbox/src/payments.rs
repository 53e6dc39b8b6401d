//! The payment partner: a bank. Its books are in memory; with a statement on disk they outlive a restart. A ride it has
//! not seen is taken at its word.

use std::{
    io,
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use entity::{
    Passenger, Ride,
    value::{Id, Money},
};
use usecase::port::{Authorisation, PartnerError, Payments};

use crate::{
    recent::Recent,
    statement::{Entry, Movement, Statement},
};

/// Rides and declined passengers remembered.
const REMEMBERED: usize = 100_000;

/// What the bank knows.
pub(crate) struct Bank(Mutex<Books>);

struct Books {
    declined: Recent<Id<Passenger>, ()>,
    rides: Recent<Id<Ride>, Account>,
    statement: Statement,
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
        let (declined, rides) = (Recent::new(REMEMBERED), Recent::new(REMEMBERED));
        Self(Mutex::new(Books { declined, rides, statement: Statement::default() }))
    }
}

impl Bank {
    /// A bank that writes its statement to `path` and knows what is there already.
    ///
    /// # Errors
    /// A file that cannot be used, or does not hold a statement.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (statement, entries) = Statement::open(path)?;
        let bank = Self::default();
        let mut books = bank.books();
        entries.into_iter().for_each(|entry| books.enter(entry));
        books.statement = statement;
        drop(books);
        Ok(bank)
    }

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

    /// The books as they are in every process, for one movement.
    fn opened(&self) -> Result<Opened<'_>, PartnerError> {
        let mut opened = Opened(self.books());
        let news = opened.statement.take().map_err(no_statement)?;
        news.into_iter().for_each(|entry| opened.enter(entry));
        Ok(opened)
    }
}

/// Nobody else has the statement meanwhile.
struct Opened<'a>(MutexGuard<'a, Books>);

impl Deref for Opened<'_> {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.0
    }
}

impl DerefMut for Opened<'_> {
    fn deref_mut(&mut self) -> &mut Books {
        &mut self.0
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.statement.give_back();
    }
}

fn no_statement(error: io::Error) -> PartnerError {
    PartnerError::Unavailable(format!("the bank's statement: {error}"))
}

impl Books {
    /// Writes a movement down, then makes it.
    fn book(&mut self, entry: Entry) -> Result<(), PartnerError> {
        let written = self.statement.write(entry);
        written.map_err(no_statement)?;
        self.enter(entry);
        Ok(())
    }

    fn enter(&mut self, (movement, ride_id, money): Entry) {
        let answer = match movement {
            Movement::Declined => Authorisation::Declined,
            Movement::Authorised | Movement::Captured | Movement::Voided => Authorisation::Authorised,
        };
        if self.rides.get(&ride_id).is_none() {
            self.rides.insert(ride_id, Account { reserved: money, answer, captured: None, voided: false });
        }
        if let Some(account) = self.rides.get_mut(&ride_id) {
            match movement {
                Movement::Authorised | Movement::Declined => {}
                Movement::Captured => account.captured = Some(money),
                Movement::Voided => account.voided = true,
            }
        }
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
        let mut books = self.opened()?;
        if let Some(account) = books.rides.get(&ride_id) {
            return Ok(account.answer);
        }
        let declined = books.declined.get(&passenger_id).is_some();
        let (answer, movement) = match declined {
            true => (Authorisation::Declined, Movement::Declined),
            false => (Authorisation::Authorised, Movement::Authorised),
        };
        books.book((movement, ride_id, amount)).map(|()| answer)
    }

    async fn capture(&self, ride_id: Id<Ride>, amount: Money) -> Result<(), PartnerError> {
        let mut books = self.opened()?;
        if let Some(account) = books.rides.get(&ride_id) {
            if account.captured == Some(amount) {
                return Ok(());
            }
            let reserved = account.answer == Authorisation::Authorised && !account.voided && account.captured.is_none();
            let covered = amount.currency == account.reserved.currency && amount.amount <= account.reserved.amount;
            if !(reserved && covered) {
                return Err(PartnerError::Unavailable(format!("{amount} is not reserved for ride {ride_id}")));
            }
        }
        books.book((Movement::Captured, ride_id, amount))
    }

    async fn void(&self, ride_id: Id<Ride>) -> Result<(), PartnerError> {
        let mut books = self.opened()?;
        // After a capture there is nothing left to free: the capture did it.
        match books.rides.get(&ride_id).map(|account| (account.reserved, account.voided || account.captured.is_some()))
        {
            Some((reserved, false)) => books.book((Movement::Voided, ride_id, reserved)),
            _ => Ok(()),
        }
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

    #[tokio::test]
    async fn with_a_statement_a_restart_forgets_no_money() {
        let path = std::env::temp_dir().join(format!("bank-{}-{:?}", std::process::id(), std::thread::current().id()));
        let bank = Bank::open(&path).unwrap();
        bank.set_decline(id(2), true);
        bank.authorise(id(10), id(1), usd(500)).await.unwrap();
        bank.authorise(id(11), id(2), usd(600)).await.unwrap();
        bank.authorise(id(12), id(1), usd(700)).await.unwrap();
        bank.capture(id(10), usd(300)).await.unwrap();
        bank.void(id(12)).await.unwrap();

        let bank = Bank::open(&path).unwrap();
        assert!(bank.capture(id(10), usd(300)).await.is_ok(), "a repeat is harmless");
        assert!(bank.capture(id(10), usd(500)).await.is_err(), "taken already");
        assert_eq!(bank.authorise(id(11), id(2), usd(600)).await.unwrap(), Authorisation::Declined);
        assert!(bank.capture(id(12), usd(700)).await.is_err(), "freed already");
        bank.void(id(12)).await.unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        let said: Vec<_> =
            text.lines().map(|line| line.replace(&line.split(',').nth(1).unwrap().to_owned(), "-")).collect();
        let each = ["authorised,-,500", "declined,-,600", "authorised,-,700", "captured,-,300", "voided,-,700"];
        assert_eq!(said, each.map(|line| format!("{line},USD")), "a line a movement, none for a repeat");

        std::fs::write(&path, text + "captu").unwrap();
        assert!(Bank::open(&path).unwrap().capture(id(10), usd(300)).await.is_ok(), "half a line is cut off");
        std::fs::write(&path, "something else\n").unwrap();
        assert!(Bank::open(&path).is_err(), "a file of something else is left alone");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test]
    async fn two_processes_have_one_bank_when_they_have_one_statement() {
        let path = std::env::temp_dir().join(format!("two-banks-{}.csv", std::process::id()));
        let [one, other] = [Bank::open(&path).unwrap(), Bank::open(&path).unwrap()];
        one.authorise(id(10), id(1), usd(500)).await.unwrap();
        other.capture(id(10), usd(300)).await.unwrap();
        one.capture(id(10), usd(300)).await.unwrap();
        other.void(id(10)).await.unwrap();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!(lines, 2, "it was captured once");
        std::fs::remove_file(path).unwrap();
    }
}
