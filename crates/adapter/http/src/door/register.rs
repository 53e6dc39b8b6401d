//! Who is connected: counted by address, and found when room is needed.
//!
//! Sixteen parts with a lock each, taken only when a connection opens or ends and by the sweep; requests never come here.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use super::{
    Door,
    slot::{Slot, Verdict},
};

const PARTS: usize = 16;
/// Connections of each part that are looked at for the one that has waited longest: all of a small register, and a sample
/// that goes round in a large one.
const LOOKS: usize = 8;

/// Why a connection is turned away.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its address has its share.
    Address,
    /// All places are taken by requests under way.
    Full,
}

pub(super) struct Register {
    parts: [Mutex<Part>; PARTS],
    /// Which part an address is in: nobody outside can aim at one.
    hasher: RandomState,
    open: AtomicUsize,
    limit: usize,
}

#[derive(Default)]
struct Part {
    by_address: HashMap<IpAddr, usize>,
    slots: Vec<Option<Arc<Slot>>>,
    free: Vec<usize>,
    /// Where the last look ended.
    hand: usize,
}

/// A connection's place, given back when dropped.
pub(super) struct Place {
    /// The connection.
    pub(super) slot: Arc<Slot>,
    /// Where it is registered.
    pub(super) door: Arc<Door>,
    address: IpAddr,
    index: usize,
}

impl Register {
    pub(super) fn new(limit: usize) -> Self {
        Self { parts: Default::default(), hasher: RandomState::new(), open: AtomicUsize::new(0), limit }
    }

    /// Takes a place at `door` for a connection from `address`, which may hold so many.
    pub(super) fn enter(&self, door: &Arc<Door>, address: IpAddr, at_most: usize) -> Result<Place, Refused> {
        let home = self.home(address);
        {
            let mut part = lock(home);
            let count = part.by_address.entry(address).or_default();
            if *count >= at_most {
                return Err(Refused::Address);
            }
            *count += 1;
        }
        let open = self.open.fetch_add(1, SeqCst);
        // Those that were told to go take a moment: until then there may be more than the limit, but not without end.
        if open >= self.limit && (open >= beyond(self.limit) || !self.make_room()) {
            self.open.fetch_sub(1, SeqCst);
            lock(home).leave(address);
            return Err(Refused::Full);
        }
        let slot = Arc::new(Slot::new(door.now_ms()));
        let index = lock(home).insert(slot.clone());
        Ok(Place { slot, door: door.clone(), address, index })
    }

    /// Tells the connection that has waited longest for its client to go; not when every one has a request under way.
    fn make_room(&self) -> bool {
        let largest = self.parts.iter().map(|part| lock(part).slots.len()).max().unwrap_or(0);
        for _ in 0..largest.div_ceil(LOOKS) {
            let found = self.parts.iter().filter_map(|part| lock(part).look()).min_by_key(|(since, _)| *since);
            if let Some((_, slot)) = found {
                slot.end_with(Verdict::MakeRoom);
                return true;
            }
        }
        false
    }

    /// Every connection, part by part.
    pub(super) fn for_each(&self, mut act: impl FnMut(&Slot)) {
        for part in &self.parts {
            lock(part).slots.iter().flatten().for_each(|slot| act(slot));
        }
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    fn home(&self, address: IpAddr) -> &Mutex<Part> {
        #[allow(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let hash = self.hasher.hash_one(address) as usize;
        // The remainder is within.
        &self.parts[hash % PARTS]
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let register = &self.door.register;
        let mut part = lock(register.home(self.address));
        part.slots[self.index] = None;
        part.free.push(self.index);
        part.leave(self.address);
        drop(part);
        register.open.fetch_sub(1, SeqCst);
        self.door.series.closed();
    }
}

impl Part {
    fn insert(&mut self, slot: Arc<Slot>) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.slots[index] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        }
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// The one that has waited longest among the next few.
    fn look(&mut self) -> Option<(u64, Arc<Slot>)> {
        let all = self.slots.len();
        let next = (0..LOOKS.min(all)).map(|step| (self.hand + step) % all);
        let waiting = next.filter_map(|index| {
            let slot = self.slots[index].as_ref()?;
            Some((slot.waiting_since()?, slot))
        });
        let longest = waiting.min_by_key(|(since, _)| *since).map(|(since, slot)| (since, slot.clone()));
        self.hand = if all == 0 { 0 } else { (self.hand + LOOKS) % all };
        longest
    }
}

/// How many there may be while those that were told to go have not gone yet.
pub(super) fn beyond(limit: usize) -> usize {
    limit + limit / 16 + 8
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
