//! A small world with a real shape: people of ten languages, follows by a power law, posts, threads of comments, likes.
//!
//! The same seed and size give the same world, whoever asks and in whatever order. Nothing here does I/O: dev mode of the server and
//! `socialctl demo seed` bring the world in, each in its own way. A world of 1,000 people has about 20,000 follows, 5,000 posts,
//! 5,000 comments and 20,000 likes.
//!
//! People are named by their place in the world. The first two, [`ADA`] and [`GRACE`], are there to be logged in as: they follow many
//! and are followed by many. A post is named by its author and its place among the author's posts, newest first, which is the order
//! that platforms list them in.

mod crowd;
pub mod language;

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::crowd::Crowd;
use crate::language::{LANGUAGES, Language};

/// The place of `ada`.
pub const ADA: u32 = 0;
/// The place of `grace`.
pub const GRACE: u32 = 1;
/// The password of those who can log in. No secret: the world is for demonstrations only.
pub const PASSWORD: &str = "analytical-engine-1843";
/// [`PASSWORD`] as platforms keep it: argon2id (19 MiB, 2 passes, 1 lane) in PHC form.
pub const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29jaWFsLWRlbW8tc2FsdA$c0rPtaNyDvvIK7gJ4HykgXJ/UymbGpe3LSqdKvSXiHQ";

/// How far back posts go.
const POSTS_SPAN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most posts of one person.
const POSTS_MAX: u32 = 200;
/// Most comments on one post.
const COMMENTS_MAX: u32 = 60;
/// Most likes of one post.
const LIKES_MAX: u32 = 400;

/// A world. Cheap to ask anything of, any number of times.
#[derive(Debug)]
pub struct World {
    seed: u64,
    crowd: Crowd,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Unique in the world: lower-case ASCII letters, digits and `_`, at most 30.
    pub handle: String,
    /// In the person's own script.
    pub display_name: String,
    /// A few words.
    pub bio: &'static str,
    /// Whether [`PASSWORD`] is this person's.
    pub can_log_in: bool,
    /// How long ago the account was made.
    pub age: Duration,
}

/// That one follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Who follows.
    pub follower: u32,
    /// Whom.
    pub followee: u32,
    /// Since how long.
    pub age: Duration,
}

/// Who may see a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Followers of the author.
    Followers,
    /// The author.
    Private,
}

/// A post's place: comments and likes name it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PostPlace {
    /// Who wrote it.
    pub author: u32,
    /// How many newer posts its author has.
    pub nth: u32,
}

/// A post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Its place.
    pub place: PostPlace,
    /// A headline, perhaps.
    pub title: Option<&'static str>,
    /// The text; it may mention people and hold hashtags.
    pub content: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// How long ago it was written. No two posts of an author share their millisecond.
    pub age: Duration,
}

/// A comment on a post that everybody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The post.
    pub post: PostPlace,
    /// Who wrote it.
    pub author: u32,
    /// The comment that it answers: its place among the post's comments, always an earlier one.
    pub parent: Option<u32>,
    /// The text.
    pub content: &'static str,
}

/// That one likes a post that everybody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Like {
    /// The post.
    pub post: PostPlace,
    /// Who likes it.
    pub user: u32,
}

/// What randomness is for, so that one question never disturbs the answer to another.
#[derive(Clone, Copy)]
enum Purpose {
    User = 1,
    Follows,
    PostCount,
    Post,
    Comments,
    Likes,
}

impl World {
    /// The world of a seed, with this many people (at least the first two).
    #[must_use]
    pub fn new(seed: u64, users: u32) -> Self {
        Self {
            seed,
            crowd: Crowd::new(seed, users.max(2)),
        }
    }

