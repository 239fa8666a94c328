//! The contract keeps its own conventions. Each rule is shown to catch a contract that breaks it.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
};
use social_proto::{FILE_DESCRIPTOR_SET, methods};

const PACKAGE: &str = "social.v1";

/// Services that browsers do not call, and that so may take streams.
const ADMIN_SERVICES: &[&str] = &["AdminService"];

/// What the names of methods begin with that change nothing.
const READS: &[&str] = &["Get", "BatchGet", "List", "Subscribe", "Stream"];

/// Unary mutations without request_id. Login: each call that succeeds opens a session of its own.
const WITHOUT_REQUEST_ID: &[&str] = &["Login"];

fn contract() -> FileDescriptorSet {
    let mut set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    set.file.retain(|file| file.package() == PACKAGE);
    set
}

/// Every breach of a convention, as `where: what`.
fn breaches(set: &FileDescriptorSet) -> Vec<String> {
    let messages: BTreeMap<&str, &DescriptorProto> = set
        .file
        .iter()
        .flat_map(|file| &file.message_type)
        .map(|message| (message.name(), message))
        .collect();
    let mut found = Vec::new();
    for file in &set.file {
        check_comments(file, &mut found);
        for message in &file.message_type {
            check_message(message, &mut found);
        }
        for enumeration in &file.enum_type {
            check_enum(enumeration, &mut found);
        }
        for service in &file.service {
            let public = !ADMIN_SERVICES.contains(&service.name());
            for method in &service.method {
                let place = format!("{}.{}", service.name(), method.name());
                let mut say = |what: &str| found.push(format!("{place}: {what}"));
                check_method(method, public, &messages, &mut say);
            }
        }
    }
    check_one_use(set, &mut found);
    found
}

fn check_method(
    method: &MethodDescriptorProto,
    public: bool,
    messages: &BTreeMap<&str, &DescriptorProto>,
    say: &mut impl FnMut(&str),
) {
    let name = method.name();
    if short(method.input_type()) != format!("{name}Request") {
        say("its request is not named after it");
    }
    if short(method.output_type()) != format!("{name}Response") {
        say("its response is not named after it");
    }
    let (Some(request), Some(response)) = (
        messages.get(short(method.input_type())),
        messages.get(short(method.output_type())),
    ) else {
        return say("its request or response is of another package");
    };
    if public && method.client_streaming() {
        say("a public method takes a stream, which browsers cannot send");
    }
    if method.server_streaming() != (name.starts_with("Subscribe") || name.starts_with("Stream")) {
        say("Subscribe and Stream answer a stream, and nothing else does");
    }
    let mut need = |message: &DescriptorProto, field: &str| {
        if !has_field(message, field) {
            say(&format!("{} has no {field}", message.name()));
        }
    };
    let read = READS.iter().any(|prefix| name.starts_with(prefix));
    if !read && !method.client_streaming() && !WITHOUT_REQUEST_ID.contains(&name) {
        need(request, "request_id");
    }
    if name.starts_with("List") {
        need(request, "page_size");
        need(request, "page_token");
        need(response, "next_page_token");
    }
    if name.starts_with("BatchGet") {
        need(response, "not_found_ids");
    }
    if name.starts_with("Update") {
        need(request, "update_mask");
        need(request, "etag");
    }
    if name.starts_with("Import") {
        need(request, "import_id");
        need(request, "offset");
    }
    if read && has_field(request, "request_id") {
        say("it reads, and takes a request_id");
    }
}

fn check_message(message: &DescriptorProto, found: &mut Vec<String>) {
    for field in &message.field {
        let place = format!("{}.{}", message.name(), field.name());
        let timestamp = field.type_name() == ".google.protobuf.Timestamp";
        let named_time = field.name().ends_with("_time") || field.name() == "time";
        if timestamp != named_time {
            found.push(format!("{place}: timestamps, and they alone, are named _time"));
        }
        let is_id = field.name() == "id" || field.name().ends_with("_id");
        if is_id && (field.r#type() != Type::String || field.label() == Label::Repeated) {
            found.push(format!("{place}: an id is one string"));
        }
        let is_ids = field.name() == "ids" || field.name().ends_with("_ids");
        if is_ids && (field.r#type() != Type::String || field.label() != Label::Repeated) {
            found.push(format!("{place}: ids are repeated strings"));
        }
        if field.name() == "page_size" && field.r#type() != Type::Int32 {
            found.push(format!("{place}: page_size is an int32"));
        }
    }
    if !message.nested_type.is_empty() || !message.enum_type.is_empty() {
        found.push(format!("{}: types are not nested", message.name()));
    }
}

