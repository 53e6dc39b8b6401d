//! Sends requests the way a patient client does: waits when told to, tries again when the answer got lost, and notes
//! what a server should not have done.

mod answer;

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use answer::Answer;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    api::Request,
    outage::{Halt, Outages, Stop},
    promises::{Kind, Promises},
    tally::Tally,
};

/// Longer than this no answer may take; the product's own slowest refusal is 5 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Addresses that callers come from.
const SOURCES: u8 = 16;
/// So many failures that nothing excuses, and a client gives up.
const STRIKES: u32 = 8;

/// A client of the public API, shared by all trips; cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    /// One a source address.
    http: Arc<[reqwest::Client]>,
    /// The one in use.
    source: usize,
    base: Arc<str>,
    pub(crate) halt: Halt,
    pub(crate) outages: Arc<Outages>,
    pub(crate) promises: Arc<Promises>,
    pub(crate) tally: Arc<Tally>,
}

/// Why there is no answer.
enum Lost {
    /// The connection failed.
    Broken(String),
    /// It holds, and nothing came.
    Silent,
}

impl Client {
    /// A client of the listener at `base` (`http://host:port`).
    ///
    /// # Errors
    /// When the HTTP library cannot start.
    pub(crate) fn new(base: &str, halt: Halt) -> Result<Self, String> {
        let http = sources(base).into_iter().map(|source| {
            reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(5))
                .pool_idle_timeout(Duration::from_secs(3))
                .user_agent(concat!("loadtest/", env!("CARGO_PKG_VERSION")))
                .local_address(source)
                .build()
                .map_err(|e| format!("the HTTP client: {}", causes(&e)))
        });
        Ok(Self {
            http: http.collect::<Result<_, _>>()?,
            source: 0,
            base: base.into(),
            halt,
            outages: Arc::default(),
            promises: Arc::default(),
            tally: Arc::default(),
        })
    }

    /// The same client under another halt.
    pub(crate) fn until(&self, halt: Halt) -> Self {
        Self { halt, ..self.clone() }
    }

    /// The same client from the address of the caller with this number: passengers do not all come from one.
    pub(crate) fn of(&self, caller: u64) -> Self {
        let source = usize::try_from(caller % self.http.len() as u64).unwrap_or_default();
        Self { source, ..self.clone() }
    }

    /// The answer to `request`, whatever its status below 500 (429 and a racing key are waited out).
    ///
    /// # Errors
    /// [`Stop`].
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, Stop> {
        let (mut lost_since, mut strikes, mut tries) = (None, 0, 0);
        loop {
            tries += 1;
            let began = Instant::now();
            let attempt = tokio::time::timeout(ANSWER_WITHIN, self.attempt(request, began));
            let pause = match self.halt.guard(attempt).await?.unwrap_or(Err(Lost::Silent)) {
                Ok(answer) if answer.is_refusal() => self.refused(request, &answer, began, &mut strikes),
                Ok(answer) => return Ok(Answer { lost_since, ..answer }),
                Err(lost) => {
                    lost_since.get_or_insert(began);
                    self.lost(request, began, lost, &mut strikes);
                    None
                }
            };
            if strikes >= STRIKES {
                return Err(Stop::GaveUp);
            }
            // Twice as long each time, at most a second: a restart takes about that long.
            let backoff = Duration::from_millis(1000.min(25 << tries.min(6)));
            self.halt.pause(pause.unwrap_or(backoff)).await?;
        }
    }

    /// The body of an answer that must have `status`.
    ///
    /// # Errors
    /// [`Stop::GaveUp`] after noting an unexpected answer.
    pub(crate) fn read<T: DeserializeOwned>(&self, request: &Request, answer: &Answer, status: u16) -> Result<T, Stop> {
        if answer.status != status {
            return Err(self.unexpected(request, answer));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|e| self.give_up(request, &format!("{}: {e}: {}", answer.status, answer.excerpt())))
    }

    /// Notes an answer that the contract does not have here.
    pub(crate) fn unexpected(&self, request: &Request, answer: &Answer) -> Stop {
        self.give_up(request, &format!("{} {}", answer.status, answer.excerpt()))
    }

    fn give_up(&self, request: &Request, detail: &str) -> Stop {
        self.broken(Kind::UnexpectedAnswer, request, detail);
        Stop::GaveUp
    }

    fn broken(&self, kind: Kind, request: &Request, detail: &str) {
        self.promises.broken(kind, request.ride.as_deref(), format!("{}: {detail}", request.call));
    }

    async fn attempt(&self, request: &Request, began: Instant) -> Result<Answer, Lost> {
        let broken = |e: reqwest::Error| Lost::Broken(causes(&e.without_url()));
        let mut builder =
            self.http[self.source].request(request.method.clone(), format!("{}{}", self.base, request.path));
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let mut response = builder.send().await.map_err(broken)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let (body, stream) = match request.streams && status == 200 {
            true => (Bytes::new(), Some(response)),
            false => (response.bytes().await.map_err(broken)?, None),
        };
        self.tally.answer(request.call, status, began.elapsed());
        Ok(Answer { status, headers, body, stream, asked: began, lost_since: None })
    }

    /// Judges a refusal that is worth another try; how long to wait first.
    fn refused(&self, request: &Request, answer: &Answer, began: Instant, strikes: &mut u32) -> Option<Duration> {
        let wait = answer.retry_after();
        match answer.status {
            409 => {}
            status if status == 429 || answer.is_shed() => {
                let mut counts = self.tally.counts();
                *(if status == 429 { &mut counts.limited } else { &mut counts.shed }) += 1;
                drop(counts);
                if wait.is_none_or(|w| w.is_zero()) {
                    self.give_up(request, &format!("{status} without a Retry-After above 0"));
                }
            }
            503 if answer.says_unavailable() && self.outages.excuse(began, Instant::now()) => {
                self.tally.counts().excused_503 += 1;
            }
            status => {
                *strikes += 1;
                self.broken(Kind::ServerError, request, &format!("{status} {}", answer.excerpt()));
            }
        }
        wait
    }

    /// Judges a request without an answer. Only a connection that failed may blame an outage.
    fn lost(&self, request: &Request, began: Instant, lost: Lost, strikes: &mut u32) {
        let error = match lost {
            Lost::Broken(_) if self.outages.excuse(began, Instant::now()) => {
                self.tally.counts().excused += 1;
                return;
            }
            Lost::Broken(error) => error,
            Lost::Silent => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        *strikes += 1;
        self.broken(Kind::ConnectionError, request, &error);
    }
}

