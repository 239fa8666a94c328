//! Likes.

use std::collections::HashSet;

use social_core::page::Range;
use social_core::{PostId, UserId};

use super::subject::at_once;
use super::{Subject, cases};

cases!["likes":
    a_like_counts_once,
    an_unlike_takes_it_back,
    two_devices_liking_at_once_count_once,
    two_devices_that_disagree_leave_count_and_row_in_step,
    likes_of_many_users_at_once_are_all_counted,
    likers_are_listed_newest_first,
    a_like_given_again_is_new,
    a_users_likes_are_listed_newest_first,
    a_list_of_likers_goes_on_while_others_like,
    liked_answers_in_the_order_asked_for,
    the_count_is_the_size_of_the_set_after_random_toggles,
    an_unlike_does_not_resurface,
    likes_survive_reopening,
    a_recount_finds_what_was_counted,
    a_like_of_a_deleted_post_is_kept_for_its_return,
    posts_that_do_not_exist_count_nothing,
];

async fn likers(t: &Subject, post: PostId) -> Vec<UserId> {
    let likes = t.store().likers(post, Range::newest(None, 10_000)).await.unwrap();
    likes.into_iter().map(|like| like.user).collect()
}

async fn liked_by(t: &Subject, user: UserId) -> Vec<PostId> {
    let likes = t.store().user_likes(user, Range::newest(None, 10_000)).await.unwrap();
    likes.into_iter().map(|like| like.post).collect()
}

async fn a_like_counts_once(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let post = t.post(ann, "x").await;
    let change = t.store().set_like(bob, post, true).await.unwrap();
    assert!(change.active && change.changed);
    let again = t.store().set_like(bob, post, true).await.unwrap();
    assert!(again.active && !again.changed);
    assert_eq!(t.post_counts(post).await.likes, 1);
    assert_eq!(likers(t, post).await, [bob]);
    assert!(t.store().liked(bob, &[post]).await.unwrap()[0]);
}

async fn an_unlike_takes_it_back(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let post = t.post(ann, "x").await;
    t.like(bob, post, true).await;
    let change = t.store().set_like(bob, post, false).await.unwrap();
    assert!(!change.active && change.changed);
    let again = t.store().set_like(bob, post, false).await.unwrap();
    assert!(!again.active && !again.changed);
    assert_eq!(t.post_counts(post).await.likes, 0);
    assert!(likers(t, post).await.is_empty() && liked_by(t, bob).await.is_empty());
    assert!(!t.store().liked(bob, &[post]).await.unwrap()[0]);
}

async fn two_devices_liking_at_once_count_once(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    let changes = at_once(32, |_| {
        let store = t.store();
        async move { store.set_like(ann, post, true).await.unwrap() }
    })
    .await;
    assert_eq!(changes.iter().filter(|change| change.changed).count(), 1);
    assert!(changes.iter().all(|change| change.active));
    assert_eq!(t.post_counts(post).await.likes, 1);
    assert_eq!(likers(t, post).await, [ann]);
}

async fn two_devices_that_disagree_leave_count_and_row_in_step(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    for _ in 0..10 {
        at_once(8, |number| {
            let store = t.store();
            async move { store.set_like(ann, post, number % 2 == 0).await.unwrap() }
        })
        .await;
        let liked = t.store().liked(ann, &[post]).await.unwrap()[0];
        assert_eq!(t.post_counts(post).await.likes, u64::from(liked));
        assert_eq!(likers(t, post).await.len(), usize::from(liked));
    }
}

async fn likes_of_many_users_at_once_are_all_counted(t: &Subject) {
    let users = t.users("user", 40).await;
    let post = t.post(users[0], "x").await;
    at_once(40, |number| {
        let (store, user) = (t.store(), users[number]);
        async move { store.set_like(user, post, true).await.unwrap() }
    })
    .await;
    let counts = t.post_counts(post).await;
    assert_eq!((counts.likes, counts.exact), (40, true));
    assert_eq!(
        likers(t, post).await.into_iter().collect::<HashSet<_>>(),
        users.into_iter().collect()
    );
}

async fn likers_are_listed_newest_first(t: &Subject) {
    let users = t.users("user", 5).await;
    let post = t.post(users[0], "x").await;
    for user in &users {
        t.like(*user, post, true).await;
    }
    let all = t.store().likers(post, Range::newest(None, 9)).await.unwrap();
    assert!(all.is_sorted_by(|a, b| a.since > b.since));
    assert!(all.iter().all(|like| like.post == post));
    let page = t
        .store()
        .likers(post, Range::newest(Some(all[1].since), 2))
        .await
        .unwrap();
    assert_eq!(page, all[2..4]);
    let oldest = t.store().likers(post, Range::oldest(None, 2)).await.unwrap();
    assert_eq!(oldest, [all[4], all[3]]);
    assert_eq!(oldest[0].user, users[0]);
}

async fn a_like_given_again_is_new(t: &Subject) {
    let users = t.users("user", 3).await;
    let post = t.post(users[0], "x").await;
    for user in &users {
        t.like(*user, post, true).await;
    }
    t.like(users[0], post, false).await;
    t.like(users[0], post, true).await;
    assert_eq!(likers(t, post).await, [users[0], users[2], users[1]]);
    assert_eq!(t.post_counts(post).await.likes, 3);
}

