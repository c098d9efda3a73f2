//! Rules that ask others than name servers: databases of places, directories, servers over sockets of their own, HTTPS
//! servers of which only given certificates count.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::{net::sockopt::set_socket_linger, process::Signal};
use tidegate_harness::{
    Document, Ldap, Node, Port, Reply, Site,
    client::request,
    eventually, json,
    ldap::{self, Person},
    places::{self, Record},
    tls::{self, Authority},
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{Rules, on_request, site, site_with};

/// A rule that asks its own virtual server does not do so for ever.
#[tokio::test]
async fn rules_ask_each_other_to_a_bounded_depth() {
    let node = Node::start("n").await;
    let rule = r#"
        $body = http.request.get( "http://127.0.0.1:" . request.getLocalPort() . "/", "", 10 );
        if( $1 == 200 ) $reply = $body . "."; else $reply = $2;
        http.sendResponse( 200, "text/plain", $reply, "" );
    "#;
    let site = site(&[node.address], on_request(rule)).await;
    for _ in 0..3 {
        let response = within("the answer", site.get("/")).await;
        assert_eq!(response.text(), "rules ask servers whose rules ask servers, more than 8 deep........");
    }
    let refused = site.tidegate.metric("tidegate_rule_request_failures_total{reason=\"too_deep\"}").await;
    assert_eq!(refused, 3);
    site.tidegate.stop().await;
}

fn database(city: &'static str) -> Vec<u8> {
    let here = Record {
        country: ("GB", "United Kingdom"),
        region: Some(("ENG", "England")),
        city: Some(city),
        position: Some((51.5, -0.25)),
    };
    let there = Record { country: ("FR", "France"), position: Some((48.75, 2.25)), ..Record::default() };
    places::database(
        "GeoLite2-City",
        &[("127.0.0.0/8".parse().unwrap(), here), ("2001:db8::/32".parse().unwrap(), there)],
    )
}

/// Places come from the database; a new file counts by itself and on SIGHUP, a bad one changes nothing.
#[tokio::test]
async fn places_of_clients() {
    let node = Node::start("n").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("places.mmdb");
    // As tools that keep such files up to date do it.
    let put = |bytes: &[u8]| {
        let fresh = directory.path().join("fresh");
        fs::write(&fresh, bytes).unwrap();
        fs::rename(fresh, &path).unwrap();
    };
    put(&database("London"));
    let rules = on_request(
        r#"
            $ip = request.getRemoteIP();
            $text = geo.getCountryCode( $ip ) . "|" . geo.getCountry( $ip ) . "|" . geo.getRegionCode( $ip ) . "|"
                  . geo.getRegion( $ip ) . "|" . geo.getCity( $ip ) . "|" . geo.getLatitude( $ip ) . "|"
                  . geo.getLongitude( $ip ) . "|" . geo.getCountry( "2001:db8::1" ) . "|" . geo.getCity( "192.0.2.1" )
                  . "|" . math.floor( geo.getIPDistanceKM( $ip, "2001:db8::1" ) );
            $at = geo.getLocationLonLat();
            http.sendResponse( 200, "text/plain", $text . "|" . geo.getLocation() . " " . $at[0] . " " . $at[1], "" );
        "#,
    );
    let document = |port| {
        let document = Document::new().server("site", port, "nodes", &rules.properties()).pool(
            "nodes",
            &[node.address],
            &json!({}),
        );
        let at = json!({ "basic": { "id": 1, "latitude": 51.5, "longitude": -0.5 } });
        rules.into_document(document).add("locations", "here", at)
    };
    let arguments = ["--geo-database", path.to_str().unwrap(), "--location", "here"];
    let site = Site::set_up(document, |setup| setup.arguments(&arguments)).await;
    let text =
        |city: &str| format!("GB|United Kingdom|ENG|England|{city}|51.5|-0.25|France||353|here -0.5 51.5");
    assert_eq!(site.get("/").await.text(), text("London"));
    let follows = async |city: &'static str| {
        eventually("the new database", async || (site.get("/").await.text() == text(city)).then_some(()))
            .await;
    };
    put(&database("Oxford"));
    follows("Oxford").await;
    let mark = site.tidegate.mark();
    put(b"no database");
    site.tidegate.line_after(mark, &["places.mmdb cannot be used", "the last good one stays in use"]).await;
    assert_eq!(site.get("/").await.text(), text("Oxford"));
    put(&database("Cambridge"));
    site.tidegate.signal(Signal::HUP);
    follows("Cambridge").await;
    site.tidegate.stop().await;
}

