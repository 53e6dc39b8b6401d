//! A driver's app, played by hand through the internal listener.

use serde_json::{Value, json};

use super::{Answer, Api, Passenger, seconds_ago, text};

/// One driver.
pub(crate) struct Driver {
    internal: Api,
    pub(crate) id: String,
}

/// Statuses that a driver brings about, in order, with the call that does.
const WAY: [(&str, &str); 4] =
    [("accepted", "accept"), ("arrived", "arrive"), ("in_progress", "start"), ("completed", "complete")];

impl Driver {
    pub(super) fn new(internal: Api, id: &str) -> Self {
        Self { internal, id: id.to_owned() }
    }

    /// What a passenger sees of this driver, without a position.
    pub(crate) fn card(&self) -> Value {
        json!({
            "id": self.id,
            "name": "Ana",
            "rating": 4.9,
            "contact": "+12125550199",
            "vehicle": { "plate": "T123456C", "model": "Camry", "color": "black" }
        })
    }

    pub(crate) async fn accept(&self, ride_id: &str) -> Answer {
        let body = json!({ "driver": self.card(), "pickup_eta_s": 180 });
        self.internal.post(&format!("/internal/v1/rides/{ride_id}/accept"), &body).send().await
    }

    /// `arrive`, `start`, `complete` or `release`.
    pub(crate) async fn step(&self, ride_id: &str, step: &str) -> Answer {
        self.step_with(ride_id, step, &json!({ "driver_id": self.id })).await
    }

    pub(crate) async fn step_with(&self, ride_id: &str, step: &str, body: &Value) -> Answer {
        self.internal.post(&format!("/internal/v1/rides/{ride_id}/{step}"), body).send().await
    }

    /// The driver gives the ride up for good.
    pub(crate) async fn cancel(&self, ride_id: &str) -> Answer {
        self.step_with(ride_id, "cancel", &json!({ "by": "driver", "reason": "vehicle-problem" })).await
    }

    /// Reports a position that is `age_s` seconds old.
    pub(crate) async fn report(&self, lat: f64, lng: f64, age_s: i64) -> Answer {
        let body = json!({ "lat": lat, "lng": lng, "observed_at": seconds_ago(age_s) });
        self.internal.put(&format!("/internal/v1/drivers/{}/location", self.id), &body).send().await
    }

    /// The driver's rides, through the driver index.
    pub(crate) async fn rides(&self) -> Value {
        self.internal.get(&format!("/internal/v1/drivers/{}/rides", self.id)).send().await.expect(200)
    }

    /// Takes a ride from wherever it is, step by step, to `status`; the passenger's view of it.
    pub(crate) async fn bring(&self, passenger: &Passenger, ride_id: &str, status: &str) -> Value {
        let place = |status: &Value| WAY.iter().position(|(known, _)| status == *known);
        let target = place(&json!(status)).unwrap_or_else(|| panic!("no way to {status}"));
        let ride = passenger.ride_with(ride_id, "payment_status", "authorised").await;
        let next = place(&ride["status"]).map_or(0, |at| at + 1);
        for (status, step) in &WAY[next..=target] {
            let answer = if *step == "accept" { self.accept(ride_id).await } else { self.step(ride_id, step).await };
            assert_eq!(answer.expect(200)["status"], *status);
        }
        passenger.ride(ride_id).await
    }

    /// A new ride of this passenger at `status`.
    pub(crate) async fn ride_at(&self, passenger: &Passenger, status: &str) -> Value {
        let ride = passenger.request_ride().await;
        self.bring(passenger, &text(&ride["id"]), status).await
    }
}
