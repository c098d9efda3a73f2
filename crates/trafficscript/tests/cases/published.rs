//! Cases met once as a published or a production rule.

use std::time::Duration;

use tidegate_trafficscript::{
    described::Message,
    host::{Level, Order},
};

use crate::{
    answered, body, discarded, from, get, given, info, location, logged, page, pool, post, run, sent, status,
};

#[test]
fn case_23_filter_probes() {
    let rule = r#"$probe = "(\\$|%24)(\\{|%7b)\\s*(j|%6a|\\$)";
                  if( string.regexmatch( http.getRawURL(), $probe, "i" ) ) { log.warn( "url" ); connection.discard(); }
                  $method = http.getMethod();
                  if( $method == "POST" || $method == "PUT" ) {
                      if( string.regexmatch( http.getBody( 1048576 ), $probe, "i" ) ) connection.discard();
                  }
                  foreach( $name in http.listHeaderNames() ) {
                      if( string.regexmatch( http.getHeader( $name ), $probe, "i" ) ) connection.discard();
                  }"#;
    assert!(discarded(&run(get("/?x=%24%7Bjndi:"), rule)));
    assert!(discarded(&run(post("/", "a ${jndi:ldap"), rule)));
    assert!(discarded(&run(get("/").header("User-Agent", "${J"), rule)));
    assert!(!discarded(&run(post("/?x=$j", "{j}").header("A", "$ {"), rule)));
}

#[test]
fn case_24_abuse_of_ranges() {
    let rule = r#"http.removeHeader( "Request-Range" );
                  if( string.count( http.getHeader( "Range" ), "," ) >= 5 )
                      http.sendResponse( "403 Forbidden", "text/plain", "", "" );"#;
    let host = run(get("/").header("Request-Range", "x").header("Range", "bytes=0-1,2-3"), rule);
    assert_eq!((status(&host), sent(&host, "Request-Range").as_str()), (0, ""));
    assert_eq!(status(&run(get("/").header("Range", "bytes=1-,2-,3-,4-,5-,6-"), rule)), 403);
}

#[test]
fn case_25_hot_links() {
    let rule = r#"$referer = http.getHeader( "Referer" );
                  if( $referer && !string.regexmatch( $referer, "^https?://([^/]*\\.)?shop\\.example(/|$)" )
                      && string.regexmatch( http.getPath(), "\\.(gif|jpe?g|png)$", "i" ) )
                      http.redirect( "http://shop.example/no.svg" );"#;
    assert_eq!(
        location(&run(get("/a.PNG").header("Referer", "http://thief.example/"), rule)),
        "http://shop.example/no.svg"
    );
    assert_eq!(status(&run(get("/a.png").header("Referer", "https://www.shop.example/x"), rule)), 0);
    assert_eq!(status(&run(get("/a.png"), rule)), 0);
    assert_eq!(status(&run(get("/a.html").header("Referer", "http://thief.example/"), rule)), 0);
}

#[test]
fn case_26_a_portal_for_the_banned() {
    let rule = r#"if( !string.ipmaskmatch( request.getRemoteIP(), "203.0.113.0/24" ) ) break;
                  if( sys.time() < 1700000000 ) connection.discard();
                  $back = "http";
                  if( ssl.isSSL() ) $back .= "s";
                  $back .= "://" . http.getHostHeader() . http.getRawURL();
                  if( string.endsWith( http.getQueryString(), "pass=1" ) )
                      http.setResponseCookie( "pass", "yes", "path=/" );
                  else if( http.getCookie( "pass" ) != "yes" )
                      http.redirect( "https://portal.example/?to=" . string.urlencode( $back ) );"#;
    let banned = |host| run(from(host, "203.0.113.9"), rule);
    assert_eq!(
        location(&banned(get("/a").secure())),
        "https://portal.example/?to=https%3A%2F%2Fshop.example%2Fa"
    );
    assert_eq!(status(&banned(get("/a").header("Cookie", "x=1; pass=yes"))), 0);
    let entered = answered(banned(get("/a?pass=1")), 200, Message::default());
    assert_eq!(given(&entered, "Set-Cookie"), "pass=yes; path=/");
    let mut early = from(get("/a"), "203.0.113.9");
    early.now = Duration::from_secs(1_600_000_000);
    assert!(discarded(&run(early, rule)));
    assert_eq!(status(&run(get("/a"), rule)), 0);
}

