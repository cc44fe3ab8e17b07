use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::programme::{begin, keep_all, metric, open, soon, write};
use crate::server::Server;

#[tokio::test]
async fn machines_are_told_how_it_is() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.status, 200);
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
    server.ready.store(false, Ordering::SeqCst);
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["checks"][0]["name"], "draining");

    let time = server.get("/time").await;
    assert!(
        time.text().ends_with('Z') && time.text().len() == "2026-11-21T03:15:00.123Z".len(),
        "{}",
        time.text()
    );
    assert_eq!(time.field("cache-control"), Some("no-store"));
    assert_eq!(time.field("access-control-allow-origin"), Some("*"));
    let head = server.request("HEAD", "/time", &[]).await;
    assert!(head.status == 200 && head.field("date").is_some() && head.body.is_empty());
}

#[tokio::test]
async fn the_api_lists_feeds_and_presentations() {
    let server = Server::start().await;
    let feeds = server.get("/api/v1/feeds").await;
    assert_eq!(feeds.json()[0]["name"], "studio-a");
    assert_eq!(feeds.field("content-type"), Some("application/json"));
    assert_eq!(server.get("/api/v1/feeds/studio-a").await.json()["state"], "idle");
    for (path, status) in [
        ("/api/v1/feeds/studio-b", 404),
        ("/api/v1/feeds/..%2f", 404),
        ("/api/v1/feeds/%ff", 404),
        ("/api/v1/nothing", 404),
        ("/api", 404),
        ("/api/v1/presentations?feed=../x", 400),
        ("/api/v1/presentations?fed=x", 400),
        ("/api/v1/presentations?feed=%ff", 400),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.len() > 10, "{path}: {error}");
    }

    let presentation = begin(&server.store, "studio-a", "20261121T031500.000Z", Duration::from_secs(20));
    write(&presentation, 1..=2);
    let listed = server.get("/api/v1/presentations?feed=studio-a").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!((&listed[0]["live"], &listed[0]["title"]), (&true.into(), &"Programme of studio-a".into()));
    let other = server.get("/api/v1/presentations?feed=studio-b").await.json();
    assert_eq!(other, serde_json::json!([]));
}

#[tokio::test]
async fn requests_are_counted_by_closed_lists() {
    let server = Server::start().await;
    let presentation = begin(&server.store, "studio-a", "20261121T031500.000Z", Duration::from_secs(20));
    write(&presentation, 1..=2);
    let segment = server.get("/live/studio-a/360p/1.m4s").await;
    server.get("/live/a-strangers-word/manifest.mpd").await;
    let metrics = server.get("/metrics").await;
    assert!(metrics.field("content-type").unwrap().starts_with("text/plain"));
    let text = metrics.text();
    assert!(text.contains("rungd_http_requests_total{route=\"segment\",status=\"2xx\"} 1"), "{text}");
    assert!(text.contains("rungd_http_requests_total{route=\"dash\",status=\"4xx\"} 1"), "{text}");
    let bytes = format!("rungd_http_response_bytes_total{{route=\"segment\"}} {}", segment.body.len());
    assert!(text.contains(&bytes), "{text}");
    assert!(!text.contains("strangers"), "{text}");
    assert!(metric(&server.registry, "rungd_http_connections_total") >= 3.0);
}

#[tokio::test]
async fn the_page_comes_out_of_the_binary() {
    let server = Server::start().await;
    let page = server.get("/").await;
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.field("content-security-policy").unwrap().contains("default-src 'self'"));
    // Everything that the page names is there.
    let named: Vec<&str> = page.text().split('"').filter(|word| word.starts_with("/assets/")).collect();
    assert!(named.len() >= 3, "{named:?}");
    for path in named {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let plain = server.get("/assets/vendor/dashjs/dash.all.min.js").await;
    let zipped =
        server.request("GET", "/assets/vendor/dashjs/dash.all.min.js", &[("Accept-Encoding", "gzip")]).await;
    assert_eq!(zipped.field("content-encoding"), Some("gzip"));
    assert!(zipped.body.len() * 2 < plain.body.len());
    assert_ne!(zipped.field("etag"), plain.field("etag"));
    let etag = plain.field("etag").unwrap();
    let again =
        server.request("GET", "/assets/vendor/dashjs/dash.all.min.js", &[("If-None-Match", etag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

/// The disk was in trouble when two began, and is not any more: one is recorded now, the other has the id of a recording.
#[tokio::test]
async fn metrics_say_of_the_archive_what_readiness_does() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, _registry) = open(&keep_all(), folder.path());
        write(&begin(&store, "studio-a", "20261121T010000.000Z", Duration::from_secs(60)), 1..=2);
        store.shutdown(Duration::from_secs(20)).await;
    }
    // A folder where a file is to be, for root too.
    let obstacle = folder.path().join("catalogue.lock");
    std::fs::remove_file(&obstacle).unwrap();
    std::fs::create_dir(&obstacle).unwrap();
    let server = Server::on(folder).await;
    let degraded = async || {
        let answer = server.get("/metrics").await;
        answer.text().lines().any(|line| line == "rungd_store_archive_degraded 1")
    };
    let presentation = begin(&server.store, "studio-a", "20261121T010000.000Z", Duration::from_secs(60));
    let taken_in = begin(&server.store, "studio-b", "20261121T010000.000Z", Duration::from_secs(60));
    assert!(degraded().await);
    std::fs::remove_dir(&obstacle).unwrap();
    soon("the archive to take it in", || taken_in.view().is_archived());
    let said = server.store.archive_health().unwrap().degraded;
    assert!(said.as_ref().is_some_and(|said| said.contains("is not kept")), "{said:?}");
    assert!(degraded().await);
    drop(presentation);
    assert_eq!(server.store.archive_health().unwrap().degraded, None);
    assert!(!degraded().await);
}

#[tokio::test]
async fn programmes_are_ended_by_who_has_the_token_and_nobody_else() {
    let server = Server::start().await;
    let path = "/api/v1/feeds/studio-a/end";
    let token = server.token.authorization();
    for fields in [
        vec![],
        vec![("Authorization", "Bearer 0000")],
        vec![("Authorization", token.trim_start_matches("Bearer "))],
        vec![("Cookie", token.as_str())],
    ] {
        let answer = server.request("POST", path, &fields).await;
        assert_eq!(answer.status, 401, "{fields:?}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
    }
    // Another site's script may not even ask whether it may.
    let preflight = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    let answer = server.request("OPTIONS", path, &preflight).await;
    assert_eq!(answer.field("access-control-allow-origin"), None);
    let shown = [("Authorization", token.as_str())];
    assert_eq!(server.request("GET", path, &shown).await.status, 405);
    let answer = server.request("POST", path, &shown).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().contains(r#""presentation":"20261121T031500.000Z","ended":true,"archived":true"#),
        "{}",
        answer.text()
    );
    for (feed, status) in [("studio-i", 409), ("nobody", 404), ("..%2f", 404)] {
        let answer = server.request("POST", &format!("/api/v1/feeds/{feed}/end"), &shown).await;
        assert_eq!(answer.status, status, "{feed}: {}", answer.text());
    }
}
