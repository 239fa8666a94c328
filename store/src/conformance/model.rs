//! Random operations give the answers of the reference model: what single cases do not think of.
//!
//! Ids differ from backend to backend, so answers are told in numbers: the third post is post 2 on both.

mod operation;
mod world;

use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use social_core::backend::{Filled, Position};
use social_core::{PostId, UserId};

use super::{Kind, Subject, cases};
use operation::{Operation, TimelineOperation};
use world::World;

cases!["model":
    random_operations_give_the_answers_of_the_reference,
    random_timelines_give_the_answers_of_the_reference,
];

/// Runs `check` on random lists of operations, the same ones with each run; a failing list is made as short as it gets, then shown.
async fn for_random<O, S>(operations: fn() -> S, seed: u8, lists: u32, check: impl AsyncFn(&[O]) + Send + 'static)
where
    O: std::fmt::Debug + Send + 'static,
    S: proptest::strategy::Strategy<Value = O> + 'static,
{
    let runtime = tokio::runtime::Handle::current();
    let run = move || {
        let config = Config {
            cases: lists,
            failure_persistence: None,
            max_shrink_iters: 200,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        TestRunner::new_with_rng(config, rng).run(&vec(operations(), 1..70), |operations| {
            runtime.block_on(check(&operations));
            Ok::<(), TestCaseError>(())
        })
    };
    if let Err(failure) = tokio::task::spawn_blocking(run).await.expect("the runner ends") {
        panic!("{failure}");
    }
}

async fn random_operations_give_the_answers_of_the_reference(t: &Subject) {
    let kind = t.kind();
    // Beside each other, since each waits for its store most of the time.
    let runs = (0..4).map(|seed| {
        let check = async move |operations: &[Operation]| answers_alike(kind, operations).await;
        for_random(Operation::any, seed, 8, check)
    });
    futures::future::join_all(runs).await;
}

async fn answers_alike(kind: Kind, operations: &[Operation]) {
    let (subject, reference) = (Subject::open(kind).await, Subject::open(Kind::Memory).await);
    let (mut world, mut expected) = (World::new(&subject).await, World::new(&reference).await);
    for (number, operation) in operations.iter().enumerate() {
        let answers = (world.apply(operation).await, expected.apply(operation).await);
        assert_eq!(answers.0, answers.1, "operation {number}, {operation:?}");
    }
    let (view, expected) = (world.view().await, expected.view().await);
    for (line, expected) in view.iter().zip(&expected) {
        assert_eq!(line, expected, "in the end");
    }
    assert_eq!(view.len(), expected.len());
}

async fn random_timelines_give_the_answers_of_the_reference(t: &Subject) {
    // One pair for all lists: opening takes longer than what is to be shown.
    let pair = (Subject::open(t.kind()).await, Subject::open(Kind::Memory).await);
    let check = async move |operations: &[TimelineOperation]| {
        pair.0.timelines().forget_all().await.unwrap();
        pair.1.timelines().forget_all().await.unwrap();
        let (mut line, mut expected) = (Line::new(&pair.0), Line::new(&pair.1));
        for (number, operation) in operations.iter().enumerate() {
            let answers = (line.apply(operation).await, expected.apply(operation).await);
            assert_eq!(answers.0, answers.1, "operation {number}, {operation:?}");
        }
    };
    for_random(TimelineOperation::any, 0, 120, check).await;
}

/// One viewer's timeline, and what a client remembers of it.
struct Line<'a> {
    subject: &'a Subject,
    generations: Vec<u64>,
    positions: Vec<Position>,
}

impl<'a> Line<'a> {
    const VIEWER: UserId = UserId(5);

    fn new(subject: &'a Subject) -> Self {
        Self {
            subject,
            generations: Vec::new(),
            positions: Vec::new(),
        }
    }

    /// Does it, and answers what a client can tell, in numbers.
    async fn apply(&mut self, operation: &TimelineOperation) -> String {
        let timelines = self.subject.timelines();
        let viewer = Self::VIEWER;
        let told = match operation {
            TimelineOperation::Append(posts) => {
                let mut held = 0;
                for post in posts {
                    held += timelines.append(&[viewer], PostId(*post)).await.unwrap().delivered;
                }
                format!("{held}")
            }
            TimelineOperation::Renew(post) => {
                format!("{:?}", timelines.renew(&[viewer], PostId(*post)).await.unwrap())
            }
            TimelineOperation::Insert(posts) => {
                let posts: Vec<_> = posts.iter().copied().map(PostId).collect();
                format!("{}", timelines.insert(viewer, &posts).await.unwrap())
            }
            TimelineOperation::Begin => match timelines.begin(viewer).await.unwrap() {
                Filled::Begun(generation) => {
                    self.generations.push(generation);
                    "begun".to_owned()
                }
                other => format!("{other:?}"),
            },
            TimelineOperation::Fill {
                age,
                posts,
                covers_from,
            } => {
                let mut posts: Vec<_> = posts
                    .iter()
                    .filter(|post| *post >= covers_from)
                    .copied()
                    .map(PostId)
                    .collect();
                posts.sort_by(|a, b| b.cmp(a));
                posts.dedup();
                if let Some(generation) = self.generations.iter().rev().nth(*age) {
                    timelines
                        .fill(viewer, *generation, &posts, PostId(*covers_from))
                        .await
                        .unwrap();
                }
                String::new()
            }
            TimelineOperation::Forget => format!("{:?}", timelines.forget(viewer).await),
            TimelineOperation::Since(age) => {
                let position = self.positions.iter().rev().nth(*age).copied();
                match position {
                    Some(position) => self.in_numbers(format!("{:?}", timelines.since(viewer, position).await)),
                    None => String::new(),
                }
            }
        };
        let slice = timelines.read(viewer, None, 2_000).await.unwrap();
        self.positions.extend(slice.as_ref().map(|slice| slice.head));
        let slice = slice.map(|slice| (slice.posts, slice.covers_from));
        format!("{told}, then {slice:?}, {:?}", timelines.stats().await)
    }

    /// The text without what differs from backend to backend: generations, and how arrivals are numbered.
    fn in_numbers(&self, text: String) -> String {
        text.split("head: Position").next().map(str::to_owned).unwrap_or(text)
    }
}
