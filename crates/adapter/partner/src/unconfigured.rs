//! What stands where a partner is not configured: it says so to whoever needs it, and everything else works.

use async_trait::async_trait;
use entity::{
    Passenger, Ride,
    value::{Id, Money, Phone},
};
use usecase::port::{Authorisation, Dispatch, DispatchRequest, PartnerError, Payments, Sms};

/// A partner that is always unavailable because nobody configured it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unconfigured;

fn no<T>(partner: &str) -> Result<T, PartnerError> {
    Err(PartnerError::Unavailable(format!("no {partner} partner is configured")))
}

#[async_trait]
impl Sms for Unconfigured {
    async fn send_code(&self, _phone: &Phone, _code: &str) -> Result<(), PartnerError> {
        no("SMS")
    }
}

#[async_trait]
impl Dispatch for Unconfigured {
    async fn request(&self, _request: DispatchRequest) -> Result<(), PartnerError> {
        no("dispatch")
    }

    async fn withdraw(&self, _ride_id: Id<Ride>) -> Result<(), PartnerError> {
        no("dispatch")
    }
}

#[async_trait]
impl Payments for Unconfigured {
    async fn authorise(
        &self,
        _ride_id: Id<Ride>,
        _passenger_id: Id<Passenger>,
        _amount: Money,
    ) -> Result<Authorisation, PartnerError> {
        no("payment")
    }

    async fn capture(&self, _ride_id: Id<Ride>, _amount: Money) -> Result<(), PartnerError> {
        no("payment")
    }

    async fn void(&self, _ride_id: Id<Ride>) -> Result<(), PartnerError> {
        no("payment")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_partner_that_is_not_configured_says_so() {
        let phone = Phone::parse("+12125550123").unwrap();
        let refused = Unconfigured.send_code(&phone, "123456").await.unwrap_err();
        assert_eq!(refused.to_string(), "partner unavailable: no SMS partner is configured");
    }
}
