//! Whether the databases of `store.shards` are those of one store, each in its place. Told before anything is written: a
//! list in another order would look for everybody's rows where they are not.

use sea_orm::{DatabaseConnection, DatabaseTransaction};

use super::{
    StoreError,
    database::{Name, begin},
    identity::{Identity, has_passengers},
    map::ShardMap,
    schema,
};

/// A database with what it says of itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    said: Option<(Identity, Option<ShardMap>)>,
    has_passengers: bool,
}

impl Found {
    /// Its shard map, if it is a database of a store.
    pub(super) fn map(&self) -> Option<&ShardMap> {
        self.said.as_ref()?.1.as_ref()
    }
}

/// What the start has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nobody has any shard yet, or the first start did not come to its end: give each database its part.
    First,
    /// The store is known. Databases that are new in the list, by their places, join without any shard.
    Known {
        /// Its identity, as the first database has it.
        identity: Identity,
        /// Where every shard lies.
        map: ShardMap,
        /// Who has no identity yet.
        joining: Vec<usize>,
        /// Who holds nothing and was not told of the latest moves, by somebody whose list lacked it.
        behind: Vec<usize>,
    },
}

/// What a database says of itself.
///
/// # Errors
/// [`StoreError::Open`] when it belongs to another program or to a newer version of this one.
pub(super) async fn ask(connection: &DatabaseConnection) -> Result<Found, StoreError> {
    let tables = schema::tables(connection).await?;
    schema::refuse_another_program(&tables)?;
    let applied = match tables.iter().any(|table| table == schema::APPLIED) {
        true => schema::applied(connection).await?,
        false => vec![],
    };
    let identity = match tables.iter().any(|table| table == "store_identity") {
        true => Identity::find(connection, false).await?,
        false => None,
    };
    let said = match identity {
        Some(identity) if identity.is_complete() => {
            let knows_moves = applied.iter().any(|step| step == schema::MOVES);
            Some((identity, Some(ShardMap::find(connection, identity.version, knows_moves).await?)))
        }
        other => other.map(|identity| (identity, None)),
    };
    let is_old = said.is_none() && tables.iter().any(|table| table == "passengers");
    Ok(Found { said, has_passengers: is_old && has_passengers(connection).await? })
}

/// What the start has to do with what was found, a database each, in the order of the list.
///
/// # Errors
/// What is wrong with which database.
pub(super) fn judge<N: std::fmt::Display>(names: &[N], found: &[Found]) -> Result<Start, String> {
    let Some((first, others)) = found.split_first() else { return Err("store.shards is empty".to_owned()) };
    match &first.said {
        Some((identity, Some(_))) => known(names, *identity, found),
        Some((identity, None)) => {
            for (name, other) in names[1..].iter().zip(others) {
                if other.said.as_ref().is_some_and(|(said, _)| said.store != identity.store) {
                    return Err(format!("{name} belongs to another store"));
                }
            }
            Ok(Start::First)
        }
        None => {
            for (name, other) in names[1..].iter().zip(others) {
                if let Some((said, _)) = &other.said {
                    let (place, first) = (said.place + 1, &names[0]);
                    return Err(format!(
                        "{name} is database {place} of a store, but {first} is new: a list begins with a store's first database"
                    ));
                }
            }
            let old = names.iter().zip(found).find(|(_, found)| found.has_passengers);
            match old {
                // Everything of before lies here, and here it stays.
                Some(_) if found.len() == 1 => Ok(Start::First),
                Some((name, _)) => Err(format!(
                    "{name} holds all passengers from before there were several databases: start once with it alone, then add \
                     the others behind it"
                )),
                None => Ok(Start::First),
            }
        }
    }
}

