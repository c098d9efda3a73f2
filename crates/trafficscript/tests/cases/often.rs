//! Cases that are met again and again.

use std::{collections::BTreeMap, time::Duration};

use tidegate_trafficscript::{
    Described,
    described::{Message, Person},
    host::{DirectoryEntry, Level, NodeState, Order, PoolNode, RateVerdict, ServiceLevel, Side},
};

use crate::{
    answered, body, discarded, from, get, given, info, location, logged, page, pool, reply, run, sent, status,
};

#[test]
fn case_01_write_a_line_to_the_event_log() {
    let rule = r#"log.info( "Path " . http.getPath() . " from " . request.getRemoteIP() );
                  log.warn( "Agent: " . http.getHeader( "User-Agent" ) ); log.error( "bad" );"#;
    let host = run(get("/a%20b"), rule);
    assert_eq!(info(&host), ["Path /a b from 192.0.2.1"]);
    assert_eq!(logged(&host, Level::Warn), ["Agent: "]);
    assert_eq!(logged(&host, Level::Error), ["bad"]);
    assert!(info(&run(get("/"), "if( 0 ) log.info( \"x\" );")).is_empty());
}

#[test]
fn case_02_redirect_chosen_paths() {
    let rule = r#"$path = http.getPath();
                  if( string.startsWith( $path, "/old/" ) )
                      http.redirect( "https://new.example/" . string.skip( $path, 5 ) );"#;
    assert_eq!(location(&run(get("/old/x/y"), rule)), "https://new.example/x/y");
    assert_eq!(status(&run(get("/new/x"), rule)), 0);
}

#[test]
fn case_03_route_by_host_name() {
    let rule = r#"switch( http.getHostHeader() ) {
                      case "a.example", "www.a.example": pool.use( "a" );
                      case "b.example": pool.use( "b" );
                      default: pool.use( "discard" );
                  }"#;
    let host = |name: &str| run(Described::request("GET", "/").header("Host", name), rule);
    assert_eq!(pool(&host("WWW.A.example:8080")), "a");
    assert_eq!(pool(&host("b.example.")), "b");
    assert!(discarded(&host("c.example")) && !discarded(&host("a.example")));
}

#[test]
fn case_04_forwarding_headers() {
    let rule = r#"http.setHeader( "X-Forwarded-For", request.getRemoteIP() );
                  http.setHeader( "X-Forwarded-Port", request.getLocalPort() );
                  http.addHeader( "X-Forwarded-Host", http.getHeader( "Host" ) );
                  $scheme = "http";
                  if( string.endsWith( connection.getVirtualServer(), "-ssl" ) ) $scheme = "https";
                  http.setHeader( "X-Forwarded-Proto", $scheme );"#;
    let mut request = get("/").header("X-Forwarded-For", "forged");
    request.virtual_server = "shop-ssl".to_owned();
    let host = run(request, rule);
    assert_eq!(sent(&host, "X-Forwarded-For"), "192.0.2.1");
    assert_eq!(sent(&host, "X-Forwarded-Port"), "80");
    assert_eq!(sent(&host, "X-Forwarded-Host"), "shop.example");
    assert_eq!(sent(&host, "X-Forwarded-Proto"), "https");
    assert_eq!(sent(&run(get("/"), rule), "X-Forwarded-Proto"), "http");
}

#[test]
fn case_05_answer_directly() {
    let rule = r#"$path = http.getPath();
                  if( $path == "/health" ) http.sendResponse( 200, "text/plain", "", "" );
                  if( $path == "/soon" )
                      http.sendResponse( "200 OK", "text/html",
                          '<html><meta http-equiv="refresh" content="5"></html>', "Cache-Control: no-store\r\nX-A: b" );
                  if( string.startsWith( $path, "/private" ) )
                      http.sendResponse( "403", "text/plain", "No access", "" );"#;
    let health = run(get("/health"), rule);
    assert_eq!((status(&health), reply(&health).unwrap().body.len()), (200, 0));
    let soon = run(get("/soon"), rule);
    assert_eq!(reply(&soon).unwrap().headers.len(), 3);
    assert!(reply(&soon).unwrap().body.starts_with(b"<html>"));
    let private = run(get("/private/x"), rule);
    assert_eq!(reply(&private).unwrap().reason, b"Forbidden");
    assert_eq!(status(&run(get("/"), rule)), 0);
}

