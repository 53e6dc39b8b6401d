//! The steps of a move.

use std::time::Duration;

use runtime::{Stopwatch, failpoint};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::{
    ANNOUNCED_FOR, ASKED_MEANWHILE, Checksum, FEW, Failed, LEARNED_WITHIN, MOST_PASSES, Moving, Plan, Progress, copy,
    failpoints, rows::Until, tables,
};
use crate::store::{
    Database, Engine, Shards, StoreError,
    database::engine,
    identity::Identity,
    place::{Place, State},
};

/// What has become of the attempt to give a shard away.
pub(super) enum Given {
    /// It is the other database's.
    Away { tables: Vec<(&'static str, Checksum)>, pause: Duration },
    /// That took too long: it is where it was.
    Kept { pause: Duration, needed: Duration },
}

impl<'s> Moving<'s> {
    /// Where the shard is, and what an earlier move has left.
    pub(super) async fn find(
        shards: &'s Shards,
        plan: Plan,
        tell: &'s (dyn Fn(Progress) + Sync),
    ) -> Result<Self, Failed> {
        let mut places = Vec::with_capacity(shards.count());
        for database in shards.databases() {
            places.push(Place::find(&database.readers, plan.shard).await?);
        }
        let newest = places.iter().map(|place| place.epoch).max().unwrap_or(0);
        let owner = places.iter().find(|place| place.epoch == newest).map_or(0, |place| place.database);
        let move_id = i64::from_be_bytes(shards.0.deps.entropy.bytes()) & i64::MAX;
        let pass_takes = Duration::ZERO;
        Ok(Self { shards, tables: tables::all(), plan, tell, move_id, owner, source: owner, places, pass_takes })
    }

    fn database(&self, number: usize) -> &'s Database {
        &self.shards.0.databases[number]
    }

    fn epoch(&self) -> i32 {
        self.places.iter().map(|place| place.epoch).max().unwrap_or(0)
    }

    /// Changes what a database says of the shard; `false` when it says something else by now. Who is still writing there under
    /// what it says now is waited for.
    async fn change(&mut self, number: usize, next: Place) -> Result<bool, Failed> {
        let tx = self.database(number).begin().await.map_err(StoreError::from)?;
        self.change_in(tx, number, next).await
    }

    async fn change_in(&mut self, tx: DatabaseTransaction, number: usize, next: Place) -> Result<bool, Failed> {
        let changed = self.places[number].replace(&tx, self.plan.shard, &next).await?;
        tx.commit().await.map_err(StoreError::from)?;
        if changed {
            self.places[number] = next;
        }
        Ok(changed)
    }

    /// Lets nobody else write to the shard; `false` when somebody who began before does not come to an end in time. Prepared
    /// transactions are among them.
    async fn close(&mut self, next: Place) -> Result<bool, Failed> {
        let tx = self.database(self.owner).begin().await.map_err(StoreError::from)?;
        if engine(&tx) == Engine::Postgres {
            let ms = self.plan.pause.saturating_sub(LEARNED_WITHIN).max(ASKED_MEANWHILE).as_millis();
            tx.execute_unprepared(&format!("SET LOCAL lock_timeout = {ms}")).await.map_err(StoreError::from)?;
        }
        // Due work that has begun does not know that it must leave the shard alone from now on.
        let closed = match Identity::take_turns(&tx, true).await {
            Ok(()) => self.change_in(tx, self.owner, next).await,
            Err(error) => Err(error.into()),
        };
        match closed {
            Ok(true) => Ok(true),
            Ok(false) => Err(Failed::Overtaken),
            Err(Failed::Store(StoreError::Busy(_))) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn must_change(&mut self, number: usize, next: Place) -> Result<(), Failed> {
        if self.change(number, next).await? { Ok(()) } else { Err(Failed::Overtaken) }
    }

    /// Tells both databases, first the one that it goes to: from then on nobody else touches rows of the shard there.
    pub(super) async fn announce(&mut self) -> Result<(), Failed> {
        let (from, to, epoch) = (self.owner, self.plan.to, self.epoch());
        // A flip that nobody has finished: its new owner is not open yet.
        if self.places[from].epoch < epoch {
            tokio::time::sleep(LEARNED_WITHIN).await;
            self.open(from).await?;
        }
        let arriving = self.place(State::Arriving, from, epoch, from);
        let leaving = self.place(State::Leaving, from, epoch, to);
        // From now on due work leaves the copy alone; and a mover before this one, who may still be copying, is waited for.
        let tx = self.database(to).begin().await.map_err(StoreError::from)?;
        Identity::take_turns(&tx, true).await?;
        if !(self.change_in(tx, to, arriving).await? && self.change(from, leaving).await?) {
            return Err(Failed::Overtaken);
        }
        Ok(())
    }

    /// Brings the copy as close as it comes while writes go on. How often it was compared.
    pub(super) async fn catch_up(&mut self, announced: &Stopwatch) -> Result<u32, Failed> {
        for pass in 1..=MOST_PASSES {
            let begun = Stopwatch::start();
            let differences = self.pass(Some(pass), Until::WHENEVER).await?.differences();
            self.pass_takes = begun.elapsed();
            if differences <= FEW {
                let rest = ANNOUNCED_FOR.saturating_sub(announced.elapsed());
                if rest.is_zero() {
                    return Ok(pass);
                }
                tokio::time::sleep(rest).await;
            }
        }
        Ok(MOST_PASSES)
    }

    /// Compares and puts right.
    async fn pass(&self, pass: Option<u32>, until: Until) -> Result<copy::Compared, Failed> {
        let (from, to) = (self.database(self.owner), self.database(self.plan.to));
        let (snapshot, copied) = (copy::look(from).await?, copy::look(to).await?);
        let compared = copy::compare(&self.tables, &snapshot, &copied, self.plan.shard, until).await?;
        // SQLite cannot tidy up behind a reader.
        copied.rollback().await.map_err(StoreError::from)?;
        let of = compared.differences() as u64;
        let tell = |rows| {
            if let Some(pass) = pass {
                (self.tell)(Progress::Copied { pass, rows, of });
            }
        };
        let in_charge = (State::Arriving, self.move_id);
        copy::apply(&self.tables, &compared, &snapshot, to, self.plan.shard, in_charge, &tell).await?;
        snapshot.rollback().await.map_err(StoreError::from)?;
        Ok(compared)
    }

    /// Lets writes wait, copies the rest, compares both sides and gives the shard away; gives up before writes have waited too
    /// long.
    pub(super) async fn give_away(&mut self) -> Result<Given, Failed> {
        let (from, to, epoch) = (self.owner, self.plan.to, self.epoch());
        let closed = self.place(State::Closed, from, epoch, to);
        let leaving = self.place(State::Leaving, from, epoch, to);
        // It is compared once to find the rest, and once to see that nothing is left.
        let needed = self.pass_takes * 2 + LEARNED_WITHIN;
        if needed > self.plan.pause {
            return Ok(Given::Kept { pause: Duration::ZERO, needed });
        }
        let waiting = Stopwatch::start();
        if !self.close(closed).await? {
            return Ok(Given::Kept { pause: waiting.elapsed(), needed: waiting.elapsed() + LEARNED_WITHIN });
        }
        failpoint::reach(failpoints::CLOSED);
        let copied = self.copy_the_rest(&waiting).await;
        let Ok(Some(checksums)) = copied else {
            self.must_change(from, leaving).await?;
            let pause = waiting.elapsed();
            // Long enough for everybody to see that it was open again: who sees it closed for long takes us for dead.
            tokio::time::sleep(LEARNED_WITHIN).await;
            return copied.map(|_| Given::Kept { pause, needed: pause + LEARNED_WITHIN });
        };
        failpoint::reach(failpoints::VERIFIED);
        self.must_change(from, self.place(State::Left, to, epoch + 1, to)).await?;
        failpoint::reach(failpoints::FLIPPED);
        self.source = from;
        tokio::time::sleep(LEARNED_WITHIN).await;
        self.open(to).await?;
        let pause = waiting.elapsed();
        (self.tell)(Progress::Moved { pause });
        failpoint::reach(failpoints::OPENED);
        Ok(Given::Away { tables: self.by_table(checksums), pause })
    }

    /// The same rows on both sides, by checksums; nothing when there is no time left for it.
    async fn copy_the_rest(&self, waiting: &Stopwatch) -> Result<Option<Vec<Checksum>>, Failed> {
        let time = self.plan.pause.saturating_sub(LEARNED_WITHIN);
        let is_over = || waiting.elapsed() >= time;
        loop {
            let compared = match self.pass(None, Until::after(*waiting, time)).await {
                Ok(compared) if !is_over() => compared,
                Err(Failed::Store(StoreError::Busy(_))) | Ok(_) if is_over() => return Ok(None),
                other => other?,
            };
            // Nobody writes, and each row is the same on both sides.
            if compared.differences() == 0 {
                return Ok(Some(compared.checksums));
            }
        }
    }

    /// Lets the database that the shard was given to take writes. Somebody else may have done that meanwhile.
    async fn open(&mut self, number: usize) -> Result<(), Failed> {
        let opened = Place::settled(number, self.epoch());
        if !self.change(number, opened).await? {
            let now = Place::find(&self.database(number).readers, self.plan.shard).await?;
            if (now.database, now.epoch) != (number, self.epoch()) {
                return Err(Failed::Overtaken);
            }
            self.places[number] = now;
        }
        self.owner = number;
        self.shards.0.routes.learn(self.plan.shard, number, self.epoch());
        Ok(())
    }

    /// Puts an end to a move: everybody knows where the shard is, and nothing of it is left where it is not.
    pub(super) async fn end(&mut self) -> Result<(), Failed> {
        let (owner, epoch) = (self.owner, self.epoch());
        if self.places[owner].epoch < epoch {
            tokio::time::sleep(LEARNED_WITHIN).await;
            self.open(owner).await?;
        }
        let behind = |place: &Place| place.state == State::Settled && place.epoch < epoch;
        for number in 0..self.places.len() {
            if behind(&self.places[number]) {
                self.must_change(number, Place::settled(owner, epoch)).await?;
            }
        }
        failpoint::reach(failpoints::TOLD);
        let mut kept = Duration::ZERO;
        for number in 0..self.places.len() {
            match self.places[number].state {
                State::Settled => continue,
                // The owner itself: the move away from it was not carried out.
                _ if number == owner => {
                    self.must_change(number, Place::settled(owner, epoch)).await?;
                    continue;
                }
                _ => {}
            }
            // Now nobody else goes on with it, and what is left here is ours to remove.
            let left = self.place(State::Left, owner, epoch, owner);
            self.must_change(number, left).await?;
            tokio::time::sleep(self.plan.keep.saturating_sub(kept)).await;
            kept = self.plan.keep;
            self.remove(number).await?;
            failpoint::reach(failpoints::REMOVED);
            self.must_change(number, Place::settled(owner, epoch)).await?;
        }
        Ok(())
    }

    /// Everything stays as it was.
    pub(super) async fn call_off(&mut self) -> Result<(), Failed> {
        self.must_change(self.owner, Place::settled(self.owner, self.epoch())).await?;
        self.end().await
    }

    async fn remove(&self, number: usize) -> Result<(), Failed> {
        let (database, shard) = (self.database(number), self.plan.shard);
        let snapshot = copy::look(database).await?;
        let everything = copy::everything(&self.tables, &snapshot, shard).await?;
        let (tell, in_charge) = (|rows| (self.tell)(Progress::Removed { rows }), (State::Left, self.move_id));
        copy::apply(&self.tables, &everything, &snapshot, database, shard, in_charge, &tell).await?;
        Ok(snapshot.rollback().await.map_err(StoreError::from)?)
    }

    /// What the owner holds of the shard.
    pub(super) async fn checksums(&self) -> Result<Vec<(&'static str, Checksum)>, Failed> {
        let snapshot = copy::look(self.database(self.owner)).await?;
        let everything = copy::everything(&self.tables, &snapshot, self.plan.shard).await?;
        snapshot.rollback().await.map_err(StoreError::from)?;
        Ok(self.by_table(everything.checksums))
    }

    fn by_table(&self, checksums: Vec<Checksum>) -> Vec<(&'static str, Checksum)> {
        self.tables.iter().map(|table| table.name).zip(checksums).collect()
    }
}
