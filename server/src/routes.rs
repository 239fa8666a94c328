//! Which services each port serves, and how large their messages may be.

use std::sync::Arc;

use social_core::auth::Auth;
use social_core::limits;
use tonic::service::{Routes, RoutesBuilder};
use tonic_reflection::server::Error;

use crate::Parts;
use crate::grpc::{admin, auth, comment, graph, like, post, timeline, user};
use crate::health::{Face, add_reflection};

/// A service with the platform's bounds on its messages. Each is a type of its own, so this is no function.
macro_rules! bounded {
    ($service:expr) => {
        $service
            .max_decoding_message_size(limits::MESSAGE_BYTES)
            .max_encoding_message_size(limits::ANSWER_BYTES)
    };
}

/// The public port's services.
pub(crate) fn public(parts: &Parts, accounts: &Arc<Auth>) -> Result<Routes, Error> {
    let Parts { backend, streams, .. } = parts;
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(bounded!(auth::service(backend.clone(), Arc::clone(accounts))))
        .add_service(bounded!(user::service(backend.clone())))
        .add_service(bounded!(post::service(backend.clone(), streams.clone())))
        .add_service(bounded!(comment::service(backend.clone())))
        .add_service(bounded!(like::service(backend.clone(), streams.clone())))
        .add_service(bounded!(graph::service(backend.clone(), streams.clone())))
        .add_service(bounded!(timeline::service(backend.clone(), streams.clone())));
    with_standard_services(routes, parts, Face::Public)
}

/// The operators' port's services.
pub(crate) fn admin(parts: &Parts) -> Result<Routes, Error> {
    let mut routes = RoutesBuilder::default();
    routes.add_service(bounded!(admin::service(parts.backend.clone(), parts.streams.clone())));
    with_standard_services(routes, parts, Face::Admin)
}

fn with_standard_services(mut routes: RoutesBuilder, parts: &Parts, face: Face) -> Result<Routes, Error> {
    parts.health.add(&mut routes);
    if parts.reflection {
        add_reflection(face, &mut routes)?;
    }
    Ok(routes.routes())
}
