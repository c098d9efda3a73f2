//! Orders of rules that hold for one request: its limits, and whether it is logged.

use std::time::Duration;

use tidegate_harness::{Node, Reply, Site, json};

use super::Rules;

/// 0 lifts a limit, as it does in the settings of the virtual server and the pool.
#[tokio::test]
async fn a_limit_of_0_is_none() {
    let node = Node::with("n", |_| Reply::ok("late").after(Duration::from_millis(1400))).await;
    let rules = Rules {
        request: r#"
            $path = http.getPath();
            if( $path == "/whole" ) request.setMaxTransactionDuration( 0 );
            if( $path == "/idle" ) { request.setMaxTransactionDuration( 0 ); request.setVirtualServerTimeout( 0 ); }
            if( $path == "/reply" ) { request.setMaxTransactionDuration( 0 ); request.setMaxReplyTime( 0 ); }
            if( $path == "/short" ) { request.setMaxTransactionDuration( 0 ); request.setMaxReplyTime( 0.2 ); }
            http.setHeader( "X-Duration", request.getMaxTransactionDuration() );
        "#,
        ..Rules::default()
    };
    let mut server = rules.properties();
    server["connection"] = json!({ "max_transaction_duration": 1 });
    let site = Site::with(&[node.address], server, json!({}), |document| rules.into_document(document)).await;
    for (path, status, duration) in [
        ("/", 504, "1"),
        ("/whole", 200, "0"),
        ("/idle", 200, "0"),
        ("/reply", 200, "0"),
        ("/short", 504, "0"),
    ] {
        assert_eq!(site.get(path).await.status, status, "{path}");
        assert_eq!(node.only().header("X-Duration"), Some(duration), "{path}");
    }
    site.tidegate.stop().await;
}
