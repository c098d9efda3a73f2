//! Cases of the manual's own samples.

use std::time::Duration;

use tidegate_trafficscript::{
    Phase,
    described::{Message, Pool},
    host::{Fetched, Level, Need, Order},
};

use crate::{
    answered, discarded, fault, from, get, given, info, location, logged, page, pool, post, reply, run, sent,
    status,
};

#[test]
fn case_53_guard_a_directory() {
    let rule = r#"$path = http.normalizePath( http.getPath() );
                  if( !$path ) http.sendResponse( 400, "text/plain", "", "" );
                  if( string.startsWith( $path, "/secure/" ) ) http.sendResponse( 403, "text/plain", "", "" );"#;
    for (target, code) in
        [("/secure/a", 403), ("/x/..//secure/./a", 403), ("/%2e%2e/secure", 400), ("/a/secure/b", 0)]
    {
        assert_eq!(status(&run(get(target), rule)), code, "{target}");
    }
}

#[test]
fn case_54_a_forward_proxy() {
    let rule = r#"$to = string.skip( http.getPath(), 5 );
                  if( !string.startsWith( http.getPath(), "/out/" ) ) break;
                  $slash = string.find( $to, "/" );
                  $address = string.left( $to, $slash );
                  $host = string.extractHost( $address );
                  if( !$host ) $host = $address;
                  if( !$port = string.extractPort( $address ) ) $port = 80;
                  http.setPath( string.skip( $to, $slash ) );
                  pool.use( "outside", $host, $port );"#;
    let host = run(get("/out/10.9.8.7:8080/a/b"), rule);
    assert_eq!(host.orders, [Order::Pool(b"outside".to_vec(), Some((b"10.9.8.7".to_vec(), 8080)))]);
    assert_eq!(host.target, b"/a/b");
    let host = run(get("/out/10.9.8.7/a"), rule);
    assert_eq!(host.orders, [Order::Pool(b"outside".to_vec(), Some((b"10.9.8.7".to_vec(), 80)))]);
    assert_eq!(pool(&run(get("/in"), rule)), "default");
}

#[test]
fn case_55_encrypted_cookies() {
    let response = r#"$value = http.getResponseCookie( "id" );
                      if( $value ) http.setResponseCookie( "id", string.hexencode( string.encrypt( $value, "secret" ) ) );"#;
    let request = r#"$value = http.getCookie( "id" );
                     if( !$value ) break;
                     $plain = string.decrypt( string.hexdecode( $value ), "secret" );
                     if( $plain ) http.setCookie( "id", $plain );
                     else { http.removeCookie( "id" ); log.warn( "tampered" ); }"#;
    let message = Message::default().header("Set-Cookie", "id=ada; path=/");
    let host = run(answered(get("/"), 200, message), response);
    let cookie = given(&host, "Set-Cookie");
    let (value, options) = cookie.strip_prefix("id=").unwrap().split_once(';').unwrap();
    assert!(value.len() > 20 && options == " path=/", "{cookie}");
    let back = run(get("/").header("Cookie", format!("a=1; id={value}")), request);
    assert_eq!(sent(&back, "Cookie"), "a=1; id=ada");
    let tampered = run(get("/").header("Cookie", format!("a=1; id={value}00")), request);
    assert_eq!(sent(&tampered, "Cookie"), "a=1");
    assert_eq!(logged(&tampered, Level::Warn), ["tampered"]);
}

#[test]
fn case_56_known_headers_only() {
    for rule in [
        "http.scrubRequestHeaders( \"Host\", \"Accept\" );",
        "http.scrubRequestHeaders( \"host accept\" );",
        "$keep = [ \"Host\", \"Accept\" ]; http.scrubRequestHeaders( $keep );",
    ] {
        let host = run(get("/").header("Accept", "a").header("X-Evil", "b"), rule);
        assert_eq!(host.request.headers.len(), 2, "{rule}");
        assert_eq!(sent(&host, "X-Evil"), "");
    }
}

