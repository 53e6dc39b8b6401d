//! What strangers meet: a gateway with a passenger, a ride and a quote, and calls to every route of it.

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    nonsense, snapshot,
    table::{self, Route},
};
use crate::harness::{Answer, Api, Call, Gateway, PATIENCE, Passenger, text};

/// No request here is about limits.
const NO_LIMITS: &str = "[overload]\nmode = \"off\"\n\
    [[policy]]\nname = \"address\"\nkey = \"address\"\nquota = 1000000\nburst = 10000000\n";

/// A gateway and what belongs to one passenger of it.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) owner: Passenger,
    ride_id: String,
    quote_id: String,
    /// Every route, from the description and the source.
    pub(crate) routes: Vec<Route>,
}

/// What is sent with a call.
#[derive(Default)]
pub(crate) struct Sent<'a> {
    /// Replaces the owner's `{id}`.
    pub(crate) id: Option<&'a str>,
    /// Replaces the required query.
    pub(crate) query: Option<&'a str>,
    /// Replaces the required headers.
    pub(crate) headers: Option<&'a [(&'a str, &'a str)]>,
    /// Replaces a fine body.
    pub(crate) body: Option<&'a str>,
    /// Replaces the body's content type; empty for none.
    pub(crate) media: Option<&'a str>,
    /// Replaces the route's method.
    pub(crate) method: Option<&'a str>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let gateway = Gateway::start_with_policies(NO_LIMITS, settings).await;
        let owner = gateway.passenger().await;
        let ride_id = text(&owner.request_authorised_ride().await["id"]);
        let quote_id = text(&owner.quote().await["quote_id"]);
        let document = gateway.public().get("/openapi.json").send().await.expect(200);
        Self { gateway, owner, ride_id, quote_id, routes: table::all(&document) }
    }

    /// Somebody who may call this route.
    pub(crate) fn insider(&self, route: &Route) -> Api {
        if route.is_internal() { self.gateway.internal() } else { self.owner.api.clone() }
    }

    /// Somebody without a token.
    pub(crate) fn nobody(&self, route: &Route) -> Api {
        if route.is_internal() { self.gateway.internal_without_token() } else { self.gateway.public() }
    }

    /// The path with the owner's id.
    pub(crate) fn path(&self, route: &Route, id: Option<&str>) -> String {
        let Some((start, end)) = route.path.split_once('{') else { return route.path.clone() };
        let own = match start {
            "/v1/quotes/" => &self.quote_id,
            "/internal/v1/passengers/" | "/sandbox/payment/" => &self.owner.id,
            "/sandbox/sms/" => &self.owner.phone,
            "/sandbox/partners/" => "sms",
            _ => &self.ride_id,
        };
        format!("{start}{}{}", id.unwrap_or(own), end.split_once('}').expect("a parameter ends").1)
    }

    /// Calls a route with everything it needs, but for what `sent` replaces; the path and the answer.
    pub(crate) async fn call(&self, api: &Api, route: &Route, sent: Sent<'_>) -> (String, Answer) {
        let (path, call) = self.prepared(api, route, sent);
        (path, call.send().await)
    }

    /// Calls a route and gives what its problem tells; fails unless it is one with this status.
    pub(crate) async fn told(&self, api: &Api, route: &Route, sent: Sent<'_>, status: u16) -> String {
        let (path, answer) = self.call(api, route, sent).await;
        assert_eq!(answer.status, status, "{}: {answer:#?}", route.name());
        snapshot::told(&answer, &path)
    }

    /// As [`World::call`], without the answer's body: an event stream has no end.
    pub(crate) async fn call_for_head(&self, api: &Api, route: &Route) -> Answer {
        self.prepared(api, route, Sent::default()).1.head().await
    }

    fn prepared(&self, api: &Api, route: &Route, sent: Sent<'_>) -> (String, Call) {
        let path = self.path(route, sent.id);
        let required = |place| route.parameters_in(place).filter(|parameter| parameter["required"] == true);
        let query: Vec<String> = required("query").map(good_query).collect();
        let query = sent.query.map_or_else(|| query.join("&"), str::to_owned);
        let url = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
        let method = Method::from_bytes(sent.method.unwrap_or(&route.method).as_bytes()).expect("a method");
        let mut call = api.request(method, &url);
        match sent.headers {
            Some(headers) => call = headers.iter().fold(call, |call, (name, value)| call.header(name, value)),
            None => call = required("header").fold(call, |call, header| call.header(name(header), &fresh_key())),
        }
        if let Some(schema) = &route.body {
            let body = sent.body.map_or_else(|| self.good_body(schema), str::to_owned);
            let media = sent.media.unwrap_or(&route.media[0]);
            call = if media.is_empty() { call } else { call.header("content-type", media) };
            call = call.text(body);
        }
        (path, call)
    }

    fn good_body(&self, schema: &Value) -> String {
        let mut body = nonsense::sample(schema);
        if let Some(quote_id) = body.get_mut("quote_id") {
            *quote_id = json!(self.quote_id);
        }
        body.to_string()
    }

    /// Sends a head and some bytes as they are, says it is done when `finish`, and reads what comes.
    pub(crate) async fn raw(&self, route: &Route, framing: &str, body: &[u8], finish: bool) -> String {
        let api = self.insider(route);
        let address = api.base.trim_start_matches("http://");
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-type: {}\r\nidempotency-key: {}\r\n\
             {framing}\r\n\r\n",
            route.method,
            self.path(route, None),
            api.token.as_deref().unwrap_or(""),
            route.media[0],
            fresh_key(),
        );
        let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("the gateway reads");
        if !finish {
            return String::new();
        }
        let mut answer = Vec::new();
        // The gateway may close while bytes are under way to it: what it said until then counts.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer in time");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Nothing of ours broke while all that happened.
    #[track_caller]
    pub(crate) fn is_unharmed(&self) {
        let log = self.gateway.log();
        for word in ["internal error", "panicked", "status=5", "ERROR"] {
            let line = log.lines().find(|line| line.contains(word));
            assert_eq!(line, None, "`{word}` in the log");
        }
    }
}

/// A parameter's name.
pub(crate) fn name(parameter: &Value) -> &str {
    parameter["name"].as_str().expect("a parameter has a name")
}

/// A required parameter of the query with a value that is fine.
pub(crate) fn good_query(parameter: &Value) -> String {
    let degrees = if name(parameter) == "lng" { "-73.98" } else { "40.75" };
    format!("{}={degrees}", name(parameter))
}

fn fresh_key() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("stranger-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
