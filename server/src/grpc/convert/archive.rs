//! Archives on the wire.

use prost_types::Timestamp;
use social_core::archive::{EdgeRecord, Header, Person, Progress, Record};
use social_core::auth::PasswordHash;
use social_core::comments::Comment;
use social_core::fanout::Policy;
use social_core::graph::EdgeKind;
use social_core::likes::Like;
use social_core::posts::{Post, Revision};
use social_core::{EventId, PostId, Time};
use social_proto::v1;
use social_proto::v1::archive_record::Record as Wire;

use super::{count, optional_id, timestamp};

mod read;

pub(crate) use read::{header as read_header, records as read_records};

/// What an archive is.
pub(crate) fn header(header: &Header) -> v1::ArchiveHeader {
    v1::ArchiveHeader {
        archive_id: header.archive.to_string(),
        format: i32::try_from(header.format).unwrap_or(i32::MAX),
        source: header.source.clone(),
        bound_id: EventId(header.bound).to_string(),
        create_time: Some(timestamp(header.created_at)),
    }
}

/// How far the import of an archive has come.
pub(crate) fn progress(progress: &Progress) -> v1::ArchiveImport {
    v1::ArchiveImport {
        header: Some(header(&progress.header)),
        next_offset: count(progress.next_offset),
        complete: progress.complete,
        create_time: Some(timestamp(progress.begun_at)),
        update_time: Some(timestamp(progress.updated_at)),
    }
}

/// A row of truth.
pub(crate) fn record(record: Record) -> v1::ArchiveRecord {
    let record = match record {
        Record::Policy(policy) => Wire::Policy(self::policy(&policy)),
        Record::User(person) => Wire::User(user(*person)),
        Record::Post(post) => Wire::Post(self::post(&post)),
        Record::Revision { post, revision } => Wire::Revision(self::revision(post, revision)),
        Record::Comment(comment) => Wire::Comment(self::comment(comment)),
        Record::Like(like) => Wire::Like(self::like(like)),
        Record::Edge(edge) => Wire::Edge(self::edge(edge)),
    };
    v1::ArchiveRecord { record: Some(record) }
}

/// A time that is zero where there is none.
fn set_time(time: Time) -> Option<Timestamp> {
    (time != Time::default()).then(|| timestamp(time))
}

fn policy(policy: &Policy) -> v1::ArchivePolicy {
    v1::ArchivePolicy {
        mode: super::timeline::strategy(policy.strategy).into(),
        celebrity_threshold: count(policy.celebrity_threshold),
        version: count(policy.version),
        update_time: set_time(policy.updated_at),
    }
}

fn user(person: Person) -> v1::ArchiveUser {
    let Person { user, account, marker } = person;
    let hash = account.password.as_ref().map(PasswordHash::as_phc);
    v1::ArchiveUser {
        id: user.id.to_string(),
        handle: user.handle.to_string(),
        display_name: user.display_name,
        bio: user.bio,
        create_time: Some(timestamp(user.created_at)),
        update_time: Some(timestamp(user.updated_at)),
        version: count(user.version),
        password_hash: hash.unwrap_or_default().to_owned(),
        password_time: Some(timestamp(account.changed_at)),
        last_read_post_id: optional_id(marker.last_read),
        read_time: marker.updated_at.map(timestamp),
        read_version: count(marker.version),
    }
}

fn post(post: &Post) -> v1::ArchivePost {
    v1::ArchivePost {
        id: post.id.to_string(),
        author_id: post.author.to_string(),
        title: post.title.clone().unwrap_or_default(),
        content: post.content.clone(),
        visibility: super::post::visibility(post.visibility).into(),
        in_reply_to_id: optional_id(post.in_reply_to),
        facets: super::post::facets(&post.facets),
        create_time: Some(timestamp(post.created_at)),
        edit_time: post.edited_at.map(timestamp),
        delete_time: post.deleted_at.map(timestamp),
        version: count(post.version),
        revision: i32::try_from(post.revision).unwrap_or(i32::MAX),
        visible_since_id: post.visible_since.to_string(),
    }
}

