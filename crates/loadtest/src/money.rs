//! Money equal: what the rides cost, what their receipts say, and what the bank took.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;

use crate::{follow::Breach, promises::Kind, wire::Money};

/// What became of one ride's money, as its passenger sees it.
#[derive(Clone)]
pub(crate) struct Bill {
    pub(crate) ride: String,
    /// What it costs, given its quote and its end.
    pub(crate) due: Money,
    /// The receipt's total, once it was captured.
    pub(crate) captured: Option<Money>,
}

/// The three sums, in minor units; the bank's when its statement could be read.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sums {
    /// Of what the rides cost.
    pub(crate) due: i64,
    /// Of the captured receipts.
    pub(crate) captured: i64,
    /// Of what the bank took.
    pub(crate) bank: Option<i64>,
}

/// What a bank says of each ride: every movement with its amount.
pub(crate) struct Statement(BTreeMap<String, Vec<(String, Money)>>);

impl Statement {
    /// Reads the statement that the sandbox's bank wrote: `captured,<ride>,1250,USD`, a line a movement.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut rides = BTreeMap::<_, Vec<_>>::new();
        for line in text.lines() {
            let fields: Vec<_> = line.split(',').collect();
            let [movement, ride, amount, currency] = fields[..] else { return Err(format!("the line {line:?}")) };
            let amount = amount.parse().map_err(|e| format!("the line {line:?}: {e}"))?;
            let money = Money { amount, currency: currency.to_owned() };
            rides.entry(ride.to_owned()).or_default().push((movement.to_owned(), money));
        }
        Ok(Self(rides))
    }

    fn of(&self, ride: &str, movement: &str) -> Vec<&Money> {
        let all = self.0.get(ride).into_iter().flatten();
        all.filter(|(m, _)| m == movement).map(|(_, money)| money).collect()
    }

    fn taken(&self) -> i64 {
        self.0.values().flatten().filter(|(m, _)| m == "captured").map(|(_, money)| money.amount).sum()
    }
}

/// Compares the bills of all rides that ended with the bank's statement. So many more rides as `unsure` may exist.
pub(crate) fn reconcile(bills: &[Bill], statement: Option<&Statement>, unsure: usize) -> (Sums, Vec<Breach>) {
    let sum = |amounts: &mut dyn Iterator<Item = &Money>| amounts.map(|money| money.amount).sum();
    let sums = Sums {
        due: sum(&mut bills.iter().map(|bill| &bill.due)),
        captured: sum(&mut bills.iter().filter_map(|bill| bill.captured.as_ref())),
        bank: statement.map(Statement::taken),
    };
    let mut breaches = Vec::new();
    if let Some(statement) = statement {
        breaches.extend(bills.iter().filter_map(|bill| Some((Kind::MoneyDiffers, differs(bill, statement)?))));
        let known: BTreeSet<_> = bills.iter().map(|bill| &bill.ride).collect();
        let strangers = statement.0.keys().filter(|ride| !known.contains(ride)).count();
        if strangers > unsure {
            let detail = format!("the bank knows {strangers} rides that nobody was acknowledged");
            breaches.push((Kind::MoneyDiffers, detail));
        }
    }
    let equal = sums.due == sums.captured && sums.bank.is_none_or(|bank| bank == sums.due);
    if unsure == 0 && !equal {
        breaches.push((Kind::MoneyDiffers, format!("minor units: {sums:?}")));
    }
    (sums, breaches)
}

/// What the bank did with a ride, when it is not what the bill says: reserved once, then taken once or freed once.
fn differs(bill: &Bill, statement: &Statement) -> Option<String> {
    let of = |movement| statement.of(&bill.ride, movement);
    let (reserved, taken, freed) = (of("authorised"), of("captured"), of("voided"));
    let right = match bill.due.amount {
        0 => taken.is_empty() && reserved.len() <= 1 && freed.len() == reserved.len(),
        _ => taken == [&bill.due] && reserved.len() == 1 && freed.is_empty(),
    };
    let list = |all: &[&Money]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    (!right).then(|| {
        let [reserved, taken, freed] = [&reserved, &taken, &freed].map(|all| list(all));
        format!("ride {}: due {}, the bank reserved {reserved:?}, took {taken:?}, freed {freed:?}", bill.ride, bill.due)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sample::usd;

    /// How many breaches there are when rides `r0`, `r1`, … cost these amounts, captured as due, and the bank says this.
    fn breaches(due: &[i64], statement: &str, unsure: usize) -> usize {
        let bill = |(place, amount): (usize, &i64)| {
            let captured = (*amount > 0).then(|| usd(*amount));
            Bill { ride: format!("r{place}"), due: usd(*amount), captured }
        };
        let bills: Vec<_> = due.iter().enumerate().map(bill).collect();
        reconcile(&bills, Some(&Statement::parse(statement).unwrap()), unsure).1.len()
    }

    #[test]
    fn a_fare_is_reserved_once_and_taken_once() {
        assert_eq!(breaches(&[900], "authorised,r0,900,USD\ncaptured,r0,900,USD\n", 0), 0);
        assert_eq!(breaches(&[500], "authorised,r0,900,USD\ncaptured,r0,500,USD\n", 0), 0, "a fee is a part of it");
        let twice = "authorised,r0,900,USD\ncaptured,r0,900,USD\ncaptured,r0,900,USD\n";
        assert_eq!(breaches(&[900], twice, 0), 2, "the ride and the sum");
        assert_eq!(breaches(&[900], "authorised,r0,900,USD\n", 0), 2, "not taken");
        assert_eq!(breaches(&[900], "authorised,r0,900,USD\ncaptured,r0,901,USD\n", 0), 2, "another amount");
        let freed = "authorised,r0,900,USD\ncaptured,r0,900,USD\nvoided,r0,900,USD\n";
        assert_eq!(breaches(&[900], freed, 0), 1);
    }

    #[test]
    fn what_costs_nothing_is_freed_or_was_never_reserved() {
        assert_eq!(breaches(&[0, 0, 0], "authorised,r0,9,USD\nvoided,r0,9,USD\ndeclined,r1,9,USD\n", 0), 0);
        assert_eq!(breaches(&[0], "authorised,r0,900,USD\n", 0), 1, "still reserved");
        assert_eq!(breaches(&[0], "authorised,r0,9,USD\ncaptured,r0,9,USD\n", 0), 2, "taken");
    }

    #[test]
    fn a_ride_that_nobody_knows_costs_nobody_anything() {
        let stranger = "authorised,x,900,USD\ncaptured,x,900,USD\n";
        assert_eq!(breaches(&[], stranger, 0), 2, "the stranger and the sum");
        assert_eq!(breaches(&[], stranger, 1), 0, "an answer got lost for good");
    }

    #[test]
    fn receipts_alone_must_add_up_to_what_is_due() {
        let bill = |captured| [Bill { ride: "r".into(), due: usd(900), captured }];
        assert_eq!(reconcile(&bill(Some(usd(900))), None, 0).1.len(), 0);
        assert_eq!(reconcile(&bill(None), None, 0).1.len(), 1);
    }

    #[test]
    fn half_a_line_is_no_statement() {
        assert!(Statement::parse("captured,r0,9").is_err() && Statement::parse("captured,r0,x,USD").is_err());
    }
}
