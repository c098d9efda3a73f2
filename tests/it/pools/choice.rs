//! Which node is chosen: algorithms, priorities, failure pools, states.

use std::time::Duration;

use tidegate_harness::{Node, Port, Reply, Site, Value, client::request, eventually, json};

use super::{addresses, algorithm, nodes, shares};

#[tokio::test]
async fn round_robin_takes_turns() {
    let nodes = nodes(4).await;
    let site = Site::start(&addresses(&nodes), json!({}), algorithm("round_robin")).await;
    // Many connections, so both workers take part.
    let mut labels = Vec::new();
    for _ in 0..100 {
        labels.extend(site.nodes(4).await);
    }
    let all = shares(&labels);
    assert_eq!(all.len(), 4);
    assert!(all.values().all(|share| (90..=110).contains(share)), "{all:?}");
    // Over one connection, hence one worker, the turn is exact.
    let labels = site.nodes(40).await;
    assert!(shares(&labels).values().all(|share| *share == 10), "{labels:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn weights_share_turns_in_proportion() {
    let nodes = nodes(3).await;
    let rows: Vec<Value> = nodes
        .iter()
        .zip([1, 2, 7])
        .map(|(node, weight)| json!({ "node": node.address.to_string(), "weight": weight }))
        .collect();
    let pool = json!({
        "basic": { "nodes_table": rows },
        "load_balancing": { "algorithm": "weighted_round_robin" },
    });
    let site = Site::start(&[], json!({}), pool).await;
    let labels = site.nodes(100).await;
    let shares = shares(&labels);
    assert_eq!((shares["n0"], shares["n1"], shares["n2"]), (10, 20, 70), "{shares:?}");
    // Smooth: the heavy node does not get its turns in one run.
    let longest = labels.chunk_by(|a, b| a == b).map(<[String]>::len).max();
    assert!(longest <= Some(5), "{labels:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn least_connections_avoids_the_busy() {
    for name in ["least_connections", "weighted_least_connections", "perceptive", "fastest_response_time"] {
        let nodes = nodes(2).await;
        nodes[0].behave(|_| Reply::ok("slow").after(Duration::from_millis(400)));
        let site = Site::start(&addresses(&nodes), json!({}), algorithm(name)).await;
        let mut load = Vec::new();
        for _ in 0..4 {
            let mut client = site.client().await;
            load.push(tokio::spawn(async move {
                for _ in 0..10 {
                    assert_eq!(client.get("/").await.status, 200);
                }
            }));
        }
        for part in load {
            part.await.unwrap();
        }
        let (slow, fast) = (nodes[0].requests(), nodes[1].requests());
        assert!(fast > 2 * slow, "{name}: {slow} requests at the slow node, {fast} at the fast one");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn random_is_uniform() {
    let nodes = nodes(4).await;
    let site = Site::start(&addresses(&nodes), json!({}), algorithm("random")).await;
    let labels = site.nodes(400).await;
    let shares = shares(&labels);
    // Five standard deviations.
    assert!(shares.len() == 4 && shares.values().all(|share| (57..=143).contains(share)), "{shares:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_highest_priority_that_suffices_gets_everything() {
    let nodes = nodes(4).await;
    let rows: Vec<Value> = nodes
        .iter()
        .zip([1, 1, 5, 5])
        .map(|(node, priority)| json!({ "node": node.address.to_string(), "priority": priority }))
        .collect();
    let pool = |count: u32| {
        json!({
            "basic": { "nodes_table": rows, "node_connection_attempts": 1 },
            "load_balancing": { "priority_enabled": true, "priority_nodes": count },
        })
    };
    let mut site = Site::start(&[], json!({}), pool(2)).await;
    let labels = site.nodes(40).await;
    assert_eq!(shares(&labels).into_keys().collect::<Vec<_>>(), ["n2", "n3"]);
    // More nodes are wanted than the first group has: both groups serve.
    let document = site.document(&[], &json!({}), &pool(3));
    site.tidegate.document(&document).await;
    assert_eq!(shares(&site.nodes(40).await).len(), 4);
    // One is enough: the group stays with one of its nodes gone, and the next group serves when both are.
    let document = site.document(&[], &json!({}), &pool(1));
    site.tidegate.document(&document).await;
    let mut nodes = nodes;
    nodes[2].stop().await;
    assert_eq!(shares(&site.nodes(40).await).into_keys().collect::<Vec<_>>(), ["n3"]);
    nodes[3].stop().await;
    let labels = site.nodes(40).await;
    assert_eq!(shares(&labels).into_keys().collect::<Vec<_>>(), ["n0", "n1"]);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_failure_pool_serves_when_every_node_has_failed() {
    let mut main = Node::start("main").await;
    let spare = Node::start("spare").await;
    let pool = json!({
        "basic": { "failure_pool": "spare", "node_connection_attempts": 1 },
        "node": { "retry_fail_time": 1 },
    });
    let site = Site::with(&[main.address], json!({}), pool, |document| {
        document.pool("spare", &[spare.address], &json!({}))
    })
    .await;
    assert_eq!(site.get("/").await.node(), "main");
    main.stop().await;
    eventually("the failure pool", async || (site.get("/").await.node() == "spare").then_some(())).await;
    assert!(site.nodes(20).await.iter().all(|label| label == "spare"));
    main.restart();
    // After its rest the node is tried again with live traffic.
    eventually("the main pool", async || (site.get("/").await.node() == "main").then_some(())).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn failure_pools_that_form_a_loop_are_reported_and_do_not_hang() {
    let nobody = Port::free();
    let pool = json!({ "basic": { "failure_pool": "other", "node_connection_attempts": 1 } });
    let site = Site::with(&[nobody.address()], json!({}), pool, |document| {
        document.pool("other", &[nobody.address()], &json!({ "basic": { "failure_pool": "nodes" } }))
    })
    .await;
    site.tidegate.line(&["failure_pool"]).await;
    assert!((500..=504).contains(&site.get("/").await.status));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn disabled_and_draining_nodes_take_no_new_sessions() {
    let nodes = nodes(3).await;
    let rows = |states: [&str; 3]| {
        let rows: Vec<Value> = nodes
            .iter()
            .zip(states)
            .map(|(node, state)| json!({ "node": node.address.to_string(), "state": state }))
            .collect();
        json!({ "basic": { "nodes_table": rows } })
    };
    let mut site = Site::start(&[], json!({}), rows(["active", "draining", "disabled"])).await;
    assert_eq!(shares(&site.nodes(30).await).into_keys().collect::<Vec<_>>(), ["n0"]);
    // A request in progress at a node that becomes disabled is finished.
    nodes[0].behave(|_| Reply::ok("late").after(Duration::from_millis(700)));
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    eventually("the request to arrive", async || (nodes[0].most_in_progress() > 0).then_some(())).await;
    let document = site.document(&[], &json!({}), &rows(["disabled", "active", "draining"]));
    site.tidegate.document(&document).await;
    assert_eq!(client.response().await.text(), "late");
    assert_eq!(shares(&site.nodes(30).await).into_keys().collect::<Vec<_>>(), ["n1"]);
    // Only draining and disabled nodes: nobody may take a new session.
    let document = site.document(&[], &json!({}), &rows(["disabled", "draining", "draining"]));
    site.tidegate.document(&document).await;
    assert_eq!(site.get("/").await.status, 503);
    site.tidegate.stop().await;
}

// ---- passive monitoring and retry --------------------------------------------------------------------------------
