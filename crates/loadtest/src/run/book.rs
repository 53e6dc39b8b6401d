//! What became of every request, counted as it happens.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    kinds::{KINDS, Kind},
    outcome::Counts,
};
use crate::tally::Times;

/// The finest look at time: a quarter of a second.
pub(crate) const SLOT: Duration = Duration::from_millis(250);
/// Slots in a second.
pub(crate) const SLOTS_A_SECOND: usize = 4;
/// Priorities.
pub(crate) const PRIORITIES: usize = 5;
/// Answers that nobody expected, kept as examples.
const EXAMPLES: usize = 5;
/// Admitted requests remembered to be held against the policies: 24 bytes each.
const MOST_ADMITTED: usize = 8_000_000;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    /// By the refuser with this number.
    Refused429(u16),
    Refused503,
    Server5xx,
    Unexpected,
    Timeout,
    Connection,
    NotSent,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// When it was meant to be sent, when it was, and when it ended; from the start.
    pub(crate) due: Duration,
    pub(crate) sent: Duration,
    pub(crate) ended: Duration,
    pub(crate) phase: u16,
    pub(crate) kind: Kind,
    pub(crate) priority: u8,
    pub(crate) end: End,
    pub(crate) who: Option<u32>,
    pub(crate) source: u32,
    pub(crate) is_retry: bool,
}

/// A request that limits let pass, as far as they may be held against it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Admitted {
    pub(crate) sent_ms: u32,
    pub(crate) ended_ms: u32,
    pub(crate) who: Option<u32>,
    pub(crate) source: u32,
    pub(crate) kind: Kind,
}

/// Counts and latencies of one priority.
#[derive(Clone, Default)]
pub(crate) struct Tier {
    pub(crate) counts: Counts,
    pub(crate) times: Times,
}

/// A quarter of a second, by the intended start.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) counts: [Counts; PRIORITIES],
    pub(crate) times: Times,
    pub(crate) times_p0: Times,
    pub(crate) lag: Times,
    pub(crate) refused_by: BTreeMap<u16, u64>,
    pub(crate) retries: u64,
    /// Under way when it was last touched.
    pub(crate) in_flight: u32,
}

/// Everything that was counted.
pub(crate) struct Book {
    /// Where times count from.
    pub(crate) start: Instant,
    pub(crate) slots: Vec<Slot>,
    pub(crate) phases: Vec<[Tier; PRIORITIES]>,
    /// What succeeded, by phase and kind.
    pub(crate) accepted: Vec<[u64; KINDS]>,
    pub(crate) kinds: [Tier; KINDS],
    pub(crate) lag: Times,
    /// Names of refusers; 0 is who names nobody.
    pub(crate) refusers: Vec<String>,
    pub(crate) refused: BTreeMap<u16, u64>,
    pub(crate) admitted: Vec<Admitted>,
    /// Whether admitted requests are remembered.
    pub(crate) keeps_admitted: bool,
    /// By passenger, where somebody is hot.
    pub(crate) people: Option<Vec<Counts>>,
    pub(crate) told: BTreeMap<u64, u64>,
    pub(crate) redrawn: u64,
    pub(crate) examples: Vec<String>,
    pub(crate) clients_served: u64,
    pub(crate) clients: u64,
}

impl Default for Slot {
    fn default() -> Self {
        let times = Times::coarse;
        let (counts, refused_by) = <_>::default();
        Self { counts, refused_by, times: times(), times_p0: times(), lag: times(), retries: 0, in_flight: 0 }
    }
}

impl Book {
    /// An empty book. `people` are counted one by one where there are some.
    pub(crate) fn new(start: Instant, phases: usize, people: Option<usize>) -> Self {
        Self {
            start,
            slots: Vec::new(),
            phases: vec![<_>::default(); phases],
            accepted: vec![<_>::default(); phases],
            kinds: <_>::default(),
            lag: Times::default(),
            refusers: vec!["other".into(), "overload".into()],
            refused: BTreeMap::new(),
            admitted: Vec::new(),
            keeps_admitted: true,
            people: people.map(|count| vec![Counts::default(); count]),
            told: BTreeMap::new(),
            redrawn: 0,
            examples: Vec::new(),
            clients_served: 0,
            clients: 0,
        }
    }

