//! Subscriptions that go on: over restarts, over slow readers, from run to run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{StreamExt as _, TryStreamExt as _};
use social_sdk::{HomeEvent, HomeStream, PostEvent, v1};
use tokio::task::JoinHandle;

use crate::house::House;
use crate::people::{Person, assert_each_once, ids};
use crate::wait::{in_time, until};

/// What a subscription has given so far.
#[derive(Default)]
struct Seen {
    /// Ids of posts, in order.
    added: Vec<String>,
    removed: Vec<String>,
    counts: Vec<v1::PostCountsEntry>,
    /// Connections made, the first one included.
    connected: usize,
    reconnecting: usize,
    gaps: usize,
    resets: usize,
    /// Events that say they are late.
    late: usize,
}

impl Seen {
    fn note(&mut self, event: HomeEvent) {
        match event {
            HomeEvent::Connected { reconnected } => {
                assert_eq!(reconnected, self.connected > 0);
                self.connected += 1;
            }
            HomeEvent::Reconnecting(_) => self.reconnecting += 1,
            HomeEvent::Added { item, late } => {
                self.added.push(item.post.unwrap().id);
                self.late += usize::from(late);
            }
            HomeEvent::Removed(ids) => self.removed.extend(ids),
            HomeEvent::CountsUpdated(counts) => self.counts.extend(counts),
            HomeEvent::Gap => self.gaps += 1,
            HomeEvent::Reset => self.resets += 1,
            _ => {}
        }
    }
}

/// A subscription that is being read.
struct Watcher {
    seen: Arc<Mutex<Seen>>,
    reading: JoinHandle<()>,
}

impl Watcher {
    /// Reads until it is dropped; an error fails whoever waits.
    fn read(stream: HomeStream) -> Self {
        Self::read_on(stream, Seen::default())
    }

    /// Reads on where somebody has begun to.
    fn read_on(mut stream: HomeStream, seen: Seen) -> Self {
        let seen = Arc::new(Mutex::new(seen));
        let notes = seen.clone();
        let reading = tokio::spawn(async move {
            while let Some(event) = stream.try_next().await.expect("the subscription goes on") {
                notes.lock().unwrap().note(event);
            }
        });
        Self { seen, reading }
    }

