//! Before a run: everybody signs in, some at a time, and does as told when it is refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::{book::End, engine::Engine, kinds::Kind};

/// Sign-ins at the same time.
const AT_ONCE: u32 = 32;
/// How often one of them may be refused.
const TRIES: u32 = 20;

/// Signs passengers in until there are so many; tells `progress` how many there are.
///
/// # Errors
/// Somebody could not sign in; in words.
pub(crate) async fn sign_in(engine: &Arc<Engine>, passengers: u32, progress: impl Fn(u32)) -> Result<(), String> {
    let left = Arc::new(AtomicU32::new(passengers));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE.min(passengers) {
        let (engine, left) = (engine.clone(), left.clone());
        all.spawn(async move {
            let one_less = |left: u32| left.checked_sub(1);
            while left.try_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                one(&engine).await?;
            }
            Ok::<_, String>(())
        });
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            ended = all.join_next() => match ended {
                Some(ended) => ended.map_err(|e| format!("a defect of this tool: {e}"))??,
                None => return Ok(()),
            },
            _ = ticks.tick() => progress(u32::try_from(engine.state().crowd.len()).unwrap_or_default()),
        }
    }
}

async fn one(engine: &Engine) -> Result<(), String> {
    let newcomer = engine.state().crowd.newcomer();
    // A code, then the code typed: the second comes with the first's newcomer.
    let otp = super::crowd::Crowd::otp(newcomer.clone());
    persist(engine, &otp, Kind::Otp).await?;
    let token = engine.state().crowd.take_code(&newcomer).ok_or("a code was sent, and no SMS is there")?;
    persist(engine, &token, Kind::Token).await
}

async fn persist(engine: &Engine, errand: &super::crowd::Errand, kind: Kind) -> Result<(), String> {
    for _ in 0..TRIES {
        let ended = engine.exchange(errand, Instant::now() + Duration::from_secs(30)).await;
        match ended.end {
            End::Ok => return Ok(()),
            End::Refused429(_) | End::Refused503 => {
                tokio::time::sleep(Duration::from_secs(ended.told.unwrap_or(1).min(10))).await;
            }
            _ => return Err(format!("nobody can sign in: {}: {}", kind.route(), engine.examples())),
        }
    }
    Err(format!("nobody can sign in: {} was refused {TRIES} times", kind.route()))
}
