//! A passenger's phone.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::{Answer, Api, Call, EventStream, eventually, reason, text, trip};

/// A signed-in passenger.
pub(crate) struct Passenger {
    /// The public listener with this passenger's access token.
    pub(crate) api: Api,
    pub(crate) id: String,
    pub(crate) phone: String,
    pub(crate) refresh_token: String,
}

/// A phone number that no other test of this run uses.
pub(crate) fn fresh_phone() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("+1212{:07}", 5_550_000 + COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Passenger {
    /// Sign-in as the app does it: ask for a code, read the message, give the code back.
    pub(crate) async fn sign_in(public: Api, phone: &str) -> Self {
        let (challenge, code) = Self::challenge(&public, phone).await;
        let body = json!({ "challenge_id": challenge, "code": code, "device_id": "phone-1" });
        let tokens = public.post("/v1/auth/token", &body).send().await.expect(200);
        Self {
            api: public.with_token(&text(&tokens["access_token"])),
            id: text(&tokens["passenger"]["id"]),
            phone: phone.to_owned(),
            refresh_token: text(&tokens["refresh_token"]),
        }
    }

    /// Starts a challenge; its id and the code that was sent.
    pub(crate) async fn challenge(public: &Api, phone: &str) -> (String, String) {
        (Self::ask_for_code(public, phone).await, Self::read_code(public, phone).await)
    }

    /// Starts a challenge; its id.
    pub(crate) async fn ask_for_code(public: &Api, phone: &str) -> String {
        let challenge = public.post("/v1/auth/otp", &json!({ "phone": phone })).send().await.expect(202);
        text(&challenge["challenge_id"])
    }

    /// The code in the last message to this phone.
    pub(crate) async fn read_code(public: &Api, phone: &str) -> String {
        text(&public.get(&format!("/sandbox/sms/{phone}")).send().await.expect(200)["code"])
    }

    /// A fresh quote for the usual trip.
    pub(crate) async fn quote(&self) -> Value {
        self.api.post("/v1/quotes", &trip()).send().await.expect(201)
    }

    /// Tries to request an economy ride on a quote.
    pub(crate) async fn try_request(&self, quote: &Value, key: &str) -> Answer {
        self.ride_call(quote, key).send().await
    }

    /// The call that does, not sent yet.
    pub(super) fn ride_call(&self, quote: &Value, key: &str) -> Call {
        let body = json!({ "quote_id": quote["quote_id"], "product": "economy" });
        self.api.post("/v1/rides", &body).header("idempotency-key", key)
    }

    /// Tries to request a ride with any body.
    pub(crate) async fn try_request_body(&self, body: &Value, key: &str) -> Answer {
        self.api.post("/v1/rides", body).header("idempotency-key", key).send().await
    }

    /// Quotes and requests; the new ride.
    pub(crate) async fn request_ride(&self) -> Value {
        let quote = self.quote().await;
        let key = format!("key-{}", text(&quote["quote_id"]));
        self.try_request(&quote, &key).await.expect(201)
    }

    /// The same, and waits until the payment was authorised: from then on a driver may accept.
    pub(crate) async fn request_authorised_ride(&self) -> Value {
        let ride = self.request_ride().await;
        self.ride_with(&text(&ride["id"]), "payment_status", "authorised").await
    }

    /// The ride as it is now.
    pub(crate) async fn ride(&self, id: &str) -> Value {
        self.api.get(&format!("/v1/rides/{id}")).send().await.expect(200)
    }

    /// The ride once `field` has `value`.
    pub(crate) async fn ride_with(&self, id: &str, field: &str, value: &str) -> Value {
        eventually(&format!("ride {id} has {field} {value}"), async || {
            let ride = self.ride(id).await;
            (ride[field] == value).then_some(ride)
        })
        .await
    }

    /// The receipt once its payment has this status.
    pub(crate) async fn receipt_with(&self, id: &str, payment_status: &str) -> Value {
        eventually(&format!("the payment is {payment_status}"), async || {
            let receipt = self.receipt(id).await.expect(200);
            (receipt["payment_status"] == payment_status).then_some(receipt)
        })
        .await
    }

    /// Follows the ride from now on.
    pub(crate) async fn follow(&self, id: &str) -> EventStream {
        self.try_follow(id, None).await.unwrap_or_else(|answer| panic!("no stream: {answer:#?}"))
    }

    /// Follows the ride from after the event `last`.
    pub(crate) async fn follow_after(&self, id: &str, last: u64) -> EventStream {
        self.try_follow(id, Some(&last.to_string())).await.unwrap_or_else(|answer| panic!("no stream: {answer:#?}"))
    }

    /// Follows the ride from after `last`; whatever else the server answers is the error.
    pub(crate) async fn try_follow(&self, id: &str, last: Option<&str>) -> Result<EventStream, Answer> {
        let mut call = self.api.get(&format!("/v1/rides/{id}/events"));
        if let Some(last) = last {
            call = call.header("last-event-id", last);
        }
        call.open().await
    }

    /// Cancels, which must be free.
    pub(crate) async fn cancel_free(&self, id: &str) -> Value {
        self.cancel(id, &reason()).await.expect(200)
    }

    /// Cancels with any body.
    pub(crate) async fn cancel(&self, id: &str, body: &Value) -> Answer {
        self.api.post(&format!("/v1/rides/{id}/cancel"), body).send().await
    }

    /// The receipt, whatever the server says.
    pub(crate) async fn receipt(&self, id: &str) -> Answer {
        self.api.get(&format!("/v1/rides/{id}/receipt")).send().await
    }
}
