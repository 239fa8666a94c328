//! Access tokens: short-lived, signed, verified strictly.
//!
//! A token is a JWT of one shape only. Its header has `alg`, `typ` and `kid` and nothing else, so keys that a token brings along or points
//! to (`jwk`, `jku`, `x5u`, …) and extensions (`crit`) are refused by being there.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::keys::Keys;
use crate::clock::Time;
use crate::error::{Error, Reason, Result};
use crate::id::{SessionId, UserId};
use crate::limits;
use crate::request::Viewer;

/// Who issues tokens.
pub const ISSUER: &str = "social";
/// Whom tokens are for.
pub const AUDIENCE: &str = "social";
/// How far the clocks of two processes may be apart.
pub const SKEW: Duration = Duration::from_secs(5);

const ALGORITHM: &str = "EdDSA";
const TYPE: &str = "at+jwt";
/// An access token has about 350 bytes.
const TOKEN_BYTES: usize = 512;

/// An access token that was issued.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token; a secret.
    pub text: SecretString,
    /// From when on it is refused.
    pub expires_at: Time,
}

/// What a valid access token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user: UserId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// From when on it is refused.
    pub expires_at: Time,
}

impl Claims {
    /// The viewer that the token speaks for.
    pub fn viewer(&self) -> Viewer {
        Viewer::User {
            id: self.user,
            session: self.session,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    iat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    exp: u64,
}

impl Keys {
    /// An access token for a session, good for [`limits::ACCESS_TOKEN_TTL`].
    pub fn issue(&self, user: UserId, session: SessionId, now: Time) -> Result<AccessToken> {
        let ring = self.ring();
        let key = ring.signing(now).ok_or_else(Error::internal)?;
        let iat = now.unix_ms() / 1000;
        let exp = iat + limits::ACCESS_TOKEN_TTL.as_secs();
        let header = Header {
            alg: ALGORITHM.to_owned(),
            typ: TYPE.to_owned(),
            kid: key.kid.clone(),
        };
        let payload = Payload {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.to_string(),
            sid: session.to_string(),
            iat,
            nbf: None,
            exp,
        };
        let message = format!("{}.{}", encode(&header)?, encode(&payload)?);
        let signature = crypto::sign(message.as_bytes(), &key.signing, Algorithm::EdDSA).map_err(|error| {
            tracing::error!(%error, "an access token could not be signed");
            Error::internal()
        })?;
        let text = SecretString::from(format!("{message}.{signature}"));
        Ok(AccessToken {
            text,
            expires_at: Time::from_unix_ms(exp * 1000),
        })
    }

    /// What an access token says, if it is one of ours and in its time. TOKEN_INVALID, TOKEN_EXPIRED. Does not know of revocations.
    pub fn verify(&self, token: &str, now: Time) -> Result<Claims> {
        let payload = self.opened(token, now).ok_or_else(invalid)?;
        let claims = payload.claims(now).ok_or_else(invalid)?;
        if now >= claims.expires_at {
            return Err(expired());
        }
        Ok(claims)
    }

    /// The payload of a token with a valid signature.
    fn opened(&self, token: &str, now: Time) -> Option<Payload> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let header: Header = decode(header)?;
        if header.alg != ALGORITHM || header.typ != TYPE {
            return None;
        }
        // The only accepted form of the signature: unpadded, no stray bits.
        URL_SAFE_NO_PAD
            .decode(signature)
            .ok()
            .filter(|bytes| bytes.len() == 64)?;
        let ring = self.ring();
        let key = ring.verifying(&header.kid, now)?;
        let verified = crypto::verify(signature, message.as_bytes(), &key.verifying, Algorithm::EdDSA);
        verified.unwrap_or(false).then(|| decode(payload))?
    }
}

impl Payload {
    /// Everything but whether it has expired.
    fn claims(&self, now: Time) -> Option<Claims> {
        let latest = now.plus(SKEW).unix_ms() / 1000;
        let lifetime = self.exp.checked_sub(self.iat)?;
        let in_order = self.iss == ISSUER
            && self.aud == AUDIENCE
            && self.iat <= latest
            && self.nbf.is_none_or(|nbf| nbf <= latest)
            && lifetime <= limits::ACCESS_TOKEN_TTL.as_secs();
        in_order.then_some(Claims {
            user: self.sub.parse().ok()?,
            session: self.sid.parse().ok()?,
            expires_at: Time::from_unix_ms(self.exp.checked_mul(1000)?),
        })
    }
}

/// One refusal for all forgeries: which check failed is nobody's business.
fn invalid() -> Error {
    Error::new(Reason::TokenInvalid, "the access token is not valid here; log in again")
}

/// The refusal of a token past its time.
pub(super) fn expired() -> Error {
    Error::new(
        Reason::TokenExpired,
        "the access token has expired; call RefreshToken for a new one",
    )
}

fn encode(part: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(part).map_err(|_| Error::internal())?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
