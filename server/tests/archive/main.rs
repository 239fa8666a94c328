//! A whole platform taken from one server and brought into another: both answer alike.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../support/mod.rs"]
mod support;

use social_core::Reason;
use social_proto::v1;
use social_server::grpc::status::reason_name;
use support::archive::{Archive, Desk};
use support::populated::{Populated, answer_alike};
use support::{House, Person, refused};
use tonic::Code;

fn desk(house: &House) -> Desk {
    Desk {
        admin: house.admin.clone(),
        token: house.admin_token.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_moves_to_another_data_folder_and_answers_alike() {
    let source = House::open_with(|_| {}, Populated::prepare).await;
    let people = Populated::make(&source.line, &desk(&source)).await;
    let archive = desk(&source).export(3).await;
    let target = House::open().await;
    desk(&target).import(&archive).await;
    answer_alike(
        (&source.line, &desk(&source)),
        (&target.line, &desk(&target)),
        &people,
        &archive,
    )
    .await;
    // What is taken from there is the same again.
    let again = desk(&target).export(5).await;
    assert_eq!(again.sorted(), archive.sorted());
    // And life goes on.
    let author = people.people[0].log_in(&target.line).await;
    let newest = author.post_id(&target.line, "after the move").await;
    assert!(archive.ids().posts.iter().all(|id| *id < newest));
    assert_eq!(author.home(&target.line).await.unwrap()[0], newest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_survives_a_restart_of_its_server() {
    let source = House::open_with(|_| {}, Populated::prepare).await;
    let people = Populated::make(&source.line, &desk(&source)).await;
    let archive = desk(&source).export(100).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let target = House::open_with(|config| config.data_dir.clone_from(&path), async |_| {}).await;
    let half = archive.records.len() / 2;
    desk(&target).send(&archive, 0, half).await.unwrap();
    assert!(target.stop().await);
    let target = House::open_with(|config| config.data_dir.clone_from(&path), async |_| {}).await;
    let progress = desk(&target).progress(&archive).await.unwrap();
    assert_eq!((progress.next_offset as usize, progress.complete), (half, false));
    let ended = desk(&target).send(&archive, half, archive.records.len()).await.unwrap();
    assert!(ended.progress.unwrap().complete);
    answer_alike(
        (&source.line, &desk(&source)),
        (&target.line, &desk(&target)),
        &people,
        &archive,
    )
    .await;
}

#[tokio::test]
async fn sessions_stay_behind_and_passwords_come_along() {
    let source = House::open().await;
    let ann = source.person("ann").await;
    let archive = desk(&source).export(100).await;
    let target = House::open().await;
    desk(&target).send(&archive, 0, archive.records.len()).await.unwrap();
    // The token is another server's, and the session is not there.
    let request = v1::GetMarkerRequest {};
    let answer = ann
        .call::<v1::GetMarkerResponse>(&target.line, "TimelineService/GetMarker", &request)
        .await;
    assert_eq!(refused(answer).code, Code::Unauthenticated);
    let here: Person = ann.log_in(&target.line).await;
    assert_eq!(here.id, ann.id);
}

#[tokio::test]
async fn a_platform_with_people_refuses_an_archive() {
    let source = House::open().await;
    source.person("ann").await;
    let archive = desk(&source).export(100).await;
    let target = House::open().await;
    target.person("bob").await;
    let failure = refused(desk(&target).send(&archive, 0, archive.records.len()).await);
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::FailedPrecondition, reason_name(Reason::PlatformNotEmpty))
    );
    let failure = refused(desk(&target).progress(&archive).await);
    assert_eq!(failure.reason, "IMPORT_NOT_FOUND");
}

#[tokio::test]
async fn a_position_that_is_none_is_refused() {
    let house = House::open().await;
    let request = v1::StreamArchiveRequest {
        position: b"somewhere".to_vec(),
    };
    let answer = house
        .admin
        .call::<v1::StreamArchiveResponse>("AdminService/StreamArchive", Some(&house.admin_token), &request)
        .await;
    assert!(refused(answer).names("position"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_while_people_write_dangles_nowhere() {
    let source = House::open_with(|_| {}, Populated::prepare).await;
    let desk = desk(&source);
    let writing = async {
        for number in 0..8 {
            let person = source.person(&format!("late{number}")).await;
            let post = person.post_id(&source.line, "while it is exported").await;
            person.comment(&source.line, &post, "and so on").await;
            person.like(&source.line, &post).await;
        }
    };
    let (archive, ()): (Archive, ()) = tokio::join!(desk.export(1_000), writing);
    let target = House::open().await;
    let desk = Desk {
        admin: target.admin.clone(),
        token: target.admin_token.clone(),
    };
    // A record that points to nothing would be refused.
    let ended = desk.send(&archive, 0, archive.records.len()).await.unwrap();
    assert!(ended.progress.unwrap().complete);
}
