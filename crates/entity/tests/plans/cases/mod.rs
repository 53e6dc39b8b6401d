//! Every method of the entities that asks a database, called as the use cases call it. What one writes is rolled back.

mod identity;
mod index;
mod rides;
mod scans;
mod world;

use entity::StoreError;
use futures_util::future::BoxFuture;

pub(crate) use world::World;

/// A call of a method.
pub(crate) struct Case {
    pub(crate) method: &'static str,
    /// The call itself, for whoever reads why it failed.
    pub(crate) call: &'static str,
    pub(crate) run: for<'w> fn(&'w World) -> BoxFuture<'w, Result<(), StoreError>>,
}

/// `world => Type::method(arguments);` for each call of a method that reads.
macro_rules! reads {
    ($world:ident => $($entity:ident::$method:ident($($argument:expr),* $(,)?);)*) => {
        vec![$($crate::cases::Case {
            method: stringify!($method),
            call: concat!(stringify!($entity), "::", stringify!($method), stringify!(($($argument),*))),
            run: |$world| Box::pin(async move { $entity::$method($($argument),*).await.map(drop) }),
        }),*]
    };
}

/// The same in a transaction, which is rolled back.
macro_rules! writes {
    ($tx:ident, $world:ident => $($entity:ident::$method:ident($($argument:expr),* $(,)?);)*) => {
        vec![$($crate::cases::Case {
            method: stringify!($method),
            call: concat!(stringify!($entity), "::", stringify!($method), stringify!(($($argument),*))),
            run: |world| Box::pin(world.undone(|$tx, $world| {
                Box::pin(async move {
                    // Not every call is about somebody.
                    let _ = $world;
                    $entity::$method($($argument),*).await.map(drop)
                })
            })),
        }),*]
    };
}

pub(crate) use {reads, writes};

pub(crate) fn all() -> Vec<Case> {
    [identity::cases(), rides::cases(), index::cases(), scans::cases()].into_iter().flatten().collect()
}
