//! Who calls.

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, web};
use entity::{Passenger, Session, value::Id};
use futures_util::future::LocalBoxFuture;
use usecase::auth::access::{Access, Denied};

use crate::{
    Api,
    problem::{Code, Problem},
};

/// What the admission step found in `Authorization`: nobody else reads the header.
#[derive(Clone, Debug)]
pub enum Auth {
    /// No bearer token.
    Missing,
    /// A good token.
    Verified(Access),
    /// A bad one.
    Denied(Denied),
}

/// A signed-in passenger who has not been deleted.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub passenger_id: Id<Passenger>,
    /// Which session.
    pub session_id: Id<Session>,
    /// When the access token ends.
    pub token_ends: entity::value::Millis,
}

async fn caller(request: &HttpRequest) -> Result<Caller, Problem> {
    let caller = match request.extensions().get::<Auth>() {
        None | Some(Auth::Missing) => return Err(Problem::new(Code::TokenMissing, "Send Authorization: Bearer.")),
        Some(Auth::Denied(denied)) => return Err((*denied).into()),
        Some(Auth::Verified(Access { passenger_id, session_id, expires_at, .. })) => {
            Caller { passenger_id: *passenger_id, session_id: *session_id, token_ends: *expires_at }
        }
    };
    let api = request.app_data::<web::Data<Api>>();
    let api = api.ok_or_else(|| Problem::internal(&"the application has no state"))?;
    // Where a shard was nobody is left.
    api.shards.keep_up().await;
    // A token outlives its passenger: whoever was deleted is nobody at once, on every node.
    let shard = api.shards.read(caller.passenger_id.shard());
    if !Passenger::is_active(shard, caller.passenger_id).await? {
        return Err(Denied::Invalid.into());
    }
    Ok(caller)
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { caller(&request).await })
    }
}

/// The caller, and then what they ask: whoever is nobody hears only that, whatever else is wrong with the request.
pub struct CallerAnd<T>(pub Caller, pub T);

impl<T: FromRequest + 'static> FromRequest for CallerAnd<T> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let caller = caller(&request).await?;
            let asked = T::from_request(&request, &mut payload).await.map_err(Into::into)?;
            Ok(Self(caller, asked))
        })
    }
}
