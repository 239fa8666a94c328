//! Cases of UserService.

use social_core::limits;
use social_proto::v1;
use social_proto::v1::get_user_request::User;

use crate::auth::HANDLES;
use crate::table::{Bounds, Maker, NOBODY, Refusal, Table, id, mask};
use crate::world::World;

const NAME: Bounds = Bounds::line(limits::DISPLAY_NAME_CHARS, limits::DISPLAY_NAME_BYTES);
const BIO: Bounds = Bounds::prose(limits::BIO_CHARS, limits::BIO_BYTES).optional();

pub(crate) fn tables(world: &World) -> Vec<Table> {
    vec![
        get_user(world),
        batch_get_users(world),
        update_profile(world),
        batch_get_relationships(world),
    ]
}

fn get_user(world: &World) -> Table {
    let right = v1::GetUserRequest {
        user: Some(User::Id(world.bob.id.clone())),
    };
    let nobody = || Refusal::not_found("USER_NOT_FOUND");
    let mut maker = Maker::new(world, "UserService/GetUser", right)
        .field("user", "missing", |m| m.user = None)
        .field("id", "missing", |m| m.user = Some(User::Id(String::new())))
        .field("id", "malformed", |m| m.user = Some(User::Id("alice".to_owned())))
        .field("id", "beyond 63 bits", |m| {
            m.user = Some(User::Id("zzzzzzzzzzzzz".to_owned()));
        })
        .case("an id of nobody", nobody(), |m| {
            m.user = Some(User::Id(NOBODY.to_owned()));
        })
        .case("a handle of nobody", nobody(), |m| {
            m.user = Some(User::Handle("nobody".to_owned()));
        });
    for (what, bad) in HANDLES {
        maker = maker.field("handle", what, |m| m.user = Some(User::Handle(bad.to_owned())));
    }
    maker.done()
}

fn batch_get_users(world: &World) -> Table {
    let right = v1::BatchGetUsersRequest {
        user_ids: vec![world.bob.id.clone()],
    };
    Maker::new(world, "UserService/BatchGetUsers", right)
        .ids("user_ids", |m| &mut m.user_ids)
        .done()
}

fn update_profile(world: &World) -> Table {
    let right = v1::UpdateProfileRequest {
        display_name: "Alice".to_owned(),
        update_mask: mask("display_name"),
        request_id: id(),
        ..Default::default()
    };
    let name = Maker::new(world, "UserService/UpdateProfile", right)
        .text("display_name", NAME, |m| &mut m.display_name)
        .mask(|m| &mut m.update_mask)
        .etag(|m| &mut m.etag)
        .request_id(|m| &mut m.request_id)
        .reused(&world.used.update_profile, |m| &mut m.request_id);
    let right = v1::UpdateProfileRequest {
        bio: "here".to_owned(),
        update_mask: mask("bio"),
        request_id: id(),
        ..Default::default()
    };
    let bio = Maker::new(world, "UserService/UpdateProfile", right)
        .text("bio", BIO, |m| &mut m.bio)
        .done();
    name.and(bio).done()
}

fn batch_get_relationships(world: &World) -> Table {
    let right = v1::BatchGetRelationshipsRequest {
        user_ids: vec![world.bob.id.clone()],
    };
    Maker::new(world, "UserService/BatchGetRelationships", right)
        .ids("user_ids", |m| &mut m.user_ids)
        .done()
}