#[test]
fn case_27_a_generated_policy() {
    let rule = r#"$match = 0;
                  if( string.regexmatch( http.getHostHeader(), "^shop\\." ) && http.getCookie( "beta" ) == "1" ) $match = 1;
                  if( !string.contains( http.getHeader( "Accept" ), "html" )
                      && string.split( http.getPath(), "." )[-1] == "json" ) $match = 1;
                  if( $match ) pool.use( "policy" );"#;
    assert_eq!(pool(&run(get("/").header("Cookie", "beta=1"), rule)), "policy");
    assert_eq!(pool(&run(get("/a.b.json"), rule)), "policy");
    assert_eq!(pool(&run(get("/a.json").header("Accept", "text/html"), rule)), "default");
}

#[test]
fn case_28_the_site_is_in_the_path() {
    let rule = r#"if( http.getHostHeader() != "static.example" ) break;
                  $path = http.getPath();
                  while( string.startsWith( $path, "/" ) ) $path = string.skip( $path, 1 );
                  $slash = string.find( $path, "/" );
                  if( $slash < 1 ) break;
                  $site = string.replaceI( string.substring( $path, 0, $slash - 1 ), "WWW.", "" );
                  if( string.startsWith( string.reverse( $site ), "elpmaxe." ) ) {
                      http.setHeader( "Host", $site );
                      http.setPath( string.substring( $path, $slash, string.len( $path ) ) );
                  }"#;
    let at = |target: &str| {
        let host = tidegate_trafficscript::Described::request("GET", target).header("Host", "static.example");
        let host = run(host, rule);
        (sent(&host, "Host"), String::from_utf8_lossy(&host.target).into_owned())
    };
    let pair = |host: &str, target: &str| (host.to_owned(), target.to_owned());
    assert_eq!(at("//www.a.example/b.css?v=1"), pair("a.example", "/b.css?v=1"));
    assert_eq!(at("/other.test/b.css"), pair("static.example", "/other.test/b.css"));
    assert_eq!(at("/none"), pair("static.example", "/none"));
}

#[test]
fn case_29_a_switch_with_a_comparator() {
    let rule = r#"switch( http.getPath(), string.startsWith ) {
                      case "/a", "/b": pool.use( "ab" );
                      case "/c": pool.use( "c" );
                      default: pool.use( "discard" );
                  }"#;
    assert_eq!(pool(&run(get("/bx"), rule)), "ab");
    assert_eq!(pool(&run(get("/c"), rule)), "c");
    assert!(discarded(&run(get("/x/a"), rule)));
}

#[test]
fn case_30_another_container_for_video() {
    let rule = r#"if( string.wildmatch( http.getPath(), "/video/*.flv" ) ) {
                      http.setPath( string.replace( http.getPath(), ".flv", ".mp4" ) );
                      response.setBandwidthClass( "video" );
                      http.cache.disable();
                  }"#;
    assert_eq!(run(get("/video/a.flv?t=1"), rule).target, b"/video/a.mp4?t=1");
    assert_eq!(run(get("/a.flv"), rule).target, b"/a.flv");
}

#[test]
fn case_31_a_key_of_session_and_client() {
    let rule = r#"if( string.endsWith( http.getPath(), ".php" ) ) {
                      connection.setPersistence( "universal" );
                      connection.setPersistenceKey(
                          http.getCookie( "PHPSESSID" ) . request.getRemoteIP() . http.getHeader( "User-Agent" ) );
                  }"#;
    let host = run(get("/a.php").header("Cookie", "PHPSESSID=abc").header("User-Agent", "X"), rule);
    assert_eq!(host.orders[1], Order::PersistenceKey(b"abc192.0.2.1X".to_vec()));
    assert!(run(get("/a.css"), rule).orders.is_empty());
}

