//! The SMS partner: an inbox that shows the last code of a phone.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use entity::value::Phone;
use usecase::port::{PartnerError, Sms};

use crate::recent::Recent;

/// Phones whose last code is kept.
const PHONES: usize = 100_000;

/// The last code per phone, the newest phones only. Neither is ever logged; there is no `Debug` on purpose.
pub(crate) struct Inbox(Mutex<Recent<Phone, String>>);

impl Default for Inbox {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(PHONES)))
    }
}

impl Inbox {
    pub(crate) fn last_code(&self, phone: &Phone) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(phone).cloned()
    }
}

#[async_trait]
impl Sms for Inbox {
    async fn send_code(&self, phone: &Phone, code: &str) -> Result<(), PartnerError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(phone.clone(), code.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(number: usize) -> Phone {
        Phone::parse(&format!("+1212{number:07}")).unwrap()
    }

    #[tokio::test]
    async fn the_inbox_shows_the_last_code_of_a_phone() {
        let inbox = Inbox::default();
        inbox.send_code(&phone(1), "111111").await.unwrap();
        inbox.send_code(&phone(1), "222222").await.unwrap();
        assert_eq!(inbox.last_code(&phone(1)).as_deref(), Some("222222"));
        assert_eq!(inbox.last_code(&phone(2)), None);
    }
}
