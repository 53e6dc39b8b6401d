//! The capacity: how many requests of the scenario's mix succeed a second when there are always some waiting, and no more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    book::End,
    engine::Engine,
    kinds::{KINDS, Kind, Mix},
    observe::cpu_seconds,
    outcome::Calibration,
};

/// Requests under way, tried one after the other.
const STEPS: [u32; 4] = [4, 12, 32, 80];
/// Of each step the first part does not count: the server's limits find their place.
const WARM_UP: Duration = Duration::from_millis(1500);
const STEP: Duration = Duration::from_millis(3500);
/// A client that is refused waits so long: refusals are not what is measured here.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// So much of other kinds is no other mix yet, 0…1.
pub(crate) const SKEW: f64 = 0.05;
/// What a mix needs and does not make itself is made before each step, within this time.
const STOCKING: Duration = Duration::from_secs(8);
const STOCKING_AT_ONCE: u32 = 16;

/// Tries each step with this mix; the best is the capacity.
///
/// # Errors
/// Nothing succeeded.
pub(crate) async fn measure(engine: &Arc<Engine>, mix: &Mix, pid: Option<u32>) -> Result<Calibration, String> {
    let mix = &Arc::new(mix.clone());
    let mut found = Calibration::default();
    for in_flight in STEPS {
        stock_quotes(engine, mix).await;
        closed_loop(engine, mix, in_flight, WARM_UP).await;
        let (cpu_before, began) = (pid.and_then(cpu_seconds), Instant::now());
        let answered = closed_loop(engine, mix, in_flight, STEP).await;
        let ok: u64 = answered.iter().sum();
        let goodput = ok as f64 / began.elapsed().as_secs_f64();
        found.steps.push((in_flight, goodput));
        let skew = mix.distance(&answered);
        // Of another mix than wanted is only what there is nothing better than.
        let is_better = match (skew <= SKEW, found.skew <= SKEW) {
            (true, false) => true,
            (false, true) => found.goodput == 0.0,
            _ => goodput > found.goodput,
        };
        if is_better {
            (found.goodput, found.in_flight, found.skew) = (goodput, in_flight, skew);
            let cpu = cpu_before.and_then(|before| Some(pid.and_then(cpu_seconds)? - before));
            found.cpu_us = cpu.map(|cpu| cpu * 1e6 / ok as f64);
        }
    }
    match found.goodput > 0.0 {
        true => Ok(found),
        false => Err(format!("the capacity could not be measured: no request succeeded. {}", engine.examples())),
    }
}

/// Gives everybody who has no ride a quote: a mix with more rides than quotes would otherwise run out of people who can ask
/// for one, and cheaper requests would be measured in their stead.
async fn stock_quotes(engine: &Arc<Engine>, mix: &Mix) {
    if mix.share(Kind::Request) <= mix.share(Kind::Quote) {
        return;
    }
    let until = Instant::now() + STOCKING;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..STOCKING_AT_ONCE {
        let engine = engine.clone();
        all.spawn(async move {
            while Instant::now() < until {
                let Some(errand) = engine.draw_quote_of_the_idle(Instant::now()) else { return };
                if engine.exchange(&errand, Instant::now() + engine.deadline).await.end != End::Ok {
                    tokio::time::sleep(AFTER_REFUSAL).await;
                }
            }
        });
    }
    all.join_all().await;
}

/// So many clients, each with one request after the other; how many succeeded, by kind.
async fn closed_loop(engine: &Arc<Engine>, mix: &Arc<Mix>, clients: u32, length: Duration) -> [u64; KINDS] {
    let until = Instant::now() + length;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (engine, mix) = (engine.clone(), mix.clone());
        all.spawn(async move {
            let mut ok = [0_u64; KINDS];
            while Instant::now() < until {
                let errand = engine.draw(&mix, Instant::now());
                let kind = errand.kind;
                match engine.exchange(&errand, Instant::now() + engine.deadline).await.end {
                    End::Ok => ok[kind.index()] += 1,
                    _ => tokio::time::sleep(AFTER_REFUSAL).await,
                }
            }
            ok
        });
    }
    let all = all.join_all().await;
    std::array::from_fn(|kind| all.iter().map(|ok| ok[kind]).sum())
}
