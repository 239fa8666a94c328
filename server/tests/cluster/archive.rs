//! A whole platform taken from a data folder into a cluster, and from there into another data folder: all three answer alike.

use std::time::Instant;

use social_server::config::Role;

use crate::platform::{Platform, turn_to_come};
use crate::support::archive::Desk;
use crate::support::populated::{Populated, answer_alike};
use crate::support::{House, Line};

fn desk(house: &House) -> Desk {
    Desk {
        admin: house.admin.clone(),
        token: house.admin_token.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_moves_from_a_data_folder_into_a_cluster_and_back() {
    let _turn = turn_to_come().await;
    let source = House::open_with(|_| {}, Populated::prepare).await;
    let people = Populated::make(&source.line, &desk(&source)).await;
    let archive = desk(&source).export(4).await;

    let platform = Platform::migrated();
    let (one, other) = (
        platform.start("one", &[Role::Api, Role::Worker]),
        platform.start("other", &[Role::Api, Role::Worker]),
    );
    one.serving().await;
    other.serving().await;
    let cluster = Desk {
        admin: Line::to(one.admin_address).await,
        token: platform.admin_token("one"),
    };
    let began = Instant::now();
    cluster.import(&archive).await;
    println!(
        "{} records went into the cluster within {:?}",
        archive.records.len(),
        began.elapsed()
    );
    for process in [&one, &other] {
        let line = Line::to(process.address).await;
        answer_alike((&source.line, &desk(&source)), (&line, &cluster), &people, &archive).await;
    }

    let began = Instant::now();
    let again = cluster.export(2).await;
    println!(
        "{} records came out of it within {:?}",
        again.records.len(),
        began.elapsed()
    );
    assert_eq!(again.header.as_ref().unwrap().source, "cluster");
    assert_eq!(again.sorted(), archive.sorted());
    let target = House::open().await;
    desk(&target).import(&again).await;
    answer_alike(
        (&source.line, &desk(&source)),
        (&target.line, &desk(&target)),
        &people,
        &again,
    )
    .await;

    // Life goes on in the cluster, through either process.
    let line = Line::to(other.address).await;
    let author = people.people[0].log_in(&line).await;
    let newest = author.post_id(&line, "after the move").await;
    assert!(archive.ids().posts.iter().all(|id| *id < newest));
    let line = Line::to(one.address).await;
    assert_eq!(author.home(&line).await.unwrap()[0], newest);
}