#[test]
fn case_06_block_networks() {
    let rule = r#"$blocked = [ "192.0.2.0/24", "10.1.", "2001:db8::/32" ];
                  $ip = request.getRemoteIP();
                  for( $i = 0; $i < array.length( $blocked ); $i++ ) {
                      if( string.ipmaskmatch( $ip, $blocked[$i] ) ) connection.discard();
                  }"#;
    for (client, blocked) in
        [("192.0.2.77", true), ("10.1.2.3", true), ("2001:db8::5", true), ("10.2.0.1", false), ("::1", false)]
    {
        assert_eq!(discarded(&run(from(get("/"), client), rule)), blocked, "{client}");
    }
}

#[test]
fn case_07_time_a_request() {
    let request = r#"connection.data.set( "start", string.sprintf( "%f", sys.time.highres() ) );"#;
    let response = r#"$taken = sys.time.highres() - connection.data.get( "start" );
                      if( $taken > 0.5 )
                          log.info( "slow: " . http.getRawURL() . " at " . connection.getNode() );"#;
    let slow = |milliseconds| {
        let mut host = run(get("/x?y"), request);
        host.now += Duration::from_millis(milliseconds);
        info(&run(answered(host, 200, Message::default()), response))
    };
    assert_eq!(slow(700), ["slow: /x?y at 10.0.0.1:80"]);
    assert!(slow(400).is_empty());
}

#[test]
fn case_08_route_by_path() {
    let rule = r#"$path = http.getPath();
                  if( string.startsWith( $path, "/api/" ) ) pool.use( "api" );
                  else if( string.endsWith( $path, ".jpg" ) || string.endsWith( $path, ".png" ) ) pool.use( "images" );"#;
    assert_eq!(pool(&run(get("/api/x.jpg"), rule)), "api");
    assert_eq!(pool(&run(get("/a/b.png?x=.gif"), rule)), "images");
    assert_eq!(pool(&run(get("/a"), rule)), "default");
}

#[test]
fn case_09_everything_to_https() {
    let rule = r#"if( http.headerExists( "Host" ) ) http.changeSite( "https://" . http.getHostHeader() );
                  else http.changeSite( "https://" . request.getDestIP() );"#;
    let host = run(get("/a?b=c"), rule);
    assert_eq!((status(&host), location(&host).as_str()), (301, "https://shop.example/a?b=c"));
    let bare = run(Described::request("GET", "/a"), rule);
    assert_eq!(location(&bare), "https://198.51.100.1/a");
    assert_eq!(status(&run(get("/a").secure(), rule)), 0, "no loop");
}

#[test]
fn case_10_scan_every_header() {
    let new = r#"foreach( $name in http.listHeaderNames() ) {
                     if( string.contains( http.getHeader( $name ), "attack" ) ) http.sendResponse( 403, "", "", "" );
                 }"#;
    let old = r#"$names = http.getHeaderNames() . " ";
                 while( ($at = string.find( $names, " " )) > 0 ) {
                     $name = string.substring( $names, 0, $at - 1 );
                     $names = string.skip( $names, $at + 1 );
                     if( string.contains( http.getHeader( $name ), "attack" ) ) http.sendResponse( 403, "", "", "" );
                 }"#;
    for rule in [new, old] {
        assert_eq!(status(&run(get("/").header("A", "b").header("X", "an attack"), rule)), 403);
        assert_eq!(status(&run(get("/").header("A", "b"), rule)), 0);
    }
}

#[test]
fn case_11_edit_html_only() {
    let rule = r#"if( !string.startsWith( http.getResponseHeader( "Content-Type" ), "text/html" ) ) break;
                  $body = http.getResponseBody();
                  $body = string.regexsub( $body, "<body([^>]*)>", "<body$1><div>hello</div>", "i" );
                  http.setResponseBody( string.replace( $body, "</body>", "<script></script></body>" ) );"#;
    let host = run(page(200, "text/html; charset=utf-8", "<BODY class=a>x</body>"), rule);
    assert_eq!(body(&host), "<body class=a><div>hello</div>x<script></script></body>");
    assert_eq!(given(&host, "Content-Length"), body(&host).len().to_string());
    assert_eq!(body(&run(page(200, "text/css", "<body>"), rule)), "<body>");
}

