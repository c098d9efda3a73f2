//! Nodes that come and go, pools without any, names that cannot be resolved.

use std::time::Duration;

use tidegate_harness::{
    Node, Reply, Site,
    client::request,
    eventually, json,
    load::{Load, Plan},
    wire::latin,
};

use super::{addresses, algorithm, nodes};

#[tokio::test]
async fn a_node_that_is_deleted_goes_as_the_pool_says() {
    for behaviour in ["drain", "immediate"] {
        let slow = Node::with("slow", |_| Reply::ok("late").after(Duration::from_secs(2))).await;
        let other = Node::start("other").await;
        let pool = json!({ "basic": { "node_delete_behavior": behaviour } });
        let mut site = Site::start(&[slow.address], json!({}), pool.clone()).await;
        let mut client = site.client().await;
        client.send(request("POST", "/", &[], b"x")).await;
        eventually("the request to arrive", async || (slow.requests() == 1).then_some(())).await;
        let document = site.document(&[other.address], &json!({}), &pool);
        site.tidegate.document(&document).await;
        assert_eq!(site.get("/").await.node(), "other");
        let response = client.response_to("POST").await;
        assert!(behaviour == "immediate" || response.text() == "late", "{behaviour}: {}", response.text());
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn turns_and_health_outlive_a_change_of_configuration() {
    let bad = Node::with("bad", |_| Reply::close_now()).await;
    let good = Node::start("good").await;
    let pool = |seconds: u32| json!({ "basic": { "node_connection_attempts": 1 }, "connection": { "queue_timeout": seconds } });
    let mut site = Site::start(&[bad.address, good.address], json!({}), pool(10)).await;
    assert!(site.nodes(4).await.iter().all(|label| label == "good"));
    assert_eq!(bad.requests(), 1);
    let connections = good.connections();
    for seconds in [11, 12, 13] {
        let document = site.document(&[bad.address, good.address], &json!({}), &pool(seconds));
        site.tidegate.document(&document).await;
        assert!(site.nodes(4).await.iter().all(|label| label == "good"));
    }
    assert_eq!(bad.requests(), 1, "a failed node was tried again because of a change elsewhere");
    assert!(good.connections() <= connections + 2, "idle connections were lost with the change");
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_is_introduced_gently() {
    let first = nodes(2).await;
    let new = Node::start("new").await;
    let mut site = Site::start(&addresses(&first), json!({}), algorithm("least_connections")).await;
    let load = Load::start(&Plan { rate: 500, connections: 10, ..Plan::new(site.address) });
    load.run_for(Duration::from_millis(500)).await;
    let mut all = addresses(&first);
    all.push(new.address);
    let document = site.document(&all, &json!({}), &algorithm("least_connections"));
    site.tidegate.document(&document).await;
    let before = new.requests();
    load.run_for(Duration::from_secs(1)).await;
    let soon = new.requests() - before;
    let report = load.finish().await;
    assert_eq!(report.failed(), 0, "{report}");
    assert!(soon > 0, "a new node must get some requests: {report}");
    assert!(soon < 140, "a new node got {soon} of about 500 requests in its first second: {report}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_pool_without_nodes_and_one_that_does_not_exist_answer_503() {
    let site = Site::start(&[], json!({}), json!({})).await;
    let response = site.get("/").await;
    assert_eq!(response.status, 503, "{}", latin(&response.head.raw));
    site.tidegate.stop().await;
    let site = Site::set_up(
        |port| tidegate_harness::Document::new().server("site", port, "missing", &json!({})),
        |setup| setup,
    )
    .await;
    assert!((500..=504).contains(&site.get("/").await.status));
    site.tidegate.line(&["missing"]).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_node_whose_name_cannot_be_resolved_harms_no_other() {
    let node = Node::start("n").await;
    let rows = json!([{ "node": "nowhere.invalid:80" }, { "node": node.address.to_string() }]);
    let pool = json!({ "basic": { "nodes_table": rows } });
    let site = Site::set_up(
        |port| {
            tidegate_harness::Document::new().server("site", port, "nodes", &json!({})).pool(
                "nodes",
                &[],
                &pool,
            )
        },
        |setup| {
            // Nobody answers there.
            let setup = setup.file("data/resolv.conf", "nameserver 127.0.0.255\n").not_ready();
            let path = setup.volume.path().join("data/resolv.conf");
            setup.arguments(&["--resolv-conf", path.to_str().unwrap()])
        },
    )
    .await;
    site.tidegate.wait_status(Duration::from_secs(5), site.address, "/", 200).await;
    site.tidegate.line(&["nowhere.invalid"]).await;
    site.tidegate.stop().await;
}
