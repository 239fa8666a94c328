//! Truth in memory: bounded caches that the writer keeps equal to the committed rows.
//!
//! **Coherence.** A reader that misses takes the key's placeholder, loads the row, and fills the placeholder. The writer,
//! after its commit, puts the new value over whatever is there, or removes it. A placeholder that was replaced or removed
//! meanwhile can no longer be filled, so a row loaded before a commit never outlives it. Who loaded such a row may still
//! answer with it: its read began before the mutation returned.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use quick_cache::sync::Cache;
use quick_cache::{UnitWeighter, Weighter};
use social_core::fanout::Policy;
use social_core::graph::{EdgeKind, Following, PulledAuthor};
use social_core::posts::{Post, PostCounts};
use social_core::users::User;
use social_core::{PostId, Result, UserId};

use super::effects::Effect;
use super::horizon::Events;
use super::pulled::Pulled;
use super::rows::UserTotals;

/// Likes of one viewer that are kept in memory; of a viewer with more, single rows are looked up.
pub(super) const LIKED_SET: usize = 1_000;
/// Counts kept, of posts and of users each.
const COUNTS: usize = 500_000;

/// All projections that the writer keeps.
pub(super) struct Caches {
    users: Cache<UserId, Option<Arc<User>>, Weigh>,
    posts: Cache<PostId, Option<Arc<Post>>, Weigh>,
    following: Cache<UserId, Arc<Reader>, Weigh>,
    liked: Cache<UserId, Liked, Weigh>,
    post_counts: Cache<PostId, PostCounts, UnitWeighter>,
    user_totals: Cache<UserId, UserTotals, UnitWeighter>,
    pulled: Pulled,
    events: Events,
    policy: RwLock<Policy>,
}

/// What is known of a viewer who reads home timelines.
pub(super) struct Reader {
    /// Whom the viewer follows and mutes.
    pub(super) following: Arc<Following>,
    /// Followees with pulled posts, and the version of [`Pulled`] that this is of.
    pulled: Mutex<Option<(u64, Arc<Vec<PulledAuthor>>)>>,
}

impl Reader {
    /// A viewer, from what is stored.
    pub(super) fn new(following: Following) -> Arc<Self> {
        Arc::new(Self {
            following: Arc::new(following),
            pulled: Mutex::new(None),
        })
    }
}

/// The posts that a viewer likes.
#[derive(Clone)]
pub(super) enum Liked {
    /// All of them, ascending.
    All(Arc<[u64]>),
    /// Too many to keep.
    Many,
}

/// Shares of the memory that caches may take, by what they hold.
#[derive(Clone, Copy)]
struct Weigh;

/// What an entry costs beside its content: the cache's own structures and the allocations' heads.
const ENTRY_BYTES: u64 = 200;

impl Weighter<UserId, Option<Arc<User>>> for Weigh {
    fn weight(&self, _: &UserId, user: &Option<Arc<User>>) -> u64 {
        // Twice the text: the edge keeps the encoded row beside it.
        ENTRY_BYTES
            + user
                .as_ref()
                .map_or(0, |user| 200 + 2 * (user.display_name.len() + user.bio.len()) as u64)
    }
}

impl Weighter<PostId, Option<Arc<Post>>> for Weigh {
    fn weight(&self, _: &PostId, post: &Option<Arc<Post>>) -> u64 {
        ENTRY_BYTES
            + post
                .as_ref()
                .map_or(0, |post| 400 + 2 * (post.content.len() + 40 * post.facets.len()) as u64)
    }
}

impl Weighter<UserId, Arc<Reader>> for Weigh {
    fn weight(&self, _: &UserId, reader: &Arc<Reader>) -> u64 {
        let known = reader.following.followees.len() * 20 + reader.following.muted.len() * 12;
        2 * ENTRY_BYTES + known as u64
    }
}