fn revision(post: PostId, revision: Revision) -> v1::ArchiveRevision {
    v1::ArchiveRevision {
        post_id: post.to_string(),
        number: i32::try_from(revision.number).unwrap_or(i32::MAX),
        title: revision.title.unwrap_or_default(),
        content: revision.content,
        visibility: super::post::visibility(revision.visibility).into(),
        facets: super::post::facets(&revision.facets),
        create_time: Some(timestamp(revision.created_at)),
    }
}

fn comment(comment: Comment) -> v1::ArchiveComment {
    v1::ArchiveComment {
        id: comment.id.to_string(),
        post_id: comment.post.to_string(),
        parent_id: optional_id(comment.parent),
        depth: i32::try_from(comment.depth).unwrap_or(i32::MAX),
        author_id: comment.author.to_string(),
        content: comment.content,
        facets: super::post::facets(&comment.facets),
        create_time: Some(timestamp(comment.created_at)),
        edit_time: comment.edited_at.map(timestamp),
        delete_time: comment.deleted_at.map(timestamp),
        version: count(comment.version),
    }
}

fn like(like: Like) -> v1::ArchiveLike {
    v1::ArchiveLike {
        user_id: like.user.to_string(),
        post_id: like.post.to_string(),
        since_id: EventId(like.since).to_string(),
    }
}

