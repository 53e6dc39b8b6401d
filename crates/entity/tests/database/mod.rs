//! A real database for a test.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use entity::{
    Change, Message, NewRide, Offer, Opened, OutboxEntry, Passenger, Quote, Ride, Shards, SignedUp, StoreConfig,
    StoreError, Timeouts,
    store::Deps,
    value::{Currency, Id, Millis, Money, Phone, PhoneHash, Point, Product},
};
use runtime::{Entropy, Secret, task::Supervisor};

pub const NOW: Millis = Millis(1_790_000_000_000);
pub const TIMEOUTS: Timeouts = Timeouts { match_s: 120, pickup_s: 600, boarding_s: 300, trip_s: 3600 };

/// Databases of its own, removed at the end.
pub struct Database {
    folder: PathBuf,
    dsns: Vec<String>,
    pub shards: Shards,
}

impl Database {
    pub async fn open(name: &str) -> Self {
        Self::open_with(name, StoreConfig::default()).await
    }

    pub async fn open_with(name: &str, config: StoreConfig) -> Self {
        Self::open_all(name, 1, config).await
    }

    /// The shards on several databases, in equal parts.
    pub async fn open_several(name: &str, count: usize) -> Self {
        Self::open_all(name, count, StoreConfig::default()).await
    }

    async fn open_all(name: &str, count: usize, config: StoreConfig) -> Self {
        let folder = std::env::temp_dir().join(format!("gateway-entity-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let dsns: Vec<String> = (1..=count).map(|number| dsn(&folder, number)).collect();
        let config = StoreConfig { shards: dsns.iter().map(Secret::new).collect(), ..config };
        let shards = config.build(deps()).await.unwrap();
        Self { folder, dsns, shards }
    }

    /// Opens them once more, as a process that starts later does.
    pub async fn open_again(&self) -> Result<Shards, StoreError> {
        open(&self.dsns).await
    }

    /// Opens another database, in the same folder say.
    pub async fn open_at(&self, dsn: &str) -> Result<Shards, StoreError> {
        open(&[dsn.to_owned()]).await
    }

    /// The first one's.
    pub fn dsn(&self) -> String {
        self.dsn_of(0)
    }

    /// By the place in the list, from 0.
    pub fn dsn_of(&self, number: usize) -> String {
        self.dsns[number].clone()
    }

    /// Everything that the files of the database hold.
    pub fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(&self.folder).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
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
        let point = Point::from_degrees(40.7, -73.9).unwrap();
        let offer = Offer {
            passenger_id,
            pickup: point,
            dropoff: point,
            distance_m: 1000,
            duration_s: 300,
            options: vec![],
            expires_at,
        };
        let insert = self.shards.write(passenger_id.shard(), move |tx| Box::pin(Quote::insert(tx, offer.clone(), NOW)));
        let quote: Result<Quote, StoreError> = insert.await;
        quote.unwrap().id
    }

    pub async fn open_ride(&self, passenger_id: Id<Passenger>, quote_id: Id<Quote>) -> Opened {
        let point = Point::from_degrees(40.7, -73.9).unwrap();
        let new = NewRide {
            passenger_id,
            quote_id,
            product: Product::Economy,
            fare: Money::new(1250, Currency::Usd),
            pickup: point,
            dropoff: point,
            duration_s: 300,
            pickup_code: "0042".to_owned(),
        };
        let open =
            self.shards.write(passenger_id.shard(), move |tx| Box::pin(Ride::open(tx, new.clone(), &TIMEOUTS, NOW)));
        let opened: Result<Opened, StoreError> = open.await;
        opened.unwrap()
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

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn dsn(folder: &Path, number: usize) -> String {
    format!("sqlite://{}", folder.join(format!("gateway-{number}.db")).display())
}

async fn open(dsns: &[String]) -> Result<Shards, StoreError> {
    StoreConfig { shards: dsns.iter().map(Secret::new).collect(), ..StoreConfig::default() }.build(deps()).await
}

fn deps() -> Deps {
    Deps {
        supervisor: Supervisor::new(&prometheus::Registry::new()).unwrap(),
        entropy: Entropy::seeded(7),
        on_commit: Arc::new(|_| {}),
    }
}
