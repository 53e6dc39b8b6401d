//! What the databases say of themselves, for people.

use std::fmt::{self, Display};

use super::{Config, StoreError, dsn::Dsn, map::ShardMap, muster, place::State};

/// One of the databases in `store.shards`.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its number and what it is called, without user and password.
    pub name: String,
    /// Whether it belongs to the store.
    pub is_known: bool,
    /// What it holds, as ranges of shards.
    pub holds: String,
    /// How many shards that is.
    pub shards: usize,
    /// The version of its map; 0 while it has none.
    pub version: i32,
    /// Moves that are under way, or were not brought to an end: what to do about each.
    pub moves: Vec<String>,
}

impl Config {
    /// What each database says of itself. Nothing is written: what is new stays so.
    ///
    /// # Errors
    /// [`StoreError::Open`] when a database cannot be opened, or they are not those of one store.
    pub async fn show(&self) -> Result<Vec<Shown>, StoreError> {
        let names = self.names()?;
        let mut found = Vec::with_capacity(names.len());
        for name in &names {
            // To look at a file that is not there would make it.
            let is_new = matches!(&name.dsn, Dsn::Sqlite(path) if !path.exists());
            let asked = async {
                if is_new {
                    return Ok(muster::Found::default());
                }
                let connection = self.open_one(&name.dsn).await?;
                let found = muster::ask(&connection).await;
                connection.close().await?;
                found
            };
            found.push(asked.await.map_err(|error| StoreError::Open(format!("cannot open {name}: {error}")))?);
        }
        let map = match muster::judge(&names, &found).map_err(StoreError::Open)? {
            muster::Start::First => None,
            muster::Start::Known { map, .. } => Some(map),
        };
        let shown = names.iter().zip(&found).enumerate().map(|(number, (name, found))| Shown {
            name: name.to_string(),
            is_known: found.map().is_some(),
            holds: map.as_ref().map_or_else(|| "nothing yet".to_owned(), |map| map.held_by(number).to_string()),
            shards: map.as_ref().map_or(0, |map| map.places().filter(|(_, place)| place.database == number).count()),
            version: found.map().map_or(0, |map| map.version),
            moves: found.map().map(|map| moves(map, number)).unwrap_or_default(),
        });
        Ok(shown.collect())
    }
}

fn moves(map: &ShardMap, number: usize) -> Vec<String> {
    let told = map.places().filter_map(|(shard, place)| {
        let (shard, other) = (shard.number(), To(place.other));
        match place.state {
            State::Settled => None,
            State::Leaving => Some(format!("shard {shard} is being moved to {other}")),
            State::Closed => Some(format!("shard {shard} is being moved to {other}: writes to it wait")),
            State::Left => Some(format!("shard {shard} was moved to {other}: its rows here are still to be removed")),
            State::Arriving => Some(format!("shard {shard} is being copied here from database {}", place.database + 1)),
        }
    });
    let here = number + 1;
    told.map(|told| {
        format!(
            "{told}. If nobody is at it, say `shards move` again, or `--to` the database that holds it (this is {here})"
        )
    })
    .collect()
}

struct To(Option<usize>);

impl Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "database {}", number + 1),
            None => f.write_str("another database"),
        }
    }
}
