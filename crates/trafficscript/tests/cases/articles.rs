//! Cases described in articles and guides.

use std::collections::BTreeMap;

use tidegate_trafficscript::{
    Described,
    host::{Fetched, Heard, Need, NodeState, Order, PoolNode, RateVerdict},
};

use crate::{discarded, form, from, get, page, pool, reply, run, sent, status};

fn down() -> Vec<PoolNode> {
    vec![PoolNode { label: "10.0.0.1:80".into(), state: NodeState::Failed }]
}

#[test]
fn case_39_an_error_page_with_its_pictures() {
    let rule = r#"if( pool.activenodes( "web" ) > 0 ) pool.use( "web" );
                  $file = string.skip( http.getPath(), 1 );
                  if( $file && resource.exists( $file ) ) {
                      $type = "text/css";
                      if( string.endsWith( $file, ".png" ) ) $type = "image/png";
                      http.sendResponse( 200, $type, resource.get( $file ), "" );
                  }
                  http.sendResponse( "503 Down", "text/html", resource.get( "sorry.html" ), "" );"#;
    let site = |target| {
        get(target).pool("web", down()).file("sorry.html", "<html>sorry</html>").file("logo.png", "PNG")
    };
    let logo = run(site("/logo.png"), rule);
    assert_eq!((status(&logo), reply(&logo).unwrap().body.as_slice()), (200, &b"PNG"[..]));
    let other = run(site("/basket"), rule);
    assert_eq!((status(&other), reply(&other).unwrap().body.as_slice()), (503, &b"<html>sorry</html>"[..]));
    let alive = vec![PoolNode { label: "10.0.0.1:80".into(), state: NodeState::Active }];
    assert_eq!(pool(&run(get("/").pool("web", alive), rule)), "web");
}

#[test]
fn case_40_a_monitor_in_a_rule() {
    let rule = r#"$url = "http://" . http.getFormParam( "node" ) . "/health";
                  $body = http.request.get( $url, "Host: probe", 3 );
                  if( $1 == 200 && string.contains( $body, "OK" ) ) http.sendResponse( 200, "text/plain", "OK", "" );
                  http.sendResponse( 500, "text/plain", "failed: " . $1 . " " . $2, "" );"#;
    let with = |code, body: &str| {
        let mut host = get("/?node=10.0.0.7:81");
        let fetched = Fetched { status: code, body: body.into(), ..Fetched::default() };
        host.fetches.insert(b"http://10.0.0.7:81/health".to_vec(), fetched);
        run(host, rule)
    };
    assert_eq!(status(&with(200, "all OK")), 200);
    assert_eq!(status(&with(200, "bad")), 500);
    let failed = run(get("/?node=10.0.0.8"), rule);
    assert!(reply(&failed).unwrap().body.starts_with(b"failed: 0 "), "{}", failed.report());

    let rule = r#"$socket = tcp.connect( "10.0.0.1", 25, 500 );
                  if( !$socket ) http.sendResponse( 500, "text/plain", $1, "" );
                  $greeting = tcp.read( $socket, 100, 500 );
                  tcp.close( $socket );
                  if( string.startsWith( $greeting, "220 " ) ) http.sendResponse( 200, "text/plain", "OK", "" );
                  http.sendResponse( 500, "text/plain", $greeting, "" );"#;
    let with = |heard: &[Result<Heard, String>]| {
        let mut host = get("/");
        host.heard = heard.iter().cloned().collect();
        let host = run(host, rule);
        assert!(host.sockets.is_empty());
        (status(&host), String::from_utf8(reply(&host).unwrap().body.clone()).unwrap())
    };
    let greets = |text: &str| [Ok(Heard::Connected(1)), Ok(Heard::Bytes(text.into()))];
    assert_eq!(with(&greets("220 ready")), (200, "OK".to_owned()));
    assert_eq!(with(&greets("554 no")), (500, "554 no".to_owned()));
    assert_eq!(with(&[Err("timeout".to_owned())]), (500, "timeout".to_owned()));
}

