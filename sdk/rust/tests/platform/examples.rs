//! The examples, run.

use std::path::Path;

use social_sdk::Uuid;

use crate::house::House;
use crate::people::PASSWORD;
use crate::wait::{in_time, until};

macro_rules! example {
    ($name:ident, $path:literal) => {
        #[path = $path]
        #[allow(dead_code, reason = "its `main` is for the command line")]
        mod $name;
    };
}

example!(export_followers, "../../examples/export_followers.rs");
example!(import, "../../examples/import.rs");
example!(quickstart, "../../examples/quickstart.rs");
example!(watch, "../../examples/watch.rs");

#[tokio::test]
async fn quickstart_runs_again_and_again() {
    let house = House::open().await;
    for _ in 0..2 {
        in_time("the example", quickstart::run(&house.endpoint)).await.unwrap();
    }
}

#[tokio::test]
async fn import_and_export_fit_together() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let (people, token) = (house.path("people.tsv"), house.path("data/admin.token"));
    std::fs::write(&people, "bob\tBob B.\t\ncat\tCat C.\t\nno handle\t\t\n").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let id = Uuid::new_v4().to_string();
    for _ in 0..2 {
        let run = import::run(&text(&token), &id, &text(&people), &house.admin_endpoint).await;
        run.expect("imported, or there already");
    }
    assert_eq!(
        house
            .anonymous()
            .users()
            .get_by_handle("cat")
            .await
            .unwrap()
            .display_name,
        "Cat C."
    );

    // A line that is no text ends it, and is told.
    std::fs::write(&people, b"dan\tDan D.\t\n\xff\n").unwrap();
    let id = Uuid::new_v4().to_string();
    let run = import::run(&text(&token), &id, &text(&people), &house.admin_endpoint).await;
    let error = run.expect_err("told").to_string();
    assert!(error.contains("line 2") && error.contains("1 items are in"), "{error}");

    let fan = house.person("fan").await;
    fan.follow(&ann).await;
    let followers = house.path("followers.tsv");
    let run = export_followers::run("ann", PASSWORD, "ann", &text(&followers), &house.endpoint).await;
    run.expect("exported");
    let lines = std::fs::read_to_string(&followers).unwrap();
    assert_eq!(lines, format!("{}\tfan\tfan\n", fan.id));
    assert!(
        !house.path("followers.tsv.cursor").exists(),
        "nothing is left to resume"
    );
}

#[tokio::test]
async fn watch_goes_on_from_run_to_run() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let folder = house.path("watching");
    std::fs::create_dir(&folder).unwrap();
    let cursor = || std::fs::read_to_string(folder.join("watch.cursor")).unwrap_or_default();
    for round in 0..2 {
        let watching = watch::run("ann", PASSWORD, &house.endpoint, &folder);
        let posting = async {
            let before = cursor();
            // Its own first checkpoint comes before what happens.
            if round == 0 {
                until("the first checkpoint", || !cursor().is_empty()).await;
            }
            ann.post("Watch this").await;
            until("a checkpoint behind the post", || cursor() != before).await;
        };
        tokio::select! {
            ended = watching => panic!("it ended: {:?}", ended.err().map(|error| error.to_string())),
            () = posting => {}
        }
    }
}
