//! Which web pages may call.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may keep the answer to a preflight.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(3_600);

/// Headers that grpc-web clients send.
const SENT: [&str; 8] = [
    "authorization",
    "content-type",
    "grpc-timeout",
    "traceparent",
    "tracestate",
    "x-grpc-web",
    "x-user-agent",
    "x-request-id",
];

/// Headers of answers that scripts must be able to read.
const EXPOSED: [&str; 6] = [
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
];

/// Lets in the origins of an allow-list: exact ones, and those whose port is `*`. Cookies play no part: tokens go in a header.
pub(crate) fn layer(origins: &[String]) -> CorsLayer {
    let origins: Vec<Origin> = origins.iter().map(|text| Origin::new(text)).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |sent, _| {
            origins.iter().any(|origin| origin.admits(sent))
        }))
        .allow_methods([Method::POST])
        .allow_headers(SENT.map(HeaderName::from_static))
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(PREFLIGHT_KEPT)
}

/// An entry of the allow-list.
enum Origin {
    Exact(String),
    AnyPort(String),
}

impl Origin {
    fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match text.strip_suffix(":*") {
            Some(host) => Self::AnyPort(host.to_owned()),
            None => Self::Exact(text),
        }
    }

    fn admits(&self, sent: &HeaderValue) -> bool {
        match self {
            Self::Exact(origin) => sent.as_bytes() == origin.as_bytes(),
            Self::AnyPort(host) => sent.as_bytes().strip_prefix(host.as_bytes()).is_some_and(is_port),
        }
    }
}

/// Nothing (the scheme's own port), or a colon and a port.
fn is_port(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b':', digits @ ..] => !digits.is_empty() && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_admitted_whole_or_not_at_all() {
        let cases = [
            ("https://app.example.org", "https://app.example.org", true),
            ("https://app.example.org", "https://app.example.org.evil.net", false),
            ("https://app.example.org", "http://app.example.org", false),
            ("http://localhost:*", "http://localhost:5173", true),
            ("http://localhost:*", "http://localhost", true),
            ("http://localhost:*", "http://localhost.evil.net", false),
            ("http://localhost:*", "http://localhost:80.evil.net", false),
            ("http://localhost:*", "null", false),
        ];
        for (entry, sent, admitted) in cases {
            assert_eq!(
                Origin::new(entry).admits(&HeaderValue::from_static(sent)),
                admitted,
                "{entry} {sent}"
            );
        }
    }
}
