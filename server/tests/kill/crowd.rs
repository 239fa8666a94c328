//! Clients that write and repeat what was cut off, and the truth that their acknowledgements make.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use prost::Message;
use social_proto::v1;
use tokio::sync::watch;

use crate::support::{Line, Person, request_id};

/// Who posts. Each follows all others from the start.
pub(crate) const CLIENTS: usize = 8;
/// Who follows all clients from the start, and posts nothing.
const READERS: usize = 3;
/// Who begins to follow some clients in the middle of a round, one a round.
const LATE: usize = 10;
/// Who is followed and left again all the time, and posts nothing.
const STARS: usize = 4;

/// How long a call is repeated: as long as any crash lasts on a slow machine.
const STUBBORN: Duration = Duration::from_secs(90);

/// The two ports of the server that runs now.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) public: Line,
    pub(crate) admin: Line,
}

impl Ports {
    pub(crate) fn of(public: SocketAddr, admin: SocketAddr) -> Self {
        Self {
            public: Line::lazily_to(public),
            admin: Line::lazily_to(admin),
        }
    }
}

/// A post that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) id: String,
    pub(crate) author: usize,
    pub(crate) fanout: String,
    /// When it was begun, by the crowd's clock.
    pub(crate) begun: u64,
}

/// What a post's counts must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) likes: i64,
    pub(crate) comments: i64,
    pub(crate) replies: i64,
}

/// What the acknowledgements say.
#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) posts: Vec<Posted>,
    pub(crate) counts: HashMap<String, Counts>,
    /// Who likes what.
    likes: HashMap<(usize, String), bool>,
    /// Which client follows which star.
    stars: HashMap<(usize, usize), bool>,
    /// By late reader: whom they follow, and when that was acknowledged.
    pub(crate) late: HashMap<usize, Vec<(usize, u64)>>,
    totals: Totals,
}

/// How much was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) posts: usize,
    pub(crate) likes: usize,
    pub(crate) comments: usize,
    pub(crate) follows: usize,
    pub(crate) repeats: u64,
}

/// Everybody, and all that is known of what they did.
pub(crate) struct Crowd {
    pub(crate) clients: Vec<Person>,
    pub(crate) readers: Vec<Person>,
    pub(crate) late: Vec<Person>,
    pub(crate) stars: Vec<Person>,
    pub(crate) truth: Mutex<Truth>,
    /// Posts that were acknowledged.
    pub(crate) acked: AtomicUsize,
    repeats: AtomicU64,
    clock: AtomicU64,
    ports: watch::Sender<Ports>,
    admin_token: String,
}

