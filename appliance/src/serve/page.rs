//! The operator's page, which is part of the binary: no file of it can go missing, and no network is asked for it.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tokio::task;

use super::conditions::not_modified;

/// The page may load from the daemon itself only, but plays what its manifests name (`connect-src`), through blobs
/// that media source extensions make; it may stand in no foreign frame.
const POLICY: &str = "default-src 'self'; connect-src *; media-src * blob:; worker-src 'self' blob:; \
    img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; \
    frame-ancestors 'self'";

/// Looked at again each time, which the entity tag makes cheap: a new release must not meet an old script.
const REVALIDATE: &str = "no-cache";

macro_rules! assets {
    ($($path:literal => $type:literal),+ $(,)?) => {
        /// Every file of the page, by its path below `/assets/`.
        const FILES: &[(&str, &str, &[u8])] =
            &[$(($path, $type, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $path)))),+];
    };
}

assets! {
    "index.html" => "text/html; charset=utf-8",
    "style.css" => "text/css; charset=utf-8",
    "favicon.svg" => "image/svg+xml",
    "api.js" => "text/javascript; charset=utf-8",
    "app.js" => "text/javascript; charset=utf-8",
    "controls.js" => "text/javascript; charset=utf-8",
    "detail.js" => "text/javascript; charset=utf-8",
    "dom.js" => "text/javascript; charset=utf-8",
    "feeds.js" => "text/javascript; charset=utf-8",
    "format.js" => "text/javascript; charset=utf-8",
    "machine.js" => "text/javascript; charset=utf-8",
    "player.js" => "text/javascript; charset=utf-8",
    "recordings.js" => "text/javascript; charset=utf-8",
    "vendor/dashjs/dash.all.min.js" => "text/javascript; charset=utf-8",
    "vendor/dashjs/dash.all.min.js.LICENSE.txt" => "text/plain; charset=utf-8",
    "vendor/dashjs/LICENSE" => "text/plain; charset=utf-8",
}

struct Asset {
    path: &'static str,
    content_type: HeaderValue,
    plain: Bytes,
    compressed: Bytes,
    etag: HeaderValue,
    compressed_etag: HeaderValue,
}

/// Compressed once, when the page is first asked for.
static ASSETS: LazyLock<Arc<[Asset]>> = LazyLock::new(|| {
    FILES.iter().map(|(path, content_type, bytes)| Asset::new(path, content_type, bytes)).collect()
});

impl Asset {
    fn new(path: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let digest = Sha256::digest(bytes);
        let digest: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let etag = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"0\""));
        Self {
            path,
            content_type: HeaderValue::from_static(content_type),
            plain: Bytes::from_static(bytes),
            compressed: gzip(bytes).map_or(Bytes::from_static(bytes), Bytes::from),
            etag: etag(format!("\"{digest}\"")),
            compressed_etag: etag(format!("\"{digest}-gzip\"")),
        }
    }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().filter(|compressed| compressed.len() < bytes.len())
}

/// `GET /`.
pub(super) async fn index(headers: HeaderMap) -> Response {
    send("index.html", &headers).await
}

/// `GET /assets/…`.
pub(super) async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    send(uri.path().strip_prefix("/assets/").unwrap_or_default(), &headers).await
}

/// `GET /favicon.ico`, which browsers ask for unasked.
pub(super) async fn favicon(headers: HeaderMap) -> Response {
    send("favicon.svg", &headers).await
}

async fn send(path: &str, headers: &HeaderMap) -> Response {
    // The list is the whole of what there is; nothing is looked up on a disk.
    let Ok(assets) = task::spawn_blocking(|| ASSETS.clone()).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Some(asset) = assets.iter().find(|asset| asset.path == path) else {
        return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
    };
    let zipped = accepts_gzip(headers) && asset.compressed.len() < asset.plain.len();
    let (body, etag) =
        if zipped { (&asset.compressed, &asset.compressed_etag) } else { (&asset.plain, &asset.etag) };
    let mut response = match not_modified(headers, etag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => body.clone().into_response(),
    };
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, asset.content_type.clone());
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(REVALIDATE));
    fields.insert(header::ETAG, etag.clone());
    fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if zipped {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|coding| coding.split_once(';').unwrap_or((coding, "")))
        .any(|(coding, weight)| {
            coding.trim().eq_ignore_ascii_case("gzip")
                && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Files that are for whoever reads the repository.
    const NOT_SERVED: &[&str] = &["README.md"];

    fn collect(folder: &Path, below: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, below, found);
            } else if !NOT_SERVED.iter().any(|name| path.ends_with(name)) {
                found.insert(path.strip_prefix(below).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut found = BTreeSet::new();
        collect(&web, &web, &mut found);
        let served: BTreeSet<String> = FILES.iter().map(|(path, ..)| (*path).to_owned()).collect();
        assert_eq!(found, served);
    }

    #[test]
    fn gzip_is_sent_to_whom_it_is_welcome() {
        let accepts = |value: &'static str| {
            accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(accepts("gzip") && accepts("br;q=1.0, GZIP;q=0.8"));
        assert!(!accepts("br") && !accepts("gzip;q=0") && !accepts("identity"));
    }
}
