//! `/v1/auth/*`.

use actix_web::{HttpResponse, web};
use usecase::auth::{request_code, sign_in};

use crate::{
    Api,
    dto::{
        auth::{OtpBody, OtpView, RefreshBody, TokenBody, TokenView, phone},
        rfc3339,
    },
    edge::OfHandler,
    extract::{Caller, ClientAddress, JsonBody, text},
    openapi::Problems,
    problem::{Answer, Code, Problem, quota},
};

/// Sends a sign-in code; the answer is the same whether or not the phone is known.
#[utoipa::path(post, path = "/v1/auth/otp", tag = "sign in", request_body = OtpBody,
    responses((status = 202, description = "A code is on its way", body = OtpView), Problems))]
pub(crate) async fn request_code(
    api: web::Data<Api>,
    ClientAddress(address): ClientAddress,
    body: JsonBody<OtpBody>,
) -> Answer {
    let OtpBody { phone: to, device_id } = body.0;
    if let Some(device_id) = &device_id {
        text("device_id", device_id, 128)?;
    }
    let command = request_code::Command { phone: phone(&to)?, device_id, address };
    let (ask, now) = (api.request_code.clone(), api.clock.now());
    // To its end also when the client hangs up: a message that could not be sent gives back what it took.
    let sent = api.supervisor.run("sign-in-code", async move { ask.run(command, now).await }).await;
    let sent = sent.map_err(|task| Problem::internal(&task))??;
    let mut answer = HttpResponse::Accepted().json(OtpView {
        challenge_id: sent.challenge_id.to_string(),
        expires_at: rfc3339(sent.expires_at),
        resend_after_s: sent.resend_after_s,
    });
    answer.extensions_mut().insert(OfHandler(sent.budgets.into_iter().map(quota).collect()));
    Ok(answer)
}

/// Signs in with the code.
#[utoipa::path(post, path = "/v1/auth/token", tag = "sign in", request_body = TokenBody,
    responses((status = 200, description = "Signed in", body = TokenView), Problems))]
pub(crate) async fn sign_in(api: web::Data<Api>, body: JsonBody<TokenBody>) -> Answer {
    let TokenBody { challenge_id, code, device_id } = body.0;
    text("code", &code, 16)?;
    text("device_id", &device_id, 128)?;
    // A challenge that cannot exist is one that is over.
    let challenge_id =
        challenge_id.parse().map_err(|_| Problem::new(Code::OtpExpired, "There is no such challenge."))?;
    let done = api.sign_in.run(sign_in::Command { challenge_id, code, device_id }, api.clock.now()).await?;
    Ok(HttpResponse::Ok().json(TokenView::new(&done.passenger, done.is_new, done.tokens)))
}

/// Trades the newest refresh token for the next pair.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "sign in", request_body = RefreshBody,
    responses((status = 200, description = "The next pair", body = TokenView), Problems))]
pub(crate) async fn refresh(api: web::Data<Api>, body: JsonBody<RefreshBody>) -> Answer {
    text("refresh_token", &body.0.refresh_token, 512)?;
    let done = api.refresh.run(&body.0.refresh_token, api.clock.now()).await?;
    Ok(HttpResponse::Ok().json(TokenView::new(&done.passenger, false, done.tokens)))
}

/// Ends the session: refresh stops at once, the access token lives to its end.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "sign in", security(("bearer" = [])),
    responses((status = 204, description = "Signed out"), Problems))]
pub(crate) async fn sign_out(api: web::Data<Api>, caller: Caller) -> Answer {
    api.sign_out.run(caller.session_id).await?;
    Ok(HttpResponse::NoContent().finish())
}