impl Crowd {
    pub(crate) async fn gather(ports: Ports, admin_token: String) -> Self {
        let line = &ports.public;
        let register = async |name: &'static str, number: usize| {
            let people = futures::stream::iter(0..number).map(|_| Person::register(line, name));
            people.buffered(4).collect::<Vec<_>>().await
        };
        let crowd = Self {
            clients: register("client", CLIENTS).await,
            readers: register("reader", READERS).await,
            late: register("late", LATE).await,
            stars: register("star", STARS).await,
            truth: Mutex::default(),
            acked: AtomicUsize::new(0),
            repeats: AtomicU64::new(0),
            clock: AtomicU64::new(1),
            ports: watch::Sender::new(ports.clone()),
            admin_token,
        };
        for (number, person) in crowd.clients.iter().chain(&crowd.readers).enumerate() {
            for (other, client) in crowd.clients.iter().enumerate() {
                if number != other {
                    person.follow(line, client).await;
                }
            }
        }
        crowd
    }

    /// The server is another one now.
    pub(crate) fn moved_to(&self, ports: Ports) {
        self.ports.send_replace(ports);
    }

    pub(crate) fn ports(&self) -> Ports {
        self.ports.borrow().clone()
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            posts: self.acked.load(Ordering::Relaxed),
            repeats: self.repeats.load(Ordering::Relaxed),
            ..self.truth.lock().unwrap().totals
        }
    }

    pub(crate) async fn until_acked(&self, posts: usize) {
        while self.acked.load(Ordering::Relaxed) < posts {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Calls until there is an answer: what was cut off is repeated as it was, request_id included.
    pub(crate) async fn call<A: Message + Default>(&self, who: &Person, method: &str, message: &impl Message) -> A {
        self.repeat(|ports| ports.public, &who.access, method, message).await
    }

    /// As [`Crowd::call`], at the operators' port.
    pub(crate) async fn operate<A: Message + Default>(&self, method: &str, message: &impl Message) -> A {
        self.repeat(|ports| ports.admin, &self.admin_token, method, message)
            .await
    }

    async fn repeat<A: Message + Default>(
        &self,
        port: fn(Ports) -> Line,
        token: &str,
        method: &str,
        message: &impl Message,
    ) -> A {
        let began = Instant::now();
        loop {
            // Each time anew: the server may be another one by now.
            let line = port(self.ports());
            match line.call(method, Some(token), message).await {
                Ok(answer) => return answer,
                Err(failure) if failure.is_unknown_outcome() && began.elapsed() < STUBBORN => {
                    self.repeats.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(failure) => panic!("{method}: {failure}"),
            }
        }
    }

    /// Writes posts as one client, and other things in between.
    pub(crate) async fn write(&self, client: usize, posts: usize) {
        for number in 0..posts {
            self.post(client, number % 10 == 9).await;
            if number % 4 == 1 {
                self.toggle_like(client).await;
            }
            if number % 8 == 3 {
                self.comment(client, number % 16 == 3).await;
            }
            if number % 20 == 10 {
                self.toggle_star(client).await;
            }
        }
    }

    async fn post(&self, client: usize, reply: bool) {
        let begun = self.tick();
        let target = if reply { self.some_post() } else { None };
        let request = v1::CreatePostRequest {
            content: format!("post {begun} of client {client} #kill"),
            in_reply_to_id: target.clone().unwrap_or_default(),
            request_id: request_id(),
            ..Default::default()
        };
        let answer: v1::CreatePostResponse = self
            .call(&self.clients[client], "PostService/CreatePost", &request)
            .await;
        let post = answer.post.unwrap();
        assert_eq!(post.content, request.content, "an ack is of the post that was sent");
        let mut truth = self.truth.lock().unwrap();
        truth.counts.entry(post.id.clone()).or_default();
        if let Some(target) = target {
            truth.counts.entry(target).or_default().replies += 1;
        }
        truth.posts.push(Posted {
            id: post.id,
            author: client,
            fanout: answer.fanout_id,
            begun,
        });
        drop(truth);
        self.acked.fetch_add(1, Ordering::Relaxed);
    }

    fn some_post(&self) -> Option<String> {
        let truth = self.truth.lock().unwrap();
        let posts = truth.posts.len();
        (posts > 0).then(|| truth.posts[rand::random_range(0..posts)].id.clone())
    }

    /// Likes a post, or takes the like back. Nobody but this client does so for this client, so the last ack is the truth.
    async fn toggle_like(&self, client: usize) {
        let Some(post) = self.some_post() else { return };
        let key = (client, post.clone());
        let liked = self.truth.lock().unwrap().likes.get(&key) == Some(&true);
        let who = &self.clients[client];
        let post_id = post.clone();
        if liked {
            let request = v1::UnlikePostRequest {
                post_id,
                request_id: request_id(),
            };
            let answer: v1::UnlikePostResponse = self.call(who, "LikeService/UnlikePost", &request).await;
            assert!(!answer.liked);
        } else {
            let request = v1::LikePostRequest {
                post_id,
                request_id: request_id(),
            };
            let answer: v1::LikePostResponse = self.call(who, "LikeService/LikePost", &request).await;
            assert!(answer.liked);
        }
        let mut truth = self.truth.lock().unwrap();
        truth.likes.insert(key, !liked);
        truth.counts.entry(post).or_default().likes += if liked { -1 } else { 1 };
        truth.totals.likes += 1;
    }

    async fn comment(&self, client: usize, delete: bool) {
        let Some(post) = self.some_post() else { return };
        let who = &self.clients[client];
        let request = v1::CreateCommentRequest {
            post_id: post.clone(),
            content: format!("a comment of client {client}"),
            request_id: request_id(),
            ..Default::default()
        };
        let written: v1::CreateCommentResponse = self.call(who, "CommentService/CreateComment", &request).await;
        if delete {
            let request = v1::DeleteCommentRequest {
                comment_id: written.comment.unwrap().id,
                request_id: request_id(),
                ..Default::default()
            };
            let _: v1::DeleteCommentResponse = self.call(who, "CommentService/DeleteComment", &request).await;
        }
        let mut truth = self.truth.lock().unwrap();
        truth.counts.entry(post).or_default().comments += if delete { 0 } else { 1 };
        truth.totals.comments += if delete { 2 } else { 1 };
    }

    async fn toggle_star(&self, client: usize) {
        let star = rand::random_range(0..STARS);
        let followed = self.truth.lock().unwrap().stars.get(&(client, star)) == Some(&true);
        let who = &self.clients[client];
        let (user_id, request_id) = (self.stars[star].id.clone(), request_id());
        let relationship = if followed {
            let request = v1::UnfollowRequest { user_id, request_id };
            let answer: v1::UnfollowResponse = self.call(who, "GraphService/Unfollow", &request).await;
            answer.relationship
        } else {
            let request = v1::FollowRequest { user_id, request_id };
            let answer: v1::FollowResponse = self.call(who, "GraphService/Follow", &request).await;
            answer.relationship
        };
        assert_eq!(relationship.unwrap().following, !followed);
        let mut truth = self.truth.lock().unwrap();
        truth.stars.insert((client, star), !followed);
        truth.totals.follows += 1;
    }

    /// A late reader begins to follow three of the clients.
    pub(crate) async fn come_late(&self, reader: usize) {
        for client in [reader, reader + 3, reader + 5].map(|number| number % CLIENTS) {
            let request = v1::FollowRequest {
                user_id: self.clients[client].id.clone(),
                request_id: request_id(),
            };
            let _: v1::FollowResponse = self.call(&self.late[reader], "GraphService/Follow", &request).await;
            let acked = self.tick();
            let mut truth = self.truth.lock().unwrap();
            truth.late.entry(reader).or_default().push((client, acked));
            truth.totals.follows += 1;
        }
    }

    pub(crate) async fn set_policy(&self, request: v1::SetFanoutPolicyRequest) {
        let answer: v1::SetFanoutPolicyResponse = self.operate("AdminService/SetFanoutPolicy", &request).await;
        assert_eq!(answer.policy.unwrap().mode, request.mode);
    }

    /// Followers and followed users that each person must have, in the order of [`Crowd::everybody`].
    pub(crate) fn graph(&self) -> Vec<(i64, i64)> {
        let truth = self.truth.lock().unwrap();
        let late_of = |client: usize| truth.late.values().flatten().filter(|(of, _)| *of == client).count();
        let stars = |wanted: &dyn Fn(usize, usize) -> bool| {
            let edges = truth.stars.iter().filter(|(_, followed)| **followed);
            edges.filter(|((client, star), _)| wanted(*client, *star)).count()
        };
        let clients = (0..CLIENTS).map(|client| {
            let followers = CLIENTS - 1 + READERS + late_of(client);
            (followers, CLIENTS - 1 + stars(&|of, _| of == client))
        });
        let readers = (0..READERS).map(|_| (0, CLIENTS));
        let late = (0..LATE).map(|reader| (0, truth.late.get(&reader).map_or(0, Vec::len)));
        let stars = (0..STARS).map(|star| (stars(&|_, of| of == star), 0));
        let all = clients.chain(readers).chain(late).chain(stars);
        all.map(|(followers, following)| (followers as i64, following as i64))
            .collect()
    }

    pub(crate) fn everybody(&self) -> impl Iterator<Item = &Person> {
        let posting = self.clients.iter().chain(&self.readers);
        posting.chain(&self.late).chain(&self.stars)
    }
}