/// The addresses that callers of the listener at `base` come from: a few of 127.0.0.0/8 where the listener is on one of
/// them, so that limits of one address are not what is met; otherwise whatever the system takes.
fn sources(base: &str) -> Vec<Option<IpAddr>> {
    let url = reqwest::Url::parse(base).ok();
    let host = url.as_ref().and_then(|url| url.host_str()?.parse::<Ipv4Addr>().ok());
    match host {
        Some(host) if host.is_loopback() => {
            (1..=SOURCES).map(|number| Some(IpAddr::V4(Ipv4Addr::new(127, 1, 0, number)))).collect()
        }
        _ => vec![None],
    }
}

/// An error with all its causes; the HTTP library's own text hides them.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_come_from_addresses_of_this_machine_where_the_listener_is_on_one() {
        let addresses = sources("http://127.0.0.1:8080");
        assert_eq!(addresses.len(), usize::from(SOURCES));
        assert!(addresses.iter().all(|a| a.is_some_and(|a| a.is_loopback())));
        assert_eq!(sources("http://localhost:8080"), [None]);
        assert_eq!(sources("http://[::1]:8080"), [None]);
        let client = Client::new("http://127.0.0.1:9", Halt::new()).unwrap();
        assert_eq!((client.of(17).source, client.of(1).source), (1, 1));
    }

    #[test]
    fn only_a_documented_503_during_an_outage_is_excused() {
        let client = Client::new("http://127.0.0.1:9", Halt::new()).unwrap();
        let refuse = |status, body| {
            let mut strikes = 0;
            client.refused(&Request::states(), &Answer::with(status, ("x", "y"), body), Instant::now(), &mut strikes);
            strikes
        };
        let unavailable = r#"{"code":"unavailable"}"#;
        assert_eq!(refuse(503, unavailable), 1, "no outage");
        client.outages.begin(crate::options::Victim::Gateway, Instant::now());
        assert_eq!(refuse(503, unavailable), 0);
        assert_eq!(refuse(503, "from somebody else"), 1);
        assert_eq!(refuse(500, r#"{"code":"internal"}"#), 1);
        client.outages.end(Instant::now());
        assert_eq!(refuse(503, unavailable), 1, "the server was back");
    }

    #[test]
    fn whoever_is_shed_obeys_and_blames_nobody_when_told_how_long() {
        let client = Client::new("http://127.0.0.1:9", Halt::new()).unwrap();
        let shed = |header| {
            let (mut strikes, body) = (0, r#"{"code":"temporary-reduced-capacity"}"#);
            let wait =
                client.refused(&Request::states(), &Answer::with(503, header, body), Instant::now(), &mut strikes);
            (wait, strikes, client.promises.total())
        };
        assert_eq!(shed(("retry-after", "3")), (Some(Duration::from_secs(3)), 0, 0));
        assert_eq!(shed(("x", "y")), (None, 0, 1), "a 503 that does not say when to come back");
        assert_eq!(client.tally.counts().shed, 2);
    }

    #[tokio::test]
    async fn nobody_there_is_a_broken_promise_and_the_client_gives_up() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::new(&format!("http://{free}"), Halt::new()).unwrap();
        assert_eq!(client.send(&Request::states()).await.err(), Some(Stop::GaveUp));
        assert_eq!(client.promises.list()[&Kind::ConnectionError].total, u64::from(STRIKES));
    }

    #[tokio::test]
    async fn nobody_there_during_an_outage_is_waited_out() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::new(&format!("http://{free}"), Halt::new()).unwrap();
        client.outages.begin(crate::options::Victim::Gateway, Instant::now());
        let halt = client.halt.clone();
        let states = Request::states();
        let (sent, ()) = tokio::join!(client.send(&states), async {
            while client.tally.counts().excused < 3 {
                tokio::task::yield_now().await;
            }
            halt.stop(crate::outage::Why::Interrupted);
        });
        assert_eq!(sent.err(), Some(Stop::Halted));
        assert_eq!(client.promises.total(), 0);
    }
}
