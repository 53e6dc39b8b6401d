//! The records of one limit: a striped table of `(key, tat)`, 16 bytes each.
//!
//! *Time.* A stripe's time is the latest `now` it was given and never goes back: a thread that read the clock a little before
//! another is decided as of the other's moment. So a bucket cannot refill twice over the same time, and a key without a
//! record (it was dropped when it had refilled, or never was there) can be taken as full now.
//!
//! *Full.* Only refilled records are dropped, so nobody gains by crowding others out. A stripe that has its share looks at
//! a few records for refilled ones; if there are none, the newcomer takes from an overflow bucket that it shares with
//! its prefix. A key that gets its own record while that bucket is not full starts with what is used of the bucket: it
//! may have been the one who used it. A key with a rate of its own has a record of its own, full or not.
//!
//! *Order of locks*: tables by id; within one the stripe, then the overflow bucket. Reloads take one stripe or
//! bucket at a time.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use hashbrown::HashTable;

use super::{
    Key, Rate, Rates, Tier, rate,
    sync::{AtomicU64, Mutex, MutexGuard, lock},
};
use crate::Nanos;

/// Of the keys that a table may hold: how many one lock guards. Growing or converting so many takes some ten microseconds.
const KEYS_PER_STRIPE: usize = 2048;
/// How many records a newcomer to a full stripe looks at for one that is refilled. The next one goes on where it stopped.
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
    /// No overflow bucket is in use after this moment.
    overflow_until: AtomicU64,
    overflowed: AtomicU64,
    /// One reload at a time, or stripes would end with different rates.
    reload: Mutex<()>,
}

/// A stripe has a cache line of its own, so that threads on neighbours do not slow each other down.
#[repr(align(64))]
struct Line(Mutex<Stripe>);

struct Stripe {
    records: HashTable<Record>,
    /// The latest moment it was given.
    now: Nanos,
    rates: Arc<Rates>,
    /// Where the search for refilled records goes on.
    hand: u32,
}

struct Record {
    key: Key,
    tat: Nanos,
}

/// What the newcomers of one prefix (and of those that share the bucket by chance) take from when the table is full.
struct Bucket {
    tat: Nanos,
    /// The latest moment it was given.
    now: Nanos,
    rate: Rate,
}

impl Table {
    /// An empty table. `id` is its place in the order of locks: different for every table that may meet another in one
    /// decision, and best the higher the more callers share its keys, because later locks are held shorter. It holds
    /// `max_keys` records (at least one) and those of keys with a rate of their own; since keys are spread by chance, the
    /// first stripes are full when about 98 % are there.
    #[must_use]
    pub fn new(id: u32, rates: Rates, max_keys: usize) -> Self {
        let stripes = (max_keys / KEYS_PER_STRIPE).max(1).next_power_of_two();
        let rate = rates.default_rate();
        let rates = Arc::new(rates);
        let stripe = || Stripe { records: HashTable::new(), now: Nanos(0), rates: rates.clone(), hand: 0 };
        let bucket = || Mutex::new(Bucket { tat: Nanos(0), now: Nanos(0), rate });
        Self {
            id,
            stripes: (0..stripes).map(|_| Line(Mutex::new(stripe()))).collect(),
            share: (max_keys / stripes).max(1),
            overflow: (0..stripes * BUCKETS_PER_STRIPE).map(|_| bucket()).collect(),
            overflow_until: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            reload: Mutex::new(()),
        }
    }

