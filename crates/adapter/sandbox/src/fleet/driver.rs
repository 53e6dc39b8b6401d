//! Who drives: a driver's number and the seed say everything about it.

use entity::{Driver, Vehicle, value::DriverId};
use usecase::port::MAX_DRIVERS;

use crate::dice::{self, Question};

/// How the sandbox's driver ids begin; the driver's number follows.
const PREFIX: &str = "sandbox-";

const FIRST_NAMES: [&str; 24] = [
    "Amara", "Andrei", "Bilal", "Carmen", "Chen", "Daniela", "Dmitri", "Esther", "Farida", "Gabriel", "Hana",
    "Ibrahim", "Ines", "Jamal", "Keiko", "Luis", "Mariam", "Nikhil", "Olga", "Priya", "Rosa", "Samuel", "Tenzin",
    "Yusuf",
];
const LAST_NAMES: [&str; 24] = [
    "Abebe", "Ahmed", "Alvarez", "Banerjee", "Castillo", "Cohen", "Diallo", "Flores", "Gomez", "Haddad", "Ivanov",
    "Kim", "Li", "Mensah", "Nguyen", "Okafor", "Park", "Petrov", "Rahman", "Reyes", "Sato", "Sherpa", "Singh", "Wong",
];
/// Every car seats six passengers, so that any driver may take any product.
const MODELS: [&str; 8] = [
    "Chrysler Pacifica",
    "Honda Odyssey",
    "Honda Pilot",
    "Kia Carnival",
    "Kia Telluride",
    "Toyota Grand Highlander",
    "Toyota Highlander",
    "Toyota Sienna",
];
const COLORS: [&str; 6] = ["black", "blue", "grey", "red", "silver", "white"];

/// The driver with this number in the fleet of this seed; `None` from [`MAX_DRIVERS`] on.
pub(crate) fn driver(seed: u64, number: u32) -> Option<Driver> {
    let subject = [i64::from(number)];
    let pick = |question, len| dice::below(len, seed, question, &subject);
    let name = pick(Question::Name, FIRST_NAMES.len() * LAST_NAMES.len());
    let vehicle = pick(Question::Vehicle, MODELS.len() * COLORS.len());
    Some(Driver {
        id: id(number)?,
        name: format!("{} {}", FIRST_NAMES[name % FIRST_NAMES.len()], LAST_NAMES[name / FIRST_NAMES.len()]),
        // 4.50…5.00; from hundredths, so that it is the nearest number to two decimals.
        rating: (450 + pick(Question::Rating, 51)) as f64 / 100.0,
        // 555-0100…0199 is reserved for fiction in the North American numbering plan.
        contact: format!("212-555-01{:02}", pick(Question::Contact, 100)),
        vehicle: Vehicle {
            // The form of New York's hired cars, one plate a driver.
            plate: format!("T{:06}C", 100_000 + number),
            model: MODELS[vehicle % MODELS.len()].to_owned(),
            color: COLORS[vehicle / MODELS.len()].to_owned(),
        },
    })
}

/// The id of the driver with this number; `None` from [`MAX_DRIVERS`] on.
pub(crate) fn id(number: u32) -> Option<DriverId> {
    (number < MAX_DRIVERS).then(|| DriverId::parse(&format!("{PREFIX}{number}")).ok()).flatten()
}

/// The number behind an id; `None` when the driver is not the sandbox's.
pub(crate) fn number(driver_id: &DriverId) -> Option<u32> {
    let digits = driver_id.as_str().strip_prefix(PREFIX)?;
    let number = digits.parse().ok().filter(|number| *number < MAX_DRIVERS)?;
    // Only the form that `id` writes: "sandbox-07" or "sandbox-+7" is somebody else's.
    id(number).filter(|own| own == driver_id).map(|_| number)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_and_number_give_the_same_driver() {
        let (one, again) = (driver(1, 17).unwrap(), driver(1, 17).unwrap());
        assert_eq!((&one.name, one.rating, &one.contact), (&again.name, again.rating, &again.contact));
        let names = |seed| (0..50).map(|n| driver(seed, n).unwrap().name).collect::<Vec<_>>();
        assert_ne!(names(1), names(2));
    }

    #[test]
    fn every_driver_is_plausible_and_has_its_own_plate() {
        let mut plates = HashSet::new();
        for number in 0..5000 {
            let driver = driver(1, number).unwrap();
            assert!((4.5..=5.0).contains(&driver.rating), "{}", driver.rating);
            assert!(driver.contact.starts_with("212-555-01") && driver.contact.len() == 12, "{}", driver.contact);
            assert!(plates.insert(driver.vehicle.plate));
        }
    }

    #[test]
    fn an_id_gives_back_its_number_and_a_foreign_id_none() {
        for driver in [0, 17, MAX_DRIVERS - 1] {
            assert_eq!(number(&id(driver).unwrap()), Some(driver));
        }
        for foreign in ["sandbox-", "sandbox-07", "sandbox-+7", "sandbox-100000", "sandbox-1x", "partner-17"] {
            assert_eq!(number(&DriverId::parse(foreign).unwrap()), None, "{foreign}");
        }
        assert_eq!(id(MAX_DRIVERS), None);
    }
}
