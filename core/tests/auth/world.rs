//! A service with one store, a clock that is moved by hand and a cheap hasher.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use social_core::auth::passwords::Cost;
use social_core::auth::{Auth, Keys, Login, Passwords, Registration, Tokens};
use social_core::backend::Backend;
use social_core::request::{Caller, Viewer};
use social_core::users::User;
use social_core::{Clock, Error, Reason, Result, SessionId, Time, UserId};
use social_store::memory;
use uuid::Uuid;

pub(crate) const START: Time = Time::from_unix_ms(1_800_000_000_000);
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct World {
    pub(crate) backend: Backend,
    pub(crate) auth: Auth,
    pub(crate) clock: Clock,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Keys::in_memory(START), memory::open)
    }

    /// A service with these keys on the store that `open` opens.
    pub(crate) fn with(keys: Keys, open: impl FnOnce(Clock) -> Backend) -> Self {
        let clock = Clock::manual(START);
        let passwords = Passwords::with_cost_for_tests(Cost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        });
        let auth = Auth::new(keys, passwords, clock.clone());
        Self {
            backend: open(clock.clone()),
            auth,
            clock,
        }
    }

    pub(crate) fn pass(&self, duration: Duration) {
        self.clock.set(self.clock.now().plus(duration));
    }

    pub(crate) async fn register(&self, handle: &str) -> (Arc<User>, Tokens) {
        self.auth
            .register(&self.backend, &caller(), registration(handle, PASSWORD, &uuid()))
            .await
            .unwrap()
    }

    pub(crate) async fn login(&self, handle: &str, password: &str) -> Result<Tokens> {
        self.login_from(handle, password, caller()).await
    }

    pub(crate) async fn login_from(&self, handle: &str, password: &str, caller: Caller) -> Result<Tokens> {
        let login = Login {
            handle: handle.to_owned(),
            password: password.into(),
            device: "test".to_owned(),
        };
        self.auth
            .login(&self.backend, &caller, login)
            .await
            .map(|(_, tokens)| tokens)
    }

    pub(crate) async fn refresh(&self, token: &SecretString, request_id: &str) -> Result<Tokens> {
        self.auth.refresh(&self.backend, token, request_id).await?.granted()
    }

    pub(crate) async fn viewer(&self, tokens: &Tokens) -> Result<Viewer, Reason> {
        self.auth
            .authenticate(&self.backend, tokens.access.expose_secret())
            .await
            .map_err(|error| error.reason)
    }

    pub(crate) async fn change_password(
        &self,
        user: UserId,
        session: SessionId,
        current: &str,
        new: &str,
        request_id: &str,
    ) -> Result<usize> {
        let caller = Caller {
            viewer: Viewer::User { id: user, session },
            ..caller()
        };
        self.auth
            .change_password(&self.backend, &caller, &current.into(), &new.into(), request_id)
            .await
    }
}

pub(crate) fn uuid() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn caller() -> Caller {
    from("192.0.2.1")
}

pub(crate) fn from(address: &str) -> Caller {
    Caller {
        address: Some(address.parse::<IpAddr>().unwrap()),
        ..Caller::default()
    }
}

pub(crate) fn as_user(user: &User, tokens: &Tokens) -> Caller {
    Caller {
        viewer: Viewer::User {
            id: user.id,
            session: tokens.session,
        },
        ..caller()
    }
}

pub(crate) fn registration(handle: &str, password: &str, request_id: &str) -> Registration {
    Registration {
        handle: handle.to_owned(),
        display_name: String::new(),
        bio: String::new(),
        password: password.into(),
        device: "laptop".to_owned(),
        request_id: request_id.to_owned(),
    }
}

#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, reason: Reason) -> Error {
    match result {
        Ok(_) => panic!("should be refused with {reason:?}"),
        Err(error) => {
            assert_eq!(error.reason, reason, "{error:?}");
            error
        }
    }
}

#[track_caller]
pub(crate) fn field<T>(result: Result<T>) -> String {
    refused(result, Reason::InvalidField).violations[0].field.clone()
}
