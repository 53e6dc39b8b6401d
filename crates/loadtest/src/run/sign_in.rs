//! Before a run: everybody signs in, some at a time, and does as told when it is refused.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::{book::End, crowd::Crowd, engine::Engine, errand::Errand, kinds::Kind, live};

/// So long nobody signs in, and the rest is not waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Sign-ins at the same time.
const AT_ONCE: u32 = 32;
/// How often one of them may be refused.
const TRIES: u32 = 20;
/// An answer, and the SMS after it, is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks whether somebody has signed in.
const LOOK: Duration = Duration::from_millis(100);

/// Signs passengers in until there are so many; tells `progress` how it goes, at once and then now and again.
///
/// # Errors
/// Somebody could not sign in, or nobody did for `patience`; in words, with what refused them.
pub(crate) async fn sign_in(
    engine: &Arc<Engine>,
    passengers: u32,
    patience: Duration,
    progress: impl Fn(&str),
) -> Result<(), String> {
    let left = Arc::new(AtomicU32::new(passengers));
    let refused = Arc::new(Refused::default());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE.min(passengers) {
        let (engine, left, refused) = (engine.clone(), left.clone(), refused.clone());
        all.spawn(async move {
            let one_less = |left: u32| left.checked_sub(1);
            while left.try_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                one(&engine, &refused).await?;
            }
            Ok::<_, String>(())
        });
    }
    let (mut looks, mut lines) = (tokio::time::interval(LOOK), tokio::time::interval(live::step()));
    let (mut signed_in, mut since) = (0, Instant::now());
    loop {
        tokio::select! {
            ended = all.join_next() => match ended {
                Some(ended) => ended.map_err(|e| format!("a defect of this tool: {e}"))??,
                None => return Ok(()),
            },
            _ = lines.tick() => progress(&format!("{signed_in} of {passengers} have signed in{}", refused.words("; refused: "))),
            _ = looks.tick() => {
                let now = engine.state().crowd.len();
                if now > signed_in {
                    (signed_in, since) = (now, Instant::now());
                } else if since.elapsed() >= patience {
                    let why = refused.words(" Refused: ");
                    let why = if why.is_empty() { " Nothing was refused: no answer comes, or no SMS.".into() } else { why };
                    let seconds = patience.as_secs_f64();
                    return Err(format!("for {seconds} s nobody could sign in, {signed_in} of {passengers} have.{why}"));
                }
            }
        }
    }
}

/// What refused how often: `POST /v1/auth/otp: 429, violated-policies address-open`.
#[derive(Default)]
struct Refused(Mutex<BTreeMap<String, u64>>);

impl Refused {
    fn note(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(text).or_default() += 1;
    }

    /// All of it after `head`; nothing when nothing was refused.
    fn words(&self, head: &str) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<_> = all.iter().map(|(what, times)| format!("{what} ({times} times)")).collect();
        if words.is_empty() { String::new() } else { format!("{head}{}", words.join("; ")) }
    }
}

async fn one(engine: &Engine, refused: &Refused) -> Result<(), String> {
    let newcomer = engine.state().crowd.newcomer();
    // A code, then the code typed: the second comes with the first's newcomer.
    let otp = Crowd::otp(newcomer.clone());
    persist(engine, &otp, Kind::Otp, refused).await?;
    let token = engine.state().crowd.take_code(&newcomer).ok_or("a code was sent, and no SMS is there")?;
    persist(engine, &token, Kind::Token, refused).await
}

async fn persist(engine: &Engine, errand: &Errand, kind: Kind, refused: &Refused) -> Result<(), String> {
    for _ in 0..TRIES {
        let ended = engine.exchange(errand, Instant::now() + ANSWER_WITHIN).await;
        match ended.end {
            End::Ok => return Ok(()),
            End::Refused429(_) | End::Refused503 => {
                refused.note(format!("{}: {}", kind.route(), refuser(engine, ended.end)));
                tokio::time::sleep(Duration::from_secs(ended.told.unwrap_or(1).min(10))).await;
            }
            End::Timeout => {
                let seconds = ANSWER_WITHIN.as_secs();
                return Err(format!("nobody can sign in: {}: no answer for {seconds} s", kind.route()));
            }
            _ => return Err(format!("nobody can sign in: {}: {}", kind.route(), engine.examples())),
        }
    }
    let words = refused.words(" Refused: ");
    Err(format!("nobody can sign in: {} was refused {TRIES} times.{words}", kind.route()))
}

/// Status and policy.
fn refuser(engine: &Engine, end: End) -> String {
    match end {
        End::Refused429(0) => "429 that names no policy".to_owned(),
        End::Refused429(number) => {
            let state = engine.state();
            let name = state.book.refusers.get(usize::from(number)).map_or("", String::as_str);
            format!("429, violated-policies {name}")
        }
        _ => "503 temporary-reduced-capacity".to_owned(),
    }
}

#[cfg(test)]
#[path = "sign_in_test.rs"]
mod tests;
