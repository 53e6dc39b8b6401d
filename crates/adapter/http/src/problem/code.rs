//! Every kind of problem: a contract with clients.

use actix_web::http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $status:ident $retryable:literal $title:literal;)*) => {
        /// The stable name of a kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $(#[doc = $title] $variant,)* }

        impl Code {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its stable name.
            #[must_use]
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name),* } }

            /// Its HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode { match self { $(Self::$variant => StatusCode::$status),* } }

            /// Whether the same request may work later.
            #[must_use]
            pub fn is_retryable(self) -> bool { match self { $(Self::$variant => $retryable),* } }

            /// A short title.
            #[must_use]
            pub fn title(self) -> &'static str { match self { $(Self::$variant => $title),* } }
        }
    };
}

codes! {
    Malformed               "malformed"                  BAD_REQUEST            false "The request cannot be read";
    IdempotencyKeyMissing   "idempotency-key-missing"    BAD_REQUEST            false "The Idempotency-Key header is missing";
    InvalidCursor           "invalid-cursor"             BAD_REQUEST            false "The cursor is not one of ours";
    TokenMissing            "token-missing"              UNAUTHORIZED           false "A bearer token is needed";
    TokenInvalid            "token-invalid"              UNAUTHORIZED           false "The token is not valid";
    TokenExpired            "token-expired"              UNAUTHORIZED           false "The token has expired";
    OtpInvalid              "otp-invalid"                UNAUTHORIZED           false "The code is wrong";
    RefreshReused           "refresh-reused"             UNAUTHORIZED           false "The refresh token was used before";
    NotFound                "not-found"                  NOT_FOUND              false "Not found";
    MethodNotAllowed        "method-not-allowed"         METHOD_NOT_ALLOWED     false "Method not allowed";
    AlreadyRiding           "already-riding"             CONFLICT               false "There is an active ride";
    QuoteUsed               "quote-used"                 CONFLICT               false "The quote was used";
    CancellationFee         "cancellation-fee"           CONFLICT               false "A cancellation fee must be confirmed";
    IllegalTransition       "illegal-transition"         CONFLICT               false "The ride cannot do that now";
    AlreadyAccepted         "already-accepted"           CONFLICT               false "The ride has another driver";
    AlreadyRated            "already-rated"              CONFLICT               false "The ride was rated";
    RideNotCompleted        "ride-not-completed"         CONFLICT               false "The ride is not completed";
    IdempotencyInProgress   "idempotency-in-progress"    CONFLICT               true  "The first request with this key is under way";
    OtpExpired              "otp-expired"                GONE                   false "The code has expired";
    QuoteExpired            "quote-expired"              GONE                   false "The quote has expired";
    PreconditionFailed      "precondition-failed"        PRECONDITION_FAILED    false "The resource has another version";
    BodyTooLarge            "body-too-large"             PAYLOAD_TOO_LARGE      false "The body is too large";
    UnsupportedMediaType    "unsupported-media-type"     UNSUPPORTED_MEDIA_TYPE false "The content type is not supported";
    InvalidField            "invalid-field"              UNPROCESSABLE_ENTITY   false "A field is not acceptable";
    IdempotencyKeyReused    "idempotency-key-reused"     UNPROCESSABLE_ENTITY   false "The key was used for another request";
    OutOfArea               "out-of-area"                UNPROCESSABLE_ENTITY   false "Outside the served area";
    Product                 "product"                    UNPROCESSABLE_ENTITY   false "The quote has no such product";
    QuotaExceeded           "quota-exceeded"             TOO_MANY_REQUESTS      true  "Too many requests";
    Internal                "internal"                   INTERNAL_SERVER_ERROR  true  "Internal error";
    ReducedCapacity         "temporary-reduced-capacity" SERVICE_UNAVAILABLE    true  "Capacity is reduced for a while";
    Unavailable             "unavailable"                SERVICE_UNAVAILABLE    true  "Temporarily unavailable";
}

impl Code {
    /// What `type` says: the two kinds that the rate limit draft registers, and a page of ours for the others.
    #[must_use]
    pub fn type_uri(self) -> String {
        self.type_uri_base().to_owned() + self.name()
    }

    /// The same without the name at its end.
    pub(crate) fn type_uri_base(self) -> &'static str {
        match self {
            Self::QuotaExceeded | Self::ReducedCapacity => "https://iana.org/assignments/http-problem-types#",
            _ => "/docs/problems#",
        }
    }
}
