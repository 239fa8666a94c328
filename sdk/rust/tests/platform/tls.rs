//! TLS with a certificate of one's own.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use social_sdk::{AdminClient, Client, ClientBuilder, HomeEvent, Origin, RetryPolicy, TryStreamExt as _};

use crate::house::House;
use crate::people::{Person, refused};
use crate::wait::in_time;

/// An authority that nobody but its maker trusts.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Writes a certificate for `names`, and its key.
    fn certify(&self, names: &[&str], folder: &Path) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    }
}

/// A server with a certificate for `names`, on both ports.
async fn secured(authority: &Authority, names: &[&str]) -> House {
    let folder = tempfile::tempdir().unwrap();
    authority.certify(names, folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let settings = [
        ("tls-cert", cert.as_str()),
        ("tls-key", key.as_str()),
        ("admin-tls-cert", cert.as_str()),
        ("admin-tls-key", key.as_str()),
    ];
    House::open_in(folder, &settings).await
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named() {
    let authority = Authority::new();
    let mut house = secured(&authority, &["127.0.0.1"]).await;
    assert!(house.endpoint.starts_with("grpcs://"), "{}", house.endpoint);
    let trusting = || house.builder().ca_pem(&*authority.pem).retry(crate::house::stubborn());
    let ann = Person::register(trusting().build().unwrap(), "ann").await;
    let bob = Person::register(trusting().build().unwrap(), "bob").await;
    bob.follow(&ann).await;
    let mut stream = bob.client.timeline().subscribe().stream();
    in_time("the connection", stream.try_next()).await.unwrap();

    let admin = AdminClient::builder()
        .endpoint(&house.admin_endpoint)
        .ca_pem(&*authority.pem);
    let admin = admin.build_admin(house.admin_token()).unwrap();
    assert_eq!(admin.storage_stats().await.unwrap().backend, "embedded");

    house.kill().await;
    house.start().await;
    let post = ann.post("In private").await;
    let added = in_time("the post", async {
        loop {
            if let Some(HomeEvent::Added { item, .. }) = stream.try_next().await.unwrap() {
                return item.post.unwrap().id;
            }
        }
    });
    assert_eq!(added.await, post.id);
}

#[tokio::test]
async fn whom_nobody_vouches_for_gets_nothing() {
    let authority = Authority::new();
    let house = secured(&authority, &["social.example"]).await;
    let plain = house.endpoint.replace("grpcs://", "http://");
    let build = |builder: ClientBuilder| builder.retry(RetryPolicy::none()).build().unwrap();
    let at = |url: &str| Client::builder().endpoint(url);
    let secure = || at(&house.endpoint);
    let strangers = [
        (
            "another authority",
            build(secure().ca_pem(Authority::new().pem).tls_domain("social.example")),
        ),
        ("the system's authorities", build(secure().tls_domain("social.example"))),
        ("another name", build(secure().ca_pem(&*authority.pem))),
        ("no TLS", build(at(&plain))),
    ];
    for (what, client) in strangers {
        let answer = in_time(what, async { client.users().get_by_handle("ann").await }).await;
        let error = refused(answer);
        assert_eq!(error.origin(), Origin::Transport, "{what}: {error:?}");
    }
    let named = build(secure().ca_pem(&*authority.pem).tls_domain("social.example"));
    let error = refused(named.users().get_by_handle("ann").await);
    assert_eq!((error.origin(), error.is_not_found()), (Origin::Server, true));
    let garbage = refused(
        Client::builder()
            .endpoint(&house.endpoint)
            .ca_pem("no certificate")
            .build(),
    );
    assert_eq!(garbage.field_violations()[0].field, "ca_pem");
}