#[test]
fn case_12_rewrite_the_host_header() {
    let rule = r#"$host = http.getHostHeader();
                  if( string.endsWith( $host, ".example" ) )
                      http.setHeader( "Host", string.replace( $host, ".example", ".internal" ) );"#;
    assert_eq!(sent(&run(get("/"), rule), "Host"), "shop.internal");
    let other = Described::request("GET", "/").header("Host", "shop.test");
    assert_eq!(sent(&run(other, rule), "Host"), "shop.test");
}

#[test]
fn case_13_bandwidth_by_content() {
    let rule = r#"$type = http.getResponseHeader( "Content-Type" );
                  if( string.startsWith( $type, "video/" ) || string.startsWith( $type, "audio/" ) ) {
                      response.setBandwidthClass( "media" ); log.info( "limited" );
                  }"#;
    assert_eq!(info(&run(page(200, "video/mp4", ""), rule)), ["limited"]);
    assert!(info(&run(page(200, "text/html", ""), rule)).is_empty());
    let old = run(get("/"), "connection.setBandwidthClass( \"media\" );");
    assert_eq!(old.orders, [Order::Bandwidth(Side::Response, Some(b"media".to_vec()))]);
}

#[test]
fn case_14_persist_part_of_a_site() {
    let rule =
        r#"if( string.startsWith( http.getPath(), "/servlet" ) ) connection.setPersistence( "java" );"#;
    assert_eq!(run(get("/servlet/a"), rule).orders, [Order::Persistence(Some(b"java".to_vec()))]);
    assert!(run(get("/static"), rule).orders.is_empty());
    let mut unknown = get("/servlet");
    unknown.persistence_classes = Some(Vec::new());
    let unknown = run(unknown, rule);
    assert!(unknown.orders.is_empty() && logged(&unknown, Level::Warn)[0].contains("`java`"));
}

/// A request to a service whose rate class says this.
fn rated(verdict: Option<RateVerdict>) -> Described {
    let mut host = get("/");
    let rates = verdict.map(|verdict| (host.virtual_server.clone(), verdict));
    host.rates = Some(rates.into_iter().collect::<BTreeMap<_, _>>());
    host
}

#[test]
fn case_15_limit_the_rate_of_a_service() {
    let rule = r#"$class = connection.getVirtualServer();
                  $verdict = rate.use.noQueue( $class );
                  if( $verdict == -1 ) {
                      log.error( "no rate class " . $class );
                      http.sendResponse( "500 Internal Server Error", "text/plain", "", "" );
                  } else if( $verdict == 0 ) {
                      http.sendResponse( "503 Busy", "text/plain", "", "Retry-After: 10" );
                  }
                  rate.use( $class );"#;
    assert_eq!(status(&run(rated(Some(RateVerdict::Within)), rule)), 0);
    let over = run(rated(Some(RateVerdict::Over)), rule);
    assert_eq!((status(&over), reply(&over).unwrap().headers.len()), (503, 2));
    let missing = run(rated(None), rule);
    assert_eq!((status(&missing), logged(&missing, Level::Error).len()), (500, 1));
}

#[test]
fn case_16_drop_what_is_over_the_rate() {
    let rule = "if( rate.use.noQueue( connection.getVirtualServer() ) == 0 ) connection.discard();";
    assert!(discarded(&run(rated(Some(RateVerdict::Over)), rule)));
    assert!(!discarded(&run(rated(Some(RateVerdict::Within)), rule)));
}

#[test]
fn case_17_compare_numbers_in_headers() {
    let rule =
        r#"if( http.getHeader( "Content-Length" ) > 1024 * 1024 ) http.sendResponse( 413, "", "", "" );"#;
    assert_eq!(status(&run(get("/").header("Content-Length", "1048577"), rule)), 413);
    assert_eq!(status(&run(get("/").header("Content-Length", "9"), rule)), 0);
    assert_eq!(status(&run(get("/"), rule)), 0);
}

#[test]
fn case_18_retry_bad_answers() {
    let rule = r#"$code = http.getResponseCode();
                  if( ($code == 404 || $code >= 500) && $code != 503 && request.getRetries() < 3 ) {
                      request.avoidNode( connection.getNode() );
                      request.retry();
                      log.warn( "no retry" );
                  }"#;
    let host = run(page(500, "text/html", ""), rule);
    assert_eq!(host.orders, [Order::AvoidNode(b"10.0.0.1:80".to_vec()), Order::Retry]);
    for code in [200, 503] {
        assert!(run(page(code, "text/html", ""), rule).orders.is_empty());
    }
    let mut third = page(404, "text/html", "");
    third.retries = 3;
    assert!(run(third, rule).orders.is_empty());
    let mut sent_on = page(404, "text/html", "");
    sent_on.resendable = false;
    assert_eq!(logged(&run(sent_on, rule), Level::Warn), ["no retry"]);
}

