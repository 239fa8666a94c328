//! The session of a user: which access token goes with a call, and how the next one is got.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use social_proto::v1;
use tokio::time::{Instant, sleep};

use crate::token_store::StoreLock;
use crate::transport::{Bearer, Transport};
use crate::{Credentials, Error, Reason, TokenStore};

/// Bound of one attempt to exchange tokens; the call that needs them decides whether there is another.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long another process is waited for that exchanges tokens: longer than its attempt can take.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to leave an exchange alone that failed while the token at hand is still good, or that was refused.
const REFRESH_REST: Duration = Duration::from_secs(5);
/// How often to look whether another process is done with its exchange.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Credentials in use.
pub(crate) struct Ticket {
    pub(crate) credentials: Credentials,
    pub(crate) bearer: Bearer,
}

type Refresh = Shared<BoxFuture<'static, Result<Arc<Ticket>, Error>>>;

/// The session of one user, or of nobody yet.
pub(crate) struct Session {
    store: Arc<dyn TokenStore>,
    /// Held while state and store are changed together.
    changing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ticket: Option<Arc<Ticket>>,
    /// The exchange under way. Whoever needs a new token waits for it instead of starting another.
    refresh: Option<Refresh>,
    /// No exchange ahead of time before this.
    rest_until: Option<Instant>,
    /// The server does not know the refresh token: no exchange before this, and this error instead.
    unknown_until: Option<(Instant, Error)>,
}

impl Session {
    pub(crate) fn open(store: Arc<dyn TokenStore>) -> Result<Self, Error> {
        let ticket = match store.load().map_err(Error::token_store)? {
            Some(credentials) => Some(ticket(credentials)?),
            None => None,
        };
        let state = Mutex::new(State {
            ticket,
            ..State::default()
        });
        Ok(Self {
            store,
            changing: tokio::sync::Mutex::default(),
            state,
        })
    }

    pub(crate) fn credentials(&self) -> Option<Credentials> {
        self.state
            .lock()
            .ticket
            .as_ref()
            .map(|ticket| ticket.credentials.clone())
    }

    /// Takes new credentials on, after a login.
    pub(crate) async fn adopt(&self, credentials: Credentials) -> Result<(), Error> {
        let ticket = ticket(credentials.clone())?;
        let _changing = self.changing.lock().await;
        let store = self.store.clone();
        blocking(move || store.save(&credentials)).await?;
        *self.state.lock() = State {
            ticket: Some(ticket),
            ..State::default()
        };
        Ok(())
    }

