//! Who stands where, so that somebody of a place is found at once.

use super::crowd::Place;

/// A list a place, and where everybody is in theirs.
#[derive(Default)]
pub(crate) struct Groups {
    lists: [Vec<u32>; 5],
    /// By passenger: the place, and the index in its list.
    whereabouts: Vec<(Place, usize)>,
}

impl Groups {
    /// One more, idle.
    pub(crate) fn join(&mut self) {
        let (list, who) = (&mut self.lists[Place::Idle as usize], self.whereabouts.len());
        self.whereabouts.push((Place::Idle, list.len()));
        list.push(u32::try_from(who).unwrap_or(u32::MAX));
    }

    pub(crate) fn place(&self, who: u32) -> Place {
        self.whereabouts[who as usize].0
    }

    /// Everybody at this place, in no order.
    pub(crate) fn of(&self, place: Place) -> &[u32] {
        &self.lists[place as usize]
    }

    pub(crate) fn put(&mut self, who: u32, place: Place) {
        let (old, index) = self.whereabouts[who as usize];
        if old == place {
            return;
        }
        let list = &mut self.lists[old as usize];
        list.swap_remove(index);
        if let Some(moved) = list.get(index) {
            self.whereabouts[*moved as usize].1 = index;
        }
        let list = &mut self.lists[place as usize];
        self.whereabouts[who as usize] = (place, list.len());
        list.push(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_in_exactly_one_list_whatever_the_moves() {
        let mut groups = Groups::default();
        (0..50).for_each(|_| groups.join());
        let places = [Place::Idle, Place::Quoted, Place::Riding, Place::Aboard, Place::Busy];
        for step in 0..1000_u32 {
            let (who, place) = (step * 7 % 50, places[(step * step % 5) as usize]);
            groups.put(who, place);
            assert_eq!(groups.place(who), place);
            assert_eq!(places.iter().map(|p| groups.of(*p).len()).sum::<usize>(), 50);
            assert!(groups.of(place).contains(&who));
        }
    }
}
