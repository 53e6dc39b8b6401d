//! A passenger: signs in, stays signed in, and remembers every ride that was acknowledged.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    api::Request,
    client::{Answer, Client},
    outage::Stop,
    promises::Kind,
    wire::{Cancellation, Challenge, Me, Money, Receipt, Ride, Sms, Tokens},
};

/// How long an SMS may take.
const SMS_WITHIN: Duration = Duration::from_secs(5);
/// So long after its first use a refresh token gives the same successor again.
const REFRESH_GRACE: Duration = Duration::from_secs(30);

/// Phone numbers that no other run uses, likely: `+1212555` and eight digits, of which the first four are the run's.
/// (North America has no numbers of this length: they belong to nobody.)
pub(crate) struct Phones {
    run: u64,
    next: AtomicU64,
}

impl Phones {
    /// The numbers of one run.
    pub(crate) fn new(run: u64) -> Self {
        Self { run: run % 10_000, next: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        let number = self.run * 10_000 + self.next.fetch_add(1, Ordering::Relaxed);
        format!("+1212555{:08}", number % 100_000_000)
    }
}

/// Somebody with a phone.
pub(crate) struct Passenger {
    phone: String,
    /// The passenger's id, since the first sign-in.
    id: Option<String>,
    session: Option<Session>,
    /// Acknowledged rides, oldest first.
    pub(crate) rides: Vec<Taken>,
    /// A request for a ride was given up without an answer: one ride more than acknowledged may exist.
    pub(crate) unsure: bool,
}

struct Session {
    access: String,
    refresh: String,
    /// When to ask for the next one, a little before the end.
    stale: Instant,
    ends: Instant,
}

/// An acknowledged ride, and all else that was acknowledged about it.
pub(crate) struct Taken {
    pub(crate) id: String,
    /// What it was asked for with, and the answer.
    pub(crate) request: Request,
    pub(crate) answer: Answer,
    pub(crate) quote: Value,
    pub(crate) quoted: Money,
    /// Looked at closely.
    pub(crate) sampled: bool,
    /// How its passenger called it off.
    pub(crate) cancelled: Option<Cancellation>,
    pub(crate) end: Option<End>,
}

#[cfg(test)]
impl Taken {
    /// A ride for a fare of 9 that ended as `value` says.
    pub(crate) fn ended(id: &str, value: Value) -> Self {
        let ride: Ride = serde_json::from_value(value.clone()).unwrap();
        let answer = Answer::empty(201);
        let (quoted, events) = (ride.fare.clone(), vec![(ride.version, value)]);
        let end = Some(End { ride, events, receipt: None, rated: None });
        let request = Request::ride("q", "xl", "key");
        Self { id: id.to_owned(), request, answer, quote: Value::Null, quoted, sampled: false, cancelled: None, end }
    }
}

/// What is known of a ride that has ended.
pub(crate) struct End {
    /// The ride at its terminal event.
    pub(crate) ride: Ride,
    /// Its events as they were seen: the last one; all when it is looked at closely.
    pub(crate) events: Vec<(u64, Value)>,
    pub(crate) receipt: Option<Receipt>,
    /// The stars of an accepted rating.
    pub(crate) rated: Option<u8>,
}

impl Passenger {
    /// Somebody new.
    pub(crate) fn new(phones: &Phones) -> Self {
        Self { phone: phones.next(), id: None, session: None, rides: Vec::new(), unsure: false }
    }

    /// Whether somebody ever signed in with this phone.
    pub(crate) fn signed_in(&self) -> bool {
        self.session.is_some()
    }

    /// Signs in; for a phone the gateway already knows takes another one: its history would not be ours.
    ///
    /// # Errors
    /// [`Stop`].
    pub(crate) async fn sign_in(&mut self, client: &Client, phones: &Phones) -> Result<(), Stop> {
        while self.session.is_none() {
            let (tokens, asked) = self.tokens(client).await?;
            if tokens.passenger.is_new {
                self.id = Some(tokens.passenger.id.clone());
                self.session = Some(Session::new(tokens, asked));
            } else {
                self.phone = phones.next();
            }
        }
        Ok(())
    }

    /// The account and the session are still there.
    ///
    /// # Errors
    /// [`Stop`].
    pub(crate) async fn look_at_account(&mut self, client: &Client) -> Result<(), Stop> {
        let request = Request::me();
        let me: Me = client.read(&request, &self.send(client, &request).await?, 200)?;
        self.check_id(client, &me.id);
        if me.phone != self.phone {
            client.promises.broken(Kind::SignInLost, None, format!("signed in as {}, is {}", self.phone, me.phone));
        }
        if let Some(session) = &mut self.session {
            session.stale = Instant::now();
        }
        self.access(client).await.map(drop)
    }

    fn check_id(&self, client: &Client, id: &str) {
        if self.id.as_deref() != Some(id) {
            let detail = format!("{} was passenger {:?}, is passenger {id}", self.phone, self.id);
            client.promises.broken(Kind::SignInLost, None, detail);
        }
    }

