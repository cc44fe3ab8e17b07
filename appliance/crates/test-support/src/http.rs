//! A viewer's requests.

use std::time::Duration;

use serde_json::Value;

/// Longest time for one answer; a segment about to exist answers by waiting.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }
}

/// The answer to a request, or the sentence why there is none.
///
/// # Errors
/// Where no whole answer came.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).map_err(|e| format!("{method} {url}: {e}"))?;
    let mut response = agent.run(request).map_err(|e| format!("{method} {url}: {e}"))?;
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec();
    Ok(Answer { status, headers, body: body.map_err(|e| format!("{method} {url}: {e}"))? })
}

/// The body of a GET that succeeds, to be read as it comes.
///
/// # Panics
/// Where it does not succeed.
#[must_use]
pub fn stream(url: &str) -> impl std::io::Read {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
    let response = agent.get(url).call().unwrap_or_else(|e| panic!("GET {url}: {e}"));
    response.into_body().into_reader()
}

/// The answer to a GET, whatever its status.
///
/// # Panics
/// Where no answer came.
#[must_use]
pub fn get(url: &str) -> Answer {
    request("GET", url, &[]).unwrap_or_else(|e| panic!("{e}"))
}

/// The body of a GET that succeeds.
///
/// # Panics
/// Where it does not.
#[must_use]
pub fn body(url: &str) -> Vec<u8> {
    let answer = get(url);
    assert_eq!(answer.status, 200, "GET {url}: {}", answer.text());
    answer.body
}
