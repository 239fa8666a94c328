//! Lists, page by page or item by item.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::core::{Core, Unary};
use crate::rpc::Paged;
use crate::{Call, Error};

/// A list that the server hands out page by page.
///
/// ```no_run
/// # async fn f(client: social_sdk::Client, id: social_sdk::UserId) -> Result<(), social_sdk::Error> {
/// use social_sdk::TryStreamExt;
///
/// // Item by item, across all pages.
/// let mut followers = client.graph().list_followers(id).stream();
/// while let Some(follower) = followers.try_next().await? {
///     println!("{:?}", follower.user);
/// }
///
/// // One page, as the server answered it.
/// let page = client.graph().list_followers(id).page_size(200).page().await?;
/// println!("{} and more: {}", page.followers.len(), !page.next_page_token.is_empty());
/// # Ok(()) }
/// ```
#[must_use = "a list is read by `page`, `pages` or `stream`"]
pub struct List<M: Paged> {
    core: Arc<Core>,
    request: M,
    invalid: Option<Error>,
    timeout: Duration,
}

impl<M: Paged> List<M> {
    pub(crate) fn new(core: &Arc<Core>, request: M) -> Self {
        Self {
            core: core.clone(),
            request,
            invalid: None,
            timeout: core.transport.timeout,
        }
    }

    /// Puts a checked value into the request, or keeps the first error for when the list is read.
    pub(crate) fn set<V>(mut self, value: Result<V, Error>, put: impl FnOnce(&mut M, V)) -> Self {
        match value {
            Ok(value) => put(&mut self.request, value),
            Err(error) => {
                self.invalid.get_or_insert(error);
            }
        }
        self
    }

    /// Items a page; the server has a default and a maximum for each list.
    pub fn page_size(mut self, items: u32) -> Self {
        *self.request.page_size_mut() = i32::try_from(items).unwrap_or(i32::MAX);
        self
    }

    /// Starts behind the page that this `next_page_token` came with. Everything else must be as it was for that page.
    pub fn page_token(mut self, token: impl Into<String>) -> Self {
        *self.request.page_token_mut() = token.into();
        self
    }

    /// Bounds the call for each page instead of by the client's timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads one page. A page may be short, even empty: only an empty `next_page_token` is the end.
    pub fn page(self) -> Call<M> {
        let invalid = self.invalid.map_or(Ok(()), Err);
        Call::new(&self.core, self.request, Ok)
            .timeout(self.timeout)
            .set(invalid, |_, ()| {})
    }

    /// All pages, as the server answered them. The next one is read when it is polled for. Ends after an error.
    #[must_use = "streams do nothing unless polled"]
    pub fn pages(self) -> BoxStream<'static, Result<M::Response, Error>> {
        stream::unfold(Some(self), |list| async move {
            let mut list = list?;
            match list.next_page().await {
                Ok((page, true)) => Some((Ok(page), Some(list))),
                Ok((page, false)) => Some((Ok(page), None)),
                Err(error) => Some((Err(error), None)),
            }
        })
        .fuse()
        .boxed()
    }

    /// All items, across all pages. The next page is read when the items of the one before are used up. Ends after an
    /// error.
    #[must_use = "streams do nothing unless polled"]
    pub fn stream(self) -> BoxStream<'static, Result<M::Item, Error>> {
        self.pages()
            .map_ok(|page| stream::iter(M::items(page).into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    /// Reads the next page, and whether another one follows.
    async fn next_page(&mut self) -> Result<(M::Response, bool), Error> {
        if let Some(error) = self.invalid.take() {
            return Err(error);
        }
        let page = self.core.call(&Unary(self.request.clone()), self.timeout).await?;
        let next = M::next_page_token(&page);
        if next.is_empty() {
            return Ok((page, false));
        }
        if next == self.request.page_token_mut() {
            return Err(Error::protocol("a page names itself as the next one"));
        }
        next.clone_into(self.request.page_token_mut());
        Ok((page, true))
    }
}

impl<M: Paged> fmt::Debug for List<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("path", &M::PATH)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}
