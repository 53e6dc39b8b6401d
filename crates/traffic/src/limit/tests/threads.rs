//! Many threads at once.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use super::*;

/// Time does not pass and nothing comes back.
const NEVER: u64 = 1 << 40;

#[test]
fn threads_together_get_exactly_what_one_would() {
    let [everybody, own, counted] = [(2, 1000), (0, 400), (1, 100_000)].map(|(id, n)| table(id, rate(NEVER, n), 100));
    let admitted: Vec<u32> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let mut tiers = [tier(&everybody, 0, 1), tier(&own, thread, 1), tier(&counted, 0, 1)];
                tiers.rotate_left(thread as usize % 3);
                scope.spawn(move || (0..2000).map(|_| u32::from(all(&tiers, 0).0)).sum())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let left = |table, key| tier(table, key, 1).peek(Nanos(0)).remaining();
    assert_eq!(admitted.iter().sum::<u32>(), 1000);
    assert_eq!(left(&everybody, 0), 0);
    assert_eq!(left(&counted, 0), 99_000, "nothing was spent by a refused request");
    for (thread, admitted) in (0..).zip(admitted) {
        assert_eq!(left(&own, thread), 400 - admitted);
    }
}

#[test]
fn reloads_and_sweeps_meanwhile_neither_add_nor_lose_a_unit() {
    const INTERVAL: u64 = 3;
    const BURST: u32 = 50;
    let limited = table(5, rate(INTERVAL, BURST), 4);
    let counted = table(3, rate(NEVER, 1_000_000), 100);
    let (clock, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let admitted: u64 = thread::scope(|scope| {
        let decide = |thread: u64| {
            let (limited, counted) = (tier(&limited, 1, 1), tier(&counted, 2, 1));
            let tiers = if thread == 1 { [limited, counted] } else { [counted, limited] };
            (0..20_000).map(|_| u64::from(all(&tiers, clock.fetch_add(1, Relaxed)).0)).sum::<u64>()
        };
        let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || decide(thread))).collect();
        scope.spawn(|| {
            while !done.load(Relaxed) {
                let now = Nanos(clock.load(Relaxed));
                limited.sweep(now);
                limited.set_rates(Rates::new(rate(INTERVAL, BURST), []), now);
                counted.set_rates(Rates::new(rate(NEVER, 1_000_000), []), now);
                counted.sweep(now);
            }
        });
        let admitted = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        done.store(true, Relaxed);
        admitted
    });
    let elapsed = clock.load(Relaxed);
    assert!(admitted <= u64::from(BURST) + elapsed / INTERVAL, "{admitted} in {elapsed}");
    assert!(admitted >= elapsed / INTERVAL / 2, "{admitted} in {elapsed}");
    assert_eq!(u64::from(tier(&counted, 2, 1).peek(Nanos(0)).remaining()), 1_000_000 - admitted);
}
