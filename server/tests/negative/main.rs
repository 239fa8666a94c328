//! Bad input: one table of cases a method. Each is refused with the right code, reason and field, and leaves everything as it was.
//! A method of the contract without a table fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod auth;
mod comments;
mod graph;
mod items;
mod mutations;
mod posts;
mod table;
mod timeline;
mod users;
mod world;

use std::collections::BTreeSet;

use social_core::access::{self, Credentials};

use support::Line;
use table::{Case, Sent, Table};
use world::World;

fn tables(world: &World) -> Vec<Table> {
    [
        auth::tables(world),
        users::tables(world),
        posts::tables(world),
        comments::tables(world),
        graph::tables(world),
        timeline::tables(world),
        admin::tables(world),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_with_its_field_and_nothing_is_written() {
    let world = World::new().await;
    let tables = tables(&world);
    let listed: BTreeSet<&str> = tables.iter().map(|table| table.path.as_str()).collect();
    let methods: BTreeSet<&str> = social_proto::methods().iter().map(|method| method.path).collect();
    assert_eq!(listed, methods, "each method has a table");
    assert_eq!(listed.len(), tables.len(), "and just one");

    let (mut cases, mut wrong) = (0, Vec::new());
    let mut before = world.dump().await;
    for table in &tables {
        for case in &table.cases {
            cases += 1;
            if let Err(why) = answer(&world, table, case).await {
                wrong.push(format!("{}, {}: {why}", table.path, case.what));
            }
            let after = world.writes().await;
            if after != before.writes {
                let changed = after
                    .iter()
                    .zip(&before.writes)
                    .filter(|(after, before)| after != before);
                let tables: Vec<_> = changed.map(|((name, _), _)| name.as_str()).collect();
                wrong.push(format!("{}, {}: wrote to {tables:?}", table.path, case.what));
                before.writes = after;
            }
        }
        let after = world.dump().await;
        for (was, is) in before.answers.iter().zip(&after.answers) {
            if was != is {
                wrong.push(format!(
                    "{}: {} changed\nfrom {}\nto   {}",
                    table.path, was.0, was.1, is.1
                ));
            }
        }
        before = after;
    }
    println!(
        "{cases} cases of {} methods, each with what was written before and after: {} wrong",
        tables.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The port of a method, and alice's or the operator's token where it takes one.
fn door<'a>(world: &'a World, path: &str) -> (&'a Line, Option<&'a str>) {
    let house = &world.house;
    match access::rule(path).unwrap().credentials {
        Credentials::Admin => (&house.admin, Some(&house.admin_token)),
        Credentials::None => (&house.line, None),
        Credentials::User | Credentials::Optional => (&house.line, world.alice.token()),
    }
}

/// Sends a case; what is wrong with the answer, if anything.
async fn answer(world: &World, table: &Table, case: &Case) -> Result<(), String> {
    let (line, own) = door(world, &table.path);
    let token = match &case.sent {
        Sent::Own => own,
        Sent::Nothing => None,
        Sent::Token(token) => Some(token.as_str()),
    };
    let failure = match line.raw(&table.path, token, case.messages.clone()).await {
        Ok(_) => return Err("it was answered".to_owned()),
        Err(failure) => failure,
    };
    let expected = &case.expected;
    let field_is_named = expected.field.as_ref().is_none_or(|field| failure.names(field));
    if (failure.code, failure.reason.as_str(), field_is_named) == (expected.code, expected.reason, true)
        && failure.domain == "social.v1"
    {
        Ok(())
    } else {
        Err(format!("{expected:?} expected, refused with {failure}"))
    }
}
