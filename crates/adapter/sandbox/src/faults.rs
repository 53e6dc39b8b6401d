//! Scripted failures around any port.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use entity::{
    Passenger, Ride,
    value::{Id, Millis, Money, Phone, Point, Product},
};
use runtime::Entropy;
use usecase::port::{
    Authorisation, Dispatch, DispatchRequest, FaultScript, PartnerError, PartnerName, Payments, Route, Routing, Sms,
};

/// A port that fails as its switch says and otherwise passes the call on.
pub(crate) struct Faulty<P: ?Sized> {
    inner: Arc<P>,
    switch: FaultSwitch,
}

impl<P: ?Sized> Faulty<P> {
    pub(crate) fn new(inner: Arc<P>, switch: FaultSwitch) -> Self {
        Self { inner, switch }
    }
}

/// One partner's script; clones share it.
#[derive(Clone)]
pub(crate) struct FaultSwitch {
    script: Arc<Mutex<FaultScript>>,
    entropy: Entropy,
}

impl FaultSwitch {
    fn new(entropy: Entropy) -> Self {
        Self { script: Arc::default(), entropy }
    }

    fn set(&self, script: FaultScript) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Waits and fails as scripted. A failed call has no effect at the partner.
    async fn play(&self) -> Result<(), PartnerError> {
        let script = *self.script.lock().unwrap_or_else(PoisonError::into_inner);
        if script.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(u64::from(script.delay_ms))).await;
        }
        if script.failure_rate > 0.0 && f64::from(self.entropy.below(1_000_000)) < script.failure_rate * 1e6 {
            return Err(PartnerError::Unavailable("scripted failure".to_owned()));
        }
        Ok(())
    }
}

/// The switches of all partners.
pub(crate) struct FaultSwitches {
    pub(crate) sms: FaultSwitch,
    pub(crate) routing: FaultSwitch,
    pub(crate) dispatch: FaultSwitch,
    pub(crate) payment: FaultSwitch,
}

impl FaultSwitches {
    pub(crate) fn new(entropy: Entropy) -> Self {
        let switch = || FaultSwitch::new(entropy.clone());
        Self { sms: switch(), routing: switch(), dispatch: switch(), payment: switch() }
    }

    pub(crate) fn set(&self, partner: PartnerName, script: FaultScript) {
        let switch = match partner {
            PartnerName::Sms => &self.sms,
            PartnerName::Routing => &self.routing,
            PartnerName::Dispatch => &self.dispatch,
            PartnerName::Payment => &self.payment,
        };
        switch.set(script);
    }
}

#[async_trait]
impl Sms for Faulty<dyn Sms> {
    async fn send_code(&self, phone: &Phone, code: &str) -> Result<(), PartnerError> {
        self.switch.play().await?;
        self.inner.send_code(phone, code).await
    }
}

#[async_trait]
impl Routing for Faulty<dyn Routing> {
    async fn route(&self, from: Point, to: Point, at: Millis) -> Result<Route, PartnerError> {
        self.switch.play().await?;
        self.inner.route(from, to, at).await
    }

    async fn pickup_eta_s(&self, product: Product, pickup: Point, at: Millis) -> Result<u32, PartnerError> {
        self.switch.play().await?;
        self.inner.pickup_eta_s(product, pickup, at).await
    }
}

#[async_trait]
impl Dispatch for Faulty<dyn Dispatch> {
    async fn request(&self, request: DispatchRequest) -> Result<(), PartnerError> {
        self.switch.play().await?;
        self.inner.request(request).await
    }

    async fn withdraw(&self, ride_id: Id<Ride>) -> Result<(), PartnerError> {
        self.switch.play().await?;
        self.inner.withdraw(ride_id).await
    }
}

#[async_trait]
impl Payments for Faulty<dyn Payments> {
    async fn authorise(
        &self,
        ride_id: Id<Ride>,
        passenger_id: Id<Passenger>,
        amount: Money,
    ) -> Result<Authorisation, PartnerError> {
        self.switch.play().await?;
        self.inner.authorise(ride_id, passenger_id, amount).await
    }

    async fn capture(&self, ride_id: Id<Ride>, amount: Money) -> Result<(), PartnerError> {
        self.switch.play().await?;
        self.inner.capture(ride_id, amount).await
    }

    async fn void(&self, ride_id: Id<Ride>) -> Result<(), PartnerError> {
        self.switch.play().await?;
        self.inner.void(ride_id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sms::Inbox;

    fn faulty_sms() -> (FaultSwitches, Arc<Inbox>, Faulty<dyn Sms>, Phone) {
        let switches = FaultSwitches::new(Entropy::seeded(7));
        let inbox = Arc::new(Inbox::default());
        let faulty = Faulty::new(Arc::clone(&inbox) as Arc<dyn Sms>, switches.sms.clone());
        (switches, inbox, faulty, Phone::parse("+12125550123").unwrap())
    }

    #[tokio::test]
    async fn without_a_script_every_call_passes() {
        let (_, inbox, sms, phone) = faulty_sms();
        assert!(sms.send_code(&phone, "123456").await.is_ok());
        assert_eq!(inbox.last_code(&phone).as_deref(), Some("123456"));
    }

    #[tokio::test]
    async fn rate_one_fails_every_call_without_effect_until_it_is_taken_back() {
        let (switches, inbox, sms, phone) = faulty_sms();
        switches.set(PartnerName::Sms, FaultScript { failure_rate: 1.0, delay_ms: 0 });
        for _ in 0..100 {
            assert!(matches!(sms.send_code(&phone, "123456").await, Err(PartnerError::Unavailable(_))));
        }
        assert_eq!(inbox.last_code(&phone), None);
        switches.set(PartnerName::Sms, FaultScript::default());
        assert!(sms.send_code(&phone, "123456").await.is_ok());
    }

    #[tokio::test]
    async fn a_rate_between_fails_about_that_share() {
        let (switches, _, sms, phone) = faulty_sms();
        switches.set(PartnerName::Sms, FaultScript { failure_rate: 0.3, delay_ms: 0 });
        let mut failed = 0;
        for _ in 0..1000 {
            failed += u32::from(sms.send_code(&phone, "123456").await.is_err());
        }
        assert!((230..370).contains(&failed), "{failed}");
    }

    #[tokio::test]
    async fn a_script_for_one_partner_leaves_the_others_alone() {
        let (switches, _, sms, phone) = faulty_sms();
        switches.set(PartnerName::Payment, FaultScript { failure_rate: 1.0, delay_ms: 0 });
        assert!(sms.send_code(&phone, "123456").await.is_ok());
    }

    #[tokio::test]
    async fn a_delay_comes_before_the_call() {
        let (switches, inbox, sms, phone) = faulty_sms();
        switches.set(PartnerName::Sms, FaultScript { failure_rate: 0.0, delay_ms: 3_600_000 });
        let mut call = Box::pin(sms.send_code(&phone, "123456"));
        let first_poll = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(first_poll.is_pending());
        assert_eq!(inbox.last_code(&phone), None);
    }
}
