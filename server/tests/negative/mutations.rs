//! Requests that were damaged at random: whatever comes in, no call fails by a fault of the server.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use social_proto::v1;
use tonic::Code;

use crate::support::{Line, Person};
use crate::world::World;
use crate::{door, tables};

/// Damaged requests of each method.
const EACH: usize = 60;
/// The same seed damages in the same way.
const SEED: u64 = 20_261_121;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_requests_are_never_the_servers_fault() {
    let world = World::new().await;
    let mut random = StdRng::seed_from_u64(SEED);
    let (mut answered, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut tables = tables(&world);
    // Alice's refresh token, used twice, ends her session.
    tables.sort_by_key(|table| table.path.ends_with("/RefreshToken"));
    for table in tables {
        let (line, own) = door(&world, &table.path);
        // What ends a session or changes a password is called by somebody who is not needed any more.
        let spare = spare(line, &table.path).await;
        let token = spare.as_ref().map_or(own, Person::token);
        for _ in 0..EACH {
            let bytes = damaged(&table.right, &mut random);
            match line.raw(&table.path, token, vec![bytes.clone()]).await {
                Ok(_) => answered += 1,
                Err(failure) => {
                    refused += 1;
                    let is_fault = matches!(failure.code, Code::Internal | Code::Unknown | Code::Unavailable);
                    if is_fault || failure.reason.is_empty() {
                        wrong.push(format!("{} {bytes:02x?}: {failure}", table.path));
                    }
                }
            }
        }
    }
    println!(
        "{answered} damaged requests answered, {refused} refused with a reason, {} by a fault",
        wrong.len()
    );
    assert!(wrong.is_empty(), "seed {SEED}: {}", wrong.join("\n"));
    assert!(answered > 100, "most of them would be refused at the door");
    let request = v1::GetStorageStatsRequest {};
    let token = Some(world.house.admin_token.as_str());
    let asked = world.house.admin.call("AdminService/GetStorageStats", token, &request);
    let _: v1::GetStorageStatsResponse = asked.await.unwrap();
}

async fn spare(line: &Line, path: &str) -> Option<Person> {
    let ends = ["/Logout", "/ChangePassword", "/RevokeSession"];
    if ends.iter().any(|end| path.ends_with(end)) {
        Some(Person::register(line, "spare").await)
    } else {
        None
    }
}

/// The bytes with some of them turned, cut off, doubled or put in.
fn damaged(right: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = right.to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 => bytes.truncate(at),
            3 => {
                let part: Vec<u8> = bytes[at..].iter().copied().take(40).collect();
                bytes.splice(at..at, part);
            }
            _ => {
                let noise: Vec<u8> = (0..random.random_range(1..20)).map(|_| random.random()).collect();
                bytes.splice(at..at, noise);
            }
        }
    }
    bytes
}
