//! What is due, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, NOW, TIMEOUTS};
use entity::{
    Change, Message, OutboxEntry, OutboxKey, Ride, StoreError, Tx,
    outbox::LEASE_MS,
    value::{DriverId, Millis},
};
use futures_util::future::BoxFuture;
use sea_orm::ConnectionTrait;

async fn write<T: Send + 'static>(
    database: &Database,
    ride: &Ride,
    work: impl for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
) -> T {
    database.shards.write(ride.id.shard(), work).await.unwrap()
}

async fn heads(database: &Database, ride: &Ride) -> Vec<OutboxEntry> {
    OutboxEntry::heads(database.shards.read(ride.id.shard()), ride.id).await.unwrap()
}

on_each_engine! {
    async fn each_partner_hears_in_order_and_waits_for_no_other(engine) {
        let database = Database::open(engine, "lanes").await;
        let ride = database.ride(1).await;
        database.append(&ride, &[Message::Capture { amount: 5 }, Message::WithdrawDriver]).await;
        let later = Ride { version: 2, ..ride.clone() };
        database.append(&later, &[Message::Void, Message::RequestDriver]).await;

        let first = heads(&database, &ride).await;
        let told: Vec<_> = first.iter().map(|head| head.message.clone()).collect();
        assert_eq!(told, [Message::Capture { amount: 5 }, Message::WithdrawDriver]);

        // The bank fails: its next message waits with it, dispatch goes on.
        let (bank, dispatch) = (first[0].key, first[1].key);
        let again_at = NOW.plus_ms(60_000);
        write(&database, &ride, move |tx| {
            Box::pin(async move {
                OutboxEntry::put_off(tx, bank, Some(again_at), "down", NOW).await?;
                OutboxEntry::acknowledge(tx, dispatch).await
            })
        })
        .await;
        let told: Vec<_> = heads(&database, &ride).await.into_iter().map(|head| head.message).collect();
        assert_eq!(told, [Message::Capture { amount: 5 }, Message::RequestDriver]);
    }

    async fn what_waits_behind_a_message_that_is_put_off_is_not_due(engine) {
        let database = Database::open(engine, "behind").await;
        let (blocked, free) = (database.ride(1).await, database.ride(2).await);
        database.append(&blocked, &[Message::Authorise, Message::Void]).await;
        database.append(&free, &[Message::Authorise]).await;
        let head = heads(&database, &blocked).await[0].key;
        let again_at = NOW.plus_ms(LEASE_MS * 10);
        write(&database, &blocked, move |tx| {
            Box::pin(async move { OutboxEntry::put_off(tx, head, Some(again_at), "down", NOW).await })
        })
        .await;
        let due = async |at: Millis| OutboxEntry::due_rides(&database.shards, at, LEASE_MS * 10, 10).await.unwrap();
        assert_eq!(due(NOW).await, [], "its writer has a lease");
        assert_eq!(due(NOW.plus_ms(LEASE_MS)).await, [free.id]);
        let mut both = [blocked.id, free.id];
        both.sort_unstable();
        assert_eq!(due(again_at).await, both);
    }

    async fn what_is_due_later_than_the_longest_wait_is_due(engine) {
        let database = Database::open(engine, "beyond").await;
        let ride = database.ride(1).await;
        database.append(&ride, &[Message::Authorise]).await;
        let entry = heads(&database, &ride).await.remove(0);
        // The message is due at NOW and its lease; the clock was set back since.
        let slack_ms = 10_000;
        let just = LEASE_MS + slack_ms;
        for (back_ms, due) in [(0, false), (LEASE_MS, false), (just, false), (just + 1, true), (3_600_000, true)] {
            let now = NOW.plus_ms(-back_ms);
            let rides = OutboxEntry::due_rides(&database.shards, now, LEASE_MS * 2, 10).await.unwrap();
            assert_eq!((rides == [ride.id], entry.is_due(now, LEASE_MS * 2)), (due, due), "{back_ms} ms back");
        }
    }

    async fn a_message_of_a_node_whose_clock_is_a_little_ahead_is_that_nodes_own(engine) {
        let database = Database::open(engine, "ahead").await;
        let ride = database.ride(1).await;
        let index = Message::IndexDriver { driver_id: DriverId::parse("d1").unwrap() };
        database.append(&ride, &[Message::Authorise, index]).await;
        // A relay whose longest wait is the lease: its `max_backoff_ms` is shorter.
        for behind_ms in [0, 1, 500, 10_000] {
            let now = NOW.plus_ms(-behind_ms);
            assert_eq!(OutboxEntry::due_rides(&database.shards, now, LEASE_MS, 10).await.unwrap(), [], "{behind_ms}");
            assert!(heads(&database, &ride).await.iter().all(|head| !head.is_due(now, LEASE_MS)), "{behind_ms}");
        }
    }

    async fn a_due_message_is_claimed_once(engine) {
        let database = Database::open(engine, "claim").await;
        let ride = database.ride(1).await;
        database.append(&ride, &[Message::Authorise]).await;
        let entry = heads(&database, &ride).await.remove(0);
        let now = NOW.plus_ms(LEASE_MS);
        let claim = async || {
            let entry = entry.clone();
            write(&database, &ride, move |tx| {
                let entry = entry.clone();
                Box::pin(async move { entry.claim(tx, now).await })
            })
            .await
        };
        assert!(claim().await);
        assert!(!claim().await);
    }

    async fn a_status_times_out_at_its_stored_deadline(engine) {
        let database = Database::open(engine, "deadline").await;
        let ride = database.ride(1).await;
        let deadline = NOW.plus_s(TIMEOUTS.match_s);
        let late = async |at: Millis| {
            let listed = Ride::list_timed_out(&database.shards, at, 10).await.unwrap();
            let id = ride.id;
            let find = write(&database, &ride, move |tx| {
                Box::pin(async move { Ride::find_timed_out(tx, id, at).await })
            });
            let found = find.await;
            assert_eq!(listed.contains(&id), found.is_some(), "what is listed is moved, or listed for ever");
            found.is_some()
        };
        assert!(!late(deadline.plus_ms(-1)).await);
        assert!(late(deadline).await);
    }

    async fn a_status_from_the_future_gets_its_whole_time_from_now_on_once(engine) {
        let database = Database::open(engine, "future").await;
        let ride = database.ride(1).await;
        let bring_back = async |at: Millis| {
            write(&database, &ride, move |tx| {
                Box::pin(async move { Ride::bring_deadlines_back(tx, &TIMEOUTS, at).await })
            })
            .await
        };
        assert_eq!(bring_back(NOW).await, 0, "its status began in the past");
        assert_eq!(bring_back(NOW.plus_ms(-10_000)).await, 0, "it was committed by a node that is ahead");
        let set_back = NOW.plus_ms(-3_600_000);
        assert_eq!((bring_back(set_back).await, bring_back(set_back.plus_ms(500)).await), (1, 0));
        let listed = async |at: Millis| Ride::list_timed_out(&database.shards, at, 10).await.unwrap();
        assert_eq!(listed(set_back.plus_s(TIMEOUTS.match_s).plus_ms(-1)).await, []);
        assert_eq!(listed(set_back.plus_s(TIMEOUTS.match_s)).await, [ride.id]);
        let after = Ride::find(database.shards.read(ride.id.shard()), ride.id).await.unwrap();
        assert_eq!(after.as_ref(), Some(&ride), "nobody is told of another version");
        // A change that leaves the status does not put the deadline off again.
        database.change(&ride, Change::PaymentAuthorised, set_back).await.unwrap();
        assert_eq!(listed(set_back.plus_s(TIMEOUTS.match_s)).await, [ride.id]);
    }

    async fn rows_of_the_driver_index_wait_for_nobody(engine) {
        let database = Database::open(engine, "index-lane").await;
        let ride = database.ride(1).await;
        let index = |driver: &str| Message::IndexDriver { driver_id: DriverId::parse(driver).unwrap() };
        database.append(&ride, &[Message::Authorise, index("d1"), index("d2")]).await;
        let told: Vec<_> = heads(&database, &ride).await.into_iter().map(|head| head.message).collect();
        assert_eq!(told, [Message::Authorise, index("d1"), index("d2")]);
        let first = heads(&database, &ride).await[1].key;
        let (again_at, now) = (NOW.plus_ms(LEASE_MS * 10), NOW.plus_ms(LEASE_MS));
        write(&database, &ride, move |tx| {
            Box::pin(async move {
                OutboxEntry::put_off(tx, first, Some(again_at), "down", NOW).await?;
                OutboxEntry::acknowledge(tx, OutboxKey { seq: first.seq - 2, ..first }).await
            })
        })
        .await;
        let due = OutboxEntry::due_rides(&database.shards, now, LEASE_MS * 20, 10).await.unwrap();
        assert_eq!(due, [ride.id], "the second row is due behind the first, which is put off");
    }

    async fn messages_that_were_numbered_before_there_was_a_third_lane_keep_their_place(engine) {
        let database = Database::open(engine, "numbered-before").await;
        let ride = database.ride(1).await;
        database.append(&ride, &[Message::Capture { amount: 5 }, Message::WithdrawDriver]).await;
        // The second message of a version had place 1 in its lane, whatever the first one was.
        let raw = database.raw(0).await;
        raw.execute_unprepared("UPDATE outbox SET seq = 13 WHERE seq = 12").await.unwrap();
        database.append(&Ride { version: 2, ..ride.clone() }, &[Message::RequestDriver]).await;
        let told: Vec<_> = heads(&database, &ride).await.into_iter().map(|head| head.message).collect();
        assert_eq!(told, [Message::Capture { amount: 5 }, Message::WithdrawDriver]);
    }

    async fn a_version_leaves_no_more_messages_than_it_has_numbers(engine) {
        let database = Database::open(engine, "numbers").await;
        let ride = database.ride(1).await;
        let append = database.shards.write(ride.id.shard(), move |tx| {
            let ride = ride.clone();
            Box::pin(async move { OutboxEntry::append(tx, &ride, &[const { Message::Void }; 3], NOW).await })
        });
        assert!(matches!(append.await, Err(StoreError::Corrupt { .. })), "none is dropped in silence");
        assert_eq!(OutboxEntry::depth(&database.shards).await.unwrap(), (0, 0));
    }
}
