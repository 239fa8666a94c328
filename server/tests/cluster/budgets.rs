//! The api processes of a cluster let through what one process would, not each as much.

use std::time::{Duration, Instant};

use social_proto::v1;
use social_server::Config;
use social_server::config::{Rate, Role};
use xtask::services::{Redis, redis};

use super::platform::{Platform, turn_to_come};
use super::support::{Line, Person, Process};

/// Calls a second of a user, and at once.
const PER_SECOND: u32 = 4;
const BURST: u32 = 12;
/// How long a user calls as often as they can.
const LASTS: Duration = Duration::from_secs(6);
/// Between two calls of a user to one process.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest that a call may take while Redis stands still: it waits for nothing there.
const PROMPT: Duration = Duration::from_secs(3);

/// What a user got in a while from some processes.
#[derive(Debug, Default)]
struct Got {
    answered: u32,
    refused: u32,
    longest: Duration,
    took: Duration,
}

impl Got {
    /// What one budget holds in that time.
    fn budget(&self) -> u32 {
        BURST + (self.took.as_secs_f64() * f64::from(PER_SECOND)) as u32
    }
}

/// Calls both processes as often as it can; what came of it.
async fn hammer(person: &Person, lines: &[Line; 2]) -> Got {
    let began = Instant::now();
    let (one, other) = tokio::join!(at_one(person, &lines[0]), at_one(person, &lines[1]));
    Got {
        answered: one.answered + other.answered,
        refused: one.refused + other.refused,
        longest: one.longest.max(other.longest),
        took: began.elapsed(),
    }
}

async fn at_one(person: &Person, line: &Line) -> Got {
    let (mut got, began) = (Got::default(), Instant::now());
    let request = v1::GetUserRequest {
        user: Some(v1::get_user_request::User::Id(person.id.clone())),
    };
    while began.elapsed() < LASTS {
        let called = Instant::now();
        match person
            .call::<v1::GetUserResponse>(line, "UserService/GetUser", &request)
            .await
        {
            Ok(_) => got.answered += 1,
            Err(failure) => {
                assert_eq!(failure.reason, "RATE_LIMITED", "{failure}");
                got.refused += 1;
            }
        }
        got.longest = got.longest.max(called.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    got
}

fn bounded(config: &mut Config) {
    config.cluster.roles = vec![Role::Api];
    config.rate_limits.read = Rate {
        user_per_second: PER_SECOND,
        user_burst: BURST,
        address_per_second: 0,
        address_burst: 0,
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_one_budget_and_keep_to_their_own_without_redis() {
    let _turn = turn_to_come().await;
    let mut redis = Redis::start(&redis::Options::default()).unwrap();
    let mut platform = Platform::shared();
    platform.redis = redis.url().to_owned();
    let processes = ["api-1", "api-2"].map(|name| platform.start_with(name, bounded));
    for process in &processes {
        process.serving().await;
    }
    let lines = processes
        .each_ref()
        .map(|process: &Process| Line::lazily_to(process.address));

    let together = hammer(&Person::register(&lines[0], "ann").await, &lines).await;
    println!("two processes: {together:?}, one budget is {}", together.budget());
    let budget = together.budget();
    assert!(
        together.refused > 0 && together.answered >= budget * 3 / 4,
        "{together:?}"
    );
    assert!(together.answered <= budget + budget / 4, "{together:?}");

    let frozen = Person::register(&lines[0], "bob").await;
    redis.nodes_mut()[0].server().freeze().unwrap();
    let apart = hammer(&frozen, &lines).await;
    redis.nodes_mut()[0].server().thaw().unwrap();
    println!("without Redis: {apart:?}, one budget is {}", apart.budget());
    assert!(apart.longest < PROMPT, "{apart:?}");
    // Each keeps to the budget by itself.
    assert!(apart.refused > 0 && apart.answered <= 2 * apart.budget(), "{apart:?}");
    assert!(apart.answered > apart.budget(), "{apart:?}");
}
