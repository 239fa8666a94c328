//! Whole platforms as records: what one held, another holds.

pub(super) mod refused;
mod tell;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use social_core::archive::{self, Batch, Export, Header, Part, Record, Restored};
use social_core::comments::Comment;
use social_core::fanout::{Progress, Strategy};
use social_core::graph::EdgeKind;
use social_core::import::{ImportBatch, ImportFollow, ImportPost};
use social_core::page::Range;
use social_core::posts::Visibility;
use social_core::{PostId, Reason, Result, Time, UserId, limits};
use uuid::Uuid;

use super::subject::{password, refused};
use super::{Kind, Subject, cases};
use world::World;

cases!["archive":
    what_another_platform_held_is_here,
    what_is_here_is_in_another_platform,
    a_part_is_read_page_by_page_each_row_once,
    what_came_after_the_export_began_is_left_out,
    a_batch_repeated_changes_nothing,
    an_archive_goes_on_where_it_was,
    batches_of_another_size_go_on_as_well,
    ids_go_on_above_the_archive,
    imports_give_no_id_that_is_in_the_archive,
    restored_rows_change_as_others,
    a_restored_post_is_read_whatever_its_mode_was,
    answers_may_come_before_what_they_answer,
    nobody_follows_across_a_block_whichever_comes_first,
];

const OLD: Time = Time::from_unix_ms(1_300_000_000_000);

/// A whole archive.
pub(super) struct Taken {
    header: Header,
    records: Vec<Record>,
}

impl Taken {
    /// Everything that a platform holds.
    pub(super) async fn from(t: &Subject) -> Self {
        let mut export = Export::begin(t.backend()).await.unwrap();
        let header = export.header().clone();
        let mut records = Vec::new();
        let mut ended = false;
        while let Some(page) = export.next().await.unwrap() {
            assert_eq!(page.offset, records.len() as u64);
            records.extend(page.records);
            ended = page.last;
            // As if each page came by another process.
            export = Export::resume(t.backend(), &page.position).unwrap();
            assert_eq!(*export.header(), header);
        }
        assert!(ended);
        Self { header, records }
    }

    /// Some of its records, as a batch.
    pub(super) fn batch(&self, from: usize, to: usize) -> Batch {
        Batch {
            header: self.header.clone(),
            offset: from as u64,
            records: self.records[from..to].iter().cloned().map(Some).collect(),
            last: to == self.records.len(),
        }
    }

    /// Brings all of it in, so many records a batch.
    pub(super) async fn bring(&self, t: &Subject, size: usize) {
        let ends = (0..=self.records.len()).step_by(size);
        for from in ends {
            let to = (from + size).min(self.records.len());
            restore(t, self.batch(from, to)).await.unwrap();
        }
        archive::finish(&t.backend()).await.unwrap();
    }
}

pub(super) async fn restore(t: &Subject, batch: Batch) -> Result<Restored> {
    archive::restore(&t.backend(), batch).await
}

async fn what_another_platform_held_is_here(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let world = World::rich(&source).await;
    let taken = Taken::from(&source).await;
    taken.bring(t, 17).await;
    assert_eq!(tell::all(t, &world).await, tell::all(&source, &world).await);
    let progress = archive::progress(&t.backend(), taken.header.archive).await.unwrap();
    assert!(progress.complete && progress.next_offset == taken.records.len() as u64);
    assert_eq!(t.pending().await, [], "nobody is told of it");
    t.reopen().await;
    assert_eq!(tell::all(t, &world).await, tell::all(&source, &world).await);
}

async fn what_is_here_is_in_another_platform(t: &Subject) {
    let world = World::rich(t).await;
    let target = Subject::open(Kind::Memory).await;
    Taken::from(t).await.bring(&target, 1_000).await;
    assert_eq!(tell::all(&target, &world).await, tell::all(t, &world).await);
}

async fn a_part_is_read_page_by_page_each_row_once(t: &Subject) {
    World::rich(t).await;
    for part in Part::ALL {
        let all = t.store().export(part, None, 1_000).await.unwrap();
        assert_eq!(all.next, None);
        let all: BTreeSet<_> = all.records.iter().map(|record| format!("{record:?}")).collect();
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = t.store().export(part, after.as_deref(), 2).await.unwrap();
            assert!(page.records.len() <= 2);
            found.extend(page.records.iter().map(|record| format!("{record:?}")));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), all.len(), "{part:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all);
    }
}