impl Weighter<UserId, Liked> for Weigh {
    fn weight(&self, _: &UserId, liked: &Liked) -> u64 {
        match liked {
            Liked::All(posts) => ENTRY_BYTES + 8 * posts.len() as u64,
            Liked::Many => ENTRY_BYTES,
        }
    }
}

/// What the caches start from.
pub(super) struct Start {
    pub(super) pulled: Pulled,
    pub(super) events: Events,
    pub(super) policy: Policy,
}

fn cache<K: Eq + std::hash::Hash + Clone, V: Clone>(bytes: u64, entry_bytes: u64) -> Cache<K, V, Weigh>
where
    Weigh: Weighter<K, V>,
{
    Cache::with_weighter((bytes / entry_bytes) as usize, bytes, Weigh)
}

impl Caches {
    /// Empty caches that take about `bytes` when full.
    pub(super) fn new(bytes: u64, start: Start) -> Self {
        Self {
            users: cache(bytes / 8, 500),
            posts: cache(bytes / 2, 1_500),
            following: cache(bytes / 4, 1_000),
            liked: cache(bytes / 8, 500),
            post_counts: Cache::new(COUNTS),
            user_totals: Cache::new(COUNTS),
            pulled: start.pulled,
            events: start.events,
            policy: RwLock::new(start.policy),
        }
    }

    /// A user, loaded where it is not in memory.
    pub(super) fn user(&self, id: UserId, load: impl FnOnce() -> Result<Option<User>>) -> Result<Option<Arc<User>>> {
        self.users.get_or_insert_with(&id, || Ok(load()?.map(Arc::new)))
    }

    /// A post, loaded where it is not in memory.
    pub(super) fn post(&self, id: PostId, load: impl FnOnce() -> Result<Option<Post>>) -> Result<Option<Arc<Post>>> {
        self.posts.get_or_insert_with(&id, || Ok(load()?.map(Arc::new)))
    }

    /// Whom a viewer follows, loaded where it is not in memory.
    pub(super) fn reader(&self, viewer: UserId, load: impl FnOnce() -> Result<Arc<Reader>>) -> Result<Arc<Reader>> {
        self.following.get_or_insert_with(&viewer, load)
    }

    /// Whom a viewer follows, where that is in memory.
    pub(super) fn known_reader(&self, viewer: UserId) -> Option<Arc<Reader>> {
        self.following.get(&viewer)
    }

    /// What a viewer likes, loaded where it is not in memory.
    pub(super) fn liked(&self, viewer: UserId, load: impl FnOnce() -> Result<Liked>) -> Result<Liked> {
        self.liked.get_or_insert_with(&viewer, load)
    }

    /// A post's counts, loaded where they are not in memory.
    pub(super) fn post_counts(&self, id: PostId, load: impl FnOnce() -> Result<PostCounts>) -> Result<PostCounts> {
        self.post_counts.get_or_insert_with(&id, load)
    }

    /// A user's counts, loaded where they are not in memory.
    pub(super) fn user_totals(&self, id: UserId, load: impl FnOnce() -> Result<UserTotals>) -> Result<UserTotals> {
        self.user_totals.get_or_insert_with(&id, load)
    }

    /// A viewer's followees with pulled posts.
    pub(super) fn pulled_followees(&self, reader: &Reader) -> Arc<Vec<PulledAuthor>> {
        let mut known = reader.pulled.lock();
        // Read before the authors are: a stretch that comes in between is found again next time.
        let version = self.pulled.version();
        match &*known {
            Some((of, authors)) if *of == version => authors.clone(),
            _ => {
                let authors = Arc::new(self.pulled.among(&reader.following));
                *known = Some((version, authors.clone()));
                authors
            }
        }
    }

    /// The events to be worked on, and the horizon.
    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// The fan-out policy.
    pub(super) fn policy(&self) -> Policy {
        *self.policy.read()
    }