    /// From now on `rates` hold. Every key keeps its credit: the units it has used stay used (but no more than its new
    /// burst), so a reload gives nobody more than the burst grew by.
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
            stripe.rates = rates.clone();
        }
        for bucket in &self.overflow {
            let bucket = &mut *lock(bucket);
            bucket.now = bucket.now.max(now);
            bucket.tat = rate::convert(bucket.tat, bucket.now, bucket.rate, default);
            bucket.rate = default;
            self.overflow_until.fetch_max(bucket.tat.0, Relaxed);
        }
    }

    /// Drops the keys whose bucket is full again, gives memory back, and tells how many keys are left. Locks one stripe at
    /// a time.
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

    /// How many decisions were made on an overflow bucket since the start.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Relaxed)
    }

    /// Locks what `tier` counts on.
    pub(super) fn hold<'a>(&'a self, tier: &Tier<'_>, now: Nanos) -> Held<'a> {
        // The highest bits tell records of a bucket group apart, the lowest choose the group: take the ones between.
        let line = &self.stripes[(tier.key.0 >> 32) as usize & (self.stripes.len() - 1)];
        let mut stripe = lock(&line.0);
        stripe.now = stripe.now.max(now);
        let now = stripe.now;
        if let Some(index) = stripe.records.find_bucket_index(tier.key.0, |record| record.key == tier.key)
            && let Some(record) = stripe.records.get_bucket(index)
        {
            let (tat, rate) = (record.tat, stripe.rates.of(tier.key));
            return Held { table: self, stripe, place: Place::Known(index), tat, now, rate };
        }
        let named = stripe.rates.named(tier.key);
        let bucket = &self.overflow[tier.prefix.0 as usize & (self.overflow.len() - 1)];
        if named.is_none() && stripe.records.len() >= self.share && !stripe.drop_refilled() {
            // The stripe stays locked: a record of this key must not appear before its use of the bucket is written down.
            let mut bucket = lock(bucket);
            bucket.now = bucket.now.max(now);
            let (tat, now, rate) = (bucket.tat, bucket.now, bucket.rate);
            return Held { table: self, stripe, place: Place::Overflow(bucket), tat, now, rate };
        }
        let rate = named.unwrap_or_else(|| stripe.rates.default_rate());
        let mut tat = now;
        if named.is_none() && self.overflow_until.load(Relaxed) > now.0 {
            let bucket = lock(bucket);
            tat = rate::convert(bucket.tat, now, bucket.rate, rate);
        }
        Held { table: self, stripe, place: Place::New(tier.key), tat, now, rate }
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

impl Stripe {
    /// Drops what is refilled among the next few records; tells whether anything was.
    fn drop_refilled(&mut self) -> bool {
        let before = self.records.len();
        let buckets = self.records.num_buckets();
        for _ in 0..LOOKED_AT.min(buckets) {
            self.hand = self.hand.wrapping_add(1);
            if let Ok(record) = self.records.get_bucket_entry(self.hand as usize % buckets)
                && record.get().tat <= self.now
            {
                record.remove();
            }
        }
        self.records.len() < before
    }
}

/// One bucket under its lock, as of `now`.
pub(super) struct Held<'a> {
    table: &'a Table,
    stripe: MutexGuard<'a, Stripe>,
    place: Place<'a>,
    pub(super) tat: Nanos,
    pub(super) now: Nanos,
    pub(super) rate: Rate,
}

/// Where a bucket is written down.
enum Place<'a> {
    /// In this slot of the stripe.
    Known(usize),
    /// Nowhere yet: its key has none.
    New(Key),
    /// The stripe is full.
    Overflow(MutexGuard<'a, Bucket>),
}

impl Held<'_> {
    /// Whether the table is full and this is a bucket that newcomers share.
    pub(super) fn is_overflow(&self) -> bool {
        matches!(self.place, Place::Overflow(_))
    }

    /// Counts a decision on an overflow bucket.
    pub(super) fn count_overflow(&self) {
        self.table.overflowed.fetch_add(u64::from(self.is_overflow()), Relaxed);
    }

    /// Writes down that the bucket is full again at `tat`.
    pub(super) fn write(&mut self, tat: Nanos) {
        self.tat = tat;
        match &mut self.place {
            Place::Known(index) => {
                if let Some(record) = self.stripe.records.get_bucket_mut(*index) {
                    record.tat = tat;
                }
            }
            Place::New(key) => {
                let record = Record { key: *key, tat };
                self.stripe.records.insert_unique(key.0, record, |record| record.key.0);
            }
            Place::Overflow(bucket) => {
                bucket.tat = tat;
                self.table.overflow_until.fetch_max(tat.0, Relaxed);
            }
        }
    }
}
