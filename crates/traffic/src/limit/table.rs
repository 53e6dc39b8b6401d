//! The records of one limit: a striped table of `(key, tat)`, 16 bytes each.
//!
//! *Time.* A stripe's time is the latest `now` it was given and never goes back: a thread that read the clock a little before
//! another is decided as of the other's moment. So a bucket cannot refill twice over the same time, and a key without a
//! record (it was dropped when it had refilled, or never was there) can be taken as full now.
//!
//! *Full.* Only refilled records are dropped, so nobody gains by crowding others out. A stripe that has its share looks at
//! a few records for refilled ones; if there are none, the newcomer takes from an overflow bucket that it shares with
//! its prefix. A key that gets its own record soon afterwards starts with what was used of that bucket by the stripe's
//! newcomers: it may have been one of them. A key with a rate of its own has a record of its own, full or not.
//!
//! *Order of locks*: the stripes of a decision by their tables' ids, then the overflow buckets by their tables' ids. Reloads
//! and sweeps hold one stripe or bucket at a time.

use std::{sync::Arc, time::Duration};

use arrayvec::ArrayVec;
use hashbrown::HashTable;

use super::{
    Key, MAX_TIERS, Rate, Rates, Tier, rate,
    sync::{Mutex, MutexGuard, lock},
};
use crate::Nanos;

/// Of the keys that a table may hold: how many one lock guards. Growing or converting so many takes some ten microseconds.
const KEYS_PER_STRIPE: usize = 2048;
/// How many records a newcomer to a full stripe looks at for refilled ones, from a place that its key points to.
const LOOKED_AT: usize = 64;
/// Overflow buckets a stripe.
const BUCKETS_PER_STRIPE: usize = 4;

/// The records of one limit. One of it serves all threads.
pub struct Table {
    pub(super) id: u32,
    stripes: Box<[Line]>,
    /// Records that a stripe may hold.
    share: usize,
    overflow: Box<[Mutex<Bucket>]>,
    /// One reload at a time, or stripes would end with different rates.
    reload: Mutex<()>,
}

/// A stripe has a cache line of its own, so that threads on neighbours do not slow each other down.
#[repr(align(64))]
struct Line(Mutex<Stripe>);

#[cfg(not(feature = "model"))]
const _: () = assert!(size_of::<Line>() == 64);

/// Some of the records, under one lock.
pub(super) struct Stripe {
    records: HashTable<Record>,
    /// The latest moment it was given.
    now: Nanos,
    rates: Arc<Rates>,
    /// When whatever newcomers of this stripe took from overflow buckets has come back.
    overflow_until: Nanos,
}

struct Record {
    key: Key,
    tat: Nanos,
}

/// What the newcomers of one prefix (and of those that share the bucket by chance) take from when the table is full.
pub(super) struct Bucket {
    tat: Nanos,
    /// The latest moment it was given.
    now: Nanos,
    rate: Rate,
}

impl Table {
    /// An empty table. `id` is its place in the order of locks: different for every table that may meet another in one
    /// decision, and best the higher the more callers share its keys, because later locks are held shorter. It holds
    /// `max_keys` records (at least one) and those of keys with a rate of their own; since keys are spread by chance, the
    /// first stripe is full when about 94 % are there.
    #[must_use]
    pub fn new(id: u32, rates: Rates, max_keys: usize) -> Self {
        let stripes = (max_keys / KEYS_PER_STRIPE).max(1).next_power_of_two();
        let rate = rates.default_rate();
        let rates = Arc::new(rates);
        let stripe =
            || Stripe { records: HashTable::new(), now: Nanos(0), rates: rates.clone(), overflow_until: Nanos(0) };
        let bucket = || Mutex::new(Bucket { tat: Nanos(0), now: Nanos(0), rate });
        Self {
            id,
            stripes: (0..stripes).map(|_| Line(Mutex::new(stripe()))).collect(),
            share: (max_keys / stripes).max(1),
            overflow: (0..stripes * BUCKETS_PER_STRIPE).map(|_| bucket()).collect(),
            reload: Mutex::new(()),
        }
    }

