//! limitador's in-memory rate limiter as the peer of one decision of four tiers: two with keys of their own (a passenger, a
//! device, 100,000 each, drawn at random), two shared.
//!
//! Speaks as the other sides of that row do: a line with a number on standard input is so many decisions, answered by a
//! line of JSON: `{"ns_per_decision": 9000.0}`. A first line `{"ns_per_decision": 0.0}` says that every key is there.
#![allow(clippy::disallowed_methods, reason = "it measures itself, and has no supervisor")]

use std::{
    collections::HashMap,
    error::Error,
    io::{BufRead, Write},
    time::Instant,
};

use limitador::{
    RateLimiter,
    limit::{Context, Expression, Limit, Namespace},
};

/// Passengers, and as many devices.
const KEYS: u64 = 100_000;
/// More than can be asked for in a window: nothing is refused.
const NEVER: u64 = 1_000_000_000_000;
const WINDOW_S: u64 = 3600;

fn main() -> Result<(), Box<dyn Error>> {
    let namespace = Namespace::from("bench");
    // Room for every key of both tiers: nothing is evicted.
    let limiter = RateLimiter::new(4 * KEYS);
    // Limits of the same variables and window are one limit: the two shared ones differ by a second.
    let limits = [
        Limit::new("bench", NEVER, WINDOW_S, [], [Expression::parse("passenger")?]),
        Limit::new("bench", NEVER, WINDOW_S, [], [Expression::parse("device")?]),
        Limit::new("bench", NEVER, WINDOW_S, [], []),
        Limit::new("bench", NEVER, WINDOW_S + 1, [], []),
    ];
    for limit in limits {
        if !limiter.add_limit(limit) {
            return Err("two limits are taken for one".into());
        }
    }
    let decide = |passenger: u64, device: u64| -> Result<(), Box<dyn Error>> {
        let values = [("passenger".to_owned(), passenger.to_string()), ("device".to_owned(), device.to_string())];
        let context = Context::from(HashMap::from(values));
        let result = limiter.check_rate_limited_and_update(&namespace, &context, 1)?;
        if result.limited { Err("a decision refused".into()) } else { Ok(()) }
    };
    for key in 0..KEYS {
        decide(key, key)?;
    }
    say(0.0)?;
    let mut dice = 1;
    for line in std::io::stdin().lock().lines() {
        let decisions: u32 = line?.trim().parse()?;
        let start = Instant::now();
        for _ in 0..decisions {
            decide(draw(&mut dice) % KEYS, draw(&mut dice) % KEYS)?;
        }
        say(start.elapsed().as_nanos() as f64 / f64::from(decisions))?;
    }
    Ok(())
}

fn say(ns_per_decision: f64) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!({ "ns_per_decision": ns_per_decision }))?;
    out.flush()?;
    Ok(())
}

/// The next number of a sequence that looks random (SplitMix64, Steele, Lea and Flood 2014).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