#[test]
fn case_19_turn_away_when_service_levels_drop() {
    let rule = r#"if( slm.conforming( "premium" ) < 80 ) http.sendResponse( 503, "text/html", "busy", "" );
                  if( !slm.isOK( "premium" ) ) pool.use( "slow" );
                  connection.sleep( 100 - slm.conforming( "premium" ) );"#;
    let with = |conforming, serious| {
        let mut host = get("/");
        let level = ServiceLevel { conforming, serious };
        host.service_levels = Some([("premium".to_owned(), level)].into());
        let host = run(host, rule);
        (status(&host), pool(&host), host.needs.len())
    };
    assert_eq!(with(100, 0), (0, "default".to_owned(), 0));
    assert_eq!(with(90, 0), (0, "default".to_owned(), 1));
    assert_eq!(with(90, 95), (0, "slow".to_owned(), 0));
    assert_eq!(with(79, 0).0, 503);
}

#[test]
fn case_20_sign_in() {
    let rule = r#"$given = http.getHeader( "Authorization" );
                  if( !string.startsWith( $given, "Basic " ) )
                      http.sendResponse( "401", "text/plain", "", 'WWW-Authenticate: Basic realm="shop"' );
                  $parts = string.split( string.base64decode( string.skip( $given, 6 ) ), ":" );
                  $user = auth.query( "ldap", $parts[0], $parts[1] );
                  if( $user["Error"] ) { log.error( $user["Error"] ); connection.discard(); }
                  if( !$user["OK"] || $user["group"] != "staff" )
                      http.sendResponse( 403, "text/plain", "", "" );"#;
    let person = |group: &str| Person {
        password: b"x".into(),
        entry: DirectoryEntry { attributes: vec![(b"group".into(), vec![group.into()])] },
    };
    let with = |given: &str| {
        let mut host = get("/").header("Authorization", given);
        let people = [(b"ada".to_vec(), person("staff")), (b"bob".to_vec(), person("guests"))];
        host.directories.insert(b"ldap".into(), people.into());
        status(&run(host, rule))
    };
    assert_eq!(status(&run(get("/"), rule)), 401);
    // ada:x, ada:y, bob:x, eve:x
    for (given, expected) in
        [("Basic YWRhOng=", 0), ("Basic YWRhOnk=", 403), ("Basic Ym9iOng=", 403), ("Basic ZXZlOng=", 403)]
    {
        assert_eq!(with(given), expected, "{given}");
    }
    let failing = run(get("/").header("Authorization", "Basic YWRhOng="), rule);
    assert!(discarded(&failing) && logged(&failing, Level::Error).len() == 1);
}

#[test]
fn case_21_choose_what_is_logged() {
    let request = "if( string.ipmaskmatch( request.getRemoteIP(), \"10.0.0.0/8\" ) ) requestlog.exclude();";
    assert_eq!(run(from(get("/"), "10.9.9.9"), request).orders, [Order::LogRequest(false)]);
    assert!(run(get("/"), request).orders.is_empty());
    let response = r"requestlog.exclude(); if( stats.getServerResponseTime() > 5000 ) requestlog.include();";
    let mut slow = page(200, "text/html", "");
    slow.times.node_response = Some(Duration::from_secs(6));
    assert_eq!(run(slow, response).orders.last(), Some(&Order::LogRequest(true)));
    assert_eq!(run(page(200, "text/html", ""), response).orders, [Order::LogRequest(false)]);
}

#[test]
fn case_22_few_nodes_alive() {
    let rule = r#"if( pool.activenodes( "main" ) < 2 ) { log.warn( "few nodes" ); pool.use( "spare" ); }
                  pool.use( "main" );"#;
    let node = |label: &str, state| PoolNode { label: label.into(), state };
    let with = |second| {
        let nodes = vec![node("10.0.0.1:80", NodeState::Active), node("10.0.0.2:80", second)];
        run(get("/").pool("main", nodes).pool("spare", Vec::new()), rule)
    };
    assert_eq!(pool(&with(NodeState::Active)), "main");
    let few = with(NodeState::Failed);
    assert_eq!((pool(&few).as_str(), logged(&few, Level::Warn).len()), ("spare", 1));
}
