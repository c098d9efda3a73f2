//! TLS towards clients and towards nodes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, SignatureScheme};
use tidegate_harness::{
    Client, Node, Reply, Site, Value, eventually, json,
    load::{Load, Plan},
    tls::{self, Authority, Pair, Version},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];

fn decrypting(ssl: impl Into<Value>) -> Value {
    let ssl: Value = ssl.into();
    json!({ "basic": { "ssl_decrypt": true }, "ssl": ssl })
}

async fn site(node: &Node, ssl: Value, pairs: &[(&str, &Pair)]) -> Site {
    Site::with(&[node.address], decrypting(ssl), json!({}), |mut document| {
        for (name, pair) in pairs {
            document = document.key(name, &pair.certificate, &pair.key);
        }
        document
    })
    .await
}

/// The leaf certificate shown for a name.
async fn shown(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let stream = Client::tls_stream(address, config, name).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// What a client says first is read whole before its handshake goes on, however it comes; what is no TLS gets an alert.
#[tokio::test]
async fn the_first_message_may_come_byte_by_byte() {
    let node = Node::with("n", |_| Reply::ok("here")).await;
    let pair = Pair::ecdsa(&["site"]);
    let site = site(&node, json!({ "server_cert_default": "pair" }), &[("pair", &pair)]).await;
    for version in [Version::Tls12, Version::Tls13] {
        let mut outside = TcpStream::connect(site.address).await.unwrap();
        outside.set_nodelay(true).unwrap();
        let (inside, mut drip) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            for _ in 0..100 {
                let byte = drip.read_u8().await.unwrap();
                outside.write_all(&[byte]).await.unwrap();
            }
            let _closed = tokio::io::copy_bidirectional(&mut drip, &mut outside).await;
        });
        let connector = tokio_rustls::TlsConnector::from(tls::client(version));
        let stream = connector.connect("site".try_into().unwrap(), inside).await.unwrap();
        let mut client = Client::over(stream, site.address);
        assert_eq!(client.get("/").await.text(), "here", "{version:?}");
    }
    let mut stranger = TcpStream::connect(site.address).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: site\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).await.unwrap();
    // RFC 8446 §6: a record of the type alert, fatal.
    assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "{answer:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn both_versions_serve_requests() {
    let node = Node::echo().await;
    let pair = Pair::ecdsa(&["site"]);
    let site = site(&node, json!({ "server_cert_default": "pair" }), &[("pair", &pair)]).await;
    for (version, expected) in [
        (Version::Tls12, ProtocolVersion::TLSv1_2),
        (Version::Tls13, ProtocolVersion::TLSv1_3),
        (Version::Both, ProtocolVersion::TLSv1_3),
    ] {
        let config = tls::client(version);
        let stream = Client::tls_stream(site.address, &config, "site").await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        if version == Version::Both {
            let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
            assert_eq!(group, NamedGroup::X25519MLKEM768);
        }
        let mut client = Client::over(stream, site.address);
        for _ in 0..3 {
            let big = vec![b'a'; 300_000];
            assert_eq!(client.request("POST", "/", &[], &big).await.body.data.len() / 100_000, 3);
        }
    }
    // Plain bytes at a TLS port are no request.
    let mut plain = site.client().await;
    plain.send("GET / HTTP/1.1\r\nHost: site\r\n\r\n").await;
    assert!(!plain.rest().await.starts_with(b"HTTP/1.1 200"));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_certificate_whose_time_is_over_is_told_of_at_import() {
    let node = Node::echo().await;
    let pair = Pair::ended(&["site"]);
    let site = site(&node, json!({ "server_cert_default": "old" }), &[("old", &pair)]).await;
    site.tidegate.line(&["ERROR", "vssslcertexpired", "old", "put a new one in its place"]).await;
    site.tidegate.stop().await;
}