#[test]
fn case_57_edit_a_stream() {
    let whole = r#"if( http.getResponseHeader( "Content-Type" ) != "text/html" ) break;
                   http.stream.startResponse( http.getResponseCode(), "text/html" );
                   while( $piece = http.stream.readBulkResponse( 16, "\n" ) )
                       http.stream.writeResponse( string.replaceAllI( $piece, "OLD", "new" ) );
                   http.stream.finishResponse();"#;
    let first = r#"http.stream.startResponse( http.getResponseCode(), "text/html" );
                   while( $piece = http.stream.readResponse( 16, "\n" ) ) {
                       if( string.containsI( $piece, "old" ) )
                           http.stream.continueFromBackend( string.replaceI( $piece, "old", "new" ) );
                       http.stream.writeResponse( $piece );
                   }
                   http.stream.finishResponse();"#;
    let text = "one\nOld two\nold three\nend";
    let written = |host: &tidegate_trafficscript::Described| {
        let stream = host.stream.clone().unwrap();
        (String::from_utf8(stream.written).unwrap(), stream.finished)
    };
    let host = run(page(200, "text/html", text), whole);
    assert_eq!(written(&host), ("one\nnew two\nnew three\nend".to_owned(), true));
    let host = run(page(200, "text/html", text), first);
    assert_eq!(written(&host), ("one\nnew two\n".to_owned(), false));
    assert_eq!(host.response.body, b"old three\nend");
    assert!(run(page(200, "text/css", text), whole).stream.is_none());
}

#[test]
fn case_58_from_the_cache_or_in_a_queue() {
    // Nothing is cached yet: every request queues.
    let rule = "http.cache.respondIfCached(); if( !http.cache.exists() ) rate.use( \"origin\" );";
    assert_eq!(run(get("/"), rule).needs.len(), 1);
}

#[test]
fn case_59_variants_in_the_cache() {
    let rule = r#"$who = "outside";
                  if( string.ipmaskmatch( request.getRemoteIP(), "10.0.0.0/8" ) ) $who = "inside";
                  http.cache.setkey( $who ); log.info( $who );"#;
    assert_eq!(info(&run(from(get("/"), "10.1.1.1"), rule)), ["inside"]);
    assert_eq!(info(&run(get("/"), rule)), ["outside"]);
}

#[test]
fn case_60_a_page_of_another_server() {
    let rule = r#"$page = http.request.post( "http://other.example/x", http.getQueryString(), "X-A: b" );
                  if( $1 == 0 ) { log.warn( "failed: " . $2 ); break; }
                  http.sendResponse( $1, $2, $page, "" );"#;
    let mut host = get("/?a=b");
    let fetched =
        Fetched { status: 201, content_type: b"text/x".into(), body: b"page".into(), ..Fetched::default() };
    host.fetches.insert(b"http://other.example/x".to_vec(), fetched);
    let host = run(host, rule);
    let reply = reply(&host).unwrap();
    assert_eq!(
        (reply.status, reply.body.as_slice(), reply.headers[0].1.as_slice()),
        (201, &b"page"[..], &b"text/x"[..])
    );
    let failed = run(get("/"), rule);
    assert_eq!((status(&failed), logged(&failed, Level::Warn).len()), (0, 1));
}

#[test]
fn case_61_a_post_that_can_be_sent_again() {
    let rule = "if( http.getMethod() == \"POST\" ) { http.getBody(); http.setIdempotent( 1 ); }";
    let host = run(post("/", "data"), rule);
    assert_eq!((host.orders.as_slice(), host.needs.len()), (&[Order::Idempotent(true)][..], 1));
    assert!(run(get("/"), rule).orders.is_empty());
}

#[test]
fn case_62_post_becomes_get() {
    let rule = "if( http.getMethod() == \"POST\" ) { http.setBody( \"\" ); http.setMethod( \"GET\" ); }";
    let host = run(post("/", "data"), rule);
    assert_eq!((host.method.as_slice(), host.request.body.len()), (&b"GET"[..], 0));
    assert_eq!(sent(&host, "Content-Length"), "0");
    assert_eq!(run(tidegate_trafficscript::Described::request("PUT", "/").body("x"), rule).method, b"PUT");
}

