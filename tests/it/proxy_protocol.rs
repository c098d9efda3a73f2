//! PROXY headers on accept, versions 1 and 2.

use tidegate_harness::{Node, Site, client::request, json};

/// A version 2 header: command and family, then addresses.
fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
    bytes.extend(addresses);
    bytes
}

fn good() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let v4 = [10, 1, 2, 3, 127, 0, 0, 1, 0x10, 0, 0, 80];
    let mut v6 = [0; 36];
    v6[..2].copy_from_slice(&[0x20, 0x01]);
    v6[15] = 9;
    let mut with_tlv = v4.to_vec();
    with_tlv.extend([0x04, 0, 3, 1, 2, 3]);
    vec![
        ("version 1, IPv4", b"PROXY TCP4 10.1.2.3 127.0.0.1 4096 80\r\n".to_vec(), "10.1.2.3"),
        ("version 1, IPv6", b"PROXY TCP6 2001::9 ::1 4096 80\r\n".to_vec(), "2001::9"),
        ("version 1, unknown", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ("version 2, IPv4", v2(1, 0x11, &v4), "10.1.2.3"),
        ("version 2, IPv6", v2(1, 0x21, &v6), "2001::9"),
        ("version 2 with further fields", v2(1, 0x11, &with_tlv), "10.1.2.3"),
        ("version 2, local", v2(0, 0x00, &[]), "127.0.0.1"),
    ]
}

#[tokio::test]
async fn the_client_is_who_the_header_says() {
    let node = Node::echo().await;
    for optional in [false, true] {
        let server = json!({
            "basic": { "proxy_protocol": true, "proxy_protocol_optional": optional },
            "http": { "add_x_forwarded_for": true },
        });
        let site = Site::start(&[node.address], server, json!({})).await;
        for (name, header, expected) in good() {
            let mut client = site.client().await;
            client.send([header.as_slice(), &request("GET", "/", &[], b"")].concat()).await;
            assert_eq!(client.response().await.status, 200, "{name}");
            let seen = node.only();
            assert_eq!(seen.header("X-Cluster-Client-Ip"), Some(expected), "{name}");
            assert_eq!(seen.header("X-Forwarded-For"), Some(expected), "{name}");
            // Only the first bytes of a connection are a header.
            client.send(request("GET", "/", &[], b"")).await;
            assert_eq!(client.response().await.status, 200, "{name}");
            assert_eq!(node.only().header("X-Cluster-Client-Ip"), Some(expected), "{name}");
        }
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_header_split_at_any_byte() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({ "basic": { "proxy_protocol": true } }), json!({})).await;
    for (name, header, expected) in good() {
        for at in 1..header.len() {
            let mut client = site.client().await;
            client.send(&header[..at]).await;
            tokio::task::yield_now().await;
            client.send([&header[at..], &request("GET", "/", &[], b"")].concat()).await;
            assert_eq!(client.response().await.status, 200, "{name} at {at}");
            assert_eq!(node.only().header("X-Cluster-Client-Ip"), Some(expected), "{name} at {at}");
        }
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn without_a_valid_header_the_connection_is_dropped() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({ "basic": { "proxy_protocol": true } }), json!({})).await;
    let long = format!("PROXY TCP4 {} 1 2 3\r\n", "1".repeat(200));
    for header in [
        "",
        "PROXY\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 10.1.2.3 127.0.0.1 4096\r\n",
        "PROXY TCP4 10.1.2.300 127.0.0.1 4096 80\r\n",
        "PROXY TCP4 2001::9 ::1 4096 80\r\n",
        "PROXY TCP4 10.1.2.3 127.0.0.1 99999 80\r\n",
        "PROXY UDP4 10.1.2.3 127.0.0.1 4096 80\r\n",
        "proxy TCP4 10.1.2.3 127.0.0.1 4096 80\r\n",
        long.as_str(),
    ] {
        let mut client = site.client().await;
        client.send([header.as_bytes(), &request("GET", "/", &[], b"")].concat()).await;
        client.closed().await;
    }
    let mut wrong_version = v2(1, 0x11, &[0; 12]);
    wrong_version[12] = 0x31;
    for header in [wrong_version, v2(1, 0x11, &[0; 4]), v2(9, 0x11, &[0; 12])] {
        let mut client = site.client().await;
        client.send([header.as_slice(), &request("GET", "/", &[], b"")].concat()).await;
        client.closed().await;
    }
    assert_eq!(node.requests(), 0);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_optional_header_may_be_missing_and_without_the_setting_it_is_no_header() {
    let node = Node::echo().await;
    let server = json!({ "basic": { "proxy_protocol": true, "proxy_protocol_optional": true } });
    let site = Site::start(&[node.address], server, json!({})).await;
    assert_eq!(site.request("POST", "/", &[], b"x").await.status, 200);
    assert_eq!(node.only().header("X-Cluster-Client-Ip"), Some("127.0.0.1"));
    site.tidegate.stop().await;
    let before = node.requests();
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut client = site.client().await;
    client
        .send(
            [b"PROXY TCP4 10.1.2.3 127.0.0.1 4096 80\r\n", request("GET", "/", &[], b"").as_slice()].concat(),
        )
        .await;
    assert_eq!(client.response().await.status, 400);
    assert_eq!(node.requests(), before);
    site.tidegate.stop().await;
}