/// The last bytes leave with the end of the connection: that end must not be waited for. The kernel would send them by
/// itself after 200 ms.
#[tokio::test]
async fn last_answers_come_at_once_and_whole() {
    let node = Node::echo().await;
    let pair = Pair::ecdsa(&["site"]);
    let tls = site(&node, json!({ "server_cert_default": "pair" }), &[("pair", &pair)]).await;
    let plain = Site::start(&[node.address], json!({}), json!({})).await;
    let config = tls::client(Version::Both);
    let body = vec![b'a'; 2000];
    let started = Instant::now();
    for _ in 0..20 {
        let stream = Client::tls_stream(tls.address, &config, "site").await.unwrap();
        for mut client in [Client::over(stream, tls.address), plain.client().await] {
            let answer = client.request("POST", "/", &["Connection: close"], &body).await;
            assert_eq!(answer.header("Connection"), Some("close"));
            assert_eq!(answer.body.data.len() / body.len(), 1);
            client.closed().await;
        }
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "40 answers took {took:?}");
    tls.tidegate.stop().await;
    plain.tidegate.stop().await;
}

#[tokio::test]
async fn versions_can_be_turned_off() {
    let node = Node::echo().await;
    let pair = Pair::ecdsa(&["site"]);
    for (off, refused, accepted) in [
        ("support_tls1_2", Version::Tls12, Version::Tls13),
        ("support_tls1_3", Version::Tls13, Version::Tls12),
    ] {
        let ssl = json!({ "server_cert_default": "pair", off: "disabled" });
        let site = site(&node, ssl, &[("pair", &pair)]).await;
        assert!(Client::tls_stream(site.address, &tls::client(refused), "site").await.is_err(), "{off}");
        assert!(Client::tls_stream(site.address, &tls::client(accepted), "site").await.is_ok(), "{off}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn the_certificate_follows_name_and_client() {
    let node = Node::echo().await;
    let [default_ec, other, wild, deep] =
        [["site"], ["other.example"], ["*.wild.example"], ["a?.example"]].map(|hosts| Pair::ecdsa(&hosts));
    let default_rsa = Pair::rsa(&["site"]);
    let ssl = json!({
        "server_cert_default": "default-rsa",
        "server_cert_alt_certificates": ["default-ec"],
        "server_cert_host_mapping": [
            { "host": "other.example", "certificate": "other" },
            { "host": "*.wild.example", "certificate": "wild" },
            { "host": "a?.example", "certificate": "deep" },
        ],
    });
    let pairs = [
        ("default-rsa", &default_rsa),
        ("default-ec", &default_ec),
        ("other", &other),
        ("wild", &wild),
        ("deep", &deep),
    ];
    let site = site(&node, ssl, &pairs).await;
    let any = tls::client(Version::Both);
    for (name, expected) in [
        ("other.example", &other),
        ("OTHER.example", &other),
        ("x.wild.example", &wild),
        ("ab.example", &deep),
        ("abc.example", &default_ec),
        ("127.0.0.1", &default_ec),
    ] {
        assert!(shown(site.address, &any, name).await == expected.der(), "{name}");
    }
    for version in [Version::Tls12, Version::Tls13] {
        let rsa_only = tls::client_with(version, Some(RSA), None);
        let ec_only = tls::client_with(version, Some(ECDSA), None);
        assert!(shown(site.address, &rsa_only, "nobody.example").await == default_rsa.der());
        assert!(shown(site.address, &ec_only, "nobody.example").await == default_ec.der());
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn sessions_are_resumed_whichever_worker_takes_the_connection() {
    let node = Node::echo().await;
    let pair = Pair::ecdsa(&["site"]);
    let site = site(&node, json!({ "server_cert_default": "pair" }), &[("pair", &pair)]).await;
    for version in [Version::Tls12, Version::Tls13] {
        let config = tls::client(version);
        let mut resumed = 0;
        for number in 0..24 {
            let stream = Client::tls_stream(site.address, &config, "site").await.unwrap();
            resumed += usize::from(
                number > 0 && stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed),
            );
            // Tickets of TLS 1.3 come with the first answer.
            assert_eq!(Client::over(stream, site.address).get("/").await.status, 200);
        }
        assert_eq!(resumed, 23, "{version:?}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn what_nodes_are_told_of_the_clients_tls() {
    let node = Node::echo().await;
    let pair = Pair::ecdsa(&["site"]);
    let authority = Authority::new("clients");
    let visitor = authority.issue(&["visitor.example"]);
    let forged =
        ["SSLClientCipher: forged", "SSLClientCertStatus: OK", "SSLSessionID: f", "SSLClientCertCN: x"];
    let with = |ssl: Value| {
        let mut all = json!({ "server_cert_default": "pair", "add_http_headers": true });
        tidegate_harness::document::lay_over(&mut all, &ssl);
        all
    };
    let start = async |ssl: Value| {
        Site::with(&[node.address], decrypting(ssl), json!({}), |document| {
            document.key("pair", &pair.certificate, &pair.key).raw(
                "ssl/cas",
                "clients",
                authority.certificate.clone(),
            )
        })
        .await
    };
    let shown = tls::client_with(Version::Tls13, None, Some(&visitor));
    let silent = tls::client(Version::Tls13);

    let asks = with(json!({
        "request_client_cert": "request", "client_cert_cas": ["clients"], "client_cert_headers": "all",
    }));
    let site = start(asks).await;
    let mut client = Client::tls(site.address, &shown, "site").await;
    assert_eq!(client.request("GET", "/", &forged, b"").await.status, 200);
    let seen = node.only();
    let cipher = seen.header("SSLClientCipher").unwrap();
    assert!(cipher.contains("version=TLSv1.3") && cipher.contains("bits="), "{cipher}");
    assert_eq!(seen.header("SSLClientCertStatus"), Some("OK"));
    assert!(seen.text().contains("visitor.example"), "{}", seen.text());
    assert!(!seen.text().contains("forged"), "{}", seen.text());
    assert_ne!(seen.header("SSLSessionID"), Some("f"));
    let mut client = Client::tls(site.address, &silent, "site").await;
    assert_eq!(client.request("GET", "/", &forged, b"").await.status, 200);
    assert_eq!(node.only().header("SSLClientCertStatus"), Some("NoClientCert"));
    site.tidegate.stop().await;

    // Nothing is added by default, and a client's own copies go all the same.
    let site = start(json!({ "server_cert_default": "pair" })).await;
    let mut client = Client::tls(site.address, &silent, "site").await;
    assert_eq!(client.request("GET", "/", &forged, b"").await.status, 200);
    assert!(!node.only().text().contains("SSL"));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_required_client_certificate_must_be_shown_and_trusted() {
    let node = Node::echo().await;
    let pair = Pair::ecdsa(&["site"]);
    let authority = Authority::new("clients");
    let (trusted, stranger) =
        (authority.issue(&["visitor.example"]), Authority::new("strangers").issue(&["stranger.example"]));
    let ssl = json!({
        "server_cert_default": "pair", "request_client_cert": "require", "client_cert_cas": ["clients"],
    });
    let site = Site::with(&[node.address], decrypting(ssl), json!({}), |document| {
        document.key("pair", &pair.certificate, &pair.key).raw(
            "ssl/cas",
            "clients",
            authority.certificate.clone(),
        )
    })
    .await;
    for version in [Version::Tls12, Version::Tls13] {
        for (certificate, served) in [(Some(&trusted), true), (Some(&stranger), false), (None, false)] {
            let config = tls::client_with(version, None, certificate);
            let outcome = match Client::tls_stream(site.address, &config, "site").await {
                // In TLS 1.3 the refusal comes after the client's side of the handshake.
                Ok(stream) => {
                    let mut client = Client::over(stream, site.address);
                    client.send(tidegate_harness::client::request("GET", "/", &[], b"")).await;
                    client.try_response("GET").await.is_ok()
                }
                Err(_) => false,
            };
            assert_eq!(outcome, served, "{version:?} {}", certificate.is_some());
        }
    }
    assert_eq!(node.requests(), 2);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn nodes_are_spoken_to_over_tls() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let pair = Pair::ecdsa(&["node.example"]);
    let node = Node::tls("n", tls::server_noting(&pair, Arc::clone(&names)), |_| Reply::ok("over TLS")).await;
    for (server_name, expected) in [(false, None), (true, Some("shop.example".to_owned()))] {
        let pool = json!({ "ssl": { "enable": true, "server_name": server_name } });
        let site = Site::start(&[node.address], json!({}), pool).await;
        let mut client = site.client().await;
        client.send("GET / HTTP/1.1\r\nHost: shop.example:80\r\n\r\n").await;
        assert_eq!(client.response().await.text(), "over TLS");
        assert_eq!(names.lock().unwrap().last(), Some(&expected), "server_name {server_name}");
        site.tidegate.stop().await;
    }
    // A node that does not speak TLS has failed.
    let plain = Node::start("plain").await;
    let site = Site::start(&[plain.address], json!({}), json!({ "ssl": { "enable": true } })).await;
    let status = site.get("/").await.status;
    assert!(matches!(status, 502 | 504), "{status}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn strict_verification_of_nodes() {
    let authority = Authority::new("inside");
    let good = authority.issue(&["node.example"]);
    let foreign = Authority::new("outside").issue(&["node.example"]);
    let alone = Pair::ecdsa(&["node.example"]);
    for (name, pair, names, served) in [
        ("trusted and named", &good, json!(["node.example"]), true),
        ("trusted by another name", &good, json!(["other.example"]), false),
        ("trusted and not named", &good, json!([]), false),
        ("an unknown authority", &foreign, json!(["node.example"]), false),
        ("self-signed", &alone, json!(["node.example"]), false),
    ] {
        let node = Node::tls("n", tls::server(pair, false), |_| Reply::ok("x")).await;
        let pool = json!({ "ssl": { "enable": true, "strict_verify": true, "common_name_match": names } });
        let site = Site::with(&[node.address], json!({}), pool, |document| {
            document.raw("ssl/cas", "inside", authority.certificate.clone())
        })
        .await;
        assert_eq!(site.get("/").await.status, if served { 200 } else { 502 }, "{name}");
        assert_eq!(node.requests(), usize::from(served), "{name}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn nodes_of_a_name_are_verified_by_it() {
    let authority = Authority::new("inside");
    for (hosts, served) in [
        (&["web.ns.example"][..], true),
        (&["*.ns.example"][..], true),
        (&["other.ns.example"][..], false),
        // What the name stands for today says nothing.
        (&["127.0.0.1"][..], false),
    ] {
        let names = Arc::new(Mutex::new(Vec::new()));
        let certificate = tls::server_noting(&authority.issue(hosts), Arc::clone(&names));
        let node = Node::tls("n", certificate, |_| Reply::ok("x")).await;
        let pool = json!({
            "basic": {
                "nodes_table": [{ "node": format!("web.ns.example:{}", node.address.port()) }],
                "monitors": ["check"],
                "passive_monitoring": false,
            },
            "ssl": { "enable": true, "strict_verify": true, "server_name": true },
        });
        let check = json!({ "basic": {
            "type": "http", "use_ssl": true, "delay": 1, "timeout": 5, "failures": 1,
        } });
        let site = Site::set_up(
            |port| {
                tidegate_harness::Document::new()
                    .server("site", port, "nodes", &json!({}))
                    .pool("nodes", &[], &pool)
                    .raw("ssl/cas", "inside", authority.certificate.clone())
                    .add("monitors", "check", check)
            },
            |setup| {
                let setup = setup.file("data/hosts", "127.0.0.1 web.ns.example\n");
                let path = setup.volume.path().join("data/hosts");
                setup.arguments(&["--hosts", path.to_str().unwrap()])
            },
        )
        .await;
        // Whoever names no host: the node's own name is asked for.
        let mut client = site.client().await;
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        let status = client.response().await.status;
        assert_eq!(status == 200, served, "{hosts:?}: {status}");
        let own = Some("web.ns.example".to_owned());
        assert!(names.lock().unwrap().contains(&own), "{hosts:?}: {:?}", names.lock().unwrap());
        // So does its monitor, and it judges by the same name.
        if served {
            eventually("a probe", async || {
                node.received().iter().any(|seen| seen.header("User-Agent").is_some()).then_some(())
            })
            .await;
            assert!(site.tidegate.lines(0, &["monitorfail"]).is_empty(), "{}", site.tidegate.log());
        } else {
            site.tidegate.line(&["monitorfail", "check"]).await;
        }
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_node_may_ask_for_our_certificate() {
    let pair = Pair::ecdsa(&["node.example"]);
    let own = Pair::ecdsa(&["tidegate.example"]);
    let node = Node::tls("n", tls::server(&pair, true), |_| Reply::ok("x")).await;
    let pool = json!({ "ssl": {
        "enable": true, "client_auth": true, "ssl_fixed_client_certificate": "own",
    } });
    let site = Site::with(&[node.address], json!({}), pool, |document| {
        document.add(
            "ssl/client_keys",
            "own",
            json!({ "basic": { "public": own.certificate, "private": own.key, "request": "", "note": "" } }),
        )
    })
    .await;
    assert_eq!(site.get("/").await.status, 200);
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_swap_without_dropping_anybody() {
    let node = Node::start("n").await;
    let (old, new) = (Pair::ecdsa(&["site"]), Pair::ecdsa(&["site"]));
    let ssl = json!({ "server_cert_default": "pair" });
    let reference = json!({ "ssl": { "server_keys": [{ "name": "pair", "properties": { "basic": {
        "note": "",
        "public": { "valueFrom": { "fileRef": { "name": "data/tls/tls.crt" } } },
        "private": { "valueFrom": { "fileRef": { "name": "data/tls/tls.key" } } },
        "request": "",
    } } }] } });
    let mut site = Site::set_up(
        |port| {
            tidegate_harness::Document::new()
                .server("site", port, "nodes", &decrypting(ssl))
                .pool("nodes", &[node.address], &json!({}))
                .with(&reference)
        },
        |setup| setup.file("data/tls/tls.crt", &old.certificate).file("data/tls/tls.key", &old.key),
    )
    .await;
    let config = tls::client(Version::Both);
    let mut kept = Client::tls(site.address, &config, "site").await;
    assert_eq!(kept.get("/").await.status, 200);
    assert!(shown(site.address, &config, "site").await == old.der());
    let plan = Plan {
        rate: 400,
        connections: 20,
        per_connection: 20,
        tls: Some((Arc::clone(&config), "site")),
        ..Plan::new(site.address)
    };
    let load = Load::start(&plan);
    let fresh = tls::client(Version::Both);
    for pair in [&new, &old, &new] {
        site.tidegate.change(|volume| {
            volume.set("data/tls/tls.crt", &pair.certificate);
            volume.set("data/tls/tls.key", &pair.key);
        });
        eventually("the other certificate", async || {
            (shown(site.address, &fresh, "site").await == pair.der()).then_some(())
        })
        .await;
    }
    let report = load.finish().await;
    assert_eq!(report.failed(), 0, "{report}");
    assert_eq!(kept.get("/").await.status, 200, "a connection of the old certificate lives on");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_bad_key_keeps_the_last_good_one_and_harms_nobody_else() {
    let node = Node::start("n").await;
    let (good, other, stranger) = (Pair::ecdsa(&["site"]), Pair::ecdsa(&["other"]), Pair::ecdsa(&["x"]));
    let ports = [tidegate_harness::Port::free(), tidegate_harness::Port::free()];
    let document = |certificate: &str, key: &str| {
        tidegate_harness::Document::new()
            .server("site", ports[0].number(), "nodes", &decrypting(json!({ "server_cert_default": "pair" })))
            .server(
                "other",
                ports[1].number(),
                "nodes",
                &decrypting(json!({ "server_cert_default": "other" })),
            )
            .pool("nodes", &[node.address], &json!({}))
            .key("pair", certificate, key)
            .key("other", &other.certificate, &other.key)
    };
    let mut tidegate = tidegate_harness::Tidegate::start(&document(&good.certificate, &good.key)).await;
    let config = tls::client(Version::Both);
    for (name, certificate, key) in [
        ("no PEM", "junk", "junk"),
        ("a key of another certificate", good.certificate.as_str(), stranger.key.as_str()),
        ("no key", good.certificate.as_str(), ""),
        ("half a certificate", &good.certificate[..200], good.key.as_str()),
    ] {
        let mark = tidegate.mark();
        tidegate.document(&document(certificate, key)).await;
        tidegate.line_after(mark, &["pair"]).await;
        assert!(shown(ports[0].address(), &config, "site").await == good.der(), "{name}");
        assert!(shown(ports[1].address(), &config, "other").await == other.der(), "{name}");
        let secret = good.key.lines().nth(1).unwrap();
        assert!(!tidegate.log().contains(secret), "{name}: a key is in the log");
    }
    tidegate.stop().await;

    // From the start there is no last good one: that server alone does not serve.
    let tidegate = tidegate_harness::Tidegate::start(&document("junk", "junk")).await;
    assert!(shown(ports[1].address(), &config, "other").await == other.der());
    assert!(Client::tls_stream(ports[0].address(), &config, "site").await.is_err());
    tidegate.stop().await;
}
