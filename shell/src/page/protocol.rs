//! The custom protocol: requests for `app://localhost/…` answered from the app's drive.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use app::layout;
use wry::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RANGE,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use wry::http::{HeaderValue, Method, Request, Response, StatusCode};

use super::assets::{Assets, AssetsError};
use super::{error_page, mime, path};

/// The scheme of the app's page.
pub const SCHEME: &str = "app";

/// The page's origin, as `location.origin` says it. WebView2 cannot open custom schemes and maps them to http.
pub const ORIGIN: &str = if cfg!(windows) {
    "http://app.localhost"
} else {
    "app://localhost"
};

/// The hosts of [`ORIGIN`], as the web view may give it.
const HOSTS: &[&str] = if cfg!(windows) {
    &["localhost", "app.localhost"]
} else {
    &["localhost"]
};

/// What a page may load unless `bosc.contentSecurityPolicy` says otherwise: its own files, inline styles, `data:` and
/// `blob:` pictures; no inline or foreign script, no frames, no plug-ins, no network.
pub const DEFAULT_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob: data:; connect-src 'self'; \
    worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The policy of our own error page.
const ERROR_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Largest answer in bytes; larger files must be asked for in ranges.
const MAX_BODY_BYTES: u64 = 256 * 1024 * 1024;

/// Most bytes answered to one range request. A media player asks again for the rest.
const MAX_RANGE_BYTES: u64 = 8 * 1024 * 1024;

/// Answers the page's requests.
#[derive(Clone)]
pub struct PageServer {
    assets: Arc<dyn Assets>,
    policy: HeaderValue,
    /// What a bundle has in it, if package.json says so.
    files: Option<Arc<[String]>>,
}

impl PageServer {
    /// Serves `assets`; `policy` replaces [`DEFAULT_POLICY`] if it is a valid header value.
    pub fn new(assets: Arc<dyn Assets>, policy: Option<&str>) -> Self {
        let policy = policy.and_then(|text| HeaderValue::from_str(text).ok());
        Self {
            assets,
            policy: policy.unwrap_or_else(|| HeaderValue::from_static(DEFAULT_POLICY)),
            files: None,
        }
    }

    /// Serves only these files and folders (`bosc.files` of package.json) and package.json, as a bundle would.
    #[must_use]
    pub fn only(mut self, files: Option<&[String]>) -> Self {
        self.files = files.map(Into::into);
        self
    }

    /// Whether a file is the page's to read: nothing hidden, and nothing that is not for the bundle.
    fn is_served(&self, path: &str) -> bool {
        let hidden = path.split('/').any(|name| name.starts_with('.'));
        let listed = self.files.as_ref().is_none_or(|files| {
            path == layout::PACKAGE
                || files.iter().any(|file| {
                    path.strip_prefix(file.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
        });
        !hidden && listed
    }

    /// Answers one request. Never fails: what cannot be served becomes a page that says why.
    pub async fn respond<B>(&self, request: &Request<B>) -> Response<Cow<'static, [u8]>> {
        let head = request.method() == Method::HEAD;
        if !head && request.method() != Method::GET {
            return problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "This request is not allowed",
                request.method().as_str(),
                "Pages can only read files of the app. Use bridge.invoke() to reach the app's own code.",
            );
        }
        // Another host would be another origin with the same files.
        let host = request
            .uri()
            .authority()
            .map_or("", |authority| authority.as_str());
        if !HOSTS.contains(&host) {
            return problem(
                StatusCode::NOT_FOUND,
                "There is no such app",
                host,
                "The app's own files are at the address that the page has.",
            );
        }
        let url_path = request.uri().path();
        let Some(path) = path::drive_path(url_path) else {
            return problem(
                StatusCode::BAD_REQUEST,
                "This address is not inside the app",
                url_path,
                "Use a plain path of a file in the app's folder.",
            );
        };
        let asked = request.headers().get(RANGE).and_then(|value| value.to_str().ok());
        let file = if self.is_served(&path) {
            self.file(&path, asked).await
        } else {
            Err(AssetsError::Missing)
        };
        match file {
            Ok(mut response) => {
                response
                    .headers_mut()
                    .insert(CONTENT_SECURITY_POLICY, self.policy.clone());
                if head {
                    *response.body_mut() = Cow::Borrowed(&[]);
                }
                response
            }
            Err(AssetsError::Missing) => problem(
                StatusCode::NOT_FOUND,
                &format!("The file {path} is missing"),
                &format!("{path}\nnot found in {}", self.assets.describe()),
                "If you installed this app, install it again. If you are building it, add the file or correct its name.",
            ),
            Err(error) => problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("The file {path} could not be read"),
                &error.to_string(),
                "Try again; if that does not help, install the app again.",
            ),
        }
    }