#[test]
fn case_41_abusive_referers() {
    let rule = r#"$referer = http.getHeader( "Referer" );
                  if( !$referer ) break;
                  $key = "referer " . $referer;
                  $count = data.get( $key ) + 1;
                  data.set( $key, $count );
                  if( $count > 2 ) { rate.use( "hot" ); response.setBandwidthClass( "hot" ); }"#;
    let mut host = get("/").header("Referer", "http://news.example/");
    for expected in [0, 0, 1, 2] {
        host = run(host, rule);
        assert_eq!(host.needs.len(), expected);
    }
    assert!(run(get("/"), rule).needs.is_empty());
}

#[test]
fn case_42_customers_by_value() {
    let rule = r#"if( http.getCookie( "cart" ) > 100 ) { connection.setServiceLevelClass( "gold" ); pool.use( "gold" ); }
                  rate.use( "bronze" );
                  pool.use( "bronze" );"#;
    assert_eq!(pool(&run(get("/").header("Cookie", "cart=150"), rule)), "gold");
    let poor = run(get("/"), rule);
    assert_eq!((pool(&poor).as_str(), poor.needs.len()), ("bronze", 1));
    let rule = r#"$total = xml.xpath.matchNodeSet( http.getBody(), "xmlns:c=urn:cart", "/c:cart/c:total/text()" );
                  if( $total > 100 ) pool.use( "gold" );
                  pool.use( "bronze" );"#;
    let with = |total| {
        let body = format!("<?xml version=\"1.0\"?><cart xmlns=\"urn:cart\"><total>{total}</total></cart>");
        pool(&run(Described::request("POST", "/order").body(body), rule))
    };
    assert_eq!(
        (with("150.5").as_str(), with("99").as_str(), with("").as_str()),
        ("gold", "bronze", "bronze")
    );
}

#[test]
fn case_43_a_block_list_in_the_dns() {
    let rule = r#"$parts = string.split( request.getRemoteIP(), "." );
                  $name = $parts[3] . "." . $parts[2] . "." . $parts[1] . "." . $parts[0] . ".list.example";
                  if( net.dns.resolveHost( $name ) ) connection.discard();"#;
    let with = |client| {
        let mut host = from(get("/"), client);
        host.names.insert(b"9.113.0.203.list.example".to_vec(), b"127.0.0.2".to_vec());
        run(host, rule)
    };
    assert!(discarded(&with("203.0.113.9")));
    assert!(!discarded(&with("203.0.113.8")));
}

#[test]
fn case_44_screen_floods() {
    let rule = r#"$key = "seen " . request.getRemoteIP() . " " . sys.time();
                  $seen = data.local.get( $key ) + 1;
                  data.local.set( $key, $seen );
                  if( $seen > 3 ) connection.discard();"#;
    let mut host = get("/");
    for _ in 0..3 {
        host = run(host, rule);
        assert!(!discarded(&host));
    }
    assert!(discarded(&run(host.clone(), rule)));
    assert!(!discarded(&run(from(host, "192.0.2.2"), rule)));
}

#[test]
fn case_45_a_rate_per_user() {
    let rule = r#"$user = http.getCookie( "user" );
                  if( !$user ) $user = request.getRemoteIP();
                  rate.use( "each", $user );"#;
    let context = |host| match run(host, rule).needs.pop() {
        Some(Need::Rate { context, .. }) => String::from_utf8(context).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(context(get("/").header("Cookie", "user=ada")), "ada");
    assert_eq!(context(get("/")), "192.0.2.1");
}

#[test]
fn case_46_a_rate_for_signing_in() {
    let rule = r#"if( http.getPath() == "/login" && http.getMethod() == "POST" ) {
                      if( rate.use.noQueue( "login", http.getFormParam( "name" ) ) == 0 )
                          http.sendResponse( 429, "text/plain", "Slow down", "" );
                  }"#;
    let limited = |mut host: Described| {
        host.rates = Some(BTreeMap::from([("login".to_owned(), RateVerdict::Over)]));
        status(&run(host, rule))
    };
    assert_eq!(limited(form("/login", "name=ada&password=x")), 429);
    assert_eq!(limited(get("/login")), 0);
}