async fn a_users_likes_are_listed_newest_first(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let posts = t.posts(ann, 4).await;
    for post in [posts[2], posts[0], posts[3]] {
        t.like(bob, post, true).await;
    }
    t.like(ann, posts[1], true).await;
    assert_eq!(liked_by(t, bob).await, [posts[3], posts[0], posts[2]]);
    let first = t.store().user_likes(bob, Range::newest(None, 1)).await.unwrap();
    let rest = t
        .store()
        .user_likes(bob, Range::newest(Some(first[0].since), 9))
        .await
        .unwrap();
    assert_eq!(
        rest.iter().map(|like| like.post).collect::<Vec<_>>(),
        [posts[0], posts[2]]
    );
}

async fn a_list_of_likers_goes_on_while_others_like(t: &Subject) {
    let users = t.users("user", 20).await;
    let late = t.users("late", 8).await;
    let post = t.post(users[0], "x").await;
    for user in &users {
        t.like(*user, post, true).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    let mut late = late.into_iter();
    loop {
        let page = t.store().likers(post, Range::newest(after, 3)).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.since);
        seen.extend(page.into_iter().map(|like| like.user));
        if let Some(user) = late.next() {
            t.like(user, post, true).await;
        }
    }
    seen.reverse();
    assert_eq!(seen, users);
}

async fn liked_answers_in_the_order_asked_for(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 3).await;
    t.like(ann, posts[1], true).await;
    let liked = t
        .store()
        .liked(ann, &[posts[1], posts[0], PostId(7), posts[1]])
        .await
        .unwrap();
    assert_eq!(liked, [true, false, false, true]);
    assert!(t.store().liked(ann, &[]).await.unwrap().is_empty());
}

async fn the_count_is_the_size_of_the_set_after_random_toggles(t: &Subject) {
    use rand::{RngExt, SeedableRng};
    let users = t.users("user", 6).await;
    let posts = t.posts(users[0], 3).await;
    at_once(8, |number| {
        let (store, users, posts) = (t.store(), users.clone(), posts.clone());
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(number as u64);
        async move {
            for _ in 0..40 {
                let (user, post) = (users[rng.random_range(0..6)], posts[rng.random_range(0..3)]);
                store.set_like(user, post, rng.random_bool(0.5)).await.unwrap();
            }
        }
    })
    .await;
    for reopened in [false, true] {
        for post in &posts {
            let mut set = 0;
            for user in &users {
                set += u64::from(t.store().liked(*user, &[*post]).await.unwrap()[0]);
            }
            assert_eq!(t.post_counts(*post).await.likes, set, "reopened: {reopened}");
            assert_eq!(likers(t, *post).await.len() as u64, set, "reopened: {reopened}");
        }
        t.reopen().await;
    }
}

async fn an_unlike_does_not_resurface(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    t.like(ann, posts[0], true).await;
    t.like(ann, posts[1], true).await;
    t.like(ann, posts[0], false).await;
    for _ in 0..2 {
        t.reopen().await;
        assert_eq!(liked_by(t, ann).await, [posts[1]]);
        assert!(likers(t, posts[0]).await.is_empty());
        assert_eq!(t.post_counts(posts[0]).await.likes, 0);
    }
}

async fn likes_survive_reopening(t: &Subject) {
    let users = t.users("user", 4).await;
    let post = t.post(users[0], "x").await;
    for user in &users {
        t.like(*user, post, true).await;
    }
    let before = t.store().likers(post, Range::newest(None, 9)).await.unwrap();
    t.reopen().await;
    assert_eq!(t.store().likers(post, Range::newest(None, 9)).await.unwrap(), before);
    assert_eq!(liked_by(t, users[1]).await, [post]);
    assert_eq!(t.post_counts(post).await.likes, 4);
    assert!(!t.like(users[2], post, true).await, "it is set already");
}

async fn a_recount_finds_what_was_counted(t: &Subject) {
    let users = t.users("user", 3).await;
    let post = t.post(users[0], "x").await;
    for user in &users {
        t.like(*user, post, true).await;
    }
    t.comment(users[1], post).await;
    t.reply(users[2], post).await;
    let counts = t.post_counts(post).await;
    let (was, is) = t.counters().recount_post(post).await.unwrap();
    assert_eq!((was, is), (counts, counts));
    assert_eq!((is.likes, is.comments, is.replies, is.exact), (3, 1, 1, true));
    assert_eq!(t.post_counts(post).await, counts);
}

async fn a_like_of_a_deleted_post_is_kept_for_its_return(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.like(ann, post, true).await;
    t.comment(ann, post).await;
    t.delete(post).await;
    t.undelete(post).await;
    let counts = t.post_counts(post).await;
    assert_eq!((counts.likes, counts.comments), (1, 1));
    assert_eq!(likers(t, post).await, [ann]);
}

async fn posts_that_do_not_exist_count_nothing(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.like(ann, post, true).await;
    let counts = t.counters().posts(&[PostId(7), post]).await.unwrap();
    assert_eq!(
        (counts[0].likes, counts[0].comments, counts[0].replies, counts[1].likes),
        (0, 0, 0, 1)
    );
    let users = t.counters().users(&[UserId(7), ann]).await.unwrap();
    assert_eq!(
        (users[0].posts, users[0].followers, users[0].following, users[1].posts),
        (0, 0, 0, 1)
    );
    assert!(likers(t, PostId(7)).await.is_empty());
}