#[test]
fn case_32_throttle_a_path() {
    let rule = "if( http.getPath() == \"/search\" ) rate.use( \"search\" );";
    assert_eq!(run(get("/search?q=x"), rule).needs.len(), 1);
    assert!(run(get("/"), rule).needs.is_empty());
}

#[test]
fn case_33_say_who_served() {
    let rule = r#"http.setResponseHeader( "X-Proxy", sys.hostname() );
                  http.setResponseHeader( "X-Time", stats.getServerResponseTime() . " ms" );"#;
    let mut host = page(200, "text/html", "");
    host.times.node_response = Some(Duration::from_millis(12));
    let host = run(host, rule);
    assert_eq!((given(&host, "X-Proxy").as_str(), given(&host, "X-Time").as_str()), ("tidegate", "12 ms"));
    assert_eq!(given(&page(200, "text/html", ""), "X-Proxy"), "");
}

#[test]
fn case_34_a_sorry_site() {
    let rule = "if( http.getResponseCode() == 500 ) http.redirect( \"https://sorry.example/\" );";
    assert_eq!(location(&run(page(500, "text/html", ""), rule)), "https://sorry.example/");
    assert_eq!(location(&run(page(200, "text/html", ""), rule)), "");
}

#[test]
fn case_35_a_via_header() {
    let rule = "http.addHeader( \"Via\", \"1.1 tide\" );";
    assert_eq!(sent(&run(get("/"), rule), "Via"), "1.1 tide");
    assert_eq!(sent(&run(get("/").header("Via", "1.1 other"), rule), "Via"), "1.1 other|1.1 tide");
}

#[test]
fn case_36_a_debug_overlay() {
    let rule = r#"if( http.getResponseHeader( "Content-Type" ) != "text/html" ) break;
                  $taken = sys.time.highres() - connection.data.get( "start" );
                  http.setResponseBody( string.replace( http.getResponseBody(), "</body>",
                      "<p>" . connection.getNode() . " " . request.getRetries() . " " . $taken . "</p></body>" ) );"#;
    let begin = |target| {
        run(get(target), "connection.data.set( \"start\", string.sprintf( \"%f\", sys.time.highres() ) );")
    };
    let mut host = begin("/");
    host.now += Duration::from_millis(250);
    let message = Message::default().header("Content-Type", "text/html").body("x</body>");
    assert_eq!(body(&run(answered(host, 200, message), rule)), "x<p>10.0.0.1:80 0 0.25</p></body>");
    assert_eq!(body(&run(page(200, "text/css", "</body>"), rule)), "</body>");
}

#[test]
fn case_37_a_note_and_a_forced_close() {
    let rule = r#"if( http.getPath() == "/" ) log.info( "home" );
                  if( !http.getHeader( "Authorization" ) ) connection.close( "HTTP/1.1 401 Unauthorized\r\n\r\n", 0 );"#;
    let host = run(get("/"), rule);
    assert_eq!(info(&host), ["home"]);
    let data = b"HTTP/1.1 401 Unauthorized\r\n\r\n".to_vec();
    assert_eq!(host.orders, [Order::Close { data, read: false }]);
    assert!(run(get("/x").header("Authorization", "y"), rule).orders.is_empty());
}

#[test]
fn case_38_writes_beyond_an_array() {
    let rule = r#"$a = array.create( 2, ["k" => [1, 2]] );
                  $a[0]["k"][1] = 9;
                  $a[5] = "lost";
                  log.info( array.length( $a ) . $a[0]["k"][1] . $a[1]["k"][1] );"#;
    let host = run(get("/"), rule);
    assert_eq!(info(&host), ["292"]);
    let warnings = logged(&host, Level::Warn);
    assert!(warnings.len() == 1 && warnings[0].contains("Line 3"), "{warnings:?}");
}