#[test]
fn case_47_optimise_some() {
    let rule = r#"if( string.startsWith( http.getResponseHeader( "Content-Type" ), "text/" ) ) {
                      http.compress.enable(); http.cache.enable();
                  } else { http.compress.disable(); http.cache.disable(); }"#;
    for kind in ["text/html", "image/png"] {
        assert!(run(page(200, kind, ""), rule).lines.is_empty());
    }
}

#[test]
fn case_48_the_true_client() {
    let rule = r#"if( request.getRemoteIP() == "192.0.2.1" ) {
                      $parts = string.split( http.getHeader( "X-Forwarded-For" ), "," );
                      if( string.validIPAddress( string.trim( $parts[0] ) ) )
                          request.setRemoteIP( string.trim( $parts[0] ) );
                  }"#;
    let with = |given: &str| run(get("/").header("X-Forwarded-For", given), rule).client.ip().to_string();
    assert_eq!(with("203.0.113.5, 10.0.0.1"), "203.0.113.5");
    assert_eq!(with("2001:db8::1"), "2001:db8::1");
    assert_eq!(with("nonsense"), "192.0.2.1");
}

#[test]
fn case_49_crawlers_apart() {
    let rule = r#"if( string.containsI( http.getHeader( "User-Agent" ), "BOT" ) ) {
                      rate.use( "robots" ); pool.use( "robots" );
                  }"#;
    let robot = run(get("/").header("User-Agent", "FriendlyBot/1.0"), rule);
    assert_eq!((pool(&robot).as_str(), robot.needs.len()), ("robots", 1));
    assert_eq!(pool(&run(get("/").header("User-Agent", "Browser"), rule)), "default");
}

#[test]
fn case_50_only_from_some_addresses() {
    let rule = r#"if( !string.ipmaskmatch( request.getRemoteIP(), "10.0.0.0/255.0.0.0" ) )
                      http.sendResponse( "403 Forbidden", "text/plain", "Inside only", "" );"#;
    assert_eq!(status(&run(get("/"), rule)), 403);
    assert_eq!(status(&run(from(get("/"), "10.200.1.1"), rule)), 0);
}

#[test]
fn case_51_another_host_and_other_servers() {
    let rule = r#"if( http.getHostHeader() == "shop.example" ) http.setHeader( "Host", "store.internal" );
                  if( string.endsWith( http.getPath(), ".jsp" ) ) pool.use( "java" );"#;
    let host = run(get("/a.jsp?b.html"), rule);
    assert_eq!((sent(&host, "Host").as_str(), pool(&host).as_str()), ("store.internal", "java"));
    let host = run(get("/a.html?b.jsp"), rule);
    assert_eq!((sent(&host, "Host").as_str(), pool(&host).as_str()), ("store.internal", "default"));
}

#[test]
fn case_52_a_router_for_ingresses() {
    let rule = r#"$host = http.getHostHeader(); $path = http.getPath(); $found = 0;
                  if( !$found && $host == "api.example" && string.startsWith( $path, "/v1" ) ) { pool.select( "v1" ); $found = 1; }
                  if( !$found && string.wildmatch( $host, "*.example" ) ) { pool.select( "any" ); $found = 1; }"#;
    let routed = |host: &str, path: &str| {
        let request = Described::request("GET", path).header("Host", host);
        run(request, rule)
    };
    assert_eq!(pool(&routed("api.example", "/v1/x")), "v1");
    assert_eq!(pool(&routed("api.example", "/v2")), "any");
    assert_eq!(pool(&routed("other.test", "/v1")), "default");
    assert_eq!(routed("api.example", "/v1").orders, [Order::Pool(b"v1".to_vec(), None)]);
}
