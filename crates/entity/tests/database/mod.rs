//! A real database for a test.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test binaries")]

mod places;
mod server;

pub use entity::store::Engine;
use entity::{
    Change, Message, NewRide, Offer, Opened, OutboxEntry, Passenger, Quote, QuoteOption, Ride, Shards, SignedUp,
    StoreConfig, StoreError, Timeouts,
    value::{Currency, Id, Millis, Money, Phone, PhoneHash, Point, Product},
};
pub use places::{Places, WRITERS};
use sea_orm::DatabaseConnection;
pub use server::has_postgres;

pub const NOW: Millis = Millis(1_790_000_000_000);
pub const TIMEOUTS: Timeouts = Timeouts { match_s: 120, pickup_s: 600, boarding_s: 300, trip_s: 3600 };

/// Tests that run on SQLite and, where there is a server (`TEST_POSTGRES`), on PostgreSQL.
#[macro_export]
macro_rules! on_each_engine {
    ($(async fn $rule:ident($engine:ident) $test:block)*) => {
        $(mod $rule {
            use super::*;

            async fn rule($engine: $crate::database::Engine) $test

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                rule($crate::database::Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if $crate::database::has_postgres() {
                    rule($crate::database::Engine::Postgres).await;
                }
            }
        })*
    };
}

/// Databases of a test's own with a store on them, removed at the end.
pub struct Database {
    pub shards: Shards,
    places: Places,
}

impl Database {
    pub async fn open(engine: Engine, name: &str) -> Self {
        Self::open_with(engine, name, StoreConfig::default()).await
    }

    pub async fn open_with(engine: Engine, name: &str, config: StoreConfig) -> Self {
        let places = Places::make(engine, name, 1).await;
        Self { shards: places.store_with(config).await.unwrap(), places }
    }

    /// The shards on several databases, in equal parts.
    pub async fn open_several(engine: Engine, name: &str, count: usize) -> Self {
        let places = Places::make(engine, name, count).await;
        Self { shards: places.store().await.unwrap(), places }
    }

    /// Opens them once more, as a process that starts later does.
    pub async fn open_again(&self) -> Result<Shards, StoreError> {
        self.places.store().await
    }

    /// A connection of one's own to the database with this place in the list, from 0.
    pub async fn raw(&self, number: usize) -> DatabaseConnection {
        self.places.raw(number).await
    }

    /// Everything that the files of the databases hold.
    pub fn bytes(&self) -> Vec<u8> {
        self.places.bytes()
    }

    pub async fn passenger(&self, number: u8) -> Id<Passenger> {
        let phone = Phone::parse(&format!("+12125550{number:03}")).unwrap();
        let hash = PhoneHash([number; 32]);
        let signed_up = self.shards.write(hash.shard(), move |tx| {
            let phone = phone.clone();
            Box::pin(async move { Passenger::find_or_create(tx, &phone, hash, NOW).await })
        });
        match signed_up.await.unwrap() {
            SignedUp::New(passenger) | SignedUp::Known(passenger) => passenger.id,
        }
    }

    pub async fn quote(&self, passenger_id: Id<Passenger>) -> Id<Quote> {
        self.quote_until(passenger_id, NOW.plus_s(300)).await
    }

    pub async fn quote_until(&self, passenger_id: Id<Passenger>, expires_at: Millis) -> Id<Quote> {
        self.quote_with(passenger_id, expires_at, vec![]).await
    }

    /// A quote that a ride can be requested with.
    pub async fn economy_quote(&self, passenger_id: Id<Passenger>) -> Id<Quote> {
        let fare = Money::new(1250, Currency::Usd);
        let economy = QuoteOption { product: Product::Economy, pickup_eta_s: 60, fare, breakdown: vec![] };
        self.quote_with(passenger_id, NOW.plus_s(300), vec![economy]).await
    }

    async fn quote_with(
        &self,
        passenger_id: Id<Passenger>,
        expires_at: Millis,
        options: Vec<QuoteOption>,
    ) -> Id<Quote> {
        let point = Point::from_degrees(40.7, -73.9).unwrap();
        let offer = Offer {
            passenger_id,
            pickup: point,
            dropoff: point,
            distance_m: 1000,
            duration_s: 300,
            options,
            expires_at,
        };
        let insert = self.shards.write(passenger_id.shard(), move |tx| Box::pin(Quote::insert(tx, offer.clone(), NOW)));
        let quote: Result<Quote, StoreError> = insert.await;
        quote.unwrap().id
    }

    pub async fn open_ride(&self, passenger_id: Id<Passenger>, quote_id: Id<Quote>) -> Opened {
        let new = Self::new_ride(passenger_id, quote_id);
        let open =
            self.shards.write(passenger_id.shard(), move |tx| Box::pin(Ride::open(tx, new.clone(), &TIMEOUTS, NOW)));
        let opened: Result<Opened, StoreError> = open.await;
        opened.unwrap()
    }

    pub fn new_ride(passenger_id: Id<Passenger>, quote_id: Id<Quote>) -> NewRide {
        let point = Point::from_degrees(40.7, -73.9).unwrap();
        NewRide {
            passenger_id,
            quote_id,
            product: Product::Economy,
            fare: Money::new(1250, Currency::Usd),
            pickup: point,
            dropoff: point,
            duration_s: 300,
            pickup_code: "0042".to_owned(),
        }
    }

    /// The ride of a passenger of its own.
    pub async fn ride(&self, passenger: u8) -> Ride {
        let passenger_id = self.passenger(passenger).await;
        let quote_id = self.quote(passenger_id).await;
        match self.open_ride(passenger_id, quote_id).await {
            Opened::Opened(ride) => *ride,
            other => panic!("{other:?}"),
        }
    }

    pub async fn append(&self, ride: &Ride, messages: &[Message]) {
        let (ride, messages) = (ride.clone(), messages.to_vec());
        let append = self.shards.write::<_, StoreError, _>(ride.id.shard(), move |tx| {
            let (ride, messages) = (ride.clone(), messages.clone());
            Box::pin(async move { OutboxEntry::append(tx, &ride, &messages, NOW).await })
        });
        append.await.unwrap();
    }

    /// Commits the change if the transition table has it.
    pub async fn change(&self, ride: &Ride, change: Change, at: Millis) -> Option<Ride> {
        let next = ride.after(&change, at).ok()?;
        let (before, after) = (ride.clone(), next.clone());
        let advance = self.shards.write(ride.id.shard(), move |tx| {
            let (before, after, change) = (before.clone(), after.clone(), change.clone());
            Box::pin(async move { before.advance(tx, &after, &change, &TIMEOUTS, at).await })
        });
        let advanced: Result<(), StoreError> = advance.await;
        advanced.unwrap();
        Some(next)
    }
}
