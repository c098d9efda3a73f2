//! Classes of service: how they are met decides what rules do.

use std::time::Duration;

use tidegate_harness::{Node, Reply, json};

use super::{Rules, site_of};

#[tokio::test]
async fn rules_know_how_a_class_of_service_is_met() {
    let node = Node::with("n", |request| {
        let delay = if request.target.contains("slow") { 300 } else { 0 };
        Reply::ok("n").after(Duration::from_millis(delay))
    })
    .await;
    let rules = Rules {
        request: r#"
            if( http.getPath() == "/level" ) {
                http.sendResponse( 200, "text/plain", slm.conforming( "gold" ) . " " . slm.isOK( "gold" ) . " " . slm.threshold( "gold" ), "" );
            }
            if( http.getPath() == "/none" ) {
                $known = connection.setServiceLevelClass( "nobody" );
                http.sendResponse( 200, "text/plain", $known . slm.conforming( "nobody" ) . "[" . connection.getServiceLevelClass() . "]", "" );
            }
            if( http.getPath() == "/silver-slow" ) connection.setServiceLevelClass( "silver" );
            if( !slm.isOK() ) http.sendResponse( 503, "text/plain", "busy", "" );
        "#,
        response: r#"http.setResponseHeader( "X-Class", connection.getServiceLevelClass() );"#,
        ..Rules::default()
    };
    let server = json!({ "basic": { "slm_class": "gold" } });
    let level =
        json!({ "basic": { "response_time": 200, "serious_threshold": 60, "warning_threshold": 80 } });
    let site = site_of(&[node.address], rules, server, json!({}), |document| {
        document.add("service_level_monitors", "gold", level.clone()).add(
            "service_level_monitors",
            "silver",
            level.clone(),
        )
    })
    .await;
    let mut client = site.client().await;
    assert_eq!(client.get("/level").await.text(), "100 1 60");
    assert_eq!(client.get("/none").await.text(), "0100[gold]");
    site.tidegate.line(&["there is no service level class `nobody`"]).await;
    assert_eq!(client.get("/").await.header("X-Class"), Some("gold"));
    // What counts for another class says nothing about this one.
    assert_eq!(client.get("/silver-slow").await.header("X-Class"), Some("silver"));
    assert_eq!(client.get("/level").await.text(), "100 1 60");
    assert_eq!(client.get("/slow").await.status, 200);
    assert_eq!(client.get("/level").await.text(), "50 0 60");
    assert_eq!(site.tidegate.metric("tidegate_service_level_conforming{class=\"gold\"}").await, 50);
    let refused = client.get("/").await;
    assert_eq!((refused.status, refused.text().as_str()), (503, "busy"));
    site.tidegate.line(&["slmfallenbelowserious", "silver"]).await;
    site.tidegate.stop().await;
}