    /// Applies what a committed group changed. Called by the writer alone, before it answers.
    pub(super) fn apply(&self, effects: Vec<Effect>, last_id: u64) {
        let mut events = Vec::new();
        for effect in effects {
            match effect {
                Effect::User(user) => self.users.insert(user.id, Some(user)),
                Effect::Post(post) => self.posts.insert(post.id, Some(post)),
                Effect::PostCounts(post, counts) => self.post_counts.insert(post, counts),
                Effect::UserTotals(user, totals) => self.user_totals.insert(user, totals),
                Effect::Like { user, post, active } => self.apply_like(user, post, active),
                Effect::Edge(kind, from) => self.apply_edge(kind, from),
                Effect::Stretches(author, stretches) => self.pulled.set(author, &stretches),
                Effect::Policy(policy) => *self.policy.write() = policy,
                Effect::Event(..) | Effect::Imports(_) => events.push(effect),
            }
        }
        self.events.apply(&events, last_id);
    }

    fn apply_like(&self, user: UserId, post: PostId, active: bool) {
        let changed = match self.liked.peek(&user) {
            Some(Liked::All(posts)) => with_like(&posts, post.0, active),
            Some(Liked::Many) => return,
            None => None,
        };
        match changed {
            Some(liked) => self.liked.insert(user, liked),
            // Perhaps a reader is loading the row of before: its placeholder goes.
            None => drop(self.liked.remove(&user)),
        }
    }

    /// A viewer may follow and mute 20,000 others: the writer does not copy them all for each change, the next reader loads
    /// them. Where one is loading the rows of before, its placeholder goes.
    fn apply_edge(&self, kind: EdgeKind, from: UserId) {
        if kind != EdgeKind::Block {
            self.following.remove(&from);
        }
    }
}