    async fn file(
        &self,
        path: &str,
        range: Option<&str>,
    ) -> Result<Response<Cow<'static, [u8]>>, AssetsError> {
        let size = self.assets.size(path).await?.ok_or(AssetsError::Missing)?;
        let builder = Response::builder()
            .header(CONTENT_TYPE, mime::of(path))
            .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(REFERRER_POLICY, "no-referrer")
            .header(CACHE_CONTROL, "no-store")
            .header(ACCEPT_RANGES, "bytes");
        let response = match range.map(|text| parse_range(text, size)) {
            Some(Asked::Part(part)) => {
                let shown = format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1));
                let body = self.assets.read(path, part).await?;
                builder
                    .status(StatusCode::PARTIAL_CONTENT)
                    .header(CONTENT_RANGE, shown)
                    .body(Cow::Owned(body.to_vec()))
            }
            Some(Asked::Beyond) => builder
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(CONTENT_RANGE, format!("bytes */{size}"))
                .body(Cow::Borrowed(&[][..])),
            Some(Asked::Whole) | None if size > MAX_BODY_BYTES => return Err(AssetsError::TooLarge { size }),
            Some(Asked::Whole) | None => {
                let body = self.assets.read(path, 0..size).await?;
                builder.status(StatusCode::OK).body(Cow::Owned(body.to_vec()))
            }
        };
        response.map_err(|error| AssetsError::Other(error.to_string()))
    }
}

