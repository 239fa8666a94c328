//! What this process knows of tokens and sessions without asking the store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::looks::Looks;
use super::revocations::{Miss, Revocations, TokenCache};
use super::tokens::Claims;
use crate::backend::{Backend, Channel, WakeKind};
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId};

/// The sessions revoked lately and the tokens verified lately.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) revocations: Revocations,
    pub(super) cache: TokenCache,
    looks: Looks,
}

impl Known {
    /// Looks whether the session of a token is live, and remembers the token if it is. Calls that look at once share one look.
    /// SESSION_REVOKED.
    pub(super) async fn look(
        self: &Arc<Self>,
        backend: &Backend,
        miss: Miss,
        claims: Claims,
        trust: Option<Duration>,
    ) -> Result<()> {
        let look = || {
            let (known, backend) = (Arc::clone(self), backend.clone());
            async move {
                // Forgotten last, also where the look breaks off: who finds no look under way finds the token.
                let look = UnderWay { known, miss };
                let live = super::check_live(&backend, &claims).await;
                if live.is_ok() {
                    look.known.cache.insert(&miss, claims);
                }
                live
            }
        };
        self.looks.join(miss, trust, look).await
    }

    /// Runs what commits revocations and enters them to its end, also where its caller goes away between the two: a deadline or a
    /// client that hangs up must not leave the tokens of a revoked session valid.
    pub(super) async fn uncut<T, F>(
        self: &Arc<Self>,
        backend: &Backend,
        work: impl FnOnce(Backend, Arc<Self>) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let work = work(backend.clone(), Arc::clone(self));
        tokio::spawn(work.in_current_span()).await.map_err(|error| {
            tracing::error!(%error, "a change of sessions broke off");
            Error::internal()
        })?
    }

    /// Revokes a session of the user and makes that hold here, also where it was revoked before; whether the user has such a session.
    pub(super) async fn revoke(self: &Arc<Self>, backend: &Backend, user: UserId, id: SessionId) -> Result<bool> {
        self.uncut(backend, move |backend, known| async move {
            let was_live = backend.store.revoke_session(user, id).await?;
            let is_theirs = was_live
                || backend
                    .store
                    .session(id)
                    .await?
                    .is_some_and(|session| session.user == user);
            if is_theirs {
                known.enter_revoked(&backend, user, &[id]);
            }
            Ok(is_theirs)
        })
        .await
    }

    /// Makes revocations that the store has acknowledged hold for every request and stream of this process.
    pub(super) fn enter_revoked(&self, backend: &Backend, user: UserId, sessions: &[SessionId]) {
        let now = backend.clock.now();
        for session in sessions {
            if self.revocations.insert(*session, now) {
                self.cache.clear();
            }
        }
        if !sessions.is_empty() {
            backend.signals.wake(Channel::Sessions(user), WakeKind::SessionRevoked);
        }
    }

    /// Makes revocations hold of which only the user is known: every token is checked in the store again, and so are the user's
    /// streams.
    pub(super) fn ask_again(&self, backend: &Backend, user: UserId) {
        self.cache.clear();
        backend.signals.wake(Channel::Sessions(user), WakeKind::SessionRevoked);
    }
}

/// A look that is under way until this is dropped.
struct UnderWay {
    known: Arc<Known>,
    miss: Miss,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.known.looks.ended(&self.miss);
    }
}