fn check_enum(enumeration: &EnumDescriptorProto, found: &mut Vec<String>) {
    let zero = enumeration.value.iter().find(|value| value.number() == 0);
    if !zero.is_some_and(|value| value.name().ends_with("_UNSPECIFIED")) {
        found.push(format!("{}: its zero does not end in _UNSPECIFIED", enumeration.name()));
    }
}

/// A request or response belongs to one method.
fn check_one_use(set: &FileDescriptorSet, found: &mut Vec<String>) {
    let mut used = BTreeSet::new();
    for method in set
        .file
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
    {
        for message in [method.input_type(), method.output_type()] {
            if !used.insert(message) {
                found.push(format!("{message}: two methods use it"));
            }
        }
    }
}

/// Everything that has a name has a comment above it: whole sentences, so it ends in a full stop.
fn check_comments(file: &FileDescriptorProto, found: &mut Vec<String>) {
    let comments: BTreeMap<&[i32], &str> = file
        .source_code_info
        .iter()
        .flat_map(|info| &info.location)
        .map(|location| (location.path.as_slice(), location.leading_comments().trim()))
        .collect();
    for (path, name) in named(file) {
        let comment = comments.get(path.as_slice()).copied().unwrap_or_default();
        if comment.len() < 5 || !comment.ends_with('.') {
            found.push(format!("{name}: its comment is {comment:?}"));
        }
    }
}

/// Paths, as `google.protobuf.SourceCodeInfo` counts them, and names of what must have a comment.
fn named(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let mut named = Vec::new();
    for (i, message) in (0..).zip(&file.message_type) {
        named.push((vec![4, i], message.name().to_owned()));
        for (j, field) in (0..).zip(&message.field) {
            named.push((vec![4, i, 2, j], format!("{}.{}", message.name(), field.name())));
        }
        for (j, oneof) in (0..).zip(&message.oneof_decl) {
            named.push((vec![4, i, 8, j], format!("{}.{}", message.name(), oneof.name())));
        }
    }
    for (i, enumeration) in (0..).zip(&file.enum_type) {
        named.push((vec![5, i], enumeration.name().to_owned()));
        for (j, value) in (0..).zip(&enumeration.value) {
            named.push((vec![5, i, 2, j], value.name().to_owned()));
        }
    }
    for (i, service) in (0..).zip(&file.service) {
        named.push((vec![6, i], service.name().to_owned()));
        for (j, method) in (0..).zip(&service.method) {
            named.push((vec![6, i, 2, j], format!("{}.{}", service.name(), method.name())));
        }
    }
    named
}

fn has_field(message: &DescriptorProto, name: &str) -> bool {
    message.field.iter().any(|field| field.name() == name)
}

/// A type's name without its package.
fn short(type_name: &str) -> &str {
    type_name.strip_prefix(".social.v1.").unwrap_or(type_name)
}

#[test]
fn the_contract_keeps_its_conventions() {
    let found = breaches(&contract());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_contract_has_all_services_and_the_method_table_all_methods() {
    let set = contract();
    let services: BTreeSet<&str> = set
        .file
        .iter()
        .flat_map(|file| &file.service)
        .map(|service| service.name())
        .collect();
    let nouns = ["Admin", "Auth", "Comment", "Graph", "Like", "Post", "Timeline", "User"];
    assert_eq!(
        services,
        nouns
            .map(|noun| format!("{noun}Service"))
            .iter()
            .map(String::as_str)
            .collect()
    );

    let mut paths = BTreeSet::new();
    for service in set.file.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            paths.insert(format!("/{PACKAGE}.{}/{}", service.name(), method.name()));
        }
    }
    assert_eq!(
        methods()
            .iter()
            .map(|method| method.path.to_owned())
            .collect::<BTreeSet<_>>(),
        paths
    );
    assert_eq!(methods().len(), paths.len());
    for method in methods() {
        assert_eq!(method.path, format!("/{}/{}", method.service, method.name));
    }
    let streams: BTreeSet<&str> = methods()
        .iter()
        .filter(|method| method.server_streaming)
        .map(|method| method.name)
        .collect();
    let expected = [
        "StreamArchive",
        "StreamBackup",
        "StreamFollowers",
        "SubscribeCounts",
        "SubscribeHomeTimeline",
        "SubscribePost",
    ];
    assert_eq!(streams, BTreeSet::from(expected));
}

/// One change to the contract that breaks a rule, and what the rule then says.
struct Breach {
    change: fn(&mut FileDescriptorSet),
    says: &'static str,
}