/// Our own page for a request that cannot be served.
pub fn problem(status: StatusCode, title: &str, detail: &str, advice: &str) -> Response<Cow<'static, [u8]>> {
    let mut response = Response::new(Cow::Owned(error_page::render(title, detail, advice).into_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(ERROR_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[derive(Debug, PartialEq)]
enum Asked {
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that the file does not have.
    Beyond,
    /// Not a form we answer (several ranges, other units, nonsense): the whole file, as RFC 9110 allows.
    Whole,
}

/// Reads a `Range` header for a file of `size` bytes (RFC 9110, section 14.2: one `bytes` range).
fn parse_range(text: &str, size: u64) -> Asked {
    let Some((first, last)) = text
        .trim()
        .strip_prefix("bytes=")
        .and_then(|spec| spec.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if last.is_empty() => (start, size),
        (Err(_), Ok(suffix)) if first.is_empty() => (size - suffix.min(size), size),
        _ => return Asked::Whole,
    };
    if start >= end {
        Asked::Beyond
    } else {
        Asked::Part(start..end.min(start.saturating_add(MAX_RANGE_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::page::assets::tests::MemoryAssets;

    fn server() -> PageServer {
        let assets = MemoryAssets::new([
            ("renderer/index.html", &b"<h1>hi</h1>"[..]),
            ("a.bin", &b"0123456789"[..]),
            ("empty.txt", &b""[..]),
        ]);
        PageServer::new(Arc::new(assets), None)
    }

    async fn get(path: &str, range: Option<&str>) -> Response<Cow<'static, [u8]>> {
        let mut request = Request::builder().uri(format!("{ORIGIN}{path}"));
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        server().respond(&request.body(()).unwrap()).await
    }

    fn header<'a>(response: &'a Response<Cow<'static, [u8]>>, name: &str) -> &'a str {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn a_page_comes_with_its_type_and_a_strict_policy() {
        let response = get("/renderer/", None).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.body().as_ref(), b"<h1>hi</h1>");
        assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
        let policy = header(&response, "content-security-policy");
        assert!(
            policy.contains("script-src 'self';") && policy.contains("frame-src 'none'"),
            "{policy}"
        );
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    }

    #[tokio::test]
    async fn other_hosts_hidden_files_and_what_no_bundle_has_are_not_served() {
        let assets = MemoryAssets::new([
            ("package.json", &b"{}"[..]),
            ("renderer/index.html", &b"page"[..]),
            ("renderer/.env", &b"secret"[..]),
            (".git/config", &b"secret"[..]),
            ("rendererless/notes", &b"notes"[..]),
            ("src/main.rs", &b"fn main"[..]),
        ]);
        let all = PageServer::new(Arc::new(assets), None);
        let listed = all.clone().only(Some(&["renderer".to_owned()]));
        let status = async |server: &PageServer, url: &str| {
            let request = Request::builder().uri(url).body(()).unwrap();
            server.respond(&request).await.status().as_u16()
        };
        for (url, from_all, from_listed) in [
            ("app://localhost/renderer/", 200, 200),
            ("app://localhost/package.json", 200, 200),
            ("app://localhost/src/main.rs", 200, 404),
            ("app://localhost/rendererless/notes", 200, 404),
            ("app://localhost/renderer/.env", 404, 404),
            ("app://localhost/renderer/%2eenv", 404, 404),
            ("app://localhost/.git/config", 404, 404),
            ("app://elsewhere/renderer/", 404, 404),
            ("app://localhost:1/renderer/", 404, 404),
            ("app://me@localhost/renderer/", 404, 404),
        ] {
            assert_eq!(status(&all, url).await, from_all, "{url}");
            assert_eq!(status(&listed, url).await, from_listed, "{url}");
        }
    }

    #[tokio::test]
    async fn ranges() {
        for (range, status, body, shown) in [
            ("bytes=2-4", 206, &b"234"[..], "bytes 2-4/10"),
            ("bytes=7-", 206, b"789", "bytes 7-9/10"),
            ("bytes=-2", 206, b"89", "bytes 8-9/10"),
            ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
            ("bytes=10-", 416, b"", "bytes */10"),
            ("bytes=5-2", 200, b"0123456789", ""),
            ("bytes=0-1,4-5", 200, b"0123456789", ""),
            ("lines=1-2", 200, b"0123456789", ""),
        ] {
            let response = get("/a.bin", Some(range)).await;
            assert_eq!(response.status(), status, "{range}");
            assert_eq!(response.body().as_ref(), body, "{range}");
            assert_eq!(header(&response, "content-range"), shown, "{range}");
        }
        assert_eq!(get("/empty.txt", Some("bytes=0-")).await.status(), 416);
    }

    #[tokio::test]
    async fn a_missing_file_is_named_and_escaped() {
        let response = get("/renderer/%3Cb%3E.js", None).await;
        assert_eq!(response.status(), 404);
        let page = String::from_utf8_lossy(response.body());
        assert!(
            page.contains("The file renderer/&lt;b&gt;.js is missing"),
            "{page}"
        );
        assert!(header(&response, "content-security-policy").starts_with("default-src 'none'"));
    }

    #[tokio::test]
    async fn paths_that_leave_and_other_methods_are_refused() {
        assert_eq!(get("/%2e%2e/secret", None).await.status(), 400);
        let post = Request::builder()
            .method("POST")
            .uri(format!("{ORIGIN}/a.bin"))
            .body(())
            .unwrap();
        assert_eq!(server().respond(&post).await.status(), 405);
        let head = Request::builder()
            .method("HEAD")
            .uri(format!("{ORIGIN}/a.bin"))
            .body(())
            .unwrap();
        let response = server().respond(&head).await;
        assert_eq!((response.status().as_u16(), response.body().len()), (200, 0));
    }

    proptest! {
        #[test]
        fn any_range_stays_in_the_file(text in "(bytes=)?[0-9,-]{0,24}", size in 0u64..1000) {
            if let Asked::Part(part) = parse_range(&text, size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }
    }
}
