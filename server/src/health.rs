//! Health and reflection, the standard services of each port.

use std::sync::Arc;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use social_proto::FILE_DESCRIPTOR_SET;
use tokio::sync::{Mutex, watch};
use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::{Builder, Error};

/// The one service that is not public.
const ADMIN_SERVICE: &str = "AdminService";

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// For everybody.
    Public,
    /// For operators.
    Admin,
}

/// What `grpc.health.v1` says: of the whole server and of each of its services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    reporter: HealthReporter,
    /// Once it is, nothing makes it ready again.
    is_draining: Arc<Mutex<bool>>,
    is_fit: watch::Sender<bool>,
}

impl Health {
    /// A server that is not ready yet.
    pub(crate) async fn starting() -> Self {
        let health = Self::default();
        health.set(ServingStatus::NotServing).await;
        health
    }

    /// It takes calls.
    pub(crate) async fn ready(&self) {
        let is_draining = self.is_draining.lock().await;
        if !*is_draining {
            self.is_fit.send_replace(true);
            self.set(ServingStatus::Serving).await;
        }
    }

    /// It cannot serve for now: balancers look elsewhere.
    pub(crate) async fn unready(&self) {
        let _changing = self.is_draining.lock().await;
        self.is_fit.send_replace(false);
        self.set(ServingStatus::NotServing).await;
    }

    /// It takes no further calls: balancers look elsewhere.
    pub(crate) async fn draining(&self) {
        *self.is_draining.lock().await = true;
        self.set(ServingStatus::NotServing).await;
    }

    /// Whether the process can serve, for parts of it that pause while it cannot.
    pub(crate) fn fitness(&self) -> watch::Receiver<bool> {
        self.is_fit.subscribe()
    }

    async fn set(&self, status: ServingStatus) {
        self.reporter.set_service_status("", status).await;
        let mut last = "";
        // Methods of a service stand side by side.
        for method in social_proto::methods()
            .iter()
            .filter(|method| method.service != std::mem::replace(&mut last, method.service))
        {
            self.reporter.set_service_status(method.service, status).await;
        }
    }

    /// Adds the service to a port.
    pub(crate) fn add(&self, routes: &mut RoutesBuilder) {
        routes.add_service(HealthServer::new(HealthService::from_health_reporter(
            self.reporter.clone(),
        )));
    }
}

/// Adds reflection to a port, in both versions that clients ask for. It speaks only of what that port serves.
pub(crate) fn add_reflection(face: Face, routes: &mut RoutesBuilder) -> Result<(), Error> {
    let described = described(face).encode_to_vec();
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(&described)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes.add_service(builder().build_v1()?);
    routes.add_service(builder().build_v1alpha()?);
    Ok(())
}

/// The contract as one port serves it.
fn described(face: Face) -> FileDescriptorSet {
    // The set was encoded when the contract was built; a test decodes it.
    let mut set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    for file in &mut set.file {
        file.service
            .retain(|service| (service.name() == ADMIN_SERVICE) == (face == Face::Admin));
    }
    if face == Face::Public {
        set.file.retain(|file| !file.name().ends_with("/admin.proto"));
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(face: Face) -> Vec<String> {
        let set = described(face);
        set.file
            .iter()
            .flat_map(|file| file.service.iter().map(|service| service.name().to_owned()))
            .collect()
    }

    #[test]
    fn each_port_describes_its_own_services() {
        assert_eq!(services(Face::Admin), [ADMIN_SERVICE]);
        let public = services(Face::Public);
        assert!(
            public.len() >= 7 && !public.contains(&ADMIN_SERVICE.to_owned()),
            "{public:?}"
        );
        for face in [Face::Public, Face::Admin] {
            add_reflection(face, &mut RoutesBuilder::default()).unwrap();
        }
    }

    #[tokio::test]
    async fn health_follows_the_life_of_the_server() {
        use tonic_health::pb::HealthCheckRequest;
        use tonic_health::pb::health_server::Health as _;

        let health = Health::starting().await;
        let service = HealthService::from_health_reporter(health.reporter.clone());
        let status_of = async |name: &str| {
            let request = HealthCheckRequest {
                service: name.to_owned(),
            };
            service
                .check(tonic::Request::new(request))
                .await
                .map(|answer| answer.into_inner().status)
        };
        assert_eq!(status_of("").await.unwrap(), 2);
        health.ready().await;
        assert_eq!(status_of("").await.unwrap(), 1);
        assert_eq!(status_of("social.v1.PostService").await.unwrap(), 1);
        assert!(status_of("social.v1.NoService").await.is_err());
        health.unready().await;
        assert_eq!(status_of("").await.unwrap(), 2);
        health.ready().await;
        assert_eq!(status_of("").await.unwrap(), 1);
        health.draining().await;
        assert_eq!(status_of("social.v1.PostService").await.unwrap(), 2);
        // What looks after readiness may come later than the drain.
        health.ready().await;
        assert_eq!(status_of("").await.unwrap(), 2);
    }
}
