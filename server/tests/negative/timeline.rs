//! Cases of TimelineService.

use social_proto::v1;
use tonic::Code;

use crate::table::{Maker, Refusal, Table, id};
use crate::world::World;

pub(crate) fn tables(world: &World) -> Vec<Table> {
    vec![
        get_home_timeline(world),
        Maker::new(world, "TimelineService/GetMarker", v1::GetMarkerRequest {}).done(),
        set_marker(world),
        get_fanout_status(world),
        subscribe_home_timeline(world),
    ]
}

fn cursor_invalid(field: &str) -> Refusal {
    Refusal::of(Code::InvalidArgument, "CURSOR_INVALID").at(field)
}

fn get_home_timeline(world: &World) -> Table {
    let right = v1::GetHomeTimelineRequest::default();
    let mut maker =
        Maker::new(world, "TimelineService/GetHomeTimeline", right).page(|m| &mut m.page_size, |m| &mut m.page_token);
    for (what, bad) in world.bad_cursors() {
        let refused = cursor_invalid("newer_than_cursor");
        maker = maker.case(&format!("a cursor: {what}"), refused, |m| m.newer_than_cursor = bad);
    }
    maker.done()
}

fn set_marker(world: &World) -> Table {
    let right = v1::SetMarkerRequest {
        last_read_post_id: world.post.clone(),
        request_id: id(),
        ..Default::default()
    };
    Maker::new(world, "TimelineService/SetMarker", right)
        .id("last_read_post_id", |m| &mut m.last_read_post_id)
        .etag(|m| &mut m.etag)
        .request_id(|m| &mut m.request_id)
        .done()
}

fn get_fanout_status(world: &World) -> Table {
    let right = v1::GetFanoutStatusRequest {
        fanout_id: world.post.clone(),
    };
    Maker::new(world, "TimelineService/GetFanoutStatus", right)
        .id("fanout_id", |m| &mut m.fanout_id)
        .unknown("FANOUT_NOT_FOUND", |m| &mut m.fanout_id)
        .case("a fan-out of bob's post", Refusal::not_found("FANOUT_NOT_FOUND"), |m| {
            m.fanout_id.clone_from(&world.bobs_fanout);
        })
        .done()
}

fn subscribe_home_timeline(world: &World) -> Table {
    let right = v1::SubscribeHomeTimelineRequest::default();
    let mut maker = Maker::new(world, "TimelineService/SubscribeHomeTimeline", right);
    for (what, bad) in world.bad_cursors() {
        let refused = cursor_invalid("resume_cursor");
        maker = maker.case(&format!("a cursor: {what}"), refused, |m| m.resume_cursor = bad);
    }
    maker.done()
}
