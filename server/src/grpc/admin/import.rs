//! Imports: streams of messages, each committed as a whole.

use std::future::Future;

use social_core::import::{self, ImportKind, ImportOutcome, ImportProgress};
use social_core::{Backend, Error, Result};
use social_observability::event;
use social_proto::v1;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::upload::{self, Upload};
use crate::grpc::Drain;
use crate::grpc::convert::{self, Fields};

/// One message of an import.
pub(super) trait Message: Send + 'static {
    /// UUID of the import, as it was sent.
    fn import_id(&self) -> &str;

    /// Index of the first item, as it was sent.
    fn offset(&self) -> i64;

    /// Commits the items.
    fn commit(self, backend: &Backend, import: Uuid, offset: u64)
    -> impl Future<Output = Result<ImportOutcome>> + Send;
}

/// Runs a stream of messages to its end: the import's progress, and how many items of this stream were durable before.
pub(super) async fn run<M: Message>(
    backend: &Backend,
    drain: &Drain,
    messages: Streaming<M>,
) -> Result<(v1::ImportProgress, i64), Status> {
    let run = Run {
        backend: backend.clone(),
        begun: None,
        skipped: 0,
    };
    upload::run(run, drain, messages).await
}

/// One stream of an import.
struct Run {
    backend: Backend,
    /// The import, and how far it has come with this stream.
    begun: Option<(Uuid, ImportProgress)>,
    skipped: u64,
}

impl<M: Message> Upload<M> for Run {
    type Answer = (v1::ImportProgress, i64);

    async fn take(&mut self, message: M) -> Result<()> {
        let mut fields = Fields::new();
        let import = fields.uuid(
            "import_id",
            message.import_id(),
            "the same in every message of one import",
        );
        let offset = fields.natural("offset", message.offset());
        fields.check()?;
        if self.begun.as_ref().is_some_and(|(begun, _)| *begun != import) {
            return Err(Error::field(
                "import_id",
                "must be the same in every message of a stream",
            ));
        }
        let before = match &self.begun {
            Some((_, progress)) => Some((progress.imported, progress.rejected)),
            // Perhaps an earlier stream brought a part of it.
            None => {
                let found = self.backend.store.import_progress(import).await?;
                found.map(|progress| (progress.imported, progress.rejected))
            }
        };
        let (imported, rejected) = before.unwrap_or_default();
        let ImportOutcome { progress, skipped } = message.commit(&self.backend, import, offset).await?;
        // Figures are of the whole import: what this message added is what they grew by.
        event::import_committed(
            kind(progress.kind),
            progress.imported.saturating_sub(imported),
            progress.rejected.saturating_sub(rejected),
            progress.next_offset,
        );
        self.begun = Some((import, progress));
        self.skipped += skipped;
        Ok(())
    }

    async fn finish(self) -> Result<Self::Answer> {
        let (import, progress) = self
            .begun
            .ok_or_else(|| Error::field("import_id", "is required: the stream held no message"))?;
        import::finish(&self.backend).await?;
        Ok((
            convert::import::progress(import, &progress),
            convert::count(self.skipped),
        ))
    }
}

/// The label of metrics.
fn kind(kind: ImportKind) -> &'static str {
    match kind {
        ImportKind::Users => "users",
        ImportKind::Posts => "posts",
        ImportKind::Follows => "follows",
    }
}

impl Message for v1::ImportUsersRequest {
    fn import_id(&self) -> &str {
        &self.import_id
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    async fn commit(self, backend: &Backend, import: Uuid, offset: u64) -> Result<ImportOutcome> {
        let items = self.users.into_iter().map(convert::import::user_item).collect();
        import::users(backend, import, offset, items).await
    }
}

impl Message for v1::ImportPostsRequest {
    fn import_id(&self) -> &str {
        &self.import_id
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    async fn commit(self, backend: &Backend, import: Uuid, offset: u64) -> Result<ImportOutcome> {
        let items = self.posts.into_iter().map(convert::import::post_item).collect();
        import::posts(backend, import, offset, items).await
    }
}

impl Message for v1::ImportFollowsRequest {
    fn import_id(&self) -> &str {
        &self.import_id
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    async fn commit(self, backend: &Backend, import: Uuid, offset: u64) -> Result<ImportOutcome> {
        let items = self.follows.iter().map(convert::import::follow_item).collect();
        import::follows(backend, import, offset, items).await
    }
}