/// Without a database places are unknown, and the log says what is missing, once.
#[tokio::test]
async fn places_without_a_database() {
    let node = Node::start("n").await;
    let rules = on_request(
        r#"
            $ip = request.getRemoteIP();
            $text = "[" . geo.getCountry( $ip ) . geo.getLocation() . "]" . geo.getLatitude( $ip ) . geo.getLocationLonLat();
            http.sendResponse( 200, "text/plain", $text, "" );
        "#,
    );
    let site = site(&[node.address], rules).await;
    assert_eq!(site.get("/").await.text(), "[]-1-1");
    assert_eq!(site.tidegate.lines(0, &["there is no database of places", "geo.getCountry"]).len(), 1);
    site.tidegate.stop().await;
}

const SIGN_IN: &str = r#"
    $given = http.getHeader( "Authorization" );
    if( !string.startsWith( $given, "Basic " ) )
        http.sendResponse( 401, "text/plain", "", "WWW-Authenticate: Basic realm=\"site\"" );
    $parts = string.split( string.base64decode( string.skip( $given, 6 ) ), ":" );
    $user = auth.query( "people", $parts[0], $parts[1] );
    if( $user["Error"] ) { log.error( "directory: " . $user["Error"] ); connection.discard(); }
    if( !$user["OK"] ) http.sendResponse( 403, "text/plain", "", "" );
    http.setHeader( "X-Mail", $user["mail"] );
    http.setHeader( "X-Groups", array.join( $user["memberOf"], " " ) );
"#;

/// ada:lovelace, ada:wrong, eve:lovelace
const ADA: &str = "Authorization: Basic YWRhOmxvdmVsYWNl";
const WRONG: &str = "Authorization: Basic YWRhOndyb25n";
const EVE: &str = "Authorization: Basic ZXZlOmxvdmVsYWNl";

async fn directory(authority: &Authority) -> Ldap {
    let people = [
        Person::new("ada", "lovelace", &[("mail", &["ada@example.com"]), ("memberOf", &["cn=a", "cn=b"])]),
        Person::new("reader", "top secret", &[]),
    ];
    let tls = tls::server(&authority.issue(&["localhost"]), false);
    Ldap::with(&people, Some((true, tls)), true).await
}

/// A directory decides who gets in, and what it knows goes to the node.
#[tokio::test]
async fn users_sign_in_at_a_directory() {
    let node = Node::with("n", |request| {
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        Reply::ok(format!("{} {}", header("X-Mail"), header("X-Groups")))
    })
    .await;
    let authority = Authority::new("authority");
    let server = directory(&authority).await;
    let rules = on_request(SIGN_IN);
    let site = site_with(&[node.address], rules, |document| {
        document.raw("ssl/cas", "ca", authority.certificate.as_str()).add(
            "rule_authenticators",
            "people",
            json!({
                "basic": { "host": "localhost", "port": server.address.port() },
                "ldap": {
                    "filter": "(&(mail=*)(uid=%u))", "filter_base_dn": "dc=example", "attributes": ["mail", "memberOf"],
                    "bind_dn": "uid=reader,dc=example", "bind_password": "top secret",
                    "ssl_enabled": true, "ssl_type": "starttls", "ssl_cert": "ca",
                },
            }),
        )
    })
    .await;
    let get = async |headers: &[&str]| site.request("GET", "/", headers, b"").await;
    assert_eq!(get(&[]).await.status, 401);
    let response = get(&[ADA]).await;
    assert_eq!((response.status, response.text().as_str()), (200, "ada@example.com cn=a cn=b"));
    assert_eq!((get(&[WRONG]).await.status, get(&[EVE]).await.status), (403, 403));
    assert_eq!(
        server.seen()[..5],
        ["starttls", "bind uid=reader,dc=example", "search dc=example", "bind uid=ada,dc=example", "unbind"]
    );
    // One that does not answer holds up its own request only; one that is gone is told of.
    server.mode(ldap::Mode::Silent);
    let mut waiting = TcpStream::connect(site.address).await.unwrap();
    waiting.write_all(&request("GET", "/", &[ADA], b"")).await.unwrap();
    assert_eq!(get(&[]).await.status, 401);
    set_socket_linger(&waiting, Some(Duration::ZERO)).unwrap();
    drop(waiting);
    drop(server);
    let mark = site.tidegate.mark();
    let mut client = site.client().await;
    client.send(request("GET", "/", &[ADA], b"")).await;
    client.closed().await;
    site.tidegate.line_after(mark, &["directory: ", "refused"]).await;
    assert_eq!(
        site.tidegate.metric("tidegate_rule_directory_questions_total{outcome=\"confirmed\"}").await,
        1
    );
    assert_eq!(site.tidegate.metric("tidegate_rule_directory_questions_total{outcome=\"denied\"}").await, 2);
    for secret in ["top secret", "lovelace"] {
        assert!(site.tidegate.lines(0, &[secret]).is_empty(), "{secret} is in the log");
    }
    site.tidegate.stop().await;
}

