//! What random clients do. Numbers choose among what there is, by remainder.

use proptest::collection::vec;
use proptest::prelude::*;
use social_core::fanout::Strategy as FanoutStrategy;
use social_core::graph::EdgeKind;
use social_core::posts::Visibility;

/// Something done to truth.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Post {
        author: usize,
        reply_to: Option<usize>,
        visibility: Visibility,
    },
    /// The last post's request again.
    Repeat,
    EditPost {
        post: usize,
        visibility: Option<Visibility>,
        version: Option<u64>,
    },
    DeletePost {
        post: usize,
        version: Option<u64>,
    },
    UndeletePost {
        post: usize,
    },
    Comment {
        author: usize,
        post: usize,
        parent: Option<usize>,
    },
    EditComment {
        comment: usize,
        version: Option<u64>,
    },
    DeleteComment {
        comment: usize,
        version: Option<u64>,
    },
    Like {
        user: usize,
        post: usize,
        active: bool,
    },
    Edge {
        kind: EdgeKind,
        from: usize,
        to: usize,
        active: bool,
    },
    Policy {
        strategy: FanoutStrategy,
        threshold: u64,
    },
    Finish {
        event: usize,
    },
    Fail {
        event: usize,
        times: usize,
    },
    Replay {
        event: usize,
    },
    Marker {
        user: usize,
        post: usize,
    },
    Expire,
    Pass {
        seconds: u64,
    },
    StepBack {
        seconds: u64,
    },
    Reopen,
}

fn visibility() -> impl Strategy<Value = Visibility> {
    prop_oneof![4 => Just(Visibility::Public), 1 => Just(Visibility::Followers), 1 => Just(Visibility::Private)]
}

fn edge_kind() -> impl Strategy<Value = EdgeKind> {
    prop_oneof![6 => Just(EdgeKind::Follow), 1 => Just(EdgeKind::Block), 1 => Just(EdgeKind::Mute)]
}

fn fanout_strategy() -> impl Strategy<Value = FanoutStrategy> {
    prop_oneof![
        Just(FanoutStrategy::Push),
        Just(FanoutStrategy::Pull),
        Just(FanoutStrategy::Hybrid)
    ]
}

impl Operation {
    /// Any of them, what is common more often.
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let version = || prop::option::weighted(0.2, 1..4u64);
        let any = || any::<usize>();
        prop_oneof![
            8 => (any(), prop::option::weighted(0.3, any()), visibility())
                .prop_map(|(author, reply_to, visibility)| Self::Post { author, reply_to, visibility }),
            1 => Just(Self::Repeat),
            3 => (any(), prop::option::weighted(0.4, visibility()), version())
                .prop_map(|(post, visibility, version)| Self::EditPost { post, visibility, version }),
            3 => (any(), version()).prop_map(|(post, version)| Self::DeletePost { post, version }),
            2 => any().prop_map(|post| Self::UndeletePost { post }),
            5 => (any(), any(), prop::option::of(any()))
                .prop_map(|(author, post, parent)| Self::Comment { author, post, parent }),
            1 => (any(), version()).prop_map(|(comment, version)| Self::EditComment { comment, version }),
            2 => (any(), version()).prop_map(|(comment, version)| Self::DeleteComment { comment, version }),
            6 => (any(), any(), prop::bool::weighted(0.6))
                .prop_map(|(user, post, active)| Self::Like { user, post, active }),
            8 => (edge_kind(), any(), any(), prop::bool::weighted(0.6))
                .prop_map(|(kind, from, to, active)| Self::Edge { kind, from, to, active }),
            2 => (fanout_strategy(), 0..4u64).prop_map(|(strategy, threshold)| Self::Policy { strategy, threshold }),
            4 => any().prop_map(|event| Self::Finish { event }),
            2 => (any(), 1..7usize).prop_map(|(event, times)| Self::Fail { event, times }),
            1 => any().prop_map(|event| Self::Replay { event }),
            1 => (any(), any()).prop_map(|(user, post)| Self::Marker { user, post }),
            1 => Just(Self::Expire),
            2 => (1..1_000_000u64).prop_map(|seconds| Self::Pass { seconds }),
            1 => (1..1_000u64).prop_map(|seconds| Self::StepBack { seconds }),
            1 => Just(Self::Reopen),
        ]
    }
}

/// Something done to one viewer's timeline.
#[derive(Debug, Clone)]
pub(super) enum TimelineOperation {
    Append(Vec<u64>),
    Renew(u64),
    Insert(Vec<u64>),
    Begin,
    /// Fills the generation begun `age` times before the last one.
    Fill {
        age: usize,
        posts: Vec<u64>,
        covers_from: u64,
    },
    Forget,
    /// Asks what arrived after a position remembered so many reads ago.
    Since(usize),
}

impl TimelineOperation {
    /// Any of them. Ids are few, so that they meet; some appends are many, so that timelines fill up.
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let post = || 1..1_500u64;
        prop_oneof![
            6 => vec(post(), 1..4).prop_map(Self::Append),
            2 => vec(post(), 300..500).prop_map(Self::Append),
            3 => post().prop_map(Self::Renew),
            3 => vec(post(), 0..5).prop_map(Self::Insert),
            4 => Just(Self::Begin),
            4 => (prop_oneof![9 => Just(0usize), 1 => Just(1)], vec(post(), 0..900), prop_oneof![Just(0), 1..700u64])
                .prop_map(|(age, posts, covers_from)| Self::Fill { age, posts, covers_from }),
            1 => Just(Self::Forget),
            8 => (0..12usize).prop_map(Self::Since),
        ]
    }
}
