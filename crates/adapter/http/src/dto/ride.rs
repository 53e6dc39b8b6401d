//! Rides.

use bytes::Bytes;
use entity::{Actor, PaymentStatus, Ride, RideStatus, Timeouts, ride::states::TRANSITIONS, value::Millis};
use serde::{Deserialize, Serialize};
use usecase::rides::positions::Position;
use utoipa::ToSchema;

use super::{DriverView, MoneyView, PointBody, quote::PaymentStatusName, rfc3339};
use crate::{extract::text, problem::Problem};

/// Requests a ride.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RideBody {
    /// The offer.
    pub quote_id: String,
    /// One of its products.
    #[schema(example = "economy")]
    pub product: String,
}

/// A ride as of one version.
#[derive(Serialize, ToSchema)]
#[schema(as = Ride)]
pub struct RideView {
    /// Its id.
    pub id: String,
    /// Where it stands.
    #[schema(value_type = RideStatusName)]
    pub status: RideStatus,
    /// Since when.
    #[schema(format = DateTime)]
    pub status_at: String,
    /// What was requested.
    pub product: &'static str,
    /// From.
    pub pickup: PointBody,
    /// To.
    pub dropoff: PointBody,
    /// The offer.
    pub quote_id: String,
    /// What it costs, as quoted.
    pub fare: MoneyView,
    /// Where the money is; final with the terminal version.
    #[schema(value_type = PaymentStatusName)]
    pub payment_status: PaymentStatus,
    /// Who drives.
    #[schema(required = true)]
    pub driver: Option<DriverView>,
    /// Four digits to tell the driver.
    // Only the driver's side, which this description does not tell of, is not given it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = true, nullable = false)]
    pub pickup_code: Option<String>,
    /// Seconds from acceptance to the pickup.
    #[schema(required = true)]
    pub pickup_eta_s: Option<u32>,
    /// How it was called off.
    #[schema(required = true)]
    pub cancellation: Option<CancellationView>,
    /// When it was requested.
    #[schema(format = DateTime)]
    pub requested_at: String,
    /// Also the ETag and the id of its event.
    pub version: i32,
}

/// How a ride was called off.
#[derive(Serialize, ToSchema)]
#[schema(as = Cancellation)]
pub struct CancellationView {
    /// By whom.
    #[schema(value_type = ActorName)]
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// What it costs.
    pub fee: MoneyView,
}

/// Where a driver was seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Location)]
pub struct LocationView {
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lng: f64,
    /// When.
    #[schema(format = DateTime)]
    pub observed_at: String,
    /// Whether that is more than 15 s ago.
    pub stale: bool,
}

impl LocationView {
    /// A position as it looks at `now`.
    pub fn new(position: Position, now: Millis) -> Self {
        Self {
            lat: position.at.lat.degrees(),
            lng: position.at.lng.degrees(),
            observed_at: rfc3339(position.observed_at),
            stale: position.is_stale(now),
        }
    }
}

impl RideView {
    /// What the passenger sees, with the driver's position if there is one to show.
    pub fn new(ride: &Ride, location: Option<LocationView>) -> Self {
        Self { pickup_code: Some(ride.pickup_code.clone()), ..Self::for_driver(ride, location) }
    }

    /// What the driver's side sees: everything but the pickup code.
    pub fn for_driver(ride: &Ride, location: Option<LocationView>) -> Self {
        let location = location.filter(|_| !ride.status.is_terminal());
        Self {
            id: ride.id.to_string(),
            status: ride.status,
            status_at: rfc3339(ride.status_at),
            product: ride.product.id(),
            pickup: ride.pickup.into(),
            dropoff: ride.dropoff.into(),
            quote_id: ride.quote_id.to_string(),
            fare: ride.fare.into(),
            payment_status: ride.payment_status,
            driver: ride.driver.as_ref().map(|d| DriverView::new(d, location)),
            pickup_code: None,
            pickup_eta_s: ride.pickup_eta_s,
            cancellation: ride.cancellation.as_ref().map(|c| CancellationView {
                by: c.by,
                reason: c.reason.clone(),
                fee: c.fee.into(),
            }),
            requested_at: rfc3339(ride.requested_at()),
            version: ride.version,
        }
    }
}

/// A page of history.
#[derive(Serialize, ToSchema)]
pub struct RidesView {
    /// Newest first.
    pub rides: Vec<RideView>,
    /// For the next page; null at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Calls a ride off.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// Why, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub reason: String,
    /// From the 409 that named the fee, to agree to it.
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub confirmation_token: Option<String>,
}

impl CancelBody {
    /// Checks the reason and the size of the token; a wrong token is the use case's to refuse.
    ///
    /// # Errors
    /// Names the field that cannot be taken.
    pub fn check(&self) -> Result<(), Problem> {
        text("reason", &self.reason, 200)?;
        // An empty one is a wrong one: it is answered with a fresh one.
        let token = self.confirmation_token.as_deref().filter(|token| !token.is_empty());
        let said = |_| Problem::invalid_field("confirmation_token", "0 to 200 characters without control characters");
        token.map_or(Ok(()), |token| text("confirmation_token", token, 200).map_err(said))
    }
}

