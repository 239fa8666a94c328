//! Reading archives: every field at fault is named with its place.

use std::str::FromStr;
use std::sync::Arc;

use prost_types::Timestamp;
use social_core::archive::{EdgeRecord, Header, Person, Record};
use social_core::auth::{Account, PasswordHash, parse_stored};
use social_core::comments::Comment;
use social_core::fanout::{Policy, Strategy};
use social_core::graph::EdgeKind;
use social_core::likes::Like;
use social_core::posts::{Encoding, Post, Revision, Visibility};
use social_core::text::{Facet, FacetKind};
use social_core::timeline::Marker;
use social_core::users::{Handle, User};
use social_core::{EventId, Time, limits};
use social_proto::v1;
use social_proto::v1::archive_record::Record as Wire;
use social_proto::v1::facet::Feature;

use crate::grpc::convert::{Fields, admin, post};

/// Bytes of a backend's name.
const SOURCE_BYTES: usize = 32;

const KINDS: [(i32, &str, EdgeKind); 3] = [
    (
        v1::ArchiveEdgeKind::Follow as i32,
        "ARCHIVE_EDGE_KIND_FOLLOW",
        EdgeKind::Follow,
    ),
    (
        v1::ArchiveEdgeKind::Block as i32,
        "ARCHIVE_EDGE_KIND_BLOCK",
        EdgeKind::Block,
    ),
    (
        v1::ArchiveEdgeKind::Mute as i32,
        "ARCHIVE_EDGE_KIND_MUTE",
        EdgeKind::Mute,
    ),
];

/// Reads what an archive is.
pub(crate) fn header(fields: &mut Fields, header: Option<v1::ArchiveHeader>) -> Header {
    if header.is_none() {
        fields.refuse("header", "is required: the header of the archive, in every message");
    }
    let given = header.is_some();
    let header = header.unwrap_or_default();
    let mut at = At {
        // What is missing as a whole is not also missing in each of its parts.
        fields: if given { fields } else { &mut Fields::new() },
        place: "header".to_owned(),
    };
    if header.source.len() > SOURCE_BYTES {
        at.refuse("source", "must be the name of a backend");
    }
    Header {
        archive: at.uuid("archive_id", &header.archive_id),
        format: at.number("format", header.format.into()),
        bound: at.id::<EventId>("bound_id", &header.bound_id).0,
        created_at: at.time("create_time", header.create_time.as_ref()),
        source: header.source,
    }
}

/// Reads records. Where one is at fault, what stands in its place means nothing.
pub(crate) fn records(fields: &mut Fields, records: Vec<v1::ArchiveRecord>) -> Vec<Option<Record>> {
    let read = |(number, record): (usize, v1::ArchiveRecord)| {
        let mut at = At {
            fields: &mut *fields,
            place: format!("records[{number}]"),
        };
        let Some(record) = record.record else {
            at.refuse("record", "is required: a row of a known kind");
            return None;
        };
        at.record(record)
    };
    records.into_iter().enumerate().map(read).collect()
}

/// Reads the fields of one message within the request.
struct At<'a> {
    fields: &'a mut Fields,
    place: String,
}