#[test]
fn case_63_more_time_for_post() {
    let rule = "if( http.getMethod() == \"POST\" ) request.setMaxReplyTime( 120 );";
    assert_eq!(run(post("/", ""), rule).orders, [Order::MaxReplyTime(Duration::from_mins(2))]);
    assert!(run(get("/"), rule).orders.is_empty());
}

#[test]
fn case_64_lines_of_a_request() {
    // Of HTTP, the lines of the head.
    let rule = r#"$line = request.getLine(); $next = request.getLine( "\n", $1 );
                  log.info( string.trim( $line ) . "; " . string.trim( $next ) );"#;
    assert_eq!(info(&run(get("/x"), rule)), ["GET /x HTTP/1.1; Host: shop.example"]);
    // Of a protocol of lines, one command after the other: some are answered here.
    let rule = r#"request.endsWith( "\n" );
                  $line = request.getLine();
                  if( string.startsWith( $line, "NOOP" ) ) request.sendResponse( "+OK\r\n" );
                  else { request.endsAt( $1 ); request.set( string.uppercase( $line ) ); }"#;
    let commands = |bytes: &str| run(tidegate_trafficscript::Described::bytes(bytes), rule).orders;
    assert_eq!(commands("NOOP\r\nmore"), [Order::EndsAt(6), Order::Respond(b"+OK\r\n".to_vec())]);
    assert_eq!(commands("stat\r\n"), [Order::EndsAt(6), Order::EndsAt(6)]);
    // Its answers, line by line.
    let mut host = tidegate_trafficscript::Described::bytes("list\r\n");
    host.phase = Phase::Response;
    host.response.body = b"+OK\r\n1 120\r\n.\r\n".to_vec();
    let host =
        run(host, r#"do { $line = response.getLine(); response.flush( $1 ); } while( $line != ".\r\n" );"#);
    assert_eq!(host.flushed, b"+OK\r\n1 120\r\n.\r\n");
}

#[test]
fn case_65_a_binary_message() {
    let rule = r#"$data = http.getBody();
                  $length = string.bytesToInt( string.substring( $data, 0, 1 ) );
                  if( $length + 2 != string.len( $data ) ) http.sendResponse( 400, "", "", "" );
                  log.info( string.bytesToDotted( string.substring( $data, 2, 5 ) ) );"#;
    let with = |body: &[u8]| run(get("/").body(body), rule);
    assert_eq!(info(&with(b"\0\x04\x0a\x01\x02\x03")), ["10.1.2.3"]);
    assert_eq!(status(&with(b"\0\x09\x0a\x01\x02\x03")), 400);
}

#[test]
fn case_66_count_clients() {
    let rule = r#"$seen = data.get( "clients" );
                  $seen[ request.getRemoteIP() ] = 1;
                  data.set( "clients", $seen );
                  log.info( array.length( hash.keys( $seen ) ) );"#;
    let mut host = get("/");
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
        host = run(from(host, client), rule);
    }
    assert_eq!(info(&host), ["1", "2", "2"]);
}

#[test]
fn case_67_once() {
    let rule = "if( !data.get( \"done\" ) ) { data.set( \"done\", 1 ); log.info( \"first\" ); }";
    assert_eq!(info(&run(run(get("/"), rule), rule)), ["first"]);
}

#[test]
fn case_68_count_long_waits() {
    let rule = "if( stats.getQueueTime() > 100 ) counter.increment( 3 );";
    let mut host = page(200, "text/html", "");
    host.times.queued = Duration::from_millis(101);
    assert_eq!(run(host, rule).counters.get(&3), Some(&1));
    assert!(run(page(200, "text/html", ""), rule).counters.is_empty());
}

#[test]
fn case_69_an_event() {
    let rule =
        "if( http.getResponseCode() >= 500 ) event.emit( \"broken\", \"node \" . connection.getNode() );";
    assert_eq!(run(page(502, "", ""), rule).events, [(b"broken".to_vec(), b"node 10.0.0.1:80".to_vec())]);
    assert!(run(page(200, "", ""), rule).events.is_empty());
}

