use super::*;

const START: Time = Time::from_unix_ms(1_800_000_000_000);

struct World {
    clock: Clock,
    throttle: Throttle,
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual(START);
        Self {
            throttle: Throttle::new(clock.clone()),
            clock,
        }
    }

    fn pass(&self, duration: Duration) {
        self.clock.set(self.clock.now().plus(duration));
    }

    /// A refused attempt; the pause asked for instead, where it is throttled.
    fn fail(&self, account: &str, address: &str) -> Option<Duration> {
        match self.throttle.attempt(account, address.parse().ok()) {
            Ok(_) => None,
            Err(error) => {
                assert_eq!(error.reason, Reason::LoginThrottled);
                error.retry_after
            }
        }
    }

    fn succeed(&self, account: &str, address: &str) {
        self.throttle
            .attempt(account, address.parse().ok())
            .unwrap()
            .succeeded();
    }
}

#[test]
fn pauses_double_up_to_a_cap() {
    let world = World::new();
    for _ in 0..limits::LOGIN_FAILURES_FREE {
        assert_eq!(world.fail("ada", "192.0.2.1"), None);
    }
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let pause = world.fail("ada", "192.0.2.1").unwrap();
        pauses.push(pause.as_secs());
        world.pass(pause - Duration::from_millis(1));
        assert!(
            world.fail("ada", "192.0.2.1").is_some(),
            "asking early neither helps nor prolongs"
        );
        world.pass(Duration::from_millis(1));
        assert_eq!(world.fail("ada", "192.0.2.1"), None);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    world.pass(FORGET + Duration::from_secs(1));
    for _ in 0..limits::LOGIN_FAILURES_FREE {
        assert_eq!(world.fail("ada", "192.0.2.1"), None);
    }
}

#[test]
fn nobody_is_locked_out_by_others() {
    let world = World::new();
    for n in 0..1000 {
        world.fail("ada", &format!("198.51.{}.{}", n / 250, n % 250));
        world.fail("ada", "203.0.113.9");
    }
    assert!(world.fail("ada", "203.0.113.9").is_some());
    assert_eq!(world.fail("ada", "192.0.2.1"), None);
}

#[test]
fn success_clears_the_pair() {
    let world = World::new();
    for _ in 1..limits::LOGIN_FAILURES_FREE {
        world.fail("ada", "192.0.2.1");
    }
    world.succeed("ada", "192.0.2.1");
    // Known from now on: a larger allowance.
    for _ in 0..FREE_KNOWN {
        assert_eq!(world.fail("ada", "192.0.2.1"), None);
    }
    assert!(world.fail("ada", "192.0.2.1").is_some());
}

#[test]
fn an_address_that_tries_many_accounts_is_slowed_but_not_its_known_users() {
    let world = World::new();
    world.succeed("ada", "192.0.2.1");
    let mut refused = 0;
    for n in 0..FREE_ADDRESS + 50 {
        refused += u32::from(world.fail(&format!("user{n}"), "192.0.2.1").is_some());
    }
    assert_eq!(refused, 50);
    assert!(world.fail("bob", "192.0.2.1").is_some());
    assert_eq!(world.fail("ada", "192.0.2.1"), None);
    assert_eq!(world.fail("bob", "192.0.2.2"), None);
}

#[test]
fn one_v6_customer_is_one_client() {
    let world = World::new();
    for n in 0..limits::LOGIN_FAILURES_FREE {
        assert_eq!(world.fail("ada", &format!("2001:db8:1:2::{n}")), None);
    }
    assert!(world.fail("ada", "2001:db8:1:2:ffff::1").is_some());
    assert_eq!(world.fail("ada", "2001:db8:1:3::1"), None);
    // The same client over either family's notation.
    for _ in 0..limits::LOGIN_FAILURES_FREE {
        world.fail("bob", "192.0.2.1");
    }
    assert!(world.fail("bob", "::ffff:192.0.2.1").is_some());
}

#[test]
fn many_attempts_at_once_are_no_way_around() {
    let world = World::new();
    let address = "192.0.2.1".parse().ok();
    let attempts: Vec<_> = (0..50)
        .filter_map(|_| world.throttle.attempt("ada", address).ok())
        .collect();
    assert_eq!(attempts.len(), limits::LOGIN_FAILURES_FREE as usize);
    for attempt in attempts {
        attempt.abandoned();
    }
    for _ in 0..limits::LOGIN_FAILURES_FREE {
        assert_eq!(
            world.fail("ada", "192.0.2.1"),
            None,
            "what was not looked at is not counted"
        );
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let world = World::new();
    for n in 0..limits::LOGIN_THROTTLE_ENTRIES as u32 * 2 {
        world.fail("ada", &std::net::Ipv4Addr::from(n).to_string());
    }
    let entries: usize = world
        .throttle
        .shards
        .iter()
        .map(|shard| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        })
        .sum();
    assert!(entries <= limits::LOGIN_THROTTLE_ENTRIES, "{entries}");
    assert_eq!(format!("{:?}", world.throttle), "Throttle");
}

#[test]
fn a_clock_that_steps_back_throttles_for_no_longer_than_it_stepped() {
    let world = World::new();
    for _ in 0..=limits::LOGIN_FAILURES_FREE {
        world.fail("ada", "192.0.2.1");
    }
    world.clock.set(Time::from_unix_ms(START.unix_ms() - 5_000));
    assert!(world.fail("ada", "192.0.2.1").unwrap() <= Duration::from_secs(6));
}