    /// How many people there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.crowd.size()
    }

    /// The people, by place.
    pub fn users(&self) -> impl Iterator<Item = User> + '_ {
        (0..self.size()).map(|user| self.user(user))
    }

    /// The handle of a person.
    #[must_use]
    pub fn handle(&self, user: u32) -> String {
        self.name(user).0
    }

    /// All follows, by follower; nobody follows themselves, or another one twice.
    pub fn follows(&self) -> impl Iterator<Item = Follow> + '_ {
        (0..self.size()).flat_map(|follower| self.follows_of(follower))
    }

    /// All posts, by author, each author's newest first.
    pub fn posts(&self) -> impl Iterator<Item = Post> + '_ {
        (0..self.size()).flat_map(|author| self.posts_of(author))
    }

    /// One person's posts, newest first.
    pub fn posts_of(&self, author: u32) -> impl Iterator<Item = Post> + '_ {
        let count = self.post_count(author);
        (0..count).map(move |nth| self.post(PostPlace { author, nth }, count))
    }

    /// The comments on a post, in the order in which they are written.
    #[must_use]
    pub fn comments_on(&self, post: PostPlace) -> Vec<Comment> {
        let mut random = self.random(Purpose::Comments, post.author, post.nth);
        let language = self.language(post.author);
        let count = self.echo(post.author, 1.0, COMMENTS_MAX, &mut random);
        let mut comments = Vec::new();
        for place in 0..count {
            let parent = (place > 0 && random.random_bool(0.4)).then(|| random.random_range(0..place));
            // The author answers now and then, where there is something to answer.
            let by_author = parent.is_some() && random.random_bool(0.3);
            let author = if by_author {
                post.author
            } else {
                self.crowd.somebody(language, &mut random)
            };
            let content = pick(language.comments, &mut random);
            comments.push(Comment {
                post,
                author,
                parent,
                content,
            });
        }
        comments
    }

    /// The likes of a post, each of another person than its author and than each other.
    #[must_use]
    pub fn likes_of(&self, post: PostPlace) -> Vec<Like> {
        let mut random = self.random(Purpose::Likes, post.author, post.nth);
        let language = self.language(post.author);
        let count = self.echo(post.author, 4.0, LIKES_MAX.min(self.size() / 2), &mut random);
        let mut users: Vec<u32> = (0..count).map(|_| self.crowd.anybody(language, &mut random)).collect();
        users.sort_unstable();
        users.dedup();
        users.retain(|user| *user != post.author);
        users.into_iter().map(|user| Like { post, user }).collect()
    }

    fn user(&self, user: u32) -> User {
        let mut random = self.random(Purpose::User, user, 0);
        let (handle, display_name) = self.name(user);
        let bio = pick(self.language(user).bios, &mut random);
        let age = POSTS_SPAN + Duration::from_secs(random.random_range(0..300 * 24 * 3600));
        User {
            handle,
            display_name,
            bio,
            can_log_in: user == ADA || user == GRACE,
            age,
        }
    }

    /// Handle and display name.
    fn name(&self, user: u32) -> (String, String) {
        match user {
            ADA => ("ada".to_owned(), "Ada Lovelace".to_owned()),
            GRACE => ("grace".to_owned(), "Grace Hopper".to_owned()),
            _ => {
                // A stream of its own, so that a handle can be had without the rest of the person.
                let mut random = self.random(Purpose::User, user, 1);
                let language = self.language(user);
                let (given, given_ascii) = *pick_ref(language.given_names, &mut random);
                let (family, family_ascii) = *pick_ref(language.family_names, &mut random);
                let display = match language.family_first {
                    true => format!("{family}{given}"),
                    false => format!("{given} {family}"),
                };
                (format!("{given_ascii}_{family_ascii}_{user}"), display)
            }
        }
    }

    fn follows_of(&self, follower: u32) -> impl Iterator<Item = Follow> + '_ {
        let mut random = self.random(Purpose::Follows, follower, 0);
        let wanted = match follower {
            ADA | GRACE => 60,
            // Most follow a few, some follow many; 20 on the average.
            _ => 5 + (15.6 * -(1.0 - random.random::<f64>()).ln()).round() as u32,
        };
        let wanted = wanted.min(150).min(self.size() / 3).max(1);
        let language = self.language(follower);
        let mut chosen: Vec<u32> = Vec::with_capacity(wanted as usize);
        // In a small world popular people come up again and again: it is left at fewer then.
        for _ in 0..wanted * 3 {
            if chosen.len() == wanted as usize {
                break;
            }
            let home = random.random_bool(0.75) && follower > GRACE;
            let followee = if home {
                self.crowd.star(language, &mut random)
            } else {
                self.crowd.world_star(&mut random)
            };
            if followee != follower && !chosen.contains(&followee) {
                chosen.push(followee);
            }
        }
        chosen.into_iter().map(move |followee| {
            let age = Duration::from_secs(random.random_range(0..POSTS_SPAN.as_secs()));
            Follow {
                follower,
                followee,
                age,
            }
        })
    }

    fn post_count(&self, author: u32) -> u32 {
        let mut random = self.random(Purpose::PostCount, author, 0);
        let mean = if author <= GRACE {
            12.0
        } else {
            3.6 + 2.0 * self.crowd.fame(author).min(20.0)
        };
        // An exponential distribution: most write little, a few a lot.
        let drawn = mean * -(1.0 - random.random::<f64>()).ln();
        (drawn.round() as u32).clamp(u32::from(author <= GRACE) * 8, POSTS_MAX)
    }

    fn post(&self, place: PostPlace, count: u32) -> Post {
        let mut random = self.random(Purpose::Post, place.author, place.nth);
        let language = self.language(place.author);
        let visibility = match random.random_range(0..100) {
            0..90 => Visibility::Public,
            90..98 => Visibility::Followers,
            _ => Visibility::Private,
        };
        let topic = pick_ref(language.topics, &mut random);
        let content = self.content(language, topic, place.author, &mut random);
        let title = random.random_bool(0.08).then_some(topic.title);
        // Each has a slot of its own in the span, so the order of ages is that of places.
        let slot = POSTS_SPAN / count;
        let age = slot * place.nth + slot.mul_f64(random.random_range(0.05..0.95));
        Post {
            place,
            title,
            content,
            visibility,
            age,
        }
    }

    fn content(
        &self,
        language: &'static Language,
        topic: &'static language::Topic,
        author: u32,
        random: &mut ChaCha8Rng,
    ) -> String {
        let mut parts: Vec<String> = Vec::new();
        if random.random_bool(0.3) {
            parts.push(pick(language.leads, random).to_owned());
        }
        let first = random.random_range(0..topic.sentences.len());
        parts.push(topic.sentences[first].to_owned());
        if random.random_bool(0.45) {
            let second = (first + random.random_range(1..topic.sentences.len())) % topic.sentences.len();
            parts.push(topic.sentences[second].to_owned());
        }
        if random.random_bool(0.3) {
            parts.push(pick(language.closers, random).to_owned());
        }
        if random.random_bool(0.12) {
            let mentioned = self.crowd.somebody(language, random);
            if mentioned != author {
                parts.push(format!("@{}", self.handle(mentioned)));
            }
        }
        if random.random_bool(0.5) {
            parts.push(format!("#{}", topic.tag));
        }
        parts.join(language.between)
    }

    /// How many react to a post: more to that of somebody many know.
    fn echo(&self, author: u32, factor: f64, most: u32, random: &mut ChaCha8Rng) -> u32 {
        let mean = factor * (0.4 + 0.6 * self.crowd.fame(author));
        ((mean * -(1.0 - random.random::<f64>()).ln()) as u32).min(most)
    }

    fn language(&self, user: u32) -> &'static Language {
        &LANGUAGES[self.crowd.language(user)]
    }

    fn random(&self, purpose: Purpose, one: u32, other: u32) -> ChaCha8Rng {
        stream(self.seed, purpose as u64, one, other)
    }
}

