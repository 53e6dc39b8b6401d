//! What a trip costs: base + distance + time, topped up to a minimum. Integers only.

use entity::{
    FareLine,
    value::{Area, Currency, Money, Point, Product},
};
use runtime::{Invalid, within};
use serde::{Deserialize, Deserializer, Serialize};

/// The `[pricing]` section. Amounts are minor units (cents).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where rides start and end: south, west, north, east, in degrees.
    #[serde(deserialize_with = "runtime::config::list")]
    pub area: Vec<f64>,
    /// Prices of `economy`.
    #[serde(deserialize_with = "economy")]
    pub economy: Tariff,
    /// Prices of `comfort`.
    #[serde(deserialize_with = "comfort")]
    pub comfort: Tariff,
    /// Prices of `xl`.
    #[serde(deserialize_with = "xl")]
    pub xl: Tariff,
    /// Most that calling off late costs; never more than the fare.
    pub cancellation_fee: i64,
}

/// Prices of one product, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tariff {
    /// For getting in.
    pub base: i64,
    /// A kilometre.
    pub per_km: i64,
    /// A minute.
    pub per_min: i64,
    /// The least a trip costs.
    pub minimum: i64,
}

const ECONOMY: Tariff = Tariff { base: 255, per_km: 109, per_min: 35, minimum: 800 };
const COMFORT: Tariff = Tariff { base: 325, per_km: 142, per_min: 45, minimum: 1050 };
const XL: Tariff = Tariff { base: 385, per_km: 178, per_min: 50, minimum: 1250 };

impl Default for Config {
    fn default() -> Self {
        let area = vec![40.68, -74.05, 40.90, -73.89];
        Self { area, economy: ECONOMY, comfort: COMFORT, xl: XL, cancellation_fee: 500 }
    }
}

fn economy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tariff, D::Error> {
    over(ECONOMY, deserializer)
}

fn comfort<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tariff, D::Error> {
    over(COMFORT, deserializer)
}

fn xl<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tariff, D::Error> {
    over(XL, deserializer)
}

/// The product's own prices where none is given, so that one price can be set alone.
fn over<'de, D: Deserializer<'de>>(prices: Tariff, deserializer: D) -> Result<Tariff, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Given {
        base: Option<i64>,
        per_km: Option<i64>,
        per_min: Option<i64>,
        minimum: Option<i64>,
    }
    let given = Given::deserialize(deserializer)?;
    Ok(Tariff {
        base: given.base.unwrap_or(prices.base),
        per_km: given.per_km.unwrap_or(prices.per_km),
        per_min: given.per_min.unwrap_or(prices.per_min),
        minimum: given.minimum.unwrap_or(prices.minimum),
    })
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.area().is_none() {
            return Err(Invalid::new("area", "south, west, north, east in degrees, south < north and west < east"));
        }
        for (key, amount) in [
            ("economy.base", self.economy.base),
            ("economy.per_km", self.economy.per_km),
            ("economy.per_min", self.economy.per_min),
            ("economy.minimum", self.economy.minimum),
            ("comfort.base", self.comfort.base),
            ("comfort.per_km", self.comfort.per_km),
            ("comfort.per_min", self.comfort.per_min),
            ("comfort.minimum", self.comfort.minimum),
            ("xl.base", self.xl.base),
            ("xl.per_km", self.xl.per_km),
            ("xl.per_min", self.xl.per_min),
            ("xl.minimum", self.xl.minimum),
            ("cancellation_fee", self.cancellation_fee),
        ] {
            within(key, amount, 0..=1_000_000, "minor units")?;
        }
        Ok(())
    }

    /// Where rides start and end; `None` when the setting is not a box.
    #[must_use]
    pub fn area(&self) -> Option<Area> {
        let [south, west, north, east] = *self.area.as_slice() else { return None };
        let (min, max) = (Point::from_degrees(south, west)?, Point::from_degrees(north, east)?);
        (min.lat < max.lat && min.lng < max.lng).then_some(Area { min, max })
    }

    /// The fare of a trip and what it is made of; the lines add up to the fare.
    #[must_use]
    pub fn fare(&self, product: Product, distance_m: u32, duration_s: u32) -> (Money, Vec<FareLine>) {
        let tariff = match product {
            Product::Economy => self.economy,
            Product::Comfort => self.comfort,
            Product::Xl => self.xl,
        };
        let mut lines = vec![
            ("base", tariff.base),
            ("distance", share(tariff.per_km, distance_m, 1000)),
            ("time", share(tariff.per_min, duration_s, 60)),
        ];
        let metered: i64 = lines.iter().map(|(_, amount)| amount).sum();
        if metered < tariff.minimum {
            lines.push(("minimum_fare", tariff.minimum - metered));
        }
        let currency = Currency::Usd;
        let fare = Money::new(metered.max(tariff.minimum), currency);
        let line =
            |(kind, amount): (&str, i64)| FareLine { kind: kind.to_owned(), amount: Money::new(amount, currency) };
        (fare, lines.into_iter().map(line).collect())
    }
}

/// `price × amount / unit`, rounded half up.
fn share(price: i64, amount: u32, unit: i64) -> i64 {
    (price * i64::from(amount) + unit / 2) / unit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_lines_add_up_to_the_fare_which_is_at_least_the_minimum(
            distance_m in 0u32..200_000, duration_s in 0u32..40_000, product in 0usize..3,
        ) {
            let config = Config::default();
            let (fare, lines) = config.fare(Product::ALL[product], distance_m, duration_s);
            prop_assert_eq!(lines.iter().map(|l| l.amount.amount).sum::<i64>(), fare.amount);
            prop_assert!(lines.iter().all(|l| l.amount.amount >= 0));
            prop_assert!(fare.amount >= 800);
        }

        #[test]
        fn further_or_longer_is_never_cheaper(
            d in 0u32..100_000, t in 0u32..20_000, more_d in 0u32..1000, more_t in 0u32..600,
        ) {
            let config = Config::default();
            let (near, _) = config.fare(Product::Economy, d, t);
            let (far, _) = config.fare(Product::Economy, d + more_d, t + more_t);
            prop_assert!(near.amount <= far.amount);
        }
    }

    #[test]
    fn the_area_must_be_a_box() {
        for bad in [vec![], vec![1.0, 2.0, 3.0], vec![2.0, 0.0, 1.0, 1.0], vec![0.0, 0.0, 91.0, 1.0]] {
            assert!(Config { area: bad, ..Config::default() }.validate().is_err());
        }
    }
}