    /// The number of a refuser.
    pub(crate) fn refuser(&mut self, name: Option<&str>) -> u16 {
        let Some(name) = name else { return 0 };
        let known = self.refusers.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.refusers.push(name.to_owned());
            self.refusers.len() - 1
        });
        u16::try_from(index).unwrap_or_default()
    }

    /// Something that was not expected, for people to read.
    pub(crate) fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
        }
    }

    /// Takes a request down; `in_flight` are still under way.
    pub(crate) fn add(&mut self, event: &Event, in_flight: u32) {
        let index = usize::try_from(event.due.as_millis() / SLOT.as_millis()).unwrap_or_default();
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let (slot, priority) = (&mut self.slots[index], usize::from(event.priority));
        let (latency, lag) = (event.ended.saturating_sub(event.due), event.sent.saturating_sub(event.due));
        let phase = &mut self.phases[usize::from(event.phase)][priority];
        let kind = &mut self.kinds[event.kind.index()];
        for counts in [&mut slot.counts[priority], &mut phase.counts, &mut kind.counts] {
            counts.count(event.end);
        }
        if let (Some(people), Some(who)) = (&mut self.people, event.who)
            && let Some(counts) = people.get_mut(who as usize)
        {
            counts.count(event.end);
        }
        slot.retries += u64::from(event.is_retry);
        slot.in_flight = in_flight;
        if event.end != End::NotSent {
            slot.lag.add(lag);
            self.lag.add(lag);
        }
        let refuser = match event.end {
            End::Refused429(refuser) => Some(refuser),
            End::Refused503 => Some(1),
            _ => None,
        };
        if let Some(refuser) = refuser {
            *slot.refused_by.entry(refuser).or_default() += 1;
            *self.refused.entry(refuser).or_default() += 1;
        }
        if event.end == End::Ok {
            self.accepted[usize::from(event.phase)][event.kind.index()] += 1;
            slot.times.add(latency);
            phase.times.add(latency);
            kind.times.add(latency);
            if priority == 0 {
                slot.times_p0.add(latency);
            }
        }
        let is_admitted = matches!(event.end, End::Ok | End::Unexpected);
        if is_admitted && self.keeps_admitted && self.admitted.len() < MOST_ADMITTED {
            let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            self.admitted.push(Admitted {
                sent_ms: ms(event.sent),
                ended_ms: ms(event.ended),
                who: event.who,
                source: event.source,
                kind: event.kind,
            });
        }
    }

    /// Whether it is sure that all admitted requests are remembered.
    pub(crate) fn remembers_all(&self) -> bool {
        self.admitted.len() < MOST_ADMITTED
    }

    /// Everything together.
    pub(crate) fn totals(&self) -> (Counts, Times) {
        let mut all = (Counts::default(), Times::default());
        for tier in self.phases.iter().flatten() {
            all = (all.0.plus(&tier.counts), all.1.with(&tier.times));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(due_ms: u64, end: End) -> Event {
        let due = Duration::from_millis(due_ms);
        Event {
            due,
            sent: due + Duration::from_millis(1),
            ended: due + Duration::from_millis(10),
            phase: 0,
            kind: Kind::Ride,
            priority: 0,
            end,
            who: Some(0),
            source: 3,
            is_retry: false,
        }
    }

    #[test]
    fn latency_counts_from_the_intended_start_and_refusals_have_none() {
        let mut book = Book::new(Instant::now(), 1, None);
        book.add(&event(300, End::Ok), 1);
        let refuser = book.refuser(Some("passenger"));
        book.add(&event(310, End::Refused429(refuser)), 1);
        book.add(&event(320, End::Refused503), 1);
        let (counts, times) = book.totals();
        assert_eq!((counts.offered, counts.ok, counts.refused()), (3, 1, 2));
        assert_eq!(times.count(), 1);
        assert!((times.max_ms() - 10.0).abs() < 0.1);
        assert_eq!((book.slots.len(), book.slots[1].refused_by.len()), (2, 2));
        assert_eq!(book.admitted.len(), 1, "a refused request was not admitted");
        assert_eq!(book.refusers[usize::from(refuser)], "passenger");
    }
}