/// Rates a completed ride.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RatingBody {
    /// 1 to 5. Written as 5.0 it is the same number (JSON Schema 2020-12, section 6.1.1), and some clients write it so.
    #[schema(value_type = i64, minimum = 1, maximum = 5)]
    pub stars: f64,
    /// Up to 10 short labels.
    #[serde(default)]
    #[schema(value_type = Vec<RatingTag>, max_items = 10)]
    pub tags: Vec<String>,
    /// Up to 1,000 characters; no control characters but tab and newline.
    #[schema(min_length = 1, max_length = 1000, pattern = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
    pub comment: Option<String>,
}

impl RatingBody {
    /// The rating.
    ///
    /// # Errors
    /// Names the field that cannot be taken.
    pub fn check(self, rated_at: Millis) -> Result<entity::Rating, Problem> {
        let stars = (1..=5).find(|whole| f64::from(*whole) == self.stars);
        let stars = stars.ok_or_else(|| Problem::invalid_field("stars", "1 to 5, whole"))?;
        if self.tags.len() > 10 {
            return Err(Problem::invalid_field("tags", "at most 10 labels"));
        }
        for (i, tag) in self.tags.iter().enumerate() {
            text(&format!("tags[{i}]"), tag, 40)?;
        }
        if let Some(comment) = &self.comment {
            let fits = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
            if !(1..=1000).contains(&comment.chars().count()) || !comment.chars().all(fits) {
                let allowed = "1 to 1000 characters; no control characters but tab and newline";
                return Err(Problem::invalid_field("comment", allowed));
            }
        }
        Ok(entity::Rating { stars, tags: self.tags, comment: self.comment, rated_at })
    }
}

/// A short label.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 40, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
#[allow(dead_code, reason = "describes the members of a list that is read as plain text")]
pub struct RatingTag(String);

/// The rating that was kept.
#[derive(Serialize, ToSchema)]
pub struct RatingView {
    /// The ride.
    pub ride_id: String,
    /// 1 to 5.
    pub stars: u8,
    /// Short labels.
    pub tags: Vec<String>,
    /// Free text.
    #[schema(required = true)]
    pub comment: Option<String>,
}

/// Every legal move of a ride.
#[derive(Serialize, ToSchema)]
pub struct RideStatesView {
    /// The table.
    pub transitions: Vec<TransitionView>,
}

/// One legal move.
#[derive(Serialize, ToSchema)]
#[schema(as = Transition)]
pub struct TransitionView {
    /// From.
    #[schema(value_type = RideStatusName)]
    pub from: RideStatus,
    /// To.
    #[schema(value_type = RideStatusName)]
    pub to: RideStatus,
    /// Who may.
    #[schema(value_type = Vec<ActorName>)]
    pub by: &'static [Actor],
    /// It happens by itself after this long; null when it never does.
    #[schema(required = true)]
    pub timeout_s: Option<u32>,
}

impl RideStatesView {
    /// The table with these time-outs.
    pub fn new(timeouts: &Timeouts) -> Self {
        let transitions = TRANSITIONS.iter().map(|t| TransitionView {
            from: t.from,
            to: t.to,
            by: t.by,
            timeout_s: timeouts.of(t.from).filter(|_| t.on_timeout),
        });
        Self { transitions: transitions.collect() }
    }
}

/// The same as it is sent: it is the same for everybody, as long as the process lives.
#[derive(Clone)]
pub struct RideStatesBody(pub(crate) Bytes);

impl RideStatesBody {
    /// The table with these time-outs, written out.
    #[must_use]
    pub fn new(timeouts: &Timeouts) -> Self {
        Self(serde_json::to_vec(&RideStatesView::new(timeouts)).unwrap_or_default().into())
    }
}

/// Where a ride stands.
#[derive(Serialize, ToSchema)]
#[schema(as = RideStatus)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the schema of a type that entity owns")]
pub enum RideStatusName {
    /// Waiting for a driver.
    Requested,
    /// A driver is on the way.
    Accepted,
    /// The driver waits at the pickup.
    Arrived,
    /// The passenger is on board.
    InProgress,
    /// The passenger is there.
    Completed,
    /// Called off.
    Cancelled,
    /// No driver in time.
    Expired,
}

/// Who moves a ride.
#[derive(Serialize, ToSchema)]
#[schema(as = Actor)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the schema of a type that entity owns")]
pub enum ActorName {
    /// The passenger.
    Passenger,
    /// The driver.
    Driver,
    /// The platform.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    #[test]
    fn a_comment_has_lines_and_tabs_but_no_other_control_characters() {
        let check = |comment: &str| {
            let body = RatingBody { stars: 5.0, tags: vec![], comment: Some(comment.to_owned()) };
            body.check(Millis(0)).map_err(|problem| problem.code)
        };
        assert!(check("Thank you!\n\tCome again \u{1f695}").is_ok());
        for control in ["a\0b", "a\rb", "a\u{1b}[2Jb", "a\u{7f}b", "a\u{85}b"] {
            assert_eq!(check(control).err(), Some(Code::InvalidField), "{control:?}");
        }
    }
}