#[test]
fn case_70_a_client_certificate_for_a_path() {
    let rule = r#"if( !ssl.clientSupportsSecureRenegotiation() ) http.sendResponse( 403, "text/plain", "", "" );
                  if( string.startsWith( http.getPath(), "/admin" ) && ssl.clientCertStatus() != "OK" )
                      http.sendResponse( 403, "text/plain", "certificate needed", "" );"#;
    assert_eq!(status(&run(get("/admin").secure(), rule)), 403);
    assert_eq!(status(&run(get("/").secure(), rule)), 0);
    assert_eq!(status(&run(get("/"), rule)), 403);
    assert!(fault("ssl.requireCert();").contains("first handshake"));
}

#[test]
fn case_71_assert_tls() {
    let rule = "lang.assert( ssl.isSSL(), \"TLS is not decrypted\" ); log.info( \"goes on\" );";
    assert_eq!(info(&run(get("/").secure(), rule)), ["goes on"]);
    let plain = run(get("/"), rule);
    assert!(info(&plain).is_empty() && logged(&plain, Level::Warn)[0].contains("TLS is not decrypted"));
}

#[test]
fn case_72_spread_by_url() {
    let rule = "connection.setPersistenceKey( math.fabs( string.hash( http.getRawURL() ) % 1000 ) );";
    let key = |target| match run(get(target), rule).orders.pop() {
        Some(Order::PersistenceKey(key)) => String::from_utf8(key).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(key("/a"), key("/a"));
    assert_ne!(key("/a"), key("/b"));
    assert!(key("/a").parse::<u32>().unwrap() < 1000);
}

#[test]
fn case_73_no_session_in_the_url() {
    let rule = r"http.setPath( string.regexsub( http.getPath(), '/\(S\([a-z0-9]+\)\)', '' ) );";
    assert_eq!(run(get("/shop/(S(ab12))/x?y"), rule).target, b"/shop/x?y");
    assert_eq!(run(get("/shop/x"), rule).target, b"/shop/x");
}

#[test]
fn case_74_parts_of_an_upload() {
    let rule = r#"$i = 0;
                  while( $part = http.getMultipartAttachment( $i ) ) { log.info( $1 . ": " . $part ); $i++; }"#;
    let body = "--b\r\nContent-Type: text/plain\r\n\r\none\r\n--b\r\nContent-Type: image/png\r\n\r\ntwo\r\n--b--\r\n";
    let upload = post("/", body).header("Content-Type", "multipart/form-data; boundary=b");
    assert_eq!(info(&run(upload, rule)), ["text/plain: one", "image/png: two"]);
    assert!(info(&run(post("/", body), rule)).is_empty());
}

#[test]
fn case_75_refuse_instead_of_waiting() {
    let rule =
        r#"if( connection.checkLimits( "web" ) == 0 ) http.sendResponse( 503, "text/plain", "full", "" );"#;
    let with = |is_full| {
        let mut host = get("/").pool("web", Vec::new());
        host.pools.as_mut().unwrap().insert("web".to_owned(), Pool { nodes: Vec::new(), is_full });
        status(&run(host, rule))
    };
    assert_eq!((with(true), with(false)), (503, 0));
}

#[test]
fn case_76_transform_a_document() {
    let rule = r#"http.setBody( xml.xslt.transform( http.getBody(), resource.get( "style.xsl" ) ) );"#;
    assert!(fault(rule).contains("xml.xslt.transform"));
}

#[test]
fn case_77_names_of_clients() {
    let rule = r"$ip = request.getRemoteIP();
                  $name = net.dns.resolveIP( $ip );
                  if( $name == $ip || net.dns.resolveHost( $name ) != $ip ) connection.discard();
                  log.info( $name );";
    let with = |back: &str| {
        let mut host = get("/");
        host.names.insert(b"192.0.2.1".to_vec(), b"a.example".to_vec());
        host.names.insert(b"a.example".to_vec(), back.into());
        run(host, rule)
    };
    let honest = with("192.0.2.1");
    assert_eq!((info(&honest), honest.needs.len()), (vec!["a.example".to_owned()], 2));
    assert!(discarded(&with("192.0.2.9")));
    assert!(discarded(&run(get("/"), rule)));
}

#[test]
fn case_78_failed_exchanges_only() {
    let rule = r#"$end = connection.getCompletionReasonInfo();
                  if( $end["iserror"] ) log.warn( $end["code"] . ": " . $end["message"] );"#;
    let with = |code| {
        let mut host = get("/");
        host.phase = Phase::Completion;
        host.completion = code;
        logged(&run(host, rule), Level::Warn)
    };
    assert_eq!(
        with("TIMEOUT_CONNECT_SERVER"),
        ["TIMEOUT_CONNECT_SERVER: No node took the connection in time"]
    );
    assert!(with("COMPLETE").is_empty());
}

#[test]
fn case_79_recent_connections() {
    let rule = "if( http.getResponseCode() >= 500 ) recentconns.include(); else recentconns.exclude();";
    for code in [200, 500] {
        assert!(run(page(code, "", ""), rule).lines.is_empty());
    }
}

#[test]
fn case_80_compress_for_some() {
    let rule = r#"if( string.contains( http.getHeader( "User-Agent" ), "Goodbrowser" )
                      && http.getResponseHeader( "Content-Type" ) != "text/css" ) {
                      http.compress.enable(); log.info( "compressed" );
                  } else http.compress.disable();"#;
    let response = |kind: &str| {
        let host = get("/").header("User-Agent", "Goodbrowser/9");
        run(answered(host, 200, Message::default().header("Content-Type", kind)), rule)
    };
    assert_eq!(info(&response("text/html")), ["compressed"]);
    assert!(info(&response("text/css")).is_empty());
}

