//! Operation of the platform.

use std::sync::Arc;

use futures::stream::BoxStream;
use social_proto::v1;
use uuid::Uuid;

use crate::backup;
use crate::call::present;
use crate::core::Core;
use crate::ids::wire;
use crate::{
    Call, ClientBuilder, Error, EventId, ExportArchive, Import, ImportArchive, IntoId, List, PostId, Rpc, UserId,
};

/// A client for operators: fan-out, repair, processes, storage, backups, imports. See `social/v1/admin.proto`. Cheap to clone.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let token = std::fs::read_to_string("data/admin.token")?;
/// let admin = social_sdk::AdminClient::builder().build_admin(token)?;
/// println!("{:?}", admin.fanout_policy().await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AdminClient {
    core: Arc<Core>,
}

impl AdminClient {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Starts to make a client; [`ClientBuilder::build_admin`] makes it.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// How posts get to followers.
    pub fn fanout_policy(&self) -> Call<v1::GetFanoutPolicyRequest, v1::FanoutPolicy> {
        Call::new(&self.core, v1::GetFanoutPolicyRequest {}, |answer| {
            present("policy", answer.policy)
        })
    }

    /// Changes how posts get to followers, for posts from now on.
    pub fn set_fanout_policy(&self, mode: v1::FanoutMode) -> Call<v1::SetFanoutPolicyRequest, v1::FanoutPolicy> {
        let request = v1::SetFanoutPolicyRequest {
            mode: mode.into(),
            ..Default::default()
        };
        Call::new(&self.core, request, |answer| present("policy", answer.policy))
    }

    /// Throws a user's home timeline away and builds it anew.
    pub fn rebuild_timeline(&self, user_id: impl IntoId<UserId>) -> Call<v1::RebuildTimelineRequest> {
        let user_id = wire("user_id", user_id);
        Call::new(&self.core, v1::RebuildTimelineRequest::default(), Ok)
            .set(user_id, |request, id| request.user_id = id)
    }

    /// Counts a post's likes, comments and replies anew.
    pub fn recount_post(&self, post_id: impl IntoId<PostId>) -> Call<v1::RecountPostRequest> {
        let post_id = wire("post_id", post_id);
        Call::new(&self.core, v1::RecountPostRequest::default(), Ok).set(post_id, |request, id| request.post_id = id)
    }

    /// Events that were given up, oldest first.
    pub fn list_dead_letters(&self) -> List<v1::ListDeadLettersRequest> {
        List::new(&self.core, v1::ListDeadLettersRequest::default())
    }

    /// Takes a dead letter back into the queue.
    pub fn replay_dead_letter(&self, event_id: impl IntoId<EventId>) -> Call<v1::ReplayDeadLetterRequest, ()> {
        let event_id = wire("event_id", event_id);
        Call::new(&self.core, v1::ReplayDeadLetterRequest::default(), |_| Ok(()))
            .set(event_id, |request, id| request.event_id = id)
    }

    /// Events that wait in the log to be worked on, oldest first. The first page counts all that have not ended.
    pub fn list_outbox_events(&self) -> List<v1::ListOutboxEventsRequest> {
        List::new(&self.core, v1::ListOutboxEventsRequest::default())
    }

    /// The processes of the platform, and which part of the event log each takes up.
    pub fn cluster(&self) -> Call<v1::GetClusterRequest> {
        Call::new(&self.core, v1::GetClusterRequest {}, Ok)
    }

    /// A copy of everything in the server's data folder at one instant, as the pieces of a file for `social-server restore`.
    ///
    /// It ends behind the piece with `last`. An error is the end too, and leaves no backup: begin again. The file holds hashes of passwords: keep it
    /// as the data folder itself.
    ///
    /// ```no_run
    /// # async fn f(admin: social_sdk::AdminClient) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::io::Write as _;
    /// use social_sdk::TryStreamExt;
    ///
    /// let mut file = std::fs::File::create_new("social.backup.part")?;
    /// let mut pieces = admin.back_up();
    /// while let Some(piece) = pieces.try_next().await? {
    ///     file.write_all(&piece.data)?;
    /// }
    /// file.sync_all()?;
    /// std::fs::rename("social.backup.part", "social.backup")?;
    /// # Ok(()) }
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub fn back_up(&self) -> BoxStream<'static, Result<v1::StreamBackupResponse, Error>> {
        backup::pieces(&self.core)
    }

    /// What the server stores, and what it has in memory and in its queue.
    pub fn storage_stats(&self) -> Call<v1::GetStorageStatsRequest> {
        Call::new(&self.core, v1::GetStorageStatsRequest {}, Ok)
    }

    /// Brings users in. `import_id` names the import; an import that was cut short goes on under the same one.
    pub fn import_users(&self, import_id: Uuid) -> Import<v1::ImportUser> {
        Import::new(&self.core, import_id)
    }

    /// Brings posts in, which are not fanned out. See [`AdminClient::import_users`].
    pub fn import_posts(&self, import_id: Uuid) -> Import<v1::ImportPost> {
        Import::new(&self.core, import_id)
    }

    /// Brings follows in. See [`AdminClient::import_users`].
    pub fn import_follows(&self, import_id: Uuid) -> Import<v1::ImportFollow> {
        Import::new(&self.core, import_id)
    }

    /// How far an import has come.
    pub fn import_progress(&self, import_id: Uuid) -> Call<v1::GetImportRequest, v1::ImportProgress> {
        let request = v1::GetImportRequest {
            import_id: import_id.to_string(),
        };
        Call::new(&self.core, request, |answer| present("progress", answer.progress))
    }

    /// The whole platform as records, while it goes on serving. They hold the hashes of passwords.
    pub fn export_archive(&self) -> ExportArchive {
        ExportArchive::new(&self.core)
    }

    /// Brings the records of an archive in, under the ids that they have. The platform must be empty; an import that was cut short goes on.
    pub fn import_archive(&self, header: v1::ArchiveHeader) -> ImportArchive {
        ImportArchive::new(&self.core, header)
    }

    /// Any unary method of the AdminService, by its request message.
    pub fn call<M: Rpc>(&self, request: M) -> Call<M> {
        Call::new(&self.core, request, Ok)
    }
}

impl Call<v1::SetFanoutPolicyRequest, v1::FanoutPolicy> {
    /// Followers from which on HYBRID pulls an author's posts. Default 10,000.
    pub fn celebrity_threshold(mut self, followers: i64) -> Self {
        self.request.celebrity_threshold = followers;
        self
    }

    /// Fails when the policy is not the version of this etag any more.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }
}
