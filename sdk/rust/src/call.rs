//! A call that is about to be made.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::Error;
use crate::core::{Core, Unary};
use crate::rpc::{Mutation, Rpc};

/// A call of method `M` that gives a `T`. It is made when it is awaited; `into_future` makes the future that `join` and
/// `spawn` need.
///
/// Methods with options have them as methods of their call:
///
/// ```no_run
/// # async fn f(client: social_sdk::Client) -> Result<(), social_sdk::Error> {
/// use std::time::Duration;
/// use social_sdk::v1::Visibility;
///
/// let posted = client
///     .posts()
///     .create("Hello, @ann!")
///     .visibility(Visibility::Followers)
///     .timeout(Duration::from_secs(3))
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct Call<M: Rpc, T = <M as Rpc>::Response> {
    core: Arc<Core>,
    pub(crate) request: M,
    invalid: Option<Error>,
    timeout: Duration,
    finish: Finish<M, T>,
}

/// Works on the outcome of a call.
type Then<M, T> = fn(Arc<Core>, Result<<M as Rpc>::Response, Error>) -> BoxFuture<'static, Result<T, Error>>;

/// What is made of the outcome.
enum Finish<M: Rpc, T> {
    Map(fn(M::Response) -> Result<T, Error>),
    Then(Then<M, T>),
}

impl<M: Rpc, T> Call<M, T> {
    /// A call whose answer is turned into `T` by `map`.
    pub(crate) fn new(core: &Arc<Core>, request: M, map: fn(M::Response) -> Result<T, Error>) -> Self {
        Self::with(core, request, Finish::Map(map))
    }

    /// A call whose outcome is worked on by `then`.
    pub(crate) fn then(core: &Arc<Core>, request: M, then: Then<M, T>) -> Self {
        Self::with(core, request, Finish::Then(then))
    }

    fn with(core: &Arc<Core>, request: M, finish: Finish<M, T>) -> Self {
        Self {
            core: core.clone(),
            request,
            invalid: None,
            timeout: core.transport.timeout,
            finish,
        }
    }

    /// Puts a checked value into the request, or keeps the first error for when the call is awaited.
    pub(crate) fn set<V>(mut self, value: Result<V, Error>, put: impl FnOnce(&mut M, V)) -> Self {
        match value {
            Ok(value) => put(&mut self.request, value),
            Err(error) => {
                self.invalid.get_or_insert(error);
            }
        }
        self
    }

    /// Bounds the whole call, retries and waits between them included, instead of by the client's timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn run(self) -> Result<T, Error> {
        let Self {
            core,
            mut request,
            invalid,
            timeout,
            finish,
        } = self;
        if let Some(error) = invalid {
            return Err(error);
        }
        // One for the logical call: every attempt carries the same.
        if let Some(request_id) = request.request_id_mut().filter(|id| id.is_empty()) {
            *request_id = Uuid::new_v4().to_string();
        }
        let outcome = core.call(&Unary(request), timeout).await;
        match finish {
            Finish::Map(map) => map(outcome?),
            Finish::Then(then) => then(core, outcome).await,
        }
    }
}

impl<M: Mutation, T> Call<M, T> {
    /// Sets the request_id instead of a fresh one. The same request_id with the same request gives the first one's outcome
    /// for 48 hours: to repeat a call across a restart of the caller, store it before the call.
    pub fn request_id(mut self, request_id: Uuid) -> Self {
        if let Some(field) = self.request.request_id_mut() {
            *field = request_id.to_string();
        }
        self
    }
}

impl<M: Rpc, T: Send + 'static> IntoFuture for Call<M, T> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<'static, Result<T, Error>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<M: Rpc, T> fmt::Debug for Call<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("path", &M::PATH)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// The message that an answer must hold.
pub(crate) fn present<T>(field: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::protocol(format!("the answer lacks `{field}`")))
}