    /// Of a person's home timeline, from now on: it is connected when this returns.
    async fn of(person: &Person) -> Self {
        let watcher = Self::read(person.client.timeline().subscribe().stream());
        watcher.until("the connection", |seen| seen.connected > 0).await;
        watcher
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Seen) -> bool) {
        until(what, || {
            assert!(!self.reading.is_finished(), "the subscription ended");
            is_so(&self.seen.lock().unwrap())
        })
        .await;
    }

    /// Waits for as many posts, and asserts that they are these.
    async fn expect(&self, posts: &[String]) {
        self.until(&format!("{} posts", posts.len()), |seen| {
            seen.added.len() >= posts.len()
        })
        .await;
        assert_each_once(&self.seen.lock().unwrap().added, posts, "the subscription");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Posts one after the other until it is told to stop.
struct Poster {
    posted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    posting: JoinHandle<Vec<String>>,
}

impl Poster {
    fn start(author: Person) -> Self {
        let (posted, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (posted.clone(), stop.clone());
        let posting = tokio::spawn(async move {
            let mut ids = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                ids.push(author.post(format!("Number {}", ids.len())).await.id);
                count.store(ids.len(), Ordering::Relaxed);
            }
            ids
        });
        Self { posted, stop, posting }
    }

    /// Waits until there are `more` posts than now.
    async fn go_on(&self, more: usize) {
        let goal = self.posted.load(Ordering::Relaxed) + more;
        until("further posts", || {
            assert!(!self.posting.is_finished(), "a post failed");
            self.posted.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    /// Stops posting; the ids of all posts.
    async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        in_time("the last post", self.posting).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_survives_restarts_of_the_server() {
    let mut house = House::open().await;
    let (ann, fan) = (house.stubborn_person("ann").await, house.stubborn_person("fan").await);
    fan.follow(&ann).await;
    let watcher = Watcher::of(&fan).await;
    let poster = Poster::start(ann.clone());
    for round in 1..=3 {
        poster.go_on(10).await;
        if round == 2 {
            house.kill().await;
        } else {
            house.stop().await;
        }
        house.start().await;
        poster.go_on(10).await;
        watcher.until("a new connection", |seen| seen.connected > round).await;
    }
    let posted = poster.stop().await;
    watcher.expect(&posted).await;
    assert_each_once(&ids(&ann.posts_of(&ann).await), &posted, "the author's posts");
    let seen = watcher.seen.lock().unwrap();
    assert!(
        seen.reconnecting >= 3,
        "{} losses of the connection were told",
        seen.reconnecting
    );
    assert_eq!((seen.gaps, seen.resets), (0, 0), "nothing was to be given up");
    println!("{} posts over 3 restarts, each once", seen.added.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_misses_nothing() {
    let house = House::open().await;
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    let mut stream = fan.client.timeline().subscribe().stream();
    let first = in_time("the connection", stream.try_next()).await.unwrap();
    assert!(matches!(first, Some(HomeEvent::Connected { reconnected: false })));

    // More than the windows of the connection hold, and then more than the server keeps for somebody who does not read.
    let content = "👩‍👩‍👧‍👦".repeat(1_500);
    let posts = futures::stream::iter(0..500).map(|_| ann.post(content.as_str()));
    let posts: Vec<v1::Post> = posts.buffer_unordered(8).collect().await;
    let last = ann.post_and_deliver("The last one").await;

    let begun = Seen {
        connected: 1,
        ..Seen::default()
    };
    let watcher = Watcher::read_on(stream, begun);
    let mut expected: Vec<String> = posts.into_iter().map(|post| post.id).collect();
    expected.push(last.id);
    watcher.expect(&expected).await;
    let seen = watcher.seen.lock().unwrap();
    assert_eq!(seen.resets, 0);
    assert!(seen.gaps > 0, "the reader was to be so slow that it is told");
    println!("{} posts, each once, with {} gaps", seen.added.len(), seen.gaps);
}

#[tokio::test]
async fn the_next_run_goes_on_where_the_last_one_ended() {
    let house = House::open().await;
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    let mut stream = fan.client.timeline().subscribe().stream();
    // A stream begins when it is first asked for something.
    in_time("the connection", stream.try_next()).await.unwrap();
    let seen = ann.post_and_deliver("Seen").await;
    let mut given = None;
    // Up to the checkpoint behind the post: asking for the next event says that it was handled.
    let cursor = in_time("the post and its checkpoint", async {
        while let Some(event) = stream.try_next().await.unwrap() {
            match event {
                HomeEvent::Added { item, .. } => given = item.post.map(|post| post.id),
                HomeEvent::Checkpoint { cursor } if given.is_some() => return cursor,
                _ => {}
            }
        }
        unreachable!("it does not end");
    })
    .await;
    assert_eq!(given, Some(seen.id));
    assert_ne!(
        stream.cursor(),
        Some(cursor.as_str()),
        "the checkpoint is not handled yet"
    );
    drop(stream);

    let missed = [
        ann.post_and_deliver("Missed").await.id,
        ann.post_and_deliver("Missed too").await.id,
    ];
    let again = Watcher::read(fan.client.timeline().subscribe().resume_from(&*cursor).stream());
    again.expect(&missed).await;
    let newer = fan.client.timeline().home().newer_than(cursor).page().await.unwrap();
    assert_eq!(newer.items.len(), 2, "a checkpoint's cursor is good for pages too");
}

#[tokio::test]
async fn what_happens_to_posts_is_told() {
    let house = House::open().await;
    let (ann, bob, fan) = (
        house.person("ann").await,
        house.person("bob").await,
        house.person("fan").await,
    );
    fan.follow(&ann).await;
    let watcher = Watcher::of(&fan).await;
    let post = ann.post("Watch this.").await;
    watcher.expect(std::slice::from_ref(&post.id)).await;

    bob.client.likes().like(&post.id).await.unwrap();
    let is_liked = |seen: &Seen| {
        let entries = seen.counts.iter();
        entries.filter_map(|entry| entry.counts).any(|counts| counts.likes == 1)
    };
    watcher.until("the like", is_liked).await;

    let deleted = ann.client.posts().delete(&post.id).await.unwrap();
    watcher
        .until("the removal", |seen| seen.removed == [post.id.clone()])
        .await;
    ann.client
        .posts()
        .undelete(&post.id)
        .etag(deleted.post.etag)
        .await
        .unwrap();
    watcher.until("its return", |seen| seen.added.len() == 2).await;

    // What was there before a follow comes late, and goes with it.
    let old = bob.post("From before").await;
    let newer = ann.post("Newer").await;
    watcher
        .until("the newer one", |seen| seen.added.contains(&newer.id))
        .await;
    fan.follow(&bob).await;
    watcher
        .until("the older one", |seen| seen.added.contains(&old.id))
        .await;
    fan.client.graph().unfollow(&bob.id).await.unwrap();
    watcher
        .until("its removal", |seen| seen.removed.contains(&old.id))
        .await;
    let seen = watcher.seen.lock().unwrap();
    assert_eq!((seen.late, seen.gaps, seen.resets, seen.connected), (1, 0, 0, 1));
}

#[tokio::test]
async fn one_post_is_followed_live() {
    let mut house = House::open().await;
    let (ann, bob) = (house.stubborn_person("ann").await, house.stubborn_person("bob").await);
    let post = ann.post("Follow me.").await;
    let mut events = house.anonymous().posts().subscribe(&post.id);
    let mut next = async |what: &str| loop {
        match in_time(what, events.try_next()).await.unwrap().expect("it goes on") {
            // When these come is not the question here.
            PostEvent::Counts(_) | PostEvent::Reconnecting(_) => {}
            event => return event,
        }
    };
    assert!(matches!(
        next("the connection").await,
        PostEvent::Connected { reconnected: false }
    ));
    assert!(matches!(next("the snapshot").await, PostEvent::Snapshot(now) if now.id == post.id));

    let comment = bob.client.comments().create(&post.id, "frist").await.unwrap();
    assert!(matches!(next("the comment").await, PostEvent::CommentCreated(told) if told.id == comment.id));
    bob.client.comments().update(&comment.id, "first").await.unwrap();
    assert!(matches!(next("the edit").await, PostEvent::CommentUpdated(told) if told.content == "first"));
    bob.client.comments().delete(&comment.id).await.unwrap();
    assert!(matches!(next("the deletion").await, PostEvent::CommentDeleted(told) if told.comment_id == comment.id));

    ann.client.posts().update(&post.id).content("Follow me!").await.unwrap();
    assert!(matches!(next("the post's edit").await, PostEvent::Edited(told) if told.content == "Follow me!"));
    ann.client.posts().delete(&post.id).await.unwrap();
    assert!(matches!(next("the post's deletion").await, PostEvent::Deleted(_)));
    ann.client.posts().undelete(&post.id).await.unwrap();
    assert!(matches!(next("the post's return").await, PostEvent::Undeleted(told) if told.id == post.id));

    house.kill().await;
    house.start().await;
    assert!(matches!(
        next("the second connection").await,
        PostEvent::Connected { reconnected: true }
    ));
    assert!(matches!(next("the second snapshot").await, PostEvent::Snapshot(now) if now.content == "Follow me!"));
}
