//! The engine that every call goes through: credentials, attempts, deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::Error;
use crate::retry::Charge;
use crate::rpc::{Access, Rpc};
use crate::session::{Session, Ticket};
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
        let mut course = Course::new(&self.transport, timeout);
        let mut earlier = None;
        loop {
            let error = match self.attempt(call, &mut course).await {
                Ok(answer) => {
                    course.succeeded();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if !course.may_go_on(&error).await {
                return Err(error.after(earlier.as_ref()).concluded(course.sent, course.unsure));
            }
            course.unsure |= error.is_unknown_outcome();
            earlier = Some(error);
        }
    }

    /// One attempt, or two where the server refused a token that could be renewed.
    async fn attempt<A: Attempt>(
        &self,
        call: &A,
        course: &mut Course<'_>,
    ) -> Result<<A::Method as Rpc>::Response, Error> {
        loop {
            let pass = course.in_time(self.pass(A::Method::ACCESS)).await?;
            course.sent += 1;
            let error = match call.attempt(&self.transport, pass.bearer(), course.deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !course.renewed && error.wants_refresh() && course.in_time(self.renewed(&pass)).await? {
                course.renewed = true;
                continue;
            }
            self.leave_if_ended(&pass, &error).await;
            return Err(error);
        }
    }

    /// Exchanges the tokens of the session now, and goes on trying like a call.
    pub(crate) async fn exchange(&self) -> Result<(), Error> {
        let session = self.session()?;
        let mut course = Course::new(&self.transport, self.transport.timeout);
        loop {
            let exchange = async {
                let Some(ticket) = session.ticket(&self.transport).await? else {
                    return Err(Error::not_logged_in());
                };
                session.refresh(&self.transport, &ticket).await
            };
            course.sent += 1;
            match course.in_time(exchange).await {
                Ok(_) => {
                    course.succeeded();
                    return Ok(());
                }
                Err(error) if course.may_go_on(&error).await => {}
                Err(error) => return Err(error.concluded(course.sent, false)),
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
        let left = deadline.saturating_duration_since(Instant::now());
        timeout_at(deadline, self.renewed(pass))
            .await
            .unwrap_or_else(|_| Err(Error::deadline(left)))
    }

    async fn renewed(&self, pass: &Pass) -> Result<bool, Error> {
        let (Pass::User(ticket), Identity::User(session)) = (pass, &self.identity) else {
            return Ok(false);
        };
        session.refresh(&self.transport, ticket).await?;
        Ok(true)
    }

    /// A session that the server ended is of no use to anybody.
    pub(crate) async fn leave_if_ended(&self, pass: &Pass, error: &Error) {
        if let (true, Pass::User(ticket), Identity::User(session)) = (error.ends_session(), pass, &self.identity) {
            session.forget_if(ticket).await;
        }
    }
}

/// How far a call has come.
struct Course<'a> {
    transport: &'a Transport,
    timeout: Duration,
    deadline: Instant,
    /// Attempts that were sent.
    sent: u32,
    /// Waits, also those for the budget of retries.
    waits: u32,
    /// The retry under way was taken out of the budget.
    paid: bool,
    /// The token was renewed, and doing so again would not help.
    renewed: bool,
    /// An attempt that failed may have happened all the same.
    unsure: bool,
}

impl<'a> Course<'a> {
    fn new(transport: &'a Transport, timeout: Duration) -> Self {
        transport.budget.deposit();
        Self {
            transport,
            timeout,
            deadline: Instant::now() + timeout,
            sent: 0,
            waits: 0,
            paid: false,
            renewed: false,
            unsure: false,
        }
    }

    /// What has to be done before the call itself can be sent, within its deadline.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout_at(self.deadline, work)
            .await
            .unwrap_or_else(|_| Err(Error::deadline(self.timeout)))
            .map_err(Error::before_sending)
    }

    /// Waits until the next attempt; false, at once, when there shall be none.
    async fn may_go_on(&mut self, error: &Error) -> bool {
        let Transport { policy, budget, .. } = self.transport;
        loop {
            self.waits = self.waits.saturating_add(1);
            let left = self.deadline.saturating_duration_since(Instant::now());
            let Some(pause) = policy.pause(error, self.waits, left) else {
                return false;
            };
            let charge = budget.withdraw(error);
            if charge == Charge::Refused && !budget.refills() {
                return false;
            }
            sleep(pause).await;
            if charge != Charge::Refused {
                self.paid = charge == Charge::Paid;
                return true;
            }
        }
    }

    fn succeeded(&self) {
        if self.paid {
            self.transport.budget.refund();
        }
    }
}
