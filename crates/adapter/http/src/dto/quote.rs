//! Products, quotes, receipts.

use entity::{FareLine, PaymentStatus, Quote, value::Product};
use serde::{Deserialize, Serialize};
use usecase::rides::receipt::Receipt;
use utoipa::ToSchema;

use super::{MoneyView, PointBody, rfc3339};
use crate::extract::object;

/// What is on offer here.
#[derive(Serialize, ToSchema)]
pub struct ProductsView {
    /// In the order to show them.
    pub products: Vec<ProductView>,
}

/// A product and how soon a car would be here.
#[derive(Serialize, ToSchema)]
pub struct ProductView {
    /// Its id.
    pub id: &'static str,
    /// Its name.
    pub display_name: &'static str,
    /// Seats.
    pub capacity: u8,
    /// Seconds until a car is there.
    pub pickup_eta_s: u32,
}

impl ProductView {
    /// A product with its pickup time.
    pub fn new(product: Product, pickup_eta_s: u32) -> Self {
        let (id, display_name, capacity) = (product.id(), product.display_name(), product.capacity());
        Self { id, display_name, capacity, pickup_eta_s }
    }
}

/// Asks what a trip costs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteBody {
    /// From.
    #[serde(deserialize_with = "object")]
    pub pickup: PointBody,
    /// To.
    #[serde(deserialize_with = "object")]
    pub dropoff: PointBody,
}

/// An upfront offer.
#[derive(Serialize, ToSchema)]
#[schema(as = Quote)]
pub struct QuoteView {
    /// Send it along with the ride request.
    pub quote_id: String,
    /// Until when it can be used.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Metres on the road.
    pub distance_m: u32,
    /// Seconds of the trip.
    pub duration_s: u32,
    /// Always null today.
    #[schema(required = true)]
    pub surge: Option<f64>,
    /// One a product.
    pub options: Vec<QuoteOptionView>,
}

/// The price with one product.
#[derive(Serialize, ToSchema)]
#[schema(as = QuoteOption)]
pub struct QuoteOptionView {
    /// The product's id.
    pub product: &'static str,
    /// Its name.
    pub display_name: &'static str,
    /// Seats.
    pub capacity: u8,
    /// Seconds until a car is there.
    pub pickup_eta_s: u32,
    /// What it costs: the sum of the breakdown.
    pub fare: MoneyView,
    /// What it is made of.
    pub breakdown: Vec<LineView>,
}

/// One line of a fare or receipt.
#[derive(Serialize, ToSchema)]
#[schema(as = FareLine)]
pub struct LineView {
    /// `base`, `distance`, `time`, `minimum_fare`, `cancellation_fee`.
    pub kind: String,
    /// Its amount.
    pub amount: MoneyView,
}

impl From<&FareLine> for LineView {
    fn from(line: &FareLine) -> Self {
        Self { kind: line.kind.clone(), amount: line.amount.into() }
    }
}

impl From<&Quote> for QuoteView {
    fn from(quote: &Quote) -> Self {
        let options = quote.offer.options.iter().map(|o| QuoteOptionView {
            product: o.product.id(),
            display_name: o.product.display_name(),
            capacity: o.product.capacity(),
            pickup_eta_s: o.pickup_eta_s,
            fare: o.fare.into(),
            breakdown: o.breakdown.iter().map(LineView::from).collect(),
        });
        Self {
            quote_id: quote.id.to_string(),
            expires_at: rfc3339(quote.offer.expires_at),
            distance_m: quote.offer.distance_m,
            duration_s: quote.offer.duration_s,
            surge: None,
            options: options.collect(),
        }
    }
}

/// What a ride cost.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptView {
    /// The ride.
    pub ride_id: String,
    /// They add up to the total; empty when the ride was free.
    pub lines: Vec<LineView>,
    /// The sum.
    pub total: MoneyView,
    /// Where the money is now.
    #[schema(value_type = PaymentStatusName)]
    pub payment_status: PaymentStatus,
    /// When the ride ended.
    #[schema(format = DateTime)]
    pub issued_at: String,
}

impl ReceiptView {
    /// The receipt of a ride.
    pub fn new(ride_id: String, receipt: &Receipt) -> Self {
        Self {
            ride_id,
            lines: receipt.lines.iter().map(LineView::from).collect(),
            total: receipt.total.into(),
            payment_status: receipt.payment_status,
            issued_at: rfc3339(receipt.issued_at),
        }
    }
}

/// Where a payment stands.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentStatus)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the schema of a type that entity owns")]
pub enum PaymentStatusName {
    /// Nothing is decided.
    Pending,
    /// The fare is reserved.
    Authorised,
    /// The bank said no.
    Declined,
    /// Money was taken.
    Captured,
    /// What was reserved is free again.
    Voided,
    /// It did not work; somebody looks at it.
    Failed,
}