    /// From now on `rates` hold. Every key keeps its credit: the units it has used stay used (but no more than its new
    /// burst), so a reload gives nobody more than the burst grew by. Takes as long as a sweep, and locks as briefly.
    pub fn set_rates(&self, rates: Rates, now: Nanos) {
        let _one_at_a_time = lock(&self.reload);
        let default = rates.default_rate();
        let rates = Arc::new(rates);
        for line in &self.stripes {
            let stripe = &mut *lock(&line.0);
            stripe.now = stripe.now.max(now);
            for Record { key, tat } in stripe.records.iter_mut() {
                *tat = rate::convert(*tat, stripe.now, stripe.rates.of(*key), rates.of(*key));
            }
            let old = std::mem::replace(&mut stripe.rates, rates.clone());
            stripe.overflow_until = rate::convert(stripe.overflow_until, stripe.now, old.default_rate(), default);
        }
        for bucket in &self.overflow {
            let bucket = &mut *lock(bucket);
            bucket.now = bucket.now.max(now);
            bucket.tat = rate::convert(bucket.tat, bucket.now, bucket.rate, default);
            bucket.rate = default;
        }
    }

    /// Drops the keys whose bucket is full again, gives memory back, and tells how many keys are left. Locks one stripe at
    /// a time; a million keys take some ten milliseconds, so not on a thread that serves requests.
    pub fn sweep(&self, now: Nanos) -> usize {
        let sweep = |line: &Line| {
            let stripe = &mut *lock(&line.0);
            stripe.now = stripe.now.max(now);
            let now = stripe.now;
            stripe.records.retain(|record| record.tat > now);
            let kept = stripe.records.len();
            if stripe.records.capacity() > 64 + 4 * kept {
                stripe.records.shrink_to(2 * kept, |record| record.key.0);
            }
            kept
        };
        self.stripes.iter().map(sweep).sum()
    }

    /// How many keys it holds.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.stripes.iter().map(|line| lock(&line.0).records.len()).sum()
    }

    /// Locks the stripe of `key`.
    pub(super) fn lock(&self, key: Key) -> MutexGuard<'_, Stripe> {
        // The highest bits tell records of a group apart, the lowest choose the group: take some between.
        lock(&self.stripes[(key.0 >> 32) as usize & (self.stripes.len() - 1)].0)
    }
}

