//! Messages as JSON: the names of the contract in snake case, numbers as numbers, times in RFC 3339, enums by name, and
//! `null` for what is unset.

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};
use social_sdk::v1;

/// A message of the contract, to be serialized.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a, T>(pub(crate) &'a T);

fn maybe<T>(message: Option<&T>) -> Option<Wire<'_, T>> {
    message.map(Wire)
}

fn many<T>(messages: &[T]) -> Vec<Wire<'_, T>> {
    messages.iter().map(Wire).collect()
}

/// Writes a message field by field. A field is `name` (as it is), `name: time`, `name: one` (a message), `name: many` (messages) or
/// `name: named` (an enum).
macro_rules! wire {
    ($($message:ident { $($field:ident $(: $kind:ident)?),* $(,)? })*) => {
        $(
            impl Serialize for Wire<'_, v1::$message> {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    let fields = [$(stringify!($field)),*].len();
                    let mut object = serializer.serialize_struct(stringify!($message), fields)?;
                    $(object.serialize_field(stringify!($field), &wire!(@$($kind)? self.0, $field))?;)*
                    object.end()
                }
            }
        )*
    };
    (@ $message:expr, $field:ident) => { $message.$field };
    (@time $message:expr, $field:ident) => { $message.$field.as_ref().map(ToString::to_string) };
    (@one $message:expr, $field:ident) => { maybe($message.$field.as_ref()) };
    (@many $message:expr, $field:ident) => { many(&$message.$field) };
    (@named $message:expr, $field:ident) => { $message.$field().as_str_name() };
}

wire! {
    Session { id, device_name, create_time: time, last_refresh_time: time, expire_time: time, current }
    UserSummary { id, handle, display_name }
    User { id, handle, display_name, bio, create_time: time, update_time: time, etag, counts: one, viewer_relationship: one }
    UserCounts { posts, followers, following, exact }
    Relationship { user_id, following, followed_by, blocking, blocked_by, muting }
    Post {
        id, title, content, visibility: named, in_reply_to_id, facets: many, create_time: time, edit_time: time, delete_time: time, etag,
        revision_count, author: one, counts: one, viewer: one,
    }
    Mention { user_id, handle }
    Hashtag { tag }
    PostCounts { likes, comments, replies, exact }
    PostCountsEntry { post_id, counts: one }
    PostViewerState { liked, following_author, muting_author, is_author }
    PostRevision { number, title, content, visibility: named, facets: many, create_time: time }
    PostCommentDeleted { comment_id, delete_time: time, tombstone }
    PostDeleted { delete_time: time }
    PostStreamGap { dropped }
    Comment {
        id, post_id, parent_id, author: one, content, create_time: time, edit_time: time, delete_time: time, etag, reply_count,
    }
    PostLiker { user: one, create_time: time }
    UserLike { post: one, create_time: time }
    CountsSnapshot { counts: many, not_found_ids }
    CountsChanged { counts: many, removed_post_ids }
    GraphEdge { user: one, create_time: time }
    TimelineItem { post: one, reason: named }
    Marker { last_read_post_id, update_time: time, etag }
    GetFanoutStatusResponse {
        fanout_id, post_id, mode: named, state: named, delivered, skipped, pending, lag_ms, attempts, trace_id, last_error_class,
    }
    HomeTimelineAddedItem { item: one, late }
    HomeTimelineCountsUpdated { counts: many }
    FanoutPolicy { mode: named, celebrity_threshold, update_time: time, etag }
    RebuildTimelineResponse { entries, elapsed_ms }
    RecountPostResponse { before: one, after: one }
    OutboxEvent {
        event_id, kind, post_id, actor_id, mode: named, delivered, skipped, attempts, error_class, create_time: time, progress_time: time, stalled,
        trace_id,
    }
    OutboxCounts { pending, stalled, dead, oldest_pending_age_ms, exact }
    GetClusterResponse { backend, processes: many, shards: many }
    ClusterShard { number, held, node, settled_time: time, lag_ms }
    DeadLetter { event_id, kind, post_id, actor_id, attempts, error_class, create_time: time, dead_time: time, trace_id }
    GetStorageStatsResponse {
        backend, disk_bytes, tables: many, timeline_rings, timeline_entries, pending_events, oldest_pending_age_ms, resident_memory_bytes,
    }
    TableStats { name, rows, exact, disk_bytes, unknown }
    ImportProgress {
        import_id, kind: named, imported, rejected, rejections: many, next_offset, create_time: time, update_time: time,
    }
    ImportRejection { index, reason, field }
    LikePostResponse { liked, counts: one }
    UnlikePostResponse { liked, counts: one }
    CreatePostResponse { post: one, fanout_id }
    UpdatePostResponse { post: one, fanout_id }
    UndeletePostResponse { post: one, fanout_id }
    DeletePostResponse { post: one, undelete_expire_time: time }
    DeleteCommentResponse { delete_time: time }
    BatchGetRelationshipsResponse { relationships: many, not_found_ids }
}

impl Serialize for Wire<'_, v1::ClusterProcess> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let process = self.0;
        let roles: Vec<_> = process.roles().map(|role| role.as_str_name()).collect();
        let mut object = serializer.serialize_struct("ClusterProcess", 9)?;
        object.serialize_field("node", &process.node)?;
        object.serialize_field("name", &process.name)?;
        object.serialize_field("roles", &roles)?;
        object.serialize_field("state", process.state().as_str_name())?;
        object.serialize_field("start_time", &process.start_time.map(|time| time.to_string()))?;
        object.serialize_field("lease_left_ms", &process.lease_left_ms)?;
        object.serialize_field("shards", &process.shards)?;
        object.serialize_field("lag_ms", &process.lag_ms)?;
        object.serialize_field("answered", &process.answered)?;
        object.end()
    }
}

impl Serialize for Wire<'_, v1::Facet> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("byte_start", &self.0.byte_start)?;
        object.serialize_entry("byte_end", &self.0.byte_end)?;
        match &self.0.feature {
            Some(v1::facet::Feature::Mention(mention)) => object.serialize_entry("mention", &Wire(mention))?,
            Some(v1::facet::Feature::Hashtag(hashtag)) => object.serialize_entry("hashtag", &Wire(hashtag))?,
            None => {}
        }
        object.end()
    }
}

/// A list as its method answers it: `{"posts": [...], "next_page_token": "..."}`.
#[derive(Debug)]
pub(crate) struct Page<'a, I> {
    /// Name of the field that holds the items.
    pub(crate) field: &'a str,
    /// The items.
    pub(crate) items: Vec<I>,
    /// Fields of the page beside the items.
    pub(crate) more: Vec<(&'a str, serde_json::Value)>,
    /// Token of the next page; empty on the last one.
    pub(crate) next_page_token: &'a str,
}

impl<I: Serialize> Serialize for Page<'_, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry(self.field, &self.items)?;
        object.serialize_entry("next_page_token", self.next_page_token)?;
        for (name, value) in &self.more {
            object.serialize_entry(name, value)?;
        }
        object.end()
    }
}
