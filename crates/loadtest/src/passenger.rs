//! A passenger: signs in, stays signed in, and remembers every ride that was acknowledged.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::{
    api::Request,
    client::{Answer, Client, Opened},
    outage::Stop,
    promises::Kind,
    wire::{Challenge, Money, Receipt, Sms, Status, Tokens},
};

/// How long an SMS may take.
const SMS_WITHIN: Duration = Duration::from_secs(5);

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

/// An acknowledged ride.
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) quoted: Money,
    /// Looked at closely.
    pub(crate) sampled: bool,
    pub(crate) end: Option<End>,
}

/// What is known of a ride that has ended.
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) version: u64,
    pub(crate) at: Instant,
    pub(crate) receipt: Option<Receipt>,
    /// The stars of an accepted rating.
    pub(crate) rated: Option<u8>,
}

impl Passenger {
    /// Somebody new.
    pub(crate) fn new(phones: &Phones) -> Self {
        Self { phone: phones.next(), session: None, rides: Vec::new(), unsure: false }
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
            let tokens = self.tokens(client).await?;
            if tokens.passenger.is_new {
                self.session = Some(Session::new(tokens));
            } else {
                self.phone = phones.next();
            }
        }
        Ok(())
    }

    /// The answer to `request`, sent by this passenger.
    ///
    /// # Errors
    /// [`Stop`].
    pub(crate) async fn send(&mut self, client: &Client, request: &Request) -> Result<Answer, Stop> {
        match self.exchange(client, request, false).await? {
            Opened::Answer(answer) => Ok(answer),
            Opened::Stream(_) => Err(Stop::GaveUp),
        }
    }

    /// The stream that `request` opens for this passenger, or the answer instead.
    ///
    /// # Errors
    /// [`Stop`].
    pub(crate) async fn open(&mut self, client: &Client, request: &Request) -> Result<Opened, Stop> {
        self.exchange(client, request, true).await
    }

    /// Whether the access token has run out: then a stream may end.
    pub(crate) fn token_ended(&self, now: Instant) -> bool {
        // A second of leave: the server counts from when it signed, in whole seconds.
        self.session.as_ref().is_none_or(|s| s.ends <= now + Duration::from_secs(1))
    }

    async fn exchange(&mut self, client: &Client, request: &Request, stream: bool) -> Result<Opened, Stop> {
        for _ in 0..3 {
            let access = self.access(client).await?;
            let request = request.clone().with("authorization", format!("Bearer {access}"));
            let opened =
                if stream { client.open(&request).await? } else { Opened::Answer(client.send(&request).await?) };
            match opened {
                Opened::Answer(answer) if answer.status == 401 => {
                    if !self.token_ended(Instant::now()) {
                        client.unexpected(&request, &answer);
                    }
                    if let Some(session) = &mut self.session {
                        session.stale = Instant::now();
                    }
                }
                other => return Ok(other),
            }
        }
        Err(Stop::GaveUp)
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
        let tokens = match refreshed {
            Some(tokens) => tokens,
            None => self.tokens(client).await?,
        };
        Ok(self.session.insert(Session::new(tokens)).access.clone())
    }

    /// Signs in by SMS.
    async fn tokens(&self, client: &Client) -> Result<Tokens, Stop> {
        let device = format!("loadtest-{}", &self.phone[1..]);
        for _ in 0..5 {
            let began = Instant::now();
            let otp = Request::otp(&self.phone, &device);
            let challenge: Challenge = client.read(&otp, &client.send(&otp).await?, 202)?;
            let Some(code) = self.code(client, began).await? else {
                // The inbox lives in the server's memory: a kill empties it, and the next SMS has to wait.
                client.halt.pause(Duration::from_secs(challenge.resend_after_s.clamp(1, 120))).await?;
                continue;
            };
            let token = Request::token(&challenge.challenge_id, &code, &device);
            let answer = client.send(&token).await?;
            // After a lost answer the code may be used already; after a kill the inbox may hold an older one.
            let excused = answer.earlier_lost || client.outages.excuse(began);
            if matches!(answer.status, 401 | 410) && excused {
                client.halt.pause(Duration::from_secs(challenge.resend_after_s.clamp(1, 120))).await?;
                continue;
            }
            return client.read(&token, &answer, 200);
        }
        client.promises.broken(Kind::UnexpectedAnswer, None, "five sign-ins in a row did not work");
        Err(Stop::GaveUp)
    }

    /// The code of the SMS; none when a kill may have lost it.
    async fn code(&self, client: &Client, began: Instant) -> Result<Option<String>, Stop> {
        let request = Request::sms(&self.phone);
        loop {
            let answer = client.send(&request).await?;
            if answer.status != 404 {
                return client.read::<Sms>(&request, &answer, 200).map(|sms| Some(sms.code));
            }
            if began.elapsed() > SMS_WITHIN {
                return if client.outages.excuse(began) { Ok(None) } else { Err(client.unexpected(&request, &answer)) };
            }
            client.halt.pause(Duration::from_millis(50)).await?;
        }
    }
}

/// The next tokens; none when the refresh token is refused because its use got lost too long ago.
async fn refresh(client: &Client, token: &str) -> Result<Option<Tokens>, Stop> {
    let request = Request::refresh(token);
    let answer = client.send(&request).await?;
    if answer.status == 401 && answer.earlier_lost {
        return Ok(None);
    }
    client.read(&request, &answer, 200).map(Some)
}

impl Session {
    fn new(tokens: Tokens) -> Self {
        let now = Instant::now();
        let life = Duration::from_secs(tokens.expires_in);
        // A tenth of its life early, at most half a minute: never sent in its last moment.
        let early = (life / 10).min(Duration::from_secs(30));
        Self { access: tokens.access_token, refresh: tokens.refresh_token, stale: now + life - early, ends: now + life }
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