async fn what_came_after_the_export_began_is_left_out(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let post = t.post(ann, "before").await;
    let mut export = Export::begin(t.backend()).await.unwrap();
    let eve = t.user("eve").await;
    let late = t.post(eve, "after").await;
    t.comment(ann, late).await;
    t.comment(ann, post).await;
    t.like(bob, post, true).await;
    t.follow(bob, ann).await;
    t.follow(bob, eve).await;
    t.store().set_marker(ann, late, None).await.unwrap();
    let mut records = Vec::new();
    while let Some(page) = export.next().await.unwrap() {
        records.extend(page.records);
    }
    let bound = PostId(export.header().bound);
    for record in &records {
        match record {
            Record::Policy(_) => {}
            Record::User(person) => {
                assert!([ann, bob].contains(&person.user.id));
                assert!(person.marker.last_read < Some(bound));
            }
            Record::Post(found) => assert_eq!(found.id, post),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(records.len(), 4);
}

async fn a_batch_repeated_changes_nothing(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let world = World::rich(&source).await;
    let taken = Taken::from(&source).await;
    taken.bring(t, 40).await;
    let before = tell::all(t, &world).await;
    let count = taken.records.len();
    for (from, to) in [(0, 40), (10, 30), (count - 5, count), (count, count)] {
        let restored = restore(t, taken.batch(from, to)).await.unwrap();
        assert_eq!(restored.skipped as usize, to - from);
        assert!(restored.progress.complete);
    }
    assert_eq!(tell::all(t, &world).await, before);
}

async fn an_archive_goes_on_where_it_was(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let world = World::rich(&source).await;
    let taken = Taken::from(&source).await;
    let id = taken.header.archive;
    refused(archive::progress(&t.backend(), id).await, Reason::ImportNotFound);
    for from in (0..taken.records.len()).step_by(20) {
        let to = (from + 20).min(taken.records.len());
        // The last messages of before come again.
        let begin = from.saturating_sub(7);
        let restored = restore(t, taken.batch(begin, to)).await.unwrap();
        assert_eq!(restored.skipped as usize, from - begin);
        let progress = archive::progress(&t.backend(), id).await.unwrap();
        assert_eq!(progress, restored.progress);
        assert_eq!(
            (progress.next_offset, progress.complete),
            (to as u64, to == taken.records.len())
        );
        if from == 40 {
            t.reopen().await;
        }
    }
    archive::finish(&t.backend()).await.unwrap();
    assert_eq!(tell::all(t, &world).await, tell::all(&source, &world).await);
}

async fn batches_of_another_size_go_on_as_well(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let world = World::rich(&source).await;
    let taken = Taken::from(&source).await;
    let count = taken.records.len();
    let mut from = 0;
    for size in [1, 2, 3, 5, 8, 13, 21, 34, 55, 1_000] {
        let to = (from + size).min(count);
        restore(t, taken.batch(from, to)).await.unwrap();
        from = to;
    }
    archive::finish(&t.backend()).await.unwrap();
    assert_eq!(from, count);
    assert_eq!(tell::all(t, &world).await, tell::all(&source, &world).await);
}

async fn ids_go_on_above_the_archive(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    // As far ahead as a clock may be.
    source.advance(limits::ARCHIVE_AHEAD - Duration::from_secs(1));
    let ann = source.user("ann").await;
    let newest = source.post(ann, "x").await;
    let taken = Taken::from(&source).await;
    taken.bring(t, 100).await;
    let bob = t.user("bob").await;
    let post = t.post(ann, "y").await;
    assert!(bob.0 > newest.0 && post > newest, "{newest} {bob} {post}");
    assert!(t.store().horizon().await.unwrap().visible >= newest);
    t.reopen().await;
    assert!(t.post(ann, "z").await > post);
}

async fn imports_give_no_id_that_is_in_the_archive(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let users = source.users("user", 3).await;
    import(&source, 1, &users).await;
    let taken = Taken::from(&source).await;
    taken.bring(t, 100).await;
    import(t, 2, &users).await;
    let listed = t.store().user_posts(users[0], Range::oldest(None, 100)).await.unwrap();
    assert_eq!(listed.len(), 20);
    let edges = t
        .store()
        .edges(
            EdgeKind::Follow,
            social_core::graph::Direction::Incoming,
            users[0],
            Range::oldest(None, 100),
        )
        .await
        .unwrap();
    assert_eq!(edges.len(), 2);
    assert!(edges[0].since != edges[1].since);
}

/// Ten posts of the first user, and a follow from another one to the first, all of one time.
async fn import(t: &Subject, number: usize, users: &[UserId]) {
    let post = || ImportPost {
        author: users[0],
        title: None,
        content: "long ago".into(),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: Vec::new(),
        created_at: OLD,
    };
    let follow = ImportFollow {
        follower: users[number],
        followee: users[0],
        created_at: OLD,
    };
    let posts = ImportBatch {
        import: Uuid::from_u128(number as u128),
        offset: 0,
        items: (0..10).map(|_| Ok(post())).collect(),
    };
    let follows = ImportBatch {
        import: Uuid::from_u128(number as u128 + 100),
        offset: 0,
        items: vec![Ok(follow)],
    };
    assert_eq!(t.store().import_posts(posts).await.unwrap().progress.imported, 10);
    assert_eq!(t.store().import_follows(follows).await.unwrap().progress.imported, 1);
}

async fn restored_rows_change_as_others(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let world = World::rich(&source).await;
    Taken::from(&source).await.bring(t, 50).await;
    for here in [t, &source] {
        here.advance(Duration::from_secs(60));
        world.go_on(here).await;
    }
    assert_eq!(tell::but_times(t, &world).await, tell::but_times(&source, &world).await);
}

async fn a_restored_post_is_read_whatever_its_mode_was(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let (ann, bob) = (source.user("ann").await, source.user("bob").await);
    source.follow(bob, ann).await;
    source.set_strategy(Strategy::Pull, 1).await;
    let pulled = source.post(ann, "pulled").await;
    source.set_strategy(Strategy::Push, 1).await;
    // Nobody fanned it out yet.
    let pending = source.post(ann, "pending").await;
    Taken::from(&source).await.bring(t, 50).await;
    assert_eq!(home(t, bob).await, [pending, pulled]);
    t.set_strategy(Strategy::Pull, 1).await;
    let next = t.post(ann, "pulled here").await;
    assert_eq!(home(t, bob).await, [next, pending, pulled]);
    t.set_strategy(Strategy::Push, 1).await;
    let last = t.post(ann, "pushed here").await;
    t.timelines().append(&[bob], last).await.unwrap();
    t.store().finish(last.into(), Progress::default()).await.unwrap();
    assert_eq!(home(t, bob).await, [last, next, pending, pulled]);
}

/// A viewer's home timeline, newest first.
async fn home(t: &Subject, viewer: UserId) -> Vec<PostId> {
    use social_core::request::{Caller, Viewer};
    let session = t.login(viewer).await;
    let caller = Caller {
        viewer: Viewer::User {
            id: viewer,
            session: session.id,
        },
        ..Caller::default()
    };
    let page = social_core::cursor::PageRequest { size: 50, token: "" };
    let request = social_core::timeline::HomeRequest {
        page,
        ..Default::default()
    };
    let home = social_core::timeline::home(&t.backend(), &caller, request)
        .await
        .unwrap();
    home.items.iter().map(|item| item.post.id).collect()
}

async fn answers_may_come_before_what_they_answer(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let ann = source.user("ann").await;
    let post = source.post(ann, "x").await;
    let root = source.comment(ann, post).await;
    let answer = source.answer(ann, &root).await;
    let gone = source.answer(ann, &root).await;
    source.answer(ann, &answer).await;
    source
        .store()
        .delete_comment(gone.id, None, source.key())
        .await
        .unwrap();
    let mut taken = Taken::from(&source).await;
    let comments = taken.records.iter().position(|record| record.part() == Part::Comments);
    let from = comments.unwrap();
    taken.records[from..].reverse();
    assert_eq!(taken.records.len() - from, 4);
    taken.bring(t, 3).await;
    let replies =
        |comments: Vec<Comment>| -> Vec<u64> { comments.into_iter().map(|comment| comment.replies).collect() };
    let found = t.store().comments(&[root.id, answer.id, gone.id]).await.unwrap();
    assert_eq!(replies(found.into_iter().flatten().collect()), [1, 1, 0]);
    assert_eq!(t.post_counts(post).await.comments, 3);
    let all = Range::oldest(None, 10);
    let listed = t.store().list_comments(post, Some(root.id), all).await.unwrap();
    assert_eq!(replies(listed), [1, 0]);
}

async fn nobody_follows_across_a_block_whichever_comes_first(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    let users = source.users("user", 4).await;
    source.follow(users[0], users[1]).await;
    source.follow(users[2], users[3]).await;
    let mut taken = Taken::from(&source).await;
    let edge = |kind, from: usize, to: usize, since: u64| {
        Record::Edge(archive::EdgeRecord {
            kind,
            from: users[from],
            to: users[to],
            since,
        })
    };
    let (first, last) = (taken.header.bound - 2, taken.header.bound - 1);
    let edges = taken
        .records
        .iter()
        .position(|record| record.part() == Part::Edges)
        .unwrap();
    taken.records.insert(edges, edge(EdgeKind::Block, 1, 0, first));
    taken.records.push(edge(EdgeKind::Block, 2, 3, last));
    taken.bring(t, 100).await;
    for (follower, followee) in [(0, 1), (2, 3)] {
        let relation = t.relation(users[follower], users[followee]).await;
        assert!(relation.is_blocked() && !relation.following);
        assert_eq!(t.user_counts(users[followee]).await.followers, 0);
        assert_eq!(t.user_counts(users[follower]).await.following, 0);
    }
}

/// A password that looks like one.
pub(super) fn secret() -> social_core::auth::PasswordHash {
    password("restored")
}
