//! The bank's statement: what became of each ride's money, a line a movement, in a file that outlives the process. Several
//! processes may have one bank: each takes the file for itself while it moves money.

use std::{
    fs::File,
    io::{self, Error, ErrorKind, Read, Seek, SeekFrom, Write},
    path::Path,
};

use entity::{
    Ride,
    value::{Currency, Id, Money},
};

/// What may become of a ride's money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Movement {
    Authorised,
    Declined,
    Captured,
    Voided,
}

impl Movement {
    const ALL: [Self; 4] = [Self::Authorised, Self::Declined, Self::Captured, Self::Voided];

    fn name(self) -> &'static str {
        match self {
            Self::Authorised => "authorised",
            Self::Declined => "declined",
            Self::Captured => "captured",
            Self::Voided => "voided",
        }
    }
}

/// A line: `captured,<ride>,1250,USD`, the amount in minor units.
pub(crate) type Entry = (Movement, Id<Ride>, Money);

/// Where movements are written, if anywhere. What is written outlives the process, not the machine: nothing is synced.
#[derive(Default)]
pub(crate) struct Statement(Option<File>);

impl Statement {
    /// Opens the file at `path`, and gives what it says so far. Here and later, half a line at its end (the disk was full) is cut off.
    ///
    /// # Errors
    /// A file that cannot be used, or does not hold a statement.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        let mut statement = Self(Some(file));
        let entries = statement.take()?;
        statement.give_back();
        Ok((statement, entries))
    }

    /// Takes the file, waiting for other processes, and gives what is new in it.
    ///
    /// # Errors
    /// A file that cannot be used, or does not hold a statement.
    pub(crate) fn take(&mut self) -> io::Result<Vec<Entry>> {
        let Some(file) = &mut self.0 else { return Ok(Vec::new()) };
        file.lock()?;
        let (mut text, begin) = (String::new(), file.stream_position()?);
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(begin + whole as u64)?;
            file.seek(SeekFrom::End(0))?;
        }
        let entries = text[..whole].lines().map(|line| {
            parse(line).ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("not a bank statement: {line:?}")))
        });
        entries.collect()
    }

    /// Leaves the file to others.
    pub(crate) fn give_back(&self) {
        if let Some(file) = &self.0 {
            // It goes with the process at the latest.
            let _ = file.unlock();
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// A file that cannot be written: the movement must not take place.
    pub(crate) fn write(&mut self, (movement, ride, money): Entry) -> io::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let line = format!("{},{ride},{},{}\n", movement.name(), money.amount, money.currency.code());
        file.write_all(line.as_bytes())
    }
}

fn parse(line: &str) -> Option<Entry> {
    let mut fields = line.split(',');
    let name = fields.next()?;
    let movement = Movement::ALL.into_iter().find(|m| m.name() == name)?;
    let ride = fields.next()?.parse().ok()?;
    let amount = fields.next()?.parse().ok()?;
    let currency = Currency::from_code(fields.next()?)?;
    fields.next().is_none().then(|| (movement, ride, Money::new(amount, currency)))
}
