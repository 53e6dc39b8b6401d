//! The capacity: how many requests of the scenario's mix succeed a second when there are always some waiting, and no more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{book::End, engine::Engine, observe::cpu_seconds, outcome::Calibration};

/// Requests under way, tried one after the other.
const STEPS: [u32; 4] = [4, 12, 32, 80];
/// Of each step the first part does not count: the server's limits find their place.
const WARM_UP: Duration = Duration::from_millis(1500);
const STEP: Duration = Duration::from_millis(3500);
/// A client that is refused waits so long: refusals are not what is measured here.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);

/// Tries each step; the best is the capacity.
///
/// # Errors
/// Nothing succeeded.
pub(crate) async fn measure(engine: &Arc<Engine>, phase: usize, pid: Option<u32>) -> Result<Calibration, String> {
    let mut found = Calibration::default();
    for in_flight in STEPS {
        closed_loop(engine, phase, in_flight, WARM_UP).await;
        let (cpu_before, began) = (pid.and_then(cpu_seconds), Instant::now());
        let ok = closed_loop(engine, phase, in_flight, STEP).await;
        let goodput = ok as f64 / began.elapsed().as_secs_f64();
        found.steps.push((in_flight, goodput));
        if goodput > found.goodput {
            (found.goodput, found.in_flight) = (goodput, in_flight);
            let cpu = cpu_before.and_then(|before| Some(pid.and_then(cpu_seconds)? - before));
            found.cpu_us = cpu.map(|cpu| cpu * 1e6 / ok as f64);
        }
    }
    match found.goodput > 0.0 {
        true => Ok(found),
        false => Err(format!("the capacity could not be measured: no request succeeded. {}", engine.examples())),
    }
}

/// So many clients, each with one request after the other; how many succeeded.
async fn closed_loop(engine: &Arc<Engine>, phase: usize, clients: u32, length: Duration) -> u64 {
    let until = Instant::now() + length;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let engine = engine.clone();
        all.spawn(async move {
            let mut ok = 0_u64;
            while Instant::now() < until {
                let errand = engine.draw(phase, Instant::now());
                match engine.exchange(&errand, Instant::now() + engine.deadline).await.end {
                    End::Ok => ok += 1,
                    _ => tokio::time::sleep(AFTER_REFUSAL).await,
                }
            }
            ok
        });
    }
    all.join_all().await.into_iter().sum()
}
