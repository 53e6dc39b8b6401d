//! The rides of a driver, read through an index that lies elsewhere and is not all true.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]

mod consistent;

use std::sync::atomic::{AtomicUsize, Ordering};

use consistent::{
    NOW, World, database,
    seed::{Pair, id},
};
use entity::{
    DriverRide, Ride,
    value::{DriverId, Id, Shard},
};
use tokio::sync::Mutex;
use tracing::{Event, Metadata, Subscriber, span};
use usecase::rides::driver_history::DriverHistory;

const DATABASES: usize = 3;
/// How many rows of the index are read together behind false ones.
const TOGETHER: usize = 100;

/// Statements that the databases were asked. One test at a time may count.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static COUNTING: Mutex<()> = Mutex::const_new(());

/// Hears of every statement, as a log does.
struct Statements;

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if self.enabled(event.metadata()) {
            ASKED.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn driver(name: &str) -> DriverId {
    DriverId::parse(name).unwrap()
}

/// A ride of minute `number`, each in another shard than the one before.
fn ride(number: u16) -> Id<Ride> {
    let shard = Shard::new(number.wrapping_mul(397) & 1023).unwrap();
    id(NOW.0 - 100_000_000 + i64::from(number) * 60_000, number, shard)
}

/// What a row of the index stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The driver accepted the ride.
    Accepted,
    /// And let it go: somebody else has it now.
    LetGo,
    /// Somebody else accepted it, the driver never.
    OfAnother,
    /// There is no such ride.
    NoRide,
}

impl Kind {
    /// 300 true rows, with false ones among them; 230 in a row, and false ones at both ends.
    fn of(number: u16) -> Self {
        match number {
            0..5 | 200..430 | 640.. => [Self::OfAnother, Self::NoRide][usize::from(number % 2)],
            _ if number.is_multiple_of(4) => [Self::OfAnother, Self::NoRide][usize::from(number / 4 % 2)],
            _ if number % 10 == 1 => Self::LetGo,
            _ => Self::Accepted,
        }
    }

    fn is_true(self) -> bool {
        matches!(self, Self::Accepted | Self::LetGo)
    }
}

/// Writes them; every row of the index, newest first.
async fn write(world: &World, dana: &DriverId, numbers: u16) -> Vec<(Id<Ride>, Kind)> {
    let mut rows: Vec<_> = (0..numbers).map(|number| (ride(number), Kind::of(number))).collect();
    let pairs = rows.iter().filter(|(_, kind)| *kind != Kind::NoRide).map(|(ride, kind)| {
        let who = if *kind == Kind::Accepted { dana.clone() } else { driver("another") };
        (*ride, who)
    });
    world.seed_pairs(&pairs.collect::<Vec<Pair>>()).await;
    let (shard, mut index, mut events) = (DriverRide::shard(dana), Vec::new(), Vec::new());
    for (ride, kind) in &rows {
        if *kind != Kind::Accepted {
            index.push((shard, format!("({}, '{dana}', {ride})", shard.number())));
        }
        if *kind == Kind::LetGo {
            let change = format!(r#"{{"change":"accepted","driver":{{"id":"{dana}"}}}}"#);
            events.push((ride.shard(), format!("({}, {ride}, 3, 0, '{change}')", ride.shard().number())));
        }
    }
    world.insert("driver_rides (shard, driver_id, ride_id)", index).await;
    world.insert("ride_events (shard, ride_id, seq, at, change)", events).await;
    rows.reverse();
    rows
}

/// How many statements the page behind `cursor` may take: one to the index and one to each database, and the same again for
/// each hundred false rows up to the first ride of the next page.
fn most(rows: &[(Id<Ride>, Kind)], cursor: Option<Id<Ride>>, limit: usize) -> usize {
    let (mut rides, mut wrong) = (0, 0_usize);
    for (_, kind) in rows.iter().filter(|(ride, _)| cursor.is_none_or(|cursor| *ride < cursor)) {
        if rides > limit {
            break;
        }
        if kind.is_true() { rides += 1 } else { wrong += 1 }
    }
    (1 + DATABASES) * (1 + wrong.div_ceil(TOGETHER))
}

on_each_engine! {
    async fn pages_hold_every_ride_once_newest_first_whatever_else_the_index_says(engine) {
        let _alone = COUNTING.lock().await;
        // The second engine finds it set.
        let _ = tracing::subscriber::set_global_default(Statements);
        let world = World::new(engine, "history", DATABASES).await;
        let dana = driver("dana");
        let rows = write(&world, &dana, 645).await;
        let truth: Vec<_> = rows.iter().filter(|(_, kind)| kind.is_true()).map(|(ride, _)| *ride).collect();
        assert!((300..320).contains(&truth.len()), "{}", truth.len());
        let history = DriverHistory { shards: world.shards().clone() };
        for limit in [1, 20, 33, 100] {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                ASKED.store(0, Ordering::Relaxed);
                let page = history.run(&dana, cursor, limit).await.unwrap();
                let (asked, most) = (ASKED.load(Ordering::Relaxed), most(&rows, cursor, page_size(limit)));
                assert!((1..=most).contains(&asked), "{asked} statements for a page of {limit}, {most} are enough");
                seen.extend(page.rides.iter().map(|ride| ride.id));
                assert!(!page.rides.is_empty(), "no page is empty");
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
                assert_eq!(page.rides.len(), page_size(limit), "only the last page may be short");
                assert_eq!(cursor, seen.last().copied());
            }
            assert!(seen == truth, "pages of {limit}: {} rides, and {} are true", seen.len(), truth.len());
        }
    }

    async fn a_driver_of_whom_nothing_is_true_has_one_empty_page(engine) {
        let _alone = COUNTING.lock().await;
        let world = World::new(engine, "history-none", DATABASES).await;
        let (dana, history) = (driver("dana"), DriverHistory { shards: world.shards().clone() });
        for number in 0..45 {
            world.index(&dana, ride(number)).await;
        }
        let page = history.run(&dana, None, 20).await.unwrap();
        assert!(page.rides.is_empty() && page.next.is_none(), "{page:?}");
        let page = history.run(&driver("nobody"), None, 20).await.unwrap();
        assert!(page.rides.is_empty() && page.next.is_none(), "{page:?}");
    }
}

fn page_size(limit: u64) -> usize {
    usize::try_from(limit).unwrap()
}