/// Randomness for one question.
fn stream(seed: u64, purpose: u64, one: u32, other: u32) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&purpose.to_le_bytes());
    key[16..20].copy_from_slice(&one.to_le_bytes());
    key[20..24].copy_from_slice(&other.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

fn pick(from: &[&'static str], random: &mut ChaCha8Rng) -> &'static str {
    from[random.random_range(0..from.len())]
}

fn pick_ref<T>(from: &'static [T], random: &mut ChaCha8Rng) -> &'static T {
    &from[random.random_range(0..from.len())]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_is_the_same_world() {
        let (one, other) = (World::new(7, 200), World::new(7, 200));
        assert!(one.users().eq(other.users()) && one.follows().eq(other.follows()) && one.posts().eq(other.posts()));
        assert_ne!(
            one.posts().collect::<Vec<_>>(),
            World::new(8, 200).posts().collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_thousand_people_have_the_promised_size_and_shape() {
        let world = World::new(42, 1_000);
        let follows: Vec<_> = world.follows().collect();
        let posts: Vec<_> = world.posts().collect();
        let open: Vec<_> = posts
            .iter()
            .filter(|post| post.visibility == Visibility::Public)
            .collect();
        let comments: usize = open.iter().map(|post| world.comments_on(post.place).len()).sum();
        let likes: usize = open.iter().map(|post| world.likes_of(post.place).len()).sum();
        println!(
            "{} follows, {} posts, {comments} comments, {likes} likes",
            follows.len(),
            posts.len()
        );
        assert!((16_000..24_000).contains(&follows.len()), "{} follows", follows.len());
        assert!((4_000..6_500).contains(&posts.len()), "{} posts", posts.len());
        assert!((3_000..8_000).contains(&comments), "{comments} comments");
        assert!((12_000..28_000).contains(&likes), "{likes} likes");

        let mut followers = vec![0u32; 1_000];
        for follow in &follows {
            followers[follow.followee as usize] += 1;
        }
        followers.sort_unstable_by(|a, b| b.cmp(a));
        let top: u32 = followers[..10].iter().sum();
        assert!(
            f64::from(top) > 0.08 * follows.len() as f64,
            "the ten best known have {top} followers"
        );
        assert!(followers[500] < followers[0] / 8);
    }

    #[test]
    fn everything_keeps_to_the_rules_of_the_platform() {
        let world = World::new(1, 500);
        let handles: HashSet<String> = world.users().map(|user| user.handle).collect();
        assert_eq!(handles.len(), 500);
        for handle in &handles {
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(
                (3..=30).contains(&handle.len()) && handle.bytes().all(allowed),
                "{handle}"
            );
            assert!(handle.as_bytes()[0].is_ascii_lowercase());
        }
        for user in world.users() {
            assert!(!user.display_name.is_empty() && user.display_name.chars().count() <= 50);
        }
        let pairs: HashSet<_> = world
            .follows()
            .map(|follow| (follow.follower, follow.followee))
            .collect();
        assert_eq!(pairs.len(), world.follows().count());
        assert!(pairs.iter().all(|(one, other)| one != other));
        for author in 0..world.size() {
            let ages: Vec<_> = world.posts_of(author).map(|post| post.age.as_millis()).collect();
            assert!(ages.is_sorted() && ages.windows(2).all(|pair| pair[0] != pair[1]));
        }
        for post in world.posts() {
            assert!(!post.content.is_empty() && post.content.chars().count() < 1_000);
            for (place, comment) in world.comments_on(post.place).iter().enumerate() {
                assert!(comment.parent.is_none_or(|parent| (parent as usize) < place));
            }
        }
    }

    #[test]
    fn those_who_log_in_find_something_to_read() {
        let world = World::new(42, 100);
        for user in [ADA, GRACE] {
            assert!(world.follows_of(user).count() >= 10);
            assert!(world.posts_of(user).count() >= 8);
        }
        let can: Vec<_> = world
            .users()
            .filter(|user| user.can_log_in)
            .map(|user| user.handle)
            .collect();
        assert_eq!(can, ["ada", "grace"]);
    }
}