#[test]
fn case_81_pause() {
    let host = run(get("/"), "$from = sys.time(); connection.sleep( 2000 ); log.info( sys.time() - $from );");
    assert_eq!(host.needs, [Need::Sleep(Duration::from_secs(2))]);
    assert_eq!(info(&host), ["2"]);
}

#[test]
fn case_82_a_date_for_a_header() {
    let rule = r#"http.setResponseHeader( "Expires", sys.gmtime.format( "%a, %d %b %Y %T GMT", sys.time() + 3600 ) );"#;
    let mut host = page(200, "", "");
    host.now = Duration::from_secs(784_111_777);
    assert_eq!(given(&run(host, rule), "Expires"), "Sun, 06 Nov 1994 09:49:37 GMT");
}

#[test]
fn case_83_marked_packets() {
    let host = run(get("/"), "request.setDSCP( 0x2e ); response.setDSCP( 0x2e );");
    assert!(host.lines.is_empty() && location(&host).is_empty());
}

#[test]
fn case_84_extension_headers() {
    let rule = r#"log.info( array.join( array.filter( http.listHeaderNames(), "^x-", "i" ), "," ) );"#;
    assert_eq!(
        info(&run(get("/").header("X-A", "1").header("Accept", "2").header("x-b", "3"), rule)),
        ["X-A,x-b"]
    );
    assert_eq!(info(&run(get("/"), rule)), [""]);
}

/// Virtual servers of the protocol SIP are not served: the rule is told why it cannot run.
#[test]
fn case_85_a_privileged_port_as_next_hop() {
    let rule = r#"$hop = sip.getRequestHeader( "Route" );
                  if( string.regexmatch( $hop, "^<sip:([^;>]*)" ) ) {
                      $port = string.extractPort( $1 );
                      if( $port && $port < 1024 ) sip.sendResponse( "403", "Forbidden" );
                  }"#;
    let fault = fault(rule);
    assert!(fault.contains("line 1") && fault.contains("sip.getRequestHeader"), "{fault}");
    assert!(fault.contains("virtual servers of the protocol SIP are not served"), "{fault}");
}
