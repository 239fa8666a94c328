//! What the layers know of each method.

use std::collections::HashMap;
use std::sync::LazyLock;

use social_core::access::{self, Class, Credentials};

/// A method of the contract, or of one of the standard services beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// Its full name, for logs and metrics.
    pub(crate) name: &'static str,
    /// Which credentials it takes.
    pub(crate) credentials: Credentials,
    /// Whose budget it is charged to; none for a probe, which must be answered whatever else goes on.
    pub(crate) class: Option<Class>,
    /// The request is a stream: it may take as long as its sender needs.
    pub(crate) client_streaming: bool,
    /// The answer is a stream: it may stay open.
    pub(crate) server_streaming: bool,
}

/// Methods of the standard services: path, client stream, server stream.
const STANDARD: [(&str, bool, bool); 5] = [
    ("/grpc.health.v1.Health/Check", false, false),
    ("/grpc.health.v1.Health/List", false, false),
    ("/grpc.health.v1.Health/Watch", false, true),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true, true),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        true,
        true,
    ),
];

/// The method with this path; none where the server has no such method, or nobody stated a rule for it.
pub(crate) fn method(path: &str) -> Option<&'static Method> {
    static METHODS: LazyLock<HashMap<&'static str, Method>> =
        LazyLock::new(|| of_contract().chain(standard()).collect());
    METHODS.get(path)
}

fn of_contract() -> impl Iterator<Item = (&'static str, Method)> {
    social_proto::methods().iter().filter_map(|method| {
        let rule = access::rule(method.path)?;
        let known = Method {
            name: &method.path[1..],
            credentials: rule.credentials,
            class: Some(rule.class),
            client_streaming: method.client_streaming,
            server_streaming: method.server_streaming,
        };
        Some((method.path, known))
    })
}

fn standard() -> impl Iterator<Item = (&'static str, Method)> {
    STANDARD.into_iter().map(|(path, client_streaming, server_streaming)| {
        let known = Method {
            name: &path[1..],
            credentials: Credentials::None,
            class: server_streaming.then_some(Class::Stream),
            client_streaming,
            server_streaming,
        };
        (path, known)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_contract_is_known() {
        for described in social_proto::methods() {
            let known = method(described.path).unwrap_or_else(|| panic!("{} has no rule", described.path));
            assert_eq!(known.server_streaming, described.server_streaming);
            assert_eq!(
                known.credentials == Credentials::Admin,
                described.service.ends_with(".AdminService")
            );
        }
        assert!(method("/social.v1.PostService/Nothing").is_none());
    }
}
