//! Everybody on the platform, and calls that are repeated until they are answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt as _;
use prost::Message;
use social_proto::v1;

use crate::site::PATIENCE;
use crate::support::{Line, Person, request_id};

/// Who posts, likes and follows. Each follows all others from the start.
pub(crate) const CLIENTS: usize = 8;
/// Who follows all clients, and writes nothing.
const READERS: usize = 4;
/// Who is followed and left again all the time, and posts nothing.
pub(crate) const STARS: usize = 8;
/// Before a call is repeated.
const PAUSE: Duration = Duration::from_millis(20);

/// An answer, and what it took.
pub(crate) struct Answered<A> {
    pub(crate) answer: A,
    /// How often the call was repeated.
    pub(crate) repeats: u64,
    /// When it was repeated first.
    pub(crate) repeated_at: Option<SystemTime>,
}

/// Everybody, and what stays of what they did when a load is over.
pub(crate) struct Crowd {
    pub(crate) clients: Vec<Person>,
    pub(crate) readers: Vec<Person>,
    pub(crate) stars: Vec<Person>,
    /// Which client follows which star, by the last acknowledgement.
    pub(crate) follows: Mutex<HashMap<(usize, usize), bool>>,
    /// Posts of each client.
    pub(crate) posted: Mutex<[i64; CLIENTS]>,
    /// The newest post of the loads that are over.
    pub(crate) newest: Mutex<String>,
    lines: Mutex<[Line; 2]>,
}

impl Crowd {
    pub(crate) async fn gather(apis: [SocketAddr; 2]) -> Self {
        let lines = apis.map(Line::lazily_to);
        let register = async |name: &'static str, number: usize| {
            let people = futures::stream::iter(0..number).map(|_| Person::register(&lines[0], name));
            people.buffered(4).collect::<Vec<_>>().await
        };
        let crowd = Self {
            clients: register("client", CLIENTS).await,
            readers: register("reader", READERS).await,
            stars: register("star", STARS).await,
            follows: Mutex::default(),
            posted: Mutex::default(),
            newest: Mutex::default(),
            lines: Mutex::new(lines.clone()),
        };
        let follows = crowd.viewers().enumerate().map(|(number, person)| {
            let (line, clients) = (&lines[number % 2], &crowd.clients);
            async move {
                for client in clients.iter().filter(|client| client.id != person.id) {
                    person.follow(line, client).await;
                }
                // A timeline that was read is kept from now on: only fan-out brings it anything.
                person.home(line).await.unwrap();
            }
        });
        futures::stream::iter(follows)
            .buffer_unordered(4)
            .collect::<Vec<()>>()
            .await;
        crowd
    }

    /// Who has every client's posts at home.
    pub(crate) fn viewers(&self) -> impl Iterator<Item = &Person> {
        self.clients.iter().chain(&self.readers)
    }

    /// An api process is another one now.
    pub(crate) fn moved_to(&self, api: usize, address: SocketAddr) {
        self.lines.lock().unwrap()[api] = Line::lazily_to(address);
    }

    pub(crate) fn line(&self, api: usize) -> Line {
        self.lines.lock().unwrap()[api % 2].clone()
    }

    /// Calls until there is an answer: what was cut off is repeated through the other api process as it was, request_id included.
    pub(crate) async fn call<A: Message + Default>(
        &self,
        client: usize,
        method: &str,
        message: &impl Message,
    ) -> Answered<A> {
        let began = Instant::now();
        let (mut repeats, mut repeated_at) = (0, None);
        loop {
            let line = self.line(client + repeats as usize);
            match line.call(method, self.clients[client].token(), message).await {
                Ok(answer) => {
                    return Answered {
                        answer,
                        repeats,
                        repeated_at,
                    };
                }
                Err(failure) if failure.is_unknown_outcome() && began.elapsed() < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                    repeats += 1;
                    repeated_at.get_or_insert_with(SystemTime::now);
                }
                Err(failure) => panic!("{method} after {repeats} repeats: {failure}"),
            }
        }
    }

    /// Publishes a public post as one client, beside any load; its id.
    pub(crate) async fn post(&self, client: usize, content: &str) -> String {
        let request = v1::CreatePostRequest {
            content: content.to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        let answered = self.call::<v1::CreatePostResponse>(client, "PostService/CreatePost", &request);
        let id = answered.await.answer.post.unwrap().id;
        self.posted.lock().unwrap()[client] += 1;
        id
    }

    /// Posts, followers and followed users of everybody, as acknowledged.
    pub(crate) fn figures(&self) -> Vec<(&Person, (i64, i64, i64))> {
        let follows = self.follows.lock().unwrap();
        let posted = self.posted.lock().unwrap();
        let count = |wanted: &dyn Fn(usize, usize) -> bool| {
            let edges = follows.iter().filter(|(_, followed)| **followed);
            edges.filter(|((client, star), _)| wanted(*client, *star)).count() as i64
        };
        let fans = (CLIENTS - 1 + READERS) as i64;
        let others = (CLIENTS - 1) as i64;
        let clients = self.clients.iter().enumerate();
        let clients = clients.map(|(number, person)| {
            let stars = count(&|client, _| client == number);
            (person, (posted[number], fans, others + stars))
        });
        let readers = self.readers.iter().map(|person| (person, (0, 0, CLIENTS as i64)));
        let stars = self.stars.iter().enumerate();
        let stars = stars.map(|(number, person)| (person, (0, count(&|_, star| star == number), 0)));
        clients.chain(readers).chain(stars).collect()
    }
}
