//! Tokens that the server refuses: exchanged once, for all calls that wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::Value;
use social_sdk::{Client, Credentials, FileTokenStore, MemoryTokenStore, Reason, StoreLock, TokenStore, Uuid};

use crate::house::House;
use crate::people::{PASSWORD, refused};

/// Calls at the same time.
const CALLS: usize = 50;

/// Counts how often new tokens were kept.
struct Counting<S> {
    store: S,
    saved: Arc<AtomicUsize>,
}

impl<S: TokenStore> Counting<S> {
    fn new(store: S) -> (Self, Arc<AtomicUsize>) {
        let saved = Arc::new(AtomicUsize::new(0));
        let counts = saved.clone();
        (Self { store, saved }, counts)
    }
}

impl<S: TokenStore> TokenStore for Counting<S> {
    fn load(&self) -> io::Result<Option<Credentials>> {
        self.store.load()
    }

    fn save(&self, credentials: &Credentials) -> io::Result<()> {
        self.saved.fetch_add(1, Ordering::Relaxed);
        self.store.save(credentials)
    }

    fn clear(&self) -> io::Result<()> {
        self.store.clear()
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        self.store.try_lock()
    }
}

/// The credentials of a session with something changed in their stored form.
fn changed(credentials: &Credentials, change: impl FnOnce(&mut Value)) -> Credentials {
    let mut stored = serde_json::to_value(credentials).unwrap();
    change(&mut stored);
    serde_json::from_value(stored).unwrap()
}

/// A token that the server does not know.
fn garbled(_: &House, credentials: &Credentials) -> Credentials {
    changed(credentials, |stored| stored["access_token"] = "garbage".into())
}

/// A token that the server's key has signed, and that is past its time.
fn expired(house: &House, credentials: &Credentials) -> Credentials {
    let token = issued_before(house, credentials.access_token());
    changed(credentials, |stored| stored["access_token"] = token.into())
}

/// A token that the client itself takes for expired.
fn overdue(_: &House, credentials: &Credentials) -> Credentials {
    changed(credentials, |stored| {
        let past: Value = (unix_ms() - 1_000).into();
        stored["access_expire_ms"] = past.clone();
        stored["refresh_due_ms"] = past;
    })
}

/// The same token, signed by the server's key, as it would be if it had been issued an hour ago.
fn issued_before(house: &House, token: &str) -> String {
    let header: Header = jsonwebtoken::decode_header(token).unwrap();
    let mut claims = jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims;
    for claim in ["iat", "exp"] {
        claims[claim] = (claims[claim].as_u64().unwrap() - 3_600).into();
    }
    let keys = std::fs::read_dir(house.path("data/keys")).unwrap();
    let mut files = keys.map(|file| file.unwrap().path());
    let pem = files.find(|path| path.extension().is_some_and(|extension| extension == "pem"));
    let pem = std::fs::read(pem.expect("a signing key")).unwrap();
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_pem(&pem).unwrap()).unwrap()
}

/// Makes many calls at once, all of which must be answered.
async fn call_at_once(clients: &[&Client]) {
    let calls = (0..CALLS).map(|nth| {
        let client = clients[nth % clients.len()].clone();
        tokio::spawn(async move { client.timeline().marker().await })
    });
    for outcome in join_all(calls).await {
        outcome.unwrap().expect("answered");
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The credentials of a new session of `ann`.
async fn new_session(house: &House) -> Credentials {
    let client = house.anonymous();
    client.auth().login("ann", PASSWORD).await.unwrap();
    client.credentials().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_with_a_dead_token_share_one_exchange() {
    let house = House::open().await;
    house.person("ann").await;
    type Kind = fn(&House, &Credentials) -> Credentials;
    let kinds: [(&str, Kind); 3] = [("expired", expired), ("garbled", garbled), ("overdue", overdue)];
    for (kind, spoil) in kinds {
        let good = new_session(&house).await;
        let spoilt = spoil(&house, &good);
        let (store, saved) = Counting::new(MemoryTokenStore::new());
        store.store.save(&spoilt).unwrap();
        let client = house.builder().token_store(store).build().unwrap();
        call_at_once(&[&client]).await;
        assert_eq!(saved.load(Ordering::Relaxed), 1, "{kind}");
        let fresh = client.credentials().unwrap();
        assert_ne!(fresh, spoilt, "{kind}");
        assert_eq!(fresh.session_id(), good.session_id(), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_share_a_file_share_the_exchange() {
    let house = House::open().await;
    house.person("ann").await;
    let file = FileTokenStore::new(house.path("tokens.json"));
    file.save(&garbled(&house, &new_session(&house).await)).unwrap();
    // As two processes would: neither knows of the other.
    let (clients, saved): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (store, saved) = Counting::new(file.clone());
            (house.builder().token_store(store).build().unwrap(), saved)
        })
        .unzip();
    call_at_once(&[&clients[0], &clients[1]]).await;
    let total: usize = saved.iter().map(|saved| saved.load(Ordering::Relaxed)).sum();
    assert_eq!(total, 1);
    let kept = file.load().unwrap();
    assert!(clients.iter().all(|client| client.credentials() == kept));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_over_is_told_to_all_who_wait() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let spoilt = garbled(&house, &new_session(&house).await);
    ann.client.auth().revoke_session(spoilt.session_id()).await.unwrap();
    let store = FileTokenStore::new(house.path("tokens.json"));
    store.save(&spoilt).unwrap();
    let client = house.builder().token_store(store.clone()).build().unwrap();
    let calls = (0..CALLS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.timeline().marker().await })
    });
    for outcome in join_all(calls).await {
        let error = refused(outcome.unwrap());
        assert!(error.is_logged_out(), "{error:?}");
    }
    assert!(client.credentials().is_none());
    assert_eq!(store.load().unwrap(), None, "tokens of a dead session are not kept");
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_session() {
    let house = House::open().await;
    house.person("ann").await;
    let good = new_session(&house).await;
    let with = |credentials: &Credentials| {
        let store = MemoryTokenStore::new();
        store.save(credentials).unwrap();
        house.builder().token_store(store).build().unwrap()
    };
    let owner = with(&good);
    owner.auth().refresh().await.unwrap();
    // Somebody else exchanges the same token as an exchange of their own.
    let thief = with(&changed(&good, |stored| {
        stored["refresh_request_id"] = Uuid::new_v4().to_string().into();
    }));
    assert_eq!(
        refused(thief.auth().refresh().await).reason(),
        Reason::RefreshTokenReused
    );
    assert_eq!(
        refused(owner.timeline().marker().await).reason(),
        Reason::SessionRevoked
    );
}
