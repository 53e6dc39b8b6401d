//! A passenger asks what a trip would cost, or what is on offer here.

use std::sync::Arc;

use entity::{
    Offer, Passenger, Quote, QuoteOption, Shards, StoreError,
    value::{Area, Id, Millis, Point, Product},
};
use futures_util::future::{try_join, try_join_all};
use runtime::{Invalid, within};
use serde::{Deserialize, Serialize};

use crate::{
    port::{PartnerError, Routing, within_timeout},
    pricing,
};

/// The `[quotes]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a quote can be used, seconds.
    pub ttl_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { ttl_s: 300 }
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("ttl_s", self.ttl_s, 1..=86_400, "seconds")
    }
}

/// Why there is no quote.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A point is not served.
    #[error("{field} is outside the served area")]
    OutOfArea {
        /// Which point.
        field: &'static str,
        /// What is served.
        area: Area,
    },
    /// The routing partner failed or was slow.
    #[error("routing: {0}")]
    Routing(#[from] PartnerError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct QuoteTrip {
    /// Settings of the component.
    pub config: Config,
    /// What trips cost.
    pub pricing: Arc<pricing::Config>,
    /// What is served.
    pub area: Area,
    /// Estimates distance and time.
    pub routing: Arc<dyn Routing>,
    /// Where quotes are kept.
    pub shards: Shards,
}

impl QuoteTrip {
    /// Prices a trip with every product and keeps the offer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(
        &self,
        passenger_id: Id<Passenger>,
        pickup: Point,
        dropoff: Point,
        now: Millis,
    ) -> Result<Quote, Error> {
        self.inside("pickup", pickup)?;
        self.inside("dropoff", dropoff)?;
        // Every question at once, each with the time that a partner has.
        let route = within_timeout(self.routing.route(pickup, dropoff, now));
        let (route, etas) = try_join(route, self.etas(pickup, now)).await?;
        let options = etas.into_iter().map(|(product, pickup_eta_s)| {
            let (fare, breakdown) = self.pricing.fare(product, route.distance_m, route.duration_s);
            QuoteOption { product, pickup_eta_s, fare, breakdown }
        });
        let offer = Offer {
            passenger_id,
            pickup,
            dropoff,
            distance_m: route.distance_m,
            duration_s: route.duration_s,
            options: options.collect(),
            expires_at: now.plus_s(self.config.ttl_s),
        };
        let insert = self.shards.write(passenger_id.shard(), move |tx| Box::pin(Quote::insert(tx, offer.clone(), now)));
        insert.await.map_err(Error::Store)
    }

    /// Every product and how soon a car would be here.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn products(&self, at: Point, now: Millis) -> Result<Vec<(Product, u32)>, Error> {
        if !self.area.contains(at) {
            let latitude_fits = (self.area.min.lat..=self.area.max.lat).contains(&at.lat);
            return Err(Error::OutOfArea { field: if latitude_fits { "lng" } else { "lat" }, area: self.area });
        }
        Ok(self.etas(at, now).await?)
    }

    async fn etas(&self, at: Point, now: Millis) -> Result<Vec<(Product, u32)>, PartnerError> {
        let eta = |product| async move {
            let eta = within_timeout(self.routing.pickup_eta_s(product, at, now)).await?;
            Ok((product, eta))
        };
        try_join_all(Product::ALL.map(eta)).await
    }

    fn inside(&self, field: &'static str, point: Point) -> Result<(), Error> {
        if self.area.contains(point) { Ok(()) } else { Err(Error::OutOfArea { field, area: self.area }) }
    }
}