/// A line in, the same line out; until the end of the connection, which is counted.
async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, ended) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counter = Arc::clone(&ended);
    drop(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            drop(tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
                counter.fetch_add(1, Ordering::SeqCst);
            }));
        }
    }));
    (address, ended)
}

/// Sockets of rules: a conversation over two phases, failures, and the end with the request.
#[tokio::test]
async fn rules_have_sockets_of_their_own() {
    let node = Node::start("n").await;
    let (server, ended) = echo().await;
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let script = format!(
        r#"
            if( http.getPath() == "/refused" ) {{
                $socket = tcp.connect( "127.0.0.1", 1, 500 );
                http.sendResponse( 200, "text/plain", $socket . "|" . ( $1 != "" ), "" );
            }}
            $socket = tcp.connect( "127.0.0.1", {0}, 2000 );
            if( http.getPath() == "/silent" ) {{
                $heard = tcp.read( $socket, 10, 20 );
                http.sendResponse( 200, "text/plain", "[" . $heard . "]" . $1, "" );
            }}
            $sent = tcp.write( $socket, "hello" );
            $heard = tcp.read( $socket, 100 );
            connection.data.set( "socket", $socket );
            http.setHeader( "X-Heard", $sent . $heard . $1 );
            udp.sendTo( "127.0.0.1", {1}, "asked " . http.getPath() );
        "#,
        server.port(),
        receiver.local_addr().unwrap().port()
    );
    let rules = Rules {
        request: &script,
        response: r#"
            $socket = connection.data.get( "socket" );
            tcp.write( $socket, "again" );
            http.setResponseHeader( "X-Heard", http.getHeader( "X-Heard" ) . " " . tcp.read( $socket, 3 ) );
            if( http.getPath() == "/close" ) http.setResponseHeader( "X-Closed", tcp.close( $socket ) . tcp.close( $socket ) . $1 );
        "#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    let response = client.get("/").await;
    assert_eq!((response.node(), response.header("X-Heard")), ("n", Some("5hello aga")));
    let mut datagram = [0; 100];
    let (length, _) = receiver.recv_from(&mut datagram).await.unwrap();
    assert_eq!(&datagram[..length], b"asked /");
    assert_eq!(client.get("/close").await.header("X-Closed"), Some("10there is no such connection"));
    assert_eq!(client.get("/refused").await.text(), "0|1");
    assert_eq!(client.get("/silent").await.text(), "[]timeout");
    // The client's connection lives on; that of the rule ends with its request.
    let over = async || (ended.load(Ordering::SeqCst) == 3).then_some(());
    eventually("the end of the sockets", over).await;
    assert_eq!(site.tidegate.metric("tidegate_rule_sockets_opened_total").await, 3);
    assert_eq!(site.tidegate.metric("tidegate_rule_sockets").await, 0);
    assert_eq!(site.tidegate.metric("tidegate_rule_datagrams_total").await, 2);
    site.tidegate.stop().await;
}

/// A client that goes takes the sockets of its rule along.
#[tokio::test]
async fn sockets_end_with_the_client() {
    let node = Node::start("n").await;
    let (server, ended) = echo().await;
    let rule =
        format!("$socket = tcp.connect( \"127.0.0.1\", {} ); tcp.read( $socket, 1, 60000 );", server.port());
    let site = site(&[node.address], on_request(&rule)).await;
    let mut client = TcpStream::connect(site.address).await.unwrap();
    client.write_all(&request("GET", "/", &[], b"")).await.unwrap();
    eventually("the socket", async || {
        (site.tidegate.metric("tidegate_rule_sockets").await == 1).then_some(())
    })
    .await;
    // A client that is gone is noticed by its reset.
    set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    let over = async || (ended.load(Ordering::SeqCst) == 1).then_some(());
    eventually("the end of the socket", over).await;
    site.tidegate.stop().await;
}

/// Only the given certificates vouch for the server; each such request has a connection of its own.
#[tokio::test]
async fn requests_that_trust_given_certificates_only() {
    let node = Node::start("n").await;
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let other =
        Node::tls("other", tls::server(&authority.issue(&["localhost"]), false), |_| Reply::ok("answer"))
            .await;
    let script = format!(
        r#"
            $ca = resource.get( "ca" ); $stranger = resource.get( "stranger" ); $url = "https://localhost:{0}/x";
            if( http.getPath() == "/array" ) $body = http.request.ssl.get( $url, [ $stranger, $ca ], "X-A: b", 5 );
            if( http.getPath() == "/text" ) $body = http.request.ssl.get( $url, $ca );
            if( http.getPath() == "/stranger" ) $body = http.request.ssl.get( $url, $stranger );
            if( http.getPath() == "/name" ) $body = http.request.ssl.get( "https://127.0.0.1:{0}/x", $ca );
            if( http.getPath() == "/none" ) $body = http.request.ssl.get( $url );
            http.sendResponse( 200, "text/plain", $1 . "|" . $body . "|" . string.substring( $2, 0, 7 ), "" );
        "#,
        other.address.port()
    );
    let rules = on_request(&script);
    let site = site_with(&[node.address], rules, |document| {
        document.raw("extra_files", "ca", authority.certificate.as_str()).raw(
            "extra_files",
            "stranger",
            stranger.certificate.as_str(),
        )
    })
    .await;
    let mut client = site.client().await;
    for path in ["/array", "/text", "/array"] {
        let text = client.get(path).await.text();
        assert!(text.starts_with("200|answer|"), "{path}: {text}");
    }
    assert_eq!((other.requests(), other.connections()), (3, 3));
    for path in ["/stranger", "/name", "/none"] {
        assert_eq!(client.get(path).await.text(), "0||TLS with", "{path}");
    }
    assert_eq!(other.requests(), 3);
    site.tidegate.stop().await;
}

/// What rules know of the host and the process.
#[tokio::test]
async fn interfaces_and_the_port_of_rest() {
    let node = Node::start("n").await;
    let rules = on_request(
        r#"
            $all = sys.getnetworkinterfaces( "up ipv4 mask" );
            $text = array.join( $all["lo"], " " ) . "|" . sys.getRestApiPort();
            http.sendResponse( 200, "text/plain", $text, "" );
        "#,
    );
    for rest in [None, Some(Port::free())] {
        let port = rest.as_ref().map_or(0, Port::number);
        let address = if port == 0 { "off".to_owned() } else { format!("127.0.0.1:{port}") };
        let document = |port| {
            let document = Document::new().server("site", port, "nodes", &rules.properties());
            rules.into_document(document.pool("nodes", &[node.address], &json!({})))
        };
        let site = Site::set_up(document, |setup| setup.arguments(&["--rest", &address])).await;
        let text = site.get("/").await.text();
        assert!(text.contains("127.0.0.1/8") && text.ends_with(&format!("|{port}")), "{text}");
        site.tidegate.stop().await;
    }
}
