//! Who is spoken to, and for whom: `Host`, `Origin` and `Sec-Fetch-Site` are checked before anything
//! else. A page of another site reaches this machine's sockets through its visitor's browser, under its
//! own name (DNS rebinding), from its own origin, or as an image or a script that names none; none of
//! these is answered. A link on it may lead to the page for people, which tells nothing to who links.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, HeaderName, ORIGIN, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Request};

use super::problem::Problem;

/// Whose page has a browser ask, as the browser says it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What the browser does with the answer: `navigate` shows it in the place of that page.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What a server may be called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    listen: IpAddr,
}

impl Guard {
    pub(super) fn new(listen: SocketAddr) -> Self {
        Guard {
            listen: listen.ip(),
        }
    }

    /// Refuses a request to another host, or of another origin or site than this host, and one whose
    /// body may end in two places. `local` is the address that the client has connected to.
    pub(super) fn check<B>(&self, request: &Request<B>, local: IpAddr) -> Result<(), Problem> {
        let host = single(request.headers(), HOST)?;
        let host = host.ok_or_else(|| Problem::invalid("the request has no Host header"))?;
        // A Content-Length beside it is taken away before it gets here: so neither comes alone.
        if request.headers().contains_key(TRANSFER_ENCODING) {
            let problem = Problem::invalid("the request has a Transfer-Encoding");
            return Err(problem.with_help("send its body whole, with a Content-Length alone"));
        }
        if !self.is_own(host, local) {
            return Err(Problem::foreign("host", host));
        }
        // `GET http://host/path` names the host once more.
        if let Some(target) = request.uri().authority()
            && !self.is_own(target.as_str(), local)
        {
            return Err(Problem::foreign("host", target.as_str()));
        }
        if let Some(site @ ("cross-site" | "same-site")) =
            single(request.headers(), SEC_FETCH_SITE)?
        {
            let mode = single(request.headers(), SEC_FETCH_MODE)?;
            let is_link = mode == Some("navigate")
                && request.method() == Method::GET
                && request.uri().path() == "/";
            if !is_link {
                return Err(Problem::foreign("Sec-Fetch-Site", site));
            }
        }
        let Some(origin) = single(request.headers(), ORIGIN)? else {
            return Ok(());
        };
        let of = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        match of {
            Some(of) if of.eq_ignore_ascii_case(host) => Ok(()),
            _ => Err(Problem::foreign("origin", origin)),
        }
    }

    /// A loopback name, or the address that is listened on; where that is every address, the one that
    /// the client has come to. An address cannot be rebound, a name can.
    fn is_own(&self, host: &str, local: IpAddr) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        // `user@host` is no host; a port must be one.
        let port = authority.as_str().strip_prefix(authority.host());
        let is_port = |text: &str| {
            let digits = text.strip_prefix(':');
            text.is_empty() || digits.is_some_and(|digits| digits.parse::<u16>().is_ok())
        };
        if !port.is_some_and(is_port) {
            return false;
        }
        let name = authority.host();
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let Ok(address) = bare.unwrap_or(name).parse::<IpAddr>() else {
            return false;
        };
        let address = address.to_canonical();
        address.is_loopback()
            || address == self.listen.to_canonical()
            || (self.listen.is_unspecified() && address == local.to_canonical())
    }
}

/// The value of a header that may stand once.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(&name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Problem::invalid(format!("the header {name} stands twice")));
    }
    let text = value.map(|value| value.to_str());
    text.transpose()
        .map_err(|_| Problem::invalid(format!("the header {name} is no text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(listen: &str, local: &str, headers: &[(&str, &str)], target: &str) -> bool {
        let guard = Guard::new(listen.parse().unwrap());
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let local = local.parse().unwrap();
        guard.check(&request.body(()).unwrap(), local).is_ok()
    }

    #[test]
    fn only_loopback_names_and_the_own_address_are_hosts() {
        let host = |listen, local, host| passes(listen, local, &[("host", host)], "/");
        let here = |name| host("127.0.0.1:7878", "127.0.0.1", name);
        for own in [
            "localhost",
            "LOCALHOST:7878",
            "127.0.0.1:1",
            "[::1]:7878",
            "127.0.0.1",
        ] {
            assert!(here(own), "{own}");
        }
        for foreign in [
            "example.com",
            "localhost.example.com",
            "192.168.1.2",
            "a@localhost",
            "localhost:",
            "",
            "localhost:99999",
            "localhost:x",
            "[::1",
            "127.0.0.1.nip.io",
            "0.0.0.0",
            "local host",
        ] {
            assert!(!here(foreign), "{foreign}");
        }
        let every = |name| host("0.0.0.0:80", "192.168.1.2", name);
        assert!(every("192.168.1.2:80") && every("localhost"));
        assert!(!every("192.168.1.3") && !every("example.com"));
        assert!(host("192.168.1.2:80", "192.168.1.2", "192.168.1.2:80"));
    }

    #[test]
    fn an_origin_must_be_the_host_itself() {
        let origin = |origin| {
            let headers = [("host", "localhost:7878"), ("origin", origin)];
            passes("127.0.0.1:7878", "127.0.0.1", &headers, "/")
        };
        assert!(origin("http://localhost:7878"));
        for foreign in [
            "null",
            "http://localhost",
            "http://localhost:1",
            "http://127.0.0.1:7878",
            "http://example.com",
            "localhost:7878",
            "",
        ] {
            assert!(!origin(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_page_of_another_site_may_link_to_the_page_and_ask_nothing() {
        let asks = |site, mode, target| {
            let headers = [
                ("host", "localhost:7878"),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
            ];
            passes("127.0.0.1:7878", "127.0.0.1", &headers, target)
        };
        for site in ["cross-site", "same-site"] {
            assert!(asks(site, "navigate", "/?q=lang:rust"));
            for (mode, target) in [
                ("no-cors", "/"),
                ("cors", "/"),
                ("no-cors", "/v1/query"),
                ("navigate", "/v1/query"),
                ("navigate", "/metrics"),
            ] {
                assert!(!asks(site, mode, target), "{site} {mode} {target}");
            }
        }
        for own in ["same-origin", "none"] {
            assert!(asks(own, "cors", "/v1/page") && asks(own, "navigate", "/v1/stats"));
        }
    }

    #[test]
    fn the_host_is_told_once_and_the_target_names_no_other() {
        let at = |headers: &[(&str, &str)], target| {
            passes("127.0.0.1:7878", "127.0.0.1", headers, target)
        };
        let own = ("host", "localhost");
        assert!(!at(&[], "/"));
        assert!(!at(&[own, own], "/"));
        assert!(at(&[own], "http://127.0.0.1/"));
        assert!(!at(&[own], "http://example.com/"));
    }
}