impl Stripe {
    /// Looks for the bucket that `tier`, whose stripe this is, counts on, and decides whether its cost fits. It is written
    /// straight to where it stays: a copy would wait until what it copies was written.
    #[inline]
    pub(super) fn find<'a>(&mut self, tier: &Tier<'a>, now: Nanos, seen: &mut Seen<'a>) {
        self.now = self.now.max(now);
        if let Some(index) = self.records.find_bucket_index(tier.key.0, |record| record.key == tier.key)
            && let Some(record) = self.records.get_bucket(index)
        {
            let rate = self.rates.of(tier.key);
            seen.found.push(Found::new(Place::Known(index), record.tat, self.now, rate, tier.cost));
        } else {
            self.find_new(tier, seen);
        }
    }

    /// The same for a key that has no record.
    #[cold]
    fn find_new<'a>(&mut self, tier: &Tier<'a>, seen: &mut Seen<'a>) {
        let now = self.now;
        let mut found = |place, tat, now, rate| seen.found.push(Found::new(place, tat, now, rate, tier.cost));
        if let Some(rate) = self.rates.named(tier.key) {
            return found(Place::New, now, now, rate);
        }
        let bucket = &tier.table.overflow[tier.prefix.0 as usize & (tier.table.overflow.len() - 1)];
        if self.records.len() >= tier.table.share && !self.drop_refilled(tier.key) {
            let mut bucket = lock(bucket);
            bucket.now = bucket.now.max(now);
            found(Place::Overflow(seen.buckets.len()), bucket.tat, bucket.now, bucket.rate);
            return seen.buckets.push(bucket);
        }
        let rate = self.rates.default_rate();
        let mut tat = now;
        if self.overflow_until > now {
            let bucket = lock(bucket);
            tat = rate::convert(bucket.tat, now, bucket.rate, rate).min(self.overflow_until);
        }
        found(Place::New, tat, now, rate);
    }

    /// Drops what is refilled among a few records; tells whether anything was.
    fn drop_refilled(&mut self, newcomer: Key) -> bool {
        let before = self.records.len();
        let buckets = self.records.num_buckets();
        for index in (0..LOOKED_AT.min(buckets)).map(|i| (newcomer.0 as usize).wrapping_add(i) % buckets) {
            if let Ok(record) = self.records.get_bucket_entry(index)
                && record.get().tat <= self.now
            {
                record.remove();
            }
        }
        self.records.len() < before
    }

    /// Writes down that what was found for `tier`, at this place of those seen, is spent, if the cost fits.
    #[inline]
    pub(super) fn spend(&mut self, tier: &Tier<'_>, place: usize, seen: &mut Seen<'_>) {
        let found = &mut seen.found[place];
        let (Ok(tat), key) = (found.verdict, tier.key) else { return };
        found.tat = tat;
        match found.place {
            Place::Known(index) => {
                if let Some(record) = self.records.get_bucket_mut(index) {
                    record.tat = tat;
                }
            }
            Place::New => _ = self.records.insert_unique(key.0, Record { key, tat }, |record| record.key.0),
            Place::Overflow(bucket) => {
                seen.buckets[bucket].tat = tat;
                self.overflow_until = self.overflow_until.max(tat);
            }
        }
    }
}

/// What a decision has looked at, tier by tier.
#[derive(Default)]
pub(super) struct Seen<'a> {
    pub(super) found: ArrayVec<Found, MAX_TIERS>,
    /// Overflow buckets, locked.
    pub(super) buckets: ArrayVec<MutexGuard<'a, Bucket>, MAX_TIERS>,
}

/// A bucket of a locked stripe.
#[derive(Clone, Copy)]
pub(super) struct Found {
    place: Place,
    pub(super) tat: Nanos,
    pub(super) now: Nanos,
    pub(super) rate: Rate,
    /// Its `tat` once the cost is spent, or how long until it fits.
    pub(super) verdict: Result<Nanos, Duration>,
}

/// Where a bucket is written down.
#[derive(Clone, Copy)]
enum Place {
    /// In this slot of the stripe.
    Known(usize),
    /// Nowhere yet: its key has none.
    New,
    /// The stripe is full: in this one of the decision's overflow buckets.
    Overflow(usize),
}

impl Found {
    #[inline]
    fn new(place: Place, tat: Nanos, now: Nanos, rate: Rate, cost: u32) -> Self {
        Self { place, tat, now, rate, verdict: rate::decide(tat, now, rate, cost) }
    }

    /// Whether the table is full and this is a bucket that newcomers share.
    pub(super) fn is_overflow(&self) -> bool {
        matches!(self.place, Place::Overflow(_))
    }
}

#[cfg(all(test, not(feature = "model")))]
impl Table {
    /// Every record and overflow bucket that there is, in order.
    pub(super) fn everything(&self) -> Vec<(u64, Nanos)> {
        let mut all: Vec<_> =
            self.overflow.iter().enumerate().map(|(i, bucket)| (i as u64, lock(bucket).tat)).collect();
        for line in &self.stripes {
            all.extend(lock(&line.0).records.iter().map(|record| (record.key.0, record.tat)));
        }
        all[self.overflow.len()..].sort_unstable();
        all
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let records: usize = self.stripes.iter().map(|line| lock(&line.0).records.allocation_size()).sum();
        size_of::<Self>() + size_of_val(&*self.stripes) + size_of_val(&*self.overflow) + records
    }
}
