//! The engine that every call goes through: credentials, attempts, deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::Error;
use crate::rpc::{Access, Rpc};
use crate::session::{Session, Ticket, is_revoked};
use crate::transport::{Bearer, Transport};

/// What a client is made of.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) transport: Arc<Transport>,
    pub(crate) identity: Identity,
}

/// Who calls.
#[derive(Debug)]
pub(crate) enum Identity {
    User(Arc<Session>),
    Admin(Bearer),
}

/// What goes with one attempt.
pub(crate) enum Pass {
    Nobody,
    User(Arc<Ticket>),
    Admin(Bearer),
}

impl Pass {
    pub(crate) fn bearer(&self) -> Option<&Bearer> {
        match self {
            Self::Nobody => None,
            Self::User(ticket) => Some(&ticket.bearer),
            Self::Admin(bearer) => Some(bearer),
        }
    }
}

/// Something that can be attempted again and again.
pub(crate) trait Attempt: Send + Sync {
    type Method: Rpc;

    fn attempt(
        &self,
        transport: &Transport,
        bearer: Option<&Bearer>,
        deadline: Instant,
    ) -> impl Future<Output = Result<<Self::Method as Rpc>::Response, Error>> + Send;
}

/// A unary call.
pub(crate) struct Unary<M>(pub(crate) M);

impl<M: Rpc> Attempt for Unary<M> {
    type Method = M;

    async fn attempt(
        &self,
        transport: &Transport,
        bearer: Option<&Bearer>,
        deadline: Instant,
    ) -> Result<M::Response, Error> {
        transport.unary(self.0.clone(), bearer, deadline).await
    }
}

/// A call whose request is a stream, all of which is at hand.
pub(crate) struct Upload<M>(pub(crate) Vec<M>);

impl<M: Rpc> Attempt for Upload<M> {
    type Method = M;

    async fn attempt(
        &self,
        transport: &Transport,
        bearer: Option<&Bearer>,
        deadline: Instant,
    ) -> Result<M::Response, Error> {
        transport.client_streaming(self.0.clone(), bearer, deadline).await
    }
}

impl Core {
    pub(crate) fn session(&self) -> Result<&Arc<Session>, Error> {
        match &self.identity {
            Identity::User(session) => Ok(session),
            Identity::Admin(_) => Err(Error::client("an admin client has no session")),
        }
    }

    /// Calls until there is an answer, a final error, or no time left. `timeout` bounds all of it.
    pub(crate) async fn call<A: Attempt>(
        &self,
        call: &A,
        timeout: Duration,
    ) -> Result<<A::Method as Rpc>::Response, Error> {
        let deadline = Instant::now() + timeout;
        self.transport.budget.deposit();
        let mut refreshed = false;
        let mut attempts = 0;
        loop {
            let pass = timeout_at(deadline, self.pass(A::Method::ACCESS))
                .await
                .unwrap_or_else(|_| Err(Error::deadline(timeout)))?;
            attempts += 1;
            let error = match call.attempt(&self.transport, pass.bearer(), deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !refreshed && error.wants_refresh() && self.renew(&pass, deadline).await? {
                refreshed = true;
                continue;
            }
            self.leave_if_revoked(&pass, &error).await;
            if !self
                .transport
                .may_retry(&error, A::Method::REPEATABLE, attempts, deadline)
                .await
            {
                return Err(error.with_attempts(attempts));
            }
        }
    }

    /// What goes with the next attempt.
    pub(crate) async fn pass(&self, access: Access) -> Result<Pass, Error> {
        match (&self.identity, access) {
            (_, Access::Anonymous) => Ok(Pass::Nobody),
            (Identity::Admin(bearer), Access::Admin) => Ok(Pass::Admin(bearer.clone())),
            (Identity::Admin(_), Access::Optional | Access::User) => {
                Err(Error::client("an admin client can only call the AdminService"))
            }
            (Identity::User(_), Access::Admin) => Err(Error::client("the AdminService needs an admin client")),
            (Identity::User(session), Access::Optional | Access::User) => {
                match session.ticket(&self.transport).await? {
                    Some(ticket) => Ok(Pass::User(ticket)),
                    None if access == Access::User => Err(Error::not_logged_in()),
                    None => Ok(Pass::Nobody),
                }
            }
        }
    }

    /// Gets a new token in place of one that the server refused; false where there is no session to get it from.
    pub(crate) async fn renew(&self, pass: &Pass, deadline: Instant) -> Result<bool, Error> {
        let (Pass::User(ticket), Identity::User(session)) = (pass, &self.identity) else {
            return Ok(false);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        timeout_at(deadline, session.refresh(&self.transport, ticket))
            .await
            .unwrap_or_else(|_| Err(Error::deadline(left)))?;
        Ok(true)
    }

    /// A session that was revoked is of no use to anybody.
    pub(crate) async fn leave_if_revoked(&self, pass: &Pass, error: &Error) {
        if let (true, Pass::User(ticket), Identity::User(session)) = (is_revoked(error), pass, &self.identity) {
            session.forget_if(ticket).await;
        }
    }
}

impl Transport {
    /// A call that no credentials go with. `attempt_timeout` bounds each attempt, `deadline` all of them.
    pub(crate) async fn unary_with_retries<M: Rpc>(
        &self,
        message: M,
        deadline: Instant,
        attempt_timeout: Duration,
    ) -> Result<M::Response, Error> {
        self.budget.deposit();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt_deadline = deadline.min(Instant::now() + attempt_timeout);
            match self.unary(message.clone(), None, attempt_deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) if self.may_retry(&error, M::REPEATABLE, attempts, deadline).await => {}
                Err(error) => return Err(error.with_attempts(attempts)),
            }
        }
    }

    /// Waits until the next attempt; false, at once, when there shall be none.
    async fn may_retry(&self, error: &Error, repeatable: bool, attempts: u32, deadline: Instant) -> bool {
        let Some(pause) = self.policy.pause(error, repeatable, attempts) else {
            return false;
        };
        // Waiting for an attempt that has no time left only delays the bad news.
        if Instant::now() + pause >= deadline || !self.budget.withdraw() {
            return false;
        }
        sleep(pause).await;
        true
    }
}
