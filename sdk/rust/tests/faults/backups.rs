//! Backups: begun again where nothing came yet, never patched up once something did.

use futures::StreamExt;
use social_sdk::{AdminClient, Code, Error, Origin, v1};

use crate::fake::{Fake, Seen, Step, hasty, refusal, script};

type Pieces = Vec<Result<v1::StreamBackupResponse, Error>>;

fn piece(data: &str, bytes_sent: i64, last: bool) -> Step<v1::StreamBackupResponse> {
    Step::Send(v1::StreamBackupResponse {
        data: data.into(),
        bytes_sent,
        last,
        ..Default::default()
    })
}

/// What comes of a backup, and how often it was asked for.
async fn back_up(
    fake: &Fake,
    scripts: Vec<Vec<Step<v1::StreamBackupResponse>>>,
) -> (Pieces, Seen<v1::StreamBackupRequest>) {
    let seen = script::<v1::StreamBackupRequest>(fake, scripts);
    let admin = AdminClient::builder()
        .endpoint(format!("http://{}", fake.start().await))
        .retry(hasty())
        .build_admin("operator")
        .expect("a client");
    (admin.back_up().collect().await, seen)
}

#[tokio::test]
async fn a_backup_that_has_not_begun_is_asked_for_again() {
    let fake = Fake::default();
    let scripts = vec![
        vec![Step::Fail(refusal(Code::Unavailable, "STORE_UNAVAILABLE"))],
        vec![piece("ab", 2, false), piece("c", 3, true)],
    ];
    let (pieces, seen) = back_up(&fake, scripts).await;
    let data: Vec<u8> = pieces
        .into_iter()
        .flat_map(|piece| piece.expect("a piece").data)
        .collect();
    assert_eq!((data.as_slice(), seen.count()), (b"abc".as_slice(), 2));
}

#[tokio::test]
async fn a_backup_that_broke_is_an_error_and_not_gone_on_with() {
    let fake = Fake::default();
    let whole = vec![piece("ab", 2, false), piece("c", 3, true)];
    for broken in [
        Step::Fail(refusal(Code::Unavailable, "SHUTTING_DOWN")),
        Step::Cut(fake.clone()),
    ] {
        let (pieces, seen) = back_up(&fake, vec![vec![piece("ab", 2, false), broken], whole.clone()]).await;
        assert!(matches!(pieces.as_slice(), [Ok(_), Err(_)]), "{pieces:?}");
        assert_eq!(seen.count(), 1, "what another backup holds does not fit to this one");
    }
}

#[tokio::test]
async fn a_backup_without_its_end_or_with_a_hole_is_an_error() {
    let fake = Fake::default();
    let (pieces, _) = back_up(&fake, vec![vec![piece("ab", 2, false)]]).await;
    assert!(
        matches!(pieces.as_slice(), [Ok(_), Err(_)]),
        "it just ended: {pieces:?}"
    );

    let hole = vec![piece("ab", 2, false), piece("c", 7, true)];
    let (pieces, _) = back_up(&fake, vec![hole]).await;
    let [Ok(_), Err(error)] = pieces.as_slice() else {
        panic!("{pieces:?}");
    };
    assert_eq!(error.origin(), Origin::Protocol);
}
