//! Tokens and sessions on the wire.

use secrecy::ExposeSecret as _;
use social_core::SessionId;
use social_core::auth::{Session, Tokens};
use social_proto::v1;

use super::timestamp;

/// The two tokens of a session. The message's Debug shows neither.
pub(crate) fn token_pair(tokens: &Tokens) -> v1::TokenPair {
    v1::TokenPair {
        access_token: tokens.access.expose_secret().to_owned(),
        refresh_token: tokens.refresh.expose_secret().to_owned(),
        access_expire_time: Some(timestamp(tokens.access_expires_at)),
        refresh_expire_time: Some(timestamp(tokens.refresh_expires_at)),
        session_id: tokens.session.to_string(),
    }
}

/// One login of one device. `current` is the session of the token that the call was made with.
pub(crate) fn session(session: Session, current: Option<SessionId>) -> v1::Session {
    v1::Session {
        id: session.id.to_string(),
        create_time: Some(timestamp(session.created_at)),
        last_refresh_time: Some(timestamp(session.refreshed_at)),
        expire_time: Some(timestamp(session.expires_at())),
        current: current == Some(session.id),
        device_name: session.device,
    }
}

#[cfg(test)]
mod tests {
    use social_core::auth::{NewSession, RefreshHash};
    use social_core::{Time, UserId};

    use super::*;

    #[test]
    fn tokens_go_out_and_stay_secret() {
        let tokens = Tokens {
            access: "access-secret".to_owned().into(),
            access_expires_at: Time::from_unix_ms(1_000),
            refresh: "refresh-secret".to_owned().into(),
            refresh_expires_at: Time::from_unix_ms(2_000),
            session: SessionId(3),
        };
        let pair = token_pair(&tokens);
        assert_eq!(
            (pair.access_token.as_str(), pair.refresh_token.as_str()),
            ("access-secret", "refresh-secret")
        );
        assert_eq!(pair.session_id, SessionId(3).to_string());
        assert_eq!(
            (
                pair.access_expire_time.unwrap().seconds,
                pair.refresh_expire_time.unwrap().seconds
            ),
            (1, 2)
        );
        assert!(!format!("{pair:?}").contains("-secret"));
    }

    #[test]
    fn the_session_that_calls_is_marked() {
        let open = |id| {
            let new = NewSession {
                user: UserId(1),
                device: "phone".to_owned(),
                address: None,
                refresh: RefreshHash([0; 32]),
            };
            Session::new(SessionId(id), new, Time::from_unix_ms(5_000))
        };
        let current = Some(SessionId(1));
        let (mine, other) = (session(open(1), current), session(open(2), current));
        assert_eq!((mine.current, other.current), (true, false));
        assert_eq!(
            (mine.device_name.as_str(), mine.create_time, mine.last_refresh_time),
            ("phone", other.create_time, mine.create_time)
        );
        assert_eq!(mine.expire_time.unwrap().seconds, 5 + 30 * 24 * 3600);
    }
}