fn known<N: std::fmt::Display>(names: &[N], identity: Identity, found: &[Found]) -> Result<Start, String> {
    let mut maps = Vec::new();
    for (place, (name, found)) in names.iter().zip(found).enumerate() {
        match &found.said {
            Some((said, _)) if said.store != identity.store => return Err(format!("{name} belongs to another store")),
            Some((said, _)) if said.place != place => {
                let is = said.place + 1;
                return Err(format!(
                    "{name} is database {is} of this store: the order of store.shards is part of the data, and each \
                     database is named once"
                ));
            }
            Some((_, Some(map))) => maps.push((place, map)),
            Some((_, None)) | None => {}
        }
    }
    let has_version = |place: usize, its: i32| {
        let (first, name) = (identity.version, &names[place]);
        format!("{name} has version {its} of the shard map, and database 1 has version {first}")
    };
    let versions =
        || found.iter().enumerate().filter_map(|(place, found)| Some((place, found.said.as_ref()?.0.version)));
    let miscounted = found.iter().position(|found| match &found.said {
        Some((_, Some(map))) => !map.is_counted_right(),
        Some((_, None)) => true,
        None => false,
    });
    if let Some(miscounted) = miscounted {
        return Err(match versions().find(|(_, its)| *its != identity.version) {
            Some((place, its)) => has_version(place, its),
            None => format!("{} has another shard map than its version {} says", names[miscounted], identity.version),
        });
    }
    let map = ShardMap::merged(&maps).map_err(|(place, shard)| {
        // The first one is who the others are compared with.
        let differs = |(other, its): &(usize, i32)| *its != identity.version && (place == 0 || *other == place);
        if let Some((other, its)) = versions().find(differs) {
            return has_version(other, its);
        }
        let (name, shard) = (&names[place], shard.number());
        format!(
            "{name} has another shard map than database 1: they disagree about shard {shard}, and no move explains that"
        )
    })?;
    let is_behind =
        |(place, its): &&(usize, &ShardMap)| map.holds_nothing(*place) && its.version < map.version && !its.is_moving();
    let behind = maps.iter().filter(is_behind).map(|(place, _)| *place).collect();
    let mut joining = Vec::new();
    for (place, (name, found)) in names.iter().zip(found).enumerate() {
        if found.said.is_some() {
            continue;
        }
        if place < identity.databases || found.has_passengers || place <= map.last_database() {
            let held = map.held_by(place);
            return Err(format!("{name} is not the database that stood here, which held {held}"));
        }
        joining.push(place);
    }
    let last = map.last_database();
    if last >= names.len() {
        let (held, named) = (map.held_by(last), names.len());
        return Err(format!("database {} is not in the list of {named}: it holds {held}", last + 1));
    }
    let identity = Identity { version: map.version, ..identity };
    Ok(Start::Known { identity, map, joining, behind })
}

/// Gives each database its part, with `store` as the number of the store unless somebody else was faster; `None` when they
/// have even finished.
///
/// # Errors
/// [`StoreError::Open`] when the list names a database twice.
pub(super) async fn give_parts(
    databases: &[(Name, DatabaseConnection)],
    store: i64,
) -> Result<Option<ShardMap>, StoreError> {
    let Some((_, first)) = databases.first() else { return Ok(None) };
    let map = ShardMap::by_range(databases.len());
    let beginning = Identity { store, place: 0, databases: databases.len(), version: 0 };
    let tx = begin(first).await?;
    let (settled, _) = beginning.settle(&tx).await?;
    if settled.is_complete() {
        tx.rollback().await?;
        return Ok(None);
    }
    let beginning = Identity { store: settled.store, ..beginning };
    beginning.replace(&tx).await?;
    map.replace(&tx).await?;
    tx.commit().await?;
    let complete = Identity { version: map.version, ..beginning };
    for (place, (name, connection)) in databases.iter().enumerate().skip(1) {
        join(name, connection, Identity { place, ..complete }, &map, true).await?;
    }
    // Only now: whoever finds it unfinished begins again.
    let tx = begin(first).await?;
    if Identity::find(&tx, true).await? == Some(beginning) {
        complete.replace(&tx).await?;
    }
    tx.commit().await?;
    Ok(Some(map))
}

/// Makes the database a part of the store. At a beginning nobody can have used it yet, and what a beginning that was cut off has
/// left there is written over.
///
/// # Errors
/// [`StoreError::Open`] when it already is one, in another place.
pub(super) async fn join(
    name: &Name,
    connection: &DatabaseConnection,
    identity: Identity,
    map: &ShardMap,
    is_beginning: bool,
) -> Result<(), StoreError> {
    let tx = begin(connection).await?;
    let (settled, is_new) = identity.settle(&tx).await?;
    if (settled.store, settled.place) != (identity.store, identity.place) {
        tx.rollback().await?;
        let is = settled.place + 1;
        return Err(StoreError::Open(format!(
            "{name} is database {is} of a store already, under this or another name"
        )));
    }
    // Somebody else was faster: shards may have been moved there since, which is not ours to undo.
    if is_new || is_beginning {
        identity.replace(&tx).await?;
        map.replace(&tx).await?;
    }
    Ok(tx.commit().await?)
}

/// Tells a database where every shard lies.
pub(super) async fn tell(
    connection: &DatabaseConnection,
    identity: Identity,
    map: &ShardMap,
) -> Result<(), StoreError> {
    let tx = begin(connection).await?;
    // Somebody may have told it meanwhile, or begun to move a shard to it.
    let now = ask_in(&tx).await?;
    if now.version < map.version && !now.is_moving() {
        identity.replace(&tx).await?;
        map.replace(&tx).await?;
    }
    Ok(tx.commit().await?)
}

async fn ask_in(tx: &DatabaseTransaction) -> Result<ShardMap, StoreError> {
    let version = Identity::find(tx, true).await?.map_or(0, |identity| identity.version);
    ShardMap::find(tx, version, true).await
}