fn edge(edge: EdgeRecord) -> v1::ArchiveEdge {
    let kind = match edge.kind {
        EdgeKind::Follow => v1::ArchiveEdgeKind::Follow,
        EdgeKind::Block => v1::ArchiveEdgeKind::Block,
        EdgeKind::Mute => v1::ArchiveEdgeKind::Mute,
    };
    v1::ArchiveEdge {
        kind: kind.into(),
        from_id: edge.from.to_string(),
        to_id: edge.to.to_string(),
        since_id: EventId(edge.since).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use social_core::auth::{Account, parse_stored};
    use social_core::fanout::Strategy;
    use social_core::posts::{Encoding, Visibility};
    use social_core::text::{Facet, FacetKind};
    use social_core::timeline::Marker;
    use social_core::users::User;
    use social_core::{CommentId, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::grpc::convert::Fields;

    const ADA: UserId = UserId(1 << 40);
    const WRITTEN: Time = Time::from_unix_ms(1_700_000_000_123);
    const LATER: Time = Time::from_unix_ms(1_700_000_001_456);

    fn facets() -> Vec<Facet> {
        let mention = FacetKind::Mention {
            user: ADA,
            handle: "ada".parse().unwrap(),
        };
        vec![
            Facet {
                start: 0,
                end: 4,
                kind: mention,
            },
            Facet {
                start: 5,
                end: 9,
                kind: FacetKind::Hashtag("tag".to_owned()),
            },
        ]
    }

    /// One of each, with every field set.
    fn full() -> Vec<Record> {
        let user = User {
            id: ADA,
            handle: "ada".parse().unwrap(),
            display_name: "Ada".to_owned(),
            bio: "counts".to_owned(),
            created_at: WRITTEN,
            updated_at: LATER,
            version: 3,
            encoding: Encoding::default(),
        };
        let person = Person {
            user,
            account: Account {
                user: ADA,
                password: parse_stored("hash", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA").ok(),
                changed_at: LATER,
            },
            marker: Marker {
                last_read: Some(PostId(5)),
                updated_at: Some(LATER),
                version: 2,
            },
        };
        let post = Post {
            id: PostId(1 << 41),
            author: ADA,
            title: Some("title".to_owned()),
            content: "@ada #tag".to_owned(),
            visibility: Visibility::Followers,
            in_reply_to: Some(PostId(9)),
            facets: facets(),
            created_at: WRITTEN,
            edited_at: Some(LATER),
            deleted_at: Some(LATER),
            version: 4,
            revision: 2,
            visible_since: EventId(1 << 42),
            encoding: Encoding::default(),
        };
        let revision = Revision {
            number: 1,
            title: None,
            content: "@ada #tag was".to_owned(),
            facets: facets(),
            visibility: Visibility::Public,
            created_at: WRITTEN,
        };
        let comment = Comment {
            id: CommentId(1 << 43),
            post: post.id,
            parent: Some(CommentId(7)),
            depth: 1,
            author: ADA,
            content: "@ada #tag too".to_owned(),
            facets: facets(),
            created_at: WRITTEN,
            edited_at: Some(LATER),
            deleted_at: Some(LATER),
            version: 2,
            replies: 0,
        };
        let edge = |kind| {
            Record::Edge(EdgeRecord {
                kind,
                from: ADA,
                to: UserId(3),
                since: 1 << 44,
            })
        };
        vec![
            Record::Policy(Policy {
                strategy: Strategy::Pull,
                celebrity_threshold: 7,
                version: 5,
                updated_at: LATER,
            }),
            Record::User(Box::new(person)),
            Record::Revision {
                post: post.id,
                revision,
            },
            Record::Like(Like {
                user: ADA,
                post: post.id,
                since: 1 << 45,
            }),
            Record::Post(Arc::new(post)),
            Record::Comment(comment),
            edge(EdgeKind::Follow),
            edge(EdgeKind::Block),
            edge(EdgeKind::Mute),
        ]
    }

    /// One of each that can be sparse, with nothing set that may be left out.
    fn sparse() -> Vec<Record> {
        full()
            .into_iter()
            .map(|record| match record {
                Record::Policy(_) => Record::Policy(Policy::default()),
                Record::User(mut person) => {
                    person.user.bio.clear();
                    person.account.password = None;
                    person.marker = Marker::default();
                    Record::User(person)
                }
                Record::Post(post) => Record::Post(Arc::new(Post {
                    title: None,
                    in_reply_to: None,
                    facets: Vec::new(),
                    edited_at: None,
                    deleted_at: None,
                    ..Post::clone(&post)
                })),
                Record::Comment(comment) => Record::Comment(Comment {
                    parent: None,
                    depth: 0,
                    facets: Vec::new(),
                    edited_at: None,
                    deleted_at: None,
                    ..comment
                }),
                record => record,
            })
            .collect()
    }

    #[test]
    fn records_come_back_as_they_went() {
        for records in [full(), sparse()] {
            let wire: Vec<_> = records.iter().cloned().map(record).collect();
            let mut fields = Fields::new();
            let read = read_records(&mut fields, wire);
            fields.check().unwrap();
            assert_eq!(read, records.into_iter().map(Some).collect::<Vec<_>>());
        }
    }

    #[test]
    fn headers_come_back_as_they_went() {
        let archive = Header {
            archive: Uuid::from_u128(9),
            format: 1,
            source: "cluster".to_owned(),
            bound: 1 << 50,
            created_at: WRITTEN,
        };
        let mut fields = Fields::new();
        let read = read_header(&mut fields, Some(header(&archive)));
        fields.check().unwrap();
        assert_eq!(read, archive);
    }

    #[test]
    fn what_is_wrong_with_a_record_is_named_with_its_place() {
        let broken = |change: fn(&mut v1::ArchivePost)| {
            let mut records: Vec<_> = full().into_iter().map(record).collect();
            for record in &mut records {
                if let Some(Wire::Post(post)) = &mut record.record {
                    change(post);
                }
            }
            let mut fields = Fields::new();
            read_records(&mut fields, records);
            fields.check().unwrap_err().violations.remove(0).field
        };
        assert_eq!(
            broken(|post| post.author_id = "x".to_owned()),
            "records[4].post.author_id"
        );
        assert_eq!(broken(|post| post.visibility = 9), "records[4].post.visibility");
        assert_eq!(broken(|post| post.version = 0), "records[4].post.version");
        assert_eq!(broken(|post| post.create_time = None), "records[4].post.create_time");
        assert_eq!(
            broken(|post| post.content = "x".repeat(40_001)),
            "records[4].post.content"
        );
        assert_eq!(broken(|post| post.facets[1].byte_end = 99), "records[4].post.facets[1]");
        assert_eq!(
            broken(|post| post.facets[0].feature = None),
            "records[4].post.facets[0].feature"
        );
        let mut fields = Fields::new();
        read_records(&mut fields, vec![v1::ArchiveRecord::default()]);
        assert_eq!(fields.check().unwrap_err().violations[0].field, "records[0].record");
    }
}