    /// The answer to `request`, sent by this passenger.
    ///
    /// # Errors
    /// [`Stop`].
    pub(crate) async fn send(&mut self, client: &Client, request: &Request) -> Result<Answer, Stop> {
        let client = &client.of(self.number());
        for _ in 0..3 {
            let access = self.access(client).await?;
            let request = request.clone().with("authorization", format!("Bearer {access}"));
            let answer = client.send(&request).await?;
            if answer.status != 401 {
                return Ok(answer);
            }
            if !self.token_ended(Instant::now()) {
                client.unexpected(&request, &answer);
            }
            if let Some(session) = &mut self.session {
                session.stale = Instant::now();
            }
        }
        Err(Stop::GaveUp)
    }

    /// Tells passengers apart: their phones count up.
    fn number(&self) -> u64 {
        self.phone[1..].parse().unwrap_or_default()
    }

    /// Whether the access token has run out: then a stream may end.
    pub(crate) fn token_ended(&self, now: Instant) -> bool {
        // A second of leave: the server counts from when it signed, in whole seconds.
        self.session.as_ref().is_none_or(|s| s.ends <= now + Duration::from_secs(1))
    }

    /// A token that is good for a while.
    async fn access(&mut self, client: &Client) -> Result<String, Stop> {
        if let Some(session) = self.session.as_ref().filter(|s| s.stale > Instant::now()) {
            return Ok(session.access.clone());
        }
        let refreshed = match &self.session {
            Some(session) => refresh(client, &session.refresh).await?,
            None => None,
        };
        let (tokens, asked) = match refreshed {
            Some(tokens) => tokens,
            None => self.tokens(client).await?,
        };
        self.check_id(client, &tokens.passenger.id);
        Ok(self.session.insert(Session::new(tokens, asked)).access.clone())
    }

    /// Signs in by SMS; the tokens, and when they were asked for.
    async fn tokens(&self, client: &Client) -> Result<(Tokens, Instant), Stop> {
        let client = &client.of(self.number());
        let device = format!("loadtest-{}", &self.phone[1..]);
        for _ in 0..5 {
            let began = Instant::now();
            let otp = Request::otp(&self.phone, &device);
            let challenge: Challenge = client.read(&otp, &client.send(&otp).await?, 202)?;
            if let Some(code) = self.code(client, began).await? {
                let token = Request::token(&challenge.challenge_id, &code, &device);
                let answer = client.send(&token).await?;
                // After a lost answer the code may be used already.
                if !(matches!(answer.status, 401 | 410) && answer.is_repeat()) {
                    return Ok((client.read(&token, &answer, 200)?, answer.asked));
                }
            }
            client.halt.pause(Duration::from_secs(challenge.resend_after_s.clamp(1, 120))).await?;
        }
        client.promises.broken(Kind::UnexpectedAnswer, None, "five sign-ins in a row did not work");
        Err(Stop::GaveUp)
    }

    /// The code of the SMS; none when a kill emptied the inbox, which lives in the server's memory.
    async fn code(&self, client: &Client, began: Instant) -> Result<Option<String>, Stop> {
        let request = Request::sms(&self.phone);
        loop {
            let answer = client.send(&request).await?;
            if answer.status != 404 {
                return client.read::<Sms>(&request, &answer, 200).map(|sms| Some(sms.code));
            }
            if client.outages.excuse(began, Instant::now()) {
                return Ok(None);
            }
            if began.elapsed() > SMS_WITHIN {
                return Err(client.unexpected(&request, &answer));
            }
            client.halt.pause(Duration::from_millis(50)).await?;
        }
    }
}

/// The next tokens; none when the refresh token is refused because its use got lost too long ago.
async fn refresh(client: &Client, token: &str) -> Result<Option<(Tokens, Instant)>, Stop> {
    let request = Request::refresh(token);
    let answer = client.send(&request).await?;
    if answer.status == 401 && answer.lost_since.is_some_and(|since| since.elapsed() >= REFRESH_GRACE) {
        return Ok(None);
    }
    Ok(Some((client.read(&request, &answer, 200)?, answer.asked)))
}

impl Session {
    /// The server signed the tokens after they were asked for, so they live at least as long as from then.
    fn new(tokens: Tokens, asked: Instant) -> Self {
        let life = Duration::from_secs(tokens.expires_in);
        // A tenth of its life early, at most half a minute: never sent in its last moment.
        let early = (life / 10).min(Duration::from_secs(30));
        Self {
            access: tokens.access_token,
            refresh: tokens.refresh_token,
            stale: asked + life - early,
            ends: asked + life,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_e164_and_differ_between_passengers_and_runs() {
        let (one, two) = (Phones::new(12_345), Phones::new(7));
        let numbers = [one.next(), one.next(), two.next()];
        assert_eq!(numbers, ["+121255523450000", "+121255523450001", "+121255500070000"]);
        for number in numbers {
            assert!(number[1..].len() <= 15 && number[1..].bytes().all(|b| b.is_ascii_digit()));
        }
    }
}
