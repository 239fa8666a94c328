//! A whole platform, taken out and brought in, with interruptions.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use social_sdk::{AdminClient, Error, Uuid, v1};

use crate::house::House;
use crate::wait::in_time;

/// Users: enough for several messages.
const USERS: usize = 2_500;

/// Why a record cannot be had.
#[derive(Debug)]
enum Trouble {
    Disk,
    Sdk(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Sdk(error)
    }
}

async fn populated() -> House {
    let house = House::open().await;
    let user = |number| v1::ImportUser {
        handle: format!("person_{number}"),
        ..Default::default()
    };
    let import = house.admin().import_users(Uuid::new_v4());
    import.run(stream::iter((0..USERS).map(user))).await.unwrap();
    house
}

/// What an export says from a position on: its header, its records, and where it ended.
async fn export(
    admin: &AdminClient,
    position: Vec<u8>,
) -> (Option<v1::ArchiveHeader>, Vec<v1::ArchiveRecord>, Vec<u8>) {
    let messages = admin.export_archive().resume_from(position.clone()).messages();
    let messages: Vec<_> = in_time("an export", messages.try_collect()).await.unwrap();
    let header = messages
        .iter()
        .find_map(|message: &v1::StreamArchiveResponse| message.header.clone());
    let stretches: Vec<_> = messages.into_iter().filter_map(|message| message.stretch).collect();
    let last = stretches.last().map_or(position, |stretch| stretch.position.clone());
    (
        header,
        stretches.into_iter().flat_map(|stretch| stretch.records).collect(),
        last,
    )
}

#[tokio::test]
async fn an_archive_that_cannot_be_read_to_its_end_is_never_complete() {
    let (source, target) = (populated().await, House::open().await);
    let (header, records, end) = export(&source.admin(), Vec::new()).await;
    let header = header.unwrap();
    assert!(records.len() > USERS);
    // Behind everything there is nothing, and that is said at once.
    assert_eq!(export(&source.admin(), end).await.1, []);

    let admin = target.admin();
    let whole = || stream::iter(records.clone()).map(Ok::<_, Trouble>);
    for readable in [700, 0, 2_100] {
        let broken = whole().take(readable).chain(stream::iter([Err(Trouble::Disk)]));
        let outcome = admin.import_archive(header.clone()).run(broken).await;
        assert!(matches!(outcome, Err(Trouble::Disk)), "{outcome:?}");
        let begun = admin.import_archive(header.clone()).progress().await.unwrap();
        assert!(begun.is_none_or(|begun| !begun.complete), "it is not complete");
    }
    for _ in 0..2 {
        let done = admin.import_archive(header.clone()).run(whole()).await.unwrap();
        assert!(done.complete);
        assert_eq!(done.next_offset, records.len() as i64);
    }
    let short = admin.import_archive(header).run(whole().take(9)).await;
    let Err(Trouble::Sdk(refused)) = short else {
        panic!("{short:?}");
    };
    assert!(refused.message().contains("fewer records"), "{refused}");
}
