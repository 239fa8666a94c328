//! Refresh tokens: opaque, stored hashed, good for one exchange.
//!
//! `rt_<session id>_<43 characters>`: the latter are 16 random bytes, 4 that name the token it was exchanged for, and a seal of 12
//! over all of it and the session. The hash of the newest token alone opens the session. By the seal a guess is refused without
//! asking the store, and an *old* token of a session can be told from a guess: the former ends the session, since somebody else has a
//! copy, and the latter cannot, though ids of sessions are no secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::RefreshHash;
use super::keys::Keys;
use crate::error::{Error, Reason, Result};
use crate::id::{SessionId, WIRE_LEN};

const PREFIX: &str = "rt_";
const RANDOM: usize = 16;
const PARENT: usize = 4;
const CORE: usize = RANDOM + PARENT;
const SEAL: usize = 12;
const BODY: usize = CORE + SEAL;
const BODY_CHARS: usize = 43;

/// What is secret in a refresh token. Has neither Debug nor Display, and is wiped when it is dropped.
pub(super) struct RefreshToken {
    core: Zeroizing<[u8; CORE]>,
}

impl RefreshToken {
    /// A new token: the first of a session, or in exchange for `parent`.
    pub(super) fn new(parent: Option<&RefreshHash>) -> Self {
        let mut core = Zeroizing::new([0; CORE]);
        let random: Zeroizing<[u8; RANDOM]> = Zeroizing::new(rand::random());
        core[..RANDOM].copy_from_slice(random.as_slice());
        if let Some(parent) = parent {
            core[RANDOM..].copy_from_slice(&parent.0[..PARENT]);
        }
        Self { core }
    }

    /// What the store keeps of it. The session is no part of it, since the first token is made before its session has an id.
    pub(super) fn hash(&self) -> RefreshHash {
        RefreshHash(Sha256::digest(self.core.as_slice()).into())
    }

    /// Whether it was issued in exchange for the token with that hash.
    pub(super) fn is_child_of(&self, parent: &RefreshHash) -> bool {
        self.core[RANDOM..] == parent.0[..PARENT]
    }
}

impl Keys {
    /// The text of a token, for its client.
    pub(super) fn write_refresh(&self, token: &RefreshToken, session: SessionId) -> Result<SecretString> {
        let mut body = Zeroizing::new([0; BODY]);
        body[..CORE].copy_from_slice(token.core.as_slice());
        body[CORE..].copy_from_slice(&self.seal(&token.core, session)?);
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(body.as_slice()));
        Ok(SecretString::from(format!("{PREFIX}{session}_{}", text.as_str())))
    }

    /// The token that a client presents, and its session: issued here, at whatever time. REFRESH_TOKEN_INVALID.
    pub(super) fn read_refresh(&self, text: &SecretString) -> Result<(SessionId, RefreshToken)> {
        let (session, body) = split(text.expose_secret()).ok_or_else(invalid)?;
        let mut core = Zeroizing::new([0; CORE]);
        core.copy_from_slice(&body[..CORE]);
        let expected = self.seal(&core, session)?;
        if bool::from(expected.ct_eq(&body[CORE..])) {
            Ok((session, RefreshToken { core }))
        } else {
            Err(invalid())
        }
    }

    /// The first bytes of HMAC-SHA256 under a key that is used for nothing else.
    fn seal(&self, core: &[u8; CORE], session: SessionId) -> Result<[u8; SEAL]> {
        let mut message = Zeroizing::new([0; CORE + 8]);
        message[..CORE].copy_from_slice(core);
        message[CORE..].copy_from_slice(&session.0.to_be_bytes());
        let ring = self.ring();
        let mac = crypto::sign(
            message.as_slice(),
            &EncodingKey::from_secret(ring.seal()),
            Algorithm::HS256,
        )
        .map_err(|_| Error::internal())?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| Error::internal())?;
        mac.first_chunk().copied().ok_or_else(Error::internal)
    }
}

/// The refusal of what is no valid refresh token.
pub(super) fn invalid() -> Error {
    Error::new(
        Reason::RefreshTokenInvalid,
        "the refresh token is not valid; log in again",
    )
}

fn split(text: &str) -> Option<(SessionId, Zeroizing<[u8; BODY]>)> {
    if text.len() != PREFIX.len() + WIRE_LEN + 1 + BODY_CHARS || !text.is_ascii() {
        return None;
    }
    let (session, body) = text.strip_prefix(PREFIX)?.split_at(WIRE_LEN);
    let mut bytes = Zeroizing::new([0; BODY]);
    let len = URL_SAFE_NO_PAD
        .decode_slice(body.strip_prefix('_')?, bytes.as_mut_slice())
        .ok()?;
    (len == BODY).then_some(())?;
    Some((session.parse().ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use proptest::prelude::*;

    const SESSION: SessionId = SessionId(77);

    #[test]
    fn reads_what_it_wrote_and_nothing_near_it() {
        let keys = Keys::in_memory(Time::from_unix_ms(1));
        let token = RefreshToken::new(None);
        let text = keys.write_refresh(&token, SESSION).unwrap();
        let text = text.expose_secret();
        assert_eq!(text.len(), 60);
        let (session, read) = keys.read_refresh(&SecretString::from(text)).unwrap();
        assert_eq!((session, read.hash()), (SESSION, token.hash()));

        let refused = |text: String| assert_eq!(keys.read_refresh(&text.into()).map(|_| ()), Err(invalid()));
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            refused(String::from_utf8(bytes).unwrap());
        }
        for other in [
            "",
            "rt_",
            "rt__",
            &text[..59],
            &format!("{text}="),
            &format!(" {text}"),
            &"é".repeat(30),
            &text.to_uppercase(),
        ] {
            refused(other.to_owned());
        }
        // Neither another session's token nor another platform's.
        refused(text.replace(&SESSION.to_string(), &SessionId(78).to_string()));
        let elsewhere = Keys::in_memory(Time::from_unix_ms(1));
        refused(
            elsewhere
                .write_refresh(&token, SESSION)
                .unwrap()
                .expose_secret()
                .to_owned(),
        );
    }

    #[test]
    fn names_its_parent() {
        let parent = RefreshToken::new(None).hash();
        let child = RefreshToken::new(Some(&parent));
        assert!(child.is_child_of(&parent));
        assert!(!child.is_child_of(&child.hash()));
    }

    proptest! {
        #[test]
        fn refuses_noise(text in prop_oneof![".{0,80}", "rt_[0-9a-z]{13}_[A-Za-z0-9_-]{43}"]) {
            let keys = Keys::in_memory(Time::from_unix_ms(1));
            prop_assert!(keys.read_refresh(&text.into()).is_err());
        }
    }
}
