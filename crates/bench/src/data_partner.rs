//! A dispatch partner: tells a gateway that drivers accept rides, and how long each had to wait for the answer.

use std::{path::Path, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use crate::{
    clock,
    data_scan::TOKEN,
    data_store::{Rides, State, Store, drivers},
    gateway::Gateway,
    main_flow::Places,
    postgres::Hand,
};

/// One at a time means that what the one before has left is done.
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the rides are; the drivers are here or in the other one.
pub(crate) const RIDES: usize = 0;

/// A dispatch partner and the gateway that it tells of acceptances.
pub(crate) struct Partner {
    /// Stopped by whoever has this.
    pub(crate) gateway: Gateway,
    http: reqwest::Client,
    /// In both databases.
    pub(crate) hands: [Hand; 2],
    rides: Rides,
    next: u32,
    /// Drivers by the database of their index.
    drivers: [Vec<String>; 2],
}

impl Partner {
    /// A gateway with this strategy on a store of two databases, with so many rides that wait for a driver.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn start(
        places: &Places,
        strategy: &str,
        folder: &Path,
        store: &Store,
        rides: usize,
    ) -> Result<Self, String> {
        let count = u32::try_from(rides).map_err(|error| error.to_string())?;
        let rides = Rides::new(count, (RIDES, 2), clock::unix_ms());
        store.fill(RIDES, &rides, &State::Requested)?;
        let dsns = store.dsns();
        // Without partners nobody else moves the rides on.
        let settings = [
            ("GATEWAY__STORE__SHARDS", &*dsns),
            ("GATEWAY__DRIVER_INDEX__STRATEGY", strategy),
            ("GATEWAY__SANDBOX__ENABLED", "false"),
        ];
        let gateway = Gateway::start(&places.gateway, folder, &settings).await?;
        let http =
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
        let [first, second] = store.databases() else { return Err("two databases were expected".to_owned()) };
        let hands = [Hand::open(&first.dsn()).await?, Hand::open(&second.dsn()).await?];
        let drivers = [drivers(2, |place| place == RIDES), drivers(2, |place| place != RIDES)];
        Ok(Self { gateway, http, hands, rides, next: 0, drivers })
    }

    /// Times of so many acceptances, ms. Driver and ride lie in one database, or not.
    ///
    /// # Errors
    /// An answer other than the accepted ride.
    pub(crate) async fn accept(
        &mut self,
        count: usize,
        is_across: bool,
        concurrency: usize,
    ) -> Result<Vec<f64>, String> {
        let (first, count) = (self.next, u32::try_from(count).map_err(|error| error.to_string())?);
        self.next += count;
        let drivers = &self.drivers[usize::from(is_across)];
        let this = &*self;
        let each = stream::iter(first..first + count).map(|number| async move {
            let time = this.accept_one(this.rides.id(number), &drivers[number as usize % drivers.len()]).await?;
            if concurrency == 1 {
                tokio::time::sleep(PAUSE).await;
            }
            Ok::<_, String>(time)
        });
        each.buffer_unordered(concurrency).try_collect().await
    }

    async fn accept_one(&self, ride: i64, driver: &str) -> Result<f64, String> {
        let vehicle = json!({ "plate": "T123456C", "model": "Camry", "color": "black" });
        let driver =
            json!({ "id": driver, "name": "Dana D.", "rating": 4.9, "contact": "+12125550199", "vehicle": vehicle });
        let url = format!("http://{}/internal/v1/rides/{ride}/accept", self.gateway.internal);
        let request = self.http.post(url).bearer_auth(TOKEN).json(&json!({ "driver": driver, "pickup_eta_s": 180 }));
        let asked = clock::now();
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = response.status();
        let body = response.text().await.map_err(|error| error.without_url().to_string())?;
        let taken = asked.elapsed().as_secs_f64() * 1000.0;
        if status.is_success() && body.contains("\"accepted\"") { Ok(taken) } else { Err(format!("{status}: {body}")) }
    }
}
