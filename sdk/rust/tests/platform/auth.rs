//! Accounts, profiles, sessions.

use futures::TryStreamExt as _;
use social_sdk::{Client, Origin, Reason, v1};

use crate::house::House;
use crate::people::{PASSWORD, Person, refused};

const NEW_PASSWORD: &str = "staple a correct horse";

/// Another session of somebody, as from another device.
async fn device(house: &House, person: &Person, name: &str) -> Client {
    let client = house.anonymous();
    let login = client.auth().login(&person.handle, PASSWORD).device_name(name);
    assert_eq!(login.await.unwrap().id, person.id);
    client
}

async fn sessions(client: &Client) -> Vec<v1::Session> {
    client.auth().list_sessions().stream().try_collect().await.unwrap()
}

#[tokio::test]
async fn a_profile_is_made_changed_and_found() {
    let house = House::open().await;
    let client = house.anonymous();
    let made = client
        .auth()
        .register("Ann_1", PASSWORD)
        .display_name("Ann")
        .await
        .unwrap();
    assert_eq!((made.handle.as_str(), made.display_name.as_str()), ("ann_1", "Ann"));
    assert_eq!(client.user_id().unwrap().as_str(), made.id);
    let taken = house.anonymous().auth().register("ANN_1", PASSWORD).await;
    assert_eq!(refused(taken).reason(), Reason::HandleTaken);

    let users = client.users();
    let changed = users
        .update_profile()
        .bio("Likes tests.")
        .etag(&made.etag)
        .await
        .unwrap();
    assert_eq!(
        (changed.bio.as_str(), changed.display_name.as_str()),
        ("Likes tests.", "Ann")
    );
    assert!(refused(users.update_profile().bio("").etag(&made.etag).await).is_conflict());
    let renamed = users.update_profile().display_name("Ann O.").await.unwrap();
    assert_eq!(renamed.bio, "Likes tests.");

    let anonymous = house.anonymous();
    let found = anonymous.users().get_by_handle("Ann_1").await.unwrap();
    assert_eq!(
        (found.id.as_str(), found.display_name.as_str()),
        (made.id.as_str(), "Ann O.")
    );
    let missing = "0000000000000";
    let batch = anonymous.users().batch_get([made.id.as_str(), missing]).await.unwrap();
    assert_eq!(batch.users[0].handle, "ann_1");
    assert_eq!(batch.not_found_ids, [missing]);
    assert_eq!(
        refused(anonymous.users().get(missing).await).reason(),
        Reason::UserNotFound
    );
}

#[tokio::test]
async fn sessions_are_listed_and_revoked() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let phone = device(&house, &ann, "phone").await;
    let tablet = device(&house, &ann, "tablet").await;
    let open = sessions(&ann.client).await;
    let names: Vec<_> = open.iter().map(|session| session.device_name.as_str()).collect();
    assert_eq!(names, ["tablet", "phone", ""]);
    assert_eq!(open.iter().filter(|session| session.current).count(), 1);
    assert!(open[2].current);

    let session_id = phone.credentials().unwrap().session_id();
    ann.client.auth().revoke_session(session_id).await.unwrap();
    let error = refused(phone.timeline().marker().await);
    assert_eq!(error.reason(), Reason::SessionRevoked);
    assert!(error.is_logged_out());
    assert!(phone.credentials().is_none(), "a dead session is not kept");
    let error = refused(phone.timeline().marker().await);
    assert_eq!((error.origin(), error.reason()), (Origin::Client, Reason::TokenMissing));

    tablet.auth().logout().await.unwrap();
    assert!(tablet.credentials().is_none());
    assert_eq!(sessions(&ann.client).await.len(), 1);
    let stranger = house.person("bob").await;
    let error = refused(stranger.client.auth().revoke_session(session_id).await);
    assert_eq!(error.reason(), Reason::SessionNotFound);
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let (phone, tablet) = (
        device(&house, &ann, "phone").await,
        device(&house, &ann, "tablet").await,
    );
    let wrong = ann.client.auth().change_password("not this one", NEW_PASSWORD);
    assert_eq!(refused(wrong.await).reason(), Reason::CredentialsInvalid);

    let revoked = ann.client.auth().change_password(PASSWORD, NEW_PASSWORD).await.unwrap();
    assert_eq!(revoked, 2);
    ann.client
        .timeline()
        .marker()
        .await
        .expect("the one who changed it stays");
    for other in [phone, tablet] {
        assert_eq!(
            refused(other.timeline().marker().await).reason(),
            Reason::SessionRevoked
        );
        assert!(other.credentials().is_none());
    }
    let login = |password| house.anonymous().auth().login("ann", password);
    assert_eq!(refused(login(PASSWORD).await).reason(), Reason::CredentialsInvalid);
    assert_eq!(login(NEW_PASSWORD).await.unwrap().id, ann.id);
}

#[tokio::test]
async fn a_refused_login_changes_nothing() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let before = ann.client.credentials();
    let error = refused(ann.client.auth().login("ann", "not her password").await);
    assert_eq!(error.reason(), Reason::CredentialsInvalid);
    assert!(!error.is_logged_out() && !error.is_retryable());
    assert_eq!(ann.client.credentials(), before);
    // Nobody learns which handles there are.
    let unknown = refused(house.anonymous().auth().login("nobody", "not her password").await);
    assert_eq!((unknown.code(), unknown.message()), (error.code(), error.message()));
}
