//! The client's side of a measurement: signs passengers in, gets quotes, requests rides, reads them. It runs in the
//! bench's own process: none of its work counts.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

/// Requests at the same time that only prepare a measurement.
const PREPARING: usize = 16;

/// A client of one gateway.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

/// Somebody who is signed in and has an offer.
#[derive(Clone, Debug)]
pub(crate) struct Passenger {
    /// The id.
    pub(crate) id: i64,
    /// The access token.
    token: String,
    /// The offer.
    pub(crate) quote_id: i64,
}

impl Passenger {
    /// The access token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The idempotency key of the request with this quote.
    pub(crate) fn key(&self) -> String {
        format!("bench-{}", self.quote_id)
    }
}

/// A ride and whose it is.
pub(crate) struct Ride {
    id: String,
    token: String,
}

impl Ride {
    /// The id, as it stands in JSON.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Client {
    /// A client of the public listener at `base`.
    ///
    /// # Errors
    /// The HTTP library cannot start.
    pub(crate) fn new(base: String) -> Result<Self, String> {
        let http = reqwest::Client::builder().no_proxy().build().map_err(|e| e.to_string())?;
        Ok(Self { http, base })
    }

    /// `count` passengers nobody has seen, numbered from `first`, each with a quote.
    ///
    /// # Errors
    /// An answer that the contract does not have here.
    pub(crate) async fn passengers(&self, first: usize, count: usize) -> Result<Vec<Passenger>, String> {
        let each = stream::iter(first..first + count).map(|number| self.passenger(number));
        each.buffer_unordered(PREPARING).try_collect().await
    }

    /// The access tokens of `count` passengers nobody has seen, each on a device of its own.
    ///
    /// # Errors
    /// An answer that the contract does not have here.
    pub(crate) async fn tokens(&self, count: usize) -> Result<Vec<String>, String> {
        let each = stream::iter(0..count).map(|number| async move { Ok(self.sign_in(number).await?.1) });
        each.buffer_unordered(PREPARING).try_collect().await
    }

    /// The passenger's id and access token.
    async fn sign_in(&self, number: usize) -> Result<(i64, String), String> {
        let phone = format!("+1212{number:07}");
        let challenge = self.post("/v1/auth/otp", None, &json!({ "phone": phone })).await?;
        let sms = self.get(&format!("/sandbox/sms/%2B1212{number:07}"), "").await?;
        let (challenge, device) = (&challenge["challenge_id"], format!("bench-{number}"));
        let code = json!({ "challenge_id": challenge, "code": sms["code"], "device_id": device });
        let session = self.post("/v1/auth/token", None, &code).await?;
        Ok((number_of(&session["passenger"]["id"])?, text(&session["access_token"])))
    }

    async fn passenger(&self, number: usize) -> Result<Passenger, String> {
        let (id, token) = self.sign_in(number).await?;
        self.with_a_quote(id, token).await
    }

    /// The same passenger with another quote.
    ///
    /// # Errors
    /// An answer other than 201.
    pub(crate) async fn again(&self, passenger: &Passenger) -> Result<Passenger, String> {
        self.with_a_quote(passenger.id, passenger.token.clone()).await
    }

    async fn with_a_quote(&self, id: i64, token: String) -> Result<Passenger, String> {
        let trip =
            json!({ "pickup": { "lat": 40.758, "lng": -73.9855 }, "dropoff": { "lat": 40.7127, "lng": -74.0134 } });
        let quote = self.post("/v1/quotes", Some((&token, "")), &trip).await?;
        Ok(Passenger { id, token, quote_id: number_of(&quote["quote_id"])? })
    }

    /// `POST /v1/rides` for each passenger, `concurrency` at a time.
    ///
    /// # Errors
    /// An answer other than 201.
    pub(crate) async fn request(&self, passengers: &[Passenger], concurrency: usize) -> Result<Vec<Ride>, String> {
        let each = stream::iter(passengers).map(|passenger| async move {
            let body = json!({ "quote_id": passenger.quote_id.to_string(), "product": "economy" });
            let key = passenger.key();
            let ride = self.post("/v1/rides", Some((&passenger.token, &key)), &body).await?;
            Ok(Ride { id: text(&ride["id"]), token: passenger.token.clone() })
        });
        each.buffer_unordered(concurrency).try_collect().await
    }

    /// Calls rides off, while that is free.
    ///
    /// # Errors
    /// An answer other than 200.
    pub(crate) async fn cancel(&self, rides: &[Ride]) -> Result<(), String> {
        let each = stream::iter(rides).map(|ride| async {
            let path = format!("/v1/rides/{}/cancel", ride.id);
            self.post(&path, Some((&ride.token, "")), &json!({ "reason": "measured" })).await.map(drop)
        });
        each.buffer_unordered(PREPARING).try_collect().await
    }

    /// `GET /v1/rides/{id}` `count` times, over the rides in turn, `concurrency` at a time.
    ///
    /// # Errors
    /// An answer other than 200.
    pub(crate) async fn read(&self, rides: &[Ride], count: usize, concurrency: usize) -> Result<(), String> {
        let each = stream::iter(rides.iter().cycle().take(count)).map(|ride| async {
            let read = self.get(&format!("/v1/rides/{}", ride.id), &ride.token).await?;
            if read["id"] == *ride.id { Ok(()) } else { Err(format!("another ride was read: {read}")) }
        });
        each.buffer_unordered(concurrency).try_collect().await
    }

    /// What the passenger is told of a ride: its status.
    ///
    /// # Errors
    /// An answer other than 200.
    pub(crate) async fn status(&self, ride: &Ride) -> Result<String, String> {
        Ok(text(&self.get(&format!("/v1/rides/{}", ride.id), &ride.token).await?["status"]))
    }

    async fn post(&self, path: &str, caller: Option<(&str, &str)>, body: &Value) -> Result<Value, String> {
        let mut request = self.http.post(format!("{}{path}", self.base)).json(body);
        if let Some((token, key)) = caller {
            request = request.bearer_auth(token);
            if !key.is_empty() {
                request = request.header("idempotency-key", key);
            }
        }
        answer(request).await
    }

    async fn get(&self, path: &str, token: &str) -> Result<Value, String> {
        let mut request = self.http.get(format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        answer(request).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let response = request.send().await.map_err(|e| e.without_url().to_string())?;
    let status = response.status();
    let body = response.text().await.map_err(|e| e.without_url().to_string())?;
    if !status.is_success() {
        return Err(format!("{status}: {body}"));
    }
    serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number_of(value: &Value) -> Result<i64, String> {
    text(value).parse().map_err(|_| format!("not an id: {value}"))
}