impl At<'_> {
    fn path(&self, field: &str) -> String {
        format!("{}.{field}", self.place)
    }

    fn refuse(&mut self, field: &str, hint: impl Into<String>) {
        self.fields.refuse(self.path(field), hint);
    }

    fn id<I: FromStr + Default>(&mut self, field: &str, text: &str) -> I {
        self.fields.id(&self.path(field), text)
    }

    fn optional_id<I: FromStr + Default>(&mut self, field: &str, text: &str) -> Option<I> {
        self.fields.optional_id(&self.path(field), text)
    }

    fn uuid(&mut self, field: &str, text: &str) -> uuid::Uuid {
        self.fields.uuid(&self.path(field), text, "that of the archive")
    }

    fn optional_time(&mut self, field: &str, time: Option<&Timestamp>) -> Option<Time> {
        self.fields.time(&self.path(field), time)
    }

    fn time(&mut self, field: &str, time: Option<&Timestamp>) -> Time {
        if time.is_none() {
            self.refuse(field, "is required");
        }
        self.optional_time(field, time).unwrap_or_default()
    }

    /// A count that begins with 1.
    fn version(&mut self, field: &str, value: i64) -> u64 {
        if value < 1 {
            self.refuse(field, "must be 1 or more");
        }
        value.unsigned_abs()
    }

    fn number(&mut self, field: &str, value: i64) -> u32 {
        u32::try_from(value).unwrap_or_else(|_| {
            self.refuse(field, "must be 0 or more");
            0
        })
    }

    fn text(&mut self, field: &str, text: String, bytes: usize) -> String {
        if text.len() > bytes {
            self.refuse(field, format!("has {} bytes; at most {bytes} are allowed", text.len()));
        }
        text
    }

    fn visibility(&mut self, value: i32) -> Visibility {
        let path = self.path("visibility");
        let known = self.fields.choice(&path, value, &post::VISIBILITIES);
        known.unwrap_or(Visibility::Private)
    }

    fn handle(&mut self, field: &str, text: &str) -> Option<Handle> {
        let handle = text.parse().ok().filter(|handle: &Handle| handle.as_str() == text);
        if handle.is_none() {
            self.refuse(field, "must be 3 to 30 of a-z, 0-9 and _, beginning with a letter");
        }
        handle
    }

    fn record(&mut self, record: Wire) -> Option<Record> {
        let name = match &record {
            Wire::Policy(_) => "policy",
            Wire::User(_) => "user",
            Wire::Post(_) => "post",
            Wire::Revision(_) => "revision",
            Wire::Comment(_) => "comment",
            Wire::Like(_) => "like",
            Wire::Edge(_) => "edge",
        };
        self.place = self.path(name);
        Some(match record {
            Wire::Policy(policy) => Record::Policy(self.policy(&policy)),
            Wire::User(user) => Record::User(Box::new(self.user(user)?)),
            Wire::Post(post) => Record::Post(Arc::new(self.post(post))),
            Wire::Revision(revision) => Record::Revision {
                post: self.id("post_id", &revision.post_id),
                revision: self.revision(revision),
            },
            Wire::Comment(comment) => Record::Comment(self.comment(comment)),
            Wire::Like(like) => Record::Like(Like {
                user: self.id("user_id", &like.user_id),
                post: self.id("post_id", &like.post_id),
                since: self.id::<EventId>("since_id", &like.since_id).0,
            }),
            Wire::Edge(edge) => Record::Edge(self.edge(&edge)),
        })
    }

    fn policy(&mut self, policy: &v1::ArchivePolicy) -> Policy {
        let path = self.path("mode");
        let strategy = self.fields.choice(&path, policy.mode, &admin::STRATEGIES);
        let update_time = self.optional_time("update_time", policy.update_time.as_ref());
        Policy {
            strategy: strategy.unwrap_or(Strategy::Hybrid),
            celebrity_threshold: self.version("celebrity_threshold", policy.celebrity_threshold),
            version: self.version("version", policy.version),
            updated_at: update_time.unwrap_or_default(),
        }
    }

    fn user(&mut self, user: v1::ArchiveUser) -> Option<Person> {
        let id = self.id("id", &user.id);
        let account = Account {
            user: id,
            password: self.password(&user.password_hash),
            changed_at: self.time("password_time", user.password_time.as_ref()),
        };
        let marker = Marker {
            last_read: self.optional_id("last_read_post_id", &user.last_read_post_id),
            updated_at: self.optional_time("read_time", user.read_time.as_ref()),
            version: self.number("read_version", user.read_version).into(),
        };
        let user = User {
            id,
            handle: self.handle("handle", &user.handle)?,
            display_name: self.text("display_name", user.display_name, limits::DISPLAY_NAME_BYTES),
            bio: self.text("bio", user.bio, limits::BIO_BYTES),
            created_at: self.time("create_time", user.create_time.as_ref()),
            updated_at: self.time("update_time", user.update_time.as_ref()),
            version: self.version("version", user.version),
            encoding: Encoding::default(),
        };
        Some(Person { user, account, marker })
    }

    fn password(&mut self, hash: &str) -> Option<PasswordHash> {
        if hash.is_empty() {
            return None;
        }
        let hash = parse_stored(&self.path("password_hash"), hash);
        self.fields.take(hash.map(Some))
    }

    fn post(&mut self, post: v1::ArchivePost) -> Post {
        let content = self.text("content", post.content, limits::POST_CONTENT_BYTES);
        Post {
            id: self.id("id", &post.id),
            author: self.id("author_id", &post.author_id),
            title: self.title(post.title),
            visibility: self.visibility(post.visibility),
            in_reply_to: self.optional_id("in_reply_to_id", &post.in_reply_to_id),
            facets: self.facets(&post.facets, &content),
            content,
            created_at: self.time("create_time", post.create_time.as_ref()),
            edited_at: self.optional_time("edit_time", post.edit_time.as_ref()),
            deleted_at: self.optional_time("delete_time", post.delete_time.as_ref()),
            version: self.version("version", post.version),
            revision: self.number("revision", post.revision.into()),
            visible_since: self.id("visible_since_id", &post.visible_since_id),
            encoding: Encoding::default(),
        }
    }

    fn revision(&mut self, revision: v1::ArchiveRevision) -> Revision {
        let content = self.text("content", revision.content, limits::POST_CONTENT_BYTES);
        Revision {
            number: self.number("number", revision.number.into()),
            title: self.title(revision.title),
            facets: self.facets(&revision.facets, &content),
            content,
            visibility: self.visibility(revision.visibility),
            created_at: self.time("create_time", revision.create_time.as_ref()),
        }
    }

    fn title(&mut self, title: String) -> Option<String> {
        let title = self.text("title", title, limits::POST_TITLE_BYTES);
        (!title.is_empty()).then_some(title)
    }

    fn comment(&mut self, comment: v1::ArchiveComment) -> Comment {
        let content = self.text("content", comment.content, limits::COMMENT_BYTES);
        Comment {
            id: self.id("id", &comment.id),
            post: self.id("post_id", &comment.post_id),
            parent: self.optional_id("parent_id", &comment.parent_id),
            depth: self.number("depth", comment.depth.into()),
            author: self.id("author_id", &comment.author_id),
            facets: self.facets(&comment.facets, &content),
            content,
            created_at: self.time("create_time", comment.create_time.as_ref()),
            edited_at: self.optional_time("edit_time", comment.edit_time.as_ref()),
            deleted_at: self.optional_time("delete_time", comment.delete_time.as_ref()),
            version: self.version("version", comment.version),
            replies: 0,
        }
    }

    fn edge(&mut self, edge: &v1::ArchiveEdge) -> EdgeRecord {
        let path = self.path("kind");
        let kind = self.fields.choice(&path, edge.kind, &KINDS);
        EdgeRecord {
            kind: kind.unwrap_or(EdgeKind::Mute),
            from: self.id("from_id", &edge.from_id),
            to: self.id("to_id", &edge.to_id),
            since: self.id::<EventId>("since_id", &edge.since_id).0,
        }
    }

    fn facets(&mut self, facets: &[v1::Facet], content: &str) -> Vec<Facet> {
        let read = facets.iter().enumerate();
        read.filter_map(|(number, facet)| self.facet(number, facet, content))
            .collect()
    }

    fn facet(&mut self, number: usize, facet: &v1::Facet, content: &str) -> Option<Facet> {
        let place = format!("facets[{number}]");
        let (start, end) = (u32::try_from(facet.byte_start), u32::try_from(facet.byte_end));
        let (Ok(start), Ok(end)) = (start, end) else {
            self.refuse(&place, "must lie within the content");
            return None;
        };
        if start >= end || content.get(start as usize..end as usize).is_none() {
            self.refuse(&place, "must lie within the content, between its characters");
        }
        let kind = match &facet.feature {
            Some(Feature::Mention(mention)) => FacetKind::Mention {
                user: self.id(&format!("{place}.mention.user_id"), &mention.user_id),
                handle: self.handle(&format!("{place}.mention.handle"), &mention.handle)?,
            },
            Some(Feature::Hashtag(hashtag)) => FacetKind::Hashtag(hashtag.tag.clone()),
            None => {
                self.refuse(&format!("{place}.feature"), "is required");
                return None;
            }
        };
        Some(Facet { start, end, kind })
    }
}
