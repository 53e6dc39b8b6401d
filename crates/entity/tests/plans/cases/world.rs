//! Who and what the calls are about: some of what was sown.

use std::sync::Arc;

use entity::{
    Allowance, Attempt, Conn, Finding, IndexRow, Message, OtpBudget, OtpBudgetKind, OutboxEntry, OutboxKey, Passenger,
    Quote, Ride, Scan, Shards, StoreError, Tx,
    ride::RideRange,
    value::{Id, Shard},
};
use futures_util::future::BoxFuture;

use crate::{
    database::NOW,
    seed::{self, OPEN, RIDES},
};

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct World(Arc<Known>);

pub(crate) struct Known {
    pub(crate) shards: Shards,
    /// Has rides and none under way.
    pub(crate) passenger: Id<Passenger>,
    /// Accepted, and of [`Known::rider`].
    pub(crate) ride: Ride,
    pub(crate) rider: Id<Passenger>,
    /// Requested.
    pub(crate) waiting: Ride,
    pub(crate) old_ride: Ride,
    /// As many as are asked for together.
    pub(crate) rides: Vec<Id<Ride>>,
    /// No ride was requested with it; of [`Known::passenger`].
    pub(crate) quote: Id<Quote>,
    pub(crate) entry: OutboxEntry,
    pub(crate) dead: OutboxKey,
    pub(crate) row: IndexRow,
    pub(crate) finished: Scan,
    pub(crate) running: Scan,
    pub(crate) finding: Finding,
    pub(crate) budgets: Vec<OtpBudget>,
}

impl std::ops::Deref for World {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.0
    }
}

/// Why a transaction ended.
enum End {
    /// As it was meant to: nothing is kept.
    Undone,
    Failed(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl World {
    /// Looks up in the database what is known of it.
    pub(crate) async fn known(shards: Shards) -> Self {
        let ride_of = async |number| {
            let id = seed::ride(number);
            Ride::find(shards.read(id.shard()), id).await.unwrap().expect("a ride that was sown")
        };
        let ride = ride_of(RIDES - OPEN + 1).await;
        assert_eq!(ride.driver.as_ref().map(|driver| &driver.id), Some(&seed::driver_of(RIDES - OPEN + 1)));
        let (waiting, old_ride) = (ride_of(RIDES - OPEN).await, ride_of(77_777).await);
        let messages = OutboxEntry::heads(shards.read(old_ride.id.shard()), old_ride.id).await.unwrap();
        let dead = OutboxKey { ride_id: seed::ride(1_001), seq: 8 };
        let finished = Scan::latest_finished(shards.read(Scan::SHARD)).await.unwrap().expect("a scan");
        let finding = Finding::page(shards.read(Scan::SHARD), &finished, 700, 1).await.unwrap().remove(0);
        let budgets =
            [OtpBudgetKind::Phone, OtpBudgetKind::PhoneAddress, OtpBudgetKind::Address, OtpBudgetKind::Device];
        let budget = |(kind, number)| OtpBudget {
            shard: Shard::from_first_bits(&seed::hash(number)),
            kind,
            key_hash: seed::hash(number),
            allowance: Allowance::new(20, 600),
        };
        // The last one has no row yet.
        let budgets = budgets.into_iter().zip([1_500, 1_501, 1_502, 200_003]).map(budget).collect();
        Self(Arc::new(Known {
            passenger: seed::passenger(100),
            rider: ride.passenger_id,
            rides: (0..100).map(|number| seed::ride(1_000 + number * 1_001)).collect(),
            quote: seed::quote(RIDES + 100),
            entry: messages.into_iter().next().expect("a message that was sown"),
            dead,
            row: IndexRow::of(seed::driver_of(77_777), old_ride.id),
            running: Scan::running(shards.read(Scan::SHARD)).await.unwrap().expect("a scan that runs"),
            finished,
            finding,
            budgets,
            ride,
            waiting,
            old_ride,
            shards,
        }))
    }

    pub(crate) fn at(&self, shard: Shard) -> Conn<'_> {
        self.shards.read(shard)
    }

    /// Of what was sown to be under way: the row with this number.
    pub(crate) fn attempt(&self, number: i64) -> Attempt {
        Attempt { ride_id: seed::ride(number), driver_id: seed::driver_of(number), number }
    }

    /// A week of the month.
    pub(crate) fn week(&self) -> RideRange {
        RideRange::hours(self.old_ride.id.hour(), 168)
    }

    /// As many shards as a scan asks for together.
    pub(crate) fn some_shards(&self) -> Vec<Shard> {
        Shard::all().skip(100).take(64).collect()
    }

    pub(crate) fn messages(&self) -> [Message; 2] {
        [Message::Void, Message::WithdrawDriver]
    }

    /// The transaction after the scan that runs has come to its end in it.
    pub(crate) async fn without_scan<'t>(&self, tx: &'t Tx) -> Result<&'t Tx, StoreError> {
        self.running.clone().finished(NOW).check_point(tx).await?;
        Ok(tx)
    }

    /// Runs `work` in a transaction, and undoes it.
    pub(crate) async fn undone(
        &self,
        work: for<'t> fn(&'t Tx, &'t Self) -> BoxFuture<'t, Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let world = self.clone();
        let run = self.shards.write::<(), End, _>(Scan::SHARD, move |tx| {
            let world = world.clone();
            Box::pin(async move {
                work(tx, &world).await?;
                Err(End::Undone)
            })
        });
        match run.await {
            Ok(()) | Err(End::Undone) => Ok(()),
            Err(End::Failed(error)) => Err(error),
        }
    }
}