    /// Forgets the credentials, here and in the store.
    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        *self.state.lock() = State::default();
        let store = self.store.clone();
        blocking(move || store.clear()).await
    }

    /// Forgets credentials that are of no use any more, unless they were replaced since.
    pub(crate) async fn forget_if(&self, stale: &Arc<Ticket>) {
        let _changing = self.changing.lock().await;
        if !self.is_current(stale) {
            return;
        }
        *self.state.lock() = State::default();
        let (store, session_id) = (self.store.clone(), stale.credentials.session_id());
        // Another process may have logged in since, whose credentials are none of ours.
        let cleared = blocking(move || match store.load()? {
            Some(stored) if stored.session_id() == session_id => store.clear(),
            _ => Ok(()),
        });
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "a session that is over could not be removed from the token store");
        }
    }

    /// What goes with the next call, exchanged beforehand where it is about to end. None when nobody is logged in.
    pub(crate) async fn ticket(self: &Arc<Self>, transport: &Arc<Transport>) -> Result<Option<Arc<Ticket>>, Error> {
        let (ticket, resting) = {
            let state = self.state.lock();
            let Some(ticket) = state.ticket.clone() else {
                return Ok(None);
            };
            (ticket, state.rest_until.is_some_and(|until| Instant::now() < until))
        };
        let expired = ticket.credentials.is_expired();
        if !ticket.credentials.is_refresh_due() || (resting && !expired) {
            return Ok(Some(ticket));
        }
        match self.refresh(transport, &ticket).await {
            Ok(fresh) => Ok(Some(fresh)),
            Err(error) if expired || error.is_logged_out() => Err(error),
            Err(_) => {
                self.state.lock().rest_until = Some(Instant::now() + REFRESH_REST);
                Ok(Some(ticket))
            }
        }
    }

    /// A newer ticket than `stale`: the one that is there, or one got by the only exchange under way.
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        transport: &Arc<Transport>,
        stale: &Arc<Ticket>,
    ) -> Result<Arc<Ticket>, Error> {
        let refresh = {
            let mut state = self.state.lock();
            let Some(current) = state.ticket.clone() else {
                return Err(Error::not_logged_in());
            };
            if !Arc::ptr_eq(&current, stale) {
                return same_user(&current, stale);
            }
            if let Some((_, error)) = state
                .unknown_until
                .as_ref()
                .filter(|(until, _)| Instant::now() < *until)
            {
                return Err(error.clone());
            }
            state
                .refresh
                .get_or_insert_with(|| self.start_refresh(transport.clone(), current))
                .clone()
        };
        same_user(&refresh.await?, stale)
    }

    /// A task of its own, so that a caller who gives up does not break off an exchange whose answer nobody else gets.
    fn start_refresh(self: &Arc<Self>, transport: Arc<Transport>, stale: Arc<Ticket>) -> Refresh {
        let session = self.clone();
        let task = tokio::spawn(async move {
            let outcome = session.exchange(&transport, &stale).await;
            session.settle(&stale, &outcome);
            outcome
        });
        async move {
            task.await
                .unwrap_or_else(|_| Err(Error::client("the exchange of tokens was broken off")))
        }
        .boxed()
        .shared()
    }

    fn settle(&self, stale: &Arc<Ticket>, outcome: &Result<Arc<Ticket>, Error>) {
        let mut state = self.state.lock();
        // A login in the meantime has the last word.
        if !state.ticket.as_ref().is_some_and(|ticket| Arc::ptr_eq(ticket, stale)) {
            return;
        }
        state.refresh = None;
        match outcome {
            Ok(fresh) => {
                *state = State {
                    ticket: Some(fresh.clone()),
                    ..State::default()
                }
            }
            // Perhaps another server answers at the same address for a while. The session is kept, and tried again later.
            Err(error) if error.reason() == Reason::RefreshTokenInvalid => {
                state.unknown_until = Some((Instant::now() + REFRESH_REST, error.clone()));
            }
            Err(error) if error.is_logged_out() => *state = State::default(),
            Err(_) => {}
        }
    }

    async fn exchange(&self, transport: &Arc<Transport>, stale: &Arc<Ticket>) -> Result<Arc<Ticket>, Error> {
        let _lock = self.lock().await?;
        if let Some(theirs) = self.exchanged_elsewhere(stale).await? {
            return Ok(theirs);
        }
        let request = v1::RefreshTokenRequest {
            refresh_token: stale.credentials.refresh_token().to_owned(),
            request_id: stale.credentials.refresh_request_id().to_string(),
        };
        let deadline = Instant::now() + REFRESH_TIMEOUT;
        match transport.unary(request, None, deadline).await {
            Ok(answer) => self.keep(stale, stale.credentials.refreshed(answer.tokens)?).await,
            Err(error) => {
                if error.ends_session() {
                    tracing::info!(reason = error.reason_name(), "the session is over");
                    self.forget_if(stale).await;
                }
                Err(error)
            }
        }
    }

    async fn keep(&self, stale: &Arc<Ticket>, fresh: Credentials) -> Result<Arc<Ticket>, Error> {
        let ticket = ticket(fresh.clone())?;
        let _changing = self.changing.lock().await;
        if !self.is_current(stale) {
            return Ok(ticket);
        }
        let store = self.store.clone();
        let saved = blocking(move || match store.load()? {
            Some(stored) if stored.session_id() == fresh.session_id() => store.save(&fresh),
            // Another process has logged out, or in as somebody else.
            _ => Ok(()),
        });
        if let Err(error) = saved.await {
            // The new tokens are good for this process all the same.
            tracing::warn!(%error, "new tokens could not be stored; the next run must log in again");
        }
        Ok(ticket)
    }

    async fn lock(&self) -> Result<StoreLock, Error> {
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            if let Some(lock) = self.store.try_lock().map_err(Error::token_store)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(Error::deadline(LOCK_TIMEOUT));
            }
            sleep(LOCK_POLL).await;
        }
    }

    /// What another process that shares the store has made of these credentials.
    async fn exchanged_elsewhere(&self, stale: &Arc<Ticket>) -> Result<Option<Arc<Ticket>>, Error> {
        let store = self.store.clone();
        let Some(stored) = blocking(move || store.load()).await? else {
            return Err(Error::not_logged_in());
        };
        // Older ones are there when the store could not be written the last time.
        if !stored.is_newer_than(&stale.credentials) {
            return Ok(None);
        }
        same_user(&ticket(stored)?, stale).map(Some)
    }

    fn is_current(&self, ticket: &Arc<Ticket>) -> bool {
        self.state
            .lock()
            .ticket
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, ticket))
    }
}

/// A call that was made by one user is never repeated as another.
fn same_user(fresh: &Arc<Ticket>, stale: &Arc<Ticket>) -> Result<Arc<Ticket>, Error> {
    if fresh.credentials.user_id() == stale.credentials.user_id() {
        Ok(fresh.clone())
    } else {
        Err(Error::client("another user has logged in since"))
    }
}

fn ticket(credentials: Credentials) -> Result<Arc<Ticket>, Error> {
    let bearer = bearer(credentials.access_token())?;
    Ok(Arc::new(Ticket { credentials, bearer }))
}

/// The header for a token. Fails for one that no header can hold.
pub(crate) fn bearer(token: &str) -> Result<Bearer, Error> {
    let mut bearer: Bearer = format!("Bearer {token}")
        .parse()
        .map_err(|_| Error::invalid("token", "cannot be put into a header"))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Error> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(Error::token_store)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("credentials", &self.credentials())
            .finish_non_exhaustive()
    }
}
