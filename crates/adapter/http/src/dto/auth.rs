//! Signing in, and the profile.

use entity::{Passenger, ProfilePatch, value::Phone};
use serde::{Deserialize, Deserializer, Serialize};
use usecase::auth::Tokens;
use utoipa::ToSchema;

use super::rfc3339;
use crate::{extract::text, problem::Problem};

/// Asks for a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OtpBody {
    /// E.164.
    #[schema(example = "+12125550123", pattern = r"^\+[1-9][0-9]{7,14}$")]
    pub phone: String,
    /// Names the device, as for `auth/token`. One that has signed in with this phone has budgets of codes that
    /// strangers cannot spend.
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub device_id: Option<String>,
}

/// A code is on its way.
#[derive(Serialize, ToSchema)]
pub struct OtpView {
    /// Send it along with the code.
    pub challenge_id: String,
    /// Until when the code works.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Wait this long before offering another code.
    pub resend_after_s: u32,
}

/// The code that was typed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// From the answer of `auth/otp`.
    pub challenge_id: String,
    /// What the SMS said.
    #[schema(min_length = 1, max_length = 16, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub code: String,
    /// Names the device.
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub device_id: String,
}

/// The next pair, please.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    /// The newest refresh token.
    #[schema(min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub refresh_token: String,
}

/// What a signed-in client holds.
#[derive(Serialize, ToSchema)]
pub struct TokenView {
    /// For the `Authorization` header.
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Life of the access token, seconds.
    pub expires_in: u32,
    /// For `auth/refresh`; each is used once.
    pub refresh_token: String,
    /// Who signed in.
    pub passenger: SignedInView,
}

/// Who signed in.
#[derive(Serialize, ToSchema)]
pub struct SignedInView {
    /// The passenger.
    pub id: String,
    /// E.164.
    pub phone: String,
    /// Whether this phone was new.
    pub is_new: bool,
}

impl TokenView {
    /// From the use case's answer.
    pub fn new(passenger: &Passenger, is_new: bool, tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access_token,
            token_type: "Bearer",
            expires_in: tokens.expires_in,
            refresh_token: tokens.refresh_token,
            passenger: SignedInView {
                id: passenger.id.to_string(),
                phone: passenger.phone.reveal().to_owned(),
                is_new,
            },
        }
    }
}

/// A passenger's profile.
#[derive(Serialize, ToSchema)]
pub struct ProfileView {
    /// The passenger.
    pub id: String,
    /// E.164.
    pub phone: String,
    /// What to call them.
    #[schema(required = true)]
    pub name: Option<String>,
    /// Where to write to.
    #[schema(required = true)]
    pub email: Option<String>,
    /// BCP 47 language tag.
    #[schema(required = true)]
    pub locale: Option<String>,
    /// Since when.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<Passenger> for ProfileView {
    fn from(p: Passenger) -> Self {
        Self {
            id: p.id.to_string(),
            phone: p.phone.reveal().to_owned(),
            name: p.name,
            email: p.email,
            locale: p.locale,
            created_at: rfc3339(p.id.created_at()),
        }
    }
}

/// JSON merge patch (RFC 7396): what is absent stays, null removes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileBody {
    /// 1 to 100 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub name: Option<Option<String>>,
    /// An address.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        value_type = Option<String>,
        min_length = 3,
        max_length = 254,
        pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$"
    )]
    pub email: Option<Option<String>>,
    /// BCP 47 language tag.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        value_type = Option<String>,
        min_length = 2,
        max_length = 35,
        pattern = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
    )]
    pub locale: Option<Option<String>>,
}

/// Tells a null from an absent field.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl ProfileBody {
    /// The patch.
    ///
    /// # Errors
    /// Names the field that cannot be taken.
    pub fn check(self) -> Result<ProfilePatch, Problem> {
        if let Some(Some(name)) = &self.name {
            text("name", name, 100)?;
        }
        if let Some(Some(email)) = &self.email {
            let parts: Vec<&str> = email.split('@').collect();
            let fits = email.chars().count() <= 254
                && parts.len() == 2
                && parts.iter().all(|part| !part.is_empty())
                && email.chars().all(|c| !c.is_whitespace() && !c.is_control());
            if !fits {
                return Err(Problem::invalid_field("email", "an address of at most 254 characters, or null"));
            }
        }
        if let Some(Some(locale)) = &self.locale {
            let subtag = |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
            let language = locale.split('-').next().unwrap_or("");
            let fits = locale.len() <= 35
                && (2..=8).contains(&language.len())
                && language.bytes().all(|b| b.is_ascii_alphabetic())
                && locale.split('-').all(subtag);
            if !fits {
                return Err(Problem::invalid_field("locale", "a BCP 47 language tag such as en-US, or null"));
            }
        }
        Ok(ProfilePatch { name: self.name, email: self.email, locale: self.locale })
    }
}

/// A phone number as a client writes it.
///
/// # Errors
/// Names `phone` when it is not E.164.
pub fn phone(text: &str) -> Result<Phone, Problem> {
    Phone::parse(text).map_err(|_| Problem::invalid_field("phone", Phone::ALLOWED))
}