/// The set with a post in it or not; `None` where it is better loaded anew when it is needed.
fn with_like(posts: &[u64], post: u64, active: bool) -> Option<Liked> {
    let place = posts.binary_search(&post);
    let mut posts = posts.to_vec();
    match (place, active) {
        (Err(place), true) => posts.insert(place, post),
        (Ok(place), false) => drop(posts.remove(place)),
        _ => {}
    }
    (posts.len() <= LIKED_SET).then(|| Liked::All(posts.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::rows::Stretches;
    use social_core::Time;
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    const ID: u64 = 7;

    fn caches() -> Caches {
        let start = Start {
            pulled: Pulled::default(),
            events: Events::new(BTreeSet::new(), BTreeSet::new(), 0, 0, Time::default()),
            policy: Policy::default(),
        };
        Caches::new(1 << 20, start)
    }

    fn user(version: u64) -> User {
        User {
            id: UserId(ID),
            handle: "ada".parse().unwrap(),
            display_name: String::new(),
            bio: String::new(),
            created_at: Time::default(),
            updated_at: Time::default(),
            version,
            encoding: Default::default(),
        }
    }

    /// A reader loads what was before, the writer commits and applies, and only then the reader is done: whoever reads after
    /// that must find what was committed. `read` answers from the caches, or from what it is handed to load.
    fn never_older<T: PartialEq + std::fmt::Debug + Clone + Send + Sync>(
        effect: Effect,
        (before, after): (T, T),
        read: impl Fn(&Caches, &dyn Fn() -> T) -> T + Sync,
    ) {
        let (caches, loaded, applied) = (caches(), Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                read(&caches, &|| {
                    loaded.wait();
                    applied.wait();
                    before.clone()
                })
            });
            loaded.wait();
            caches.apply(vec![effect], 1);
            applied.wait();
        });
        assert_eq!(read(&caches, &|| after.clone()), after);
    }

    #[test]
    fn a_row_loaded_before_a_commit_does_not_outlive_it() {
        let (fan, post) = (UserId(ID), PostId(ID));
        never_older(Effect::User(Arc::new(user(2))), (1, 2), |caches, load| {
            let row = caches.user(fan, || Ok(Some(user(load()))));
            row.unwrap().unwrap().version
        });
        never_older(
            Effect::UserTotals(
                fan,
                UserTotals {
                    posts: 2,
                    ..UserTotals::default()
                },
            ),
            (1, 2),
            |caches, load| {
                let load = || {
                    Ok(UserTotals {
                        posts: load(),
                        ..UserTotals::default()
                    })
                };
                caches.user_totals(fan, load).unwrap().posts
            },
        );
        never_older(
            Effect::PostCounts(
                post,
                PostCounts {
                    likes: 2,
                    ..PostCounts::default()
                },
            ),
            (1, 2),
            |caches, load| {
                let load = || {
                    Ok(PostCounts {
                        likes: load(),
                        ..PostCounts::default()
                    })
                };
                caches.post_counts(post, load).unwrap().likes
            },
        );
        let like = Effect::Like {
            user: fan,
            post,
            active: true,
        };
        never_older(like, (vec![], vec![ID]), |caches, load| {
            match caches.liked(fan, || Ok(Liked::All(load().into()))).unwrap() {
                Liked::All(posts) => posts.to_vec(),
                Liked::Many => panic!("few"),
            }
        });
        let follow = Effect::Edge(EdgeKind::Follow, fan);
        never_older(follow, (vec![], vec![(UserId(9), 5)]), |caches, load| {
            let load = || {
                Ok(Reader::new(Following {
                    followees: load().into_iter().collect(),
                    ..Following::default()
                }))
            };
            caches
                .reader(fan, load)
                .unwrap()
                .following
                .followees
                .clone()
                .into_iter()
                .collect()
        });
    }

    #[test]
    fn what_is_in_memory_moves_with_the_writer() {
        let (fan, caches) = (UserId(ID), caches());
        let none = || Ok(Liked::All([].into()));
        caches.liked(fan, none).unwrap();
        for post in [5, 3, 4] {
            caches.apply(
                vec![Effect::Like {
                    user: fan,
                    post: PostId(post),
                    active: true,
                }],
                1,
            );
        }
        caches.apply(
            vec![Effect::Like {
                user: fan,
                post: PostId(3),
                active: false,
            }],
            2,
        );
        let liked = caches.liked(fan, || panic!("in memory")).unwrap();
        assert!(matches!(liked, Liked::All(posts) if *posts == [4, 5]));
        assert_eq!(caches.events().horizon().visible, PostId(2));
    }

    #[test]
    fn a_change_of_follows_or_mutes_drops_what_is_known_of_the_viewer_alone() {
        let (fan, other, caches) = (UserId(ID), UserId(9), caches());
        for (kind, stays) in [
            (EdgeKind::Follow, false),
            (EdgeKind::Mute, false),
            (EdgeKind::Block, true),
        ] {
            for viewer in [fan, other] {
                caches.reader(viewer, || Ok(Reader::new(Following::default()))).unwrap();
            }
            caches.apply(vec![Effect::Edge(kind, fan)], 1);
            assert_eq!(caches.known_reader(fan).is_some(), stays, "{kind:?}");
            assert!(caches.known_reader(other).is_some());
        }
    }

    #[test]
    fn pulled_authors_are_never_older_than_the_last_stretch() {
        let caches = caches();
        let following = Following {
            followees: [(UserId(9), 1)].into(),
            ..Following::default()
        };
        let reader = Reader::new(following);
        assert!(caches.pulled_followees(&reader).is_empty());
        for post in 1..4 {
            let stretches = Stretches {
                list: vec![(PostId(1), PostId(post))],
                open: true,
            };
            caches.apply(vec![Effect::Stretches(UserId(9), Arc::new(stretches))], post);
            let pulled = caches.pulled_followees(&reader);
            assert_eq!(pulled[0].stretches, [(PostId(1), PostId(post))]);
            assert!(
                Arc::ptr_eq(&pulled, &caches.pulled_followees(&reader)),
                "made once a change"
            );
        }
    }
}
