//! What rules see of the client's TLS.

use tidegate_harness::{
    Client, Node, json,
    tls::{self, Pair, Version},
};

use super::{on_request, on_response, site_of};

/// Rules know which certificate the client was shown, in a first handshake and in one that resumes a session.
#[tokio::test]
async fn the_certificate_that_was_shown() {
    let node = Node::start("n").await;
    let pairs = [("plain", Pair::ecdsa(&["plain.example"])), ("starred", Pair::ecdsa(&["starred.example"]))];
    let rules = on_request(
        r#"
            $answer = ssl.serverSiteName() . "|" . ssl.serverCertName() . "|" . ssl.serverCertCommonName() . "|" . ssl.serverCertSerial();
            http.sendResponse( 200, "text/plain", $answer . "|" . ( ssl.serverCert() != "" ), "" );
        "#,
    );
    let server = json!({
        "basic": { "ssl_decrypt": true },
        "ssl": {
            "server_cert_default": "plain",
            "server_cert_host_mapping": [{ "host": "*.starred.example", "certificate": "starred" }],
        },
    });
    let site = site_of(&[node.address], rules, server, json!({}), |mut document| {
        for (name, pair) in &pairs {
            document = document.key(name, &pair.certificate, &pair.key);
        }
        document
    })
    .await;
    for version in [Version::Tls12, Version::Tls13] {
        let config = tls::client(version);
        // The second connection of each resumes.
        for _ in 0..2 {
            for (name, expected) in [
                ("www.starred.example", "*.starred.example|starred|starred.example|"),
                ("other", "|plain|plain.example|"),
            ] {
                let mut client = Client::tls(site.address, &config, name).await;
                let text = client.get("/").await.text();
                let serial = text.strip_prefix(expected).and_then(|rest| rest.strip_suffix("|1"));
                assert!(serial.is_some_and(|serial| !serial.is_empty()), "{version:?} {name}: {text}");
            }
        }
    }
    site.tidegate.stop().await;
}

/// Rules see the same identity of a TLS session that nodes are told of, and see one where nodes are told of none.
#[tokio::test]
async fn the_identity_of_a_session() {
    let node = Node::with("n", |request| {
        tidegate_harness::Reply::ok(request.header("SSLSessionID").unwrap_or_default().to_owned())
    })
    .await;
    let pair = Pair::ecdsa(&["site"]);
    let rules = on_response(r#"http.setResponseHeader( "X-Session", ssl.sslSessionID() );"#);
    for told in [true, false] {
        let server = json!({
            "basic": { "ssl_decrypt": true },
            "ssl": { "server_cert_default": "pair", "add_http_headers": told },
        });
        let site = site_of(&[node.address], rules, server, json!({}), |document| {
            document.key("pair", &pair.certificate, &pair.key)
        })
        .await;
        for version in [Version::Tls12, Version::Tls13] {
            let config = tls::client(version);
            for _ in 0..2 {
                let mut client = Client::tls(site.address, &config, "site").await;
                let response = client.get("/").await;
                let id = response.header("X-Session").unwrap_or_default().to_owned();
                assert_eq!(id.len(), 64, "{version:?} {told}");
                assert_eq!(response.text(), if told { id.as_str() } else { "" });
            }
        }
        site.tidegate.stop().await;
    }
}
