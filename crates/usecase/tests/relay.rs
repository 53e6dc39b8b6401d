//! What the relay tells partners, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "../../entity/tests/database/mod.rs"]
mod database;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use database::{Database, Engine, NOW};
use entity::{
    Change, Driver, Message, OutboxEntry, Passenger, Ride, StoreConfig, Vehicle,
    store::Synchronous,
    value::{DriverId, Id, Money},
};
use runtime::{
    Clock,
    task::{Restart, Supervisor},
};
use tokio::sync::watch;
use usecase::{
    port::{Authorisation, Dispatch, DispatchRequest, PartnerError, Payments},
    relay::{Config, Relay, RelayWaker, queue},
};

/// A bank that answers when dispatch was asked for a driver, and what both were asked.
#[derive(Clone)]
struct Partners {
    heard: Arc<Mutex<Vec<&'static str>>>,
    /// Who is speaking to dispatch now, and the most there were at a time.
    at_dispatch: Arc<Mutex<(usize, usize)>>,
    driver_asked: watch::Sender<bool>,
}

impl Partners {
    fn count(&self, what: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|heard| **heard == what).count()
    }

    async fn bank(&self, what: &'static str) -> Result<(), PartnerError> {
        self.heard.lock().unwrap().push(what);
        self.driver_asked.subscribe().wait_for(|asked| *asked).await.unwrap();
        Ok(())
    }
}

#[async_trait]
impl Payments for Partners {
    async fn authorise(&self, _: Id<Ride>, _: Id<Passenger>, _: Money) -> Result<Authorisation, PartnerError> {
        self.bank("authorise").await.map(|()| Authorisation::Authorised)
    }

    async fn capture(&self, _: Id<Ride>, _: Money) -> Result<(), PartnerError> {
        self.bank("capture").await
    }

    async fn void(&self, _: Id<Ride>) -> Result<(), PartnerError> {
        self.bank("void").await
    }
}

#[async_trait]
impl Dispatch for Partners {
    async fn request(&self, _: DispatchRequest) -> Result<(), PartnerError> {
        self.heard.lock().unwrap().push("request");
        self.driver_asked.send_replace(true);
        {
            let (now, most) = &mut *self.at_dispatch.lock().unwrap();
            *now += 1;
            *most = (*most).max(*now);
        }
        // Everybody who may comes meanwhile.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.at_dispatch.lock().unwrap().0 -= 1;
        Ok(())
    }

    async fn withdraw(&self, _: Id<Ride>) -> Result<(), PartnerError> {
        self.heard.lock().unwrap().push("withdraw");
        Ok(())
    }
}

struct World {
    database: Database,
    partners: Partners,
    waker: RelayWaker,
    /// Without it the relay ends.
    _supervisor: Supervisor,
}

impl World {
    /// A relay at work on a database of its own.
    async fn new(engine: Engine, name: &str) -> Self {
        Self::with(engine, name, Config::default()).await
    }

    async fn with(engine: Engine, name: &str, config: Config) -> Self {
        let settings = StoreConfig { synchronous: Synchronous::Normal, ..StoreConfig::default() };
        let database = Database::open_with(engine, name, settings).await;
        let partners =
            Partners { heard: Arc::default(), at_dispatch: Arc::default(), driver_asked: watch::Sender::new(false) };
        let (waker, inbox) = queue(1000);
        let relay = Relay {
            config: Arc::new(config),
            rides: Arc::default(),
            shards: database.shards.clone(),
            payments: Arc::new(partners.clone()),
            dispatch: Arc::new(partners.clone()),
            clock: Clock::system(),
        };
        let supervisor = Supervisor::new(&prometheus::Registry::new()).unwrap();
        supervisor.spawn("relay", Restart::Never, move |shutdown| {
            let (relay, inbox) = (relay.clone(), inbox.clone());
            async move {
                relay.run(inbox, shutdown).await.unwrap();
                Ok::<_, Infallible>(())
            }
        });
        Self { database, partners, waker, _supervisor: supervisor }
    }

    /// Waits until every partner has acknowledged everything.
    async fn all_told(&self) {
        for _ in 0..1000 {
            if OutboxEntry::depth(&self.database.shards).await.unwrap() == (0, 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not told: {:?}", self.partners.heard.lock().unwrap());
    }
}

on_each_engine! {
    async fn a_slow_bank_holds_up_nobodys_driver(engine) {
        const SLOW: u8 = 80;
        let world = World::new(engine, "slow-bank").await;
        let mut rides = Vec::new();
        for number in 0..SLOW {
            let ride = world.database.ride(number).await;
            world.database.append(&ride, &[Message::Authorise]).await;
            rides.push(ride.id);
        }
        // The last one needs the bank and a driver; the bank speaks to nobody before a driver was asked for.
        let ride = world.database.ride(SLOW).await;
        let ride = world.database.change(&ride, Change::PaymentAuthorised, NOW).await.unwrap();
        world.database.append(&ride, &[Message::Capture { amount: 5 }, Message::RequestDriver]).await;
        rides.push(ride.id);
        rides.into_iter().for_each(|ride| world.waker.wake(ride));
        world.all_told().await;
        // Nobody was asked again: no call to the bank had waited for longer than it may take.
        let slow = usize::from(SLOW);
        let heard = ["authorise", "capture", "request"].map(|what| world.partners.count(what));
        assert_eq!(heard, [slow, 1, slow + 1]);
    }

    async fn what_another_node_has_left_is_not_delivered_all_at_a_time(engine) {
        const LEFT: u8 = 40;
        let config = Config { concurrency: 4, sweep_ms: 50, ..Config::default() };
        let world = World::with(engine, "left", config).await;
        for number in 0..LEFT {
            let ride = world.database.ride(number).await;
            // Its node wrote it long ago and has told nobody.
            world.database.append(&ride, &[Message::RequestDriver]).await;
        }
        world.all_told().await;
        assert_eq!(world.partners.count("request"), usize::from(LEFT));
        let most = world.partners.at_dispatch.lock().unwrap().1;
        assert!(most <= 4, "{most} at a time");
    }

    async fn a_withdrawal_that_comes_late_does_not_take_the_next_driver_away(engine) {
        let world = World::new(engine, "late-withdrawal").await;
        let ride = world.database.ride(1).await;
        let ride = world.database.change(&ride, Change::PaymentAuthorised, NOW).await.unwrap();
        world.database.append(&ride, &[Message::WithdrawDriver]).await;
        let driver = Driver {
            id: DriverId::parse("next").unwrap(),
            name: "Dana".to_owned(),
            rating: 4.9,
            contact: "212-555-0100".to_owned(),
            vehicle: Vehicle { plate: "T1".to_owned(), model: "M".to_owned(), color: "blue".to_owned() },
        };
        world.database.change(&ride, Change::Accepted { driver, pickup_eta_s: 60 }, NOW).await.unwrap();
        world.waker.wake(ride.id);
        world.all_told().await;
        assert_eq!(world.partners.count("withdraw"), 0);
    }
}