const BREACHES: &[Breach] = &[
    Breach {
        change: |set| drop_field(set, "CreatePostRequest", "request_id"),
        says: "CreatePost: CreatePostRequest has no request_id",
    },
    Breach {
        change: |set| drop_field(set, "ListMutesRequest", "page_size"),
        says: "ListMutes: ListMutesRequest has no page_size",
    },
    Breach {
        change: |set| drop_field(set, "ListMutesRequest", "page_token"),
        says: "ListMutesRequest has no page_token",
    },
    Breach {
        change: |set| drop_field(set, "ListMutesResponse", "next_page_token"),
        says: "ListMutesResponse has no next_page_token",
    },
    Breach {
        change: |set| drop_field(set, "BatchGetPostsResponse", "not_found_ids"),
        says: "BatchGetPostsResponse has no not_found_ids",
    },
    Breach {
        change: |set| drop_field(set, "UpdatePostRequest", "etag"),
        says: "UpdatePostRequest has no etag",
    },
    Breach {
        change: |set| drop_field(set, "ImportPostsRequest", "offset"),
        says: "ImportPostsRequest has no offset",
    },
    Breach {
        change: |set| method(set, "Follow").client_streaming = Some(true),
        says: "Follow: a public method takes a stream",
    },
    Breach {
        change: |set| method(set, "Follow").server_streaming = Some(true),
        says: "Follow: Subscribe and Stream answer a stream",
    },
    Breach {
        change: |set| method(set, "Follow").input_type = Some(".social.v1.BlockRequest".into()),
        says: "Follow: its request is not named",
    },
    Breach {
        change: |set| method(set, "Follow").output_type = Some(".social.v1.BlockResponse".into()),
        says: "BlockResponse: two methods use it",
    },
    Breach {
        change: |set| method(set, "Follow").name = Some("GetFollow".into()),
        says: "GetFollow: it reads, and takes a request_id",
    },
    Breach {
        change: |set| rename_field(set, "Post", "create_time", "created"),
        says: "Post.created: timestamps",
    },
    Breach {
        change: |set| rename_field(set, "Post", "revision_count", "revision_id"),
        says: "Post.revision_id: an id is one string",
    },
    Breach {
        change: |set| rename_zero(set, "Visibility"),
        says: "Visibility: its zero",
    },
    Breach {
        change: |set| drop_comment(set, "PostService"),
        says: "PostService: its comment is \"\"",
    },
    Breach {
        change: |set| drop_comment(set, "PostService.GetPost"),
        says: "PostService.GetPost: its comment is \"\"",
    },
    Breach {
        change: |set| drop_comment(set, "Post"),
        says: "Post: its comment is \"\"",
    },
    Breach {
        change: |set| drop_comment(set, "Post.id"),
        says: "Post.id: its comment is \"\"",
    },
    Breach {
        change: |set| drop_comment(set, "Facet.feature"),
        says: "Facet.feature: its comment is \"\"",
    },
    Breach {
        change: |set| drop_comment(set, "Visibility"),
        says: "Visibility: its comment is \"\"",
    },
    Breach {
        change: |set| drop_comment(set, "VISIBILITY_PUBLIC"),
        says: "VISIBILITY_PUBLIC: its comment is \"\"",
    },
];

#[test]
fn each_rule_catches_its_breach() {
    for breach in BREACHES {
        let mut set = contract();
        (breach.change)(&mut set);
        let found = breaches(&set);
        assert!(
            found.iter().any(|found| found.contains(breach.says)),
            "{}: not in {found:?}",
            breach.says
        );
    }
}

fn message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    set.file
        .iter_mut()
        .flat_map(|file| &mut file.message_type)
        .find(|message| message.name() == name)
        .unwrap()
}

fn method<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut MethodDescriptorProto {
    let services = set.file.iter_mut().flat_map(|file| &mut file.service);
    services
        .flat_map(|service| &mut service.method)
        .find(|method| method.name() == name)
        .unwrap()
}

fn drop_field(set: &mut FileDescriptorSet, in_message: &str, name: &str) {
    message(set, in_message).field.retain(|field| field.name() != name);
}

fn rename_field(set: &mut FileDescriptorSet, in_message: &str, from: &str, to: &str) {
    let fields = &mut message(set, in_message).field;
    fields.iter_mut().find(|field| field.name() == from).unwrap().name = Some(to.to_owned());
}

fn rename_zero(set: &mut FileDescriptorSet, name: &str) {
    let mut enums = set.file.iter_mut().flat_map(|file| &mut file.enum_type);
    enums.find(|enumeration| enumeration.name() == name).unwrap().value[0].name = Some("ZERO".into());
}

fn drop_comment(set: &mut FileDescriptorSet, name: &str) {
    for file in &mut set.file {
        let paths: Vec<_> = named(file)
            .into_iter()
            .filter(|(_, named)| named == name)
            .map(|(path, _)| path)
            .collect();
        let locations = &mut file.source_code_info.as_mut().unwrap().location;
        for location in locations.iter_mut().filter(|location| paths.contains(&location.path)) {
            location.leading_comments = None;
        }
    }
}
