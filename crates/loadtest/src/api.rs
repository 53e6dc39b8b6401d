//! The calls of the API, as requests.

use reqwest::Method;
use serde_json::{Value, json};

use crate::trips::Trip;

/// Why passengers of this tool call a ride off.
pub(crate) const CHANGED_PLANS: &str = "changed-plans";

/// A request that can be sent again.
#[derive(Clone)]
pub(crate) struct Request {
    /// For counting and for people.
    pub(crate) call: &'static str,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The ride it speaks about.
    pub(crate) ride: Option<String>,
    /// A 200 is a stream.
    pub(crate) streams: bool,
}

impl Request {
    fn get(call: &'static str, path: impl Into<String>) -> Self {
        Self {
            call,
            method: Method::GET,
            path: path.into(),
            body: None,
            headers: Vec::new(),
            ride: None,
            streams: false,
        }
    }

    fn post(call: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(call, path) }
    }

    fn of(mut self, ride: &str) -> Self {
        self.ride = Some(ride.to_owned());
        self
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn states() -> Self {
        Self::get("GET ride-states", "/v1/ride-states")
    }

    pub(crate) fn fleet(drivers: u32, time_scale: u32, accept_probability: f64) -> Self {
        let body = json!({ "drivers": drivers, "time_scale": time_scale, "accept_probability": accept_probability });
        Self { method: Method::PUT, ..Self::post("PUT sandbox/fleet", "/sandbox/fleet", body) }
    }

    pub(crate) fn otp(phone: &str, device: &str) -> Self {
        Self::post("POST auth/otp", "/v1/auth/otp", json!({ "phone": phone, "device_id": device }))
    }

    pub(crate) fn sms(phone: &str) -> Self {
        Self::get("GET sandbox/sms", format!("/sandbox/sms/{phone}"))
    }

    pub(crate) fn token(challenge: &str, code: &str, device: &str) -> Self {
        let body = json!({ "challenge_id": challenge, "code": code, "device_id": device });
        Self::post("POST auth/token", "/v1/auth/token", body)
    }

    pub(crate) fn refresh(token: &str) -> Self {
        Self::post("POST auth/refresh", "/v1/auth/refresh", json!({ "refresh_token": token }))
    }

    pub(crate) fn me() -> Self {
        Self::get("GET me", "/v1/me")
    }

    pub(crate) fn quote_again(quote: &str) -> Self {
        Self::get("GET quotes/{id}", format!("/v1/quotes/{quote}"))
    }

    pub(crate) fn quote(trip: &Trip) -> Self {
        let body = json!({
            "pickup": { "lat": trip.pickup_lat, "lng": trip.pickup_lng },
            "dropoff": { "lat": trip.dropoff_lat, "lng": trip.dropoff_lng },
        });
        Self::post("POST quotes", "/v1/quotes", body)
    }

    pub(crate) fn ride(quote: &str, product: &str, key: &str) -> Self {
        Self::post("POST rides", "/v1/rides", json!({ "quote_id": quote, "product": product }))
            .with("idempotency-key", format!("\"{key}\""))
    }

    pub(crate) fn show(ride: &str) -> Self {
        Self::get("GET rides/{id}", format!("/v1/rides/{ride}")).of(ride)
    }

    /// The events after `last`, or from the ride as it is now.
    pub(crate) fn events(ride: &str, last: Option<u64>) -> Self {
        let mut request = Self::get("GET rides/{id}/events, until it answers", format!("/v1/rides/{ride}/events"))
            .of(ride)
            .with("accept", "text/event-stream");
        request.streams = true;
        match last {
            Some(last) => request.with("last-event-id", last.to_string()),
            None => request,
        }
    }

    /// The same of a ride that has ended, counted apart: its time is that of a replay.
    pub(crate) fn replay(ride: &str, last: u64) -> Self {
        Self { call: "GET rides/{id}/events, of an ended ride", ..Self::events(ride, Some(last)) }
    }

    /// Calls the ride off; `agreed` is the token that came with the fee.
    pub(crate) fn cancel(ride: &str, agreed: Option<&str>) -> Self {
        let mut body = json!({ "reason": CHANGED_PLANS });
        if let Some(agreed) = agreed {
            body["confirmation_token"] = agreed.into();
        }
        Self::post("POST rides/{id}/cancel", format!("/v1/rides/{ride}/cancel"), body).of(ride)
    }

    pub(crate) fn receipt(ride: &str) -> Self {
        Self::get("GET rides/{id}/receipt", format!("/v1/rides/{ride}/receipt")).of(ride)
    }

    pub(crate) fn rate(ride: &str, stars: u8) -> Self {
        Self::post("POST rides/{id}/rating", format!("/v1/rides/{ride}/rating"), json!({ "stars": stars, "tags": [] }))
            .of(ride)
    }

    pub(crate) fn history(limit: usize, cursor: Option<&str>) -> Self {
        let cursor = cursor.map(|cursor| format!("&cursor={}", escape(cursor))).unwrap_or_default();
        Self::get("GET rides", format!("/v1/rides?limit={limit}{cursor}"))
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986, 2.3): a cursor is opaque.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opaque_cursor_survives_the_query() {
        assert_eq!(Request::history(5, Some("a+/=é")).path, "/v1/rides?limit=5&cursor=a%2B%2F%3D%C3%A9");
    }

    #[test]
    fn a_first_stream_has_no_last_event_id_and_a_resumed_one_has() {
        let names = |r: Request| r.headers.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert!(!names(Request::events("7", None)).contains(&"last-event-id"));
        assert!(names(Request::events("7", Some(3))).contains(&"last-event-id"));
    }
}
